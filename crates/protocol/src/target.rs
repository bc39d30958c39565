//! What an account's devices share fields of: a conversation's settings, or a session.

use std::fmt;

use crate::{conversation::Conversation, limits};

/// The draft of a conversation: a JSON string.
pub const DRAFT: &str = "draft";
/// Whether a conversation is muted: `true`, `false`.
pub const MUTED: &str = "muted";
/// Whether a conversation is pinned: `true`, `false`.
pub const PINNED: &str = "pinned";

/// Something with fields that merge one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A conversation, by its id.
    Conversation(&'a str),
    /// What a user is doing, by a key of the application.
    Session(&'a str),
}

impl<'a> Target<'a> {
    /// Reads a target: a conversation, or `session:` and a key of 1 to 256 bytes without control characters.
    #[must_use]
    pub fn parse(target: &'a str) -> Option<Self> {
        match target.strip_prefix("session:") {
            Some(key) => is_key(key).then_some(Self::Session(key)),
            None => Conversation::parse(target).is_ok().then_some(Self::Conversation(target)),
        }
    }

    /// Whether it has a field of that name, as far as this version knows. A session has any.
    pub(crate) fn has(self, name: &str) -> bool {
        matches!((self, name), (Self::Session(_), _) | (_, DRAFT | MUTED | PINNED))
    }

    /// Whether the field of that name can have this value. One that this version does not know can have any.
    pub(crate) fn takes(self, name: &str, value: &[u8]) -> bool {
        match (self, name) {
            (Self::Conversation(_), DRAFT) => value.is_empty() || value.starts_with(b"\""),
            (Self::Conversation(_), MUTED | PINNED) => matches!(value, b"" | b"true" | b"false"),
            _ => true,
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conversation(id) => f.write_str(id),
            Self::Session(key) => write!(f, "session:{key}"),
        }
    }
}

/// Whether a session can have this key.
#[must_use]
pub fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= limits::KEY && !key.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_back_as_written() {
        for text in ["direct:bob", "group:team", "session:article/7", "session:direct:bob"] {
            assert_eq!(Target::parse(text).map(|target| target.to_string()), Some(text.to_owned()));
        }
        let long = format!("session:{}", "x".repeat(limits::KEY + 1));
        for text in ["", "session:", "session", "bob", "session:a\nb", &long] {
            assert_eq!(Target::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_conversation_takes_what_it_has() {
        let conversation = Target::Conversation("direct:bob");
        for (name, value) in
            [(DRAFT, "\"hi\""), (DRAFT, ""), (MUTED, "true"), (PINNED, "false"), (PINNED, "")]
        {
            assert!(conversation.has(name) && conversation.takes(name, value.as_bytes()), "{name} {value}");
        }
        for (name, value) in [(DRAFT, "7"), (MUTED, "1"), (PINNED, "\"true\""), (PINNED, " true")] {
            assert!(!conversation.takes(name, value.as_bytes()), "{name} {value}");
            assert!(Target::Session("a").takes(name, value.as_bytes()));
        }
        assert!(!conversation.has("colour") && conversation.takes("colour", b"7"));
        assert!(Target::Session("a").has("colour"));
    }
}
