//! What a peer may not say: the decoder takes any bytes at all, never panics, and what it lets
//! through is what it promises.

mod rng;

use std::{fmt::Debug, ops::Range};

use bytes::Bytes;
use rng::Rng;
use tutti_protocol::{
    Conversation,
    codec::{self, DecodeError},
    limits,
    local::{
        Block, ChangeSet, ChannelFrame, Head, HeadPage, Identity, Journal, LocatorSpan, Locators, Meta,
        Piece, Queued, channel_frame,
    },
    sequence,
    wire::{
        Accepted, Bye, ClientFrame, Connection, Delta, Error, Event, Hello, Limit, MarkRead, Members,
        Message, Operation, Outcome, Ping, Pong, Pull, Read, Refused, Send, ServerFrame, Submit, Submitted,
        Welcome, client_frame, event, operation, outcome, server_frame,
    },
};

// ---- any bytes at all ----

/// Mutated frames that each direction decodes.
const CASES: u64 = 120_000;

#[test]
fn mutated_client_frames_are_refused_or_keep_the_promises() {
    let mut tally = Tally::default();
    for seed in 0..CASES {
        let _case = Case(seed);
        let bytes = mutated(&mut Rng::new(seed), random_client);
        let result = codec::decode_client(bytes.clone());
        tally.count(&result);
        if let Ok(frame) = result {
            promised_of_client(&frame);
            stable(&frame, codec::decode_client);
        }
    }
    tally.assert_fair();
}

#[test]
fn mutated_server_frames_are_refused_or_keep_the_promises() {
    let mut tally = Tally::default();
    for seed in 0..CASES {
        let _case = Case(seed);
        let bytes = mutated(&mut Rng::new(seed), random_server);
        let result = codec::decode_server(bytes.clone());
        tally.count(&result);
        if let Ok(frame) = result {
            promised_of_server(&frame);
            stable(&frame, codec::decode_server);
        }
    }
    tally.assert_fair();
}

/// The channel and the store hold what other versions wrote, or nobody did.
#[test]
fn mutated_records_are_refused_or_stable() {
    fn read<M: prost::Message + Default + PartialEq + Debug>(bytes: &Bytes) -> bool {
        let result = M::decode(bytes.clone());
        if let Ok(record) = &result {
            stable(record, |bytes| Ok(M::decode(bytes)?));
        }
        result.is_ok()
    }

    let mut read_back = 0;
    for seed in 0..20_000 {
        let _case = Case(seed);
        let bytes = mutated(&mut Rng::new(seed), random_change_set);
        read_back += u64::from(read::<ChannelFrame>(&bytes));
        read::<Meta>(&bytes);
        read::<Identity>(&bytes);
        read::<Queued>(&bytes);
        read::<Journal>(&bytes);
        read::<HeadPage>(&bytes);
        read::<Block>(&bytes);
        read::<Locators>(&bytes);
    }
    assert!((1_000..19_000).contains(&read_back), "{read_back} read");
}

#[test]
fn a_frame_cut_anywhere_is_refused_or_keeps_the_promises() {
    for seed in 0..200 {
        let _case = Case(seed);
        let mut rng = Rng::new(seed);
        let bytes = codec::encode(&random_client(&mut rng));
        for end in 0..bytes.len() {
            if let Ok(frame) = codec::decode_client(bytes.slice(..end)) {
                promised_of_client(&frame);
            }
        }
        let bytes = codec::encode(&random_server(&mut rng));
        for end in 0..bytes.len() {
            if let Ok(frame) = codec::decode_server(bytes.slice(..end)) {
                promised_of_server(&frame);
            }
        }
    }
}

#[test]
fn what_is_valid_comes_through() {
    for seed in 0..2_000 {
        let _case = Case(seed);
        let mut rng = Rng::new(seed);
        let frame = random_client(&mut rng);
        assert_eq!(codec::decode_client(codec::encode(&frame)), Ok(frame));
        let frame = random_server(&mut rng);
        assert_eq!(codec::decode_server(codec::encode(&frame)), Ok(frame));
    }
}

