//! Group commit: what waits while a commit runs goes into the next one, up to a bound. What came of it
//! is told after the commit, and then whoever has something new in the log is woken.

use std::{slice, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep, sleep_until},
};

use tutti_acceptance::{
    accept::{Decision, Submission, Verdict},
    storage::{Result, Storage, StorageError, Touched, Transaction},
    work::{Growth, Work},
};

use crate::{alerts::Alerts, devices::Lists, hub::Hub};

/// Most pieces of work in one transaction.
const GROUP: usize = 64;
/// Most pieces of work that may wait for the writer before those who bring more wait themselves.
const QUEUE: usize = 1_024;

/// How often a piece of work is done again that somebody else was in the way of, and how long after the first time:
/// twice as long after each, so it waits for a second in all. What another server holds it holds for milliseconds.
const ATTEMPTS: u32 = 8;
const ATTEMPT_AFTER: Duration = Duration::from_millis(10);

/// How long until it is tried again to make sure that what was erased is gone, when somebody was reading …
const SCRUB_AGAIN: Duration = Duration::from_millis(200);
/// … and when the storage refused.
const SCRUB_AFTER_REFUSAL: Duration = Duration::from_secs(5);

/// Where work is brought.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    /// Whether what was erased is gone.
    scrubbed: watch::Receiver<bool>,
}

impl Writer {
    /// Starts to write to a storage. Ends when the last copy of this handle is gone.
    #[must_use]
    pub(crate) fn start(storage: Arc<dyn Storage>, hub: Arc<Hub>, lists: Arc<Lists>, alerts: Alerts) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let scrubbing = Scrubbing { at: None, done: watch::Sender::new(true) };
        let scrubbed = scrubbing.done.subscribe();
        tokio::spawn(write(storage, Listeners { hub, lists, alerts }, scrubbing, waiting));
        Self { jobs, scrubbed }
    }

    /// Does this, and answers when it is committed.
    ///
    /// # Errors
    /// When the storage refused; nothing of it was done then.
    pub(crate) async fn write<W: Work>(&self, work: W) -> Result<W::Answer> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Pending { work, answer: None, reply });
        let stopped = || StorageError::new("the writer has stopped");
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Waits until what has been erased is nowhere any more.
    ///
    /// # Errors
    /// When the server ends before that; it is seen to when it starts again.
    pub(crate) async fn scrubbed(&self) -> Result<()> {
        let scrubbed = self.scrubbed.clone().wait_for(|scrubbed| *scrubbed).await.map(drop);
        scrubbed.map_err(|_| StorageError::new("the writer has stopped"))
    }

    /// Has operations decided, each once.
    pub(crate) async fn decide(&self, submission: Submission) -> Vec<Verdict> {
        let mut decision = Decision::from(submission);
        while let Some(rest) = decision.rest() {
            let decided = self.write(rest).await;
            decision.note(decided.inspect_err(|error| tracing::error!(%error, "operations were not stored")));
        }
        decision.verdicts()
    }
}

/// Who hears of what was committed.
struct Listeners {
    hub: Arc<Hub>,
    lists: Arc<Lists>,
    alerts: Alerts,
}

async fn write(
    storage: Arc<dyn Storage>,
    listeners: Listeners,
    mut scrubbing: Scrubbing,
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
) {
    let mut group = Vec::with_capacity(GROUP);
    loop {
        tokio::select! {
            // First, so that under much work it is not put off for ever.
            biased;
            () = scrubbing.due() => scrubbing.run(&*storage).await,
            taken = waiting.recv_many(&mut group, GROUP) => if taken == 0 {
                return;
            },
        }
        while !group.is_empty() {
            match commit(&*storage, &mut group).await {
                Ok((done, growth)) => {
                    let done = group.drain(..done).collect();
                    settle(&listeners, &mut scrubbing, done, &growth).await;
                }
                Err(_) => commit_each(&*storage, &listeners, &mut scrubbing, group.drain(..)).await,
            }
        }
    }
}

/// After a failure any of these may be the cause: the others need not share its fate.
async fn commit_each(
    storage: &dyn Storage,
    listeners: &Listeners,
    scrubbing: &mut Scrubbing,
    group: impl Iterator<Item = Box<dyn Job>>,
) {
    for mut job in group {
        match commit_alone(storage, &mut job).await {
            Ok(growth) => settle(listeners, scrubbing, vec![job], &growth).await,
            Err(error) => {
                tracing::error!(%error, "a commit failed");
                job.refuse(error);
            }
        }
    }
}

