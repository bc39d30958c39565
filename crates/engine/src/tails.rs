//! The ends of the conversations that were looked at last, decoded: who looks again waits for no store.
//!
//! They are what the blocks say. What has changed since stands over them, as it does over blocks.

use tutti_protocol::{Position, wire};

use crate::replica::detach;

/// Conversations whose ends are kept.
const CONVERSATIONS: usize = 48;

/// By conversation's number, the one that was looked at last at the end; the messages in order, without gaps.
#[derive(Debug, Default)]
pub(crate) struct Tails(Vec<(u32, Vec<wire::Message>)>);

impl Tails {
    /// Messages that are kept of a conversation at most.
    pub(crate) const MESSAGES: usize = 100;

    /// The message at a position, if it is kept.
    pub(crate) fn get(&self, conversation: u32, position: Position) -> Option<&wire::Message> {
        let (_, messages) = self.0.iter().find(|(number, _)| *number == conversation)?;
        let within = position.0.checked_sub(messages.first()?.position)?;
        messages.get(usize::try_from(within).ok()?)
    }

    /// Keeps these messages, the last ones of a conversation. Those of the one that was looked at longest ago go.
    pub(crate) fn keep(&mut self, conversation: u32, mut messages: Vec<wire::Message>) {
        self.forget(conversation);
        messages.iter_mut().for_each(detach);
        self.0.push((conversation, messages));
        if self.0.len() > CONVERSATIONS {
            self.0.remove(0);
        }
    }

    /// Goes on with messages that have come to a conversation since, in order, and are about to be in blocks.
    pub(crate) fn go_on<'a>(&mut self, conversation: u32, recent: impl Iterator<Item = &'a wire::Message>) {
        let Some((_, messages)) = self.0.iter_mut().find(|(number, _)| *number == conversation) else {
            return;
        };
        for message in recent {
            // After a gap nothing follows any more.
            if messages.last().is_some_and(|last| message.position == last.position + 1) {
                messages.push(message.clone());
                messages.last_mut().into_iter().for_each(detach);
            }
        }
        messages.drain(..messages.len().saturating_sub(Self::MESSAGES));
    }

    /// Keeps nothing of a conversation any more.
    pub(crate) fn forget(&mut self, conversation: u32) {
        self.0.retain(|(number, _)| *number != conversation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(positions: std::ops::RangeInclusive<u64>) -> Vec<wire::Message> {
        positions.map(|position| wire::Message { position, ..wire::Message::default() }).collect()
    }

    fn positions(tails: &Tails, conversation: u32) -> Vec<u64> {
        let at = |position| tails.get(conversation, Position(position)).map(|it| it.position);
        (0..1_000).filter_map(at).collect()
    }

    #[test]
    fn a_tail_goes_on_with_what_follows_and_keeps_its_length() {
        let mut tails = Tails::default();
        tails.keep(1, messages(51..=100));
        tails.go_on(1, messages(99..=180).iter());
        assert_eq!(positions(&tails, 1), (81..=180).collect::<Vec<_>>());
        tails.go_on(1, messages(182..=190).iter());
        assert_eq!(positions(&tails, 1).last(), Some(&180), "what comes after a gap is no part of it");
        tails.go_on(2, messages(1..=9).iter());
        assert!(positions(&tails, 2).is_empty(), "nobody has looked at it");
    }

    #[test]
    fn those_looked_at_last_are_kept() {
        let mut tails = Tails::default();
        for number in 0..=CONVERSATIONS as u32 {
            tails.keep(number, messages(1..=3));
        }
        assert!(positions(&tails, 0).is_empty());
        assert_eq!(positions(&tails, 1), [1, 2, 3]);
        tails.forget(1);
        assert!(positions(&tails, 1).is_empty());
    }
}
