//! What an application's back end meets on the HTTP API.

mod common;

use std::{fs, process::Command};

use common::{SERVER_KEY, TestServer, eventually, id, message, send};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tutti_protocol::wire::{self, client_frame, event};

const MESSAGE: &str = "018bcfe5-6801-7000-8000-000000000001";
const RECALL: &str = "/api/messages/018bcfe5-6801-7000-8000-000000000001/recall";

/// The field that a 422 names.
fn field((status, answer): (StatusCode, Value)) -> String {
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    assert_eq!(answer["error"]["code"], "invalid");
    assert!(answer["error"]["message"].is_string());
    answer["error"]["field"].as_str().unwrap().to_owned()
}

/// The code of any refusal.
fn code((status, answer): (StatusCode, Value)) -> (u16, String) {
    (status.as_u16(), answer["error"]["code"].as_str().unwrap().to_owned())
}

fn messages(page: tutti_protocol::wire::Delta) -> Vec<tutti_protocol::wire::Message> {
    let bodies = page.events.into_iter().map(|event| event.body.unwrap());
    bodies
        .map(|body| match body {
            event::Body::Message(message) => message,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn devices_are_registered_and_listed() {
    let server = TestServer::start().await;
    let body = json!({"user_id": 1, "devices": ["device_1", "device_2"]});
    for _ in 0..2 {
        let answer = server.call(Method::POST, "/api/devices", body.clone()).await;
        assert_eq!(answer, (StatusCode::OK, json!({"message": "Devices registered successfully"})));
    }
    let (_, answer) = server.call(Method::GET, "/api/devices?user_id=1", json!(null)).await;
    let devices = answer["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2);
    assert_eq!(devices[0]["id"], "device_1");
    assert_eq!(devices[0]["name"], "device_1");
    assert_eq!((&devices[0]["platform"], &devices[0]["last_seen"]), (&Value::Null, &Value::Null));
    assert_eq!((&devices[0]["online"], &devices[0]["push"]), (&json!(false), &json!(false)));
    assert!(devices[0]["registered_at"].as_u64().unwrap() > 1_700_000_000_000);
}

#[tokio::test]
async fn a_browser_registers_itself_and_its_comings_and_goings_show() {
    let server = TestServer::start().await;
    let alice = server.client("alice", 1).await;
    let device = async || {
        let (_, answer) = server.call(Method::GET, "/api/devices?user_id=alice", json!(null)).await;
        answer["devices"][0].clone()
    };
    let online = device().await;
    assert_eq!(online["id"], "01010101-0101-0101-0101-010101010101");
    assert_eq!((&online["name"], &online["platform"]), (&json!("device 1"), &json!("web")));
    assert_eq!(online["online"], true);
    drop(alice);
    eventually(async || device().await["online"] == false).await;
    assert!(device().await["last_seen"].as_u64() >= online["last_seen"].as_u64());
}

#[tokio::test]
async fn bad_input_is_refused_with_the_field() {
    let server = TestServer::start().await;
    let long = "x".repeat(129);
    for (path, body, wrong) in [
        ("/api/devices", json!({}), "user_id"),
        ("/api/devices", json!({"user_id": 1.5, "devices": ["d"]}), "user_id"),
        ("/api/devices", json!({"user_id": "", "devices": ["d"]}), "user_id"),
        ("/api/devices", json!({"user_id": null, "devices": ["d"]}), "user_id"),
        ("/api/devices", json!({"user_id": {"$gt": 0}, "devices": ["d"]}), "user_id"),
        ("/api/devices", json!({"user_id": 1}), "devices"),
        ("/api/devices", json!({"user_id": 1, "devices": []}), "devices"),
        ("/api/devices", json!({"user_id": 1, "devices": "d"}), "devices"),
        ("/api/devices", json!({"user_id": 1, "devices": [1]}), "devices"),
        ("/api/devices", json!({"user_id": 1, "devices": [long]}), "devices"),
        ("/api/devices", json!({"user_id": 1, "devices": ["d"], "platfrom": "web"}), "platfrom"),
        ("/api/devices", json!([1]), "body"),
        ("/api/tokens", json!({"account": "alice", "device_id": "d"}), "device_id"),
        ("/api/tokens", json!({"account": "alice", "device_id": 7}), "device_id"),
        ("/api/tokens", json!({}), "account"),
        ("/api/tokens", json!({"account": 7}), "account"),
        ("/api/tokens", json!({"account": "a\nb"}), "account"),
        ("/api/tokens", json!({"account": "alice", "ttl_seconds": 0}), "ttl_seconds"),
        ("/api/tokens", json!({"account": "alice", "ttl_seconds": -1}), "ttl_seconds"),
        ("/api/messages", json!({"to": "direct:b", "content": 1}), "from"),
        ("/api/messages", json!({"from": "a", "content": 1}), "to"),
        ("/api/messages", json!({"from": "a", "to": "b", "content": 1}), "to"),
        ("/api/messages", json!({"from": "a", "to": "direct:b"}), "content"),
        ("/api/messages", json!({"from": "a", "to": "direct:b", "content": "x".repeat(33_000)}), "content"),
        ("/api/messages", json!({"from": "a", "to": "direct:b", "content": 1, "type": ""}), "type"),
        ("/api/messages", json!({"from": "a", "to": "direct:b", "content": 1, "id": "1"}), "id"),
        ("/api/messages/1/recall", json!({"from": "a"}), "id"),
        ("/api/notifications", json!({"title": "t", "body": "b"}), "accounts"),
        ("/api/notifications", json!({"accounts": [], "title": "t", "body": "b"}), "accounts"),
        ("/api/notifications", json!({"accounts": ["a", ""], "title": "t", "body": "b"}), "accounts"),
        ("/api/notifications", json!({"accounts": ["a"], "title": "", "body": "b"}), "title"),
        ("/api/notifications", json!({"accounts": ["a"], "title": "t"}), "body"),
        ("/api/notifications", json!({"accounts": ["a"], "title": "t", "body": "x".repeat(4_096)}), "body"),
        ("/api/notifications", json!({"accounts": ["a"], "title": "t", "body": "", "id": "1"}), "id"),
        (
            "/api/notifications",
            json!({"accounts": ["a"], "title": "t", "body": "", "conversation": "b"}),
            "conversation",
        ),
        ("/api/notifications", json!({"accounts": ["a"], "title": "t", "body": "", "message": 1}), "message"),
        (RECALL, json!({}), "from"),
        (RECALL, json!({"from": "a", "message": 1}), "message"),
        (
            "/api/messages",
            json!({"from": "a", "to": "direct:b", "content": 1, "isIncludeSender": 1}),
            "isIncludeSender",
        ),
    ] {
        let answer = server.call(Method::POST, path, body.clone()).await;
        assert_eq!(field(answer), wrong, "{path} {body}");
    }
    for (path, body, wrong) in [
        ("/api/groups/team", json!({}), "members"),
        ("/api/groups/team", json!({"members": []}), "members"),
        (
            "/api/groups/team",
            json!({"members": (0..501).map(|i| i.to_string()).collect::<Vec<_>>()}),
            "members",
        ),
        ("/api/groups/%00", json!({"members": ["a"]}), "id"),
        ("/api/groups/%ff", json!({"members": ["a"]}), "id"),
        ("/api/settings", json!({"sync_enabled": "no"}), "sync_enabled"),
        ("/api/settings", json!({"limits": {"web": 11}}), "limits.web"),
        ("/api/settings", json!({"recall_window_seconds": 315_360_001}), "recall_window_seconds"),
        ("/api/settings", json!({"recall_window_seconds": "120"}), "recall_window_seconds"),
    ] {
        let answer = server.call(Method::PUT, path, body.clone()).await;
        assert_eq!(field(answer), wrong, "{path} {body}");
    }
    let long = json!("x".repeat(129));
    for (path, body, wrong) in [
        ("/api/devices/d?user_id=alice", json!({}), "name"),
        ("/api/devices/d?user_id=alice", json!({"name": ""}), "name"),
        ("/api/devices/d?user_id=alice", json!({ "name": long }), "name"),
        ("/api/devices/d?user_id=alice", json!({"name": 7}), "name"),
        ("/api/devices/d?user_id=alice", json!({"name": "n", "push": true}), "push"),
        ("/api/devices/d", json!({"name": "n"}), "user_id"),
        ("/api/devices/%0a?user_id=alice", json!({"name": "n"}), "id"),
    ] {
        let answer = server.call(Method::PATCH, path, body.clone()).await;
        assert_eq!(field(answer), wrong, "{path} {body}");
    }
    for (path, wrong) in [("/api/devices/d", "user_id"), ("/api/devices/%ff?user_id=alice", "id")] {
        assert_eq!(field(server.call(Method::DELETE, path, json!(null)).await), wrong, "{path}");
    }
    for path in ["/api/devices", "/api/devices?user_id=", "/api/connections"] {
        assert_eq!(field(server.call(Method::GET, path, json!(null)).await), "user_id");
    }
    let broken = server.call_as(SERVER_KEY, Method::POST, "/api/devices", "{\"user_id\":".to_owned());
    assert_eq!(field(broken.await), "body");
}

#[tokio::test]
async fn every_refusal_has_the_one_shape() {
    let server = TestServer::start().await;
    let too_large = format!("{{\"from\":\"{}\"}}", "x".repeat(1024 * 1024));
    let answer = server.call_as(SERVER_KEY, Method::POST, "/api/messages", too_large).await;
    assert_eq!(code(answer), (413, "too-large".to_owned()));
    let answer = server.call(Method::POST, "/api/settings", json!({})).await;
    assert_eq!(code(answer), (405, "invalid".to_owned()));
    for path in ["/api/nothing", "/api", "/nothing", "/api/groups/none"] {
        let answer = server.call(Method::GET, path, json!(null)).await;
        assert_eq!(code(answer), (404, "not-found".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_message_sent_for_an_account_reaches_its_own_devices_only_when_asked() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let mut bob = server.client("bob", 2).await;
    alice.pull(0).await;
    bob.pull(0).await;
    let post = async |body| server.call(Method::POST, "/api/messages", body).await;
    let (status, first) =
        post(json!({"from": "alice", "to": "direct:bob", "content": {"text": "one"}})).await;
    assert_eq!(status, StatusCode::OK);
    let body = json!({"from": "alice", "to": "direct:bob", "type": "note", "content": "two", "isIncludeSender": true});
    post(body).await;
    let got = messages(bob.delta().await);
    assert_eq!((got[0].sender.as_str(), got[0].r#type.as_str()), ("alice", "text"));
    assert_eq!((got[0].content.as_ref(), got[0].device.len()), (&b"{\"text\":\"one\"}"[..], 0));
    assert_eq!(json!(got[0].sent_at), first["sent_at"]);
    let own = messages(alice.delta().await);
    assert_eq!((own[0].r#type.as_str(), own[0].position, own[0].inbound), ("note", 1, 0));
}

#[tokio::test]
async fn the_same_id_gets_the_same_answer_and_another_body_a_conflict() {
    let server = TestServer::start().await;
    let body = |content| {
        let id = "018bcfe5-6801-7000-8000-000000000001";
        json!({"from": "alice", "to": "direct:bob", "content": content, "id": id})
    };
    let first = server.call(Method::POST, "/api/messages", body("hi")).await;
    assert_eq!(first.0, StatusCode::OK);
    assert_eq!(first.1["id"], body("hi")["id"]);
    assert_eq!(server.call(Method::POST, "/api/messages", body("hi")).await, first);
    let other = server.call(Method::POST, "/api/messages", body("ho")).await;
    assert_eq!(code(other), (409, "conflict".to_owned()));
    assert_eq!(server.client("bob", 1).await.welcome.head, 1);
}

#[tokio::test]
async fn too_many_messages_of_an_account_are_told_when_to_come_again() {
    let server = TestServer::start_with(&["--rate-burst", "1", "--rate-per-second", "1"]).await;
    let url = format!("http://{}/api/messages", server.addr);
    let body = json!({"from": "alice", "to": "direct:bob", "content": 1}).to_string();
    let post = || reqwest::Client::new().post(&url).bearer_auth(SERVER_KEY).body(body.clone()).send();
    let mut response = post().await.unwrap();
    while response.status().is_success() {
        response = post().await.unwrap();
    }
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["error"]["code"], "rate-limited");
}

#[tokio::test]
async fn messages_to_a_group_come_from_its_members() {
    let server = TestServer::start().await;
    let members = json!({"members": ["bob", "alice", "bob"]});
    let (status, group) = server.call(Method::PUT, "/api/groups/the%20team", members).await;
    assert_eq!((status, &group), (StatusCode::OK, &json!({"id": "the team", "members": ["alice", "bob"]})));
    assert_eq!(server.call(Method::GET, "/api/groups/the%20team", json!(null)).await.1, group);
    let post = async |from| {
        let body = json!({"from": from, "to": "group:the team", "content": "hi"});
        server.call(Method::POST, "/api/messages", body).await
    };
    assert_eq!(post("alice").await.0, StatusCode::OK);
    assert_eq!(code(post("mallory").await), (404, "not-found".to_owned()));
    let delete = async || server.call(Method::DELETE, "/api/groups/the%20team", json!(null)).await;
    assert_eq!(delete().await.0, StatusCode::NO_CONTENT);
    assert_eq!(code(delete().await), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn a_message_is_recalled_in_the_name_of_who_sent_it() {
    let server = TestServer::start().await;
    let body = json!({"from": "alice", "to": "direct:bob", "content": "secret", "id": MESSAGE});
    assert_eq!(server.call(Method::POST, "/api/messages", body).await.0, StatusCode::OK);
    let recall = async |from| server.call(Method::POST, RECALL, json!({ "from": from })).await;
    for other in ["bob", "mallory"] {
        assert_eq!(code(recall(other).await), (404, "not-found".to_owned()), "{other}");
    }
    let mut bob = server.client("bob", 1).await;
    assert_eq!(bob.pull(0).await.head, 1);
    for _ in 0..2 {
        assert_eq!(recall("alice").await, (StatusCode::OK, json!({"id": MESSAGE})));
    }
    let page = bob.delta().await;
    assert_eq!((page.next, page.head), (2, 2), "once, however often it is asked for");
    let Some(event::Body::Changed(changed)) = &page.events[0].body else { panic!("{page:?}") };
    assert!(changed.recalled && changed.content.is_empty());
    let elsewhere = "/api/messages/018bcfe5-6801-7000-8000-000000000002/recall";
    let answer = server.call(Method::POST, elsewhere, json!({"from": "alice"})).await;
    assert_eq!(code(answer), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn the_recall_window_acts_at_once() {
    let server = TestServer::start().await;
    let body = json!({"from": "alice", "to": "direct:bob", "content": "secret", "id": MESSAGE});
    server.call(Method::POST, "/api/messages", body).await;
    let window = async |seconds: u64| {
        let body = json!({ "recall_window_seconds": seconds });
        let (_, settings) = server.call(Method::PUT, "/api/settings", body).await;
        assert_eq!(settings["recall_window_seconds"], seconds);
    };
    window(1).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let recall = async || server.call(Method::POST, RECALL, json!({"from": "alice"})).await;
    assert_eq!(code(recall().await), (403, "forbidden".to_owned()));
    window(3_600).await;
    assert_eq!(recall().await.0, StatusCode::OK);
    let (_, settings) = server.call(Method::GET, "/api/settings", json!(null)).await;
    assert_eq!(settings["recall_window_seconds"], 3_600);
}

#[tokio::test]
async fn a_change_of_settings_holds_even_if_who_asked_for_it_hangs_up() {
    let server = TestServer::start_with(&["--rate-burst", "200"]).await;
    let members: Vec<_> = (0..50).map(|number| number.to_string()).collect();
    server.call(Method::PUT, "/api/groups/team", json!({"members": members})).await;
    let mut member = server.client("0", 1).await;
    let operations = (0..200).map(|number| message(id(1, number), "group:team", &json!(number))).collect();
    // Whatever is to be written meanwhile waits for this.
    let submit = client_frame::Frame::Submit(wire::Submit { operations });
    send(&mut member.socket, submit).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let body = r#"{"limits":{"web":3}}"#;
    let request = format!(
        "PUT /api/settings HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SERVER_KEY}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    for _ in 0..3 {
        server.call(Method::GET, "/healthz", json!(null)).await;
    }
    drop(stream);
    eventually(async || {
        let (_, settings) = server.call(Method::GET, "/api/settings", json!(null)).await;
        settings["limits"]["web"] == 3
    })
    .await;
}

#[tokio::test]
async fn the_server_is_alive_and_ready() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = server.call_as("", Method::GET, path, String::new()).await;
        assert_eq!(answer, (StatusCode::OK, json!({"status": "ok"})));
    }
}

#[tokio::test]
async fn in_development_tokens_are_given_on_this_machine_but_to_no_foreign_page() {
    let server = TestServer::start().await;
    let request = |name: &'static str, value: &'static str| {
        let url = format!("http://{}/api/tokens", server.addr);
        reqwest::Client::new().post(url).header(name, value).body("{\"account\":\"alice\"}").send()
    };
    assert_eq!(request("origin", "http://localhost:5173").await.unwrap().status(), StatusCode::OK);
    for (name, value) in [("origin", "https://evil.example"), ("host", "rebound.example")] {
        let status = request(name, value).await.unwrap().status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}: {value}");
    }
}

#[tokio::test]
async fn the_page_is_served_beside_the_api() {
    let www = tempfile::tempdir().unwrap();
    fs::write(www.path().join("index.html"), "<!doctype html>").unwrap();
    fs::write(www.path().join("tutti.wasm"), "\0asm").unwrap();
    let server = TestServer::start_with(&["--www", www.path().to_str().unwrap()]).await;
    let get = async |path: &str| reqwest::get(format!("http://{}{path}", server.addr)).await.unwrap();
    assert_eq!(get("/tutti.wasm").await.headers()["content-type"], "application/wasm");
    for path in ["/", "/chat/bob?x=1"] {
        let page = get(path).await;
        assert_eq!(page.headers()["content-type"], "text/html");
        assert_eq!(page.text().await.unwrap(), "<!doctype html>");
    }
    assert_eq!(get("/api/nothing").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_request_that_does_not_end_does_not_keep_the_server_from_stopping() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"POST /api/tokens HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
    stream.write_all(b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n").await.unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");
    server.stop().await;
}

#[test]
fn a_public_address_without_keys_is_refused_with_the_way_to_make_them() {
    let data = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tutti-server"))
        .args(["--listen", "0.0.0.0:0", "--data"])
        .arg(data.path())
        .env_remove("TUTTI_SERVER_KEY")
        .env_remove("TUTTI_TOKEN_SECRET")
        .env_remove("TUTTI_MASTER_KEY")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("openssl rand -hex 32"), "{message}");
}