/// Bodies of a poll after accidents, most of them in the lengths that hold it together.
#[test]
fn a_mutated_sequence_is_refused_or_is_one() {
    let (mut split, mut refused) = (0, 0);
    for seed in 0..20_000 {
        let _case = Case(seed);
        let mut rng = Rng::new(seed);
        let frames: Vec<Bytes> = (0..rng.below(4)).map(|_| codec::encode(&random_client(&mut rng))).collect();
        let mut body = sequence::join(&frames).to_vec();
        let other = codec::encode(&random_client(&mut rng));
        (0..rng.below(3)).for_each(|_| mutate(&mut rng, &mut body, &other));
        let most = rng.below(4) as usize;
        match sequence::split(body.clone().into(), most, 1_000) {
            Ok(frames) => {
                assert!(frames.len() <= most && frames.iter().all(|frame| frame.len() <= 1_000));
                let bytes: usize = frames.iter().map(Bytes::len).sum();
                assert!(bytes + frames.len() <= body.len(), "each has a length before it");
                assert_eq!(sequence::split(sequence::join(&frames), most, 1_000), Ok(frames));
                split += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(split > 1_000 && refused > 1_000, "{split} split, {refused} refused");
}

/// Says which case it was that panicked.
struct Case(u64);

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {}", self.0);
        }
    }
}

/// How decoding ended. A fuzzer whose frames all end the same way tests nothing.
#[derive(Debug, Default)]
struct Tally {
    decoded: u64,
    malformed: u64,
    unknown: u64,
    fields: u64,
}

impl Tally {
    fn count<M>(&mut self, result: &Result<M, DecodeError>) {
        match result {
            Ok(_) => self.decoded += 1,
            Err(DecodeError::Malformed(_)) => self.malformed += 1,
            Err(DecodeError::Unknown) => self.unknown += 1,
            Err(DecodeError::Field(_)) => self.fields += 1,
            Err(DecodeError::TooLarge(..)) => panic!("the generator makes no large frames"),
        }
    }

    fn assert_fair(&self) {
        let least = CASES / 100;
        assert!(self.decoded > least && self.malformed > least && self.fields > least, "{self:?}");
        assert!(self.unknown > 0, "{self:?}");
    }
}

/// What was decoded decodes to the same again.
fn stable<M: prost::Message + PartialEq + Debug>(
    message: &M,
    decode: impl Fn(Bytes) -> Result<M, DecodeError>,
) {
    assert_eq!(decode(codec::encode(message)).as_ref(), Ok(message));
}

// ---- what decoding promises, said again in other words ----

