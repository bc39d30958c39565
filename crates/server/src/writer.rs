//! Group commit: what waits while a commit runs goes into the next one, up to a bound. What came of it
//! is told after the commit, and then whoever has something new in the log is woken.

use std::{collections::BTreeSet, slice, sync::Arc};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use crate::{
    hub::Hub,
    storage::{Result, Storage, StorageError, Transaction},
};

/// Most pieces of work in one transaction.
const GROUP: usize = 64;
/// Most pieces of work that may wait for the writer before those who bring more wait themselves.
const QUEUE: usize = 1_024;

/// Steps after which a transaction is committed, so that nobody waits long behind much work. A step is
/// an entry in a log, or an operation, whatever becomes of it.
const STEPS: usize = 2_000;

/// How the logs grow in a transaction.
#[derive(Default)]
pub(crate) struct Growth {
    accounts: BTreeSet<String>,
    steps: usize,
}

impl Growth {
    /// An operation was decided.
    pub(crate) fn count_operation(&mut self) {
        self.steps += 1;
    }

    /// These accounts' logs got an entry each.
    pub(crate) fn add_entries(&mut self, accounts: impl IntoIterator<Item = String>) {
        let accounts = accounts.into_iter().inspect(|_| self.steps += 1);
        self.accounts.extend(accounts);
    }

    /// Whether what remains is to wait for the next transaction.
    #[must_use]
    pub(crate) fn is_enough(&self) -> bool {
        self.steps >= STEPS
    }
}

/// Something to be done in a transaction. It may run more than once, until a commit holds. Work of many
/// steps does a part once the growth is enough, and its answer says how far it came.
#[async_trait]
pub(crate) trait Work: Send + Sync + 'static {
    /// What came of it.
    type Answer: Send + 'static;

    /// Does it, and notes how the logs grow.
    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Self::Answer>;
}

/// Where work is brought.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
}

impl Writer {
    /// Starts to write to a storage. Ends when the last copy of this handle is gone.
    #[must_use]
    pub(crate) fn start(storage: Arc<dyn Storage>, hub: Arc<Hub>) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(storage, hub, waiting));
        Self { jobs }
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
}

async fn write(storage: Arc<dyn Storage>, hub: Arc<Hub>, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut group = Vec::with_capacity(GROUP);
    while waiting.recv_many(&mut group, GROUP).await > 0 {
        while !group.is_empty() {
            match commit(&*storage, &mut group).await {
                Ok((done, growth)) => settle(&hub, group.drain(..done), &growth),
                Err(_) => commit_each(&*storage, &hub, group.drain(..)).await,
            }
        }
    }
}

/// After a failure any of these may be the cause: the others need not share its fate.
async fn commit_each(storage: &dyn Storage, hub: &Hub, group: impl Iterator<Item = Box<dyn Job>>) {
    for mut job in group {
        match commit(storage, slice::from_mut(&mut job)).await {
            Ok((_, growth)) => settle(hub, [job], &growth),
            Err(error) => {
                tracing::error!(%error, "a commit failed");
                job.refuse(error);
            }
        }
    }
}

/// Does the first of these, as many as one transaction takes, and answers how many.
async fn commit(storage: &dyn Storage, group: &mut [Box<dyn Job>]) -> Result<(usize, Growth)> {
    let mut done = 0;
    let mut growth = Growth::default();
    let mut transaction = storage.begin().await?;
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

/// Answers first, then wakes.
fn settle(hub: &Hub, group: impl IntoIterator<Item = Box<dyn Job>>, growth: &Growth) {
    group.into_iter().for_each(|job| job.settle());
    growth.accounts.iter().for_each(|account| hub.wake(account));
}

/// [`Work`] of any kind, with who waits for it.
#[async_trait]
trait Job: Send {
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
