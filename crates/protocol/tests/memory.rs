//! What hostile frames cost: an allocator that counts stands under the decoder.

use std::fmt::Debug;

use bytes::Bytes;
use tutti_fuzz::memory::{self, Counting};
use tutti_protocol::{
    codec::{self, DecodeError},
    limits, local,
    record::Record,
    sequence,
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

/// Hands over a bomb. It would take twenty times its size and more; it is refused for this count with
/// next to nothing taken.
fn defused<M>(count: &'static str, bytes: Vec<u8>, decode: impl Fn(Bytes) -> Result<M, DecodeError>)
where
    M: Record + Default + PartialEq + Debug,
{
    let bytes = Bytes::from(bytes);
    let (size, unchecked) = (bytes.len(), bytes.clone());
    let (_, naive) = peak_of(|| codec::decode::<M>(&unchecked));
    let (result, peak) = peak_of(|| decode(bytes));
    println!("{count}: {peak} bytes, {naive} without the outline");
    assert_eq!(result, Err(DecodeError::Field(count)));
    assert!(naive > 20 * size, "{count}: no longer a bomb: {naive} bytes");
    assert!(peak < 1024, "{count}: {peak} bytes");
}

#[test]
fn a_frame_of_empty_elements_allocates_little() {
    const CLIENT: usize = limits::CLIENT_FRAME;
    const SERVER: usize = limits::SERVER_FRAME;
    // Room for the keys and lengths around the elements.
    const ROOM: usize = 64;

    for (count, bytes) in [
        // Operations in one submit, and in as many submits, which merge.
        ("submit.operations", field(2, &empties(1, CLIENT - ROOM))),
        ("submit.operations", field(2, &field(1, &[])).repeat(CLIENT / 4)),
        // Fields of one set, and one field in each of as many, which merge too.
        ("set.fields", field(2, &field(1, &field(7, &empties(2, CLIENT - ROOM))))),
        ("set.fields", field(2, &field(1, &field(7, &empties(2, 64)).repeat(CLIENT / 70)))),
    ] {
        defused(count, bytes, codec::decode_client);
    }

    for (count, bytes) in [
        ("delta.events", field(2, &empties(2, SERVER - ROOM))),
        ("submitted.outcomes", field(3, &empties(1, SERVER - ROOM))),
        ("limit.connections", field(7, &empties(2, SERVER - ROOM))),
        ("devices", field(8, &field(4, &empties(1, SERVER - ROOM)))),
        ("devices", field(11, &field(4, &empties(1, SERVER - ROOM)))),
        // A few in each list, and too many in all that merge.
        ("devices", field(11, &field(4, &empties(1, 64)).repeat(SERVER / 70))),
        ("fields.fields", field(2, &field(2, &field(7, &empties(2, SERVER - ROOM))))),
    ] {
        defused(count, bytes, codec::decode_server);
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
    let fields = field(7, &empties(2, CLIENT));
    defused("journal.events", empties(1, CLIENT), codec::decode_local::<local::Journal>);
    defused("fields.fields", field(1, &fields), codec::decode_local::<local::Journal>);
    defused("set.fields", field(1, &fields), codec::decode_local::<local::Queued>);
    defused("heads", empties(1, CLIENT), codec::decode_local::<local::HeadPage>);
    for (count, bytes) in [
        ("head.settings", field(1, &empties(8, CLIENT))),
        // A few in each head, and too many in all.
        ("head.settings", field(1, &empties(8, 64)).repeat(200)),
        ("head.read_by", field(1, &empties(9, CLIENT))),
        ("sessions", empties(3, CLIENT)),
        ("session.fields", field(3, &empties(2, CLIENT))),
    ] {
        defused(count, bytes, codec::decode_local::<local::HeadPage>);
    }
    for (count, bytes) in [
        ("change_set.events", field(2, &empties(4, SERVER))),
        ("fields.fields", field(2, &field(4, &fields))),
        ("change_set.refused", field(2, &empties(6, SERVER))),
        ("set.fields", field(2, &field(6, &field(1, &fields)))),
        ("announce.queued", field(3, &empties(1, SERVER))),
        ("set.fields", field(3, &field(1, &field(1, &fields)))),
    ] {
        defused(count, bytes, codec::decode_local::<local::ChannelFrame>);
    }

    // Numbers of blocks, a byte each: eight of memory, and half as much again while the list grows.
    let bytes = Bytes::from(field(2, &field(7, &field(3, &vec![1; SERVER]))));
    let (result, peak) = peak_of(|| codec::decode_local::<local::ChannelFrame>(bytes));
    println!("folded.dropped: {peak} bytes");
    assert_eq!(result, Err(DecodeError::Field("folded.dropped")));
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
