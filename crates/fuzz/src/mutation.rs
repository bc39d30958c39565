//! What becomes of valid bytes.

use std::ops::Range;

use crate::Rng;

/// Valid bytes after one to three accidents. Once in a while a field of them, or one made up, fills all of
/// `limit`; the larger that is, the more rarely.
pub fn hostile(rng: &mut Rng, valid: fn(&mut Rng) -> Vec<u8>, limit: usize) -> Vec<u8> {
    let mut bytes = valid(rng);
    if rng.index(limit) < LARGE {
        enlarge(rng, &mut bytes, limit);
        bytes.truncate(limit);
        return bytes;
    }
    let other = valid(rng);
    for _ in 0..=rng.below(3) {
        if rng.below(4) == 0 {
            mutate(rng, &mut bytes, &other);
        } else {
            mutate_within(rng, &mut bytes, &other);
        }
    }
    bytes.truncate(limit);
    bytes
}

/// What the large inputs add to the length of an average one, in bytes.
const LARGE: usize = 128;

/// Makes bytes about as large as they may be.
fn enlarge(rng: &mut Rng, bytes: &mut Vec<u8>, limit: usize) {
    let room = (limit >> rng.below(3)).saturating_sub(bytes.len() + 16);
    match rng.below(6) {
        // Lists of lists of next to nothing: what takes the most memory for its size.
        0 | 1 => bytes.extend(lists(rng, room)),
        // One of its fields again and again, wherever it is.
        2 | 3 => enlarge_within(rng, bytes, room),
        // As deep as it can be.
        4 => {
            let nested = if rng.below(2) == 0 { nested(rng, room) } else { vec![rng.pick(b"[{\"("); room] };
            bytes.extend(nested);
        }
        _ => bytes.extend((0..room / 8).flat_map(|_| rng.any().to_le_bytes())),
    }
}

/// Empty fields in fields, at each level as many as there is room for, or around a limit.
fn lists(rng: &mut Rng, room: usize) -> Vec<u8> {
    let mut bytes = rng.pick(&[&[][..], &[], b"a", &[0x08, 0x01], &[0x0a, 0x01, b'a']]).to_vec();
    for _ in 0..=rng.below(4) {
        let one = field(1 + rng.below(14) as u8, &bytes);
        if one.len() > room {
            break;
        }
        bytes = one.repeat(times(rng, room / one.len()));
    }
    bytes
}

/// How often something is repeated: as often as it can be, or about as often as something may be.
fn times(rng: &mut Rng, most: usize) -> usize {
    rng.pick(&[1, 1, 10, 200, 500, 512, 1_000, 4_096, 16_384, 65_536, most, most]).min(most)
}

/// Repeats a field, or a field in one, until nothing more fits. What is not made of fields is a text, and
/// all of it is repeated.
fn enlarge_within(rng: &mut Rng, bytes: &mut Vec<u8>, room: usize) {
    let (fields, contents) = (fields(bytes), contents(bytes));
    if fields.is_empty() || contents.is_empty() {
        let text = if bytes.is_empty() { vec![b'x'] } else { bytes.clone() };
        bytes.extend(text.repeat(room / text.len()));
    } else if rng.below(3) == 0 {
        let place = fields[rng.index(fields.len())].clone();
        let more = bytes[place.clone()].repeat(times(rng, room / place.len()));
        bytes.splice(place.end..place.end, more);
    } else {
        let place = contents[rng.index(contents.len())].clone();
        let mut content = bytes[place.clone()].to_vec();
        enlarge_within(rng, &mut content, room);
        replace(bytes, place, &content);
    }
}

/// Fields in fields in fields.
fn nested(rng: &mut Rng, room: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let tag = 1 + rng.below(14) as u8;
    for _ in 0..rng.pick(&[90, 99, 100, 101, 102, 1_000]) {
        let tag = if rng.below(8) == 0 { 1 + rng.below(14) as u8 } else { tag };
        bytes = field(tag, &bytes);
        if bytes.len() > room {
            break;
        }
    }
    bytes
}