fn promised_of_client(frame: &ClientFrame) {
    match frame.frame.as_ref().unwrap() {
        client_frame::Frame::Hello(hello) => {
            assert!(hello.token.len() <= limits::TOKEN);
            assert_name(&hello.account);
            assert_eq!(hello.device.len(), 16);
            if !hello.device_name.is_empty() {
                assert_name(&hello.device_name);
            }
            assert!(hello.log.is_empty() || hello.log.len() == 16);
            assert!(hello.take_over.is_empty() || hello.take_over.len() == 16);
        }
        client_frame::Frame::Submit(submit) => {
            assert!(submit.operations.len() <= limits::SUBMIT_OPERATIONS);
            for operation in &submit.operations {
                assert_eq!(operation.id.len(), 16);
                match operation.body.as_ref().unwrap() {
                    operation::Body::Send(send) => {
                        assert_conversation(&send.conversation);
                        assert_type(&send.r#type);
                        assert_json(&send.content);
                    }
                    operation::Body::MarkRead(read) => assert_conversation(&read.conversation),
                }
            }
        }
        client_frame::Frame::Pull(_) | client_frame::Frame::Ping(_) => {}
    }
}

fn promised_of_server(frame: &ServerFrame) {
    match frame.frame.as_ref().unwrap() {
        server_frame::Frame::Welcome(welcome) => assert_eq!(welcome.log.len(), 16),
        server_frame::Frame::Delta(delta) => {
            assert!(delta.events.len() <= limits::PAGE_EVENTS);
            let mut last = delta.after;
            for event in &delta.events {
                assert_eq!(event.seq.checked_sub(last), Some(1), "seqs are contiguous");
                last = event.seq;
                promised_of_event(event);
            }
            assert_eq!(last, delta.next);
            assert!(delta.next <= delta.head);
        }
        server_frame::Frame::Submitted(submitted) => {
            assert!(submitted.outcomes.len() <= limits::SUBMIT_OPERATIONS);
            for outcome in &submitted.outcomes {
                assert_eq!(outcome.id.len(), 16);
                match outcome.result.as_ref().unwrap() {
                    outcome::Result::Accepted(_) => {}
                    outcome::Result::Refused(refused) => assert_name(&refused.code),
                }
            }
        }
        server_frame::Frame::Error(error) => assert_name(&error.code),
        server_frame::Frame::Limit(limit) => {
            assert!(limit.connections.len() <= limits::CONNECTIONS);
            for connection in &limit.connections {
                assert_eq!(connection.device.len(), 16);
                if !connection.name.is_empty() {
                    assert_name(&connection.name);
                }
            }
        }
        server_frame::Frame::Bye(_) | server_frame::Frame::Pong(_) => {}
    }
}

fn promised_of_event(event: &Event) {
    assert!(event.operation.is_empty() || event.operation.len() == 16);
    match &event.body {
        None => {}
        Some(event::Body::Message(message)) => {
            assert_eq!(message.id.len(), 16);
            assert!(message.device.is_empty() || message.device.len() == 16);
            assert_conversation(&message.conversation);
            assert_name(&message.sender);
            assert_type(&message.r#type);
            assert_json(&message.content);
            assert!((1..=u64::MAX).contains(&message.position));
            assert!(message.position.checked_sub(message.inbound).is_some());
        }
        Some(event::Body::Read(read)) => {
            assert_conversation(&read.conversation);
            assert!(read.position.checked_sub(read.inbound).is_some());
        }
        Some(event::Body::Members(members)) => {
            assert_conversation(&members.conversation);
            assert!(members.members.len() <= limits::GROUP);
            members.members.iter().for_each(|name| assert_name(name));
        }
    }
}

fn assert_name(name: &str) {
    assert!((1..=128).contains(&name.len()), "{name:?}");
    assert!(!name.contains(char::is_control), "{name:?}");
}

fn assert_type(name: &str) {
    assert_name(name);
    assert!(name.len() <= 64, "{name:?}");
}

fn assert_conversation(id: &str) {
    let name = id.strip_prefix("direct:").or_else(|| id.strip_prefix("group:"));
    assert_name(name.unwrap());
    assert_eq!(Conversation::parse(id).unwrap().to_string(), id);
}

fn assert_json(content: &[u8]) {
    assert!(content.len() <= 32 * 1024);
    serde_json::from_slice::<serde_json::Value>(content).unwrap();
}

// ---- valid frames of every kind ----

fn random_client(rng: &mut Rng) -> ClientFrame {
    use client_frame::Frame;
    let frame = match rng.below(6) {
        0 | 1 => Frame::Hello(Hello {
            token: random_name(rng),
            account: random_name(rng),
            device: random_id(rng),
            device_name: rng.pick(&["", "Desk", "☎"]).to_string(),
            platform: rng.below(6) as i32,
            epoch: rng.number(),
            log: random_id_or_none(rng),
            cursor: rng.number(),
            take_over: random_id_or_none(rng),
        }),
        2 | 3 => {
            Frame::Submit(Submit { operations: (0..rng.below(4)).map(|_| random_operation(rng)).collect() })
        }
        4 => Frame::Pull(Pull { after: rng.number() }),
        _ => Frame::Ping(Ping { nonce: rng.number() }),
    };
    ClientFrame { frame: Some(frame) }
}

fn random_operation(rng: &mut Rng) -> Operation {
    let body = if rng.below(2) == 0 {
        operation::Body::Send(Send {
            conversation: random_conversation(rng),
            r#type: random_type(rng),
            content: random_json(rng),
        })
    } else {
        operation::Body::MarkRead(MarkRead { conversation: random_conversation(rng), position: rng.number() })
    };
    Operation { id: random_id(rng), clock: rng.number(), body: Some(body) }
}

fn random_server(rng: &mut Rng) -> ServerFrame {
    use server_frame::Frame;
    let frame = match rng.below(12) {
        0 => Frame::Welcome(Welcome {
            log: random_id(rng),
            head: rng.number(),
            server_time: rng.number(),
            ping_interval: rng.number() as u32,
        }),
        1..=5 => Frame::Delta(random_delta(rng)),
        6 => {
            Frame::Submitted(Submitted { outcomes: (0..rng.below(4)).map(|_| random_outcome(rng)).collect() })
        }
        7 => Frame::Error(Error {
            code: random_name(rng),
            message: random_name(rng),
            retry_after: rng.number() as u32,
        }),
        8 => Frame::Bye(Bye { wait: rng.number() as u32 }),
        9 | 10 => Frame::Limit(Limit {
            limit: rng.number() as u32,
            connections: (0..rng.below(4)).map(|_| random_connection(rng)).collect(),
        }),
        _ => Frame::Pong(Pong { nonce: rng.number() }),
    };
    ServerFrame { frame: Some(frame) }
}

fn random_connection(rng: &mut Rng) -> Connection {
    Connection {
        device: random_id(rng),
        name: rng.pick(&["", "Desk", "☎"]).to_string(),
        platform: rng.below(6) as i32,
        since: rng.number(),
    }
}

fn random_delta(rng: &mut Rng) -> Delta {
    let count = rng.below(4);
    let after = rng.number().min(u64::MAX - count);
    let next = after + count;
    Delta {
        after,
        events: (after..next).map(|before| random_event(rng, before + 1)).collect(),
        next,
        head: next.saturating_add(rng.number()),
    }
}

fn random_event(rng: &mut Rng, seq: u64) -> Event {
    let position = rng.number().max(1);
    let inbound = rng.number().min(position);
    let body = match rng.below(5) {
        0 | 1 => Some(event::Body::Message(random_message(rng))),
        2 => Some(event::Body::Read(Read { conversation: random_conversation(rng), position, inbound })),
        3 => Some(event::Body::Members(Members {
            conversation: random_conversation(rng),
            members: (0..rng.below(4)).map(|_| random_name(rng)).collect(),
        })),
        _ => None,
    };
    Event { seq, operation: random_id_or_none(rng), body }
}

fn random_message(rng: &mut Rng) -> Message {
    let position = rng.number().max(1);
    Message {
        id: random_id(rng),
        conversation: random_conversation(rng),
        sender: random_name(rng),
        device: random_id_or_none(rng),
        r#type: random_type(rng),
        content: random_json(rng),
        position,
        inbound: rng.number().min(position),
        sent_at: rng.number(),
    }
}

fn random_outcome(rng: &mut Rng) -> Outcome {
    let result = if rng.below(2) == 0 {
        outcome::Result::Accepted(Accepted { seq: rng.number() })
    } else {
        outcome::Result::Refused(Refused {
            code: random_name(rng),
            message: random_name(rng),
            retry_after: rng.number() as u32,
        })
    };
    Outcome { id: random_id(rng), result: Some(result) }
}

fn random_change_set(rng: &mut Rng) -> ChannelFrame {
    let span = LocatorSpan { number: rng.number(), first: random_id(rng), last: random_id(rng) };
    let head = Head {
        last: Some(random_message(rng)),
        pieces: vec![Piece { first: rng.number(), count: rng.number() as u32, ..Piece::default() }],
        ..Head::default()
    };
    ChannelFrame {
        tab: random_id(rng),
        needs: 0,
        frame: Some(channel_frame::Frame::ChangeSet(ChangeSet {
            revision: rng.number(),
            events: (0..rng.below(3)).map(|seq| random_event(rng, seq)).collect(),
            settled: (0..rng.below(3)).map(|_| random_id(rng)).collect(),
            refused: vec![Queued { operation: Some(random_operation(rng)), ..Queued::default() }],
            // A head page inside the log id: bytes that other records can read, once cut out.
            log: codec::encode(&HeadPage { heads: vec![head], locators: vec![span] }),
            ..ChangeSet::default()
        })),
    }
}

fn random_id(rng: &mut Rng) -> Bytes {
    Bytes::copy_from_slice(&rng.bytes::<16>())
}

fn random_id_or_none(rng: &mut Rng) -> Bytes {
    match rng.below(3) {
        0 => Bytes::new(),
        _ => random_id(rng),
    }
}

fn random_name(rng: &mut Rng) -> String {
    let longest = "x".repeat(limits::NAME);
    rng.pick(&["a", "bob", "Ünïcode 7", "a:b", longest.as_str()]).to_string()
}

fn random_type(rng: &mut Rng) -> String {
    rng.pick(&["text", "x", "image/png"]).to_string()
}

fn random_conversation(rng: &mut Rng) -> String {
    format!("{}:{}", rng.pick(&["direct", "group"]), random_name(rng))
}

fn random_json(rng: &mut Rng) -> Bytes {
    let json = rng.pick(&["null", "\"hi\"", r#"{"text":"\u00fc🎻"}"#, "[1,[2.5e3,{\"a\":[]}]]", " -0 "]);
    Bytes::from_static(json.as_bytes())
}

// ---- and what becomes of them ----

/// The bytes of a valid frame after one to three accidents.
fn mutated<M: prost::Message>(rng: &mut Rng, frame: impl Fn(&mut Rng) -> M) -> Bytes {
    let mut bytes = frame(rng).encode_to_vec();
    let other = frame(rng).encode_to_vec();
    for _ in 0..=rng.below(3) {
        if rng.below(4) == 0 {
            mutate(rng, &mut bytes, &other);
        } else {
            mutate_within(rng, &mut bytes, &other);
        }
    }
    bytes.into()
}

/// Mutates the content of a field, of a field in it, and so on, and makes its length right again, so
/// that the accident is not all over with the first length that does not fit.
fn mutate_within(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let fields = contents(bytes);
    if fields.is_empty() || rng.below(4) == 0 {
        return mutate(rng, bytes, other);
    }
    let field = fields[rng.below(fields.len() as u64) as usize].clone();
    let mut content = bytes[field.clone()].to_vec();
    mutate_within(rng, &mut content, other);
    let old_length = varint(field.len() as u64).len();
    let new = [varint(content.len() as u64), content].concat();
    bytes.splice(field.start - old_length..field.end, new);
}

/// Where the contents of fields with a length lie, up to where these bytes are no fields.
fn contents(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some((tag, after)) = rest.split_first() {
        let mut after = after;
        let Ok(number) = prost::decode_length_delimiter(&mut after) else {
            break;
        };
        match tag & 7 {
            0 => {}
            2 if number <= after.len() => {
                let start = bytes.len() - after.len();
                found.push(start..start + number);
                after = &after[number..];
            }
            _ => break,
        }
        rest = after;
    }
    found
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = rng.below(bytes.len() as u64 + 1) as usize;
    match rng.below(8) {
        // A bit flips, or a byte becomes another.
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        1 if at < bytes.len() => bytes[at] = rng.next() as u8,
        // The end is missing, or a piece in the middle.
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end_of_piece(rng, at, bytes.len()))),
        // A piece comes twice, or one of another frame comes in.
        4 => {
            let piece = bytes[at..end_of_piece(rng, at, bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => {
            let from = rng.below(other.len() as u64 + 1) as usize;
            let piece = &other[from..end_of_piece(rng, from, other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        // Every field comes twice: the last one counts, messages merge.
        6 => bytes.extend_from_slice(other),
        // A length, tag or number that is huge.
        _ => {
            let huge = rng.number() | 1 << 31;
            let end = bytes.len().min(at + 1);
            bytes.splice(at..end, varint(huge));
        }
    }
}

fn end_of_piece(rng: &mut Rng, from: usize, end: usize) -> usize {
    from + rng.below((end - from) as u64 + 1) as usize
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

// ---- what is too large ----

#[test]
fn an_oversized_frame_is_refused_before_it_is_decoded() {
    // Not protobuf at all, and refused for its size all the same.
    let garbage = Bytes::from(vec![0xff; limits::SERVER_FRAME + 1]);
    assert_eq!(
        codec::decode_client(garbage.slice(..=limits::CLIENT_FRAME)),
        Err(DecodeError::TooLarge(limits::CLIENT_FRAME + 1, limits::CLIENT_FRAME))
    );
    assert_eq!(
        codec::decode_server(garbage),
        Err(DecodeError::TooLarge(limits::SERVER_FRAME + 1, limits::SERVER_FRAME))
    );
}

#[test]
fn a_frame_of_the_very_limit_is_read() {
    // A frame, and a field 15 that nobody knows, its length in three bytes, for the rest.
    fn padded(frame: &[u8], size: usize) -> Bytes {
        let rest = size - frame.len() - 4;
        let length = [0x80 | rest as u8, 0x80 | (rest >> 7) as u8, (rest >> 14) as u8];
        [frame, &[0x7a], &length, &vec![0; rest]].concat().into()
    }

    let bytes = padded(&[0x22, 0], limits::CLIENT_FRAME);
    assert_eq!(bytes.len(), limits::CLIENT_FRAME);
    assert_eq!(
        codec::decode_client(bytes),
        Ok(ClientFrame { frame: Some(client_frame::Frame::Ping(Ping { nonce: 0 })) })
    );
    let bytes = padded(&[0x32, 0], limits::SERVER_FRAME);
    assert_eq!(bytes.len(), limits::SERVER_FRAME);
    assert_eq!(
        codec::decode_server(bytes),
        Ok(ServerFrame { frame: Some(server_frame::Frame::Pong(Pong { nonce: 0 })) })
    );
}

#[test]
fn the_end_of_all_seqs_is_no_overflow() {
    let last = Event { seq: u64::MAX, ..Event::default() };
    for (after, events) in [(u64::MAX, vec![]), (u64::MAX - 1, vec![last])] {
        let frame = delta(|delta| *delta = Delta { after, events, next: u64::MAX, head: u64::MAX });
        assert_eq!(codec::decode_server(codec::encode(&frame)), Ok(frame));
    }
}

// ---- each check, by its field ----

#[test]
fn a_client_frame_is_refused_for_each_field() {
    let long_name = "x".repeat(limits::NAME + 1);
    let long_conversation = format!("direct:{long_name}");
    let long_type = "x".repeat(limits::TYPE + 1);
    let too_deep = "[".repeat(129) + &"]".repeat(129);
    let long_content = format!("\"{}\"", "x".repeat(limits::CONTENT - 1));

    let mut cases = vec![
        ("hello.token", hello(|hello| hello.token = "x".repeat(limits::TOKEN + 1))),
        ("submit.operations", submit(vec![send(|_| {}); limits::SUBMIT_OPERATIONS + 1])),
        ("operation.body", submit(vec![Operation { body: None, ..send(|_| {}) }])),
    ];
    for length in [1, 15, 17] {
        let bytes = Bytes::from(vec![7; length]);
        cases.push(("hello.log", hello(|hello| hello.log = bytes.clone())));
        cases.push(("hello.take_over", hello(|hello| hello.take_over = bytes.clone())));
        cases.push(("hello.device", hello(|hello| hello.device = bytes.clone())));
        cases.push(("operation.id", submit(vec![Operation { id: bytes, ..send(|_| {}) }])));
    }
    cases.push(("hello.device", hello(|hello| hello.device.clear())));
    for name in ["", "a\nb", "\0", "\u{7f}", "\u{85}", &long_name] {
        cases.push(("hello.account", hello(|hello| hello.account = name.into())));
        if !name.is_empty() {
            cases.push(("hello.device_name", hello(|hello| hello.device_name = name.into())));
        }
    }
    for id in ["", "bob", "direct:", "room:x", "group:\t", &long_conversation] {
        cases.push(("send.conversation", submit(vec![send(|send| send.conversation = id.into())])));
        cases.push(("mark_read.conversation", submit(vec![mark_read(|read| read.conversation = id.into())])));
    }
    for name in ["", "a\nb", &long_type] {
        cases.push(("send.type", submit(vec![send(|send| send.r#type = name.into())])));
    }
    for content in ["", "{", "1 2", "nul", &too_deep, &long_content] {
        let content = Bytes::copy_from_slice(content.as_bytes());
        cases.push(("send.content", submit(vec![send(|send| send.content = content)])));
    }

    for (field, frame) in cases {
        assert_eq!(codec::decode_client(codec::encode(&frame)), Err(DecodeError::Field(field)));
    }
}

#[test]
fn a_server_frame_is_refused_for_each_field() {
    let long_name = "x".repeat(limits::NAME + 1);
    let long_type = "x".repeat(limits::TYPE + 1);
    let crowd = vec!["bob".to_owned(); limits::GROUP + 1];
    let many = limits::PAGE_EVENTS as u64 + 1;

    let mut cases = vec![
        ("delta.next", delta(|delta| delta.after = delta.next + 1)),
        ("delta.next", delta(|delta| delta.head = delta.next - 1)),
        ("delta.events", delta(|delta| delta.after -= 1)),
        ("delta.events", delta(|delta| (delta.next, delta.head) = (13, 13))),
        (
            "delta.events",
            delta(|delta| {
                delta.events = (1..=many).map(|seq| Event { seq, ..Event::default() }).collect();
                (delta.after, delta.next, delta.head) = (0, many, many);
            }),
        ),
        ("event.seq", delta(|delta| delta.events[0].seq = 0)),
        ("event.seq", delta(|delta| delta.events[0].seq += 1)),
        ("event.seq", delta(|delta| delta.events[1].seq -= 1)),
        ("event.seq", delta(|delta| delta.events.swap(0, 1))),
        (
            "message.position",
            message(|message| {
                (message.position, message.inbound) = (0, 0);
            }),
        ),
        ("message.inbound", message(|message| message.inbound = message.position + 1)),
        ("read.inbound", read(|read| read.inbound = read.position + 1)),
        ("members.members", members(|members| members.members = crowd)),
        ("submitted.outcomes", submitted(vec![accepted(); limits::SUBMIT_OPERATIONS + 1])),
        ("outcome.result", submitted(vec![Outcome { result: None, ..accepted() }])),
        ("limit.connections", limit(vec![connection(); limits::CONNECTIONS + 1])),
    ];
    for length in [0, 1, 15, 17] {
        let bytes = Bytes::from(vec![7; length]);
        cases.push(("welcome.log", welcome(bytes.clone())));
        cases.push(("message.id", message(|message| message.id = bytes.clone())));
        cases.push(("outcome.id", submitted(vec![Outcome { id: bytes.clone(), ..accepted() }])));
        let device = bytes.clone();
        cases.push(("connection.device", limit(vec![connection(), Connection { device, ..connection() }])));
        if length > 0 {
            cases.push(("message.device", message(|message| message.device = bytes.clone())));
            cases.push(("event.operation", delta(|delta| delta.events[1].operation = bytes)));
        }
    }
    for name in ["", "a\nb", &long_name] {
        cases.push(("message.sender", message(|message| message.sender = name.into())));
        cases.push(("members.members", members(|members| members.members.push(name.into()))));
        cases.push(("refused.code", submitted(vec![accepted(), refused(name)])));
        cases.push(("error.code", error(name)));
        if !name.is_empty() {
            let name = name.to_owned();
            cases.push(("connection.name", limit(vec![Connection { name, ..connection() }])));
        }
    }
    for id in ["", "bob", "group:"] {
        cases.push(("message.conversation", message(|message| message.conversation = id.into())));
        cases.push(("read.conversation", read(|read| read.conversation = id.into())));
        cases.push(("members.conversation", members(|members| members.conversation = id.into())));
    }
    for name in ["", "a\nb", &long_type] {
        cases.push(("message.type", message(|message| message.r#type = name.into())));
    }
    for content in [&b""[..], b"{", b"\"\xff\""] {
        cases.push(("message.content", message(|message| message.content = Bytes::from_static(content))));
    }

    for (field, frame) in cases {
        assert_eq!(codec::decode_server(codec::encode(&frame)), Err(DecodeError::Field(field)));
    }
}

/// A page says where it begins, so only an event from elsewhere can claim to be before the first.
#[test]
fn an_event_before_the_first_is_refused() {
    assert_eq!(codec::check_event(&Event::default()), Err(DecodeError::Field("event.seq")));
}

#[test]
fn what_is_just_within_the_limits_is_read() {
    let name = "x".repeat(limits::NAME);
    let content = Bytes::from(format!("\"{}\"", "x".repeat(limits::CONTENT - 2)));
    let deep = Bytes::from("[".repeat(128) + &"]".repeat(128));
    for frame in [
        hello(|hello| {
            hello.token = "x".repeat(limits::TOKEN);
            hello.account = name.clone();
            hello.device_name = name.clone();
        }),
        hello(|hello| {
            hello.log.clear();
            hello.device_name.clear();
            hello.take_over = id();
        }),
        submit(vec![mark_read(|_| {}); limits::SUBMIT_OPERATIONS]),
        submit(vec![send(|send| {
            send.conversation = format!("group:{name}");
            send.r#type = "x".repeat(limits::TYPE);
            send.content = content.clone();
        })]),
        submit(vec![send(|send| send.content = deep)]),
    ] {
        assert_eq!(codec::decode_client(codec::encode(&frame)), Ok(frame));
    }

    for frame in [
        delta(|delta| {
            let all = limits::PAGE_EVENTS as u64;
            delta.events = (1..=all).map(|seq| Event { seq, ..Event::default() }).collect();
            (delta.after, delta.next, delta.head) = (0, all, all);
        }),
        message(|message| {
            message.device.clear();
            message.sender = name.clone();
            message.r#type = "x".repeat(limits::TYPE);
            message.content = content.clone();
            message.inbound = message.position;
        }),
        read(|read| read.inbound = read.position),
        members(|members| members.members.clear()),
        members(|members| members.members = vec![name.clone(); limits::GROUP]),
        submitted(vec![accepted(); limits::SUBMIT_OPERATIONS]),
        limit(vec![]),
        limit(vec![Connection { name: name.clone(), ..connection() }; limits::CONNECTIONS]),
    ] {
        assert_eq!(codec::decode_server(codec::encode(&frame)), Ok(frame));
    }
}

// ---- valid frames, and one thing changed ----

fn id() -> Bytes {
    Bytes::from_static(&[7; 16])
}

fn hello(change: impl FnOnce(&mut Hello)) -> ClientFrame {
    let mut hello = Hello {
        token: "token".into(),
        account: "alice".into(),
        device: id(),
        device_name: "Desk".into(),
        log: id(),
        ..Hello::default()
    };
    change(&mut hello);
    ClientFrame { frame: Some(client_frame::Frame::Hello(hello)) }
}

fn submit(operations: Vec<Operation>) -> ClientFrame {
    ClientFrame { frame: Some(client_frame::Frame::Submit(Submit { operations })) }
}

fn send(change: impl FnOnce(&mut Send)) -> Operation {
    let mut send =
        Send { conversation: "direct:bob".into(), r#type: "text".into(), content: Bytes::from_static(b"{}") };
    change(&mut send);
    Operation { id: id(), clock: 1, body: Some(operation::Body::Send(send)) }
}

fn mark_read(change: impl FnOnce(&mut MarkRead)) -> Operation {
    let mut read = MarkRead { conversation: "direct:bob".into(), position: 1 };
    change(&mut read);
    Operation { id: id(), clock: 1, body: Some(operation::Body::MarkRead(read)) }
}

fn server(frame: server_frame::Frame) -> ServerFrame {
    ServerFrame { frame: Some(frame) }
}

fn welcome(log: Bytes) -> ServerFrame {
    server(server_frame::Frame::Welcome(Welcome { log, ..Welcome::default() }))
}

/// A page of two events: of an unknown kind, and a message.
fn delta(change: impl FnOnce(&mut Delta)) -> ServerFrame {
    let mut delta = Delta {
        after: 10,
        events: vec![
            Event { seq: 11, ..Event::default() },
            Event {
                seq: 12,
                operation: id(),
                body: Some(event::Body::Message(Message {
                    id: id(),
                    conversation: "direct:bob".into(),
                    sender: "bob".into(),
                    device: id(),
                    r#type: "text".into(),
                    content: Bytes::from_static(b"{}"),
                    position: 5,
                    inbound: 3,
                    sent_at: 1,
                })),
            },
        ],
        next: 12,
        head: 12,
    };
    change(&mut delta);
    server(server_frame::Frame::Delta(delta))
}

fn message(change: impl FnOnce(&mut Message)) -> ServerFrame {
    delta(|delta| {
        if let Some(event::Body::Message(message)) = &mut delta.events[1].body {
            change(message);
        }
    })
}

fn read(change: impl FnOnce(&mut Read)) -> ServerFrame {
    let mut read = Read { conversation: "direct:bob".into(), position: 5, inbound: 3 };
    change(&mut read);
    delta(|delta| delta.events[1].body = Some(event::Body::Read(read)))
}

fn members(change: impl FnOnce(&mut Members)) -> ServerFrame {
    let mut members = Members { conversation: "group:team".into(), members: vec!["alice".into()] };
    change(&mut members);
    delta(|delta| delta.events[1].body = Some(event::Body::Members(members)))
}

fn submitted(outcomes: Vec<Outcome>) -> ServerFrame {
    server(server_frame::Frame::Submitted(Submitted { outcomes }))
}

fn accepted() -> Outcome {
    Outcome { id: id(), result: Some(outcome::Result::Accepted(Accepted { seq: 12 })) }
}

fn refused(code: &str) -> Outcome {
    Outcome {
        id: id(),
        result: Some(outcome::Result::Refused(Refused { code: code.into(), ..Refused::default() })),
    }
}

fn error(code: &str) -> ServerFrame {
    server(server_frame::Frame::Error(Error { code: code.into(), ..Error::default() }))
}

fn limit(connections: Vec<Connection>) -> ServerFrame {
    server(server_frame::Frame::Limit(Limit { limit: 10, connections }))
}

fn connection() -> Connection {
    Connection { device: id(), name: String::new(), platform: 2, since: 1 }
}
