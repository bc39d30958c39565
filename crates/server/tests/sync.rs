//! What a client meets on the WebSocket.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{
    Client, PATIENCE, TestServer, accepted_seq, ends_with_error, eventually, hello, id, mark_read, message,
    open, receive, refusal, send, token,
};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{self, Message};
use tutti_protocol::{
    codec, limits,
    wire::{self, client_frame, event, server_frame::Frame},
};

const FAST: &[&str] = &["--rate-burst", "1000000", "--rate-per-second", "1000000"];

#[tokio::test]
async fn what_one_device_sends_is_pushed_to_all_that_are_live() {
    let server = TestServer::start().await;
    let mut laptop = server.client("alice", 1).await;
    let mut phone = server.client("alice", 2).await;
    let mut bob = server.client("bob", 3).await;
    for client in [&mut laptop, &mut phone, &mut bob] {
        let page = client.pull(0).await;
        assert_eq!((page.after, page.next, page.head), (0, 0, 0));
    }
    let outcomes = laptop.submit(vec![message(id(1, 1), "direct:bob", &json!("hi"))]).await;
    assert_eq!(accepted_seq(&outcomes[0]), Some(1));
    for (client, conversation, device) in [
        (&mut laptop, "direct:bob", &[1; 16][..]),
        (&mut phone, "direct:bob", &[1; 16]),
        (&mut bob, "direct:alice", &[]),
    ] {
        let page = client.delta().await;
        assert_eq!((page.after, page.next, page.head), (0, 1, 1));
        assert_eq!(page.events[0].operation, id(1, 1));
        let Some(event::Body::Message(message)) = &page.events[0].body else { panic!() };
        assert_eq!(message.conversation, conversation);
        assert_eq!(message.device, device, "told to the sender's own account alone");
        assert_eq!(message.content, "\"hi\"");
    }
    bob.submit(vec![message(id(3, 1), "direct:alice", &json!("ho"))]).await;
    assert_eq!(phone.delta().await.after, 1, "pushes follow each other");
}

#[tokio::test]
async fn a_long_log_comes_in_contiguous_pages_and_then_live() {
    let server = TestServer::start_with(FAST).await;
    let mut bob = server.client("bob", 2).await;
    let mut number = 0;
    for _ in 0..12 {
        let mut batch = Vec::new();
        for _ in 0..limits::SUBMIT_OPERATIONS {
            number += 1;
            batch.push(message(id(2, number), "direct:alice", &json!(number)));
        }
        assert!(bob.submit(batch).await.iter().all(|outcome| accepted_seq(outcome).is_some()));
    }
    let mut alice = server.client("alice", 1).await;
    assert_eq!(alice.welcome.head, 2_400);
    let first = alice.pull(0).await;
    assert_eq!((first.events.len(), first.next, first.head), (limits::PAGE_EVENTS, 1_000, 2_400));
    let events = alice.pull_all(0).await;
    let seqs: Vec<_> = events.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=2_400).collect::<Vec<_>>());
    bob.submit(vec![message(id(2, 9_999), "direct:alice", &json!("live"))]).await;
    let pushed = alice.delta().await;
    assert_eq!((pushed.after, pushed.next), (2_400, 2_401));
}

#[tokio::test]
async fn pages_of_large_messages_fit_a_frame() {
    let server = TestServer::start_with(FAST).await;
    let mut bob = server.client("bob", 2).await;
    let large = json!("x".repeat(limits::CONTENT - 2));
    for number in 0..40 {
        bob.submit(vec![message(id(2, number), "direct:alice", &large)]).await;
    }
    let mut alice = server.client("alice", 1).await;
    let first = alice.pull(0).await;
    assert_eq!(first.events.len(), 8, "a page is closed at 256 KiB");
    assert_eq!(alice.pull_all(0).await.len(), 40);
}

#[tokio::test]
async fn a_slow_reader_gets_everything_in_the_end() {
    let server = TestServer::start_with(FAST).await;
    let mut alice = server.client("alice", 1).await;
    alice.pull(0).await;
    let mut bob = server.client("bob", 2).await;
    let large = json!("x".repeat(30_000));
    for number in 0..400 {
        bob.submit(vec![message(id(2, number), "direct:alice", &large)]).await;
    }
    let mut next = 0;
    while next < 400 {
        let page = alice.delta().await;
        assert_eq!(page.after, next);
        next = page.next;
    }
}

