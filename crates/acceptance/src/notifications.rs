//! What the application's back end notifies accounts of.

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tutti_protocol::{
    Millis, OperationId,
    target::MUTED,
    wire::{self, event::Body},
};

use crate::{
    accept::{Refusal, conflict},
    storage::{AccountKey, Receipt, Result, Touched, Transaction},
    work::{Growth, Notice, Work},
};

/// Most characters of a message in a notification of it.
const BODY: usize = 160;

/// Something that accounts are notified of: each once, however often it is said; none, if one of them was erased.
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

    fn tell_touched(&self, touched: &mut Touched) {
        touched.accounts.extend(self.accounts.iter().cloned());
        touched.messages.extend(OperationId::try_from(&self.notification.message).ok());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Self::Answer> {
        let Ok(id) = OperationId::try_from(&self.notification.id) else {
            return Ok(Err(conflict()));
        };
        let accounts: Vec<_> = self.accounts.iter().map(String::as_str).collect();
        if let Some((account, _)) = tx.erased(&accounts).await? {
            return Ok(Err(Refusal::erased(&account)));
        }
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
            let alerts = !is_muted(tx, key, &notification.conversation).await?;
            let noted = tx.notify(key, &notification).await?;
            let receipt = Receipt { digest, seq: noted.seq, accepted_at: created_at };
            tx.keep_receipt(key, id, &receipt).await?;
            growth.add_notification(account, noted);
            if alerts {
                let (account, notification) = (account.clone(), notification.clone());
                growth.add_notice(Notice::Alert { account, notification });
            }
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

/// Whether an account does not want to be disturbed by what is about a conversation; by what is about none it may be.
pub(crate) async fn is_muted(
    tx: &mut dyn Transaction,
    account: AccountKey,
    conversation: &str,
) -> Result<bool> {
    if conversation.is_empty() {
        return Ok(false);
    }
    let fields = tx.fields(account, conversation).await?;
    Ok(fields.iter().any(|(name, field)| name == MUTED && &field.value[..] == b"true"))
}

/// A message as accounts are notified of it that get it: under its own id, with who sent it and how it begins.
pub(crate) fn of_message(
    message: OperationId,
    sender: &str,
    conversation: &str,
    content: &[u8],
    now: Millis,
) -> Notify {
    let notification = wire::Notification {
        id: message.to_bytes(),
        title: sender.to_owned(),
        body: beginning(content),
        conversation: conversation.to_owned(),
        message: message.to_bytes(),
        ..wire::Notification::default()
    };
    Notify { accounts: BTreeSet::new(), notification, now }
}

/// How the text of a message begins: of content that is a string, or that has one under `text`.
fn beginning(content: &[u8]) -> String {
    let content = serde_json::from_slice::<serde_json::Value>(content).unwrap_or_default();
    let text = content.as_str().or_else(|| content.get("text")?.as_str()).unwrap_or_default();
    text.chars().take(BODY).collect()
}

/// Takes what accounts are notified of out of events that are for a device that does not want it. The events keep
/// their places.
pub fn withhold(events: &mut [wire::Event]) {
    let notifications = events.iter_mut().filter(|it| matches!(it.body, Some(Body::Notification(_))));
    notifications.for_each(|event| event.body = None);
}
