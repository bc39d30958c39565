//! Devices without a lasting id: the server serves them as any other, and neither its files nor its log ever hold the
//! id that they have for now.

mod common;

use std::{fs, fs::File, net::SocketAddr, path::Path, process::Stdio};

use bytes::Bytes;
use common::{Client, PATIENCE, accepted_seq, hello, id, listens, message, receive, send, token};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use tutti_protocol::{
    DeviceId,
    wire::{self, Platform, client_frame, event, operation::Body, server_frame::Frame},
};

/// Ids that pass; nothing else in the world is like them.
const PASSING: [u8; 3] = [0xab, 0xac, 0xad];
/// One that lasts.
const LASTING: u8 = 0xee;

/// The real binary. Beside its data lies all that it says.
struct Process {
    child: Child,
    addr: SocketAddr,
    data: TempDir,
}

impl Process {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let log = File::create(data.path().join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_tutti-server"))
            .args(["--listen", "127.0.0.1:0", "--dev", "--data"])
            .arg(data.path())
            .env("RUST_LOG", "tutti_server=trace")
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let addr = listens(&mut child, "http://").await;
        Self { child, addr, data }
    }

    async fn device(&self, account: &str, device: u8, platform: Platform) -> Result<Client, Frame> {
        let hello = hello(&token(self.addr, account).await, account, device);
        let passing = PASSING.contains(&device);
        Client::greet(self.addr, wire::Hello { passing, platform: platform.into(), ..hello }).await
    }

    async fn get(&self, path: &str) -> Value {
        let request = reqwest::Client::new().get(format!("http://{}{path}", self.addr));
        let token = token(self.addr, "alice").await;
        request.bearer_auth(token).send().await.unwrap().json().await.unwrap()
    }

    async fn keep_in_step(&self, enabled: bool) {
        let key = fs::read_to_string(self.data.path().join("server.key")).unwrap();
        let request = reqwest::Client::new().put(format!("http://{}/api/settings", self.addr));
        let body = json!({ "sync_enabled": enabled }).to_string();
        assert!(request.bearer_auth(key.trim()).body(body).send().await.unwrap().status().is_success());
    }

    /// Has it stop in good order, and gives what it leaves.
    async fn stop(mut self) -> TempDir {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        assert!(timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().success());
        self.data
    }
}

/// Whether any file holds a device's id: as bytes, or in one of the ways in which programs write them.
fn holds(directory: &Path, device: u8) -> bool {
    let id = [device; 16];
    let escaped: String = id.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let hex = format!("{device:02x}").repeat(16);
    let needles = [
        id.to_vec(),
        DeviceId::from(id).to_string().into(),
        escaped.into(),
        hex.into(),
        format!("{id:?}").into(),
    ];
    fs::read_dir(directory).unwrap().any(|entry| {
        let content = fs::read(entry.unwrap().path()).unwrap();
        needles.iter().any(|needle| content.windows(needle.len()).any(|window| window == needle))
    })
}

fn operation(number: u32, clock: u64, body: Body) -> wire::Operation {
    wire::Operation { id: id(1, number), clock, body: Some(body) }
}

fn set(number: u32, clock: u64, value: &str) -> wire::Operation {
    let field = wire::Field { name: "time".to_owned(), value: value.to_owned().into() };
    operation(number, clock, Body::Set(wire::Set { target: "session:track".to_owned(), fields: vec![field] }))
}

fn fields(events: &[wire::Event]) -> Option<&wire::Fields> {
    events.iter().rev().find_map(|event| match &event.body {
        Some(event::Body::Fields(fields)) => Some(fields),
        _ => None,
    })
}

