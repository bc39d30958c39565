//! An account is erased by the application's back end: what its devices hear of it, what others do, and what is left.

mod common;

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode as Status,
};
use bytes::Bytes;
use common::{
    Client, MASTER_KEY, POINT, TestServer, accepted_seq, eventually, framed, hello, holds, id, message, post,
    receive, refusal, send, token,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tutti_acceptance::{
    erasure::{EraseAccount, Erasure},
    storage::{MasterKeys, SqliteStorage, Storage as _},
    work::perform,
};
use tutti_protocol::{
    DeviceId, Millis, OperationId, sequence,
    wire::{
        self, Availability, SetPush, client_frame, event::Body, manage::What, operation, server_frame::Frame,
        status::Status as Kind,
    },
};

async fn erase(server: &TestServer, account: &str) -> (StatusCode, Value) {
    server.call(Method::DELETE, &format!("/api/accounts/{account}"), json!(null)).await
}

async fn is_erased(server: &TestServer, account: &str) {
    assert_eq!(erase(server, account).await, (StatusCode::NO_CONTENT, Value::Null));
}

/// What a hello gets by post, and a frame with it.
async fn posted(server: &TestServer, hello: &wire::Hello, frame: Option<client_frame::Frame>) -> Vec<Frame> {
    let frames = [Some(client_frame::Frame::Hello(hello.clone())), frame];
    let frames: Vec<Bytes> = frames.into_iter().flatten().map(framed).collect();
    post(server, sequence::join(&frames), None).await.1
}

fn revoked() -> Frame {
    Frame::Revoked(wire::Revoked::default())
}

/// Refused over a socket and by post alike.
async fn is_turned_away(server: &TestServer, hello: wire::Hello) {
    assert_eq!(Client::greet(server.addr, hello.clone()).await.err(), Some(revoked()));
    let pull = client_frame::Frame::Pull(wire::Pull { after: 0 });
    for frame in [None, Some(pull)] {
        assert_eq!(posted(server, &hello, frame).await, [revoked()]);
    }
}

/// What a client hears until it is cut off as a removed device is.
async fn is_cut_off(client: &mut Client) -> Vec<Frame> {
    let mut heard = Vec::new();
    loop {
        match client.next().await {
            Frame::Revoked(by) => break assert_eq!(by, wire::Revoked::default()),
            frame => heard.push(frame),
        }
    }
    assert_eq!(receive(&mut client.socket).await, None, "nothing follows");
    heard
}

async fn submitted(client: &mut Client, operations: Vec<wire::Operation>) {
    let outcomes = client.submit(operations).await;
    assert!(outcomes.iter().all(|outcome| accepted_seq(outcome).is_some()), "{outcomes:?}");
}

fn set_push(endpoint: &str) -> client_frame::Frame {
    let (p256dh, auth) = (Bytes::from_static(&POINT), Bytes::from(vec![9; 16]));
    let push = SetPush { endpoint: endpoint.to_owned(), p256dh, auth };
    client_frame::Frame::Manage(wire::Manage { number: 1, what: Some(What::SetPush(push)) })
}

/// All that lies sealed for an account, or from it: its messages, fields, notifications and digests, and its own key.
async fn sealed_of(server: &TestServer, account: &str) -> Vec<Vec<u8>> {
    let file = SqliteConnectOptions::new().filename(server.data().join("tutti.db")).read_only(true);
    let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
    let sql = "SELECT substr(bytes, 1, size) FROM (
                   SELECT content, size FROM messages WHERE sender = ?1
                   UNION ALL SELECT f.value, f.size FROM fields f JOIN targets t ON t.id = f.target
                       JOIN accounts a ON a.id = t.account WHERE a.name = ?1
                   UNION ALL SELECT n.content, n.size FROM notifications n
                       JOIN accounts a ON a.id = n.account WHERE a.name = ?1
                   UNION ALL SELECT key, 72 FROM accounts WHERE name = ?1
               ) CROSS JOIN contents ON contents.key = content WHERE size > 0
               UNION ALL
               SELECT digest FROM operations o JOIN accounts a ON a.id = o.account WHERE a.name = ?1";
    let rows = sqlx::query(sql).bind(account).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Whether any eight bytes in a row of these are in a file of the server.
fn holds_a_piece(server: &TestServer, sealed: &[Vec<u8>]) -> bool {
    let pieces: std::collections::HashSet<&[u8]> =
        sealed.iter().flat_map(|one| one.chunks_exact(8)).collect();
    assert!(!pieces.is_empty());
    std::fs::read_dir(server.data()).unwrap().any(|file| {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        content.windows(8).any(|window| pieces.contains(window))
    })
}

fn set(number: u32, target: &str, name: &str, value: &str) -> wire::Operation {
    let fields = vec![wire::Field { name: name.to_owned(), value: json!(value).to_string().into() }];
    let set = wire::Set { target: target.to_owned(), fields };
    wire::Operation { id: id(1, number), clock: 1, body: Some(operation::Body::Set(set)) }
}

#[tokio::test]
async fn its_devices_are_cut_off_and_turned_away_whenever_they_come_and_with_whatever_token() {
    let server = TestServer::start().await;
    let (short, expires_at) =
        common::token_for(server.addr, json!({"account": "alice", "ttl_seconds": 1})).await;
    let tokens = [token(server.addr, "alice").await, token(server.addr, "alice").await];
    let bound = json!({"account": "alice", "device_id": DeviceId::from([5; 16]).to_string()});
    let bound = common::token_for(server.addr, bound).await.0;
    let mut laptop = Client::greet(server.addr, hello(&tokens[0], "alice", 1)).await.ok().unwrap();
    let without_id = wire::Hello { passing: true, ..hello(&tokens[1], "alice", 2) };
    let mut passing = Client::greet(server.addr, without_id.clone()).await.ok().unwrap();
    let polls = hello(&tokens[1], "alice", 3);
    assert!(matches!(posted(&server, &polls, None).await[..], [Frame::Welcome(_)]));
    submitted(&mut laptop, vec![message(id(1, 1), "direct:bob", &json!("hi"))]).await;
    let mut bob = server.client("bob", 1).await;

    is_erased(&server, "alice").await;
    is_cut_off(&mut laptop).await;
    is_cut_off(&mut passing).await;
    assert!(!server.is_online("alice").await);
    common::until(expires_at).await;
    for hello in [
        hello(&tokens[0], "alice", 1),
        polls,
        without_id,
        hello(&tokens[0], "alice", 77),
        hello(&bound, "alice", 5),
        hello(&bound, "alice", 6),
        hello(&short, "alice", 1),
    ] {
        is_turned_away(&server, hello).await;
    }
    // Who has no token of it learns nothing of it.
    let bobs = token(server.addr, "bob").await;
    for token in [&bobs, "nonsense"] {
        let refused = Client::greet(server.addr, hello(token, "alice", 1)).await.err();
        assert!(matches!(refused, Some(Frame::Error(error)) if error.code == "auth"), "{token}");
    }
    let path = "/api/devices?user_id=alice";
    let refused = server.call_as("nonsense", Method::GET, path, String::new()).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    for token in tokens.iter().chain([&bound]) {
        assert_eq!(server.call_as(token, Method::GET, path, String::new()).await, refused);
        let body = json!({"user_id": "alice", "devices": ["d"]}).to_string();
        assert_eq!(server.call_as(token, Method::POST, "/api/devices", body).await, refused);
    }
    bob.pull_all(0).await;
}

#[tokio::test]
async fn a_device_that_comes_while_its_account_is_erased_does_not_stay() {
    let server = TestServer::start().await;
    for number in 0..60 {
        let account = format!("account {number}");
        let token = token(server.addr, &account).await;
        let body = json!({"user_id": account, "devices": ["d"]});
        server.call(Method::POST, "/api/devices", body).await;
        let erasing = async {
            // Sooner or later, so that it meets the hello everywhere on its way.
            for _ in 0..number % 10 {
                server.call(Method::GET, "/healthz", json!(null)).await;
            }
            is_erased(&server, &account.replace(' ', "%20")).await;
        };
        let hello = wire::Hello { passing: number % 2 == 0, ..hello(&token, &account, 1) };
        let ((), greeted) = tokio::join!(erasing, Client::greet(server.addr, hello));
        let last = match greeted {
            Ok(mut client) => client.next().await,
            Err(frame) => frame,
        };
        assert_eq!(last, revoked(), "{number}");
    }
}

#[tokio::test]
async fn others_are_told_what_became_of_its_messages_its_groups_and_that_it_is_gone() {
    let server = TestServer::start_with(&["--presence-grace", "0"]).await;
    let members = json!({"members": ["alice", "bob", "carol"]});
    server.call(Method::PUT, "/api/groups/team", members).await;
    let mut alice = server.client("alice", 1).await;
    submitted(
        &mut alice,
        vec![
            message(id(1, 1), "direct:bob", &json!("secret")),
            message(id(1, 2), "group:team", &json!("secret, all")),
        ],
    )
    .await;
    alice.pull_all(0).await;
    let status = wire::Hello { status: true, ..hello(&token(server.addr, "bob").await, "bob", 1) };
    let mut bob = Client::greet(server.addr, status).await.ok().unwrap();
    submitted(&mut bob, vec![message(id(2, 1), "direct:alice", &json!("mine"))]).await;
    let ask = client_frame::Frame::Ask(wire::Ask { account: "alice".to_owned() });
    let presence = async |bob: &mut Client| loop {
        match bob.next().await {
            Frame::Status(wire::Status { status: Some(Kind::Presence(it)) }) if it.account == "alice" => {
                break it;
            }
            Frame::Status(_) | Frame::Delta(_) => {}
            other => panic!("{other:?}"),
        }
    };
    // That she is there is told a moment after she came.
    eventually(async || {
        send(&mut bob.socket, ask.clone()).await;
        presence(&mut bob).await.availability() == Availability::Online
    })
    .await;
    let head = bob.pull_all(0).await.len() as u64;

    is_erased(&server, "alice").await;
    let (mut recalled, mut members, mut seen) = (Vec::new(), Vec::new(), None);
    while recalled.len() < 2 || members.is_empty() || seen.is_none() {
        match bob.next().await {
            Frame::Delta(delta) => {
                for event in delta.events.into_iter().filter(|event| event.seq > head) {
                    assert_eq!(event.operation, "");
                    match event.body {
                        Some(Body::Changed(message)) => {
                            assert!(
                                message.recalled && message.content.is_empty() && message.sender == "alice"
                            );
                            recalled.push(message.id);
                        }
                        Some(Body::Members(told)) => members.push(told.members),
                        other => panic!("{other:?}"),
                    }
                }
            }
            Frame::Status(wire::Status { status: Some(Kind::Presence(it)) }) if it.account == "alice" => {
                assert_eq!((it.availability(), it.last_seen), (Availability::Offline, 0));
                seen = Some(it);
            }
            Frame::Status(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(recalled, [id(1, 1), id(1, 2)]);
    assert_eq!(members, [["bob", "carol"]]);
    let (_, group) = server.call(Method::GET, "/api/groups/team", json!(null)).await;
    assert_eq!(group["members"], json!(["bob", "carol"]));
    send(&mut bob.socket, ask).await;
    assert_eq!(presence(&mut bob).await.last_seen, 0, "when she was there last is forgotten, too");

    // His own is there, and he goes on.
    let outcomes = bob.submit(vec![message(id(2, 2), "direct:alice", &json!("to nobody"))]).await;
    let refused = refusal(&outcomes[0]).unwrap();
    assert_eq!((&*refused.code, refused.retry_after), ("not-found", 0), "for good");
    submitted(&mut bob, vec![message(id(2, 3), "group:team", &json!("he goes on"))]).await;
    for account in ["bob", "carol"] {
        let log = format!("{:?}", server.client(account, 2).await.pull_all(0).await);
        assert!(!log.contains("secret") && log.contains("he goes on"), "{log}");
        assert_eq!(log.contains("mine"), account == "bob", "{log}");
    }
}

#[tokio::test]
async fn the_back_end_does_nothing_more_for_it_and_its_name_does_not_come_back() {
    let server = TestServer::start().await;
    let says = json!({"from": "alice", "to": "direct:bob", "content": "hi", "id": OperationId::from([1; 16]).to_string()});
    server.call(Method::POST, "/api/messages", says.clone()).await;
    let unknown = erase(&server, "nobody").await;
    assert_eq!((unknown.0, &unknown.1["error"]["code"]), (StatusCode::NOT_FOUND, &json!("not-found")));
    for _ in 0..2 {
        is_erased(&server, "alice").await;
    }
    let recall = format!("/api/messages/{}/recall", OperationId::from([1; 16]));
    let both = json!(["bob", "alice"]);
    for (method, path, body, field) in [
        (Method::POST, "/api/tokens", json!({"account": "alice"}), "account"),
        (Method::POST, "/api/devices", json!({"user_id": "alice", "devices": ["d"]}), "user_id"),
        (Method::POST, "/api/messages", says, "from"),
        (
            Method::POST,
            "/api/messages",
            json!({"from": "alice", "to": "group:team", "content": "hi"}),
            "from",
        ),
        (
            Method::POST,
            "/api/messages",
            json!({"from": "alice", "to": "direct:alice", "content": "hi"}),
            "from",
        ),
        (Method::POST, "/api/messages", json!({"from": "bob", "to": "direct:alice", "content": "hi"}), "to"),
        (Method::POST, &recall, json!({"from": "alice"}), "from"),
        (
            Method::POST,
            "/api/status",
            json!({"from": "alice", "to": "direct:bob", "type": "t", "content": 1}),
            "from",
        ),
        (Method::POST, "/api/notifications", json!({"accounts": both, "title": "t", "body": ""}), "accounts"),
        (Method::PUT, "/api/groups/team", json!({"members": both}), "members"),
    ] {
        let (status, answer) = server.call(method, path, body.clone()).await;
        let error = &answer["error"];
        assert_eq!((status, &error["code"]), (StatusCode::CONFLICT, &json!("conflict")), "{path}: {body}");
        assert_eq!((&error["field"], &error["message"]), (&json!(field), &json!("alice was erased")));
    }
    let group = server.call(Method::GET, "/api/groups/team", json!(null)).await;
    assert_eq!(group.0, StatusCode::NOT_FOUND);
    let devices = server.call(Method::GET, "/api/devices?user_id=alice", json!(null)).await;
    assert_eq!(devices, (StatusCode::OK, json!({"devices": []})));
    for method in [Method::DELETE, Method::PATCH] {
        let body = json!({"name": "x"});
        let answer = server.call(method, "/api/devices/d?user_id=alice", body).await;
        assert_eq!(answer.0, StatusCode::NOT_FOUND);
    }
    // Nor for who calls without a token, while another may.
    let (bobs, expected) = (token(server.addr, "bob").await, StatusCode::UNAUTHORIZED);
    for key in ["", &bobs] {
        let answer = server.call_as(key, Method::DELETE, "/api/accounts/bob", String::new()).await;
        assert_eq!(answer.0, expected);
    }
    let mut bob = server.client("bob", 1).await;
    assert_eq!(bob.pull_all(0).await.len(), 2, "a message and that it was recalled");
}

#[tokio::test]
async fn once_it_is_answered_no_file_of_the_server_holds_anything_of_it() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let long = "x".repeat(9_000);
    submitted(
        &mut alice,
        vec![
            message(id(1, 1), "direct:bob", &json!("hi")),
            message(id(1, 2), "direct:bob", &json!(long)),
            message(id(1, 3), "direct:alice", &json!("a note")),
            set(4, "direct:bob", "draft", "a draft"),
            set(5, "session:an article", "place", "a place"),
        ],
    )
    .await;
    let notification = json!({"accounts": ["alice"], "title": "t", "body": "b"});
    server.call(Method::POST, "/api/notifications", notification).await;
    let (p256dh, auth) = (Bytes::from_static(&POINT), Bytes::from_static(b"a secret of hers"));
    let endpoint = "https://fcm.googleapis.com/fcm/send/hers".to_owned();
    let what = Some(What::SetPush(SetPush { endpoint, p256dh, auth }));
    send(&mut alice.socket, client_frame::Frame::Manage(wire::Manage { number: 1, what })).await;
    assert!(matches!(alice.next().await, Frame::Managed(managed) if managed.code.is_empty()));
    let registered = json!({"user_id": "alice", "devices": ["alice's television", "alice's fridge"]});
    server.call(Method::POST, "/api/devices", registered).await;
    server.call(Method::DELETE, "/api/devices/alice's%20fridge?user_id=alice", json!(null)).await;
    let hers = server.client("bob", 1).await;
    drop(hers);
    let says = json!({"from": "bob", "to": "direct:alice", "content": "for her alone"});
    server.call(Method::POST, "/api/messages", says).await;
    server
        .call(Method::POST, "/api/messages", json!({"from": "bob", "to": "direct:carol", "content": "his"}))
        .await;

    let sealed = sealed_of(&server, "alice").await;
    // Three messages, two fields, the notification, its digest and five more, and the key.
    assert_eq!(sealed.len(), 13);
    let device = DeviceId::from([1; 16]).to_string();
    let plain = [
        &b"https://fcm.googleapis.com/fcm/send/hers"[..],
        b"a secret of hers",
        &POINT,
        b"alice's television",
        b"alice's fridge",
        b"session:an article",
        device.as_bytes(),
    ];
    for plain in plain {
        assert!(holds(server.data(), plain), "{}", String::from_utf8_lossy(plain));
    }
    assert!(holds_a_piece(&server, &sealed));
    is_erased(&server, "alice").await;
    assert!(!holds_a_piece(&server, &sealed));
    // Bob's device has an id like hers, and he has no push.
    for plain in plain.iter().filter(|plain| **plain != device.as_bytes()) {
        assert!(!holds(server.data(), plain), "{}", String::from_utf8_lossy(plain));
    }
    assert!(holds(server.data(), b"alice"), "her name is in the logs of others");
    let mut carol = server.client("carol", 1).await;
    assert!(format!("{:?}", carol.pull_all(0).await).contains("his"));
    server.client("bob", 1).await.pull_all(0).await;
}

#[tokio::test]
async fn an_erasure_that_was_interrupted_is_finished_by_a_server_that_starts_again() {
    let data = tempfile::tempdir().unwrap();
    let server = TestServer::start_in(data.path()).await;
    let own = token(server.addr, "alice").await;
    let mut alice = Client::greet(server.addr, hello(&own, "alice", 1)).await.ok().unwrap();
    submitted(&mut alice, vec![message(id(1, 1), "direct:bob", &json!("hi"))]).await;
    let sealed = sealed_of(&server, "alice").await;
    server.stop().await;
    let storage =
        SqliteStorage::open(&data.path().join("tutti.db"), &MasterKeys::new(MASTER_KEY)).await.unwrap();
    let erase = EraseAccount { account: "alice".to_owned(), now: Millis(1) };
    assert_eq!(perform(&storage, &erase).await.unwrap().0, Erasure::Begun);
    storage.close().await;

    let server = TestServer::start_in(data.path()).await;
    is_turned_away(&server, hello(&own, "alice", 1)).await;
    eventually(async || !holds_a_piece(&server, &sealed)).await;
    let mut bob = server.client("bob", 1).await;
    let log = bob.pull_all(0).await;
    assert!(matches!(&log[1].body, Some(Body::Changed(message)) if message.recalled), "{log:?}");
    is_erased(&server, "alice").await;
}

#[tokio::test]
async fn an_erasure_goes_on_though_who_asked_for_it_is_gone() {
    let args = ["--rate-burst", "100000", "--rate-per-second", "100000"];
    let server = TestServer::start_with(&args).await;
    let own = token(server.addr, "alice").await;
    let mut alice = Client::greet(server.addr, hello(&own, "alice", 1)).await.ok().unwrap();
    for batch in 0..20 {
        let number = |index: u32| id(1, batch * 100 + index);
        let sends = (0..100).map(|index| message(number(index), "direct:bob", &json!("hi")));
        submitted(&mut alice, sends.collect()).await;
    }
    let mut asking = TcpStream::connect(server.addr).await.unwrap();
    let key = common::SERVER_KEY;
    let request = format!(
        "DELETE /api/accounts/alice HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n"
    );
    asking.write_all(request.as_bytes()).await.unwrap();
    is_cut_off(&mut alice).await;
    drop(asking);
    eventually(async || {
        // A new one each time: it is not told by itself what it asks for.
        let log = server.client("bob", 1).await.pull_all(0).await;
        let is_recalled = |event: &&wire::Event| matches!(event.body, Some(Body::Changed(_)));
        log.iter().filter(is_recalled).count() == 2_000
    })
    .await;
    eventually(async || sealed_of(&server, "alice").await.is_empty()).await;
}

/// What was pushed.
type Pushed = Arc<Mutex<Vec<String>>>;

/// A push service that answers once it is let.
struct PushService {
    endpoint: String,
    pushed: Pushed,
    lets: watch::Sender<bool>,
}

impl PushService {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (pushed, lets) = (Arc::<Mutex<Vec<String>>>::default(), watch::Sender::new(false));
        let answer = async |State((pushed, mut let_go)): State<(Pushed, watch::Receiver<bool>)>,
                            request: Request| {
            pushed.lock().unwrap().push(request.uri().path().to_owned());
            let _ = let_go.wait_for(|let_go| *let_go).await;
            Status::CREATED
        };
        let app = Router::new().fallback(answer).with_state((pushed.clone(), lets.subscribe()));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { endpoint, pushed, lets }
    }

    fn count(&self, path: &str) -> usize {
        self.pushed.lock().unwrap().iter().filter(|pushed| *pushed == path).count()
    }
}

#[tokio::test]
async fn what_waits_to_be_pushed_to_it_is_cancelled() {
    // As many as are sent to one push service at a time.
    const SENT: usize = 8;
    let (busy, other) = (PushService::start().await, PushService::start().await);
    let server =
        TestServer::start_with(&["--push-service", &busy.endpoint, "--push-service", &other.endpoint]).await;
    for (account, service) in [("alice", &busy), ("carol", &busy), ("bob", &other)] {
        let polls = hello(&token(server.addr, account).await, account, 1);
        let push = set_push(&format!("{}/{account}", service.endpoint));
        match &posted(&server, &polls, Some(push)).await[..] {
            [Frame::Welcome(_), Frame::Managed(managed)] => assert_eq!(managed.code, ""),
            answers => panic!("{answers:?}"),
        }
    }
    let notify = async |account: &str| {
        let body = json!({"accounts": [account], "title": "t", "body": "b"});
        assert_eq!(server.call(Method::POST, "/api/notifications", body).await.0, StatusCode::OK);
    };
    for _ in 0..=SENT {
        notify("alice").await;
    }
    eventually(async || busy.count("/alice") == SENT).await;
    notify("carol").await;
    is_erased(&server, "alice").await;
    // What was committed is followed up in its order: once Bob is pushed to, that she is erased was.
    notify("bob").await;
    eventually(async || other.count("/bob") == 1).await;
    busy.lets.send_replace(true);
    eventually(async || busy.count("/carol") == 1).await;
    assert_eq!(busy.count("/alice"), SENT, "what was on its way, and no more");
}
