//! Several servers: what they know together is in Redis, and they tell each other through it.
//!
//! An account's [`Roster`] is one value, changed by compare-and-set. Each server keeps a copy of those of the accounts
//! that are connected to it. While Redis is away it goes on with the copies, and says what it knows of its own
//! connections when Redis is back: be it empty then. What others missed meanwhile they look for in the log.
//!
//! Keys and channels of an account have its hash as their tag, so that each lies in one slot of a Redis Cluster.

mod line;

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redis::{
    Client, IntoConnectionInfo as _, ProtocolVersion, RedisError, RedisResult, Script,
    aio::MultiplexedConnection,
};
use sha2::{Digest as _, Sha256};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};

use super::{Allowance, Bus, Heard, Word, alone::Rates};
use crate::{
    limits::Limits,
    rate::{Grant, Rate},
    roster::{Roster, ServerId},
};

/// Words that wait for Redis at most. Of more it is only told that there were more.
const WORDS: usize = 10_000;
/// Locks under which this server changes accounts, each a part of them, so that it is not in its own way.
const TURNS: usize = 64;
/// How long Redis keeps when an account was last seen.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What servers know together, in Redis.
pub(crate) struct Redis {
    shared: Arc<Shared>,
    keeper: JoinHandle<()>,
}

/// There can be no Redis there.
#[derive(Debug, thiserror::Error)]
#[error("{0}; give redis://HOST or rediss://USER:PASSWORD@HOST/NUMBER")]
pub struct UrlError(RedisError);

struct Shared {
    server: ServerId,
    client: Client,
    /// What names of accounts are hashed with.
    salt: [u8; 32],
    operations: Rate,
    posts: Rate,
    /// What accounts may do while Redis is away.
    rates: Rates,
    /// The connection to Redis; none: it is away.
    line: Mutex<Option<MultiplexedConnection>>,
    /// A command has failed on it.
    broken: Notify,
    known: Mutex<HashMap<String, Known>>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    hasher: RandomState,
    words: mpsc::Sender<Word>,
    /// There were more words than could wait.
    missed: AtomicBool,
    tell: mpsc::UnboundedSender<Heard>,
    heard: tokio::sync::Mutex<mpsc::UnboundedReceiver<Heard>>,
    /// Servers that are gone, and are being buried.
    burying: Mutex<HashSet<ServerId>>,
}

/// A roster as this server last saw it.
#[derive(Clone)]
struct Known {
    roster: Roster,
    /// Which version in Redis that is; none: Redis may know less, or more.
    version: Option<String>,
}

/// Redis is not to be had now.
struct Away;

impl Redis {
    /// Connects, now or as soon as it can. `key`: what all servers have, and nobody else.
    ///
    /// # Errors
    /// [`UrlError`] when that is no address.
    pub(crate) fn start(url: &str, key: &str, limits: &Limits) -> Result<Arc<dyn Bus>, UrlError> {
        let info = url.into_connection_info().map_err(UrlError)?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(settings)).map_err(UrlError)?;
        let (words, waiting) = mpsc::channel(WORDS);
        let (tell, heard) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            server: ServerId(getrandom::u32().unwrap_or_else(|_| std::process::id())),
            client,
            salt: Sha256::digest(["tutti accounts in redis ", key].concat()).into(),
            operations: limits.operations(),
            posts: limits.frames(),
            rates: Rates::new(limits),
            line: Mutex::default(),
            broken: Notify::new(),
            known: Mutex::default(),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::default()),
            hasher: RandomState::new(),
            words,
            missed: AtomicBool::new(false),
            tell,
            heard: heard.into(),
            burying: Mutex::default(),
        });
        let keeper = tokio::spawn(line::keep(shared.clone(), waiting));
        Ok(Arc::new(Self { shared, keeper }))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[async_trait]
