//! Several servers over one PostgreSQL database and one Redis are like one server.

#[path = "../common/mod.rs"]
mod common;
mod redis;

use std::{process::Stdio, time::Duration};

use common::{
    Client, PATIENCE, SERVER_KEY, TestServer, accepted_seq, eventually, id, listens, message, send,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};
use tutti_protocol::wire::{
    self, Availability, client_frame, manage, server_frame::Frame, status::Status as Kind,
};

use redis::Redis;

/// Servers on one database and one Redis.
struct Fleet {
    redis: Redis,
    database: String,
    servers: Vec<TestServer>,
}

impl Fleet {
    async fn start(servers: usize) -> Self {
        Self::start_with(servers, &[]).await
    }

    async fn start_with(servers: usize, args: &[&str]) -> Self {
        let mut fleet =
            Self { redis: Redis::start().await, database: tutti_databases::database(), servers: Vec::new() };
        for _ in 0..servers {
            let url = fleet.redis.url();
            let args = [&fleet.args(&url), args].concat();
            fleet.servers.push(TestServer::start_with(&args).await);
        }
        fleet
    }

    fn args<'a>(&'a self, redis: &'a str) -> Vec<&'a str> {
        vec!["--database-url", &self.database, "--redis-url", redis, "--token-secret", SERVER_KEY]
    }

    async fn client(&self, server: usize, account: &str, device: u8) -> Client {
        self.greet(server, account, device, |_| {}).await.expect("a welcome")
    }

    async fn greet(
        &self,
        server: usize,
        account: &str,
        device: u8,
        change: impl FnOnce(&mut wire::Hello),
    ) -> Result<Client, Frame> {
        let addr = self.servers[server].addr;
        let mut hello = common::hello(&common::token(addr, account).await, account, device);
        hello.status = true;
        change(&mut hello);
        Client::greet(addr, hello).await
    }

    /// How many connections of an account a server knows of, on whichever they are.
    async fn connections(&self, server: usize, account: &str) -> usize {
        let path = format!("/api/connections?user_id={account}");
        let (_, answer) = self.servers[server].call(Method::GET, &path, json!(null)).await;
        answer["connections"].as_array().unwrap().len()
    }
}

/// It has all there is, and gets what is new.
async fn live(client: &mut Client) {
    let head = client.welcome.head;
    client.pull_all(0).await;
    assert!(head <= client.pull(head).await.head);
}

/// The next status of the kind that is wanted.
async fn status<T>(client: &mut Client, wanted: impl Fn(Kind) -> Option<T>) -> T {
    let next = async {
        loop {
            let status = match client.statuses.pop_front() {
                Some(status) => status,
                None => match client.next().await {
                    Frame::Status(status) => status,
                    _ => continue,
                },
            };
            if let Some(found) = status.status.and_then(&wanted) {
                return found;
            }
        }
    };
    timeout(PATIENCE, next).await.expect("a status")
}

async fn sees(client: &mut Client, account: &str, availability: Availability) {
    status(client, |kind| match kind {
        Kind::Presence(seen) => {
            (seen.account == account && seen.availability() == availability).then_some(())
        }
        _ => None,
    })
    .await;
}

/// One message from an account to another, through this client.
async fn write(client: &mut Client, number: u32, to: &str) {
    let sent = message(id(number as u8, number), to, &json!({"text": number}));
    let outcomes = client.submit(vec![sent]).await;
    assert!(accepted_seq(&outcomes[0]).is_some(), "{outcomes:?}");
}

