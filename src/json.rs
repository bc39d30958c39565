//! Writes JSON text (RFC 8259), with content spliced in as it stands.
//!
//! Some forty lines instead of a library, which costs the package several kilobytes for what the
//! client needs: objects with known fields.

use std::fmt::Write as _;

use bytes::Bytes;
use tutti_engine::SortedMap;

/// JSON text in the making.
#[derive(Default)]
pub(crate) struct Json(String);

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..b' ')
}

/// What can stand as a value.
pub(crate) trait ToJson {
    fn write(&self, json: &mut Json);
}

impl Json {
    /// The text of a value.
    pub(crate) fn text(value: &(impl ToJson + ?Sized)) -> String {
        let mut json = Self::default();
        value.write(&mut json);
        json.0
    }

    /// The text so far.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// An object of these fields.
    pub(crate) fn object(&mut self, fields: &[(&str, &dyn ToJson)]) {
        self.list('{', fields, '}', |json, (name, value)| {
            json.string(name);
            json.0.push(':');
            value.write(json);
        });
    }

    /// A value that is JSON text already.
    pub(crate) fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn list<T>(&mut self, open: char, items: &[T], close: char, mut write: impl FnMut(&mut Self, &T)) {
        self.0.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            write(self, item);
        }
        self.0.push(close);
    }

    /// A text.
    pub(crate) fn string(&mut self, text: &str) {
        self.0.push('"');
        // Nearly always nothing needs to be escaped.
        if text.bytes().any(is_escaped) {
            text.chars().for_each(|char| match u8::try_from(char) {
                Ok(byte) if is_escaped(byte) => self.display(format_args!("\\u{byte:04x}")),
                _ => self.0.push(char),
            });
        } else {
            self.0.push_str(text);
        }
        self.0.push('"');
    }

    fn display(&mut self, value: impl std::fmt::Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{value}");
    }
}

impl ToJson for str {
    fn write(&self, json: &mut Json) {
        json.string(self);
    }
}

impl ToJson for String {
    fn write(&self, json: &mut Json) {
        json.string(self);
    }
}

/// JSON text that was checked when it came in; nothing is null.
impl ToJson for Bytes {
    fn write(&self, json: &mut Json) {
        json.raw(std::str::from_utf8(self).ok().filter(|text| !text.is_empty()).unwrap_or("null"));
    }
}

impl ToJson for u64 {
    fn write(&self, json: &mut Json) {
        json.display(self);
    }
}

impl ToJson for bool {
    fn write(&self, json: &mut Json) {
        json.display(self);
    }
}

impl<T: ToJson> ToJson for Option<T> {
    fn write(&self, json: &mut Json) {
        match self {
            Some(value) => value.write(json),
            None => json.raw("null"),
        }
    }
}

impl<T: ToJson> ToJson for [T] {
    fn write(&self, json: &mut Json) {
        json.list('[', self, ']', |json, item| item.write(json));
    }
}

impl<T: ToJson> ToJson for Vec<T> {
    fn write(&self, json: &mut Json) {
        self[..].write(json);
    }
}

impl<T: ToJson> ToJson for SortedMap<String, T> {
    fn write(&self, json: &mut Json) {
        let fields: Vec<(&str, &dyn ToJson)> =
            self.iter().map(|(name, it)| (name.as_str(), it as _)).collect();
        json.object(&fields);
    }
}

impl<T: ToJson + ?Sized> ToJson for &T {
    fn write(&self, json: &mut Json) {
        (*self).write(json);
    }
}