#[tokio::test]
async fn a_log_has_one_identity_and_a_cursor_beyond_its_head_is_an_error() {
    let server = TestServer::start().await;
    let alice = server.client("alice", 1).await;
    let bob = server.client("bob", 2).await;
    assert_eq!(alice.welcome.log.len(), 16);
    assert_eq!(alice.welcome.log, bob.welcome.log);
    assert_eq!(u64::from(alice.welcome.ping_interval), limits::PING_INTERVAL);
    for beyond in [1, u64::MAX] {
        let mut alice = server.client("alice", 1).await;
        send(&mut alice.socket, client_frame::Frame::Pull(wire::Pull { after: beyond })).await;
        assert_eq!(ends_with_error(&mut alice.socket).await, "protocol");
    }
}

#[tokio::test]
async fn a_newer_connection_replaces_the_older_and_a_fenced_one_is_refused() {
    let server = TestServer::start().await;
    let token = token(server.addr, "alice").await;
    let at_epoch = |epoch| wire::Hello { epoch, ..hello(&token, "alice", 1) };
    let mut older = Client::greet(server.addr, at_epoch(1)).await.unwrap();
    let mut newer = Client::greet(server.addr, at_epoch(2)).await.unwrap();
    assert!(matches!(older.next().await, Frame::Bye(_)));
    assert_eq!(receive(&mut older.socket).await, None);
    match Client::greet(server.addr, at_epoch(1)).await {
        Err(Frame::Error(error)) => assert_eq!(error.code, "conflict"),
        _ => panic!("an older epoch was let in"),
    }
    assert_eq!(newer.pull(0).await.head, 0);
    let path = "/api/connections?user_id=alice";
    let (_, answer) = server.call(Method::GET, path, json!(null)).await;
    assert_eq!(answer["connections"].as_array().unwrap().len(), 1);
    assert_eq!(answer["connections"][0]["name"], "device 1");
}

#[tokio::test]
async fn the_eleventh_web_device_is_refused_until_another_goes() {
    let server = TestServer::start().await;
    let token = token(server.addr, "alice").await;
    let mut clients = Vec::new();
    for device in 1..=10 {
        clients.push(Client::greet(server.addr, hello(&token, "alice", device)).await.unwrap());
    }
    match Client::greet(server.addr, hello(&token, "alice", 11)).await {
        Err(Frame::Limit(limit)) => {
            assert_eq!(limit.limit, 10);
            let devices: Vec<_> = limit.connections.iter().map(|connection| connection.device[0]).collect();
            assert_eq!(devices, Vec::from_iter(1..=10), "oldest first");
            assert_eq!(limit.connections[0].name, "device 1");
            assert_eq!(limit.connections[0].platform(), wire::Platform::Web);
        }
        _ => panic!("the eleventh was let in"),
    }
    let phone = wire::Hello { platform: wire::Platform::Mobile.into(), ..hello(&token, "alice", 12) };
    assert!(Client::greet(server.addr, phone).await.is_ok());
    let again = Client::greet(server.addr, hello(&token, "alice", 10)).await;
    assert!(again.is_ok(), "a device that is connected takes its own place");
    drop(clients.remove(0));
    eventually(async || Client::greet(server.addr, hello(&token, "alice", 11)).await.is_ok()).await;
}

#[tokio::test]
async fn a_lower_limit_holds_for_new_connections_at_once() {
    let server = TestServer::start().await;
    let _standing = server.client("alice", 1).await;
    let limits = json!({"limits": {"web": 1}});
    let (status, settings) = server.call(Method::PUT, "/api/settings", limits).await;
    assert_eq!((status, &settings["limits"]["web"]), (StatusCode::OK, &json!(1)));
    let hello = hello(&token(server.addr, "alice").await, "alice", 2);
    assert!(matches!(Client::greet(server.addr, hello).await, Err(Frame::Limit(_))));
}