/// A field with this content.
fn field(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag << 3 | 2][..], &varint(content.len() as u64), content].concat()
}

/// Mutates the content of a field, of a field in it, and so on, and makes its length right again, so
/// that the accident is not all over with the first length that does not fit.
fn mutate_within(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    let fields = contents(bytes);
    if fields.is_empty() || rng.below(4) == 0 {
        return mutate(rng, bytes, other);
    }
    let place = fields[rng.index(fields.len())].clone();
    let mut content = bytes[place.clone()].to_vec();
    mutate_within(rng, &mut content, other);
    replace(bytes, place, &content);
}

/// Puts another content in the place of a field's, and its length before it.
fn replace(bytes: &mut Vec<u8>, place: Range<usize>, content: &[u8]) {
    let old_length = varint(place.len() as u64).len();
    let new = [&varint(content.len() as u64), content].concat();
    bytes.splice(place.start - old_length..place.end, new);
}

/// Where whole fields lie, key and all, up to where these bytes are no fields.
fn fields(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let Some((tag, mut after)) = rest.split_first() {
        let start = bytes.len() - rest.len();
        let Ok(number) = prost::decode_length_delimiter(&mut after) else {
            break;
        };
        match tag & 7 {
            0 => {}
            2 if number <= after.len() => after = &after[number..],
            _ => break,
        }
        found.push(start..bytes.len() - after.len());
        rest = after;
    }
    found
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
    let at = rng.index(bytes.len() + 1);
    match rng.below(13) {
        // A bit flips, or a byte becomes another.
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        1 if at < bytes.len() => bytes[at] = rng.any() as u8,
        // The end is missing, or a piece in the middle.
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end_of_piece(rng, at, bytes.len()))),
        // A piece comes twice, or one of another frame comes in.
        4 => {
            let piece = bytes[at..end_of_piece(rng, at, bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => {
            let from = rng.index(other.len() + 1);
            let piece = &other[from..end_of_piece(rng, from, other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        // Every field comes twice: the last one counts, messages merge.
        6 => bytes.extend_from_slice(other),
        // Two fields change places, or one comes twice, or is missing.
        7..=9 => mutate_fields(rng, bytes),
        // A field of another number or wire type.
        10 => {
            let fields = fields(bytes);
            if !fields.is_empty() {
                let key = &mut bytes[fields[rng.index(fields.len())].start];
                let number = if rng.below(2) == 0 { *key >> 3 } else { rng.below(16) as u8 };
                *key = number << 3 | rng.below(8) as u8;
            }
        }
        // Something else altogether: any bytes, or fields in fields.
        11 if rng.below(4) == 0 => {
            *bytes = if rng.below(2) == 0 {
                (0..rng.below(64)).map(|_| rng.any() as u8).collect()
            } else {
                nested(rng, 400)
            };
        }
        // A length, tag or number that is huge.
        _ => {
            let huge = rng.number() | 1 << 31;
            let end = bytes.len().min(at + 1);
            bytes.splice(at..end, varint(huge));
        }
    }
}

fn mutate_fields(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let fields = fields(bytes);
    if fields.is_empty() {
        return;
    }
    let (a, b) = (fields[rng.index(fields.len())].clone(), fields[rng.index(fields.len())].clone());
    let first = bytes[a.clone()].to_vec();
    match rng.below(4) {
        0 | 1 => {
            let mut all: Vec<&[u8]> = fields.iter().map(|place| &bytes[place.clone()]).collect();
            let at = |place: &Range<usize>| fields.iter().position(|it| it == place).unwrap_or_default();
            all.swap(at(&a), at(&b));
            let end = fields.last().map_or(0, |last| last.end);
            *bytes = [&all.concat(), &bytes[end..]].concat();
        }
        2 => drop(bytes.splice(b.end..b.end, first)),
        _ => drop(bytes.drain(a)),
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
