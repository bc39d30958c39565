//! Which of several values must hold, told from what the server has accepted. Of one device the last that it
//! told; of those of several devices the one with the latest clock, then that of the greater device. It knows
//! nothing of how the server finds that out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tutti_acceptance::source::Source;
use tutti_protocol::{
    OperationId,
    wire::{self, operation},
};

/// What each device has told, last: by its mark, the latest clock and the value.
type Told = BTreeMap<Bytes, (u64, Bytes)>;

fn tell(told: &mut Told, device: &Bytes, clock: u64, value: &Bytes) {
    let (latest, said) = told.entry(device.clone()).or_default();
    *latest = clock.max(*latest);
    said.clone_from(value);
}

fn latest(told: &Told) -> Option<&Bytes> {
    told.iter().max_by_key(|(device, (clock, _))| (*clock, *device)).map(|(_, (_, value))| value)
}

/// What has been decided so far.
#[derive(Debug, Default)]
pub struct Decided {
    /// Operations that have counted, by account. None counts twice.
    counted: BTreeSet<(String, Bytes)>,
    /// What messages must say that were edited.
    edits: BTreeMap<OperationId, Told>,
    /// What was set of a target of an account, by name.
    fields: BTreeMap<(String, String, String), Told>,
    /// How far an account has let others know that it has read a conversation, at most.
    shown: BTreeMap<(String, String), u64>,
    /// Accounts that have read what they let nobody know of.
    hidden: BTreeSet<String>,
}

impl Decided {
    /// The server has accepted this from a device.
    pub fn accept(&mut self, account: &str, source: Source, hide_reads: bool, operation: &wire::Operation) {
        if !self.counted.insert((account.to_owned(), operation.id.clone())) {
            return;
        }
        match operation.body.as_ref().expect("the engine sends what the codec takes") {
            operation::Body::Edit(edit) => {
                let id = OperationId::try_from(&edit.message).expect("the engine sends what the codec takes");
                let mark = source.mark(&edit.message);
                tell(self.edits.entry(id).or_default(), &mark, operation.clock, &edit.content);
            }
            operation::Body::Set(set) => {
                let mark = source.mark(set.target.as_bytes());
                for field in &set.fields {
                    let of = (account.to_owned(), set.target.clone(), field.name.clone());
                    tell(self.fields.entry(of).or_default(), &mark, operation.clock, &field.value);
                }
            }
            operation::Body::MarkRead(_) if hide_reads => drop(self.hidden.insert(account.to_owned())),
            operation::Body::MarkRead(mark) => {
                let shown = self.shown.entry((account.to_owned(), mark.conversation.clone())).or_default();
                *shown = mark.position.max(*shown);
            }
            operation::Body::Send(_) | operation::Body::Recall(_) | operation::Body::MarkNotification(_) => {}
        }
    }

    /// What a message must say, if it was edited and not recalled.
    #[must_use]
    pub fn content(&self, id: OperationId) -> Option<&Bytes> {
        self.edits.get(&id).and_then(latest)
    }

    /// The value of a field; empty: there must be none.
    #[must_use]
    pub fn value(&self, account: &str, target: &str, name: &str) -> Bytes {
        let of = (account.to_owned(), target.to_owned(), name.to_owned());
        self.fields.get(&of).and_then(latest).cloned().unwrap_or_default()
    }

    /// How far others may know that an account has read a conversation, and whether they must know how far it
    /// has.
    #[must_use]
    pub fn shown(&self, account: &str, conversation: &str) -> (u64, bool) {
        let of = (account.to_owned(), conversation.to_owned());
        (self.shown.get(&of).copied().unwrap_or_default(), !self.hidden.contains(account))
    }
}
