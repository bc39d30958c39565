//! Folding: the messages of the journal, sorted by conversation and position and cut into blocks.

use std::borrow::Borrow;

use bytes::Bytes;
use tutti_protocol::{
    OperationId, Position, codec, limits,
    local::{self, Folded, LocatorSpan, Piece},
    record::Record,
    wire,
};

use crate::{
    batch::{Key, Table, Write},
    replica::{Head, Replica},
    sorted::{SortedMap, SortedSet},
};

/// A record is closed before it grows over this, in bytes before compression. The limit of 60 KiB is
/// Chromium's: from 64 KiB on a value goes to a file of its own.
const RECORD: usize = 56 * 1024;
/// A block whose messages change may grow to this.
const BLOCK: usize = 60 * 1024;
/// Locators in a record: 16 bytes of id and at most 15 of place each.
const LOCATORS: usize = 1_600;

/// Members in a part of a head that takes several: 130 bytes each at most.
const MEMBERS: usize = 400;
/// Pieces in a part of a head that takes several: 36 bytes each at most.
const PIECES: usize = 1_400;

/// What a fold writes, and what it changes in every tab's replica.
pub(crate) struct Fold {
    pub(crate) writes: Vec<Write>,
    pub(crate) folded: Folded,
}

/// Folds all that the replica holds in its journal. `outdated`: the blocks that the replica named as such, those
/// that could not be read as nothing.
pub(crate) fn fold(replica: &Replica, outdated: Outdated) -> Fold {
    let mut writes = Vec::new();
    let refreshed = refresh(replica, outdated, &mut writes);
    let pieces = fold_messages(replica, &refreshed, &mut writes);
    let locators = fold_locators(replica, &mut writes);
    let folded = Folded { pieces, locators, dropped: refreshed.dropped };
    fold_heads(replica, &folded, &mut writes);
    writes.push(Write::Clear(Table::Journal));
    Fold { writes, folded }
}

/// Blocks that hold messages which have changed since, by number.
pub(crate) type Outdated = SortedMap<u64, Option<local::Block>>;

/// What became of outdated blocks.
#[derive(Default)]
struct Refreshed {
    /// Changed messages that are in the blocks now.
    placed: SortedSet<(u32, u64)>,
    /// Blocks that are no more.
    dropped: Vec<u64>,
    /// What was in those, by conversation and position, as it is now.
    loose: SortedMap<String, SortedMap<u64, wire::Message>>,
}

/// Puts messages that have changed into their blocks. A block that would grow too large for it is dissolved.
fn refresh(replica: &Replica, outdated: Outdated, writes: &mut Vec<Write>) -> Refreshed {
    let mut refreshed = Refreshed::default();
    for (number, block) in outdated {
        let mut block = block.unwrap_or_default();
        let mut placed = Vec::new();
        for message in &mut block.messages {
            let Some(head) = replica.heads.get(&message.conversation) else { continue };
            if let Some(changed) = head.recent.get(&Position(message.position)) {
                message.clone_from(changed);
            }
            placed.push((head.number, message.position));
        }
        refreshed.placed.extend(placed);
        if !block.messages.is_empty() && codec::encoded_len(&block) <= BLOCK {
            writes.push(Write::Put(Table::Blocks, Key::Number(number), codec::encode(&block)));
            continue;
        }
        writes.push(Write::Delete(Table::Blocks, Key::Number(number)));
        refreshed.dropped.push(number);
        for message in block.messages {
            let of = refreshed.loose.get_or_insert_with(message.conversation.clone(), SortedMap::new);
            of.insert(message.position, message);
        }
    }
    refreshed
}

/// The field that is repeated in a Journal, a Block and a HeadPage; see local.proto.
pub(crate) const ITEMS: u32 = 1;
/// More of those of a HeadPage.
const LOCATORS_OF_PAGE: u32 = 2;
const SESSIONS_OF_PAGE: u32 = 3;
const NOTIFICATIONS_OF_PAGE: u32 = 4;

/// Records of bounded size in the making. Each is what a message is encoded as that repeats one field, without
/// there being one.
struct Records {
    field: u32,
    full: Vec<Bytes>,
    open: Vec<u8>,
    /// How many of [`limits::RECORD_ITEMS`] are taken in the open one.
    taken: usize,
}

impl Records {
    fn of(field: u32) -> Self {
        Self { field, full: Vec::new(), open: Vec::new(), taken: 0 }
    }

