//! What reaches only those who are connected: who types, who is there, and what the application says.

mod common;

use std::fs;

use bytes::Bytes;
use common::{Client, SERVER_KEY, TestServer, hello, holds, id, message, send, token};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tutti_protocol::wire::{
    self, AccountPresence, Availability, Platform, Privacy, client_frame, server_frame::Frame,
    status::Status as Kind,
};

const CANARY: &str = "a canary that no file may hold";

/// A device that understands status, and is there.
struct Device(Client);

impl Device {
    async fn connect(server: &TestServer, account: &str, device: u8) -> Self {
        Self::connect_as(server, account, device, |_| {}).await
    }

    async fn connect_as(
        server: &TestServer,
        account: &str,
        device: u8,
        change: impl FnOnce(&mut wire::Hello),
    ) -> Self {
        let mut device = Self::greet(server, account, device, change).await;
        device.pull().await;
        device
    }

    /// It does not count as there until it pulls.
    async fn greet(
        server: &TestServer,
        account: &str,
        device: u8,
        change: impl FnOnce(&mut wire::Hello),
    ) -> Self {
        let token = token(server.addr, account).await;
        let mut hello = wire::Hello { status: true, ..hello(&token, account, device) };
        change(&mut hello);
        let client = Client::greet(server.addr, hello).await.expect("a welcome");
        assert!(client.welcome.status);
        Self(client)
    }

    async fn say(&mut self, frame: client_frame::Frame) {
        send(&mut self.0.socket, frame).await;
    }

