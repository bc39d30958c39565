//! What the server may send: refused, or read and the same when it is written and read again.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tutti_protocol::codec;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = codec::decode_server(Bytes::copy_from_slice(bytes)) {
        assert_eq!(codec::decode_server(codec::encode(&frame)), Ok(frame));
    }
});