fn contents(events: &[wire::Event]) -> Vec<Bytes> {
    let message = |event: &wire::Event| match &event.body {
        Some(event::Body::Message(message)) => Some(message.content.clone()),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

#[tokio::test]
async fn an_id_that_passes_is_told_where_it_is_needed_and_kept_nowhere() {
    let server = Process::start().await;
    let mut passing = server.device("alice", PASSING[0], Platform::Web).await.expect("a welcome");
    let mut lasting = server.device("alice", LASTING, Platform::Web).await.expect("a welcome");
    let edit = wire::Edit { message: id(1, 1), content: "\"edited\"".into() };
    let done = [
        message(id(1, 1), "direct:bob", &json!("hi")),
        operation(2, 1, Body::Edit(edit)),
        set(3, 5, "1"),
        common::mark_read(id(1, 4), "direct:bob", 1),
    ];
    passing.submit(done.to_vec()).await;
    let events = lasting.pull_all(0).await;
    let Some(event::Body::Message(message)) = &events[0].body else { panic!("{events:?}") };
    assert_eq!((&message.content[..], &message.device[..]), (&b"\"edited\""[..], &b""[..]));
    assert_eq!(fields(&events).unwrap().device, Bytes::new(), "nobody is told who set it");

    // The later clock decides, and of one device what comes last.
    let earlier = lasting.submit(vec![set(5, 4, "2")]).await;
    assert_eq!(accepted_seq(&earlier[0]), Some(0));
    passing.submit(vec![set(6, 1, "3")]).await;
    assert_eq!(fields(&lasting.delta().await.events).unwrap().fields[0].value, "3");
    lasting.submit(vec![set(7, 6, "4")]).await;
    assert_eq!(fields(&lasting.delta().await.events).unwrap().fields[0].value, "4");

    let ids = |list: &Value, name: &str| -> Vec<String> {
        list.as_array().unwrap().iter().map(|it| it[name].as_str().unwrap().to_owned()).collect()
    };
    let [first, second] = [PASSING[0], LASTING].map(|device| DeviceId::from([device; 16]).to_string());
    let devices = server.get("/api/devices?user_id=alice").await;
    assert_eq!(ids(&devices["devices"], "id"), std::slice::from_ref(&second));
    let connections = server.get("/api/connections?user_id=alice").await;
    assert_eq!(ids(&connections["connections"], "device_id"), [first, second]);

    drop((passing, lasting));
    let data = server.stop().await;
    assert!(holds(data.path(), LASTING), "what lasts is found");
    assert!(!holds(data.path(), PASSING[0]));
}

#[tokio::test]
async fn with_the_switch_off_what_came_for_one_is_there_under_its_next_id() {
    let server = Process::start().await;
    server.keep_in_step(false).await;
    let mut bob = server.device("bob", LASTING, Platform::Web).await.expect("a welcome");
    let mut first = server.device("alice", PASSING[0], Platform::Web).await.expect("a welcome");
    first.pull_all(0).await;
    bob.submit(vec![message(id(2, 1), "direct:alice", &json!("missed"))]).await;

    // Who comes next is told who has the place, and may take it.
    let Err(Frame::Limit(limit)) = server.device("alice", PASSING[1], Platform::Web).await else {
        panic!("there is one place");
    };
    assert_eq!(limit.connections[0].device, Bytes::from(vec![PASSING[0]; 16]));
    let mut polls = common::open(server.addr, Some("tutti.v1"), None).await.unwrap();
    let robbing = wire::Hello {
        passing: true,
        take_over: limit.connections[0].device.clone(),
        ..hello(&token(server.addr, "alice").await, "alice", PASSING[1])
    };
    send(&mut polls, client_frame::Frame::Hello(robbing)).await;
    assert!(matches!(receive(&mut polls).await, Some(Frame::Welcome(_))));
    drop((first, polls));
    let mut back = None;
    common::eventually(async || {
        back = server.device("alice", PASSING[2], Platform::Web).await.ok();
        back.is_some()
    })
    .await;
    let mut back = back.expect("a welcome");
    assert_eq!(contents(&back.pull_all(0).await), [Bytes::from_static(b"\"missed\"")]);
    let mut phone = server.device("alice", LASTING, Platform::Mobile).await.expect("a welcome");
    assert!(contents(&phone.pull_all(0).await).is_empty(), "it is not for another one");

    // What nobody is there for waits for the first that comes.
    drop((back, phone));
    common::eventually(async || {
        server.get("/api/connections?user_id=alice").await["connections"] == json!([])
    })
    .await;
    bob.submit(vec![message(id(2, 2), "direct:alice", &json!("waits"))]).await;
    let mut next = server.device("alice", PASSING[0], Platform::Mobile).await.expect("a welcome");
    assert_eq!(contents(&next.pull_all(1).await), [Bytes::from_static(b"\"waits\"")]);
    next.submit(vec![message(id(1, 9), "direct:bob", &json!("its own"))]).await;
    assert_eq!(contents(&next.pull_all(2).await), [Bytes::from_static(b"\"its own\"")]);
    drop((next, bob));
    let data = server.stop().await;
    assert!(holds(data.path(), LASTING));
    assert!(!PASSING.iter().any(|device| holds(data.path(), *device)));
}
