//! The simulator's server beside the real one: the same happens to both, over real sockets, and each frame
//! that one sends the other must send, too. The devices hear the real one.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    process::Stdio,
};

use bytes::Bytes;
use common::{PATIENCE, SERVER_KEY, Socket, open, token};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    runtime::Runtime,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;
use tutti_protocol::{
    OperationId, codec, limits, sequence,
    wire::{self, Event, client_frame, event, server_frame::Frame},
};
use tutti_simulator::{
    history::History,
    server::{self, Mirror, Said, Wire},
    vocabulary::Climate,
};

const HISTORIES: u64 = 200;

/// What only a simulated server can be made to do.
const SIMULATED: &[&str] = &[
    "rate limit",
    "full disk",
    "back up",
    "restore",
    "restore, and send again",
    "goodbye",
    "flood",
    "trim",
    "days",
];

#[test]
fn the_simulated_server_says_what_the_real_one_says() {
    let (mut compared, mut seed) = (0, 0);
    let mut words: BTreeMap<&str, u64> = BTreeMap::new();
    while compared < HISTORIES {
        seed += 1;
        let mut history = History::generate(seed, Climate::Chaos);
        history.steps.retain(|step| !SIMULATED.contains(&step.word.name));
        let mut fit = false;
        let outcome = history.play_in(
            &mut |world| {
                let accounts: Vec<String> =
                    world.profiles.iter().map(|place| place.account.clone()).collect();
                let members = &world.server.views(&accounts[0])["group:team"].members;
                fit = world.server.storage.log("ben").len() <= 1;
                if fit {
                    let mut twin = Twin::start();
                    twin.set_group("team", &members.iter().map(String::as_str).collect::<Vec<_>>());
                    world.server.storage.set_page_events(limits::PAGE_EVENTS);
                    world.server.mirror(Box::new(twin));
                }
            },
            &mut |_, _| {},
        );
        assert_eq!(outcome.failure, None, "seed {seed}");
        if fit {
            compared += 1;
            outcome.words.into_iter().for_each(|(word, times)| *words.entry(word).or_default() += times);
        }
    }
    println!("{compared} histories: {words:#?}");
    assert!(words["server dies"] > 50 && words["places"] > 50, "{words:?}");
}

/// A real server, and the other end of its connections.
#[derive(Debug)]
struct Twin {
    runtime: Runtime,
    http: reqwest::Client,
    data: TempDir,
    process: Child,
    addr: SocketAddr,
    tokens: BTreeMap<String, String>,
    connections: BTreeMap<Wire, Connection>,
}

#[derive(Debug)]
enum Connection {
    Socket(Box<Socket>),
    Post { hello: Option<Bytes>, answers: VecDeque<Bytes> },
}

impl Twin {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let data = tempfile::tempdir().unwrap();
        let (process, addr) = runtime.block_on(start(&data, "127.0.0.1:0".parse().unwrap()));
        let (tokens, connections) = Default::default();
        Self { runtime, http: reqwest::Client::new(), data, process, addr, tokens, connections }
    }

    fn call(&self, method: Method, path: &str, body: Value) {
        let request = self.http.request(method, format!("http://{}{path}", self.addr));
        let request = request.bearer_auth(SERVER_KEY).body(body.to_string());
        let response = self.runtime.block_on(request.send()).unwrap();
        assert!(response.status().is_success() || response.status() == 404, "{path}: {response:?}");
    }

    /// What a client sends, with a token that is good here if it was good there.
    fn translated(&mut self, frame: &Bytes) -> Bytes {
        let mut decoded = codec::decode_client(frame.clone()).unwrap();
        if let Some(client_frame::Frame::Hello(hello)) = &mut decoded.frame
            && hello.token == server::token(&hello.account)
        {
            let addr = self.addr;
            let real = self.tokens.entry(hello.account.clone());
            hello.token = real.or_insert_with(|| self.runtime.block_on(token(addr, &hello.account))).clone();
        }
        codec::encode(&decoded)
    }

    fn next(&mut self, wire: Wire) -> Option<Bytes> {
        match self.connections.get_mut(&wire).expect("a connection") {
            Connection::Post { answers, .. } => answers.pop_front(),
            Connection::Socket(socket) => {
                let next = async {
                    loop {
                        match socket.next().await {
                            Some(Ok(Message::Binary(bytes))) if is_status(&bytes) => {}
                            Some(Ok(Message::Binary(bytes))) => return Some(bytes),
                            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                            Some(Ok(_)) => {}
                        }
                    }
                };
                self.runtime.block_on(async { timeout(PATIENCE, next).await }).expect("it says something")
            }
        }
    }
}

