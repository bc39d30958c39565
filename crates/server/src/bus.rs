//! What the servers of one deployment know together, and tell each other. Nothing of it lasts: what is lost of it is
//! made good by who is connected, and by the log.

mod alone;
mod redis;

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    alone::Alone,
    redis::{Redis, UrlError},
};
use crate::{
    alerts::Cancelled,
    rate::Grant,
    roster::{self, Lost, Roster, ServerId, Ticket},
};

/// A way to what the servers of one deployment know together: in this process where there is one, else in Redis.
#[async_trait]
pub(crate) trait Bus: Send + Sync {
    /// Changes what is known of an account, all or nothing. `change` may be called more than once, the last time with
    /// what holds.
    async fn change_with(&self, account: &str, change: &mut (dyn for<'a> FnMut(&'a mut Roster) + Send));

    /// What is known of an account.
    async fn look(&self, account: &str) -> Roster;

    /// Takes up to so many of what an account may do.
    async fn take(&self, allowance: Allowance, account: &str, wanted: u32) -> Grant;

    /// Tells all other servers, if they can be reached now or in a while.
    fn publish(&self, word: Word);

    /// Waits for what is to be heard of the others. One at a time may wait.
    async fn heard(&self) -> Heard;

    /// This server.
    fn server(&self) -> ServerId;

    /// A server that was gone has been buried.
    async fn forget(&self, server: ServerId);

    /// Another server that starts now may take it at once that this one is gone.
    async fn leave(&self);
}

impl dyn Bus {
    /// Changes what is known of an account, and answers what came of it. `change` may be called more than once: the
    /// last time counts.
    pub(crate) async fn change<T: Send>(
        &self,
        account: &str,
        mut change: impl FnMut(&mut Roster) -> T + Send,
    ) -> T {
        let mut answer = None;
        self.change_with(account, &mut |roster| answer = Some(change(roster))).await;
        answer.expect("a bus calls what changes")
    }
}

/// What an account may do only so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// To submit operations.
    Operations,
    /// To post frames.
    Posts,
}

/// What a server tells all others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// These accounts' logs have grown.
    Grown {
        /// The accounts.
        accounts: Vec<String>,
    },
    /// A status for these accounts.
    Status {
        /// The accounts.
        accounts: Vec<String>,
        /// A frame.
        #[serde(with = "roster::base64")]
        frame: Bytes,
        /// The connection that says it.
        except: Option<Ticket>,
    },
    /// A connection has lost its place.
    Lost {
        /// Whose.
        account: String,
        /// Which.
        ticket: Ticket,
        /// How.
        lost: Lost,
    },
    /// Of an account's connections, the user did something last on this one.
    Active {
        /// The account.
        account: String,
        /// The connection.
        ticket: Ticket,
    },
    /// An account's list of devices has changed, or which of them are there.
    Devices {
        /// The account.
        account: String,
    },
    /// Pushes that wait are cancelled.
    Cancelled(Cancelled),
    /// The settings have changed.
    Settings,
    /// There was more than could be told.
    Missed,
}

/// What is heard of the other servers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// One of them says this.
    Word(Word),
    /// Nothing could be heard for a while, and what this server has told the others may be lost.
    Back,
    /// One is gone, and with it these accounts' connections to it.
    Gone(ServerId, Vec<String>),
}

/// Tickets for the connections of a server.
#[derive(Debug, Default)]
pub(crate) struct Tickets(AtomicU32);

impl Tickets {
    /// One that no other connection has: four billion connections later none with the same stands any more.
    pub(crate) fn next(&self, server: ServerId) -> Ticket {
        Ticket::new(server, self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Does this at once if it can be done at once, as where there is one server, else as soon as it can.
pub(crate) fn soon(work: impl Future<Output = ()> + Send + 'static) {
    let mut work = Box::pin(work);
    let done = futures_util::FutureExt::now_or_never(&mut work).is_some();
    // While the runtime ends nobody is told anything.
    if let (false, Ok(runtime)) = (done, tokio::runtime::Handle::try_current()) {
        runtime.spawn(work);
    }
}

/// A bus for a server alone.
#[cfg(test)]
pub(crate) fn alone() -> std::sync::Arc<dyn Bus> {
    use clap::Parser as _;

    let config = crate::config::Config::parse_from(["tutti-server"]);
    std::sync::Arc::new(Alone::new(&config.limits))
}
