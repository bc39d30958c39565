//! Many clients.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, bail, ensure};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    backend::Backend,
    client::{Client, News, What},
    clock::Micros,
    report::progress,
};

/// How many connect at the same time.
const AT_ONCE: usize = 64;
/// Nothing that is waited for is this long in coming unless it is broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is told how far something is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Many clients, each of an account of its own, numbered from 0.
pub(crate) struct Crowd {
    backend: Arc<Backend>,
    prefix: String,
    content: usize,
    clients: Vec<Client>,
    in_step: Vec<bool>,
    news: mpsc::UnboundedReceiver<News>,
    tell: mpsc::UnboundedSender<News>,
    /// Whether it was told that something was refused.
    complained: bool,
}

impl Crowd {
    /// Nobody yet. `prefix`: what the names of accounts begin with; `content`: bytes of a message's content.
    pub(crate) fn new(backend: Arc<Backend>, prefix: &str, content: u32) -> Self {
        let (tell, news) = mpsc::unbounded_channel();
        let (clients, in_step, prefix) = (Vec::new(), Vec::new(), prefix.to_owned());
        Self { backend, prefix, content: content as usize, clients, in_step, news, tell, complained: false }
    }

    /// The name of a client's account.
    pub(crate) fn account(&self, client: usize) -> String {
        format!("{}-{client}", self.prefix)
    }

    /// What asks the server what clients do not.
    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The clock that all of them go by.
    pub(crate) fn now(&self) -> Micros {
        self.backend.clock.micros()
    }

    /// When that clock shows this.
    pub(crate) fn at(&self, micros: Micros) -> Instant {
        self.backend.clock.at(micros)
    }

    /// Lets more come until there are so many, and waits until all of them are in step.
    pub(crate) async fn grow(&mut self, count: usize) -> Result<()> {
        let (mut told, mut heard) = (Instant::now(), Instant::now());
        loop {
            let in_step = self.in_step();
            while self.clients.len() < count && self.clients.len() < in_step + AT_ONCE {
                self.add()?;
            }
            if in_step == count {
                return Ok(());
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                progress(format_args!("{in_step} of {count} clients are connected"));
            }
            if let Some(News { what: What::InStep(true), .. }) = self.next(heard + PATIENCE).await? {
                heard = Instant::now();
            } else if heard.elapsed() >= PATIENCE {
                bail!(
                    "{in_step} of {count} clients are connected, and no more within {} s: see what the server \
                     says, and how many files it may open",
                    PATIENCE.as_secs()
                );
            }
        }
    }

    /// How many are in step.
    pub(crate) fn in_step(&self) -> usize {
        self.in_step.iter().filter(|in_step| **in_step).count()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// Has a client write to another, directly.
    pub(crate) fn say_to(&self, client: usize, other: usize, due: Micros) {
        self.clients[client].say(format!("direct:{}", self.account(other)), due);
    }

    /// Has a client write to a group.
    pub(crate) fn say_to_group(&self, client: usize, group: &str, due: Micros) {
        self.clients[client].say(format!("group:{group}"), due);
    }

    /// The next that happens to any, before then.
    ///
    /// # Errors
    /// When one of them cannot go on.
    pub(crate) async fn next(&mut self, until: Instant) -> Result<Option<News>> {
        let Ok(Some(news)) = timeout_at(until, self.news.recv()).await else {
            return Ok(None);
        };
        match &news.what {
            What::InStep(in_step) => self.in_step[news.client] = *in_step,
            What::Failed(failure) => {
                // Each client would say the same.
                if !std::mem::replace(&mut self.complained, true) {
                    progress(format_args!("a client says: {failure}"));
                }
            }
            What::Ended => {
                ensure!(false, "the server has removed the device of {}", self.account(news.client))
            }
            What::Confirmed(_) | What::Arrived(_) => {}
        }
        Ok(Some(news))
    }

    fn add(&mut self) -> Result<()> {
        let number = self.clients.len();
        let (account, tell) = (self.account(number), self.tell.clone());
        self.clients.push(Client::start(number, account, self.backend.clone(), self.content, tell)?);
        self.in_step.push(false);
        Ok(())
    }
}