#[tokio::test]
async fn a_place_is_taken_over_and_whoever_had_it_is_told_by_whom() {
    let server = TestServer::start().await;
    let limits = json!({"limits": {"web": 2}});
    server.call(Method::PUT, "/api/settings", limits).await;
    let token = token(server.addr, "alice").await;
    let id = |device: u8| Bytes::copy_from_slice(&[device; 16]);
    let mut first = Client::greet(server.addr, hello(&token, "alice", 1)).await.unwrap();
    let mut second = Client::greet(server.addr, hello(&token, "alice", 2)).await.unwrap();
    let in_place_of = |device| wire::Hello { take_over: id(device), ..hello(&token, "alice", 3) };
    for nobody in [3, 9] {
        match Client::greet(server.addr, in_place_of(nobody)).await {
            Err(Frame::Limit(limit)) => assert_eq!(limit.connections.len(), 2),
            _ => panic!("let in without a place"),
        }
    }
    let mut third = Client::greet(server.addr, in_place_of(1)).await.unwrap();
    match first.next().await {
        Frame::Limit(limit) => {
            let devices: Vec<_> = limit.connections.into_iter().map(|connection| connection.device).collect();
            assert_eq!(devices, [id(2), id(3)]);
        }
        frame => panic!("{frame:?}"),
    }
    assert_eq!(receive(&mut first.socket).await, None);
    assert!(matches!(Client::greet(server.addr, hello(&token, "alice", 1)).await, Err(Frame::Limit(_))));
    for standing in [&mut second, &mut third] {
        assert_eq!(standing.pull(0).await.head, 0);
    }
    // With room for it, nobody has to go.
    drop(third);
    eventually(async || Client::greet(server.addr, in_place_of(2)).await.is_ok()).await;
    assert_eq!(second.pull(0).await.head, 0);
}

#[tokio::test]
async fn a_device_that_comes_back_many_times_at_once_has_one_place() {
    let server = TestServer::start().await;
    let token = token(server.addr, "alice").await;
    let again = (0..20).map(|epoch| {
        let hello = wire::Hello { epoch: epoch % 3, ..hello(&token, "alice", 1) };
        Client::greet(server.addr, hello)
    });
    let mut standing = 0;
    for answer in futures_util::future::join_all(again).await {
        match answer {
            Ok(mut client) => {
                // One that has lost its place is told so instead, and may be gone already.
                let pull =
                    wire::ClientFrame { frame: Some(client_frame::Frame::Pull(wire::Pull { after: 0 })) };
                let _ = client.socket.send(Message::Binary(codec::encode(&pull))).await;
                match client.next().await {
                    Frame::Delta(_) => standing += 1,
                    Frame::Bye(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            Err(Frame::Error(error)) => assert_eq!(error.code, "conflict"),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(standing, 1);
}

#[tokio::test]
async fn whoever_has_lost_its_place_submits_nothing_more() {
    const QUEUED: u64 = 500;
    let server = TestServer::start_with(FAST).await;
    server.call(Method::PUT, "/api/settings", json!({"limits": {"web": 1}})).await;
    let token = token(server.addr, "alice").await;
    let robbing = wire::Hello { take_over: Bytes::copy_from_slice(&[1; 16]), ..hello(&token, "alice", 2) };
    let replacing = wire::Hello { epoch: 1, ..hello(&token, "alice", 2) };
    let mut older = Client::greet(server.addr, hello(&token, "alice", 1)).await.unwrap();
    for (sender, newcomer) in [(1, robbing), (2, replacing)] {
        // More than is dealt with before the newcomer is there.
        for number in 0..QUEUED {
            let operation = message(id(sender, number as u32), "direct:bob", &json!(number));
            let submit = wire::Submit { operations: vec![operation] };
            send(&mut older.socket, client_frame::Frame::Submit(submit)).await;
        }
        let mut newer = Client::greet(server.addr, newcomer).await.unwrap();
        let mut ended = false;
        while let Some(frame) = receive(&mut older.socket).await {
            ended = matches!(frame, Frame::Limit(_) | Frame::Bye(_));
        }
        assert!(ended, "it is told");
        let late = newer.pull(0).await.head - newer.welcome.head;
        assert!(late <= 1, "{late} after the newcomer was let in, and only one was being decided");
        older = newer;
    }
}

#[tokio::test]
async fn pages_from_elsewhere_may_not_connect() {
    let server = TestServer::start().await;
    let local = format!("http://localhost:{}", server.addr.port());
    for origin in [None, Some(local.as_str()), Some("http://127.0.0.1")] {
        assert!(open(server.addr, Some("tutti.v1"), origin).await.is_ok(), "{origin:?}");
    }
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        match open(server.addr, Some("tutti.v1"), Some(origin)).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403),
            other => panic!("{origin}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn another_subprotocol_is_refused() {
    let server = TestServer::start().await;
    for protocol in [None, Some("tutti.v2")] {
        match open(server.addr, protocol, None).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 400),
            other => panic!("{protocol:?}: {other:?}"),
        }
    }
    let (status, answer) = server.call(Method::GET, "/sync", json!(null)).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("protocol")));
}

#[tokio::test]
async fn frames_that_are_none_get_a_typed_error() {
    let server = TestServer::start().await;
    let submit = client_frame::Frame::Submit(wire::Submit {
        operations: vec![message(id(1, 1), "direct:bob", &json!("hi"))],
    });
    let good = codec::encode(&wire::ClientFrame { frame: Some(submit) });
    let mut wrong = vec![Vec::new(), vec![0xff; 100], b"GET / HTTP/1.1".to_vec()];
    wrong.extend((1..good.len()).map(|cut| good[..cut].to_vec()));
    for bytes in wrong {
        let mut alice = server.client("alice", 1).await;
        alice.socket.send(Message::Binary(bytes.clone().into())).await.unwrap();
        assert_eq!(ends_with_error(&mut alice.socket).await, "protocol", "{bytes:?}");
    }
    let mut alice = server.client("alice", 1).await;
    alice.socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(ends_with_error(&mut alice.socket).await, "protocol");
    assert_eq!(server.client("alice", 1).await.welcome.head, 0, "nothing of it took effect");
}

#[tokio::test]
async fn an_oversized_frame_is_refused() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let oversized = vec![0; limits::CLIENT_FRAME + 1];
    alice.socket.send(Message::Binary(oversized.into())).await.unwrap();
    assert_eq!(ends_with_error(&mut alice.socket).await, "too-large");
}

