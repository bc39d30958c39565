//! How long a token serves a connection, and for which device.

mod common;

use common::{Client, TestServer, ends_with_error, hello, receive, send, token, token_for, until};
use reqwest::Method;
use serde_json::{Value, json};
use tutti_protocol::{
    DeviceId,
    wire::{self, client_frame, manage::What, server_frame::Frame},
};

/// How long a connection outlives its token, in milliseconds.
const LEEWAY: u64 = 3_000;

fn id(device: u8) -> String {
    DeviceId::from([device; 16]).to_string()
}

/// A token of Alice's for so many seconds, and when it expires.
async fn lasting(server: &TestServer, seconds: u64) -> (String, u64) {
    token_for(server.addr, json!({"account": "alice", "ttl_seconds": seconds})).await
}

fn refresh(token: &str) -> client_frame::Frame {
    client_frame::Frame::Refresh(wire::Refresh { token: token.to_owned() })
}

async fn refused(server: &TestServer, hello: wire::Hello) -> String {
    match Client::greet(server.addr, hello).await {
        Err(Frame::Error(error)) => error.code,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a welcome"),
    }
}

#[tokio::test]
async fn a_connection_ends_when_its_token_expires() {
    let server = TestServer::start().await;
    let (short, expires_at) = lasting(&server, 2).await;
    let mut alice = Client::greet(server.addr, hello(&short, "alice", 1)).await.unwrap();
    assert!((1..=3_000).contains(&alice.welcome.token_ttl), "{}", alice.welcome.token_ttl);
    let mut other = server.client("alice", 2).await;
    assert!((890_000..=901_000).contains(&other.welcome.token_ttl), "{}", other.welcome.token_ttl);
    assert_eq!(ends_with_error(&mut alice.socket).await, "auth");
    until(expires_at).await;
    assert_eq!(refused(&server, hello(&short, "alice", 1)).await, "auth");
    assert_eq!(other.pull(0).await.head, 0);
}

#[tokio::test]
async fn a_token_that_is_refreshed_in_time_keeps_the_connection() {
    let server = TestServer::start().await;
    let (first, mut expires_at) = lasting(&server, 2).await;
    let mut alice = Client::greet(server.addr, hello(&first, "alice", 1)).await.unwrap();
    for _ in 0..3 {
        let (next, later) = lasting(&server, 4).await;
        send(&mut alice.socket, refresh(&next)).await;
        match alice.next().await {
            Frame::Refreshed(refreshed) => assert!((1..=5_000).contains(&refreshed.token_ttl)),
            other => panic!("{other:?}"),
        }
        // The one before has expired then.
        until(expires_at + 1).await;
        assert_eq!(alice.pull(0).await.head, 0);
        expires_at = later;
    }
    assert_eq!(ends_with_error(&mut alice.socket).await, "auth", "the last one has an end, too");
}

#[tokio::test]
async fn a_refresh_may_come_a_little_late_and_a_hello_may_not() {
    let server = TestServer::start().await;
    let [(first, _), (next, expires_at)] = [lasting(&server, 1).await, lasting(&server, 1).await];
    let mut alice = Client::greet(server.addr, hello(&first, "alice", 1)).await.unwrap();
    until(expires_at).await;
    assert_eq!(refused(&server, hello(&first, "alice", 2)).await, "auth");
    send(&mut alice.socket, refresh(&next)).await;
    assert!(matches!(alice.next().await, Frame::Refreshed(refreshed) if refreshed.token_ttl == 1));
    assert_eq!(ends_with_error(&mut alice.socket).await, "auth", "nor does it last longer for that");
}

#[tokio::test]
async fn a_refresh_with_what_is_no_good_ends_the_connection() {
    let server = TestServer::start().await;
    let (expired, expires_at) = lasting(&server, 1).await;
    let bound = token_for(server.addr, json!({"account": "alice", "device_id": id(2)})).await.0;
    let revoked = token(server.addr, "alice").await;
    drop(Client::greet(server.addr, hello(&revoked, "alice", 9)).await.unwrap());
    let path = format!("/api/devices/{}?user_id=alice", id(9));
    assert!(server.call(Method::DELETE, &path, json!(null)).await.0.is_success());
    until(expires_at + LEEWAY).await;
    let bobs = token(server.addr, "bob").await;
    for (token, code) in [
        ("", "auth"),
        ("nonsense", "auth"),
        (&expired, "auth"),
        (&bobs, "auth"),
        (&bound, "auth"),
        (&revoked, "revoked"),
    ] {
        let mut alice = server.client("alice", 1).await;
        send(&mut alice.socket, refresh(token)).await;
        assert_eq!(ends_with_error(&mut alice.socket).await, code, "{token}");
    }
    let mut second = server.client("alice", 2).await;
    send(&mut second.socket, refresh(&bound)).await;
    assert!(matches!(second.next().await, Frame::Refreshed(_)));
}

#[tokio::test]
async fn a_token_that_a_connection_was_refreshed_with_goes_with_the_device() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let next = token(server.addr, "alice").await;
    send(&mut alice.socket, refresh(&next)).await;
    assert!(matches!(alice.next().await, Frame::Refreshed(_)));
    let remove = What::Remove(wire::RemoveDevice { device: id(1) });
    let manage = client_frame::Frame::Manage(wire::Manage { number: 1, what: Some(remove) });
    send(&mut alice.socket, manage).await;
    assert!(matches!(alice.next().await, Frame::Managed(_)));
    assert!(matches!(alice.next().await, Frame::Revoked(_)));
    assert_eq!(receive(&mut alice.socket).await, None);
    assert_eq!(refused(&server, hello(&next, "alice", 2)).await, "revoked");
}

#[tokio::test]
async fn a_token_for_one_device_works_for_no_other() {
    let server = TestServer::start().await;
    let body = json!({"account": "alice", "device_id": id(1).to_uppercase()});
    let (bound, _) = token_for(server.addr, body).await;
    let body = json!({"account": "alice", "device_id": id(1), "ttl_seconds": 1});
    let (expired, expires_at) = token_for(server.addr, body).await;
    assert!(Client::greet(server.addr, hello(&bound, "alice", 1)).await.is_ok());
    assert_eq!(refused(&server, hello(&bound, "alice", 2)).await, "auth");
    until(expires_at).await;
    assert_eq!(refused(&server, hello(&expired, "alice", 2)).await, "auth");
    let (_, answer) = server.call(Method::GET, "/api/devices?user_id=alice", json!(null)).await;
    assert_eq!(answer["devices"].as_array().unwrap().len(), 1, "nothing was noted of the other");

    // Over HTTP it ends with its device, which need not have come with it.
    let unused = token_for(server.addr, json!({"account": "alice", "device_id": id(1)})).await.0;
    let path = format!("/api/devices/{}?user_id=alice", id(1));
    let get = async |token: &str| {
        let list = "/api/devices?user_id=alice";
        server.call_as(token, Method::GET, list, String::new()).await.0.as_u16()
    };
    assert_eq!(get(&unused).await, 200);
    server.call(Method::DELETE, &path, Value::Null).await;
    assert_eq!(get(&unused).await, 401);
    match Client::greet(server.addr, hello(&expired, "alice", 1)).await {
        Err(Frame::Revoked(revoked)) => assert_eq!(revoked.by, ""),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a welcome"),
    }
}
