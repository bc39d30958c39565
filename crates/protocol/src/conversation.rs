//! Conversation ids: `direct:<other account>` or `group:<group id>`, as one account sees them.

use std::fmt;

use crate::limits;

/// Which conversation, as one account sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversation<'a> {
    /// With one other account.
    Direct(&'a str),
    /// In a group.
    Group(&'a str),
}

/// What was given names no conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a conversation: expected \"direct:<account>\" or \"group:<id>\", names of 1 to 128 bytes without control characters"
)]
pub struct InvalidConversation;

impl<'a> Conversation<'a> {
    /// Reads an id.
    ///
    /// # Errors
    /// [`InvalidConversation`] when the kind is unknown or the name is none.
    pub fn parse(id: &'a str) -> Result<Self, InvalidConversation> {
        match id.split_once(':') {
            Some(("direct", name)) if is_name(name) => Ok(Self::Direct(name)),
            Some(("group", name)) if is_name(name) => Ok(Self::Group(name)),
            _ => Err(InvalidConversation),
        }
    }
}

impl fmt::Display for Conversation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct(account) => write!(f, "direct:{account}"),
            Self::Group(id) => write!(f, "group:{id}"),
        }
    }
}

/// Whether this can name an account, a group or a device.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= limits::NAME && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_written() {
        for id in ["direct:bob", "group:team", "direct:a:b", "group:Ünïcode 7"] {
            assert_eq!(Conversation::parse(id).map(|c| c.to_string()), Ok(id.to_owned()));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let long = format!("direct:{}", "x".repeat(129));
        for id in ["", "bob", "direct:", "group", "Direct:bob", "direct:a\nb", "direct:\0", &long] {
            assert_eq!(Conversation::parse(id), Err(InvalidConversation), "{id:?}");
        }
    }
}