#[tokio::test]
async fn nothing_is_said_before_hello_and_hello_is_said_once() {
    let server = TestServer::start().await;
    let mut socket = open(server.addr, Some("tutti.v1"), None).await.unwrap();
    send(&mut socket, client_frame::Frame::Pull(wire::Pull { after: 0 })).await;
    assert_eq!(ends_with_error(&mut socket).await, "protocol");
    let mut alice = server.client("alice", 1).await;
    let again = hello(&token(server.addr, "alice").await, "alice", 1);
    send(&mut alice.socket, client_frame::Frame::Hello(again)).await;
    assert_eq!(ends_with_error(&mut alice.socket).await, "protocol");
}

#[tokio::test]
async fn pings_of_the_websocket_may_come_before_hello() {
    let server = TestServer::start().await;
    let token = token(server.addr, "alice").await;
    let mut socket = open(server.addr, Some("tutti.v1"), None).await.unwrap();
    socket.send(Message::Ping("early".into())).await.unwrap();
    send(&mut socket, client_frame::Frame::Hello(hello(&token, "alice", 1))).await;
    assert!(matches!(receive(&mut socket).await, Some(Frame::Welcome(_))));
}

#[tokio::test]
async fn an_account_may_submit_a_burst_and_what_is_over_waits_in_order() {
    let server = TestServer::start_with(&["--rate-burst", "5", "--rate-per-second", "1"]).await;
    let mut laptop = server.client("alice", 1).await;
    let mut phone = server.client("alice", 2).await;
    let batch = |sender| {
        let numbered = |number| message(id(sender, number), "direct:bob", &json!(number));
        (0..4).map(numbered).collect::<Vec<_>>()
    };
    let outcomes = laptop.submit(batch(1)).await;
    assert!(outcomes.iter().all(|outcome| accepted_seq(outcome).is_some()));
    let outcomes = phone.submit(batch(2)).await;
    let limited: Vec<_> = outcomes.iter().filter_map(refusal).collect();
    assert!(limited.len() >= 2, "the limit is the account's, not the device's: {outcomes:?}");
    assert!(outcomes[outcomes.len() - limited.len()..].iter().all(|outcome| refusal(outcome).is_some()));
    for refused in limited {
        assert_eq!(refused.code, "rate-limited");
        assert!((1..=5_000).contains(&refused.retry_after), "{refused:?}");
    }
    let mut bob = server.client("bob", 3).await;
    let outcomes = bob.submit(vec![message(id(3, 1), "direct:alice", &json!("hi"))]).await;
    assert!(accepted_seq(&outcomes[0]).is_some(), "others are not concerned");
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_and_one_that_does_not_is_closed() {
    let server = TestServer::start_with(&["--ping-interval", "1", "--pong-deadline", "2"]).await;
    let mut alice = server.client("alice", 1).await;
    // Says nothing by itself; tungstenite answers while it is read, as browsers do for hidden pages.
    for _ in 0..3 {
        let message = timeout(PATIENCE, alice.socket.next()).await.unwrap().unwrap().unwrap();
        assert!(matches!(message, Message::Ping(_)), "{message:?}");
    }
    server.call(Method::PUT, "/api/settings", json!({"limits": {"web": 1}})).await;
    let another = hello(&token(server.addr, "alice").await, "alice", 2);
    // A client that is not read does not answer either.
    assert!(server.is_online("alice").await);
    eventually(async || !server.is_online("alice").await).await;
    assert!(Client::greet(server.addr, another).await.is_ok(), "its place is free");
}

#[tokio::test]
async fn a_server_that_stops_says_goodbye_and_spreads_the_return() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for device in 0..8 {
        clients.push(server.client("alice", device).await);
    }
    server.stop().await;
    let mut waits = Vec::new();
    for mut client in clients {
        match client.next().await {
            Frame::Bye(bye) => waits.push(bye.wait),
            other => panic!("{other:?}"),
        }
        assert_eq!(receive(&mut client.socket).await, None);
    }
    assert!(waits.iter().all(|&wait| wait <= 2_000));
    waits.dedup();
    assert!(waits.len() > 1, "all come back at once");
}

