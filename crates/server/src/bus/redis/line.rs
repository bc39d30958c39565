//! The connection to Redis: kept up, on it what is told and heard, and signs of life of all servers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use redis::{AsyncConnectionConfig, PushInfo, PushKind, RedisResult, Value, aio::MultiplexedConnection};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Away, Shared, lock, on};
use crate::{
    bus::{Heard, Word},
    roster::ServerId,
};

/// How long Redis may take to answer before it counts as away.
const ANSWER: Duration = Duration::from_secs(1);
/// How long after a failure it is tried again; twice as long after each, …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often servers give a sign of life, and look for those of the others.
const BEAT: Duration = Duration::from_secs(3);
/// How long a server that gives none is still taken to be there.
const LEASE: Duration = Duration::from_secs(15);
/// Channels, among which accounts are spread.
const CHANNELS: u8 = 16;
/// Most words that are sent together.
const BATCH: usize = 256;
/// All servers that have given a sign of life, and have not been buried.
const SERVERS: &str = "tutti:servers";

/// What goes over a channel.
#[derive(Serialize, Deserialize)]
struct Envelope {
    from: ServerId,
    word: Word,
}

/// How words are told: the same way on every server of a deployment.
#[derive(Clone, Copy)]
struct Channels {
    subscribe: &'static str,
    publish: &'static str,
}

