//! What the sender of a message may still do to it.

use bytes::Bytes;
use tutti_protocol::{Code, Millis, OperationId, Seq, wire};

use super::{Refusal, Stop, Submitter};
use crate::{
    storage::{MessageKey, Result, StoredMessage, Told, Transaction},
    work::{Growth, Notice},
};

impl Submitter<'_> {
    /// Gives a message other content, unless a later edit has, or it was recalled.
    pub(super) async fn edit(&mut self, id: OperationId, edit: &wire::Edit, clock: u64) -> Result<Seq, Stop> {
        let stamp = self.stamp(clock, &edit.message)?;
        let message = self.own_message(parse(&edit.message)?).await?;
        let stamp = match &message.edit {
            _ if message.recalled => None,
            Some(latest) => stamp.over(latest),
            None => Some(stamp),
        };
        let Some(stamp) = stamp else {
            return Ok(Seq(0));
        };
        self.tx.edit_message(message.key, &edit.content, &stamp, self.submission.now).await?;
        let told = tell_changed(self.tx, self.growth, message.key, Some(id)).await?;
        Ok(self.own_seq(&told))
    }

    /// Erases a message for good.
    pub(super) async fn recall(&mut self, id: OperationId, recall: &wire::Recall) -> Result<Seq, Stop> {
        let recalled = parse(&recall.message)?;
        let message = self.own_message(recalled).await?;
        if message.recalled {
            return Ok(Seq(0));
        }
        self.must_be_in_time(&message)?;
        let erased = Erased { key: message.key, id: recalled, by: Some(id) };
        let told = erase(self.tx, self.growth, erased, self.submission.now).await?;
        self.growth.note_erased();
        Ok(self.own_seq(&told))
    }

    /// A message that the submitter has sent. One that the submitter has no other way of knowing looks as
    /// if it were not there.
    async fn own_message(&mut self, id: OperationId) -> Result<StoredMessage, Stop> {
        match self.tx.message(self.key, id).await? {
            Some(message) if message.sender == self.submission.account => Ok(message),
            Some(message) if message.held => Err(Refusal::anothers_message().into()),
            _ => Err(Refusal::finally(Code::NotFound, "no such message").into()),
        }
    }

    fn must_be_in_time(&self, message: &StoredMessage) -> Result<(), Refusal> {
        let Some(window) = self.submission.recall_window else {
            return Ok(());
        };
        let age = self.submission.now.0.saturating_sub(message.sent_at.0);
        if u128::from(age) <= window.as_millis() {
            return Ok(());
        }
        let seconds = window.as_secs();
        let message = format!("a message can be recalled for {seconds} s after it was sent, not later");
        Err(Refusal::finally(Code::Forbidden, message))
    }

    /// Where in the submitter's log that is which was told.
    fn own_seq(&self, told: &Told) -> Seq {
        told.get(&self.submission.account).copied().unwrap_or_default()
    }
}

/// A message whose content goes for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Erased {
    /// Which.
    pub key: MessageKey,
    /// Its id.
    pub id: OperationId,
    /// By which operation; none: it is the server's own doing.
    pub by: Option<OperationId>,
}

/// Takes the content from a message, and from what quotes it or tells of it, in every account, and tells everyone who
/// has it. Answers where in their logs.
pub(crate) async fn erase(
    tx: &mut dyn Transaction,
    growth: &mut Growth,
    Erased { key, id, by }: Erased,
    now: Millis,
) -> Result<Told> {
    tx.erase_message(key).await?;
    let told = tell_changed(tx, growth, key, by).await?;
    // A draft that answers or edits the message may hold its content.
    growth.add_entries(tx.remove_drafts(key, &id.to_string(), now).await?);
    erase_notifications(tx, growth, id).await?;
    Ok(told)
}

/// Takes the words from what tells of a message, in every account.
pub(crate) async fn erase_notifications(
    tx: &mut dyn Transaction,
    growth: &mut Growth,
    message: OperationId,
) -> Result<()> {
    let told = tx.erase_notifications(message).await?;
    for account in &told {
        growth.add_notice(Notice::Over { account: account.clone(), id: message });
    }
    growth.add_entries(told);
    Ok(())
}

/// Tells everyone who has a message that it has changed, and answers where in their logs.
async fn tell_changed(
    tx: &mut dyn Transaction,
    growth: &mut Growth,
    message: MessageKey,
    by: Option<OperationId>,
) -> Result<Told> {
    let told = tx.tell_changed(message, by).await?;
    growth.add_entries(told.keys().cloned());
    Ok(told)
}

pub(super) fn parse(id: &Bytes) -> Result<OperationId, Refusal> {
    OperationId::try_from(id).map_err(|error| Refusal::finally(Code::Invalid, error.to_string()))
}