    /// Adds an item that counts for so many. Whether that closed the record before it.
    fn push(&mut self, item: &dyn Record, places: usize) -> bool {
        let start = self.open.len();
        codec::append(&mut self.open, self.field, item);
        let over = self.open.len() > RECORD || self.taken + places > limits::RECORD_ITEMS;
        let closes = over && start > 0;
        if closes {
            let item = self.open.split_off(start);
            self.close();
            self.open = item;
        }
        self.taken += places;
        closes
    }

    fn close(&mut self) {
        self.full.push(std::mem::take(&mut self.open).into());
        self.taken = 0;
    }

    fn end(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.close();
        }
        self.full
    }
}

/// Cuts items into records of bounded size, in which this field is repeated. `places` says for how many of
/// [`limits::RECORD_ITEMS`] an item counts.
pub(crate) fn cut<M: Record>(
    field: u32,
    items: impl IntoIterator<Item = impl Borrow<M>>,
    places: impl Fn(&M) -> usize,
) -> Vec<Bytes> {
    let mut records = Records::of(field);
    for item in items {
        records.push(item.borrow(), places(item.borrow()));
    }
    records.end()
}

fn fold_messages(replica: &Replica, refreshed: &Refreshed, writes: &mut Vec<Write>) -> Vec<Piece> {
    let used = replica.heads.values().flat_map(|head| &head.pieces).map(|piece| piece.block).max();
    let first = used.map_or(0, |used| used + 1);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut blocks = Records::of(ITEMS);
    for (id, head) in replica.heads.iter() {
        let mut open: Option<Piece> = None;
        let recent = head.recent.iter().filter(|(at, _)| !refreshed.placed.contains(&(head.number, at.0)));
        let mut messages: Vec<&wire::Message> = recent.map(|(_, message)| message).collect();
        for message in refreshed.loose.get(id).into_iter().flat_map(SortedMap::values) {
            let at = messages.partition_point(|it| it.position < message.position);
            messages.insert(at, message);
        }
        for message in messages {
            if blocks.push(message, 1) {
                pieces.extend(open.take());
            }
            match &mut open {
                Some(piece) if message.position - piece.first == u64::from(piece.count) => piece.count += 1,
                _ => {
                    pieces.extend(open.take());
                    open = Some(Piece {
                        conversation: head.number,
                        first: message.position,
                        count: 1,
                        block: first + blocks.full.len() as u64,
                        offset: blocks.taken as u32 - 1,
                    });
                }
            }
        }
        pieces.extend(open);
    }
    let blocks = (first..).zip(blocks.end());
    writes.extend(blocks.map(|(number, block)| Write::Put(Table::Blocks, Key::Number(number), block)));
    pieces
}

fn fold_locators(replica: &Replica, writes: &mut Vec<Write>) -> Vec<LocatorSpan> {
    let used = replica.spans.iter().map(|span| span.number).max();
    let first = used.map_or(0, |used| used + 1);
    // One that has only changed was folded before.
    let folded =
        |number: u32, position| replica.head(number).is_some_and(|head| head.piece(position).is_some());
    let fresh = replica.fresh.iter().filter(|(_, (number, position))| !folded(*number, *position));
    let fresh: Vec<_> = fresh.collect();
    let mut spans = Vec::new();
    for (number, chunk) in (first..).zip(fresh.chunks(LOCATORS)) {
        let (Some((first, _)), Some((last, _))) = (chunk.first(), chunk.last()) else {
            continue;
        };
        spans.push(LocatorSpan { number, first: first.to_bytes(), last: last.to_bytes() });
        let mut ids = Vec::with_capacity(chunk.len() * 16);
        chunk.iter().for_each(|(id, _): &(&OperationId, _)| ids.extend_from_slice(id.as_bytes()));
        let locators = local::Locators {
            ids: ids.into(),
            conversations: chunk.iter().map(|(_, (number, _))| *number).collect(),
            positions: chunk.iter().map(|(_, (_, position))| position.0).collect(),
        };
        writes.push(Write::Put(Table::Locators, Key::Number(number), codec::encode(&locators)));
    }
    spans
}

