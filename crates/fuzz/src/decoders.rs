//! Every decoder, and what is to be held to: a new one is a new entry here, and nothing else.

use std::fmt::Debug;

use bytes::Bytes;
use prost::Message;
use tutti_engine::{
    Block, SortedMap,
    batch::{Key, Snapshot, Table},
    decode_block, decode_locators,
};
use tutti_protocol::{
    Conversation, DeviceId, OperationId,
    codec::{self, DecodeError},
    content, limits,
    local::{ChannelFrame, HeadPage, Identity, Journal, Meta, Queued},
    outline::Bounded,
    sequence,
};

use crate::{
    Rng,
    memory::{self, Peak},
    mutation::hostile,
    promises::{self, stable},
    tab::{self, Tab},
    valid,
};

/// One decoder, and how to try it.
#[derive(Debug)]
pub struct Decoder {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it reads at most, in bytes. No allocation may be more than twice as large.
    pub limit: usize,
    /// Makes something that it reads.
    pub(crate) valid: fn(&mut Rng) -> Vec<u8>,
    /// Reads bytes. Says whether it did or refused them; panics when what was read is not what decoding
    /// promises.
    pub(crate) read: fn(Bytes, &mut Meter) -> bool,
}

/// Frames from the network.
const CLIENT: usize = limits::CLIENT_FRAME;
const SERVER: usize = limits::SERVER_FRAME;
/// A record of the store before it is compressed: one head with the largest message, the largest draft and
/// how far fifty have read, and some room.
const RECORD: usize = 120 * 1024;
/// A frame of the tab channel. There is no such limit, but commits do not come larger: two pages, and what
/// else came meanwhile.
const CHANNEL: usize = 4 * 1024 * 1024;

/// All of them.
pub const DECODERS: &[Decoder] = &[
    Decoder { name: "client", limit: CLIENT, valid: |rng| bytes(&valid::client(rng)), read: client },
    Decoder { name: "server", limit: SERVER, valid: |rng| bytes(&valid::server(rng)), read: server },
    Decoder { name: "sequence", limit: CLIENT, valid: frames, read: split },
    Decoder { name: "content", limit: limits::CONTENT, valid: |rng| valid::json(rng).to_vec(), read: json },
    Decoder { name: "conversation", limit: CLIENT, valid: conversation_id, read: conversation },
    Decoder { name: "id", limit: CLIENT, valid: id_as_text, read: id },
    Decoder { name: "channel", limit: CHANNEL, valid: |rng| bytes(&valid::channel(rng)), read: channel },
    Decoder { name: "meta", limit: RECORD, valid: |rng| bytes(&valid::meta(rng)), read: meta },
    Decoder { name: "identity", limit: RECORD, valid: |rng| bytes(&valid::identity(rng)), read: identity },
    Decoder { name: "journal", limit: RECORD, valid: |rng| bytes(&valid::journal(rng)), read: journal },
    Decoder { name: "heads", limit: RECORD, valid: |rng| bytes(&valid::head_page(rng)), read: heads },
    Decoder { name: "outbox", limit: RECORD, valid: |rng| bytes(&valid::queued(rng)), read: outbox },
    Decoder { name: "block", limit: RECORD, valid: |rng| bytes(&valid::block(rng)), read: block },
    Decoder { name: "locators", limit: RECORD, valid: |rng| bytes(&valid::locators(rng)), read: locators },
];

impl Decoder {
    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        DECODERS.iter().find(|decoder| decoder.name == name)
    }

    /// The most that one allocation may take, in bytes.
    #[must_use]
    pub fn bound(&self) -> usize {
        2 * self.limit
    }

    /// What it reads, of a seed.
    #[must_use]
    pub fn whole(&self, seed: u64) -> Bytes {
        (self.valid)(&mut Rng::new(seed)).into()
    }

    /// The hostile bytes of a seed.
    #[must_use]
    pub fn input(&self, seed: u64) -> Bytes {
        hostile(&mut Rng::new(seed), self.valid, self.limit).into()
    }

    /// Reads bytes. Says whether it did, and what that took.
    ///
    /// # Panics
    /// When the decoder does, or when what it read is not what it promises.
    #[must_use]
    pub fn read(&self, bytes: Bytes) -> (bool, Peak) {
        let mut meter = Meter::default();
        let read = (self.read)(bytes, &mut meter);
        (read, meter.0)
    }
}

/// Tells the memory for decoding from the memory for looking at what came of it.
#[derive(Debug, Default)]
pub(crate) struct Meter(Peak);

impl Meter {
    pub(crate) fn of<T>(&mut self, decode: impl FnOnce() -> T) -> T {
        let (result, peak) = memory::peak_of(decode);
        self.0 = self.0.max(peak);
        result
    }
}

