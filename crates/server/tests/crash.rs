//! The real binary, killed.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::Path,
    process::Stdio,
    sync::Arc,
};

use bytes::Bytes;
use common::{Client, PATIENCE, hello, id, listens, message, open, token};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    sync::Semaphore,
    time::timeout,
};
use tokio_tungstenite::tungstenite::Message;
use tutti_protocol::{
    codec,
    wire::{self, client_frame, event, server_frame::Frame},
};

/// The binary, running.
struct Process {
    child: Child,
    addr: SocketAddr,
}

impl Process {
    async fn start(data: &Path) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_tutti-server")), data).await
    }

    /// Started by a command that takes its arguments.
    async fn start_by(mut command: Command, data: &Path) -> Self {
        let mut child = command
            .args(["--listen", "127.0.0.1:0", "--dev"])
            .args(["--rate-burst", "1000000", "--rate-per-second", "1000000"])
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let addr = listens(&mut child, "http://").await;
        Self { child, addr }
    }

    /// SIGKILL: nothing is finished, nothing is flushed.
    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

const SENDERS: u8 = 20;
const BATCH: u32 = 5;

/// What a sender has done: all its operations in order, and the ids that the server has confirmed.
#[derive(Default)]
struct Sender {
    sent: Vec<wire::Operation>,
    confirmed: BTreeMap<Bytes, u64>,
}

