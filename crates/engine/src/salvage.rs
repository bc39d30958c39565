//! What a server lacks since it was restored from a backup, and this device still has: it is sent again, under the ids
//! that it had, so that nothing is there twice whoever else of the account sends it.
//!
//! A message of this account's comes again, and at its place in the order, though at the time at which the server
//! accepts it now. One that was recalled comes without its content, so that no device brings that back. What others have
//! sent is for their devices to send.

use bytes::Bytes;
use tutti_protocol::{
    HybridClock, Millis, OperationId, Position,
    local::{self, Queued},
    wire::{self, operation::Body},
};

use crate::{
    replica::{Head, Replica},
    sorted::SortedMap,
};

/// What was accepted so long before the last that is known to be on both sides may be missing too, in milliseconds: not
/// all is stored in the order in which it is accepted.
const SLACK: u64 = 10_000;

/// What is found of a copy, message by message.
#[derive(Debug)]
pub(crate) struct Salvage {
    /// When the last operation was accepted that the server has.
    common: Millis,
    found: Vec<Found>,
    /// How far was read of what the server has, where it lacks something.
    read: SortedMap<String, Position>,
}

#[derive(Debug)]
struct Found {
    /// When it was done, and at which position, by which it has its place among the others.
    at: (Millis, u64),
    /// None: it needs a new one.
    id: Option<OperationId>,
    body: Body,
    message: Option<wire::Message>,
}

impl Salvage {
    /// Begins with what is not in blocks.
    pub(crate) fn begin(replica: &Replica, common: Millis) -> Self {
        let mut salvage = Self { common, found: Vec::new(), read: SortedMap::new() };
        for head in replica.heads.values() {
            head.recent.values().for_each(|message| salvage.look_at(replica, head, message));
        }
        let set = replica
            .sessions
            .iter()
            .map(|(target, session)| (target, session.updated_at, session.fields.clone()));
        for (target, updated_at, fields) in set {
            salvage.set(target, Millis(updated_at), fields);
        }
        for (target, head) in replica.heads.iter() {
            let field =
                |(name, value): (&String, &Bytes)| wire::Field { name: name.clone(), value: value.clone() };
            salvage.set(target, head.settings_at, head.settings.iter().map(field).collect());
        }
        salvage
    }

    /// Goes on with a block. What has changed since it was folded was looked at before.
    pub(crate) fn look_into(&mut self, replica: &Replica, block: &local::Block) {
        for message in &block.messages {
            let head = replica.heads.get(&message.conversation);
            let head = head.filter(|head| !head.recent.contains_key(&Position(message.position)));
            if let Some(head) = head {
                self.look_at(replica, head, message);
            }
        }
    }

    fn look_at(&mut self, replica: &Replica, head: &Head, message: &wire::Message) {
        let (position, sent_at) = (Position(message.position), Millis(message.sent_at));
        let is_lacking = |last: &wire::Message| Millis(last.sent_at) > self.common;
        if sent_at <= self.common
            && position <= head.read_position
            && head.last.as_ref().is_some_and(is_lacking)
        {
            let read = self.read.get_or_insert_with(message.conversation.clone(), Position::default);
            *read = (*read).max(position);
        }
        let Some(id) =
            OperationId::try_from(&message.id).ok().filter(|_| message.sender == replica.account())
        else {
            return;
        };
        let at = (sent_at, message.position);
        let send = |content: &Bytes| {
            let (conversation, r#type) = (message.conversation.clone(), message.r#type.clone());
            Body::Send(wire::Send { conversation, r#type, content: Bytes::copy_from_slice(content) })
        };
        let was_changed = message.recalled || message.edited_at > 0;
        if message.recalled {
            if sent_at > self.common {
                self.add(at, Some(id), send(&Bytes::from_static(b"null")), None);
            }
            // When that was is not known. Once more does no harm.
            let recall = Body::Recall(wire::Recall { message: id.to_bytes() });
            self.add(at, None, recall, Some(message.clone()));
        } else if sent_at > self.common || !was_changed && sent_at.plus(SLACK) > self.common {
            self.add(at, Some(id), send(&message.content), None);
        } else if Millis(message.edited_at).plus(SLACK) > self.common {
            let content = Bytes::copy_from_slice(&message.content);
            let edit = Body::Edit(wire::Edit { message: id.to_bytes(), content });
            self.add((Millis(message.edited_at), message.position), None, edit, Some(message.clone()));
        }
    }

    /// What was set last at that time, if the server may lack it.
    fn set(&mut self, target: &str, at: Millis, fields: Vec<wire::Field>) {
        if at.plus(SLACK) > self.common && !fields.is_empty() {
            let set = wire::Set { target: target.to_owned(), fields };
            // What was set since then, by whomever, holds.
            self.add((at, 0), None, Body::Set(set), None);
        }
    }

    fn add(
        &mut self,
        at: (Millis, u64),
        id: Option<OperationId>,
        body: Body,
        message: Option<wire::Message>,
    ) {
        self.found.push(Found { at, id, body, message });
    }

    /// What is to be sent again, in the order in which it was done.
    pub(crate) fn end(self, mut mint: impl FnMut() -> OperationId) -> Vec<Queued> {
        let read = self.read.into_iter().map(|(conversation, position)| Found {
            at: (self.common, 0),
            id: None,
            body: Body::MarkRead(wire::MarkRead { conversation, position: position.0 }),
            message: None,
        });
        let mut found: Vec<Found> = self.found.into_iter().chain(read).collect();
        found.sort_by_key(|it| it.at);
        let mut clock = HybridClock::default();
        let queued = |Found { at: (done_at, _), id, body, message }: Found| {
            let id = id.unwrap_or_else(&mut mint).to_bytes();
            let operation = wire::Operation { id, clock: clock.tick(done_at).0, body: Some(body) };
            Queued {
                operation: Some(operation),
                queued_at: done_at.0,
                message,
                again: true,
                ..Queued::default()
            }
        };
        found.into_iter().map(queued).collect()
    }
}
