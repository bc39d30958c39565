//! The body of a poll: refused, or frames that make the same body when they are joined and split again.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use tutti_protocol::{limits, sequence};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frames) = sequence::split(Bytes::copy_from_slice(bytes), 2, limits::CLIENT_FRAME) {
        assert_eq!(sequence::split(sequence::join(&frames), 2, limits::CLIENT_FRAME), Ok(frames));
    }
});
