//! What the application's back end notifies accounts of.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tutti_protocol::{
    Millis, OperationId,
    wire::{self, event::Body},
};

use crate::{
    accept::{Refusal, conflict},
    storage::{AccountKey, Receipt, Result, Transaction},
    work::{Growth, Work},
};

/// Something that accounts are notified of: each once, however often it is said.
#[derive(Clone, Debug)]
pub struct Notify {
    /// Which accounts.
    pub accounts: BTreeSet<String>,
    /// Of what; state and time are not the caller's to say.
    pub notification: wire::Notification,
    /// When.
    pub now: Millis,
}

#[async_trait]
impl Work for Notify {
    /// When they were notified, all of them at once.
    type Answer = Result<Millis, Refusal>;

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Self::Answer> {
        let Ok(id) = OperationId::try_from(&self.notification.id) else {
            return Ok(Err(conflict()));
        };
        let digest = self.digest();
        let (mut created_at, mut new) = (None, Vec::new());
        for account in &self.accounts {
            let key = tx.account(account).await?;
            match tx.receipt(key, id).await? {
                Some(receipt) if receipt.digest != digest => return Ok(Err(conflict())),
                Some(receipt) => created_at = created_at.or(Some(receipt.accepted_at)),
                None => new.push((account, key)),
            }
        }
        let created_at = created_at.unwrap_or(self.now);
        let state = wire::NotificationState::Unread.into();
        let notification =
            wire::Notification { created_at: created_at.0, state, ..self.notification.clone() };
        for (account, key) in new {
            if self.is_about_what_was_recalled(tx, key).await? {
                // Whose words are gone is nothing to be told of.
                break;
            }
            let noted = tx.notify(key, &notification).await?;
            let receipt = Receipt { digest, seq: noted.seq, accepted_at: created_at };
            tx.keep_receipt(key, id, &receipt).await?;
            growth.add_notification(account, noted);
        }
        Ok(Ok(created_at))
    }
}

impl Notify {
    /// What it says, apart from its id.
    fn digest(&self) -> [u8; 32] {
        let said = wire::Notification { id: Bytes::new(), ..self.notification.clone() };
        Sha256::digest(said.encode_to_vec()).into()
    }

    async fn is_about_what_was_recalled(
        &self,
        tx: &mut dyn Transaction,
        account: AccountKey,
    ) -> Result<bool> {
        let Ok(message) = OperationId::try_from(&self.notification.message) else {
            return Ok(false);
        };
        let message = tx.message(account, message).await?;
        Ok(message.is_some_and(|message| message.recalled))
    }
}

/// Takes what accounts are notified of out of events that are for a device that does not want it. The events keep
/// their places.
pub fn withhold(events: &mut [wire::Event]) {
    let notifications = events.iter_mut().filter(|it| matches!(it.body, Some(Body::Notification(_))));
    notifications.for_each(|event| event.body = None);
}
