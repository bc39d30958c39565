//! A block as it is read: what is not asked for is not decoded.

use bytes::Bytes;
use tutti_protocol::{
    codec::{self, DecodeError},
    limits, local,
    record::{Value, read_field},
    wire,
};

use crate::{
    batch::StoreError,
    fold::ITEMS,
    replica::{damaged, decode},
};

/// The messages of a block, each as it is stored.
#[derive(Debug, Default)]
pub struct Block(Vec<Bytes>);

impl Block {
    /// Finds where in a record each message is.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the record is not what this code writes. Of its messages that is not known yet.
    pub fn read(record: &Bytes) -> Result<Self, StoreError> {
        messages(record).map(Self).map_err(|_| damaged("blocks"))
    }

    /// The message at an index, if one can be read there.
    pub(crate) fn message(&self, index: u32) -> Option<wire::Message> {
        let stored = self.0.get(index as usize)?;
        let message = codec::decode::<wire::Message>(stored).ok()?;
        codec::check_message(&message).is_ok().then_some(message)
    }
}

fn messages(record: &Bytes) -> Result<Vec<Bytes>, DecodeError> {
    let mut messages = Vec::new();
    let mut rest = &record[..];
    while !rest.is_empty() {
        match read_field(&mut rest)? {
            (ITEMS, Value::Content(_)) if messages.len() == limits::RECORD_ITEMS => {
                return Err(DecodeError::Malformed);
            }
            (ITEMS, Value::Content(message)) => messages.push(record.slice_ref(message)),
            (ITEMS, _) => return Err(DecodeError::Malformed),
            _ => {}
        }
    }
    Ok(messages)
}

/// Reads all messages of a block.
///
/// # Errors
/// [`StoreError::Damaged`] when the record is not what this code writes.
pub fn decode_block(record: Bytes) -> Result<local::Block, StoreError> {
    let block: local::Block = decode(&record)?;
    block.messages.iter().try_for_each(codec::check_message).map_err(|_| damaged("blocks"))?;
    Ok(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(count: u64) -> local::Block {
        let message = |position| wire::Message {
            id: vec![1; 16].into(),
            conversation: "direct:bea".to_owned(),
            sender: "bea".to_owned(),
            r#type: "text".to_owned(),
            content: "{}".into(),
            position,
            ..wire::Message::default()
        };
        local::Block { messages: (1..=count).map(message).collect() }
    }

    #[test]
    fn one_message_is_what_it_is_among_all() {
        let all = block(20);
        let read = Block::read(&codec::encode(&all)).expect("a block");
        for (index, message) in (0..).zip(&all.messages) {
            assert_eq!(read.message(index).as_ref(), Some(message));
        }
        assert_eq!(read.message(20), None);
    }

    #[test]
    fn a_record_with_more_than_a_block_holds_is_refused() {
        let of = |count: usize| Block::read(&[10, 0].repeat(count).into()).is_ok();
        assert!(of(limits::RECORD_ITEMS));
        assert!(!of(limits::RECORD_ITEMS + 1));
    }

    #[test]
    fn a_message_that_cannot_be_read_does_not_hide_the_others() {
        let record = codec::encode(&block(3));
        let mut broken = record.to_vec();
        // The key of the second message's first field.
        let second = 1 + broken[2..].windows(2).position(|pair| pair == &record[..2]).expect("a second") + 1;
        broken[second + 2] = 7;
        let read = Block::read(&broken.into()).expect("a block");
        let here: Vec<bool> = (0..3).map(|index| read.message(index).is_some()).collect();
        assert_eq!(here, [true, false, true]);
    }
}
