//! How far what an account is notified of has come with its user.

use tutti_protocol::{OperationId, Seq, wire};

use super::{Refusal, Stop, Submitter, change::parse};

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
        Ok(noted.seq)
    }
}
