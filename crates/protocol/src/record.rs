//! Protobuf by tables: every message lists its fields, and one small loop reads and writes them all.
//!
//! prost's own code for reading and writing comes once for each message and weighs three times as much in the
//! package. The bytes are the same, which tests hold to prost; groups, which this schema has none of and which
//! prost passes over, are refused.

use bytes::Bytes;

use crate::codec::DecodeError;

/// A message of the schema.
pub trait Record {
    /// Writes its fields in the order of their numbers.
    #[doc(hidden)]
    fn write(&self, to: &mut Writer);

    /// Where a field of this number goes.
    #[doc(hidden)]
    fn slot(&mut self, number: u32) -> Slot<'_>;
}

/// Where what was read goes.
#[doc(hidden)]
#[allow(missing_docs, missing_debug_implementations)]
pub enum Slot<'a> {
    /// A later version's field: it is passed over.
    Unknown,
    Bool(&'a mut bool),
    U32(&'a mut u32),
    U64(&'a mut u64),
    Enumerated(&'a mut i32),
    U32s(&'a mut Vec<u32>),
    U64s(&'a mut Vec<u64>),
    Enumerateds(&'a mut Vec<i32>),
    Bytes(&'a mut Bytes),
    Text(&'a mut String),
    Record(&'a mut dyn Record),
}

/// Wire types.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// The bytes of a message in the making.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Those of a message.
    pub(crate) fn bytes(record: &dyn Record) -> Vec<u8> {
        let mut writer = Self::default();
        record.write(&mut writer);
        writer.0
    }

    /// Writes a message within one that is in the making.
    pub(crate) fn append(to: &mut Vec<u8>, field: u32, record: &dyn Record) {
        let mut writer = Self(std::mem::take(to));
        writer.record(field, record);
        *to = writer.0;
    }

    /// A number, unless it is 0.
    pub(crate) fn number(&mut self, field: u32, number: u64) {
        if number != 0 {
            self.varint(field, number);
        }
    }

    /// A number, 0, too.
    pub(crate) fn varint(&mut self, field: u32, number: u64) {
        self.key(field, VARINT);
        write_varint(number, &mut self.0);
    }

    /// Numbers in one field, if there are any.
    pub(crate) fn numbers(&mut self, field: u32, numbers: &mut dyn Iterator<Item = u64>) {
        let mut packed = Vec::new();
        numbers.for_each(|number| write_varint(number, &mut packed));
        self.text(field, &packed);
    }

    /// A text or bytes, unless there are none.
    pub(crate) fn text(&mut self, field: u32, text: &[u8]) {
        if !text.is_empty() {
            self.content(field, text);
        }
    }

    /// A text or bytes, empty ones, too.
    pub(crate) fn content(&mut self, field: u32, content: &[u8]) {
        self.key(field, LENGTH);
        write_varint(content.len() as u64, &mut self.0);
        self.0.extend_from_slice(content);
    }

    /// A message within this one.
    pub(crate) fn record(&mut self, field: u32, record: &dyn Record) {
        self.key(field, LENGTH);
        let start = self.0.len();
        record.write(self);
        // How long it is shows only now, and goes before it.
        let end = self.0.len();
        write_varint((end - start) as u64, &mut self.0);
        let mut length = [0; 10];
        let prefix = self.0.len() - end;
        length[..prefix].copy_from_slice(&self.0[end..]);
        self.0.copy_within(start..end, start + prefix);
        self.0[start..start + prefix].copy_from_slice(&length[..prefix]);
    }

    fn key(&mut self, field: u32, kind: u32) {
        write_varint(u64::from(field << 3 | kind), &mut self.0);
    }
}

/// Reads a message; its bytes share the memory of these.
pub(crate) fn read(record: &mut dyn Record, bytes: &Bytes) -> Result<(), DecodeError> {
    merge(record, bytes, bytes)
}

/// Reads what is left of a message in `whole`.
fn merge(record: &mut dyn Record, whole: &Bytes, mut rest: &[u8]) -> Result<(), DecodeError> {
    while !rest.is_empty() {
        let (number, value) = read_field(&mut rest)?;
        match (record.slot(number), value) {
            (Slot::Unknown, _) => {}
            (Slot::Bool(to), Value::Number(number)) => *to = number != 0,
            // Those of a later version that are larger are cut, as protobuf has it.
            (Slot::U32(to), Value::Number(number)) => *to = number as u32,
            (Slot::U64(to), Value::Number(number)) => *to = number,
            (Slot::Enumerated(to), Value::Number(number)) => *to = number as i32,
            (Slot::U32s(to), value) => read_numbers(value, &mut |number| to.push(number as u32))?,
            (Slot::U64s(to), value) => read_numbers(value, &mut |number| to.push(number))?,
            (Slot::Enumerateds(to), value) => read_numbers(value, &mut |number| to.push(number as i32))?,
            (Slot::Bytes(to), Value::Content(content)) => *to = whole.slice_ref(content),
            (Slot::Text(to), Value::Content(content)) => {
                let text = std::str::from_utf8(content).map_err(|_| DecodeError::Malformed)?;
                *to = text.to_owned();
            }
            (Slot::Record(to), Value::Content(content)) => merge(to, whole, content)?,
            _ => return Err(DecodeError::Malformed),
        }
    }
    Ok(())
}

/// Numbers, each in a field of its own or all in one.
fn read_numbers(value: Value<'_>, push: &mut dyn FnMut(u64)) -> Result<(), DecodeError> {
    match value {
        Value::Number(number) => push(number),
        Value::Content(mut packed) => {
            while !packed.is_empty() {
                push(read_varint(&mut packed)?);
            }
        }
        Value::Fixed => return Err(DecodeError::Malformed),
    }
    Ok(())
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number or a truth.
    Number(u64),
    /// Text, bytes, a message, or numbers packed.
    Content(&'a [u8]),
    /// Four or eight bytes, which no field of this schema has.
    Fixed,
}

/// Reads a field off the front of a message: its number and what it holds.
///
/// # Errors
/// [`DecodeError::Malformed`] when there is none.
pub fn read_field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Value<'a>), DecodeError> {
    let key = u32::try_from(read_varint(rest)?).map_err(|_| DecodeError::Malformed)?;
    let value = match key & 7 {
        VARINT => Value::Number(read_varint(rest)?),
        LENGTH => {
            let length = read_varint(rest)?;
            Value::Content(take(rest, length)?)
        }
        FIXED64 => take(rest, 8).map(|_| Value::Fixed)?,
        FIXED32 => take(rest, 4).map(|_| Value::Fixed)?,
        _ => return Err(DecodeError::Malformed),
    };
    match key >> 3 {
        0 => Err(DecodeError::Malformed),
        number => Ok((number, value)),
    }
}

fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], DecodeError> {
    let at = usize::try_from(length).map_err(|_| DecodeError::Malformed)?;
    let (taken, after) = rest.split_at_checked(at).ok_or(DecodeError::Malformed)?;
    *rest = after;
    Ok(taken)
}

/// Reads a number off the front: seven bits a byte, the lowest first.
///
/// # Errors
/// [`DecodeError::Malformed`] when it does not end, or has more than 64 bits.
pub fn read_varint(rest: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(DecodeError::Malformed)?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return if shift == 63 && byte > 1 { Err(DecodeError::Malformed) } else { Ok(number) };
        }
    }
    Err(DecodeError::Malformed)
}

/// Writes a number.
pub(crate) fn write_varint(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// An element more of a list, to be filled.
fn one_more<T: Default>(list: &mut Vec<T>) -> &mut T {
    list.push(T::default());
    let last = list.len() - 1;
    &mut list[last]
}

/// The message within one that can be any of several. One of another kind gives way.
macro_rules! one_of {
    ($of:expr, $($choice:tt)*) => {{
        if !matches!($of, Some($($choice)*(_))) {
            $of = Some($($choice)*(Default::default()));
        }
        match &mut $of {
            Some($($choice)*(it)) => Slot::Record(it),
            _ => Slot::Unknown,
        }
    }};
}

/// Generated from the schema.
#[allow(clippy::all)]
mod tables {
    use super::{Record, Slot, Writer, one_more};

    include!(concat!(env!("OUT_DIR"), "/records.rs"));
}
