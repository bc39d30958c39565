//! A server on a port of its own, and clients that speak to it over the network.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::{
    collections::VecDeque,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use clap::Parser as _;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader},
    net::TcpStream,
    process::Child,
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest as _},
};
use tutti_protocol::{
    codec, limits, sequence,
    wire::{self, client_frame, operation::Body, outcome, server_frame::Frame},
};
use tutti_server::{Config, Server};

/// Nothing that is waited for here takes this long unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const SERVER_KEY: &str = "a key for the tests alone";
pub(crate) const MASTER_KEY: &str = "a master key for the tests alone";

/// A point of P-256, uncompressed: its generator (FIPS 186-5).
pub(crate) const POINT: [u8; 65] = [
    0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
    0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f,
    0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce,
    0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
];

/// A server in this process.
pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
    data: PathBuf,
    _data: Option<TempDir>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With further arguments.
    pub(crate) async fn start_with(args: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Self::run(&config(data.path(), args)).await;
        Self { _data: Some(data), ..server }
    }

    /// As it runs in earnest: without what it does for who develops.
    pub(crate) async fn start_in_earnest(args: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Self::run(&Config { dev: false, ..config(data.path(), args) }).await;
        Self { _data: Some(data), ..server }
    }

    /// On what another has left in this directory.
    pub(crate) async fn start_in(data: &Path) -> Self {
        Self::run(&config(data, &[])).await
    }

    async fn run(config: &Config) -> Self {
        let server = Server::start(config).await.unwrap();
        let addr = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            server.run(stop).await.unwrap();
        });
        Self { addr, stop: Some(stop), running: Some(running), data: config.data.clone(), _data: None }
    }

    /// Stops it in good order, and waits until it has.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, self.running.take().unwrap()).await.expect("it stops").unwrap();
    }

    /// Tells it to stop, and does not wait.
    pub(crate) fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// The directory in which it keeps everything.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) async fn client(&self, account: &str, device: u8) -> Client {
        Client::connect(self.addr, account, device).await
    }

    /// Whether a device of this account is connected.
    pub(crate) async fn is_online(&self, account: &str) -> bool {
        let path = format!("/api/connections?user_id={account}");
        let (_, answer) = self.call(Method::GET, &path, json!(null)).await;
        answer["connections"] != json!([])
    }

    /// Calls the API as the application's back end.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        self.call_as(SERVER_KEY, method, path, body.to_string()).await
    }

    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: String,
    ) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", self.addr);
        let request = reqwest::Client::new().request(method, url).body(body);
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        (status, body)
    }
}

/// The headers that sign one request as a back end does that was written against another service.
pub(crate) fn signature(secret: &str) -> Vec<(&'static str, String)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    signature_for("an application", secret, u64::try_from(now.as_millis()).unwrap())
}

/// The same for an application and a time, in milliseconds.
pub(crate) fn signature_for(app: &str, secret: &str, at: u64) -> Vec<(&'static str, String)> {
    let (nonce, at) = (getrandom::u64().unwrap().to_string(), at.to_string());
    let signed = [secret, &nonce, &at].concat();
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, signed.as_bytes());
    let signature = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    vec![("App-Key", app.to_owned()), ("Nonce", nonce), ("Timestamp", at), ("Signature", signature)]
}