#[tokio::test]
async fn a_group_message_reaches_every_member() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let mut bob = server.client("bob", 2).await;
    alice.pull(0).await;
    bob.pull(0).await;
    let members = json!({"members": ["alice", "bob"]});
    server.call(Method::PUT, "/api/groups/team", members).await;
    for client in [&mut alice, &mut bob] {
        let page = client.delta().await;
        let Some(event::Body::Members(members)) = &page.events[0].body else { panic!() };
        assert_eq!(members.conversation, "group:team");
        assert_eq!(members.members, ["alice", "bob"]);
    }
    alice.submit(vec![message(id(1, 1), "group:team", &json!("hi"))]).await;
    let page = bob.delta().await;
    let Some(event::Body::Message(message)) = &page.events[0].body else { panic!() };
    assert_eq!((message.position, message.inbound), (1, 1));
    let (status, _) = server.call(Method::DELETE, "/api/groups/team", json!(null)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let page = bob.delta().await;
    assert!(matches!(&page.events[0].body, Some(event::Body::Members(gone)) if gone.members.is_empty()));
    let outcomes = timeout(
        Duration::from_secs(5),
        alice.submit(vec![common::message(id(1, 2), "group:team", &json!("anyone?"))]),
    )
    .await
    .unwrap();
    assert_eq!(refusal(&outcomes[0]).unwrap().code, "not-found");
}

#[tokio::test]
async fn who_hides_how_far_they_read_is_not_told_of_from_hello_on_until_they_say_so() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let privacy = wire::Privacy { hide_reads: true, ..wire::Privacy::default() };
    let hello = wire::Hello { privacy: Some(privacy), ..hello(&token(server.addr, "bob").await, "bob", 2) };
    let mut bob = Client::greet(server.addr, hello).await.unwrap();
    let messages = (1..=4).map(|number| message(id(1, number), "direct:bob", &json!(number))).collect();
    alice.submit(messages).await;
    let read = |position| vec![mark_read(id(2, position), "direct:alice", position.into())];
    bob.submit(read(1)).await;
    send(&mut bob.socket, client_frame::Frame::Privacy(wire::Privacy::default())).await;
    bob.submit(read(2)).await;
    send(&mut bob.socket, client_frame::Frame::Privacy(privacy)).await;
    bob.submit(read(3)).await;
    let events = alice.pull_all(4).await;
    let [wire::Event { body: Some(event::Body::ReadBy(read_by)), .. }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((read_by.account.as_str(), read_by.position), ("bob", 2));
}
