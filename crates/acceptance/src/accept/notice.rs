//! How far what an account is notified of has come with its user.

use std::collections::BTreeSet;

use tutti_protocol::{OperationId, Seq, wire};

use super::{Refusal, Stop, Submission, Submitter, change::parse};
use crate::{
    notifications::{self, Notify},
    storage::{Result, StorageError},
    work::{Notice, Work as _},
};

impl Submitter<'_> {
    /// Moves a notification forward, never back.
    pub(super) async fn mark_notification(
        &mut self,
        id: OperationId,
        mark: &wire::MarkNotification,
    ) -> Result<Seq, Stop> {
        let known = self.tx.notification(self.key, parse(&mark.notification)?).await?;
        let known = known.ok_or_else(Refusal::no_notification)?;
        if mark.state <= i32::from(known) {
            return Ok(Seq(0));
        }
        let noted = self.tx.mark_notification(self.key, id, mark).await?;
        self.growth.add_notification(&self.submission.account, noted);
        self.note_over(parse(&mark.notification)?);
        Ok(noted.seq)
    }

    /// Notifies accounts of a message that they get, where that is wanted, but for those that have muted the
    /// conversation.
    pub(super) async fn notify(
        &mut self,
        id: OperationId,
        send: &wire::Send,
        conversation: &str,
        accounts: &BTreeSet<String>,
    ) -> Result<()> {
        let Submission { account: sender, notifies, now, .. } = self.submission;
        if !*notifies {
            return Ok(());
        }
        let notify = notifications::of_message(id, sender, conversation, &send.content, *now);
        for account in accounts {
            let key = self.tx.account(account).await?;
            if !notifications::is_muted(self.tx, key, conversation).await? {
                let accounts = BTreeSet::from([account.clone()]);
                // Whoever took this id before, for something else, keeps it.
                let _ = Notify { accounts, ..notify.clone() }.run(self.tx, self.growth).await?;
            }
        }
        Ok(())
    }

    /// Whoever has read a conversation to its end has read what notified of its messages.
    pub(super) async fn read_notifications(&mut self, id: OperationId, conversation: &str) -> Result<()> {
        for notification in self.tx.unread_messages(self.key, conversation).await? {
            let (notification, state) = (notification.to_bytes(), wire::NotificationState::Read.into());
            let mark = wire::MarkNotification { notification, state };
            let noted = self.tx.mark_notification(self.key, id, &mark).await?;
            self.growth.add_notification(&self.submission.account, noted);
            self.note_over(OperationId::try_from(&mark.notification).map_err(StorageError::new)?);
        }
        Ok(())
    }

    fn note_over(&mut self, id: OperationId) {
        let account = self.submission.account.clone();
        self.growth.add_notice(Notice::Over { account, id });
    }
}
