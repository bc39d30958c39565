//! Group commit: all that waits while a commit runs goes into the next one. What came of it is told
//! after the commit, and then whoever has something new in the log is woken.

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

/// Accounts whose log has grown.
pub(crate) type Woken = BTreeSet<String>;

/// Something to be done in a transaction. It may run more than once, until a commit holds.
#[async_trait]
pub(crate) trait Work: Send + Sync + 'static {
    /// What came of it.
    type Answer: Send + 'static;

    /// Does it, and notes whose log has grown.
    async fn run(&self, tx: &mut dyn Transaction, woken: &mut Woken) -> Result<Self::Answer>;
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
        match commit(&*storage, &mut group).await {
            Ok(woken) => settle(&hub, group.drain(..), &woken),
            // One of them may be the cause: the others need not share its fate.
            Err(_) => {
                for mut job in group.drain(..) {
                    match commit(&*storage, slice::from_mut(&mut job)).await {
                        Ok(woken) => settle(&hub, [job], &woken),
                        Err(error) => {
                            tracing::error!(%error, "a commit failed");
                            job.refuse(error);
                        }
                    }
                }
            }
        }
    }
}

async fn commit(storage: &dyn Storage, group: &mut [Box<dyn Job>]) -> Result<Woken> {
    let mut woken = Woken::new();
    let mut transaction = storage.begin().await?;
    for job in group {
        job.run(&mut *transaction, &mut woken).await?;
    }
    transaction.commit().await?;
    Ok(woken)
}

/// Answers first, then wakes.
fn settle(hub: &Hub, group: impl IntoIterator<Item = Box<dyn Job>>, woken: &Woken) {
    group.into_iter().for_each(|job| job.settle());
    woken.iter().for_each(|account| hub.wake(account));
}

/// [`Work`] of any kind, with who waits for it.
#[async_trait]
trait Job: Send {
    async fn run(&mut self, tx: &mut dyn Transaction, woken: &mut Woken) -> Result<()>;
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
    async fn run(&mut self, tx: &mut dyn Transaction, woken: &mut Woken) -> Result<()> {
        self.answer = Some(self.work.run(tx, woken).await?);
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
