//! What the user did and the server has not confirmed, in the order in which it was done.

use tutti_protocol::{
    OperationId, Position, Target, Timestamp,
    local::Queued,
    wire::{self, Operation, operation},
};

use crate::sorted::{SortedMap, SortedSet};

/// So many operations that were given up are remembered, the newest.
const DISCARDED: usize = 1_000;

/// Durable operations on their way to the server.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: SortedMap<Place, Queued>,
    /// Those of the queue that are still to be sent.
    pending: SortedSet<Place>,
    clocks: SortedMap<OperationId, Timestamp>,
    /// By conversation, or by target.
    subjects: SortedMap<String, Concerning>,
    /// What has taken effect in this log since this tab was loaded: news of an operation may come after news of
    /// its end.
    settled: SortedSet<OperationId>,
    /// What was here and is not any more.
    seen: SortedSet<OperationId>,
    /// What the user gave up. Another tab may announce it once more before it hears of that.
    discarded: SortedSet<OperationId>,
}

/// The operations that concern one conversation or session, or the notifications.
#[derive(Debug, Default)]
struct Concerning {
    sends: SortedSet<Place>,
    marks: Vec<(Place, Position)>,
    /// Edits, recalls and sets; marks of notifications.
    changes: SortedSet<Place>,
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
        if self.settled.contains(&id) || self.clocks.contains_key(&id) || self.discarded.contains(&id) {
            return false;
        }
        let concerning = self.subjects.get_or_insert_with(subject(&queued).to_owned(), Concerning::default);
        match body {
            operation::Body::Send(_) => drop(concerning.sends.insert(place)),
            operation::Body::MarkRead(read) => concerning.marks.push((place, Position(read.position))),
            operation::Body::Edit(_)
            | operation::Body::Recall(_)
            | operation::Body::Set(_)
            | operation::Body::MarkNotification(_) => {
                concerning.changes.insert(place);
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
        self.seen.extend(old.seen.iter().chain(old.clocks.keys()).copied());
        for id in old.discarded.iter() {
            drop(self.discard(*id));
        }
        if !same_log {
            return Vec::new();
        }
        self.settled.extend(old.settled.iter().copied());
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
        self.remove(id)
    }

    /// Takes out what the user has given up. If it has not come here yet, it never will.
    pub(crate) fn discard(&mut self, id: OperationId) -> Option<Queued> {
        self.discarded.insert(id);
        self.remove(id)
    }

    /// Whether the user has given an operation up.
    pub(crate) fn is_discarded(&self, id: OperationId) -> bool {
        self.discarded.contains(&id)
    }

    /// What was given up so long ago that no tab still has it. No clock says how long that is.
    pub(crate) fn discarded_long_ago(&self) -> impl Iterator<Item = OperationId> {
        self.discarded.iter().rev().skip(DISCARDED).copied()
    }

    fn remove(&mut self, id: OperationId) -> Option<Queued> {
        let place = (self.clocks.remove(&id)?, id);
        self.seen.insert(id);
        self.pending.remove(&place);
        let queued = self.queue.remove(&place)?;
        let subject = subject(&queued);
        if let Some(concerning) = self.subjects.get_mut(subject) {
            concerning.sends.remove(&place);
            concerning.marks.retain(|(of, _)| *of != place);
            concerning.changes.remove(&place);
            if concerning.sends.is_empty() && concerning.marks.is_empty() && concerning.changes.is_empty() {
                self.subjects.remove(subject);
            }
        }
        Some(queued)
    }

    /// Notes that the server has refused an operation for good, or that it is tried again. Says whether it is
    /// here.
    pub(crate) fn set_refused(&mut self, id: OperationId, refused: Option<wire::Refused>) -> bool {
        let Some(place) = self.clocks.get(&id).map(|clock| (*clock, id)) else {
            return false;
        };
        if refused.is_none() {
            self.pending.insert(place);
        } else {
            self.pending.remove(&place);
        }
        if let Some(queued) = self.queue.get_mut(&place) {
            queued.refused = refused;
        }
        true
    }

    /// A message is another now: so are those that edits and recalls stand by.
    pub(crate) fn rebase(&mut self, message: &wire::Message) {
        let Some(concerning) = self.subjects.get(&message.conversation) else {
            return;
        };
        for place in concerning.changes.iter() {
            if let Some(of) = self.queue.get_mut(place).and_then(|queued| queued.message.as_mut())
                && of.id == message.id
            {
                of.clone_from(message);
            }
        }
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
        self.subjects().filter(|subject| is_conversation(subject))
    }

    /// Targets of sessions that it holds something for.
    pub(crate) fn sessions(&self) -> impl Iterator<Item = &str> {
        self.subjects().filter(|subject| is_session(subject))
    }

    fn subjects(&self) -> impl Iterator<Item = &str> {
        self.subjects.keys().map(String::as_str)
    }

    /// The sends to one conversation, refused ones too, in order.
    pub(crate) fn sends(&self, conversation: &str) -> impl DoubleEndedIterator<Item = &Queued> {
        let concerning = self.subjects.get(conversation).into_iter();
        concerning.flat_map(|it| it.sends.iter()).filter_map(|place| self.queue.get(place))
    }

    /// The pending edits and recalls of a conversation's messages, and what is set of it or of a session, or how
    /// notifications are marked, in order.
    pub(crate) fn changes(
        &self,
        subject: &str,
    ) -> impl Iterator<Item = (&Queued, &operation::Body)> + use<'_> {
        let concerning = self.subjects.get(subject).into_iter();
        let changes = concerning.flat_map(|it| it.changes.iter()).filter_map(|place| self.queue.get(place));
        changes.filter_map(|queued| Some((queued, queued.operation.as_ref()?.body.as_ref()?)))
    }

    /// How far the pending marks of one conversation go.
    pub(crate) fn marked(&self, conversation: &str) -> Option<Position> {
        self.subjects.get(conversation)?.marks.iter().map(|(_, position)| *position).max()
    }

    /// The newest reading of the clock among them.
    pub(crate) fn newest_clock(&self) -> Option<Timestamp> {
        self.queue.keys().next_back().map(|(clock, _)| *clock)
    }
}

/// What all marks of notifications concern.
pub(crate) const NOTIFICATIONS: &str = "notifications";

/// What an operation concerns: a conversation, the target of a session, or the notifications.
pub(crate) fn subject(queued: &Queued) -> &str {
    match queued.operation.as_ref().and_then(|operation| operation.body.as_ref()) {
        Some(operation::Body::Send(send)) => &send.conversation,
        Some(operation::Body::MarkRead(read)) => &read.conversation,
        Some(operation::Body::Set(set)) => &set.target,
        Some(operation::Body::MarkNotification(_)) => NOTIFICATIONS,
        Some(operation::Body::Edit(_) | operation::Body::Recall(_)) => {
            queued.message.as_ref().map_or("", |message| &message.conversation)
        }
        None => "",
    }
}

/// Whether a subject is the target of a session.
pub(crate) fn is_session(subject: &str) -> bool {
    matches!(Target::parse(subject), Some(Target::Session(_)))
}

/// Whether a subject is a conversation.
pub(crate) fn is_conversation(subject: &str) -> bool {
    subject != NOTIFICATIONS && !is_session(subject)
}

fn place(operation: &Operation) -> Option<Place> {
    Some((Timestamp(operation.clock), OperationId::try_from(&operation.id).ok()?))
}
