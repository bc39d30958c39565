//! Message content: JSON text (RFC 8259) that neither end looks into, only checks.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::limits;

/// Why content is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidContent {
    /// Over [`limits::CONTENT`] bytes.
    #[error("content is over 32 KiB")]
    TooLarge,
    /// Not JSON, or nested more than 128 levels deep.
    #[error("content is not JSON, or nested too deeply")]
    NotJson,
}

/// Checks that these bytes are one JSON value, nested at most 128 levels.
///
/// # Errors
/// [`InvalidContent`] says what is wrong.
pub fn check(content: &[u8]) -> Result<(), InvalidContent> {
    if content.len() > limits::CONTENT {
        return Err(InvalidContent::TooLarge);
    }
    serde_json::from_slice::<Walked>(content)
        .map(drop)
        .map_err(|_| InvalidContent::NotJson)
}

/// Any JSON value, walked but not kept. `IgnoredAny` alone would not count the depth.
struct Walked;

impl<'de> Deserialize<'de> for Walked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Walked)
    }
}

impl<'de> Visitor<'de> for Walked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Walked>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<IgnoredAny, Walked>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_accepted() {
        for json in [
            "null",
            "\"hi\"",
            "-1.5e3",
            "[1,[2,{\"a\":{}}]]",
            " {\"text\":\"\\u00fc\"} ",
        ] {
            assert_eq!(check(json.as_bytes()), Ok(()), "{json}");
        }
    }

    #[test]
    fn what_would_break_a_page_of_messages_is_refused() {
        for wrong in ["", "{", "1,2", "nul", "\"\u{1}\"", "[1]]", "{\"a\":1,}"] {
            assert_eq!(
                check(wrong.as_bytes()),
                Err(InvalidContent::NotJson),
                "{wrong}"
            );
        }
        assert_eq!(check(b"\"\xff\""), Err(InvalidContent::NotJson));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(check(deep.as_bytes()), Err(InvalidContent::NotJson));
        let long = format!("\"{}\"", "x".repeat(limits::CONTENT));
        assert_eq!(check(long.as_bytes()), Err(InvalidContent::TooLarge));
    }
}
