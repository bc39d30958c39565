//! What is done to a storage, in transactions.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tutti_protocol::{OperationId, wire};

use crate::{
    devices::{Change, What},
    storage::{Noted, Result, Storage, Touched, Transaction},
};

/// Steps after which a transaction is committed, so that nobody waits long behind much work. A step is
/// an entry in a log, or an operation, whatever becomes of it.
const STEPS: usize = 2_000;

/// How the logs grow in a transaction, and what becomes of devices and accounts.
#[derive(Default)]
pub struct Growth {
    accounts: BTreeSet<String>,
    devices: Vec<Change>,
    erased_accounts: Vec<String>,
    steps: usize,
    entries: usize,
    erased: bool,
    notices: Vec<Notice>,
}

/// What an account is to be told outside the logs: where no device of its looks into them, its user is alerted.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// It was notified of something new.
    Alert {
        /// The account.
        account: String,
        /// Of what.
        notification: wire::Notification,
    },
    /// It has seen that one, or there is nothing to be seen of it any more.
    Over {
        /// The account.
        account: String,
        /// Which.
        id: OperationId,
    },
}

impl Growth {
    /// An operation was decided.
    pub fn count_operation(&mut self) {
        self.steps += 1;
    }

    /// These accounts' logs got an entry each.
    pub fn add_entries(&mut self, accounts: impl IntoIterator<Item = String>) {
        let before = self.entries;
        self.accounts.extend(accounts.into_iter().inspect(|_| self.entries += 1));
        self.steps += self.entries - before;
    }

    /// An account's log got an entry about a notification.
    pub(crate) fn add_notification(&mut self, account: &str, noted: Noted) {
        self.add_entries([account.to_owned()]);
        self.erased |= noted.erased;
    }

    /// This has become of an account's device.
    pub(crate) fn note_device(&mut self, account: &str, device: &str, what: What) {
        self.devices.push(Change { account: account.to_owned(), device: device.to_owned(), what });
    }

    /// An account is erased from now on.
    pub(crate) fn note_erased_account(&mut self, account: &str) {
        self.erased_accounts.push(account.to_owned());
    }

    /// Once this is committed, an account is to be told this.
    pub(crate) fn add_notice(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// What accounts are to be told once this is committed, in its order.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Something was erased for good: once this is committed, the storage is to be scrubbed.
    pub fn note_erased(&mut self) {
        self.erased = true;
    }

    /// Whether something was erased for good.
    #[must_use]
    pub fn has_erased(&self) -> bool {
        self.erased
    }

    /// How many entries the logs have got.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The accounts whose logs have grown.
    pub fn accounts(&self) -> impl Iterator<Item = &String> {
        self.accounts.iter()
    }

    /// What has become of devices, in order.
    #[must_use]
    pub fn devices(&self) -> &[Change] {
        &self.devices
    }

    /// The accounts that are erased from now on.
    #[must_use]
    pub fn erased_accounts(&self) -> &[String] {
        &self.erased_accounts
    }

    /// Whether what remains is to wait for the next transaction.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.steps >= STEPS
    }
}

/// Something to be done in a transaction. It may run more than once, until a commit holds. Work of many
/// steps does a part once the growth is enough, and its answer says how far it came.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    /// What came of it.
    type Answer: Send + 'static;

    /// Says what it will be done to.
    fn tell_touched(&self, _touched: &mut Touched) {}

    /// Does it, and notes how the logs grow.
    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Self::Answer>;
}

/// Does some work in a transaction of its own.
///
/// # Errors
/// When the storage refused; nothing was done then.
pub async fn perform<W: Work>(storage: &dyn Storage, work: &W) -> Result<(W::Answer, Growth)> {
    let mut growth = Growth::default();
    let mut touched = Touched::default();
    work.tell_touched(&mut touched);
    let mut transaction = storage.begin().await?;
    transaction.lock(&touched).await?;
    let answer = work.run(&mut *transaction, &mut growth).await?;
    transaction.commit().await?;
    Ok((answer, growth))
}
