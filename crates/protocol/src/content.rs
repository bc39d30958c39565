//! Message content: JSON text (RFC 8259) that neither end looks into, only checks.
//!
//! The check is a scanner of its own: a JSON library in the browser costs a tenth of the package, for
//! values that nobody here reads.

use crate::limits;

/// How deep arrays and objects may nest.
const DEPTH: usize = 128;

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

/// Checks that these bytes are one JSON value in UTF-8, nested at most 128 levels deep.
///
/// What passes can stand in a larger JSON text as it is.
///
/// # Errors
/// [`InvalidContent`] says what is wrong.
pub fn check(content: &[u8]) -> Result<(), InvalidContent> {
    if content.len() > limits::CONTENT {
        return Err(InvalidContent::TooLarge);
    }
    let mut scanner = Scanner { rest: content };
    let valid = std::str::from_utf8(content).is_ok() && scanner.value(0) && scanner.rest.is_empty();
    if valid { Ok(()) } else { Err(InvalidContent::NotJson) }
}

/// What is still to be read. Every method says whether it found what it is named after, with the
/// white space after it.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn value(&mut self, depth: usize) -> bool {
        self.space();
        let found = match self.rest.first() {
            Some(b'{') => depth < DEPTH && self.list(b'}', |this| this.member(depth + 1)),
            Some(b'[') => depth < DEPTH && self.list(b']', |this| this.value(depth + 1)),
            Some(b'"') => self.string(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.number(),
        };
        self.space();
        found
    }

    /// Items between commas, from the opening bracket to the closing one.
    fn list(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> bool) -> bool {
        self.rest = &self.rest[1..];
        self.space();
        if self.take(close) {
            return true;
        }
        while item(self) {
            if self.take(close) {
                return true;
            }
            if !self.take(b',') {
                return false;
            }
        }
        false
    }

    fn member(&mut self, depth: usize) -> bool {
        self.space();
        let named = self.string();
        self.space();
        named && self.take(b':') && self.value(depth)
    }

    fn string(&mut self) -> bool {
        if !self.take(b'"') {
            return false;
        }
        while let [byte, rest @ ..] = self.rest {
            self.rest = rest;
            match byte {
                b'"' => return true,
                b'\\' => {
                    let [escape, rest @ ..] = self.rest else { return false };
                    self.rest = rest;
                    let known = match escape {
                        b'u' => (0..4).all(|_| self.digit(u8::is_ascii_hexdigit)),
                        escape => b"\"\\/bfnrt".contains(escape),
                    };
                    if !known {
                        return false;
                    }
                }
                0..0x20 => return false,
                _ => {}
            }
        }
        false
    }

    fn number(&mut self) -> bool {
        self.take(b'-');
        // A leading zero stands alone.
        if !self.take(b'0') && !self.digits() {
            return false;
        }
        if self.take(b'.') && !self.digits() {
            return false;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            return self.digits();
        }
        true
    }

    fn digits(&mut self) -> bool {
        let some = self.digit(u8::is_ascii_digit);
        while self.digit(u8::is_ascii_digit) {}
        some
    }

    fn digit(&mut self, is_digit: fn(&u8) -> bool) -> bool {
        let found = self.rest.first().is_some_and(is_digit);
        self.rest = &self.rest[usize::from(found)..];
        found
    }

    fn word(&mut self, word: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take(&mut self, byte: u8) -> bool {
        self.word(&[byte])
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_accepted() {
        for json in [
            "null",
            "true",
            "false",
            "\"hi\"",
            "-1.5e3",
            "0",
            "-0.0E+7",
            "[]",
            "{}",
            "[1,[2,{\"a\":{}}]]",
            " {\"text\" : \"\\u00fc\" , \"b\":[ ]} ",
            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
            // What JavaScript writes for half a pair, and what it reads as infinite.
            "\"\\ud800\"",
            "1e999",
        ] {
            assert_eq!(check(json.as_bytes()), Ok(()), "{json}");
        }
    }

    #[test]
    fn what_would_break_a_page_of_messages_is_refused() {
        for wrong in [
            "",
            " ",
            "{",
            "1,2",
            "nul",
            "nulll",
            "\"\u{1}\"",
            "[1]]",
            "{\"a\":1,}",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{a:1}",
            "{1:1}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"",
            "\"\\",
            "'a'",
            "NaN",
            "[1 2]",
            "\u{feff}1",
        ] {
            assert_eq!(check(wrong.as_bytes()), Err(InvalidContent::NotJson), "{wrong}");
        }
        assert_eq!(check(b"\"\xff\""), Err(InvalidContent::NotJson));
    }

    #[test]
    fn it_agrees_with_a_json_library() {
        // Every text of up to five of these pieces.
        let pieces = ["{", "}", "[", "]", ",", ":", "\"a\"", "1", "-", "0", ".", "e", " "];
        let mut texts = vec![String::new()];
        for _ in 0..5 {
            let longer: Vec<_> =
                texts.iter().flat_map(|text| pieces.map(|piece| format!("{text}{piece}"))).collect();
            for text in &longer {
                let library = serde_json::from_str::<serde_json::Value>(text).is_ok();
                assert_eq!(check(text.as_bytes()).is_ok(), library, "{text}");
            }
            texts = longer;
        }
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(check(nested(128).as_bytes()), Ok(()));
        assert_eq!(check(nested(129).as_bytes()), Err(InvalidContent::NotJson));
        assert_eq!(check(nested(10_000).as_bytes()), Err(InvalidContent::NotJson));
        let long = format!("\"{}\"", "x".repeat(limits::CONTENT));
        assert_eq!(check(long.as_bytes()), Err(InvalidContent::TooLarge));
    }
}
