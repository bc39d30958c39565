//! How far an account has read, and who learns of it.

use std::collections::BTreeSet;

use tutti_protocol::{Conversation, OperationId, Position, Seq, limits, wire};

use super::{Refusal, Stop, Submitter};
use crate::storage::{Entry, Reading, View};

impl Submitter<'_> {
    /// Moves the read position forward, never beyond the last message and never back.
    pub(super) async fn mark_read(&mut self, id: OperationId, mark: &wire::MarkRead) -> Result<Seq, Stop> {
        let Some(view) = self.tx.view(self.key, &mark.conversation).await? else {
            // Nothing to read in a conversation that has not begun.
            self.must_belong_to(&mark.conversation).await?;
            return Ok(Seq(0));
        };
        let position = Position(mark.position).min(view.last);
        if position <= view.read {
            return Ok(Seq(0));
        }
        // What is no longer kept is read together.
        let place = self.tx.place_at(view.key, position).await?;
        let position = place.position;
        self.tx.set_read(place).await?;
        let seq = self.append(id, Entry::Read(place)).await?;
        if position == view.last {
            self.read_notifications(id, &mark.conversation).await?;
        }
        if !self.submission.hide_reads {
            self.tell_read(&mark.conversation, &view, position).await?;
        }
        Ok(seq)
    }

    /// A group that one is not in does not exist.
    pub(super) async fn must_belong_to(&mut self, conversation: &str) -> Result<(), Stop> {
        if let Conversation::Group(group) = Conversation::parse(conversation)? {
            let members = self.tx.group(group).await?.unwrap_or_default();
            if !members.contains(&self.submission.account) {
                return Err(Refusal::no_conversation().into());
            }
        }
        Ok(())
    }

    /// Tells the others how far the submitter has read.
    async fn tell_read(&mut self, conversation: &str, view: &View, position: Position) -> Result<(), Stop> {
        let others = self.onlookers(conversation).await?;
        if others.is_empty() {
            return Ok(());
        }
        let theirs = self.name_for_others(conversation)?;
        let reading = Reading { reader: self.key, view: view.key, position };
        let told = self.tx.tell_read(&others, &theirs, reading).await?;
        self.growth.add_entries(told);
        Ok(())
    }

    /// Who learns how far the submitter has read: the others, unless they are too many, or the submitter
    /// is no longer with them.
    async fn onlookers(&mut self, conversation: &str) -> Result<BTreeSet<String>, Stop> {
        let account = &self.submission.account;
        let mut others = match Conversation::parse(conversation)? {
            Conversation::Direct(other) => BTreeSet::from([other.to_owned()]),
            Conversation::Group(group) => {
                let members = self.tx.group(group).await?.unwrap_or_default();
                if members.len() > limits::READERS || !members.contains(account) {
                    return Ok(BTreeSet::new());
                }
                members
            }
        };
        others.remove(account);
        Ok(others)
    }
}
