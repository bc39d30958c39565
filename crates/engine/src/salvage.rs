//! What a server lacks since it was restored from a backup, and this device still has: it is sent again, under the ids
//! that it had, so that nothing is there twice whoever else of the account sends it.
//!
//! A message of this account's comes again, and at its place in the order, though at the time at which the server
//! accepts it now. One that was recalled comes without its content, so that no device brings that back. What others have
//! sent is for their devices to send.

use bytes::Bytes;
use tutti_protocol::{
    Millis, OperationId, Position, Timestamp,
    local::Queued,
    wire::{self, operation::Body},
};

use crate::{
    fold::Outdated,
    replica::{Head, Replica},
    sorted::{SortedMap, SortedSet},
};

/// What was accepted so long before the last that is known to be on both sides may be missing too, in milliseconds: not
/// all is stored in the order in which it is accepted.
const SLACK: u64 = 10_000;

/// So many blocks are read at a time.
const BLOCKS: usize = 32;

/// What is found of a copy, block by block.
#[derive(Debug)]
pub(crate) struct Salvage {
    /// When the last operation was accepted that the server has.
    common: Millis,
    /// What is to be sent again; the outbox puts it in order.
    found: Vec<Queued>,
    /// How far was read of what the server has, where it lacks something.
    read: SortedMap<String, Position>,
    /// Blocks that are left, the last one first.
    left: Vec<u64>,
    /// For the ids of what had none that may be used again: no other tab has this.
    random: [u8; 10],
}

impl Salvage {
    /// Begins with what is not in blocks.
    pub(crate) fn begin(replica: &Replica, common: Millis, random: [u8; 10]) -> Self {
        let pieces = replica.heads.values().flat_map(|head| &head.pieces);
        let left: SortedSet<u64> = pieces.map(|piece| piece.block).collect();
        let mut salvage = Self {
            common,
            found: Vec::new(),
            read: SortedMap::new(),
            left: left.iter().rev().copied().collect(),
            random,
        };
        for (target, session) in replica.sessions.iter() {
            salvage.set(target, Millis(session.updated_at), session.fields.clone());
        }
        for (target, head) in replica.heads.iter() {
            head.recent.values().for_each(|message| salvage.look_at(replica, head, message));
            salvage.set(target, head.settings_at, head.settings());
        }
        salvage
    }

    /// The blocks to look into next. None: that was all.
    pub(crate) fn wanted(&self) -> Vec<u64> {
        self.left.iter().rev().take(BLOCKS).copied().collect()
    }

    /// Looks into the blocks that were wanted. What has changed since they were folded was looked at before; one that
    /// cannot be read is lost.
    pub(crate) fn look_into(&mut self, replica: &Replica, blocks: Outdated) {
        self.left.truncate(self.left.len().saturating_sub(BLOCKS));
        for message in blocks.into_values().flatten().flat_map(|block| block.messages) {
            let head = replica.heads.get(&message.conversation);
            if let Some(head) = head.filter(|it| !it.recent.contains_key(&Position(message.position))) {
                self.look_at(replica, head, &message);
            }
        }
    }

    fn look_at(&mut self, replica: &Replica, head: &Head, message: &wire::Message) {
        let (position, sent_at) = (Position(message.position), Millis(message.sent_at));
        let lacks = head.last.as_ref().is_some_and(|last| Millis(last.sent_at) > self.common);
        if lacks && sent_at <= self.common && position <= head.read_position {
            let read = self.read.get_or_insert_with(message.conversation.clone(), Position::default);
            *read = (*read).max(position);
        }
        if message.sender != replica.account() {
            return;
        }
        let (is_new, is_changed) = (sent_at > self.common, message.recalled || message.edited_at > 0);
        if is_new || !is_changed && self.is_recent(sent_at) {
            let content: &[u8] = if message.recalled { b"null" } else { &message.content };
            let send = Body::Send(wire::Send {
                conversation: message.conversation.clone(),
                r#type: message.r#type.clone(),
                content: Bytes::copy_from_slice(content),
            });
            self.add(sent_at, 2 * message.position, send, Some(message.id.clone()), None);
        }
        if message.recalled {
            // When that was is not known. Once more does no harm.
            let recall = Body::Recall(wire::Recall { message: message.id.clone() });
            self.add(sent_at, 2 * message.position + 1, recall, None, Some(message.clone()));
        } else if !is_new && self.is_recent(Millis(message.edited_at)) {
            let edit = wire::Edit { message: message.id.clone(), content: message.content.clone() };
            self.add(Millis(message.edited_at), 0, Body::Edit(edit), None, Some(message.clone()));
        }
    }

    /// What was set last at that time, if the server may lack it. What was set since then, by whomever, holds.
    fn set(&mut self, target: &str, at: Millis, fields: Vec<wire::Field>) {
        if self.is_recent(at) && !fields.is_empty() {
            self.add(at, 0, Body::Set(wire::Set { target: target.to_owned(), fields }), None, None);
        }
    }

    fn is_recent(&self, at: Millis) -> bool {
        at.plus(SLACK) > self.common
    }

    /// `order`: its place among what was done in the same millisecond, for as many as a clock can tell apart.
    fn add(&mut self, at: Millis, order: u64, body: Body, id: Option<Bytes>, message: Option<wire::Message>) {
        let clock = Timestamp(Timestamp::at(at).0 | order & 0xffff);
        let id = id.and_then(|id| OperationId::try_from(&id).ok()).unwrap_or_else(|| {
            self.random[..4].copy_from_slice(&(self.found.len() as u32).to_be_bytes());
            OperationId::mint(at, self.random)
        });
        let operation = wire::Operation { id: id.to_bytes(), clock: clock.0, body: Some(body) };
        let queued =
            Queued { operation: Some(operation), queued_at: at.0, message, again: true, ..Queued::default() };
        self.found.push(queued);
    }

    /// What is to be sent again.
    pub(crate) fn end(mut self) -> Vec<Queued> {
        for (conversation, position) in std::mem::take(&mut self.read) {
            let read = wire::MarkRead { conversation, position: position.0 };
            self.add(self.common, 0, Body::MarkRead(read), None, None);
        }
        self.found
    }
}
