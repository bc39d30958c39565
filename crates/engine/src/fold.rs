//! Folding: the messages of the journal, sorted by conversation and position and cut into blocks.

use bytes::Bytes;
use prost::Message as _;
use tutti_protocol::{
    OperationId, codec, limits,
    local::{self, Folded, LocatorSpan, Piece},
};

use crate::{
    batch::{Key, Table, Write},
    replica::{Head, Replica},
};

/// A record is closed before it grows over this, in bytes before compression. The limit of 60 KiB is
/// Chromium's: from 64 KiB on a value goes to a file of its own.
const RECORD: usize = 56 * 1024;
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

/// Folds all that the replica holds in its journal.
pub(crate) fn fold(replica: &Replica) -> Fold {
    let mut writes = Vec::new();
    let pieces = fold_messages(replica, &mut writes);
    let locators = fold_locators(replica, &mut writes);
    let folded = Folded { pieces, locators };
    fold_heads(replica, &folded, &mut writes);
    writes.push(Write::Clear(Table::Journal));
    Fold { writes, folded }
}

/// Cuts items into records of bounded size. `places` says for how many of [`limits::RECORD_ITEMS`] an item
/// counts.
pub(crate) fn cut<M: prost::Message + Default, I: prost::Message>(
    items: impl IntoIterator<Item = I>,
    places: impl Fn(&I) -> usize,
    push: impl Fn(&mut M, I),
) -> Vec<Bytes> {
    let mut records = Vec::new();
    let mut record = M::default();
    let (mut size, mut taken) = (0, 0);
    for item in items {
        // Tag and length of the field take at most 4 bytes.
        let item_size = item.encoded_len() + 4;
        let item_places = places(&item);
        if size > 0 && (size + item_size > RECORD || taken + item_places > limits::RECORD_ITEMS) {
            records.push(codec::encode(&std::mem::take(&mut record)));
            (size, taken) = (0, 0);
        }
        size += item_size;
        taken += item_places;
        push(&mut record, item);
    }
    if size > 0 {
        records.push(codec::encode(&record));
    }
    records
}

fn fold_messages(replica: &Replica, writes: &mut Vec<Write>) -> Vec<Piece> {
    let used = replica.heads.values().flat_map(|head| &head.pieces).map(|piece| piece.block).max();
    let mut number = used.map_or(0, |used| used + 1);
    let mut pieces: Vec<Piece> = Vec::new();
    let mut block = local::Block::default();
    let mut size = 0;
    for head in replica.heads.values() {
        let mut open: Option<Piece> = None;
        for message in head.recent.values() {
            let message_size = message.encoded_len() + 4;
            let over = size + message_size > RECORD || block.messages.len() == limits::RECORD_ITEMS;
            if size > 0 && over {
                pieces.extend(open.take());
                let full = std::mem::take(&mut block);
                writes.push(Write::Put(Table::Blocks, Key::Number(number), codec::encode(&full)));
                number += 1;
                size = 0;
            }
            let offset = block.messages.len() as u32;
            match &mut open {
                Some(piece) if message.position - piece.first == u64::from(piece.count) => piece.count += 1,
                _ => {
                    pieces.extend(open.take());
                    open = Some(Piece {
                        conversation: head.number,
                        first: message.position,
                        count: 1,
                        block: number,
                        offset,
                    });
                }
            }
            size += message_size;
            block.messages.push(message.clone());
        }
        pieces.extend(open);
    }
    if size > 0 {
        writes.push(Write::Put(Table::Blocks, Key::Number(number), codec::encode(&block)));
    }
    pieces
}

fn fold_locators(replica: &Replica, writes: &mut Vec<Write>) -> Vec<LocatorSpan> {
    let used = replica.spans.iter().map(|span| span.number).max();
    let first = used.map_or(0, |used| used + 1);
    let fresh: Vec<_> = replica.fresh.iter().collect();
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
    let heads = replica.heads.iter().flat_map(|(id, head)| {
        head_parts(id, head, new.get_mut(head.number as usize).map(std::mem::take).unwrap_or_default())
    });
    let spans = replica.spans.iter().chain(&folded.locators).cloned();
    let pages = cut(heads, places, |page: &mut local::HeadPage, head| page.heads.push(head))
        .into_iter()
        .chain(cut(spans, |_| 1, |page: &mut local::HeadPage, span| page.locators.push(span)));
    writes.push(Write::Clear(Table::Heads));
    writes.extend((0..).zip(pages).map(|(number, page)| Write::Put(Table::Heads, Key::Number(number), page)));
}

/// A head as it is stored: in one part, or in several of one number if a record could not hold it.
fn head_parts(id: &str, head: &Head, new: Vec<Piece>) -> Vec<local::Head> {
    let mut whole = local::Head {
        number: head.number,
        conversation: id.to_owned(),
        members: head.members.clone(),
        last: head.last.clone(),
        read_position: head.read_position.0,
        read_inbound: head.read_inbound,
        pieces: head.pieces.iter().cloned().chain(new).collect(),
    };
    if whole.encoded_len() <= RECORD && places(&whole) <= limits::RECORD_ITEMS {
        return vec![whole];
    }
    let part = || local::Head { number: head.number, conversation: id.to_owned(), ..local::Head::default() };
    let (members, pieces) = (std::mem::take(&mut whole.members), std::mem::take(&mut whole.pieces));
    let members = members.chunks(MEMBERS).map(|chunk| local::Head { members: chunk.to_vec(), ..part() });
    let pieces = pieces.chunks(PIECES).map(|chunk| local::Head { pieces: chunk.to_vec(), ..part() });
    std::iter::once(whole).chain(members).chain(pieces).collect()
}

/// For how many items a head counts: its members and pieces are bounded too.
fn places(head: &local::Head) -> usize {
    let parts = head.members.len().max(head.pieces.len());
    parts.div_ceil(limits::RECORD_PARTS / limits::RECORD_ITEMS).max(1)
}

#[cfg(test)]
mod tests {
    use tutti_protocol::wire::Event;

    use super::*;

    #[test]
    fn records_hold_no_more_than_their_reader_takes() {
        let events = vec![Event { seq: 1, ..Event::default() }; 2 * limits::RECORD_ITEMS + 1];
        let journal = cut(
            events.iter().cloned(),
            |_| 1,
            |journal: &mut local::Journal, event| journal.events.push(event),
        );
        let read = |record: Bytes| codec::decode_local::<local::Journal>(record).expect("read").events;
        assert_eq!(journal.into_iter().flat_map(read).collect::<Vec<_>>(), events);

        let head = |number| local::Head {
            number,
            members: vec!["a".into(); limits::GROUP],
            pieces: vec![Piece { first: 1, count: 1, ..Piece::default() }; number as usize],
            ..local::Head::default()
        };
        let heads: Vec<_> = (1..100).map(head).collect();
        let pages =
            cut(heads.iter().cloned(), places, |page: &mut local::HeadPage, head| page.heads.push(head));
        let read = |record: Bytes| codec::decode_local::<local::HeadPage>(record).expect("read").heads;
        assert_eq!(pages.into_iter().flat_map(read).collect::<Vec<_>>(), heads);
    }
}
