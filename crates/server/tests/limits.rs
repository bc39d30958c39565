//! What the operator may set of what an account and a connection may do.

mod common;

use clap::Parser as _;
use common::{Client, TestServer, ends_with_error, eventually, id, message, open, send};
use serde_json::json;
use tutti_protocol::{
    limits,
    wire::{self, client_frame, server_frame::Frame},
};
use tutti_server::Config;

/// Pages that are asked for at once: more than the system's own buffers hold between the two ends.
const PAGES: usize = 64;

#[tokio::test]
async fn a_connection_may_send_so_many_frames_a_minute_pings_apart() {
    let server = TestServer::start_with(&["--frames-per-minute", "10"]).await;
    let mut alice = server.client("alice", 1).await;
    for nonce in 0..100 {
        send(&mut alice.socket, client_frame::Frame::Ping(wire::Ping { nonce })).await;
        assert_eq!(alice.next().await, Frame::Pong(wire::Pong { nonce }));
    }
    for _ in 0..10 {
        alice.pull(0).await;
    }
    for _ in 0..10 {
        send(&mut alice.socket, client_frame::Frame::Pull(wire::Pull { after: 0 })).await;
    }
    let error = loop {
        match alice.next().await {
            Frame::Delta(_) => {}
            Frame::Error(error) => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.code, "rate-limited");
    assert!((1..=6_000).contains(&error.retry_after), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_never_says_hello_is_closed() {
    let server = TestServer::start_with(&["--hello-deadline", "1"]).await;
    let mut silent = open(server.addr, Some("tutti.v1"), None).await.unwrap();
    assert_eq!(ends_with_error(&mut silent).await, "timeout");
}

#[tokio::test]
async fn more_may_wait_for_who_reads_slowly() {
    let server = TestServer::start_with(&["--write-queue", "65536", "--write-deadline", "600"]).await;
    let mut slow = pages_are_asked_for(&server).await;
    for _ in 0..PAGES {
        assert!(matches!(slow.next().await, Frame::Delta(_)));
    }
}

#[tokio::test]
async fn whoever_lets_too_much_wait_is_let_go() {
    let server = TestServer::start_with(&["--write-queue", "1024", "--write-deadline", "600"]).await;
    let _unread = pages_are_asked_for(&server).await;
    eventually(async || !server.is_online("alice").await).await;
}

#[tokio::test]
async fn whoever_takes_nothing_for_too_long_is_let_go() {
    let server = TestServer::start_with(&["--write-queue", "65536", "--write-deadline", "1"]).await;
    let _unread = pages_are_asked_for(&server).await;
    eventually(async || !server.is_online("alice").await).await;
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    for (flag, value) in [
        ("--rate-burst", "0"),
        ("--rate-per-second", "0"),
        ("--frames-per-minute", "9"),
        ("--hello-deadline", "0"),
        ("--ping-interval", "601"),
        ("--pong-deadline", "soon"),
        ("--write-deadline", ""),
        ("--write-queue", "1023"),
    ] {
        let error = Config::try_parse_from(["tutti-server", flag, value]).unwrap_err().to_string();
        assert!(error.contains(flag), "{error}");
    }
}

/// A client of an account with a long log that has asked for many pages and reads none.
async fn pages_are_asked_for(server: &TestServer) -> Client {
    let mut alice = server.client("alice", 1).await;
    let large = "x".repeat(limits::CONTENT - 2);
    for number in 0..limits::PAGE_BYTES / limits::CONTENT + 1 {
        let number = u32::try_from(number).unwrap();
        alice.submit(vec![message(id(1, number), "direct:bob", &json!(large))]).await;
    }
    for _ in 0..PAGES {
        send(&mut alice.socket, client_frame::Frame::Pull(wire::Pull { after: 0 })).await;
    }
    alice
}
