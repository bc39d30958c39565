//! The service switch, and who may be online at once: what a change does to those who are connected, and to which
//! of an account's devices messages go.

mod common;

use std::net::SocketAddr;

use bytes::Bytes;
use common::{Client, SERVER_KEY, TestServer, accepted_seq, hello, id, message, receive, send, token};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tutti_protocol::wire::{self, Platform, client_frame, event, operation::Body, server_frame::Frame};

async fn set(server: &TestServer, settings: Value) {
    let (status, answer) = server.call(Method::PUT, "/api/settings", settings).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

async fn enable(server: &TestServer, enabled: bool) {
    set(server, json!({"sync_enabled": enabled})).await;
}

async fn as_platform(addr: SocketAddr, account: &str, device: u8, platform: Platform) -> wire::Hello {
    wire::Hello { platform: platform.into(), ..hello(&token(addr, account).await, account, device) }
}

/// A device that is there and has heard all.
async fn live(server: &TestServer, account: &str, device: u8, platform: Platform) -> Client {
    let hello = as_platform(server.addr, account, device, platform).await;
    let mut client = Client::greet(server.addr, hello).await.expect("a welcome");
    client.pull_all(0).await;
    client
}

/// What a page says: contents of messages, `-` where there is nothing for this device.
fn said(page: &wire::Delta) -> Vec<String> {
    page.events.iter().map(text).collect()
}

fn text(event: &wire::Event) -> String {
    match &event.body {
        Some(event::Body::Message(message)) => String::from_utf8_lossy(&message.content).into_owned(),
        Some(event::Body::Changed(message)) if message.recalled => "recalled".to_owned(),
        Some(other) => format!("{other:?}"),
        None => "-".to_owned(),
    }
}

/// All that a device finds that comes anew, or comes back.
async fn found(client: &mut Client) -> Vec<String> {
    client.pull_all(0).await.iter().map(text).collect()
}

async fn post(server: &TestServer, message: Value) -> Value {
    let (status, answer) = server.call(Method::POST, "/api/messages", message).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

fn devices(limit: &wire::Limit) -> Vec<u8> {
    limit.connections.iter().map(|connection| connection.device[0]).collect()
}

/// The Limit that a connection ends with, and whose the places are.
async fn limited(client: &mut Client) -> (u32, Vec<u8>) {
    match client.next().await {
        Frame::Limit(limit) => {
            assert_eq!(receive(&mut client.socket).await, None, "nothing follows");
            (limit.limit, devices(&limit))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_sync_a_message_goes_to_the_device_where_its_user_did_something_last() {
    let server = TestServer::start().await;
    enable(&server, false).await;
    let mut laptop = live(&server, "bob", 1, Platform::Web).await;
    let mut phone = live(&server, "bob", 2, Platform::Mobile).await;
    let mut alice = live(&server, "alice", 3, Platform::Web).await;
    let mut other = live(&server, "alice", 4, Platform::Mobile).await;

    alice.submit(vec![message(id(3, 1), "direct:bob", &json!("who came last"))]).await;
    assert_eq!(said(&phone.delta().await), ["\"who came last\""]);
    assert_eq!(said(&laptop.delta().await), ["-"]);
    assert_eq!(said(&alice.delta().await), ["\"who came last\""], "where it was sent");
    assert_eq!(said(&other.delta().await), ["-"]);

    laptop.submit(vec![message(id(1, 1), "direct:bob", &json!("a note"))]).await;
    assert_eq!(
        (said(&laptop.delta().await), said(&phone.delta().await)),
        (vec!["\"a note\"".into()], vec!["-".into()])
    );
    alice.submit(vec![message(id(3, 2), "direct:bob", &json!("who wrote last"))]).await;
    assert_eq!(said(&laptop.delta().await), ["\"who wrote last\""]);
    assert_eq!(said(&phone.delta().await), ["-"]);

    // Taken back where it is, and nowhere else.
    let recall = Body::Recall(wire::Recall { message: id(3, 2) });
    alice.submit(vec![wire::Operation { id: id(3, 3), clock: 1, body: Some(recall) }]).await;
    assert_eq!(said(&laptop.delta().await), ["recalled"]);
    assert_eq!(said(&phone.delta().await), ["-"]);

    // Whoever comes back finds what was its own, at the same places.
    for (device, platform, expected) in [
        (1, Platform::Web, ["-", "\"a note\"", "", "recalled"]),
        (2, Platform::Mobile, ["\"who came last\"", "-", "-", "-"]),
    ] {
        let hello = as_platform(server.addr, "bob", device, platform).await;
        let mut again = Client::greet(server.addr, hello).await.unwrap();
        assert_eq!(found(&mut again).await, expected);
    }
}

#[tokio::test]
async fn without_sync_what_comes_while_nobody_is_there_waits_for_the_first() {
    let server = TestServer::start().await;
    enable(&server, false).await;
    let mut alice = live(&server, "alice", 3, Platform::Web).await;
    for number in 1..=3 {
        alice.submit(vec![message(id(3, number), "direct:bob", &json!(number))]).await;
    }
    // It comes by post, pulls a part, and is lost before it knows.
    let bobs = token(server.addr, "bob").await;
    let pull = |device| {
        let frames = [
            client_frame::Frame::Hello(hello(&bobs, "bob", device)),
            client_frame::Frame::Pull(wire::Pull { after: 1 }),
        ];
        exchange(server.addr, frames)
    };
    for _ in 0..2 {
        assert_eq!(said(&pull(1).await), ["2", "3"], "and asks again");
    }
    assert_eq!(said(&pull(2).await), ["-", "-"]);
    // The switch does not give to all what was for one.
    enable(&server, true).await;
    assert_eq!(found(&mut live_anew(&server, 2).await).await, ["1", "-", "-"]);
    assert_eq!(found(&mut live_anew(&server, 1).await).await, ["-", "2", "3"]);
    alice.submit(vec![message(id(3, 4), "direct:bob", &json!(4))]).await;
    for device in [1, 2, 9] {
        assert_eq!(found(&mut live_anew(&server, device).await).await.last().unwrap(), "4", "for all again");
    }
}

async fn live_anew(server: &TestServer, device: u8) -> Client {
    server.client("bob", device).await
}

/// One exchange by post that ends with a page.
async fn exchange(addr: SocketAddr, frames: [client_frame::Frame; 2]) -> wire::Delta {
    use tutti_protocol::{codec, limits, sequence};
    let frames = frames.map(|frame| codec::encode(&wire::ClientFrame { frame: Some(frame) }));
    let request = reqwest::Client::new().post(format!("http://{addr}/sync")).body(sequence::join(&frames));
    let answer = request.send().await.unwrap().bytes().await.unwrap();
    let mut frames = sequence::split(answer, 2, limits::SERVER_FRAME).unwrap();
    match codec::decode_server(frames.pop().unwrap()).unwrap().frame {
        Some(Frame::Delta(delta)) => delta,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn without_sync_a_new_device_gets_nothing_from_before_and_one_that_was_away_its_own() {
    let server = TestServer::start().await;
    let known = live(&server, "bob", 1, Platform::Mobile).await;
    drop(known);
    let mut alice = live(&server, "alice", 3, Platform::Web).await;
    alice.submit(vec![message(id(3, 1), "direct:bob", &json!("for all"))]).await;
    enable(&server, false).await;
    let hello = as_platform(server.addr, "bob", 2, Platform::Web).await;
    let mut new = Client::greet(server.addr, hello).await.unwrap();
    let (begun, history) = look_back(&mut new).await;
    assert_eq!((begun.events, begun.next, begun.cursor, history), (Vec::new(), None, 1, 0));
    let page = new.pull(begun.cursor).await;
    assert_eq!((said(&page), page.sync_disabled), (Vec::new(), true));
    let mut known =
        Client::greet(server.addr, as_platform(server.addr, "bob", 1, Platform::Mobile).await).await.unwrap();
    assert_eq!(found(&mut known).await, ["\"for all\""], "it was addressed to it");
    enable(&server, true).await;
    let (begun, history) = look_back(&mut live(&server, "bob", 2, Platform::Web).await).await;
    assert_eq!((begun.events.len(), history), (1, 1));
}

#[tokio::test]
async fn without_sync_a_new_device_begins_with_what_waits_for_it() {
    let server = TestServer::start().await;
    enable(&server, false).await;
    let mut alice = live(&server, "alice", 3, Platform::Web).await;
    for number in 1..=3 {
        alice.submit(vec![message(id(3, number), "direct:bob", &json!(number))]).await;
    }
    for (device, platform, expected) in
        [(1, Platform::Web, 3), (2, Platform::Mobile, 0), (1, Platform::Web, 3)]
    {
        let hello = as_platform(server.addr, "bob", device, platform).await;
        let mut bob = Client::greet(server.addr, hello).await.unwrap();
        let (mut begun, _) = look_back(&mut bob).await;
        begun.events.retain(|event| matches!(event.body, Some(wire::event::Body::Message(_))));
        assert_eq!(begun.events.len(), expected, "device {device}");
        assert_eq!(said(&bob.pull(begun.cursor).await), Vec::<String>::new(), "all is in it");
    }
}

/// How a new device finds an account, and how many messages of its first conversation when it looks back.
async fn look_back(client: &mut Client) -> (wire::Snapshot, usize) {
    let pull = wire::PullSnapshot { days: 1, place: None };
    send(&mut client.socket, client_frame::Frame::PullSnapshot(pull)).await;
    let Frame::Snapshot(begun) = client.next().await else { panic!("expected a snapshot") };
    let pull = wire::PullHistory { conversation: "direct:alice".to_owned(), from: 1, to: 100 };
    send(&mut client.socket, client_frame::Frame::PullHistory(pull)).await;
    let Frame::History(history) = client.next().await else { panic!("expected history") };
    (begun, history.messages.len())
}

#[tokio::test]
async fn the_back_ends_messages_reach_the_senders_devices_as_the_switch_and_their_presence_say() {
    for (sync, online, include, expected) in [
        (true, true, true, ["\"hi\"", "\"hi\""]),
        (true, false, true, ["\"hi\"", "\"hi\""]),
        (false, true, true, ["\"hi\"", "-"]),
        (false, false, true, ["", ""]),
        (true, true, false, ["", ""]),
        (false, true, false, ["", ""]),
    ] {
        let what = format!("sync {sync}, online {online}, included {include}");
        let server = TestServer::start().await;
        enable(&server, sync).await;
        // Both devices are known: a message is not from before their time.
        drop(live(&server, "alice", 2, Platform::Mobile).await);
        let first = live(&server, "alice", 1, Platform::Web).await;
        let there = async || {
            let (_, answer) = server.call(Method::GET, "/api/connections?user_id=alice", json!(null)).await;
            answer["connections"].as_array().unwrap().len()
        };
        let mut there_now = Some(first);
        if !online {
            drop(there_now.take());
        }
        common::eventually(async || there().await == usize::from(online)).await;
        let hi = json!({
            "from": "alice", "to": "direct:bob", "content": "hi", "isIncludeSender": include,
            "id": "018bcfe5-6801-7000-8000-000000000001",
        });
        let answer = post(&server, hi.clone()).await;
        let mut first = match there_now {
            Some(mut first) => {
                assert_eq!(post(&server, hi.clone()).await, answer, "{what}");
                if include {
                    assert_eq!(said(&first.delta().await), ["\"hi\""], "{what}: at once");
                }
                first
            }
            None => live(&server, "alice", 1, Platform::Web).await,
        };
        // Once more, now that somebody is there for certain.
        assert_eq!(post(&server, hi).await, answer, "{what}");
        let mut second = live(&server, "alice", 2, Platform::Mobile).await;
        let got = [found(&mut first).await.concat(), found(&mut second).await.concat()];
        assert_eq!(got, expected, "{what}");
        assert_eq!(found(&mut live(&server, "bob", 9, Platform::Web).await).await, ["\"hi\""], "{what}");
    }
}

#[tokio::test]
async fn a_change_of_the_switch_holds_for_those_who_are_connected() {
    let server = TestServer::start().await;
    let mut clients = Vec::new();
    for device in 1..=3 {
        clients.push(live(&server, "alice", device, Platform::Web).await);
    }
    let mut phone = live(&server, "alice", 9, Platform::Mobile).await;
    enable(&server, false).await;
    let mut first = clients.remove(0);
    for mut client in clients {
        assert_eq!(limited(&mut client).await, (1, vec![1]));
    }
    for standing in [&mut first, &mut phone] {
        let told = standing.delta().await;
        assert_eq!((told.after, told.next, told.sync_disabled), (0, 0, true), "it is told");
    }
    let refused = Client::greet(server.addr, as_platform(server.addr, "alice", 2, Platform::Web).await).await;
    assert!(matches!(refused, Err(Frame::Limit(limit)) if (limit.limit, devices(&limit)) == (1, vec![1])));
    enable(&server, true).await;
    for standing in [&mut first, &mut phone] {
        assert!(!standing.delta().await.sync_disabled);
    }
    let mut again = live(&server, "alice", 2, Platform::Web).await;
    first.submit(vec![message(id(1, 1), "direct:bob", &json!("hi"))]).await;
    for client in [&mut first, &mut phone, &mut again] {
        assert_eq!(said(&client.delta().await), ["\"hi\""]);
    }
}

#[tokio::test]
async fn the_switch_and_the_limits_are_kept_and_nonsense_is_named() {
    let data = tempfile::tempdir().unwrap();
    let wanted =
        json!({"sync_enabled": false, "limits": {"mobile": 2, "desktop": 3, "miniprogram": 4, "web": 5}});
    for round in 0..2 {
        let server = TestServer::start_in(data.path()).await;
        if round == 0 {
            set(&server, wanted.clone()).await;
        }
        let (_, settings) = server.call(Method::GET, "/api/settings", json!(null)).await;
        for field in ["sync_enabled", "limits"] {
            assert_eq!(settings[field], wanted[field], "start {round}");
        }
        let mut first = live(&server, "alice", 1, Platform::Web).await;
        let second = as_platform(server.addr, "alice", 2, Platform::Web).await;
        assert!(matches!(Client::greet(server.addr, second).await, Err(Frame::Limit(_))), "start {round}");
        assert!(first.pull(0).await.sync_disabled);
        for (nonsense, field) in [
            (json!({"sync_enabled": "no"}), "sync_enabled"),
            (json!({"sync_enabled": null}), "sync_enabled"),
            (json!({"limits": {"mobile": 0}}), "limits.mobile"),
            (json!({"limits": {"desktop": 11}}), "limits.desktop"),
            (json!({"limits": {"miniprogram": 1.5}}), "limits.miniprogram"),
            (json!({"limits": {"watch": 1}}), "limits.watch"),
            (json!({"sync_enabled": true, "limits": {"web": "many"}}), "limits.web"),
        ] {
            let (status, answer) = server.call(Method::PUT, "/api/settings", nonsense).await;
            assert_eq!(
                (status, answer["error"]["field"].as_str()),
                (StatusCode::UNPROCESSABLE_ENTITY, Some(field))
            );
        }
        let changed = server.call(Method::GET, "/api/settings", json!(null)).await.1;
        assert_eq!(changed, settings, "nothing of a refused change holds");
        for token in ["", &token(server.addr, "alice").await, &format!("{SERVER_KEY}?")] {
            let body = json!({"sync_enabled": true}).to_string();
            let (status, _) = server.call_as(token, Method::PUT, "/api/settings", body).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn one_of_a_platform_replaces_the_other_and_does_not_fight_back() {
    let server = TestServer::start().await;
    for (device, platform) in [(10, Platform::Mobile), (20, Platform::Desktop), (30, Platform::Miniprogram)] {
        let mut first = live(&server, "alice", device, platform).await;
        let mut second = live(&server, "alice", device + 1, platform).await;
        assert_eq!(limited(&mut first).await, (1, vec![device + 1]));
        let back = as_platform(server.addr, "alice", device, platform).await;
        let yielding = wire::Hello { yields: true, ..back.clone() };
        match Client::greet(server.addr, yielding.clone()).await {
            Err(Frame::Limit(limit)) => {
                assert_eq!((limit.limit, devices(&limit)), (1, vec![device + 1]));
                assert_eq!(limit.connections[0].platform(), platform);
            }
            _ => panic!("{platform:?} was let in"),
        }
        assert_eq!(second.pull(0).await.head, 0, "it stands");
        let robbing =
            wire::Hello { take_over: Bytes::copy_from_slice(&[device + 1; 16]), ..yielding.clone() };
        let third = Client::greet(server.addr, robbing).await.expect("what its user wants");
        assert_eq!(limited(&mut second).await, (1, vec![device]));
        drop(third);
        common::eventually(async || Client::greet(server.addr, yielding.clone()).await.is_ok()).await;
    }
}

#[tokio::test]
async fn the_operator_may_allow_more_of_a_platform_and_fewer_again() {
    let server = TestServer::start().await;
    set(&server, json!({"limits": {"mobile": 3}})).await;
    let mut phones = Vec::new();
    for device in 1..=3 {
        phones.push(live(&server, "alice", device, Platform::Mobile).await);
    }
    let fourth = live(&server, "alice", 4, Platform::Mobile).await;
    assert_eq!(limited(&mut phones[0]).await, (3, vec![2, 3, 4]), "who came first goes");
    set(&server, json!({"limits": {"mobile": 2}})).await;
    assert_eq!(limited(&mut phones[1]).await, (2, vec![3, 4]));
    for mut standing in [phones.remove(2), fourth] {
        let ping = client_frame::Frame::Ping(wire::Ping { nonce: 7 });
        send(&mut standing.socket, ping).await;
        assert!(matches!(standing.next().await, Frame::Pong(pong) if pong.nonce == 7));
    }
}

#[tokio::test]
async fn a_switch_in_the_middle_of_traffic_loses_and_doubles_nothing() {
    const ROUNDS: u32 = 60;
    let server = TestServer::start_with(&["--rate-burst", "100000"]).await;
    let mut devices = [
        live(&server, "bob", 1, Platform::Web).await,
        live(&server, "bob", 2, Platform::Mobile).await,
        live(&server, "bob", 3, Platform::Desktop).await,
    ];
    let mut alice = live(&server, "alice", 9, Platform::Web).await;
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let batch = (0..5).map(|at| message(id(9, 5 * round + at), "direct:bob", &json!(5 * round + at)));
        let submit = alice.submit(batch.collect());
        if round % 3 == 0 {
            let (outcomes, ()) = tokio::join!(submit, enable(&server, round % 2 == 1));
            accepted += outcomes.iter().filter(|outcome| accepted_seq(outcome).is_some()).count();
        } else {
            accepted += submit.await.iter().filter(|outcome| accepted_seq(outcome).is_some()).count();
        }
    }
    assert_eq!(accepted, 5 * ROUNDS as usize);
    let mut holders = vec![0; accepted];
    for device in &mut devices {
        let mut seen = Vec::new();
        let mut next = 0;
        while next < accepted as u64 {
            let page = device.delta().await;
            assert_eq!(page.after, next, "no gap");
            next = page.next;
            seen.extend(said(&page));
        }
        let mut again = device.pull_all(0).await.iter().map(text).collect::<Vec<_>>();
        assert_eq!(again, seen, "it is the same to whoever asks again");
        again.retain(|text| text != "-");
        for text in again {
            holders[text.parse::<usize>().unwrap()] += 1;
        }
    }
    assert!(holders.iter().all(|count| [1, 3].contains(count)), "for one or for all: {holders:?}");
    assert!(holders.contains(&1) && holders.contains(&3));
}