impl Bus for Redis {
    async fn change_with(&self, account: &str, change: &mut (dyn for<'a> FnMut(&'a mut Roster) + Send)) {
        let turn = self.shared.hasher.hash_one(account) as usize % TURNS;
        let _turn = self.shared.turns[turn].lock().await;
        if let Err(Away) = self.shared.change(account, change).await {
            self.shared.change_known(account, change);
        }
    }

    async fn look(&self, account: &str) -> Roster {
        self.shared.look(account).await
    }

    async fn take(&self, allowance: Allowance, account: &str, wanted: u32) -> Grant {
        match self.shared.take(allowance, account, wanted).await {
            Ok(grant) => grant,
            Err(Away) => self.shared.rates.take(allowance, account, wanted),
        }
    }

    fn publish(&self, word: Word) {
        if self.shared.words.try_send(word).is_err() {
            self.shared.missed.store(true, Ordering::Relaxed);
        }
    }

    async fn heard(&self) -> Heard {
        match self.shared.heard.lock().await.recv().await {
            Some(heard) => heard,
            // The other end is this bus's own.
            None => std::future::pending().await,
        }
    }

    fn server(&self) -> ServerId {
        self.shared.server
    }

    async fn forget(&self, server: ServerId) {
        if self.shared.forget(server).await.is_ok() {
            lock(&self.shared.burying).remove(&server);
        }
    }

    async fn leave(&self) {
        self.keeper.abort();
        // If it cannot be said, the others find out.
        let _ = self.shared.leave().await;
    }
}

/// Stores a roster if nobody else has since it was read; otherwise says what is there.
const STORE: &str = "
    local now = redis.call('HMGET', KEYS[1], 'version', 'roster')
    if (now[1] or '') ~= ARGV[1] then return now end
    if ARGV[3] == '' then redis.call('DEL', KEYS[1]) return {''} end
    redis.call('HSET', KEYS[1], 'version', ARGV[2], 'roster', ARGV[3])
    if ARGV[4] == '0' then redis.call('PERSIST', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
    return {ARGV[2]}
";

/// Takes tokens of a bucket that refills steadily, and says how many there were, and in how many milliseconds the rest
/// will be.
const TAKE: &str = "
    local burst, each, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
    local tokens = tonumber(bucket[1]) or burst
    tokens = math.min(burst, tokens + math.max(0, now - (tonumber(bucket[2]) or now)) / each)
    local granted = math.min(math.floor(tokens), wanted)
    tokens = tokens - granted
    redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', now)
    redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) * each) + 1000)
    local rest = math.min(wanted - granted, burst)
    return {granted, math.ceil(math.max(0, rest - tokens) * each)}
";

