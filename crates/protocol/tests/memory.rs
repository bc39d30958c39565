//! What hostile frames cost: an allocator that counts stands under the decoder.

use bytes::Bytes;
use prost::Message as _;
use tutti_fuzz::memory::{self, Counting};
use tutti_protocol::{
    codec::{self, DecodeError},
    limits, local, sequence, wire,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most that was held at a time while this ran, beyond what was held before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let (result, peak) = memory::peak_of(work);
    (result, peak.held)
}

/// A field with this content.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    prost::encode_length_delimiter(content.len(), &mut bytes).unwrap();
    bytes.extend_from_slice(content);
    bytes
}

/// Empty elements of a repeated field, as many as fit.
fn empties(tag: u8, size: usize) -> Vec<u8> {
    field(tag, &[]).repeat(size / 2)
}

#[test]
fn a_frame_of_empty_elements_allocates_little() {
    const CLIENT: usize = limits::CLIENT_FRAME;
    const SERVER: usize = limits::SERVER_FRAME;
    // Room for the keys and lengths around the elements.
    const ROOM: usize = 64;

    for (bytes, count) in [
        // Operations in one submit, and in as many submits, which merge.
        (field(2, &empties(1, CLIENT - ROOM)), "submit.operations"),
        (field(2, &field(1, &[])).repeat(CLIENT / 4), "submit.operations"),
    ] {
        let bytes = Bytes::from(bytes);
        let unchecked = bytes.clone();
        let (_, naive) = peak_of(|| wire::ClientFrame::decode(unchecked));
        let (result, peak) = peak_of(|| codec::decode_client(bytes));
        println!("{count}: {peak} bytes, {naive} without the outline");
        assert_eq!(result, Err(DecodeError::Field(count)));
        assert!(naive > 20 * CLIENT, "no longer a bomb: {naive} bytes");
        assert!(peak < 1024, "{peak} bytes");
    }

    for (bytes, count) in [
        (field(2, &empties(2, SERVER - ROOM)), "delta.events"),
        (field(3, &empties(1, SERVER - ROOM)), "submitted.outcomes"),
        (field(7, &empties(2, SERVER - ROOM)), "limit.connections"),
    ] {
        let bytes = Bytes::from(bytes);
        let unchecked = bytes.clone();
        let (_, naive) = peak_of(|| wire::ServerFrame::decode(unchecked));
        let (result, peak) = peak_of(|| codec::decode_server(bytes));
        println!("{count}: {peak} bytes, {naive} without the outline");
        assert_eq!(result, Err(DecodeError::Field(count)));
        assert!(naive > 20 * SERVER, "no longer a bomb: {naive} bytes");
        assert!(peak < 1024, "{peak} bytes");
    }

    // Names in a group: 24 bytes of memory for two of the frame, and half as much again while the
    // list grows.
    let members = field(5, &empties(2, SERVER - ROOM));
    let bytes = Bytes::from(field(2, &field(2, &members)));
    let (result, peak) = peak_of(|| codec::decode_server(bytes));
    println!("members.members: {peak} bytes");
    assert_eq!(result, Err(DecodeError::Field("members.members")));
    assert!(peak < 1024, "{peak} bytes");

    // Records of the store and frames of the tab channel.
    let record = Bytes::from(empties(1, CLIENT));
    let (_, naive) = peak_of(|| local::Journal::decode(record.clone()));
    let (result, peak) = peak_of(|| codec::decode_local::<local::Journal>(record));
    println!("journal.events: {peak} bytes, {naive} without the outline");
    assert_eq!(result, Err(DecodeError::Field("journal.events")));
    assert!(naive > 20 * CLIENT, "no longer a bomb: {naive} bytes");
    assert!(peak < 1024, "{peak} bytes");
    let frame = Bytes::from(field(2, &empties(4, SERVER)));
    let (_, naive) = peak_of(|| local::ChannelFrame::decode(frame.clone()));
    let (result, peak) = peak_of(|| codec::decode_local::<local::ChannelFrame>(frame));
    println!("change_set.events: {peak} bytes, {naive} without the outline");
    assert_eq!(result, Err(DecodeError::Field("change_set.events")));
    assert!(naive > 20 * SERVER, "no longer a bomb: {naive} bytes");
    assert!(peak < 1024, "{peak} bytes");

    // Empty frames in a body, which takes one byte for each.
    let body = Bytes::from(vec![0; CLIENT]);
    let (result, peak) = peak_of(|| sequence::split(body, 2, CLIENT));
    println!("sequence: {peak} bytes");
    assert_eq!(result, Err(DecodeError::Field("sequence")));
    assert!(peak < 1024, "{peak} bytes");

    // As deep as JSON can nest in the space there is.
    let content = Bytes::from(vec![b'['; limits::CONTENT]);
    let (result, peak) = peak_of(|| tutti_protocol::content::check(&content));
    println!("content: {peak} bytes");
    assert!(result.is_err());
    assert!(peak < 1024, "{peak} bytes");
}