impl Sender {
    /// Sends message after message until the server is gone.
    async fn send_until_it_breaks(
        mut self,
        addr: SocketAddr,
        number: u8,
        token: String,
        confirmed: Arc<Semaphore>,
    ) -> Self {
        let mut socket = open(addr, Some("tutti.v1"), None).await.unwrap();
        let hello = client_frame::Frame::Hello(hello(&token, &account(number), number));
        let _ = socket.send(frame(hello)).await;
        loop {
            let start = self.sent.len() as u32;
            let text = |i| json!(format!("{number}/{i}"));
            let batch: Vec<_> =
                (start..start + BATCH).map(|i| message(id(number, i), "direct:bob", &text(i))).collect();
            self.sent.extend(batch.clone());
            let submit = client_frame::Frame::Submit(wire::Submit { operations: batch });
            if socket.send(frame(submit)).await.is_err() {
                return self;
            }
            loop {
                match socket.next().await {
                    Some(Ok(Message::Binary(bytes))) => {
                        if let Some(Frame::Submitted(submitted)) = codec::decode_server(bytes).unwrap().frame
                        {
                            for outcome in submitted.outcomes {
                                let seq = common::accepted_seq(&outcome).expect("no refusal");
                                self.confirmed.insert(outcome.id, seq);
                                confirmed.add_permits(1);
                            }
                            break;
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return self,
                }
            }
        }
    }
}

fn account(number: u8) -> String {
    format!("sender {number}")
}

fn frame(frame: client_frame::Frame) -> Message {
    Message::Binary(codec::encode(&wire::ClientFrame { frame: Some(frame) }))
}

fn ids(events: &[wire::Event]) -> Vec<Bytes> {
    let messages = events.iter().map(|event| match &event.body {
        Some(event::Body::Message(message)) => message,
        other => panic!("{other:?}"),
    });
    messages.map(|message| message.id.clone()).collect()
}

#[tokio::test]
async fn killed_under_load_no_confirmed_operation_is_lost_and_none_is_doubled() {
    let data = tempfile::tempdir().unwrap();
    let mut senders: Vec<_> = (0..SENDERS).map(|_| Sender::default()).collect();
    for _ in 0..3 {
        let server = Process::start(data.path()).await;
        let confirmed = Arc::new(Semaphore::new(0));
        let mut running = Vec::new();
        for (number, sender) in (0..SENDERS).zip(senders.drain(..)) {
            let token = token(server.addr, &account(number)).await;
            let sending = sender.send_until_it_breaks(server.addr, number, token, confirmed.clone());
            running.push(tokio::spawn(sending));
        }
        let _enough = timeout(PATIENCE, confirmed.acquire_many(1_000)).await.unwrap().unwrap();
        server.kill().await;
        for sender in running {
            senders.push(timeout(PATIENCE, sender).await.unwrap().unwrap());
        }
    }

    let server = Process::start(data.path()).await;
    let mut bob = Client::connect(server.addr, "bob", 99).await;
    let kept = ids(&bob.pull_all(0).await);
    let kept_once: BTreeSet<_> = kept.iter().collect();
    assert_eq!(kept.len(), kept_once.len(), "doubled");
    let confirmed: Vec<_> = senders.iter().flat_map(|sender| sender.confirmed.keys()).collect();
    assert!(confirmed.len() >= 3_000);
    assert!(confirmed.iter().all(|id| kept_once.contains(id)), "lost");

    for (number, sender) in (0..SENDERS).zip(&senders) {
        let mut client = Client::connect(server.addr, &account(number), number).await;
        for batch in sender.sent.chunks(100) {
            for outcome in client.submit(batch.to_vec()).await {
                let seq = common::accepted_seq(&outcome).expect("no refusal");
                let before = sender.confirmed.get(&outcome.id);
                assert!(before.is_none_or(|&before| before == seq), "confirmed otherwise than before");
            }
        }
        let own = ids(&client.pull_all(0).await);
        let sent: Vec<_> = sender.sent.iter().map(|operation| operation.id.clone()).collect();
        let own_once: BTreeSet<_> = own.iter().collect();
        assert_eq!((own.len(), own_once), (sent.len(), sent.iter().collect()));
    }
    let mut bob = Client::connect(server.addr, "bob", 98).await;
    let all = ids(&bob.pull_all(0).await);
    let sent: BTreeSet<_> =
        senders.iter().flat_map(|sender| &sender.sent).map(|operation| operation.id.clone()).collect();
    assert_eq!((all.len(), all.into_iter().collect()), (sent.len(), sent));
}

#[tokio::test]
async fn a_restarted_server_goes_on_where_it_was() {
    let data = tempfile::tempdir().unwrap();
    let server = Process::start(data.path()).await;
    let mut alice = Client::connect(server.addr, "alice", 1).await;
    alice.submit(vec![message(id(1, 1), "direct:bob", &json!("hi"))]).await;
    let log = alice.welcome.log.clone();
    server.kill().await;
    let server = Process::start(data.path()).await;
    let mut alice = Client::connect(server.addr, "alice", 1).await;
    assert_eq!((alice.welcome.log.clone(), alice.welcome.head), (log, 1));
    let outcomes = alice.submit(vec![message(id(1, 2), "direct:bob", &json!("ho"))]).await;
    assert_eq!(common::accepted_seq(&outcomes[0]), Some(2));
}

#[tokio::test]
async fn a_device_that_was_removed_stays_so_when_the_server_is_killed() {
    let data = tempfile::tempdir().unwrap();
    let server = Process::start(data.path()).await;
    let (own, other) = (token(server.addr, "alice").await, token(server.addr, "alice").await);
    let mut removed = Client::greet(server.addr, hello(&own, "alice", 1)).await.unwrap();
    let device = tutti_protocol::DeviceId::from([1; 16]);
    let url = format!("http://{}/api/devices/{device}?user_id=alice", server.addr);
    let answer = reqwest::Client::new().delete(url).bearer_auth(&other).send().await.unwrap();
    assert!(answer.status().is_success());
    assert!(matches!(removed.next().await, Frame::Revoked(_)));
    server.kill().await;

    let server = Process::start(data.path()).await;
    let answer = Client::greet(server.addr, hello(&other, "alice", 1)).await.err();
    assert!(matches!(answer, Some(Frame::Revoked(_))), "{answer:?}");
    match Client::greet(server.addr, hello(&own, "alice", 2)).await.err() {
        Some(Frame::Error(error)) => assert_eq!(error.code, "revoked"),
        other => panic!("{other:?}"),
    }
}

/// No file may grow any more: what a full disk does, to one process.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_refuses_for_now_and_what_is_there_can_be_read() {
    let data = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_tutti-server")]);
    let server = Process::start_by(command, data.path()).await;
    let pid = server.child.id().unwrap().to_string();
    let limit_files = async |bytes: &str| {
        let limit = format!("--fsize={bytes}:");
        assert!(Command::new("prlimit").args(["--pid", &pid, &limit]).status().await.unwrap().success());
    };
    let mut alice = Client::connect(server.addr, "alice", 1).await;
    let large = |number| message(id(1, number), "direct:bob", &json!("x".repeat(30_000)));
    limit_files("1000000").await;
    let mut stored = 0;
    let refused = loop {
        let outcomes = alice.submit(vec![large(stored)]).await;
        match common::refusal(&outcomes[0]) {
            None => stored += 1,
            Some(refused) => break refused.clone(),
        }
        assert!(stored < 100, "it has no limit");
    };
    assert_eq!(refused.code, "internal");
    assert!(refused.retry_after > 0 && !refused.message.contains("disk"), "{refused:?}");
    let mut bob = Client::connect(server.addr, "bob", 2).await;
    assert_eq!(bob.pull_all(0).await.len(), stored as usize);

    limit_files("unlimited").await;
    let outcomes = alice.submit(vec![large(stored)]).await;
    assert_eq!(common::accepted_seq(&outcomes[0]), Some(u64::from(stored) + 1));
    assert_eq!(bob.delta().await.next, u64::from(stored) + 1);
}

#[tokio::test]
async fn a_data_directory_has_one_server() {
    let data = tempfile::tempdir().unwrap();
    let _server = Process::start(data.path()).await;
    let second = Command::new(env!("CARGO_BIN_EXE_tutti-server"))
        .args(["--listen", "127.0.0.1:0", "--dev", "--data"])
        .arg(data.path())
        .output();
    let output = timeout(PATIENCE, second).await.unwrap().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("another server"));
}

#[tokio::test]
async fn a_token_never_shows_in_the_log() {
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tutti-server"))
        .args(["--listen", "127.0.0.1:0", "--dev", "--data"])
        .arg(data.path())
        .env("RUST_LOG", "trace")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let addr = line.strip_prefix("listening on http://").unwrap().parse().unwrap();
    let token = token(addr, "alice").await;
    let mut client = Client::greet(addr, hello(&token, "alice", 1)).await.unwrap();
    client.pull(0).await;
    let url = format!("http://{addr}/api/devices?user_id=alice");
    reqwest::Client::new().get(url).bearer_auth(&token).send().await.unwrap();
    drop(client);
    let pid = child.id().unwrap().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    let output = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "it stops in good order");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains("stopped"), "{log}");
    let secret = std::fs::read_to_string(data.path().join("token.secret")).unwrap();
    for canary in [token.as_str(), token.rsplit('.').next().unwrap(), secret.trim()] {
        assert!(!log.contains(canary), "a secret in the log");
    }
}
