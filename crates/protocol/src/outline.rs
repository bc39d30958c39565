//! Counts what a message holds many of, before any of it is allocated: an empty element takes two
//! bytes of a frame and more than a hundred of memory.

use crate::{
    codec::{DecodeError, ensure},
    limits,
    local::{Block, ChannelFrame, HeadPage, Identity, Journal, Locators, Meta, Queued},
    record::{Record, Value, read_field},
    wire::{ClientFrame, ServerFrame},
};

/// A message whose lists are bounded before it is decoded.
pub trait Bounded: Record + Default {
    /// Its lists.
    #[doc(hidden)]
    const LISTS: &'static [List];
}

/// A repeated field.
#[derive(Debug)]
pub struct List {
    name: &'static str,
    /// The numbers of the fields that lead to it. All that they lead to counts together.
    path: &'static [u32],
    most: usize,
    /// The lists in each element.
    within: &'static [List],
    /// Its elements are numbers, any number of them in one field.
    numbers: bool,
}

impl List {
    const fn new(name: &'static str, path: &'static [u32], most: usize) -> Self {
        Self { name, path, most, within: &[], numbers: false }
    }

    const fn of(self, within: &'static [List]) -> Self {
        Self { within, ..self }
    }

    const fn of_numbers(self) -> Self {
        Self { numbers: true, ..self }
    }

    /// How many elements are in one field.
    fn elements(&self, value: Value<'_>) -> usize {
        match value {
            // A number ends with the byte that says that no other follows.
            Value::Content(content) if self.numbers => content.iter().filter(|byte| **byte < 0x80).count(),
            _ => 1,
        }
    }
}

/// The lists in an Event.
const EVENT: &[List] = &[
    List::new("members.members", &[5, 2], limits::GROUP),
    List::new("fields.fields", &[7, 2], limits::FIELDS),
];
/// The lists in an Operation.
const OPERATION: &[List] = &[List::new("set.fields", &[7, 2], limits::FIELDS)];
/// The lists in a Queued.
const QUEUED: &[List] = &[List::new("set.fields", &[1, 7, 2], limits::FIELDS)];
/// The lists in a Head that are short in each, too.
const HEAD: &[List] = &[List::new("head.settings", &[8], limits::FIELDS)];
/// Those in a session.
const SESSION: &[List] = &[List::new("session.fields", &[2], limits::FIELDS)];

macro_rules! bounded {
    ($($message:ident: $lists:expr;)*) => {
        $(impl Bounded for $message {
            const LISTS: &'static [List] = &$lists;
        })*
    };
}

bounded! {
    ClientFrame: [
        List::new("submit.operations", &[2, 1], limits::SUBMIT_OPERATIONS).of(OPERATION),
        List::new("presence.platforms", &[6, 2, 4], limits::PLATFORMS).of_numbers(),
        List::new("status.devices", &[6, 4, 1], 0)
    ];
    ServerFrame: [
        List::new("delta.events", &[2, 2], limits::PAGE_EVENTS).of(EVENT),
        List::new("submitted.outcomes", &[3, 1], limits::SUBMIT_OPERATIONS),
        List::new("limit.connections", &[7, 2], limits::CONNECTIONS),
        List::new("presence.platforms", &[8, 2, 4], limits::PLATFORMS).of_numbers(),
        List::new("devices", &[8, 4, 1], limits::DEVICES),
        List::new("devices", &[11, 4, 1], limits::DEVICES),
        List::new("snapshot.events", &[9, 2], limits::PAGE_EVENTS).of(EVENT),
        List::new("history.messages", &[10, 4], limits::HISTORY as usize)
    ];
    Meta: [];
    Identity: [];
    Queued: *QUEUED;
    Journal: [List::new("journal.events", &[1], limits::RECORD_ITEMS).of(EVENT)];
    HeadPage: [
        List::new("heads", &[1], limits::RECORD_ITEMS).of(HEAD),
        List::new("head.members", &[1, 3], limits::RECORD_PARTS),
        List::new("head.pieces", &[1, 7], limits::RECORD_PARTS),
        List::new("head.settings", &[1, 8], limits::RECORD_PARTS),
        List::new("head.read_by", &[1, 9], limits::RECORD_PARTS),
        List::new("locators", &[2], limits::RECORD_ITEMS),
        List::new("sessions", &[3], limits::RECORD_ITEMS).of(SESSION),
        List::new("session.fields", &[3, 2], limits::RECORD_PARTS),
        List::new("notifications", &[4], limits::RECORD_ITEMS)
    ];
    Block: [List::new("block.messages", &[1], limits::RECORD_ITEMS)];
    Locators: [
        List::new("locators.conversations", &[2], limits::RECORD_PARTS).of_numbers(),
        List::new("locators.positions", &[3], limits::RECORD_PARTS).of_numbers()
    ];
    ChannelFrame: [
        List::new("change_set.events", &[2, 4], limits::CHANNEL_ITEMS).of(EVENT),
        List::new("change_set.settled", &[2, 5], limits::CHANNEL_ITEMS),
        List::new("change_set.refused", &[2, 6], limits::CHANNEL_ITEMS).of(QUEUED),
        List::new("change_set.discarded", &[2, 11], limits::CHANNEL_ITEMS),
        List::new("folded.pieces", &[2, 7, 1], limits::CHANNEL_PARTS),
        List::new("folded.locators", &[2, 7, 2], limits::CHANNEL_ITEMS),
        List::new("folded.dropped", &[2, 7, 3], limits::CHANNEL_ITEMS).of_numbers(),
        List::new("announce.queued", &[3, 1], limits::CHANNEL_ITEMS).of(QUEUED),
        List::new("claim.ids", &[4, 1], limits::CHANNEL_PARTS),
        List::new("limit.connections", &[13, 2], limits::CONNECTIONS),
        List::new("presence.platforms", &[17, 1, 2, 4], limits::PLATFORMS).of_numbers(),
        List::new("status.devices", &[17, 1, 4, 1], 0),
        List::new("presence.platforms", &[18, 2, 4], limits::PLATFORMS).of_numbers(),
        List::new("devices", &[18, 4, 1], limits::DEVICES),
        List::new("presence.platforms", &[21, 5, 4], limits::PLATFORMS).of_numbers(),
        List::new("devices", &[21, 6, 1], limits::DEVICES)
    ];
}