/// Writes all heads anew: they are few and small beside the messages, and pages stay packed.
fn fold_heads(replica: &Replica, folded: &Folded, writes: &mut Vec<Write>) {
    // By number: they are handed out from 1, without gaps.
    let mut new = vec![Vec::new(); replica.heads.len() + 1];
    for piece in &folded.pieces {
        if let Some(new) = new.get_mut(piece.conversation as usize) {
            new.push(Piece { conversation: 0, ..*piece });
        }
    }
    let dropped: SortedSet<u64> = folded.dropped.iter().copied().collect();
    let heads = replica.heads.iter().flat_map(|(id, head)| {
        let new = new.get_mut(head.number as usize).map(std::mem::take).unwrap_or_default();
        let kept = head.pieces.iter().filter(|piece| !dropped.contains(&piece.block));
        let mut pieces: Vec<Piece> = kept.cloned().collect();
        new.into_iter().for_each(|piece| put_piece(&mut pieces, piece));
        head_parts(id, head, pieces)
    });
    let spans = replica.spans.iter().chain(&folded.locators);
    let sessions = replica.sessions.values();
    let places_of_session = |session: &wire::Fields| places_of(session.fields.len());
    let pages = cut::<local::Head>(ITEMS, heads, places)
        .into_iter()
        .chain(cut::<LocatorSpan>(LOCATORS_OF_PAGE, spans, |_| 1))
        .chain(cut::<wire::Fields>(SESSIONS_OF_PAGE, sessions, places_of_session))
        .chain(cut::<wire::Notification>(NOTIFICATIONS_OF_PAGE, &replica.notifications.held, |_| 1));
    writes.push(Write::Clear(Table::Heads));
    writes.extend((0..).zip(pages).map(|(number, page)| Write::Put(Table::Heads, Key::Number(number), page)));
}

/// Puts a piece in its place among others, by first position.
pub(crate) fn put_piece(pieces: &mut Vec<Piece>, piece: Piece) {
    let at = pieces.partition_point(|of| of.first < piece.first);
    pieces.insert(at, piece);
}

/// A head as it is stored: in one part, or in several of one number if a record could not hold it.
fn head_parts(id: &str, head: &Head, pieces: Vec<Piece>) -> Vec<local::Head> {
    let read_by = |(account, position): (&String, &Position)| wire::ReadBy {
        account: account.clone(),
        position: position.0,
        ..wire::ReadBy::default()
    };
    let mut whole = local::Head {
        number: head.number,
        conversation: id.to_owned(),
        members: head.members.clone(),
        last: head.last.clone(),
        read_position: head.read_position.0,
        read_inbound: head.read_inbound,
        pieces,
        settings: head.settings(),
        read_by: head.read_by.iter().map(read_by).collect(),
        settings_at: head.settings_at.0,
    };
    if codec::encoded_len(&whole) <= RECORD && places(&whole) <= limits::RECORD_ITEMS {
        return vec![whole];
    }
    let part = || local::Head { number: head.number, conversation: id.to_owned(), ..local::Head::default() };
    let settings = local::Head { settings: std::mem::take(&mut whole.settings), ..part() };
    let members = std::mem::take(&mut whole.members);
    let read_by = std::mem::take(&mut whole.read_by);
    let pieces = std::mem::take(&mut whole.pieces);
    let members = members.chunks(MEMBERS).map(|chunk| local::Head { members: chunk.to_vec(), ..part() });
    let read_by = read_by.chunks(MEMBERS).map(|chunk| local::Head { read_by: chunk.to_vec(), ..part() });
    let pieces = pieces.chunks(PIECES).map(|chunk| local::Head { pieces: chunk.to_vec(), ..part() });
    [whole, settings].into_iter().chain(members).chain(read_by).chain(pieces).collect()
}

/// For how many items a head counts: what it has many of is bounded too.
fn places(head: &local::Head) -> usize {
    let parts = [head.members.len(), head.pieces.len(), head.settings.len(), head.read_by.len()];
    places_of(parts.into_iter().max().unwrap_or_default())
}

/// For how many items one of so many parts counts.
fn places_of(parts: usize) -> usize {
    parts.div_ceil(limits::RECORD_PARTS / limits::RECORD_ITEMS).max(1)
}

#[cfg(test)]
mod tests {
    use tutti_protocol::wire::Event;

    use super::*;

    #[test]
    fn records_hold_no_more_than_their_reader_takes() {
        let events = vec![Event { seq: 1, ..Event::default() }; 2 * limits::RECORD_ITEMS + 1];
        let journal = cut::<Event>(ITEMS, &events, |_| 1);
        let read = |record: Bytes| codec::decode_local::<local::Journal>(record).expect("read").events;
        assert_eq!(journal.into_iter().flat_map(read).collect::<Vec<_>>(), events);

        let head = |number| local::Head {
            number,
            members: vec!["a".into(); limits::GROUP],
            pieces: vec![Piece { first: 1, count: 1, ..Piece::default() }; number as usize],
            ..local::Head::default()
        };
        let heads: Vec<_> = (1..100).map(head).collect();
        let pages = cut::<local::Head>(ITEMS, &heads, places);
        let read = |record: Bytes| codec::decode_local::<local::HeadPage>(record).expect("read").heads;
        assert_eq!(pages.into_iter().flat_map(read).collect::<Vec<_>>(), heads);
    }
}
