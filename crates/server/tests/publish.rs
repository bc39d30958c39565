//! What a back end meets that was written against another service.

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::{Client, SERVER_KEY, TestServer, publish, signature, token};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tutti_protocol::wire::{self, event, server_frame::Frame, status::Status as Kind};

const TO_USERS: &str = "/message/private/publish.json";
const TO_GROUPS: &str = "/message/group/publish.json";
const STATUS_TO_USERS: &str = "/statusmessage/private/publish.json";
const STATUS_TO_GROUPS: &str = "/statusmessage/group/publish.json";

const HELLO: [(&str, &str); 2] =
    [("objectName", "RC:TxtMsg"), ("content", r#"{"content":"hello","extra":1}"#)];

/// A form of these fields.
fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// From whom and to whom, and the rest that is needed.
fn hello(fields: &[(&str, &str)]) -> String {
    form(&[fields, &HELLO].concat())
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Posts with headers that are signed for this once.
async fn post(server: &TestServer, path: &str, form: String) -> (StatusCode, Value) {
    publish(server, path, &signature(SERVER_KEY), form).await
}

fn ok() -> (StatusCode, Value) {
    (StatusCode::OK, json!({"code": 200}))
}

/// What a refusal says, which has the one shape.
fn refusal((status, answer): (StatusCode, Value)) -> (u16, String) {
    assert_eq!(answer["code"], status.as_u16(), "{answer}");
    assert_eq!(answer.as_object().unwrap().len(), 2, "{answer}");
    (status.as_u16(), answer["errorMessage"].as_str().unwrap().to_owned())
}

async fn next_message(client: &mut Client) -> wire::Message {
    match client.delta().await.events.remove(0).body {
        Some(event::Body::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

async fn group(server: &TestServer, members: Value) {
    let body = json!({ "members": members });
    assert_eq!(server.call(Method::PUT, "/api/groups/team", body).await.0, StatusCode::OK);
}

/// One who hears statuses, and has said so.
async fn listener(server: &TestServer, account: &str, device: u8) -> Client {
    let token = token(server.addr, account).await;
    let hello = wire::Hello { status: true, ..common::hello(&token, account, device) };
    let mut client = Client::greet(server.addr, hello).await.expect("a welcome");
    client.pull(0).await;
    client
}

async fn custom(client: &mut Client) -> wire::Custom {
    loop {
        if let Frame::Status(wire::Status { status: Some(Kind::Custom(custom)) }) = client.next().await {
            return custom;
        }
    }
}

#[tokio::test]
async fn a_message_reaches_each_who_is_named_and_the_sender_only_when_asked() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let mut bob = server.client("bob", 2).await;
    let mut carol = server.client("carol", 3).await;
    for client in [&mut alice, &mut bob, &mut carol] {
        client.pull(0).await;
    }
    let to = [("fromUserId", "alice"), ("toUserId", "bob"), ("toUserId", "carol")];
    let more = [("isIncludeSender", "0"), ("pushContent", "passed over")];
    assert_eq!(post(&server, TO_USERS, hello(&[&to[..], &more].concat())).await, ok());
    for (client, conversation) in [(&mut bob, "direct:alice"), (&mut carol, "direct:alice")] {
        let message = next_message(client).await;
        assert_eq!((&*message.sender, &*message.conversation), ("alice", conversation));
        assert_eq!((&*message.r#type, &*message.content), ("RC:TxtMsg", HELLO[1].1.as_bytes()));
    }
    let to = [("fromUserId", "alice"), ("toUserId", "bob"), ("isIncludeSender", "1")];
    let words = [("objectName", "words"), ("content", "no JSON \"at all\"")];
    assert_eq!(post(&server, TO_USERS, form(&[&to[..], &words].concat())).await, ok());
    let own = next_message(&mut alice).await;
    assert_eq!((&*own.conversation, own.position), ("direct:bob", 1), "the first she has not got");
    assert_eq!(serde_json::from_slice::<Value>(&own.content).unwrap(), "no JSON \"at all\"");
}

#[tokio::test]
async fn a_message_to_a_group_comes_from_a_member() {
    let server = TestServer::start().await;
    group(&server, json!(["alice", "bob"])).await;
    let mut bob = server.client("bob", 2).await;
    bob.pull(0).await;
    let from = |account| hello(&[("fromUserId", account), ("toGroupId", "team")]);
    assert_eq!(post(&server, TO_GROUPS, from("alice")).await, ok());
    assert_eq!(next_message(&mut bob).await.conversation, "group:team");
    assert_eq!(refusal(post(&server, TO_GROUPS, from("mallory")).await).0, 404);
}

#[tokio::test]
async fn the_same_headers_again_send_nothing_twice() {
    let server = TestServer::start().await;
    let signed = signature(SERVER_KEY);
    let to_bob = hello(&[("fromUserId", "alice"), ("toUserId", "bob")]);
    for _ in 0..2 {
        assert_eq!(publish(&server, TO_USERS, &signed, to_bob.clone()).await, ok());
    }
    let other = form(&[("fromUserId", "alice"), ("toUserId", "bob"), ("objectName", "t"), ("content", "2")]);
    assert_eq!(refusal(publish(&server, TO_USERS, &signed, other).await).0, 409, "other words");
    assert_eq!(server.client("bob", 1).await.welcome.head, 1);
}

#[tokio::test]
async fn a_status_reaches_who_is_there_and_is_kept_nowhere() {
    let server = TestServer::start().await;
    group(&server, json!(["alice", "bob"])).await;
    let mut bob = listener(&server, "bob", 2).await;
    let mut alice = listener(&server, "alice", 1).await;
    let to_bob = hello(&[("fromUserId", "alice"), ("toUserId", "bob")]);
    assert_eq!(post(&server, STATUS_TO_USERS, to_bob).await, ok());
    let heard = custom(&mut bob).await;
    assert_eq!(
        (&*heard.conversation, &*heard.account, &*heard.r#type),
        ("direct:alice", "alice", "RC:TxtMsg")
    );
    let to_team = hello(&[("fromUserId", "alice"), ("toGroupId", "team"), ("isIncludeSender", "1")]);
    assert_eq!(post(&server, STATUS_TO_GROUPS, to_team).await, ok());
    for client in [&mut alice, &mut bob] {
        assert_eq!(custom(client).await.conversation, "group:team", "the first that Alice hears");
    }
    for (account, before) in [("alice", alice.welcome.head), ("bob", bob.welcome.head)] {
        assert_eq!(server.client(account, 9).await.welcome.head, before, "{account}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_refused_by_name_and_does_nothing() {
    let server = TestServer::start().await;
    let many: Vec<String> = (0..1_001).map(|number| number.to_string()).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| ("toUserId", name.as_str())).collect();
    let from = ("fromUserId", "alice");
    let to = ("toUserId", "bob");
    let long = "x".repeat(129);
    let huge = "x".repeat(33_000);
    for (fields, wrong) in [
        (vec![to, HELLO[0], HELLO[1]], "fromUserId"),
        (vec![("fromUserId", &*long), to, HELLO[0], HELLO[1]], "fromUserId"),
        (vec![from, HELLO[0], HELLO[1]], "toUserId"),
        (vec![from, to, ("toUserId", ""), HELLO[0], HELLO[1]], "toUserId"),
        ([&[from, HELLO[0], HELLO[1]], &many[..]].concat(), "toUserId"),
        (vec![from, ("toGroupId", "team"), HELLO[0], HELLO[1]], "toUserId"),
        (vec![from, to, HELLO[1]], "objectName"),
        (vec![from, to, ("objectName", &*long), HELLO[1]], "objectName"),
        (vec![from, to, HELLO[0]], "content"),
        (vec![from, to, HELLO[0], ("content", &*huge)], "content"),
        (vec![from, to, HELLO[0], HELLO[1], ("isIncludeSender", "true")], "isIncludeSender"),
    ] {
        for path in [TO_USERS, STATUS_TO_USERS] {
            let (status, message) = refusal(post(&server, path, form(&fields)).await);
            assert_eq!(status, 422, "{message}");
            assert!(message.starts_with(&format!("{wrong}: ")), "{message}");
        }
    }
    let groups = ["a", "b", "c", "d"].map(|group| ("toGroupId", group));
    let (status, message) = refusal(post(&server, TO_GROUPS, hello(&[&[from], &groups[..]].concat())).await);
    assert!(status == 422 && message.starts_with("toGroupId: "), "{message}");
    let too_large = "x".repeat(1024 * 1024 + 1);
    assert_eq!(refusal(post(&server, TO_USERS, too_large).await).0, 413);
    assert_eq!(server.client("bob", 1).await.welcome.head, 0);
}

#[tokio::test]
async fn who_was_erased_is_sent_nothing_while_the_others_are() {
    let server = TestServer::start().await;
    let to = |name| hello(&[("fromUserId", "alice"), ("toUserId", name), ("toUserId", "carol")]);
    assert_eq!(post(&server, TO_USERS, to("bob")).await, ok());
    assert_eq!(server.call(Method::DELETE, "/api/accounts/bob", json!(null)).await.0, StatusCode::NO_CONTENT);
    let (status, message) = refusal(post(&server, TO_USERS, to("bob")).await);
    assert!(status == 409 && message.starts_with("toUserId: bob"), "{message}");
    assert_eq!(server.client("carol", 1).await.welcome.head, 2);
    assert_eq!(
        server.call(Method::DELETE, "/api/accounts/alice", json!(null)).await.0,
        StatusCode::NO_CONTENT
    );
    for path in [TO_USERS, STATUS_TO_USERS] {
        let (status, message) = refusal(post(&server, path, to("carol")).await);
        assert!(status == 409 && message.starts_with("fromUserId: alice"), "{message}");
    }
}

#[tokio::test]
async fn only_who_has_the_secret_of_the_application_is_believed() {
    let secret = "the secret of the application";
    let server = TestServer::start_with(&["--app-key", "chat", "--app-secret", secret]).await;
    let form = || hello(&[("fromUserId", "alice"), ("toUserId", "bob")]);
    let with = |changes: &[(&'static str, String)]| {
        let mut headers = common::signature_for("chat", secret, seconds() * 1_000);
        for (name, value) in changes {
            headers
                .iter_mut()
                .filter(|(header, _)| header == name)
                .for_each(|(_, old)| old.clone_from(value));
        }
        headers
    };
    for headers in [
        with(&[("App-Key", "another".to_owned())]),
        with(&[("Nonce", "another".to_owned())]),
        with(&[("Signature", String::new())]),
        common::signature_for("chat", SERVER_KEY, seconds() * 1_000),
        common::signature_for("chat", secret, (seconds() - 400) * 1_000),
        common::signature_for("chat", secret, (seconds() + 400) * 1_000),
        Vec::new(),
    ] {
        assert_eq!(refusal(publish(&server, TO_USERS, &headers, form()).await).0, 401, "{headers:?}");
    }
    let bearer = server.call_as(SERVER_KEY, Method::POST, TO_USERS, form()).await;
    assert_eq!(refusal(bearer).0, 401, "the key itself is no signature");
    assert_eq!(server.client("bob", 1).await.welcome.head, 0);
    assert_eq!(publish(&server, TO_USERS, &with(&[]), form()).await, ok());
    assert_eq!(server.client("bob", 2).await.welcome.head, 1);
}

#[tokio::test]
async fn too_many_posts_of_an_account_are_told_when_to_come_again() {
    let server = TestServer::start_with(&["--rate-burst", "1", "--rate-per-second", "1"]).await;
    let form = || hello(&[("fromUserId", "alice"), ("toUserId", "bob")]);
    let mut answer = post(&server, TO_USERS, form()).await;
    while answer == ok() {
        answer = post(&server, TO_USERS, form()).await;
    }
    assert_eq!(refusal(answer).0, 429);
}
