//! A Redis of the tests' own, on a socket in a directory of its own.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::common::eventually;

pub(crate) struct Redis {
    directory: TempDir,
    process: Child,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = run(&directory);
        let redis = Self { directory, process };
        redis.is_there().await;
        redis
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Ends it at once. Nothing is left of what it knew.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let _ = std::fs::remove_file(self.socket());
    }

    /// It is there again, and knows nothing.
    pub(crate) async fn start_again(&mut self) {
        self.process = run(&self.directory);
        self.is_there().await;
    }

    /// It does nothing until it goes on.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    async fn is_there(&self) {
        eventually(async || {
            let ping = Command::new("redis-cli").arg("-s").arg(self.socket()).arg("ping").output();
            ping.is_ok_and(|ping| ping.stdout == b"PONG\n")
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), signal).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(directory: &TempDir) -> Child {
    let mut redis = Command::new("redis-server");
    redis.args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis"]);
    redis.current_dir(directory.path()).stdout(Stdio::null());
    redis.spawn().expect("Redis is to be installed, with redis-server and redis-cli")
}