impl Shared {
    /// Changes a roster in Redis.
    async fn change(
        &self,
        account: &str,
        change: &mut (dyn for<'a> FnMut(&'a mut Roster) + Send),
    ) -> Result<(), Away> {
        let mut line = self.line()?;
        let known = lock(&self.known).get(account).cloned();
        let (mut roster, mut version) = match known.clone() {
            Some(Known { roster, version: Some(version) }) => (roster, version),
            _ => self.asked(self.begin(&mut line, account).await)?,
        };
        loop {
            let mut changed = roster;
            if let Some(Known { roster: ours, version: None }) = &known {
                changed.merge(ours, self.server);
            }
            change(&mut changed);
            let next = self.asked(self.store(&mut line, account, &version, &changed).await)?;
            match next {
                Ok(version) => return self.asked(self.keep(&mut line, account, changed, version).await),
                Err((now, version_now)) => (roster, version) = (now, version_now),
            }
        }
    }

    /// Reads a roster, of an account that may have connections to this server from now on.
    async fn begin(&self, line: &mut MultiplexedConnection, account: &str) -> RedisResult<(Roster, String)> {
        let mut begin = redis::pipe();
        begin.sadd(on(self.server), account).ignore();
        begin.cmd("HMGET").arg(self.roster_of(account)).arg(&["version", "roster"]);
        let ((version, roster),): ((Option<String>, Option<String>),) = begin.query_async(line).await?;
        Ok((read(roster), version.unwrap_or_default()))
    }

    /// Answers the new version, or what is there instead of `version`.
    async fn store(
        &self,
        line: &mut MultiplexedConnection,
        account: &str,
        version: &str,
        roster: &Roster,
    ) -> RedisResult<Result<String, (Roster, String)>> {
        let text = if *roster == Roster::default() {
            String::new()
        } else {
            serde_json::to_string(roster).map_err(std::io::Error::other)?
        };
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
        let next = hex(&nonce);
        let expires = if roster.is_empty() { REMEMBERED.as_millis() as u64 } else { 0 };
        let answer: Vec<Option<String>> = Script::new(STORE)
            .key(self.roster_of(account))
            .arg(version)
            .arg(&next)
            .arg(&text)
            .arg(expires)
            .invoke_async(line)
            .await?;
        let mut answer = answer.into_iter();
        Ok(match (answer.next().flatten(), answer.next()) {
            (version, None) => Ok(version.unwrap_or_default()),
            (version, Some(roster)) => Err((read(roster), version.unwrap_or_default())),
        })
    }

    /// Remembers a roster as long as the account is connected to this server.
    async fn keep(
        &self,
        line: &mut MultiplexedConnection,
        account: &str,
        roster: Roster,
        version: String,
    ) -> RedisResult<()> {
        if roster.has(self.server) {
            lock(&self.known).insert(account.to_owned(), Known { roster, version: Some(version) });
            return Ok(());
        }
        lock(&self.known).remove(account);
        redis::cmd("SREM").arg(on(self.server)).arg(account).query_async(line).await
    }

    /// Changes what this server knows while Redis is away.
    fn change_known(&self, account: &str, change: &mut (dyn for<'a> FnMut(&'a mut Roster) + Send)) {
        let mut known = lock(&self.known);
        let mut roster = known.get(account).map(|known| known.roster.clone()).unwrap_or_default();
        change(&mut roster);
        // Others hear nothing of it now.
        roster.doubt_told();
        // What is known of one that is not connected any more is still to be told.
        if roster.has(self.server) || known.contains_key(account) {
            known.insert(account.to_owned(), Known { roster, version: None });
        }
    }

    async fn look(&self, account: &str) -> Roster {
        let known = || lock(&self.known).get(account).cloned();
        let Ok(roster) = self.read(account).await else {
            return known().map(|known| known.roster).unwrap_or_default();
        };
        let mut roster = roster;
        if let Some(Known { roster: ours, version: None }) = known() {
            roster.merge(&ours, self.server);
        }
        roster
    }

    async fn read(&self, account: &str) -> Result<Roster, Away> {
        let mut line = self.line()?;
        let mut get = redis::cmd("HGET");
        get.arg(self.roster_of(account)).arg("roster");
        self.asked(get.query_async(&mut line).await).map(read)
    }

    async fn take(&self, allowance: Allowance, account: &str, wanted: u32) -> Result<Grant, Away> {
        let mut line = self.line()?;
        let (name, rate) = match allowance {
            Allowance::Operations => ("operations", self.operations),
            Allowance::Posts => ("posts", self.posts),
        };
        let script = Script::new(TAKE);
        let mut take = script.key(self.key(account, name));
        take.arg(rate.burst).arg(1_000.0 / rate.per_second).arg(wanted);
        let (granted, wait) = self.asked(take.invoke_async(&mut line).await)?;
        Ok(Grant { granted, wait: Duration::from_millis(wait) })
    }

    /// The connection to Redis.
    fn line(&self) -> Result<MultiplexedConnection, Away> {
        lock(&self.line).clone().ok_or(Away)
    }

    /// What Redis answered. A server that does not answer, or refuses, is as good as none.
    fn asked<T>(&self, answer: RedisResult<T>) -> Result<T, Away> {
        answer.map_err(|error| {
            tracing::debug!(%error, "redis has failed");
            self.broken.notify_one();
            Away
        })
    }

    fn roster_of(&self, account: &str) -> String {
        self.key(account, "roster")
    }

    fn key(&self, account: &str, name: &str) -> String {
        format!("tutti:{{{}}}:{name}", hex(&self.hash(account)[..16]))
    }

    /// The same on all servers. Names may have any characters in them, and be long.
    fn hash(&self, account: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.salt).chain_update(account).finalize().into()
    }
}

/// Accounts that are connected to a server.
fn on(server: ServerId) -> String {
    format!("tutti:on:{:08x}", server.0)
}

fn read(roster: Option<String>) -> Roster {
    let read = roster.map(|text| serde_json::from_str(&text)).transpose();
    read.unwrap_or_else(|error| {
        tracing::warn!(%error, "what redis has of an account is not understood");
        None
    })
    .unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// No code can panic while it holds such a lock, so a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
