//! Text that comes from JavaScript.

use js_sys::JsString;
use tutti_protocol::limits;
use wasm_bindgen::prelude::*;

/// A string, unless it is longer than any that makes sense here, which is not even copied, or has half a surrogate
/// pair in it: UTF-8 has none, so it would become another string, which may be somebody else's name.
pub(crate) fn string(value: &JsValue) -> Option<String> {
    let string: &JsString = value.dyn_ref()?;
    let copy = (string.length() as usize <= limits::CONTENT).then(|| String::from(string))?;
    // Not `contains`, whose search is kilobytes of code.
    let replaced = copy.chars().any(|char| char == char::REPLACEMENT_CHARACTER);
    (!replaced || *value == copy.as_str()).then_some(copy)
}
