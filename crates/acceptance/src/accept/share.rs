//! Fields that an account's devices share.

use tutti_protocol::{Code, DeviceId, OperationId, Seq, Target, limits, wire};

use super::{Refusal, Stop, Submitter};
use crate::{merge::Fields, storage::NewFields};

impl Submitter<'_> {
    /// Sets fields, each unless a later value of it is known.
    pub(super) async fn set(&mut self, id: OperationId, set: &wire::Set, clock: u64) -> Result<Seq, Stop> {
        let stamp = self.stamp(clock, set.target.as_bytes())?;
        self.must_see(&set.target).await?;
        let mut fields = self.tx.fields(self.key, &set.target).await?;
        let is_new = fields.is_empty();
        let won = fields.merge(Fields::stamped(&set.fields, &stamp));
        if won.is_empty() {
            return Ok(Seq(0));
        }
        if !fields.is_within_limits() {
            return Err(Refusal::finally(Code::TooLarge, "so many or so large fields are too much").into());
        }
        if is_new && self.tx.targets(self.key).await? >= limits::TARGETS {
            let message = "the account has fields of too many conversations and sessions";
            return Err(Refusal::finally(Code::TooLarge, message).into());
        }
        let device = self.submission.source.lasting().map(DeviceId::to_bytes).unwrap_or_default();
        let updated_at = self.submission.now;
        let fields = NewFields { target: &set.target, fields: &won, updated_at, device: &device };
        let seq = self.tx.set_fields(self.key, id, fields).await?;
        self.growth.add_entries([self.submission.account.clone()]);
        Ok(seq)
    }

    /// What was said in a group stays with those who have left, and so do its fields.
    async fn must_see(&mut self, target: &str) -> Result<(), Stop> {
        match Target::parse(target) {
            Some(Target::Session(_)) => Ok(()),
            Some(Target::Conversation(conversation)) => match self.tx.view(self.key, conversation).await? {
                Some(_) => Ok(()),
                None => self.must_belong_to(conversation).await,
            },
            None => Err(Refusal::finally(Code::Invalid, "not a conversation or a session").into()),
        }
    }
}