/// Refuses a message with more elements than it may have.
pub(crate) fn bound(bytes: &[u8], lists: &[List]) -> Result<(), DecodeError> {
    lists.iter().try_for_each(|list| {
        let mut count = 0;
        visit(bytes, list.path, &mut |value| {
            count += list.elements(value);
            ensure(count <= list.most, list.name)?;
            bound(content(value), list.within)
        })
    })
}

/// What is done with a field.
type Found<'a> = dyn FnMut(Value<'_>) -> Result<(), DecodeError> + 'a;

/// Calls `found` for each field at the end of a path.
fn visit(mut rest: &[u8], path: &[u32], found: &mut Found<'_>) -> Result<(), DecodeError> {
    while !rest.is_empty() {
        let (number, value) = read_field(&mut rest)?;
        match path {
            [last] if *last == number => found(value)?,
            [first, path @ ..] if *first == number => visit(content(value), path, found)?,
            _ => {}
        }
    }
    Ok(())
}

/// What is in it, of what has a length.
fn content(value: Value<'_>) -> &[u8] {
    match value {
        Value::Content(content) => content,
        Value::Number(_) | Value::Fixed => &[],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use bytes::Bytes;

    use super::*;
    use crate::{codec, local, wire};

    #[test]
    fn what_is_just_within_the_limits_is_read_and_one_more_is_not() {
        fn check<M: Bounded + PartialEq + std::fmt::Debug>(of: impl Fn(usize) -> M, most: usize) {
            let whole = of(most);
            assert_eq!(codec::decode_local(codec::encode(&whole)), Ok(whole));
            assert!(matches!(
                codec::decode_local::<M>(codec::encode(&of(most + 1))),
                Err(DecodeError::Field(_))
            ));
        }

        let members = |count| wire::Event {
            seq: 1,
            operation: Bytes::new(),
            body: Some(wire::event::Body::Members(wire::Members {
                conversation: "group:team".into(),
                members: vec!["a".into(); count],
            })),
        };
        check(|count| Journal { events: vec![wire::Event::default(); count] }, limits::RECORD_ITEMS);
        check(|count| Journal { events: vec![members(3), members(count)] }, limits::GROUP);
        check(|count| Block { messages: vec![wire::Message::default(); count] }, limits::RECORD_ITEMS);
        let numbers = |count| Locators { positions: vec![300; count], ..Locators::default() };
        check(numbers, limits::RECORD_PARTS);
        // Half of them in one head, half in another.
        let pieces = |count: usize| local::Head {
            pieces: vec![local::Piece::default(); count],
            ..local::Head::default()
        };
        let page = |count: usize| HeadPage {
            heads: vec![pieces(count / 2), pieces(count.div_ceil(2))],
            ..HeadPage::default()
        };
        check(page, limits::RECORD_PARTS);
        let folded = |folded| ChannelFrame {
            frame: Some(local::channel_frame::Frame::ChangeSet(local::ChangeSet {
                folded: Some(folded),
                ..local::ChangeSet::default()
            })),
            ..ChannelFrame::default()
        };
        let pieces = |count| local::Folded {
            pieces: vec![local::Piece::default(); count],
            ..local::Folded::default()
        };
        check(|count| folded(pieces(count)), limits::CHANNEL_PARTS);
        let dropped = |count| local::Folded { dropped: vec![300; count], ..local::Folded::default() };
        check(|count| folded(dropped(count)), limits::CHANNEL_ITEMS);
    }

    #[test]
    fn fields_are_few_in_each_and_bounded_in_all() {
        fn reads<M: Bounded>(message: &M) -> bool {
            codec::decode_local::<M>(codec::encode(message)).is_ok()
        }

        let fields = |count| vec![wire::Field::default(); count];
        let head = |count| local::Head { settings: fields(count), ..local::Head::default() };
        let session = |count| wire::Fields { fields: fields(count), ..wire::Fields::default() };
        let queued = |count| {
            let set = wire::Set { target: String::new(), fields: fields(count) };
            let body = Some(wire::operation::Body::Set(set));
            let operation = Some(wire::Operation { body, ..wire::Operation::default() });
            Queued { operation, ..Queued::default() }
        };
        let announce = |queued| ChannelFrame {
            frame: Some(local::channel_frame::Frame::Announce(local::Announce { queued, epoch: 0 })),
            ..ChannelFrame::default()
        };
        let most = limits::FIELDS;
        assert!(reads(&queued(most)) && !reads(&queued(most + 1)));
        assert!(reads(&announce(vec![queued(most); 3])));
        assert!(!reads(&announce(vec![queued(1), queued(most + 1)])));

        let heads = |heads| HeadPage { heads, ..HeadPage::default() };
        let sessions = |sessions| HeadPage { sessions, ..HeadPage::default() };
        assert!(!reads(&heads(vec![head(1), head(most + 1)])));
        assert!(!reads(&sessions(vec![session(1), session(most + 1)])));
        let full = limits::RECORD_PARTS / most;
        assert!(reads(&heads(vec![head(most); full])) && reads(&sessions(vec![session(most); full])));
        assert!(
            !reads(&heads(vec![head(most); full + 1])) && !reads(&sessions(vec![session(most); full + 1]))
        );
        let read_by = |count| local::Head { read_by: vec![wire::ReadBy::default(); count], ..head(0) };
        assert!(reads(&heads(vec![read_by(limits::RECORD_PARTS - 1), read_by(1)])));
        assert!(!reads(&heads(vec![read_by(limits::RECORD_PARTS), read_by(1)])));
    }

    /// Each field of a message of the schema: its number, its type, and whether it is repeated.
    type Schema = BTreeMap<&'static str, Vec<(u32, &'static str, bool)>>;

    fn read_schema(text: &'static str, schema: &mut Schema) {
        let mut fields = &mut Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["message", name, ..] => fields = schema.entry(name).or_default(),
                ["repeated", of, _, "=", number, ..] => fields.push((digits(number), of, true)),
                [of, _, "=", number, ..] if line.starts_with("  ") => {
                    fields.push((digits(number), of, false))
                }
                _ => {}
            }
        }
    }

    fn digits(number: &str) -> u32 {
        number.trim_end_matches(';').parse().unwrap()
    }

    /// The ways to everything in a message that is repeated.
    fn repeated(schema: &Schema, message: &str, way: &[u32], found: &mut BTreeSet<Vec<u32>>) {
        for (number, of, is_repeated) in schema.get(message).into_iter().flatten() {
            let way = [way, &[*number]].concat();
            repeated(schema, of.rsplit('.').next().unwrap(), &way, found);
            if *is_repeated {
                found.insert(way);
            }
        }
    }

    fn counted(lists: &[List], way: &[u32], found: &mut BTreeSet<Vec<u32>>) {
        for list in lists {
            let way = [way, list.path].concat();
            counted(list.within, &way, found);
            found.insert(way);
        }
    }

    #[test]
    fn whatever_is_repeated_is_counted() {
        let mut schema = Schema::new();
        // The channel has a Ping and a Pong of its own, neither with lists.
        read_schema(include_str!("../proto/tutti.proto"), &mut schema);
        read_schema(include_str!("../proto/local.proto"), &mut schema);
        assert_eq!(schema["Members"], [(1, "string", false), (2, "string", true)]);
        macro_rules! check {
            ($($message:ident)*) => {$(
                let (mut expected, mut actual) = (BTreeSet::new(), BTreeSet::new());
                repeated(&schema, stringify!($message), &[], &mut expected);
                counted($message::LISTS, &[], &mut actual);
                assert_eq!(actual, expected, stringify!($message));
            )*};
        }
        check!(ClientFrame ServerFrame ChannelFrame Meta Identity Queued Journal HeadPage Block Locators);
    }

    #[test]
    fn numbers_count_one_by_one_however_they_are_written() {
        // Each in a field of its own.
        let apart = [0x18, 1].repeat(limits::RECORD_PARTS);
        assert!(codec::decode_local::<Locators>(apart.clone().into()).is_ok());
        assert!(codec::decode::<Locators>(&[&apart[..], &[0x18, 1]].concat().into()).is_ok());
        let one_more = [&apart[..], &[0x18, 1]].concat();
        assert_eq!(
            codec::decode_local::<Locators>(one_more.into()),
            Err(DecodeError::Field("locators.positions"))
        );
    }
}
