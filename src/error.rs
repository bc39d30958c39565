//! `SyncError`: a real JavaScript `Error` with a stable code.

use std::cell::RefCell;

use js_sys::{Array, Error, Function, Reflect};
use tutti_engine::Failure;
use tutti_protocol::Code;
use wasm_bindgen::prelude::*;

use crate::text::string;

thread_local! {
    static CLASS: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Gives the class whose instances errors are. The package's entry calls it, so that `instanceof`
/// holds; without it errors are plain `Error`s with the same fields.
#[wasm_bindgen(js_name = setErrorClass)]
pub fn set_error_class(class: Function) {
    CLASS.with_borrow_mut(|it| *it = Some(class));
}

/// A failure as JavaScript gets it.
pub(crate) fn to_js(failure: &Failure) -> JsValue {
    let code = JsValue::from(failure.code.as_str());
    let retryable = JsValue::from(failure.code.retryable());
    let class = CLASS.with_borrow(Clone::clone);
    let made = class.and_then(|class| {
        let arguments = Array::of3(&code, &JsValue::from(&failure.message), &retryable);
        Reflect::construct(&class, &arguments).ok()
    });
    made.unwrap_or_else(|| {
        let error = Error::new(&failure.message);
        error.set_name("SyncError");
        // Setting a field of a fresh object cannot fail.
        let _ = Reflect::set(&error, &"code".into(), &code);
        let _ = Reflect::set(&error, &"retryable".into(), &retryable);
        error.into()
    })
}

/// The caller gave what makes no sense.
pub(crate) fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(Code::Invalid, message)
}

/// What a thrown value says. Anything can be thrown, and looking at it may throw in turn.
pub(crate) fn describe(thrown: &JsValue) -> String {
    let message = string(thrown).or_else(|| string(&Reflect::get(thrown, &"message".into()).ok()?));
    message.unwrap_or_else(|| "something without a message was thrown".to_owned())
}