fn bytes(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

// ---- from the network ----

fn client(bytes: Bytes, meter: &mut Meter) -> bool {
    let result = meter.of(|| codec::decode_client(bytes.clone()));
    if let Ok(frame) = &result {
        promises::of_client(frame);
        stable(bytes, frame, codec::decode_client);
    }
    result.is_ok()
}

fn server(bytes: Bytes, meter: &mut Meter) -> bool {
    let result = meter.of(|| codec::decode_server(bytes.clone()));
    if let Ok(frame) = &result {
        promises::of_server(frame);
        stable(bytes, frame, codec::decode_server);
    }
    result.is_ok()
}

/// The body of a poll.
fn frames(rng: &mut Rng) -> Vec<u8> {
    let frames: Vec<Bytes> =
        (0..rng.below(4)).map(|_| codec::encode(&valid::client(rng))).take(MOST_FRAMES).collect();
    sequence::join(&frames).to_vec()
}

const MOST_FRAMES: usize = 2;

fn split(body: Bytes, meter: &mut Meter) -> bool {
    let length = body.len();
    let result = meter.of(|| sequence::split(body, MOST_FRAMES, limits::CLIENT_FRAME));
    if let Ok(frames) = &result {
        assert!(frames.len() <= MOST_FRAMES);
        let bytes: usize = frames.iter().map(Bytes::len).sum();
        assert!(bytes + frames.len() <= length, "each has a length before it");
        let again = sequence::split(sequence::join(frames), MOST_FRAMES, limits::CLIENT_FRAME);
        assert_eq!(again.as_ref(), Ok(frames));
    }
    result.is_ok()
}

// ---- texts ----

fn json(bytes: Bytes, meter: &mut Meter) -> bool {
    let valid = meter.of(|| content::check(&bytes)).is_ok();
    if valid {
        promises::of_content(&bytes);
    }
    valid
}

fn conversation_id(rng: &mut Rng) -> Vec<u8> {
    valid::conversation(rng).into()
}

fn conversation(bytes: Bytes, meter: &mut Meter) -> bool {
    let text = String::from_utf8_lossy(&bytes);
    let valid = meter.of(|| Conversation::parse(&text)).is_ok();
    if valid {
        promises::of_conversation(&text);
    }
    valid
}

fn id_as_text(rng: &mut Rng) -> Vec<u8> {
    let id = rng.bytes::<16>();
    if rng.below(4) == 0 { id.to_vec() } else { DeviceId::from(id).to_string().into() }
}

fn id(bytes: Bytes, meter: &mut Meter) -> bool {
    let raw = meter.of(|| OperationId::try_from(&bytes));
    assert_eq!(raw.is_ok(), bytes.len() == 16);
    let text = String::from_utf8_lossy(&bytes);
    let parsed = meter.of(|| text.parse::<DeviceId>());
    if let Ok(id) = parsed {
        assert_eq!(id.to_string(), text.to_ascii_lowercase(), "one id, one spelling");
    }
    raw.is_ok() || parsed.is_ok()
}

// ---- from another tab ----

/// What a tab does with a frame: one that follows, or one that leads.
fn channel(bytes: Bytes, meter: &mut Meter) -> bool {
    if !decodes::<ChannelFrame>(&bytes, meter) {
        return false;
    }
    let leads = bytes.len().is_multiple_of(4);
    let store = tab::store(Table::Meta, Key::Number(0), Bytes::new());
    let mut tab = Tab::open(store, leads).expect("a store that reads well");
    meter.of(|| tab.hear(bytes));
    tab.go_on();
    true
}

// ---- from the store ----

fn meta(record: Bytes, meter: &mut Meter) -> bool {
    load::<Meta>(Table::Meta, Key::Number(0), record, meter)
}

fn identity(record: Bytes, meter: &mut Meter) -> bool {
    load::<Identity>(Table::Meta, Key::Number(1), record, meter)
}

fn journal(record: Bytes, meter: &mut Meter) -> bool {
    load::<Journal>(Table::Journal, Key::Number(300), record, meter)
}

fn heads(record: Bytes, meter: &mut Meter) -> bool {
    load::<HeadPage>(Table::Heads, Key::Number(0), record, meter)
}

fn outbox(record: Bytes, meter: &mut Meter) -> bool {
    load::<Queued>(Table::Outbox, Key::Operation(OperationId::from([3; 16])), record, meter)
}

/// Opens a tab on a store with this record.
fn load<M: Bounded + Message + PartialEq + Debug>(
    table: Table,
    key: Key,
    record: Bytes,
    meter: &mut Meter,
) -> bool {
    let decodes = decodes::<M>(&record, meter);
    let leads = record.len().is_multiple_of(8);
    let store: Snapshot = tab::store(table, key, record);
    let loaded = meter.of(|| tab::load(&store));
    let Ok(replica) = loaded else {
        return false;
    };
    assert!(decodes, "nothing else is loaded");
    tab::use_all(&replica, &SortedMap::new());
    if leads {
        // It folds what is there.
        Tab::open(store, leads).iter_mut().for_each(Tab::go_on);
    }
    true
}

/// Heads whose messages lie in this block.
fn block(record: Bytes, meter: &mut Meter) -> bool {
    let searched = meter.of(|| tab::search_block(&record));
    let opened = meter.of(|| Block::read(&record).is_ok());
    let Ok(block) = meter.of(|| decode_block(record.clone())) else {
        return false;
    };
    assert!(opened && searched, "what can be read as a whole can be read in part, and searched");
    block.messages.iter().for_each(promises::of_message);
    let heads = valid::head_page(&mut Rng::new(block.messages.len() as u64));
    let store = tab::store(Table::Heads, Key::Number(0), codec::encode(&heads));
    if let Ok(replica) = tab::load(&store) {
        tab::use_all(&replica, &SortedMap::from_iter([(0, record)]));
    }
    true
}

fn locators(record: Bytes, meter: &mut Meter) -> bool {
    let Ok(locators) = meter.of(|| decode_locators(record)) else {
        return false;
    };
    let heads = valid::head_page(&mut Rng::new(locators.positions.len() as u64));
    let store = tab::store(Table::Heads, Key::Number(0), codec::encode(&heads));
    if let Ok(replica) = tab::load(&store) {
        tab::find(&replica, &locators);
    }
    true
}

fn decodes<M: Bounded + Message + PartialEq + Debug>(bytes: &Bytes, meter: &mut Meter) -> bool {
    let decode = |bytes: Bytes| -> Result<M, DecodeError> { codec::decode_local(bytes) };
    let result = meter.of(|| decode(bytes.clone()));
    if let Ok(message) = &result {
        stable(bytes.clone(), message, decode);
    }
    result.is_ok()
}
