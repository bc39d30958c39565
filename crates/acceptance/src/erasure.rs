//! The end of an account: what it has said is taken from everyone, and nothing that is its own is left.

use async_trait::async_trait;
use tutti_protocol::Millis;

use crate::{
    accept::change::{Erased, erase, erase_notifications},
    groups,
    storage::{Result, Touched, Transaction},
    work::{Growth, Work},
};

/// An account is erased for good, step by step: the first notes that it is, and from then on nothing comes from it or to
/// it. It is out of its groups, its messages are recalled, all that is its own is dropped, and at last the key that its
/// content was sealed under is destroyed. What is left is its name, which others' logs have, and when it was erased.
///
/// It may be done again whenever it was interrupted, and goes on where that was.
#[derive(Clone, Debug)]
pub struct EraseAccount {
    /// Its name.
    pub account: String,
    /// When.
    pub now: Millis,
}

/// How far the erasure of an account has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erasure {
    /// There is no such account.
    Unknown,
    /// Something is left: it is to be done again.
    Begun,
    /// Nothing is left.
    Done,
}

#[async_trait]
impl Work for EraseAccount {
    type Answer = Erasure;

    /// Whose groups and messages are still to be found: what they touch is told by what is done to them.
    fn tell_touched(&self, touched: &mut Touched) {
        touched.accounts.insert(self.account.clone());
        touched.devices.insert(self.account.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Erasure> {
        if tx.erased(&[&self.account]).await?.is_none() {
            // Alone in its step: whoever has a connection is not to wait for the rest.
            if !tx.begin_erasure(&self.account, self.now).await? {
                return Ok(Erasure::Unknown);
            }
            growth.note_erased_account(&self.account);
            return Ok(Erasure::Begun);
        }
        let key = tx.account(&self.account).await?;
        // First, since its views tell of which groups it was in.
        while let Some(group) = tx.any_group(key).await? {
            groups::leave(tx, growth, &group, &self.account).await?;
            growth.count_operation();
            if growth.is_enough() {
                return Ok(Erasure::Begun);
            }
        }
        // Before its messages are recalled: so that is written into no log of its own.
        if tx.drop_own(key).await? {
            return Ok(Erasure::Begun);
        }
        while let Some(sent) = tx.next_sent(key).await? {
            if sent.has_content {
                let erased = Erased { key: sent.key, id: sent.id, by: None };
                erase(tx, growth, erased, self.now).await?;
            } else {
                // What told of a message may be kept for longer than that.
                erase_notifications(tx, growth, sent.id).await?;
            }
            tx.forget_source(sent.key).await?;
            growth.count_operation();
            if growth.is_enough() {
                return Ok(Erasure::Begun);
            }
        }
        tx.end_erasure(key).await?;
        growth.note_erased();
        Ok(Erasure::Done)
    }
}
