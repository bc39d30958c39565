//! Several frames in one body, for polling: each preceded by its length as a varint, as protobuf's
//! delimited streams have it.

use bytes::Bytes;

use crate::{
    codec::DecodeError,
    record::{read_varint, write_varint},
};

/// Frames in one body.
#[must_use]
pub fn join<'a>(frames: impl IntoIterator<Item = &'a Bytes>) -> Bytes {
    let mut body = Vec::new();
    for frame in frames {
        write_varint(frame.len() as u64, &mut body);
        body.extend_from_slice(frame);
    }
    body.into()
}

/// The frames of a body, at most so many, each at most so long. They share the body's memory.
///
/// # Errors
/// [`DecodeError`] when there are more, one is longer, or the body ends within one.
pub fn split(mut body: Bytes, most: usize, longest: usize) -> Result<Vec<Bytes>, DecodeError> {
    let mut frames = Vec::new();
    while !body.is_empty() {
        if frames.len() == most {
            return Err(DecodeError::Field("sequence"));
        }
        let mut rest = &body[..];
        let length = read_varint(&mut rest).map_err(|_| DecodeError::Field("sequence"))?;
        let start = body.len() - rest.len();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > longest {
            return Err(DecodeError::TooLarge(length, longest));
        }
        if length > body.len() - start {
            return Err(DecodeError::Field("sequence"));
        }
        frames.push(body.split_to(start + length).slice(start..));
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in() {
        let frames = [Bytes::from_static(b"hello"), Bytes::new(), Bytes::from(vec![7; 300])];
        assert_eq!(split(join(&frames), 3, 300), Ok(frames.to_vec()));
        assert_eq!(split(Bytes::new(), 0, 0), Ok(Vec::new()));
    }

    #[test]
    fn what_is_too_much_or_cut_is_refused() {
        let frames = [Bytes::from_static(b"hello"), Bytes::from_static(b"world")];
        let body = join(&frames);
        assert_eq!(split(body.clone(), 1, 5), Err(DecodeError::Field("sequence")));
        assert_eq!(split(body.clone(), 2, 4), Err(DecodeError::TooLarge(5, 4)));
        for cut in 1..body.len() {
            let result = split(body.slice(..cut), 2, 5);
            assert!(result.is_err() || result == Ok(vec![frames[0].clone()]), "{cut}");
        }
        assert!(split(Bytes::from_static(&[0xff; 11]), 1, usize::MAX).is_err());
    }
}
