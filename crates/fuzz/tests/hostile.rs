//! Every decoder takes any bytes at all: it never panics, allocates little, and what it lets through is
//! what it promises.

use std::{
    num::NonZero,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    thread,
};

use tutti_fuzz::{
    Rng,
    decoders::{DECODERS, Decoder},
    memory::{self, Counting},
    runner, valid,
};
use tutti_protocol::{
    codec, limits,
    local::{
        Announce, Block, ChangeSet, ChannelFrame, Claim, Folded, Head, HeadPage, Journal, LocatorSpan,
        Locators, Piece, Queued, channel_frame,
    },
    record::Record,
    wire::{
        ClientFrame, Delta, Event, Field, Fields, Message, Notification, Operation, Outcome, ReadBy,
        ServerFrame, Set, Submit, Submitted, client_frame, event, operation, server_frame,
    },
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Inputs for each decoder. `cargo xtask fuzz` takes more.
const CASES: u64 = 25_000;

#[test]
fn hostile_bytes_are_refused_or_keep_the_promises() {
    assert!(memory::is_counted());
    let queue = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                while let Some(decoder) = DECODERS.get(queue.fetch_add(1, Relaxed)) {
                    withstands(decoder);
                }
            });
        }
    });
}

fn withstands(decoder: &Decoder) {
    let report = runner::run(decoder, 0..CASES, &AtomicU64::new(0));
    for failure in &report.failures {
        eprintln!("{failure}");
    }
    let name = decoder.name;
    println!("{name}: {} of {CASES} read, {:?} of {}", report.read, report.peak, decoder.bound());
    assert!(report.failures.is_empty(), "{name}: {} panicked, {} took too much", report.panics, report.bombs);
    // A fuzzer whose inputs all end the same way tests nothing.
    let fair = CASES / 20..CASES - CASES / 20;
    assert!(fair.contains(&report.read), "{name}: {} of {CASES} read", report.read);
}

#[test]
fn what_is_valid_is_read() {
    for seed in 0..2_000 {
        let frame = valid::client(&mut Rng::new(seed));
        assert_eq!(codec::decode_client(codec::encode(&frame)), Ok(frame), "seed {seed}");
        let frame = valid::server(&mut Rng::new(seed));
        assert_eq!(codec::decode_server(codec::encode(&frame)), Ok(frame), "seed {seed}");
    }
}

#[test]
fn what_is_cut_anywhere_is_refused_or_keeps_the_promises() {
    for decoder in DECODERS {
        for seed in 0..50 {
            let bytes = decoder.whole(seed);
            for end in 0..bytes.len() {
                let _ = decoder.read(bytes.slice(..end));
            }
        }
    }
}

/// What takes the most memory for its size: elements of nothing, as many as there may be.
#[test]
fn lists_as_long_as_they_may_be_stay_within_the_bound() {
    fn check(name: &str, message: &dyn Record) {
        let decoder = Decoder::named(name).expect("a decoder");
        let (_, peak) = decoder.read(codec::encode(message));
        println!("{name}: {peak:?} of {}", decoder.bound());
        assert!(peak.largest <= decoder.bound(), "{name}: {peak:?}");
        assert!(peak.largest > 10_000, "{name}: refused before it was decoded");
    }
    let server = |frame| ServerFrame { frame: Some(frame) };
    let tab = bytes::Bytes::from_static(&[1; 16]);
    let channel = |frame| ChannelFrame { tab: tab.clone(), frame: Some(frame), ..ChannelFrame::default() };
    let changed = |change_set| channel(channel_frame::Frame::ChangeSet(change_set));
    let event = Event { seq: 1, ..Event::default() };

    let fields = vec![Field::default(); limits::FIELDS];
    let set = operation::Body::Set(Set { fields: fields.clone(), ..Set::default() });
    let set = Operation { body: Some(set), ..Operation::default() };
    let operations = vec![set.clone(); limits::SUBMIT_OPERATIONS];
    check("client", &ClientFrame { frame: Some(client_frame::Frame::Submit(Submit { operations })) });
    let shared = event::Body::Fields(Fields { fields: fields.clone(), ..Fields::default() });
    let events = vec![Event { body: Some(shared), ..Event::default() }; limits::PAGE_EVENTS];
    check("server", &server(server_frame::Frame::Delta(Delta { events, ..Delta::default() })));
    let outcomes = vec![Outcome::default(); limits::SUBMIT_OPERATIONS];
    check("server", &server(server_frame::Frame::Submitted(Submitted { outcomes })));

    check("journal", &Journal { events: vec![event.clone(); limits::RECORD_ITEMS] });
    check("block", &Block { messages: vec![Message::default(); limits::RECORD_ITEMS] });
    let (conversations, positions) = (vec![1; limits::RECORD_PARTS], vec![1; limits::RECORD_PARTS]);
    check("locators", &Locators { conversations, positions, ..Locators::default() });
    let members = vec![String::new(); limits::RECORD_PARTS];
    let pieces = vec![Piece::default(); limits::RECORD_PARTS];
    let locators = vec![LocatorSpan::default(); limits::RECORD_ITEMS];
    let mut heads = vec![Head::default(); limits::RECORD_ITEMS];
    let read_by = vec![ReadBy::default(); limits::RECORD_PARTS];
    heads[0] = Head { members, pieces, read_by, ..Head::default() };
    heads[1..=limits::RECORD_PARTS / limits::FIELDS]
        .fill(Head { settings: fields.clone(), ..Head::default() });
    let mut sessions = vec![Fields::default(); limits::RECORD_ITEMS];
    sessions[..limits::RECORD_PARTS / limits::FIELDS]
        .fill(Fields { fields: fields.clone(), ..Fields::default() });
    let notifications = vec![Notification::default(); limits::RECORD_ITEMS];
    check("heads", &HeadPage { heads, locators, sessions, notifications });

    let events = vec![event; limits::CHANNEL_ITEMS];
    check("channel", &changed(ChangeSet { events, epoch: 1, revision: 2, ..ChangeSet::default() }));
    let refused = vec![Queued::default(); limits::CHANNEL_ITEMS];
    check("channel", &changed(ChangeSet { refused, epoch: 1, revision: 2, ..ChangeSet::default() }));
    let settled = vec![vec![2; 16].into(); limits::CHANNEL_ITEMS];
    let discarded = settled.clone();
    let gone = ChangeSet { settled, discarded, epoch: 1, revision: 2, ..ChangeSet::default() };
    check("channel", &changed(gone));
    let folded = Some(Folded {
        pieces: vec![Piece { first: 1, count: 1, ..Piece::default() }; limits::CHANNEL_PARTS],
        locators: vec![LocatorSpan::default(); limits::CHANNEL_ITEMS],
        dropped: vec![1; limits::CHANNEL_ITEMS],
    });
    check("channel", &changed(ChangeSet { folded, epoch: 1, revision: 2, ..ChangeSet::default() }));
    let queued = vec![Queued { operation: Some(set), ..Queued::default() }; limits::CHANNEL_ITEMS];
    check("channel", &channel(channel_frame::Frame::Announce(Announce { queued, epoch: 0 })));
    let ids = vec![vec![2; 16].into(); limits::CHANNEL_PARTS];
    check("channel", &channel(channel_frame::Frame::Claim(Claim { ids, epoch: 1 })));
}
