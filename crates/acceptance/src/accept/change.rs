//! What the sender of a message may still do to it.

use bytes::Bytes;
use tutti_protocol::{Code, OperationId, Seq, wire};

use super::{Refusal, Stop, Submitter};
use crate::{
    storage::{MessageKey, StoredMessage},
    work::Notice,
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
        Ok(self.tell_changed(message.key, id).await?)
    }

    /// Erases a message for good.
    pub(super) async fn recall(&mut self, id: OperationId, recall: &wire::Recall) -> Result<Seq, Stop> {
        let recalled = parse(&recall.message)?;
        let message = self.own_message(recalled).await?;
        if message.recalled {
            return Ok(Seq(0));
        }
        self.must_be_in_time(&message)?;
        self.tx.erase_message(message.key).await?;
        self.growth.note_erased();
        let seq = self.tell_changed(message.key, id).await?;
        // A draft that answers or edits the message may hold its content.
        let told = self.tx.remove_drafts(message.key, &recalled.to_string(), self.submission.now).await?;
        self.growth.add_entries(told);
        let told = self.tx.erase_notifications(recalled).await?;
        for account in &told {
            self.growth.add_notice(Notice::Over { account: account.clone(), id: recalled });
        }
        self.growth.add_entries(told);
        Ok(seq)
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

    /// Tells everyone who has a message that it has changed, and answers where in the submitter's log.
    async fn tell_changed(&mut self, message: MessageKey, id: OperationId) -> crate::storage::Result<Seq> {
        let told = self.tx.tell_changed(message, id).await?;
        let seq = told.get(&self.submission.account).copied().unwrap_or_default();
        self.growth.add_entries(told.into_keys());
        Ok(seq)
    }
}

pub(super) fn parse(id: &Bytes) -> Result<OperationId, Refusal> {
    OperationId::try_from(id).map_err(|error| Refusal::finally(Code::Invalid, error.to_string()))
}
