//! What an operator sees from outside: whether the server can serve, what it counts, and what it writes down, and what
//! of all that it never does.

mod common;

use std::process::Stdio;

use common::{
    Client, PATIENCE, SERVER_KEY, TestServer, eventually, id, listens, message, publish, send, signature,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, process::Command, time::timeout};
use tutti_protocol::wire::{self, client_frame, status::Status as Kind};

/// What is counted, as text.
async fn metrics(server: &TestServer) -> String {
    let answer = reqwest::get(format!("http://{}/metrics", server.addr)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    answer.text().await.unwrap()
}

/// The value of a series; 0 as long as it is not there.
fn value(metrics: &str, series: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let values: Vec<f64> = values.map(|value| value.parse().unwrap()).collect();
    assert!(values.len() <= 1, "{series}");
    values.first().copied().unwrap_or_default()
}

#[tokio::test]
async fn what_happens_is_counted() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let mut bob = server.client("bob", 2).await;
    bob.pull(0).await;
    let operations =
        vec![message(id(1, 1), "direct:bob", &json!("hi")), message(id(1, 2), "group:none", &json!("hi"))];
    alice.submit(operations).await;
    let custom = wire::Custom { conversation: "direct:bob".to_owned(), ..wire::Custom::default() };
    let custom = wire::Custom { r#type: "wave".to_owned(), content: "1".into(), ..custom };
    let status = wire::Status { status: Some(Kind::Custom(custom)) };
    send(&mut alice.socket, client_frame::Frame::Status(status)).await;
    let body = json!({"from": "alice", "to": "direct:bob", "content": "hi"});
    assert_eq!(server.call(Method::POST, "/api/messages", body).await.0, StatusCode::OK);
    assert_eq!(server.call(Method::GET, "/api/groups/none", json!(null)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(server.call(Method::GET, "/nothing", json!(null)).await.0, StatusCode::NOT_FOUND);
    eventually(async || value(&metrics(&server).await, r#"tutti_statuses_total{kind="custom"}"#) == 1.0)
        .await;

    let counted = metrics(&server).await;
    for (series, expected) in [
        (r#"tutti_connections{platform="web"}"#, 2.0),
        (r#"tutti_frames_total{kind="hello"}"#, 2.0),
        (r#"tutti_frames_total{kind="pull"}"#, 1.0),
        (r#"tutti_frames_total{kind="submit"}"#, 1.0),
        (r#"tutti_operations_total{kind="send",outcome="accepted"}"#, 2.0),
        (r#"tutti_operations_total{kind="send",outcome="not-found"}"#, 1.0),
        // Both of Alice's log for one, and Bob's for both.
        ("tutti_events_total", 3.0),
        ("tutti_writer_waiting", 0.0),
        (r#"tutti_http_requests_total{method="POST",route="/api/messages",status="200"}"#, 1.0),
        (r#"tutti_http_requests_total{method="GET",route="/api/groups/{id}",status="404"}"#, 1.0),
        (r#"tutti_http_requests_total{method="GET",route="elsewhere",status="404"}"#, 1.0),
        (r#"tutti_http_requests_total{method="GET",route="/sync",status="101"}"#, 2.0),
        (r#"tutti_http_request_duration_seconds_count{route="/api/messages"}"#, 1.0),
        (r#"tutti_pushes_total{outcome="delivered"}"#, 0.0),
        (r#"tutti_storage_errors_total{kind="refused"}"#, 0.0),
    ] {
        assert_eq!(value(&counted, series), expected, "{series}\n{counted}");
    }
    let commits = value(&counted, "tutti_commit_duration_seconds_count");
    assert!(commits >= 4.0 && value(&counted, "tutti_commit_pieces_count") == commits, "{counted}");
    assert!(value(&counted, "tutti_commit_pieces_sum") >= commits);
    for name in ["alice", "bob", "none", "nothing", "wave"] {
        assert!(!counted.contains(name), "{name}: {counted}");
    }

    alice.socket.close(None).await.unwrap();
    send(&mut bob.socket, client_frame::Frame::Hello(wire::Hello::default())).await;
    eventually(async || value(&metrics(&server).await, r#"tutti_connections{platform="web"}"#) == 0.0).await;
    let counted = metrics(&server).await;
    assert_eq!(value(&counted, r#"tutti_connections_ended_total{why="gone"}"#), 1.0);
    assert_eq!(value(&counted, r#"tutti_connections_ended_total{why="protocol"}"#), 1.0);
    assert_eq!(value(&counted, "tutti_slow_consumers_total"), 0.0);
}

#[tokio::test]
async fn who_does_not_read_is_closed_and_counted() {
    let server = TestServer::start_with(&["--write-deadline", "1", "--write-queue", "1024"]).await;
    let mut bob = server.client("bob", 2).await;
    let words = "x".repeat(30_000);
    let mut alice = server.client("alice", 1).await;
    for round in 0_u32..5 {
        let send = |number: u32| message(id(1, round * 10 + number), "direct:bob", &json!(words));
        for number in 0..10 {
            alice.submit(vec![send(number)]).await;
        }
    }
    // Asks for all of it again and again, and reads nothing: what the system takes is full after a while.
    let ask = async {
        loop {
            let pull = client_frame::Frame::Pull(wire::Pull { after: 0 });
            let frame = wire::ClientFrame { frame: Some(pull) };
            let frame =
                tokio_tungstenite::tungstenite::Message::Binary(tutti_protocol::codec::encode(&frame));
            if futures_util::SinkExt::send(&mut bob.socket, frame).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let counted = eventually(async || value(&metrics(&server).await, "tutti_slow_consumers_total") == 1.0);
    tokio::select! {
        () = ask => {}
        () = counted => {}
    }
}

#[tokio::test]
async fn a_server_that_is_about_to_end_is_alive_and_not_ready() {
    let mut server = TestServer::start_with(&["--drain-delay", "600"]).await;
    let ask = async |server: &TestServer, path: &str| {
        let (status, answer) = server.call(Method::GET, path, json!(null)).await;
        (status.as_u16(), answer)
    };
    assert_eq!(ask(&server, "/readyz").await, (200, json!({"status": "ok"})));
    server.begin_to_stop();
    eventually(async || ask(&server, "/readyz").await.0 == 503).await;
    assert_eq!(ask(&server, "/readyz").await.1["error"]["message"], "the server is about to end");
    assert_eq!(ask(&server, "/healthz").await.0, 200);
    // Who comes before others know is served.
    server.client("alice", 1).await.pull(0).await;
}

#[tokio::test]
async fn an_answer_bears_the_id_of_its_request() {
    let server = TestServer::start().await;
    let id = async |brought: Option<&str>| {
        let request = reqwest::Client::new().get(format!("http://{}/healthz", server.addr));
        let request = brought.into_iter().fold(request, |request, id| request.header("x-request-id", id));
        request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(id(Some("4bf92f35-77b3")).await, "4bf92f35-77b3");
    for other in [None, Some("a b"), Some("{}")] {
        assert_eq!(id(other).await.len(), 16, "{other:?}");
    }
    assert_ne!(id(None).await, id(None).await);
}

/// All that is private in what follows has this in it.
const CANARY: &str = "canary";

/// The server in earnest, told to write down all it can.
async fn logs_of(format: &str, traffic: impl AsyncFnOnce(std::net::SocketAddr)) -> String {
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tutti-server"))
        .args(["--listen", "127.0.0.1:0", "--dev", "--log-format", format, "--data"])
        .arg(data.path())
        .args(["--server-key", SERVER_KEY, "--token-secret", "a secret of the canary's"])
        .env("RUST_LOG", "tutti_server=trace,tutti_acceptance=trace,info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let reading = tokio::spawn(async move {
        let mut logs = String::new();
        stderr.read_to_string(&mut logs).await.map(|_| logs)
    });
    let addr = listens(&mut child, "http://").await;
    traffic(addr).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    reading.await.unwrap().unwrap()
}

/// All kinds of calls and frames, good and bad ones, full of canaries.
async fn chatter(addr: std::net::SocketAddr) {
    let (alice, bob) = (format!("alice-{CANARY}"), format!("bob-{CANARY}"));
    let call = async |method: Method, path: &str, body: Value| {
        let request = reqwest::Client::new().request(method, format!("http://{addr}{path}"));
        let request = request.bearer_auth(SERVER_KEY).header("x-request-id", "known").body(body.to_string());
        request.send().await.unwrap().status().as_u16()
    };
    let (group, to) = (format!("/api/groups/{CANARY}"), format!("direct:{bob}"));
    let body = json!({"members": [alice, bob]});
    assert_eq!(call(Method::PUT, &group, body).await, 200);
    let devices = format!("/api/devices/{CANARY}?user_id={alice}");
    assert_eq!(call(Method::POST, "/api/devices", json!({"user_id": alice, "devices": [CANARY]})).await, 200);
    assert_eq!(call(Method::PATCH, &devices, json!({"name": format!("{CANARY}'s")})).await, 200);
    assert_eq!(call(Method::DELETE, &devices, json!(null)).await, 204);
    let none = format!("/api/devices/no-{CANARY}?user_id={alice}");
    assert_eq!(call(Method::DELETE, &none, json!(null)).await, 404);
    let body = json!({"from": alice, "to": to, "content": CANARY});
    assert_eq!(call(Method::POST, "/api/messages", body.clone()).await, 200);
    let mut status = body.clone();
    status["type"] = json!(CANARY);
    assert_eq!(call(Method::POST, "/api/status", status).await, 202);
    let body = json!({"from": alice, "to": CANARY, "content": CANARY});
    assert_eq!(call(Method::POST, "/api/messages", body).await, 422);
    let body = json!({"accounts": [bob], "title": CANARY, "body": CANARY});
    assert_eq!(call(Method::POST, "/api/notifications", body).await, 200);
    assert_eq!(call(Method::GET, &format!("/{CANARY}?{CANARY}"), json!(null)).await, 404);
    assert_eq!(call(Method::GET, &format!("/api/connections?user_id={CANARY}"), json!(null)).await, 200);

    let token = common::token(addr, &alice).await;
    let hello = wire::Hello { device_name: CANARY.to_owned(), ..common::hello(&token, &alice, 1) };
    let mut client = Client::greet(addr, hello.clone()).await.expect("a welcome");
    client.pull_all(0).await;
    let operations =
        vec![message(id(1, 1), &to, &json!(CANARY)), message(id(1, 2), "group:none-canary", &json!(CANARY))];
    client.submit(operations).await;
    send(&mut client.socket, client_frame::Frame::Hello(hello.clone())).await;
    assert_eq!(common::ends_with_error(&mut client.socket).await, "protocol");
    let forged = wire::Hello { token: format!("{token}{CANARY}"), ..hello };
    assert!(Client::greet(addr, forged).await.is_err());
    let user = reqwest::Client::new().get(format!("http://{addr}/api/devices?user_id={alice}"));
    assert_eq!(user.bearer_auth(&token).send().await.unwrap().status(), StatusCode::OK);
    let erased = call(Method::DELETE, &format!("/api/accounts/{bob}"), json!(null)).await;
    assert_eq!(erased, 204);
    let body = json!({"from": alice, "to": to, "content": CANARY});
    assert_eq!(call(Method::POST, "/api/messages", body).await, 409);
    let left = Client::greet(addr, common::hello(&token, &alice, 2)).await.expect("a welcome");
    drop(left);
}

/// `printf log:alice-canary | openssl dgst -sha256 -hmac "a secret of the canary's"`, the first six bytes.
const ALICE: &str = "f2e54cc6bbf2";

#[tokio::test]
async fn logs_tell_of_each_request_and_connection_and_name_nobody() {
    let mut tokens = Vec::new();
    for format in ["text", "json"] {
        let logs = logs_of(format, async |addr| {
            tokens.push(common::token(addr, "somebody").await);
            chatter(addr).await;
        })
        .await;
        for private in [CANARY, SERVER_KEY, "somebody", "eyJ"] {
            assert!(!logs.contains(private), "{private}: {logs}");
        }
        assert!(
            logs.contains("/api/devices/{id}") && logs.contains("known") && logs.contains(ALICE),
            "{logs}"
        );
        if format == "json" {
            let lines: Vec<Value> = logs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let said = |message: &str| {
                let message = json!(message);
                lines.iter().filter(move |line| line["fields"]["message"] == message)
            };
            let known = said("request").filter(|line| line["spans"][0]["id"] == "known");
            assert_eq!(known.clone().count(), 13, "{logs}");
            assert!(known.clone().any(|line| line["fields"]["status"] == 409), "{logs}");
            assert_eq!(said("connected").count(), 2, "{logs}");
            for line in said("connected").chain(said("disconnected")) {
                assert_eq!(
                    (&line["spans"][0]["name"], &line["spans"][0]["account"]),
                    (&json!("connection"), &json!(ALICE))
                );
            }
        }
    }
}

#[tokio::test]
async fn signed_posts_are_observed_like_all_others() {
    let server = TestServer::start().await;
    let form = "fromUserId=alice&toUserId=bob&objectName=text&content=hi".to_owned();
    let path = "/message/private/publish.json";
    assert_eq!(publish(&server, path, &signature(SERVER_KEY), form).await.0, StatusCode::OK);
    let counted = metrics(&server).await;
    let series = format!(r#"tutti_http_requests_total{{method="POST",route="{path}",status="200"}}"#);
    assert_eq!(value(&counted, &series), 1.0);
    assert_eq!(value(&counted, r#"tutti_operations_total{kind="send",outcome="accepted"}"#), 1.0);
}