async fn start(data: &TempDir, addr: SocketAddr) -> (Child, SocketAddr) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_tutti-server"))
        .args(["--dev", "--rate-burst", "1000000", "--rate-per-second", "1000000"])
        .args(["--server-key", SERVER_KEY, "--listen", &addr.to_string(), "--data"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("it listens");
    (process, line.strip_prefix("listening on http://").unwrap().parse().unwrap())
}

impl Mirror for Twin {
    fn opened(&mut self, wire: Wire, post: bool) {
        let connection = if post {
            Connection::Post { hello: None, answers: VecDeque::new() }
        } else {
            let socket = self.runtime.block_on(open(self.addr, Some("tutti.v1"), None)).unwrap();
            Connection::Socket(Box::new(socket))
        };
        self.connections.insert(wire, connection);
    }

    fn received(&mut self, wire: Wire, frame: &Bytes) {
        let frame = self.translated(frame);
        match self.connections.get_mut(&wire).expect("a connection") {
            Connection::Socket(socket) => {
                self.runtime.block_on(socket.send(Message::Binary(frame))).unwrap();
            }
            Connection::Post { hello, answers } => {
                // As browsers do it: the hello goes before each frame, and its welcome counts once.
                let body = match hello {
                    Some(hello) => sequence::join([&*hello, &frame]),
                    None => sequence::join([&frame]),
                };
                let skip = usize::from(hello.is_some());
                hello.get_or_insert(frame);
                let post = self.http.post(format!("http://{}/sync", self.addr)).body(body);
                let post = post.header("Content-Type", "application/octet-stream");
                let answer =
                    self.runtime.block_on(async { post.send().await?.error_for_status()?.bytes().await });
                let frames = sequence::split(answer.unwrap(), 2, limits::SERVER_FRAME).unwrap();
                let skip = if frames.len() > skip { skip } else { 0 };
                answers.extend(frames.into_iter().skip(skip));
            }
        }
    }

    fn closed(&mut self, wire: Wire) {
        if let Some(Connection::Socket(mut socket)) = self.connections.remove(&wire) {
            // Until the server knows it.
            let close = async {
                let _ = socket.close().await;
                while let Some(Ok(_)) = socket.next().await {}
            };
            self.runtime.block_on(async { timeout(PATIENCE, close).await }).expect("it closes");
        }
    }

    fn set_group(&mut self, id: &str, members: &[&str]) {
        let path = format!("/api/groups/{id}");
        match members {
            [] => self.call(Method::DELETE, &path, Value::Null),
            _ => self.call(Method::PUT, &path, json!({"members": members})),
        }
    }

    fn post(&mut self, sender: &str, conversation: &str, id: OperationId, content: &str) {
        let content: Value = serde_json::from_str(content).unwrap();
        let message = json!({
            "from": sender, "to": conversation, "content": content, "id": id.to_string(), "isIncludeSender": true,
        });
        self.call(Method::POST, "/api/messages", message);
    }

    fn notify(&mut self, accounts: &BTreeSet<String>, notification: &wire::Notification) {
        let id = |bytes: &Bytes| OperationId::try_from(bytes).map(|id| id.to_string()).ok();
        let data: Value = serde_json::from_slice(&notification.data).unwrap();
        let notification = json!({
            "accounts": accounts, "title": notification.title, "body": notification.body, "data": data,
            "id": id(&notification.id), "message": id(&notification.message),
        });
        self.call(Method::POST, "/api/notifications", notification);
    }

    fn set_places(&mut self, places: usize) {
        self.call(Method::PUT, "/api/settings", json!({"limits": {"web": places}}));
    }

    fn restart(&mut self) {
        self.connections.clear();
        self.runtime.block_on(self.process.kill()).unwrap();
        (self.process, self.addr) = self.runtime.block_on(start(&self.data, self.addr));
        // Between them, connections of the client are made anew.
        self.http = reqwest::Client::new();
    }

    fn said(&mut self, expected: Vec<Said>) -> Vec<Said> {
        let mut said = Vec::with_capacity(expected.len());
        for (wire, frame) in expected {
            // The process that it was a connection to is dead.
            if !self.connections.contains_key(&wire) {
                assert_eq!(frame, None, "connection {wire} is over");
                said.push((wire, None));
                continue;
            }
            let Some(frame) = frame else {
                if let Connection::Socket(_) = self.connections[&wire] {
                    assert_eq!(self.next(wire).map(comparable), None, "connection {wire} is to end");
                }
                said.push((wire, None));
                continue;
            };
            if is_status(&frame) {
                said.push((wire, Some(frame)));
                continue;
            }
            let real = self.next(wire);
            let comparable_real = real.clone().map(comparable);
            assert_eq!(comparable_real, Some(comparable(frame.clone())), "on connection {wire}");
            said.push((wire, real.map(|real| with_time_of(real, frame))));
        }
        said
    }
}

/// A welcome with the time of another, by which the clients of the simulation set their clocks, and no more than the
/// other can do; a list of devices with the times of another, with which those of the clients are compared; any other
/// frame as it is.
fn with_time_of(real: Bytes, simulated: Bytes) -> Bytes {
    let mut real = codec::decode_server(real).unwrap();
    match (&mut real.frame, codec::decode_server(simulated).unwrap().frame) {
        (Some(Frame::Welcome(real)), Some(Frame::Welcome(simulated))) => {
            real.server_time = simulated.server_time;
            (real.devices, real.token_ttl) = (simulated.devices, simulated.token_ttl);
        }
        (Some(Frame::Managed(real)), Some(Frame::Managed(simulated))) => real.devices = simulated.devices,
        _ => {}
    }
    codec::encode(&real)
}

fn without_times(event: &mut Event) {
    match &mut event.body {
        Some(event::Body::Message(message) | event::Body::Changed(message)) => without_time(message),
        Some(event::Body::Fields(fields)) => fields.updated_at = 0,
        Some(event::Body::Notification(notification)) => notification.created_at = 0,
        _ => {}
    }
}

fn without_time(message: &mut wire::Message) {
    (message.sent_at, message.edited_at) = (0, message.edited_at.min(1));
}

/// Whether a frame is one that comes between the others, later on a real server than on a simulated one, or not
/// at all. `status.rs` compares them.
fn is_status(frame: &Bytes) -> bool {
    matches!(codec::decode_server(frame.clone()).unwrap().frame, Some(Frame::Status(_)))
}

/// A frame without what two servers do not have in common: clocks, names of logs, and words for people.
fn comparable(frame: Bytes) -> Frame {
    let mut frame = codec::decode_server(frame).unwrap().frame.unwrap();
    match &mut frame {
        Frame::Welcome(welcome) => {
            welcome.log = Bytes::new();
            welcome.server_time = 0;
            welcome.ping_interval = 0;
            welcome.token_ttl = 0;
            welcome.devices = false;
        }
        Frame::Delta(delta) => delta.events.iter_mut().for_each(without_times),
        Frame::Snapshot(snapshot) => {
            snapshot.events.iter_mut().for_each(without_times);
            snapshot.from = 0;
            [&mut snapshot.place, &mut snapshot.next].into_iter().flatten().for_each(|place| place.from = 0);
        }
        Frame::History(history) => history.messages.iter_mut().for_each(without_time),
        Frame::Limit(limit) => {
            for connection in &mut limit.connections {
                (connection.name, connection.since, connection.platform) = Default::default();
            }
            limit.connections.sort_by(|a, b| a.device.cmp(&b.device));
        }
        Frame::Bye(bye) => bye.wait = 0,
        Frame::Error(error) => error.message = String::new(),
        Frame::Refreshed(refreshed) => refreshed.token_ttl = 0,
        Frame::Managed(managed) => {
            managed.message = String::new();
            if let Some(list) = &mut managed.devices {
                // Two that were registered in one moment there were not in one here.
                list.devices.sort_by(|a, b| a.id.cmp(&b.id));
                list.devices.iter_mut().for_each(|it| (it.registered_at, it.last_seen) = (0, 0));
            }
        }
        Frame::Submitted(_) | Frame::Pong(_) | Frame::Status(_) | Frame::Revoked(_) => {}
    }
    frame
}