/// Accounts see each other's presence if they share a conversation.
async fn acquainted(fleet: &Fleet) {
    let body = json!({"members": ["alice", "bob"]});
    let (status, _) = fleet.servers[0].call(Method::PUT, "/api/groups/team", body).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_accepts_the_others_push() {
    let fleet = Fleet::start(3).await;
    let mut alice = fleet.client(0, "alice", 1).await;
    let mut elsewhere = fleet.client(1, "alice", 2).await;
    let mut bob = fleet.client(2, "bob", 3).await;
    for client in [&mut alice, &mut elsewhere, &mut bob] {
        live(client).await;
    }
    write(&mut alice, 1, "direct:bob").await;
    for client in [&mut elsewhere, &mut bob] {
        assert_eq!(client.delta().await.events.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_and_what_they_say_is_told_on_all() {
    let fleet = Fleet::start(2).await;
    acquainted(&fleet).await;
    let mut bob = fleet.client(1, "bob", 2).await;
    live(&mut bob).await;
    sees(&mut bob, "bob", Availability::Online).await;
    let mut alice = fleet.client(0, "alice", 1).await;
    live(&mut alice).await;
    sees(&mut bob, "alice", Availability::Online).await;
    let busy = wire::AccountPresence { availability: Availability::Busy.into(), ..Default::default() };
    for kind in [
        Kind::Presence(busy),
        Kind::Typing(wire::Typing {
            conversation: "direct:bob".to_owned(),
            typing: true,
            ..Default::default()
        }),
    ] {
        send(&mut alice.socket, client_frame::Frame::Status(wire::Status { status: Some(kind) })).await;
    }
    let typing = |kind| if let Kind::Typing(typing) = kind { Some(typing.account) } else { None };
    assert_eq!(status(&mut bob, typing).await, "alice");
    let ask = wire::Ask { account: "alice".to_owned() };
    send(&mut bob.socket, client_frame::Frame::Ask(ask)).await;
    sees(&mut bob, "alice", Availability::Busy).await;
    drop(alice);
    sees(&mut bob, "alice", Availability::Offline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_its_places_on_all_together() {
    let fleet = Fleet::start(3).await;
    let mut clients = Vec::new();
    for device in 0..10 {
        clients.push(fleet.client(usize::from(device) % 3, "alice", device).await);
    }
    match fleet.greet(0, "alice", 10, |_| {}).await.err() {
        Some(Frame::Limit(limit)) => assert_eq!(limit.connections.len(), 10),
        other => panic!("{other:?}"),
    }
    // The place of one that is connected elsewhere.
    let robbed = bytes::Bytes::copy_from_slice(&[1; 16]);
    let take_over = |hello: &mut wire::Hello| hello.take_over = robbed;
    fleet.greet(0, "alice", 10, take_over).await.expect("a welcome");
    assert!(matches!(clients[1].next().await, Frame::Limit(_)));
    drop(clients.remove(0));
    eventually(async || fleet.greet(1, "alice", 0, |_| {}).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_one_connection_and_a_fenced_leader_none() {
    let fleet = Fleet::start(2).await;
    let mut first = fleet.greet(0, "alice", 1, |hello| hello.epoch = 1).await.unwrap();
    let _second = fleet.greet(1, "alice", 1, |hello| hello.epoch = 2).await.unwrap();
    assert!(matches!(first.next().await, Frame::Bye(_)));
    let fenced = fleet.greet(0, "alice", 1, |hello| hello.epoch = 1).await.err();
    assert!(matches!(&fenced, Some(Frame::Error(error)) if error.code == "conflict"), "{fenced:?}");
    assert_eq!(fleet.connections(0, "alice").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_removed_ends_wherever_it_is_connected() {
    let fleet = Fleet::start(2).await;
    let mut removed = fleet.client(0, "alice", 1).await;
    let mut listens = fleet.greet(1, "alice", 2, |hello| hello.devices = true).await.unwrap();
    let device = "01010101-0101-0101-0101-010101010101".to_owned();
    let what = Some(manage::What::Remove(wire::RemoveDevice { device: device.clone() }));
    send(&mut listens.socket, client_frame::Frame::Manage(wire::Manage { number: 1, what })).await;
    assert!(matches!(removed.next().await, Frame::Revoked(_)));
    let listed = status(&mut listens, |kind| if let Kind::Devices(list) = kind { Some(list) } else { None });
    assert!(listed.await.devices.iter().all(|listed| listed.id != device));
    let barred = fleet.greet(1, "alice", 1, |_| {}).await.err();
    assert!(matches!(barred, Some(Frame::Revoked(_))), "{barred:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_what_an_account_may_do_hold_on_all() {
    let fleet = Fleet::start_with(2, &["--rate-burst", "5", "--rate-per-second", "1"]).await;
    let _first = fleet.client(0, "alice", 1).await;
    let mut second = fleet.client(1, "alice", 2).await;
    let settings = json!({"limits": {"web": 1}});
    let (status, _) = fleet.servers[0].call(Method::PUT, "/api/settings", settings).await;
    assert_eq!(status, StatusCode::OK);
    assert!(matches!(second.next().await, Frame::Limit(_)));
    eventually(async || {
        let (_, settings) = fleet.servers[1].call(Method::GET, "/api/settings", Value::Null).await;
        settings["limits"]["web"] == 1
    })
    .await;
    let mut granted = 0;
    for server in [0, 1] {
        let mut bob = fleet.client(server, "bob", server as u8).await;
        let many = (0..5).map(|number| message(id(server as u8, number), "direct:bob", &json!({})));
        let outcomes = bob.submit(many.collect()).await;
        granted += outcomes.iter().filter(|outcome| accepted_seq(outcome).is_some()).count();
    }
    assert!((5..10).contains(&granted), "{granted} of 10, where 5 may be done at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_redis_away_all_goes_on_and_what_was_missed_is_made_good() {
    let mut fleet = Fleet::start(2).await;
    acquainted(&fleet).await;
    let mut alice = fleet.client(0, "alice", 1).await;
    let mut bob = fleet.client(1, "bob", 2).await;
    live(&mut alice).await;
    live(&mut bob).await;
    for (number, away) in [(1, true), (2, false)] {
        if away {
            fleet.redis.kill();
        } else {
            fleet.redis.pause();
        }
        write(&mut alice, number, "direct:bob").await;
        let carol = fleet.client(0, "carol", 9).await;
        if away {
            fleet.redis.start_again().await;
        } else {
            fleet.redis.go_on();
        }
        assert_eq!(bob.delta().await.events.len(), 1, "away: {away}");
        for server in [0, 1] {
            eventually(async || fleet.connections(server, "carol").await == 1).await;
            eventually(async || fleet.connections(server, "alice").await == 1).await;
        }
        drop(carol);
        eventually(async || fleet.connections(1, "carol").await == 0).await;
    }
    drop(alice);
    sees(&mut bob, "alice", Availability::Offline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_leaves_nobody_behind() {
    let fleet = Fleet::start(1).await;
    acquainted(&fleet).await;
    let data = tempfile::tempdir().unwrap();
    let url = fleet.redis.url();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tutti-server"));
    command.args(["--listen", "127.0.0.1:0", "--dev", "--server-key", SERVER_KEY]);
    command.args(["--master-key", common::MASTER_KEY, "--data"]).arg(data.path());
    let mut dies = command.args(fleet.args(&url)).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let addr = listens(&mut dies, "http://").await;
    let mut bob = fleet.client(0, "bob", 2).await;
    live(&mut bob).await;
    let mut hello = common::hello(&common::token(addr, "alice").await, "alice", 1);
    hello.status = true;
    let mut alice = Client::greet(addr, hello).await.unwrap();
    live(&mut alice).await;
    sees(&mut bob, "alice", Availability::Online).await;
    dies.kill().await.unwrap();
    sees(&mut bob, "alice", Availability::Offline).await;
    assert_eq!(fleet.connections(0, "alice").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stops_in_good_order_is_not_waited_for() {
    let mut fleet = Fleet::start(2).await;
    acquainted(&fleet).await;
    let mut bob = fleet.client(0, "bob", 2).await;
    live(&mut bob).await;
    let mut alice = fleet.client(1, "alice", 1).await;
    live(&mut alice).await;
    sees(&mut bob, "alice", Availability::Online).await;
    fleet.servers.remove(1).stop().await;
    // Sooner than a server that says nothing is taken for gone.
    let seen = sees(&mut bob, "alice", Availability::Offline);
    timeout(Duration::from_secs(12), seen).await.expect("it to be told");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sync_a_message_goes_to_where_its_user_did_something_last() {
    let fleet = Fleet::start(2).await;
    let off = json!({"sync_enabled": false});
    fleet.servers[0].call(Method::PUT, "/api/settings", off).await;
    eventually(async || {
        let (_, settings) = fleet.servers[1].call(Method::GET, "/api/settings", Value::Null).await;
        settings["sync_enabled"] == false
    })
    .await;
    let mobile = |hello: &mut wire::Hello| hello.platform = wire::Platform::Mobile.into();
    let mut phone = fleet.greet(0, "alice", 1, mobile).await.unwrap();
    let mut web = fleet.client(1, "alice", 2).await;
    let mut bob = fleet.client(0, "bob", 3).await;
    live(&mut phone).await;
    live(&mut web).await;
    for (number, used_phone) in [(1, true), (2, false), (3, true)] {
        let (used, other) = if used_phone { (&mut phone, &mut web) } else { (&mut web, &mut phone) };
        let away = wire::AccountPresence { availability: Availability::Away.into(), ..Default::default() };
        let status = wire::Status { status: Some(Kind::Presence(away)) };
        send(&mut used.socket, client_frame::Frame::Status(status)).await;
        let ping = client_frame::Frame::Ping(wire::Ping { nonce: 1 });
        send(&mut used.socket, ping).await;
        while !matches!(used.next().await, Frame::Pong(_)) {}
        write(&mut bob, number, "direct:alice").await;
        for (client, is_for_it) in [(used, true), (other, false)] {
            let event = loop {
                if let Some(event) = client.delta().await.events.pop() {
                    break event;
                }
            };
            assert_eq!(event.body.is_some(), is_for_it, "message {number} is for one device alone");
        }
    }
}