/// Does this in a transaction of its own, again if somebody else was in its way.
async fn commit_alone(storage: &dyn Storage, job: &mut Box<dyn Job>) -> Result<Growth> {
    let mut wait = ATTEMPT_AFTER;
    for _ in 1..ATTEMPTS {
        match commit(storage, slice::from_mut(job)).await {
            Err(error) if error.is_passing() => tracing::debug!(%error, "a commit is tried again"),
            done => return done.map(|(_, growth)| growth),
        }
        sleep(wait).await;
        wait *= 2;
    }
    commit(storage, slice::from_mut(job)).await.map(|(_, growth)| growth)
}

/// Does the first of these, as many as one transaction takes, and answers how many.
async fn commit(storage: &dyn Storage, group: &mut [Box<dyn Job>]) -> Result<(usize, Growth)> {
    let mut done = 0;
    let mut growth = Growth::default();
    let mut touched = Touched::default();
    group.iter().for_each(|job| job.tell_touched(&mut touched));
    let mut transaction = storage.begin().await?;
    transaction.lock(&touched).await?;
    for job in group {
        job.run(&mut *transaction, &mut growth).await?;
        done += 1;
        if growth.is_enough() {
            break;
        }
    }
    transaction.commit().await?;
    Ok((done, growth))
}

/// Ends what a device that was removed has open, answers, then wakes; what was erased goes after that. Whoever has the
/// answer may wait for that, too.
async fn settle(listeners: &Listeners, scrubbing: &mut Scrubbing, group: Vec<Box<dyn Job>>, growth: &Growth) {
    if growth.has_erased() {
        scrubbing.want();
    }
    for change in growth.devices() {
        listeners.lists.apply(change).await;
    }
    for account in growth.erased_accounts() {
        listeners.hub.revoke_all(account).await;
    }
    group.into_iter().for_each(|job| job.settle());
    listeners.hub.wake(growth.accounts());
    listeners.alerts.tell(growth);
}

/// When it is to be made sure that what was erased is gone.
struct Scrubbing {
    at: Option<Instant>,
    done: watch::Sender<bool>,
}

impl Scrubbing {
    /// Something was erased. If an attempt stands, that will see to it.
    fn want(&mut self) {
        self.at.get_or_insert_with(Instant::now);
        self.done.send_replace(false);
    }

    /// Waits until it is time.
    async fn due(&self) {
        match self.at {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Tries. Whoever reads at the moment may be in the way, so it may take several attempts.
    async fn run(&mut self, storage: &dyn Storage) {
        self.at = match storage.scrub().await {
            Ok(true) => None,
            Ok(false) => Some(Instant::now() + SCRUB_AGAIN),
            Err(error) => {
                tracing::warn!(%error, "what was erased may still be on the disk");
                Some(Instant::now() + SCRUB_AFTER_REFUSAL)
            }
        };
        self.done.send_replace(self.at.is_none());
    }
}

/// [`Work`] of any kind, with who waits for it.
#[async_trait]
trait Job: Send {
    fn tell_touched(&self, touched: &mut Touched);
    async fn run(&mut self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<()>;
    fn settle(self: Box<Self>);
    fn refuse(self: Box<Self>, error: StorageError);
}

struct Pending<W: Work> {
    work: W,
    answer: Option<W::Answer>,
    reply: oneshot::Sender<Result<W::Answer>>,
}

#[async_trait]
impl<W: Work> Job for Pending<W> {
    fn tell_touched(&self, touched: &mut Touched) {
        self.work.tell_touched(touched);
    }

    async fn run(&mut self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<()> {
        self.answer = Some(self.work.run(tx, growth).await?);
        Ok(())
    }

    // Who asked may be gone by now; what was committed stands.

    fn settle(self: Box<Self>) {
        if let Some(answer) = self.answer {
            let _ = self.reply.send(Ok(answer));
        }
    }

    fn refuse(self: Box<Self>, error: StorageError) {
        let _ = self.reply.send(Err(error));
    }
}

#[cfg(test)]
mod tests;
