//! What the user did and the server has not confirmed, in the order in which it was done.

use std::collections::{BTreeMap, BTreeSet};

use tutti_protocol::{
    OperationId, Position, Timestamp,
    local::Queued,
    wire::{Operation, Refused, operation},
};

/// Durable operations on their way to the server.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: BTreeMap<Place, Queued>,
    /// Those of the queue that are still to be sent.
    pending: BTreeSet<Place>,
    clocks: BTreeMap<OperationId, Timestamp>,
    conversations: BTreeMap<String, Concerning>,
    /// What has taken effect in this log since this tab was loaded: news of an operation may come after news of
    /// its end.
    settled: BTreeSet<OperationId>,
    /// What was here and is not any more.
    seen: BTreeSet<OperationId>,
}

/// The operations that concern one conversation.
#[derive(Debug, Default)]
struct Concerning {
    sends: BTreeSet<Place>,
    marks: Vec<(Place, Position)>,
}

/// Where an operation stands in the queue.
type Place = (Timestamp, OperationId);

impl Outbox {
    /// Puts an operation in its place. Says whether it was not known before.
    pub(crate) fn insert(&mut self, queued: Queued) -> bool {
        let Some((place, body)) =
            queued.operation.as_ref().and_then(|it| Some((place(it)?, it.body.as_ref()?)))
        else {
            return false;
        };
        let (clock, id) = place;
        if self.settled.contains(&id) || self.clocks.contains_key(&id) {
            return false;
        }
        match body {
            operation::Body::Send(send) => {
                let concerning = self.conversations.entry(send.conversation.clone()).or_default();
                concerning.sends.insert(place);
            }
            operation::Body::MarkRead(read) => {
                let concerning = self.conversations.entry(read.conversation.clone()).or_default();
                concerning.marks.push((place, Position(read.position)));
            }
        }
        self.clocks.insert(id, clock);
        if queued.refused.is_none() {
            self.pending.insert(place);
        }
        self.queue.insert(place, queued);
        true
    }

    /// Takes over what has left, from the copy that this one replaces. What is here all the same, and they are
    /// copies of the same log, was written once more, or read before it left: that leaves, too, and is answered.
    pub(crate) fn remember(&mut self, old: &Self, same_log: bool) -> Vec<OperationId> {
        self.seen.extend(old.seen.iter().chain(old.clocks.keys()));
        if !same_log {
            return Vec::new();
        }
        self.settled.extend(&old.settled);
        let over: Vec<_> = self.clocks.keys().filter(|id| self.settled.contains(id)).copied().collect();
        for id in &over {
            self.settle(*id);
        }
        over
    }

    /// There is another log: what has taken effect in the last one may not have in this.
    pub(crate) fn forget_settled(&mut self) {
        self.settled.clear();
    }

    /// Takes out what has taken effect.
    pub(crate) fn settle(&mut self, id: OperationId) -> Option<Queued> {
        self.settled.insert(id);
        let place = (self.clocks.remove(&id)?, id);
        self.seen.insert(id);
        self.pending.remove(&place);
        let queued = self.queue.remove(&place)?;
        let conversation = queued.operation.as_ref().and_then(conversation)?;
        if let Some(concerning) = self.conversations.get_mut(conversation) {
            concerning.sends.remove(&place);
            concerning.marks.retain(|(of, _)| *of != place);
            if concerning.sends.is_empty() && concerning.marks.is_empty() {
                self.conversations.remove(conversation);
            }
        }
        Some(queued)
    }

    /// Notes that the server has refused an operation for good. Says whether it is here.
    pub(crate) fn refuse(&mut self, id: OperationId, refused: Refused) -> bool {
        let Some(place) = self.clocks.get(&id).map(|clock| (*clock, id)) else {
            return false;
        };
        self.pending.remove(&place);
        if let Some(queued) = self.queue.get_mut(&place) {
            queued.refused = Some(refused);
        }
        true
    }

    /// Whether an operation of this device is known to have taken effect.
    pub(crate) fn is_settled(&self, id: OperationId) -> bool {
        self.settled.contains(&id)
    }

    /// Whether an operation is here, or was before it left.
    pub(crate) fn has_seen(&self, id: OperationId) -> bool {
        self.clocks.contains_key(&id) || self.seen.contains(&id)
    }

    /// Where an operation stands among the others.
    pub(crate) fn place(&self, id: OperationId) -> Option<impl Ord + use<>> {
        Some((*self.clocks.get(&id)?, id))
    }

    /// One operation.
    #[must_use]
    pub fn get(&self, id: OperationId) -> Option<&Queued> {
        self.queue.get(&(*self.clocks.get(&id)?, id))
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = (OperationId, &Queued)> {
        self.queue.iter().map(|((_, id), queued)| (*id, queued))
    }

    /// What is still to be sent, in order.
    pub fn pending(&self) -> impl Iterator<Item = (OperationId, &Operation)> {
        self.pending.iter().filter_map(|place| Some((place.1, self.queue.get(place)?.operation.as_ref()?)))
    }

    /// How many are still to be sent.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Conversations that it holds something for.
    pub(crate) fn conversations(&self) -> impl Iterator<Item = &str> {
        self.conversations.keys().map(String::as_str)
    }

    /// The sends to one conversation, refused ones too, in order.
    pub(crate) fn sends(&self, conversation: &str) -> impl DoubleEndedIterator<Item = &Queued> {
        let concerning = self.conversations.get(conversation).into_iter();
        concerning.flat_map(|it| &it.sends).filter_map(|place| self.queue.get(place))
    }

    /// How far the pending marks of one conversation go.
    pub(crate) fn marked(&self, conversation: &str) -> Option<Position> {
        self.conversations.get(conversation)?.marks.iter().map(|(_, position)| *position).max()
    }

    /// The newest reading of the clock among them.
    pub(crate) fn newest_clock(&self) -> Option<Timestamp> {
        self.queue.keys().next_back().map(|(clock, _)| *clock)
    }
}

/// The conversation that an operation concerns.
pub(crate) fn conversation(operation: &Operation) -> Option<&str> {
    Some(match operation.body.as_ref()? {
        operation::Body::Send(send) => &send.conversation,
        operation::Body::MarkRead(read) => &read.conversation,
    })
}

fn place(operation: &Operation) -> Option<Place> {
    Some((Timestamp(operation.clock), OperationId::try_from(&operation.id).ok()?))
}