    /// Nothing that was said before this is on its way any more, on this side.
    async fn fence(&mut self) -> Vec<Kind> {
        let mut told = Vec::new();
        // A frame goes before what is told, so what waits is told between the two.
        for nonce in [1, 2] {
            self.say(client_frame::Frame::Ping(wire::Ping { nonce })).await;
            loop {
                match self.0.next().await {
                    Frame::Pong(_) => break,
                    Frame::Status(status) => told.extend(status.status),
                    Frame::Delta(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        told
    }

    async fn pull(&mut self) {
        self.say(client_frame::Frame::Pull(wire::Pull { after: 0 })).await;
        loop {
            if let Frame::Delta(_) = self.0.next().await {
                return;
            }
        }
    }

    async fn types(&mut self, conversation: &str, typing: bool) {
        let typing = wire::Typing { conversation: conversation.into(), typing, ..wire::Typing::default() };
        self.say(status(Kind::Typing(typing))).await;
        self.fence().await;
    }

    async fn sets(&mut self, availability: Availability) {
        let presence = AccountPresence { availability: availability.into(), ..AccountPresence::default() };
        self.say(status(Kind::Presence(presence))).await;
    }

    async fn waves(&mut self, conversation: &str, content: &str) {
        let custom = wire::Custom {
            conversation: conversation.into(),
            r#type: "wave".into(),
            content: json!(content).to_string().into(),
            ..wire::Custom::default()
        };
        self.say(status(Kind::Custom(custom))).await;
        self.fence().await;
    }

    /// What it is told of typing and by the application, so far.
    async fn told(&mut self) -> Vec<(String, String, String)> {
        let told = self.fence().await.into_iter();
        told.filter_map(|kind| match kind {
            Kind::Typing(it) => Some((it.conversation, it.account, it.typing.to_string())),
            Kind::Custom(it) => {
                Some((it.conversation, it.account, String::from_utf8(it.content.to_vec()).unwrap()))
            }
            Kind::Presence(_) | Kind::Devices(_) => None,
        })
        .collect()
    }

    /// What it is told next of presence.
    async fn presence(&mut self) -> AccountPresence {
        loop {
            match self.0.next().await {
                Frame::Status(wire::Status { status: Some(Kind::Presence(presence)) }) => return presence,
                Frame::Status(_) | Frame::Delta(_) | Frame::Submitted(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn ask(&mut self, account: &str) -> AccountPresence {
        self.fence().await;
        self.say(client_frame::Frame::Ask(wire::Ask { account: account.into() })).await;
        let presence = self.presence().await;
        assert_eq!(presence.account, account);
        presence
    }
}

fn status(kind: Kind) -> client_frame::Frame {
    client_frame::Frame::Status(wire::Status { status: Some(kind) })
}

fn told(conversation: &str, account: &str, what: &str) -> (String, String, String) {
    (conversation.to_owned(), account.to_owned(), what.to_owned())
}

async fn group(server: &TestServer, id: &str, members: &[&str]) {
    let answer = server.call(Method::PUT, &format!("/api/groups/{id}"), json!({"members": members})).await;
    assert!(answer.0.is_success());
}

/// Lets two accounts have a direct conversation.
async fn acquaint(server: &TestServer, one: &str, other: &str, number: u32) {
    let mut client = server.client(one, 200).await;
    client.submit(vec![message(id(200, number), &format!("direct:{other}"), &json!("hi"))]).await;
}

/// All that is stored, as it lies on the disk: it is sealed, so a word would not be found in it.
fn stored(server: &TestServer) -> [Vec<u8>; 2] {
    ["tutti.db", "tutti.db-wal"].map(|file| fs::read(server.data().join(file)).unwrap())
}

#[tokio::test]
async fn status_reaches_the_other_members_and_own_devices_that_are_connected_and_no_disk() {
    let server = TestServer::start().await;
    group(&server, "team", &["alice", "bob", "carla"]).await;
    let mut laptop = Device::connect(&server, "alice", 1).await;
    let mut phone = Device::connect(&server, "alice", 2).await;
    let mut bob = Device::connect(&server, "bob", 3).await;
    let mut carla = Device::connect(&server, "carla", 4).await;
    let before = stored(&server);

    laptop.types("direct:bob", true).await;
    assert_eq!(phone.told().await, [told("direct:bob", "alice", "true")]);
    assert_eq!(bob.told().await, [told("direct:alice", "alice", "true")]);
    laptop.types("direct:bob", false).await;
    assert_eq!(bob.told().await, [told("direct:alice", "alice", "false")]);
    laptop.types("group:team", true).await;
    laptop.waves("group:team", CANARY).await;
    let quoted = json!(CANARY).to_string();
    for device in [&mut phone, &mut bob, &mut carla] {
        let told = device.told().await;
        let (typing, custom) = (&told[told.len() - 2], &told[told.len() - 1]);
        assert_eq!(
            (typing.0.as_str(), typing.1.as_str(), typing.2.as_str()),
            ("group:team", "alice", "true")
        );
        assert_eq!((custom.0.as_str(), custom.1.as_str(), &custom.2), ("group:team", "alice", &quoted));
    }
    assert_eq!(laptop.told().await, [], "nobody is told what they say themselves");

    assert!(stored(&server) == before, "nothing was written");

    // Whoever comes later has missed it, and it is nowhere.
    let mut later = Device::connect(&server, "bob", 5).await;
    assert_eq!(later.told().await, []);
    assert!(!holds(server.data(), CANARY.as_bytes()));
    laptop.0.submit(vec![message(id(1, 1), "direct:bob", &json!("that is kept"))]).await;
    assert!(stored(&server) != before && holds(server.data(), &id(1, 1)), "or this would find nothing");
    let log = server.client("bob", 6).await.pull_all(0).await;
    assert_eq!(log.len(), 2, "the group and the message: {log:?}");
}

#[tokio::test]
async fn who_is_not_in_a_group_says_nothing_there_and_learns_nothing() {
    let server = TestServer::start().await;
    group(&server, "team", &["alice", "bob"]).await;
    let mut bob = Device::connect(&server, "bob", 3).await;
    let mut stranger = Device::connect(&server, "mallory", 4).await;
    let mut other = Device::connect(&server, "mallory", 5).await;
    for conversation in ["group:team", "group:nowhere"] {
        stranger.types(conversation, true).await;
        stranger.waves(conversation, "let me in").await;
        assert_eq!((bob.told().await, other.told().await), (vec![], vec![]));
    }
    let mut alice = Device::connect(&server, "alice", 1).await;
    alice.waves("group:team", "hi").await;
    assert_eq!(bob.told().await, [told("group:team", "alice", "\"hi\"")]);
    assert_eq!(other.told().await, []);
}

#[tokio::test]
async fn typing_is_told_no_more_often_than_agreed() {
    let server = TestServer::start().await;
    let mut alice = Device::connect(&server, "alice", 1).await;
    let mut bob = Device::connect(&server, "bob", 2).await;
    for typing in [true, true, true, false, false, true] {
        alice.types("direct:bob", typing).await;
    }
    assert_eq!(bob.told().await, ["true", "false"].map(|typing| told("direct:alice", "alice", typing)));
}

#[tokio::test]
async fn a_client_that_does_not_understand_status_gets_none() {
    let server = TestServer::start().await;
    let mut older = server.client("bob", 1).await;
    older.pull(0).await;
    let mut alice = Device::connect(&server, "alice", 2).await;
    alice.waves("direct:bob", "hi").await;
    alice.0.submit(vec![message(id(2, 1), "direct:bob", &json!("hi"))]).await;
    assert_eq!(older.delta().await.next, 1);
}

#[tokio::test]
async fn presence_is_told_to_contacts_when_it_changes() {
    let server = TestServer::start_with(&["--presence-grace", "0"]).await;
    acquaint(&server, "alice", "bob", 1).await;
    let mut bob = Device::connect(&server, "bob", 3).await;
    assert_eq!(bob.presence().await.account, "bob", "one's own");
    let laptop = Device::connect(&server, "alice", 1).await;
    let online = bob.presence().await;
    assert_eq!((online.account.as_str(), online.availability()), ("alice", Availability::Online));
    assert_eq!((online.last_seen, online.platforms().collect::<Vec<_>>()), (0, vec![Platform::Web]));

    let mobile = |hello: &mut wire::Hello| hello.platform = Platform::Mobile.into();
    let mut phone = Device::connect_as(&server, "alice", 2, mobile).await;
    assert_eq!(bob.presence().await.platforms().collect::<Vec<_>>(), [Platform::Mobile, Platform::Web]);
    phone.sets(Availability::Busy).await;
    assert_eq!(bob.presence().await.availability(), Availability::Busy);
    drop(laptop);
    let busy = bob.presence().await;
    assert_eq!((busy.availability(), busy.platforms().count()), (Availability::Busy, 1), "it holds");
    drop(phone);
    let offline = bob.presence().await;
    assert_eq!((offline.availability(), offline.platforms.len()), (Availability::Offline, 0));
    assert!(offline.last_seen > 1_700_000_000_000);
    assert_eq!(bob.ask("alice").await, offline);
    let _back = Device::connect(&server, "alice", 1).await;
    assert_eq!(bob.presence().await.availability(), Availability::Online, "what was set is over");
}

#[tokio::test]
async fn who_is_back_in_a_moment_was_not_away() {
    let server = TestServer::start_with(&["--presence-grace", "60000"]).await;
    acquaint(&server, "alice", "bob", 1).await;
    let mut bob = Device::connect(&server, "bob", 3).await;
    assert_eq!(bob.presence().await.account, "bob");
    let alice = Device::connect(&server, "alice", 1).await;
    assert_eq!(bob.presence().await.availability(), Availability::Online);
    drop(alice);
    let mobile = |hello: &mut wire::Hello| hello.platform = Platform::Mobile.into();
    let _back = Device::connect_as(&server, "alice", 2, mobile).await;
    let told = bob.presence().await;
    assert_eq!(
        (told.availability(), told.platforms.len()),
        (Availability::Online, 2),
        "told nothing between"
    );
}

#[tokio::test]
async fn presence_is_a_secret_from_strangers() {
    let server = TestServer::start().await;
    group(&server, "team", &["alice", "bob"]).await;
    let mut stranger = Device::connect(&server, "mallory", 1).await;
    let mut alice = Device::connect(&server, "alice", 2).await;
    let mut bob = Device::connect(&server, "bob", 3).await;
    assert_eq!(alice.presence().await.account, "alice");
    assert_eq!(alice.presence().await.account, "bob", "they are in a group");
    assert_eq!(bob.ask("alice").await.availability(), Availability::Online);
    for account in ["alice", "nobody"] {
        let nothing = AccountPresence { account: account.into(), ..AccountPresence::default() };
        assert_eq!(stranger.ask(account).await, nothing);
    }
    // And after they have left the group.
    group(&server, "team", &["bob"]).await;
    assert_eq!(bob.ask("alice").await.availability(), Availability::Offline);
    let told = stranger.fence().await.into_iter();
    assert_eq!(told.filter(|kind| matches!(kind, Kind::Presence(it) if it.account != "mallory")).count(), 0);
}

#[tokio::test]
async fn who_is_invisible_is_never_seen_but_by_the_own_devices() {
    let server = TestServer::start_with(&["--presence-grace", "0"]).await;
    acquaint(&server, "alice", "bob", 1).await;
    let mut bob = Device::connect(&server, "bob", 3).await;
    assert_eq!(bob.presence().await.account, "bob");
    let mut laptop = Device::greet(&server, "alice", 1, |_| {}).await;
    laptop.sets(Availability::Invisible).await;
    laptop.pull().await;
    let own = laptop.presence().await;
    assert_eq!((own.availability(), own.platforms.len()), (Availability::Invisible, 1));
    assert_eq!(bob.ask("alice").await, AccountPresence { account: "alice".into(), ..Default::default() });
    let mut phone = Device::connect(&server, "alice", 2).await;
    assert_eq!(phone.ask("alice").await.availability(), Availability::Invisible);
    laptop.sets(Availability::Away).await;
    assert_eq!(bob.presence().await.availability(), Availability::Away, "the first that was told");
    laptop.sets(Availability::Invisible).await;
    assert_eq!(bob.presence().await.availability(), Availability::Offline);
}

#[tokio::test]
async fn what_is_not_shared_is_told_to_the_own_devices_alone() {
    let server = TestServer::start_with(&["--presence-grace", "0"]).await;
    acquaint(&server, "alice", "bob", 1).await;
    let mut bob = Device::connect(&server, "bob", 3).await;
    assert_eq!(bob.presence().await.account, "bob");
    let privacy = Privacy { hide_typing: true, hide_presence: true, hide_reads: false };
    let hiding = |hello: &mut wire::Hello| hello.privacy = Some(privacy);
    let mut laptop = Device::connect_as(&server, "alice", 1, hiding).await;
    let mut phone = Device::connect_as(&server, "alice", 2, hiding).await;
    laptop.types("direct:bob", true).await;
    assert_eq!(phone.told().await, [told("direct:bob", "alice", "true")]);
    assert_eq!(bob.told().await, []);
    assert_eq!(phone.ask("alice").await.availability(), Availability::Online);
    let nothing = AccountPresence { account: "alice".into(), ..Default::default() };
    assert_eq!(bob.ask("alice").await, nothing);

    // Then it is shared, and then it is not any more.
    laptop.say(client_frame::Frame::Privacy(Privacy::default())).await;
    let online = bob.presence().await;
    assert_eq!((online.availability(), online.platforms.len()), (Availability::Online, 1), "told first");
    laptop.types("direct:carla", true).await;
    laptop.types("direct:bob", false).await;
    assert_eq!(bob.told().await, [told("direct:alice", "alice", "false")]);
    laptop.say(client_frame::Frame::Privacy(privacy)).await;
    assert_eq!(bob.presence().await, nothing, "and no word of when it was");
}

#[tokio::test]
async fn the_back_end_says_a_status_to_who_is_there() {
    let server = TestServer::start().await;
    group(&server, "team", &["alice", "bob"]).await;
    let mut alice = Device::connect(&server, "alice", 1).await;
    let mut bob = Device::connect(&server, "bob", 2).await;
    let mut carla = Device::connect(&server, "carla", 3).await;
    let before = stored(&server);
    let post = async |body: Value| server.call(Method::POST, "/api/status", body).await;
    for (to, seen_by_bob) in [("direct:bob", "direct:alice"), ("group:team", "group:team")] {
        let body = json!({"from": "alice", "to": to, "type": "wave", "content": CANARY});
        assert_eq!(post(body.clone()).await, (StatusCode::ACCEPTED, Value::Null));
        let content = json!(CANARY).to_string();
        assert_eq!(bob.told().await, [told(seen_by_bob, "alice", &content)]);
        assert_eq!(alice.told().await, [], "the sender is not included");
        let mut included = body;
        included["isIncludeSender"] = json!(true);
        assert_eq!(post(included).await.0, StatusCode::ACCEPTED);
        assert_eq!(bob.told().await.len(), 1);
        assert_eq!(alice.told().await, [told(to, "alice", &content)]);
    }
    // Who is not in the group says it to nobody, and is not told so.
    let body =
        json!({"from": "carla", "to": "group:team", "type": "wave", "content": 1, "isIncludeSender": true});
    assert_eq!(post(body).await, (StatusCode::ACCEPTED, Value::Null));
    assert_eq!((bob.told().await, carla.told().await), (vec![], vec![]));
    assert!(!holds(server.data(), CANARY.as_bytes()));
    assert!(stored(&server) == before, "nothing was written");

    for (field, body) in [
        ("from", json!({"to": "direct:bob", "type": "wave", "content": 1})),
        ("to", json!({"from": "alice", "to": "bob", "type": "wave", "content": 1})),
        ("type", json!({"from": "alice", "to": "direct:bob", "content": 1})),
        ("type", json!({"from": "alice", "to": "direct:bob", "type": "x".repeat(65), "content": 1})),
        ("content", json!({"from": "alice", "to": "direct:bob", "type": "wave"})),
        (
            "isIncludeSender",
            json!({"from": "alice", "to": "direct:bob", "type": "wave", "content": 1, "isIncludeSender": 1}),
        ),
        ("id", json!({"from": "alice", "to": "direct:bob", "type": "wave", "content": 1, "id": "x"})),
    ] {
        let (status, answer) = post(body).await;
        assert_eq!((status.as_u16(), &answer["error"]["field"]), (422, &json!(field)));
    }
    let body = json!({"from": "alice", "to": "direct:bob", "type": "wave", "content": 1}).to_string();
    let user = token(server.addr, "alice").await;
    assert_ne!(user, SERVER_KEY);
    assert_eq!(server.call_as(&user, Method::POST, "/api/status", body).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(bob.told().await, []);
}

#[tokio::test]
async fn status_by_post_is_not_taken() {
    use tutti_protocol::{codec, sequence};

    let server = TestServer::start().await;
    let mut bob = Device::connect(&server, "bob", 2).await;
    let hello = client_frame::Frame::Hello(hello(&token(server.addr, "alice").await, "alice", 1));
    let custom = wire::Custom {
        conversation: "direct:bob".into(),
        r#type: "wave".into(),
        content: Bytes::from_static(b"1"),
        ..wire::Custom::default()
    };
    for frame in [status(Kind::Custom(custom)), client_frame::Frame::Ask(wire::Ask { account: "bob".into() })]
    {
        let frames =
            [hello.clone(), frame].map(|frame| codec::encode(&wire::ClientFrame { frame: Some(frame) }));
        let post = reqwest::Client::new().post(format!("http://{}/sync", server.addr));
        let post = post.header("Content-Type", "application/octet-stream").body(sequence::join(&frames));
        let answer = post.send().await.unwrap().bytes().await.unwrap();
        let answers = sequence::split(answer, 2, 512 * 1024).unwrap();
        assert_eq!(answers.len(), 1, "a welcome");
    }
    assert_eq!(bob.told().await, []);
}