/// Keeps a connection to Redis, for as long as the server lives.
pub(super) async fn keep(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Word>) {
    let mut pause = FIRST_PAUSE;
    let mut unsent = Vec::new();
    let mut was_up = None;
    loop {
        let served = match connect(&shared).await {
            Ok((line, channels, pushes)) => {
                tracing::info!("redis is there");
                (pause, was_up) = (FIRST_PAUSE, Some(true));
                serve(&shared, line, channels, pushes, (&mut waiting, &mut unsent)).await
            }
            Err(error) => Err(error),
        };
        shared.hang_up();
        // Once, not at each attempt.
        if let (Err(error), true) = (served, was_up != Some(false)) {
            tracing::warn!(%error, "redis is away: other servers hear nothing of this one until it is back");
        }
        was_up = Some(false);
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

async fn connect(
    shared: &Shared,
) -> RedisResult<(MultiplexedConnection, Channels, UnboundedReceiver<PushInfo>)> {
    let (sender, pushes) = mpsc::unbounded_channel();
    let config = AsyncConnectionConfig::new()
        .set_push_sender(sender)
        .set_connection_timeout(Some(ANSWER))
        .set_response_timeout(Some(ANSWER));
    let mut line = shared.client.get_multiplexed_async_connection_with_config(&config).await?;
    let sharded: Vec<Value> =
        redis::cmd("COMMAND").arg("INFO").arg("SPUBLISH").query_async(&mut line).await?;
    // Since Redis 7.
    let channels = if sharded.iter().all(|command| *command == Value::Nil) {
        Channels { subscribe: "SUBSCRIBE", publish: "PUBLISH" }
    } else {
        Channels { subscribe: "SSUBSCRIBE", publish: "SPUBLISH" }
    };
    let mut subscribe = redis::pipe();
    for number in 0..CHANNELS {
        subscribe.cmd(channels.subscribe).arg(channel(number));
    }
    let _: Vec<Value> = subscribe.query_async(&mut line).await?;
    Ok((line, channels, pushes))
}

/// Until the connection is broken.
async fn serve(
    shared: &Shared,
    line: MultiplexedConnection,
    channels: Channels,
    pushes: UnboundedReceiver<PushInfo>,
    (waiting, unsent): (&mut mpsc::Receiver<Word>, &mut Vec<Word>),
) -> RedisResult<()> {
    // It is there for others before it is connected to.
    shared.beat(&mut line.clone()).await?;
    shared.pick_up(line.clone());
    tokio::select! {
        ended = hear(shared, pushes) => ended,
        ended = tell(shared, line.clone(), channels, waiting, unsent) => ended,
        ended = live(shared, line) => ended,
        () = shared.broken.notified() => Err(std::io::Error::other("it has not answered").into()),
    }
}

async fn hear(shared: &Shared, mut pushes: UnboundedReceiver<PushInfo>) -> RedisResult<()> {
    while let Some(push) = pushes.recv().await {
        match push.kind {
            PushKind::Message | PushKind::SMessage => {
                let said = push.data.last().and_then(|said| redis::from_redis_value_ref(said).ok());
                shared.hear(said.unwrap_or_default());
            }
            PushKind::Disconnection => break,
            _ => {}
        }
    }
    Err(std::io::Error::other("the connection was closed").into())
}

/// Tells the other servers what waits. What could not be told for sure is told again: to hear it twice does no harm.
async fn tell(
    shared: &Shared,
    mut line: MultiplexedConnection,
    channels: Channels,
    waiting: &mut mpsc::Receiver<Word>,
    unsent: &mut Vec<Word>,
) -> RedisResult<()> {
    loop {
        if unsent.is_empty() {
            waiting.recv_many(unsent, BATCH).await;
        }
        let mut tell = redis::pipe();
        if shared.missed.swap(false, Ordering::Relaxed) {
            unsent.push(Word::Missed);
        }
        for (number, word) in shared.spread(unsent) {
            let said = serde_json::to_vec(&Envelope { from: shared.server, word });
            let said = said.map_err(std::io::Error::other)?;
            tell.cmd(channels.publish).arg(channel(number)).arg(said).ignore();
        }
        tell.query_async::<()>(&mut line).await?;
        unsent.clear();
    }
}

/// Gives signs of life, and looks for those of the others.
async fn live(shared: &Shared, mut line: MultiplexedConnection) -> RedisResult<()> {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        shared.look_for_gone(&mut line).await?;
        beats.tick().await;
        if !shared.beat(&mut line).await? {
            tracing::warn!("this server was taken for gone");
            shared.doubt_known();
            shared.back();
        }
    }
}

impl Shared {
    /// Redis can be asked from now on.
    fn pick_up(&self, line: MultiplexedConnection) {
        *lock(&self.line) = Some(line);
        self.back();
    }

    /// Redis is away.
    fn hang_up(&self) {
        *lock(&self.line) = None;
        self.doubt_known();
    }

    fn back(&self) {
        let _ = self.tell.send(Heard::Back);
    }

    /// What this server knows, Redis may not know, or not any more.
    fn doubt_known(&self) {
        lock(&self.known).values_mut().for_each(|known| known.version = None);
    }

    /// Hears what another server says. What a later version says, which this one does not understand, is none of its
    /// business.
    fn hear(&self, said: Vec<u8>) {
        if let Ok(Envelope { from, word }) = serde_json::from_slice(&said)
            && from != self.server
        {
            let _ = self.tell.send(Heard::Word(word));
        }
    }

    /// Gives a sign of life, and says whether the one before was still there.
    async fn beat(&self, line: &mut MultiplexedConnection) -> RedisResult<bool> {
        let mut beat = redis::pipe();
        let set = beat.cmd("SET").arg(life(self.server)).arg(1).arg("PX");
        set.arg(LEASE.as_millis() as u64).arg("GET");
        beat.cmd("SADD").arg(SERVERS).arg(self.server.0).ignore();
        let (before,): (Option<u32>,) = beat.query_async(line).await?;
        Ok(before.is_some())
    }

    /// Looks which servers are gone, and which accounts were connected to them.
    async fn look_for_gone(&self, line: &mut MultiplexedConnection) -> RedisResult<()> {
        let servers: BTreeSet<u32> = redis::cmd("SMEMBERS").arg(SERVERS).query_async(line).await?;
        for server in servers.into_iter().map(ServerId).filter(|server| *server != self.server) {
            let lives: bool = redis::cmd("EXISTS").arg(life(server)).query_async(line).await?;
            if !lives && lock(&self.burying).insert(server) {
                let accounts = redis::cmd("SMEMBERS").arg(on(server)).query_async(line).await?;
                let _ = self.tell.send(Heard::Gone(server, accounts));
            }
        }
        Ok(())
    }

    /// A server that was gone has been buried.
    pub(super) async fn forget(&self, server: ServerId) -> Result<(), Away> {
        let mut forget = redis::pipe();
        forget.cmd("SREM").arg(SERVERS).arg(server.0).ignore().del(on(server)).ignore();
        self.asked(forget.query_async(&mut self.line()?).await)
    }

    /// This server goes, and says no more: the others need not wait to find out.
    pub(super) async fn leave(&self) -> Result<(), Away> {
        let mut line = self.line()?;
        self.hang_up();
        self.asked(redis::cmd("DEL").arg(life(self.server)).query_async(&mut line).await)
    }

    /// What is said on which channel: of accounts whose logs have grown, each once.
    fn spread(&self, words: &[Word]) -> Vec<(u8, Word)> {
        let mut grown: BTreeMap<u8, BTreeSet<&String>> = BTreeMap::new();
        let mut spread = Vec::new();
        for word in words {
            match word {
                Word::Grown { accounts } => accounts.iter().for_each(|account| {
                    grown.entry(self.channel_of(account)).or_default().insert(account);
                }),
                Word::Status { accounts, frame, except } => {
                    let mut by_channel: BTreeMap<u8, Vec<String>> = BTreeMap::new();
                    for account in accounts {
                        by_channel.entry(self.channel_of(account)).or_default().push(account.clone());
                    }
                    spread.extend(by_channel.into_iter().map(|(number, accounts)| {
                        (number, Word::Status { accounts, frame: frame.clone(), except: *except })
                    }));
                }
                Word::Lost { account, .. } | Word::Active { account, .. } | Word::Devices { account } => {
                    spread.push((self.channel_of(account), word.clone()));
                }
                Word::Cancelled(_) | Word::Settings | Word::Missed => spread.push((0, word.clone())),
            }
        }
        let grown = grown.into_iter().map(|(number, accounts)| {
            (number, Word::Grown { accounts: accounts.into_iter().cloned().collect() })
        });
        spread.extend(grown);
        spread
    }

    fn channel_of(&self, account: &str) -> u8 {
        self.hash(account)[0] % CHANNELS
    }
}

/// Each lies in a slot of its own of a Redis Cluster.
fn channel(number: u8) -> String {
    format!("tutti:{{{number:02}}}:words")
}

/// A server's sign of life.
fn life(server: ServerId) -> String {
    format!("tutti:server:{:08x}", server.0)
}