/// Posts a form with these headers.
pub(crate) async fn publish(
    server: &TestServer,
    path: &str,
    headers: &[(&'static str, String)],
    form: String,
) -> (StatusCode, Value) {
    let request = reqwest::Client::new().post(format!("http://{}{path}", server.addr)).body(form);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

pub(crate) fn config(data: &Path, args: &[&str]) -> Config {
    let data = data.to_str().unwrap();
    let base = ["tutti-server", "--listen", "127.0.0.1:0", "--data", data, "--dev"];
    let keys = ["--server-key", SERVER_KEY, "--master-key", MASTER_KEY];
    let base = [&base[..], &keys].concat();
    Config::parse_from(base.iter().chain(args))
}

/// Where the real binary, which was just started, listens.
pub(crate) async fn listens(child: &mut Child, scheme: &str) -> SocketAddr {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    line.strip_prefix("listening on ").unwrap().strip_prefix(scheme).unwrap().parse().unwrap()
}

/// A user token.
pub(crate) async fn token(addr: SocketAddr, account: &str) -> String {
    token_for(addr, json!({ "account": account })).await.0
}

/// A user token as this asks for it, and when it expires.
pub(crate) async fn token_for(addr: SocketAddr, asked: Value) -> (String, u64) {
    let request = reqwest::Client::new().post(format!("http://{addr}/api/tokens"));
    let answer: Value = request.body(asked.to_string()).send().await.unwrap().json().await.unwrap();
    (answer["token"].as_str().unwrap().to_owned(), answer["expires_at"].as_u64().unwrap())
}

/// Waits until this time has come, in milliseconds since the Unix epoch.
pub(crate) async fn until(time: u64) {
    let then = UNIX_EPOCH + Duration::from_millis(time);
    sleep(then.duration_since(SystemTime::now()).unwrap_or_default()).await;
}

/// What carries a WebSocket.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a WebSocket that may come from a page of some origin.
pub(crate) async fn open(
    addr: SocketAddr,
    protocol: Option<&str>,
    origin: Option<&str>,
) -> Result<Socket, tungstenite::Error> {
    let mut request = format!("ws://{addr}/sync").into_client_request().unwrap();
    let headers = request.headers_mut();
    if let Some(protocol) = protocol {
        headers.insert("Sec-WebSocket-Protocol", protocol.parse().unwrap());
    }
    if let Some(origin) = origin {
        headers.insert("Origin", origin.parse().unwrap());
    }
    connect_async(request).await.map(|(socket, _)| socket)
}

/// A device, as the server sees one.
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) welcome: wire::Welcome,
    deltas: VecDeque<wire::Delta>,
    /// What was told while something else was waited for.
    pub(crate) statuses: VecDeque<wire::Status>,
}

impl Client {
    pub(crate) async fn connect(addr: SocketAddr, account: &str, device: u8) -> Self {
        let hello = hello(&token(addr, account).await, account, device);
        Self::greet(addr, hello).await.expect("a welcome")
    }

    /// Says hello, and gets a welcome or how the server ended it.
    pub(crate) async fn greet(addr: SocketAddr, hello: wire::Hello) -> Result<Self, Frame> {
        let mut socket = open(addr, Some("tutti.v1"), None).await.unwrap();
        send(&mut socket, client_frame::Frame::Hello(hello)).await;
        match receive(&mut socket).await.expect("an answer") {
            Frame::Welcome(welcome) => {
                Ok(Self { socket, welcome, deltas: VecDeque::new(), statuses: VecDeque::new() })
            }
            other => Err(other),
        }
    }

    pub(crate) async fn submit(&mut self, operations: Vec<wire::Operation>) -> Vec<wire::Outcome> {
        send(&mut self.socket, client_frame::Frame::Submit(wire::Submit { operations })).await;
        loop {
            match self.next().await {
                Frame::Submitted(submitted) => return submitted.outcomes,
                Frame::Delta(delta) => self.deltas.push_back(delta),
                Frame::Status(status) => self.statuses.push_back(status),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Asks for the page after a cursor, and gets it or how the server ended it.
    pub(crate) async fn pull(&mut self, after: u64) -> wire::Delta {
        send(&mut self.socket, client_frame::Frame::Pull(wire::Pull { after })).await;
        self.delta().await
    }

    /// The next page, asked for or pushed.
    pub(crate) async fn delta(&mut self) -> wire::Delta {
        if let Some(delta) = self.deltas.pop_front() {
            return delta;
        }
        loop {
            match self.next().await {
                Frame::Delta(delta) => return delta,
                Frame::Status(status) => self.statuses.push_back(status),
                other => panic!("{other:?}"),
            }
        }
    }

    /// All events after a cursor.
    pub(crate) async fn pull_all(&mut self, mut after: u64) -> Vec<wire::Event> {
        let mut events = Vec::new();
        loop {
            let page = self.pull(after).await;
            assert_eq!(page.after, after);
            after = page.next;
            events.extend(page.events);
            if page.next == page.head {
                return events;
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Frame {
        receive(&mut self.socket).await.expect("a frame")
    }
}

pub(crate) fn hello(token: &str, account: &str, device: u8) -> wire::Hello {
    wire::Hello {
        token: token.to_owned(),
        account: account.to_owned(),
        device: Bytes::copy_from_slice(&[device; 16]),
        device_name: format!("device {device}"),
        platform: wire::Platform::Web.into(),
        ..wire::Hello::default()
    }
}

pub(crate) async fn send<S: Stream>(socket: &mut WebSocketStream<S>, frame: client_frame::Frame) {
    let frame = wire::ClientFrame { frame: Some(frame) };
    socket.send(Message::Binary(codec::encode(&frame))).await.unwrap();
}

/// The next frame; `None` once the server has closed.
pub(crate) async fn receive<S: Stream>(socket: &mut WebSocketStream<S>) -> Option<Frame> {
    let next = async {
        loop {
            match socket.next().await? {
                Ok(Message::Binary(bytes)) => return codec::decode_server(bytes).unwrap().frame,
                Ok(Message::Close(_)) => return None,
                // The server's pings keep no test alive.
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(PATIENCE, next).await.expect("something to happen")
}

/// The code of the error that a connection ends with; nothing may follow it.
pub(crate) async fn ends_with_error(socket: &mut Socket) -> String {
    // What was on its way may come before it.
    let ending = loop {
        match receive(socket).await {
            Some(Frame::Delta(_)) => {}
            ending => break ending,
        }
    };
    match ending {
        Some(Frame::Error(error)) => {
            assert_eq!(receive(socket).await, None);
            error.code
        }
        other => panic!("{other:?}"),
    }
}

/// Posts frames, and gets those that answer.
pub(crate) async fn post(server: &TestServer, body: Bytes, origin: Option<&str>) -> (StatusCode, Vec<Frame>) {
    let mut request = reqwest::Client::new().post(format!("http://{}/sync", server.addr)).body(body);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.bytes().await.unwrap();
    let frames = if status == StatusCode::OK {
        sequence::split(body, 2, limits::SERVER_FRAME).unwrap()
    } else {
        Vec::new()
    };
    (status, frames.into_iter().map(|frame| codec::decode_server(frame).unwrap().frame.unwrap()).collect())
}

pub(crate) fn framed(frame: client_frame::Frame) -> Bytes {
    codec::encode(&wire::ClientFrame { frame: Some(frame) })
}

/// Waits until something holds, asking again and again.
pub(crate) async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    timeout(PATIENCE, async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it to come true");
}

/// Whether these bytes are in any file of a directory.
pub(crate) fn holds(directory: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return holds(&path, bytes);
        }
        std::fs::read(path).unwrap().windows(bytes.len()).any(|window| window == bytes)
    })
}

/// An id that no other in the test has.
pub(crate) fn id(sender: u8, number: u32) -> Bytes {
    let mut id = [sender; 16];
    id[..4].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&id)
}

pub(crate) fn message(id: Bytes, conversation: &str, content: &Value) -> wire::Operation {
    let send = wire::Send {
        conversation: conversation.to_owned(),
        r#type: "text".to_owned(),
        content: content.to_string().into(),
    };
    wire::Operation { id, clock: 1, body: Some(Body::Send(send)) }
}

pub(crate) fn mark_read(id: Bytes, conversation: &str, position: u64) -> wire::Operation {
    let read = wire::MarkRead { conversation: conversation.to_owned(), position };
    wire::Operation { id, clock: 1, body: Some(Body::MarkRead(read)) }
}

pub(crate) fn accepted_seq(outcome: &wire::Outcome) -> Option<u64> {
    match &outcome.result {
        Some(outcome::Result::Accepted(accepted)) => Some(accepted.seq),
        _ => None,
    }
}

pub(crate) fn refusal(outcome: &wire::Outcome) -> Option<&wire::Refused> {
    match &outcome.result {
        Some(outcome::Result::Refused(refused)) => Some(refused),
        _ => None,
    }
}
