//! What lies on the disk is sealed under the master key, which lies there only with `--dev`.

mod common;

use std::{
    fs::{self, File},
    path::Path,
    process::{Output, Stdio},
};

use bytes::Bytes;
use common::{Client, MASTER_KEY, SERVER_KEY, TestServer, accepted_seq, hello, holds, id, listens, message};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tutti_protocol::wire::{self, operation::Body};

const OTHER_KEY: &str = "another master key for the tests";

fn set(number: u32, target: &str, name: &str, value: &str) -> wire::Operation {
    let fields = vec![wire::Field { name: name.to_owned(), value: json!(value).to_string().into() }];
    let set = wire::Set { target: target.to_owned(), fields };
    wire::Operation { id: id(1, number), clock: 1, body: Some(Body::Set(set)) }
}

#[tokio::test]
async fn nothing_that_an_account_says_can_be_read_in_the_files_of_a_running_server() {
    let server = TestServer::start().await;
    let mut alice = server.client("alice", 1).await;
    let edit = wire::Edit { message: id(1, 1), content: Bytes::from_static(b"\"canary: an edit\"") };
    let operations = vec![
        message(id(1, 1), "direct:bob", &json!("canary: a message")),
        message(id(1, 2), "direct:bob", &json!("canary: another")),
        wire::Operation { id: id(1, 3), clock: 1, body: Some(Body::Edit(edit)) },
        set(4, "direct:bob", "draft", "canary: a draft"),
        set(5, "session:an article", "place", "canary: a place"),
    ];
    let outcomes = alice.submit(operations).await;
    assert!(outcomes.iter().all(|outcome| accepted_seq(outcome).is_some()), "{outcomes:?}");
    for (path, body) in [
        ("/api/messages", json!({"from": "bob", "to": "direct:alice", "content": "canary: of the back end"})),
        (
            "/api/notifications",
            json!({"accounts": ["alice"], "title": "canary", "body": "canary", "data": "canary"}),
        ),
    ] {
        let answer = server.call(Method::POST, path, body).await;
        assert!(answer.0.is_success(), "{answer:?}");
    }
    assert!(!holds(server.data(), b"canary"));
    assert!(holds(server.data(), b"session:an article"), "or this would find nothing");
    let log = format!("{:?}", alice.pull_all(0).await);
    assert_eq!(
        log.matches("canary").count(),
        6,
        "all but the notification, which this device does not want: {log}"
    );
}

/// The binary with these master keys, as it runs in earnest, saying all that it can say.
fn command(data: &Path, present: &str, old: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tutti-server"));
    command
        .args([
            "--listen",
            "127.0.0.1:0",
            "--server-key",
            SERVER_KEY,
            "--token-secret",
            "a secret for the tests",
        ])
        .arg("--data")
        .arg(data)
        .env("TUTTI_MASTER_KEY", present)
        .env("TUTTI_OLD_MASTER_KEYS", old.join(","))
        .env("RUST_LOG", "trace")
        .kill_on_drop(true);
    command
}

/// The binary, running, and what it says.
struct Process {
    child: Child,
    url: String,
    log: File,
}

impl Process {
    async fn start(data: &Path, log: &Path, present: &str, old: &[&str]) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = command(data, present, old);
        command.stdout(Stdio::piped()).stderr(log.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        let addr = listens(&mut child, "http://").await;
        Self { child, url: addr.to_string(), log }
    }

    async fn call(&self, path: &str, body: Value) -> Value {
        let request =
            reqwest::Client::new().post(format!("http://{}{path}", self.url)).bearer_auth(SERVER_KEY);
        let answer = request.body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        answer.json().await.unwrap()
    }

    /// All that an account has in its log.
    async fn log_of(&self, account: &str) -> String {
        let token = self.call("/api/tokens", json!({ "account": account })).await;
        let hello = hello(token["token"].as_str().unwrap(), account, 1);
        let mut client = Client::greet(self.url.parse().unwrap(), hello).await.expect("a welcome");
        format!("{:?}", client.pull_all(0).await)
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
        self.log.sync_all().unwrap();
    }
}

async fn refused(data: &Path, present: &str, old: &[&str]) -> String {
    let Output { status, stderr, .. } = command(data, present, old).output().await.unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

#[tokio::test]
async fn the_master_key_is_changed_by_a_restart_and_stands_nowhere() {
    let (data, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (data, log) = (data.path(), logs.path().join("log"));
    let server = Process::start(data, &log, MASTER_KEY, &[]).await;
    server.call("/api/messages", json!({"from": "alice", "to": "direct:bob", "content": "hello"})).await;
    server.kill().await;

    let refusal = refused(data, OTHER_KEY, &[]).await;
    assert!(refusal.contains("another master key") && refusal.contains("old master key"), "{refusal}");
    assert!(!refusal.contains(OTHER_KEY), "{refusal}");

    let server = Process::start(data, &log, OTHER_KEY, &[MASTER_KEY]).await;
    assert!(server.log_of("bob").await.contains("hello"));
    server.kill().await;
    assert!(fs::read_to_string(&log).unwrap().contains("all accounts' keys are under the new master key"));
    assert!(refused(data, MASTER_KEY, &[]).await.contains("another master key"));

    let server = Process::start(data, &log, OTHER_KEY, &[]).await;
    assert!(server.log_of("bob").await.contains("hello"));
    server.kill().await;
    for key in [MASTER_KEY, OTHER_KEY] {
        assert!(!holds(data, key.as_bytes()), "in the data directory");
        assert!(!holds(logs.path(), key.as_bytes()), "in the log");
    }
    assert!(holds(logs.path(), b"DEBUG"), "the log says all that it can");
}

#[tokio::test]
async fn only_development_keeps_the_master_key_beside_the_database() {
    let data: TempDir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tutti-server"));
    command.args(["--listen", "127.0.0.1:0", "--dev", "--data"]).arg(data.path()).kill_on_drop(true);
    for variable in ["TUTTI_MASTER_KEY", "TUTTI_OLD_MASTER_KEYS"] {
        command.env_remove(variable);
    }
    let mut first = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    listens(&mut first, "http://").await;
    first.kill().await.unwrap();
    let key = fs::read_to_string(data.path().join("master.key")).unwrap();
    let mut second = command.spawn().unwrap();
    listens(&mut second, "http://").await;
    second.kill().await.unwrap();
    assert_eq!(fs::read_to_string(data.path().join("master.key")).unwrap(), key);
    assert!(refused(data.path(), OTHER_KEY, &[]).await.contains("another master key"));
}
