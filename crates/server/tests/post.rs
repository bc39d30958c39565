//! Polling: frames in the body of a `POST /sync`.

mod common;

use bytes::Bytes;
use common::{
    Client, PATIENCE, TestServer, accepted_seq, framed, hello, id, mark_read, message, post, token,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tutti_protocol::{
    limits, sequence,
    wire::{self, client_frame, server_frame::Frame},
};

#[tokio::test]
async fn what_goes_over_a_socket_goes_by_post() {
    let server = TestServer::start().await;
    let hello = hello(&token(server.addr, "alice").await, "alice", 1);
    let (welcome, none) = said(&server, &hello, None).await;
    assert_eq!((welcome.head, none), (0, None));
    let submit = wire::Submit { operations: vec![message(id(1, 1), "direct:bob", &json!("hi"))] };
    for _ in 0..2 {
        let (_, answer) = said(&server, &hello, Some(client_frame::Frame::Submit(submit.clone()))).await;
        let Some(Frame::Submitted(submitted)) = answer else { panic!("{answer:?}") };
        assert_eq!(accepted_seq(&submitted.outcomes[0]), Some(1), "once, however often it is sent");
    }
    let (welcome, answer) =
        said(&server, &hello, Some(client_frame::Frame::Pull(wire::Pull { after: 0 }))).await;
    let Some(Frame::Delta(delta)) = answer else { panic!("{answer:?}") };
    assert_eq!((welcome.head, delta.next, delta.head, delta.events.len()), (1, 1, 1, 1));
    let mut bob = server.client("bob", 2).await;
    assert_eq!(bob.pull(0).await.events.len(), 1);
    let (_, answer) = said(&server, &hello, Some(client_frame::Frame::Ping(wire::Ping { nonce: 7 }))).await;
    assert_eq!(answer, Some(Frame::Pong(wire::Pong { nonce: 7 })));
}

#[tokio::test]
async fn who_polls_has_no_place_and_needs_none() {
    let server = TestServer::start().await;
    server.call(Method::PUT, "/api/settings", json!({"limits": {"web": 1}})).await;
    let mut standing = server.client("alice", 1).await;
    let second = hello(&token(server.addr, "alice").await, "alice", 2);
    said(&server, &second, None).await;
    let (_, answer) = server.call(Method::GET, "/api/connections?user_id=alice", json!(null)).await;
    assert_eq!(answer["connections"].as_array().unwrap().len(), 1);
    let (_, answer) = server.call(Method::GET, "/api/devices?user_id=alice", json!(null)).await;
    assert_eq!(answer["devices"].as_array().unwrap().len(), 2, "but it is a device of the account");
    assert_eq!(standing.pull(0).await.head, 0);
}

#[tokio::test]
async fn a_fenced_leader_gets_nothing_by_post_either() {
    let server = TestServer::start().await;
    let older = hello(&token(server.addr, "alice").await, "alice", 1);
    let newer = wire::Hello { epoch: 1, ..older.clone() };
    let _standing = Client::greet(server.addr, newer.clone()).await.unwrap();
    let submit = wire::Submit { operations: vec![message(id(1, 1), "direct:bob", &json!("hi"))] };
    let submit = framed(client_frame::Frame::Submit(submit));
    let body = sequence::join([&framed(client_frame::Frame::Hello(older)), &submit]);
    let (_, frames) = post(&server, body, None).await;
    match &frames[..] {
        [Frame::Error(error)] => assert_eq!(error.code, "conflict"),
        other => panic!("{other:?}"),
    }
    let (welcome, _) = said(&server, &newer, None).await;
    assert_eq!(welcome.head, 0, "nothing of it took effect");
}

#[tokio::test]
async fn what_makes_no_sense_is_answered_in_frames() {
    let server = TestServer::start().await;
    let token = token(server.addr, "alice").await;
    let good = framed(client_frame::Frame::Hello(hello(&token, "alice", 1)));
    let bad_token = framed(client_frame::Frame::Hello(hello("nonsense", "alice", 1)));
    let foreign = framed(client_frame::Frame::Hello(hello(&token, "bob", 1)));
    let ping = framed(client_frame::Frame::Ping(wire::Ping { nonce: 1 }));
    let beyond = framed(client_frame::Frame::Pull(wire::Pull { after: 9 }));
    let huge = Bytes::from(vec![0; limits::CLIENT_FRAME + 1]);
    let cases = [
        (Bytes::new(), "protocol"),
        (sequence::join([&ping]), "protocol"),
        (sequence::join([&good, &good]), "protocol"),
        (sequence::join([&good, &ping, &ping]), "protocol"),
        (sequence::join([&good, &beyond]), "protocol"),
        (sequence::join([&good, &huge]), "protocol"),
        (sequence::join([&good]).slice(..20), "protocol"),
        (sequence::join([&bad_token]), "auth"),
        (sequence::join([&foreign]), "auth"),
    ];
    for (number, (body, code)) in cases.into_iter().enumerate() {
        let (status, frames) = post(&server, body, None).await;
        assert_eq!(status, StatusCode::OK);
        match frames.last() {
            Some(Frame::Error(error)) => assert_eq!(error.code, code, "case {number}"),
            other => panic!("case {number}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn pages_from_elsewhere_may_not_poll_and_those_that_may_can_read_the_answer() {
    let server = TestServer::start_with(&["--allow-origin", "https://app.example"]).await;
    let hello = framed(client_frame::Frame::Hello(hello(&token(server.addr, "alice").await, "alice", 1)));
    let body = sequence::join([&hello]);
    let (status, _) = post(&server, body.clone(), Some("https://evil.example")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let url = format!("http://{}/sync", server.addr);
    let request = reqwest::Client::new().post(url).header("origin", "https://app.example").body(body);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://app.example");
    assert_eq!(response.headers()["vary"], "origin");
}

#[tokio::test]
async fn a_page_that_may_post_is_told_so_beforehand() {
    let server = TestServer::start_with(&["--allow-origin", "https://app.example"]).await;
    let ask = async |origin: &str| {
        let url = format!("http://{}/sync", server.addr);
        let request = reqwest::Client::new().request(Method::OPTIONS, url).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "content-type").send().await.unwrap()
    };
    let told = ask("https://app.example").await;
    assert_eq!(told.status(), StatusCode::NO_CONTENT);
    assert_eq!(told.headers()["access-control-allow-origin"], "https://app.example");
    assert_eq!(told.headers()["access-control-allow-methods"], "POST");
    assert_eq!(told.headers()["access-control-allow-headers"], "content-type");
    let refused = ask("https://evil.example").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(refused.headers().get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn a_body_that_is_too_large_or_too_slow_is_refused() {
    let server = TestServer::start().await;
    let largest = 2 * (limits::CLIENT_FRAME + 3);
    assert_eq!(post(&server, vec![0xff; largest].into(), None).await.0, StatusCode::OK);
    let too_large = post(&server, vec![0xff; largest + 1].into(), None).await;
    assert_eq!(too_large.0, StatusCode::PAYLOAD_TOO_LARGE);

    let mut slow = TcpStream::connect(server.addr).await.unwrap();
    slow.write_all(b"POST /sync HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n0").await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, slow.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[tokio::test]
async fn an_account_posts_so_often_and_then_waits() {
    let server = TestServer::start().await;
    let hello = framed(client_frame::Frame::Hello(hello(&token(server.addr, "alice").await, "alice", 1)));
    let body = sequence::join([&hello]);
    let mut refused = None;
    for _ in 0..limits::FRAMES_PER_MINUTE * 2 {
        let (_, frames) = post(&server, body.clone(), None).await;
        if let Some(Frame::Error(error)) = frames.last() {
            refused = Some(error.clone());
            break;
        }
    }
    let refused = refused.expect("so many posts are too many");
    assert_eq!(refused.code, "rate-limited");
    assert!(refused.retry_after > 0);
}

#[tokio::test]
async fn what_is_not_shared_is_said_in_the_hello_of_each_post() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let messages = (1..=2).map(|number| message(id(1, number), "direct:bob", &json!(number))).collect();
    alice.submit(messages).await;
    let open = hello(&token(server.addr, "bob").await, "bob", 2);
    let privacy = wire::Privacy { hide_reads: true, ..wire::Privacy::default() };
    let hiding = wire::Hello { privacy: Some(privacy), ..open.clone() };
    let read = |position| {
        let operations = vec![mark_read(id(2, position), "direct:alice", position.into())];
        Some(client_frame::Frame::Submit(wire::Submit { operations }))
    };
    said(&server, &hiding, read(1)).await;
    assert_eq!(said(&server, &hiding, Some(client_frame::Frame::Privacy(privacy))).await.1, None);
    assert_eq!(alice.pull(2).await.head, 2);
    said(&server, &open, read(2)).await;
    assert_eq!(alice.pull(2).await.head, 3);
}

/// The welcome, and the answer to the other frame.
async fn said(
    server: &TestServer,
    hello: &wire::Hello,
    frame: Option<client_frame::Frame>,
) -> (wire::Welcome, Option<Frame>) {
    let hello = framed(client_frame::Frame::Hello(hello.clone()));
    let body: Vec<Bytes> = [hello].into_iter().chain(frame.map(framed)).collect();
    let (status, frames) = post(server, sequence::join(&body), None).await;
    assert_eq!(status, StatusCode::OK);
    let mut frames = frames.into_iter();
    let Some(Frame::Welcome(welcome)) = frames.next() else { panic!("no welcome") };
    (welcome, frames.next())
}
