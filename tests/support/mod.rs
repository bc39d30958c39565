//! Calling a client as JavaScript would.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{cell::RefCell, rc::Rc};

use js_sys::{Array, Function, JSON, Promise, Reflect};
use tutti_sync::WasmSyncClient;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(inline_js = r#"
    export function fresh_account() { return "account-" + crypto.randomUUID(); }
"#)]
extern "C" {
    pub(crate) fn fresh_account() -> String;
}

pub(crate) fn js(json: &str) -> JsValue {
    JSON::parse(json).expect("test JSON")
}

pub(crate) fn get(value: &JsValue, path: &str) -> JsValue {
    path.split('.').fold(value.clone(), |value, field| {
        Reflect::get(&value, &field.into()).unwrap_or_else(|_| panic!("no {field} in {value:?}"))
    })
}

pub(crate) fn text(value: &JsValue, path: &str) -> String {
    get(value, path).as_string().unwrap_or_else(|| panic!("{path} is no text in {value:?}"))
}

pub(crate) fn number(value: &JsValue, path: &str) -> f64 {
    get(value, path).as_f64().unwrap_or_else(|| panic!("{path} is no number in {value:?}"))
}

pub(crate) fn len(value: &JsValue) -> u32 {
    value.unchecked_ref::<Array>().length()
}

pub(crate) async fn open(account: &str) -> JsValue {
    // Nothing listens on this port.
    let options = format!(r#"{{"url":"ws://localhost:9/sync","account":"{account}","token":"token"}}"#);
    JsFuture::from(WasmSyncClient::open(&js(&options))).await.expect("a client")
}

pub(crate) async fn call(client: &JsValue, method: &str, arguments: &[JsValue]) -> Result<JsValue, JsValue> {
    let method: Function = get(client, method).unchecked_into();
    let promise = method.apply(client, &arguments.iter().collect::<Array>())?;
    JsFuture::from(Promise::resolve(&promise)).await
}

pub(crate) async fn ask(client: &JsValue, method: &str, arguments: &[JsValue]) -> JsValue {
    call(client, method, arguments).await.unwrap_or_else(|error| panic!("{method}: {error:?}"))
}

pub(crate) async fn code_of(client: &JsValue, method: &str, arguments: &[JsValue]) -> String {
    let error = call(client, method, arguments).await.expect_err(method);
    assert!(get(&error, "retryable").as_bool().is_some(), "{error:?}");
    text(&error, "code")
}

/// Resolves when an event of a client satisfies the condition.
pub(crate) async fn until(
    client: &JsValue,
    event: &str,
    condition: impl Fn(&JsValue) -> bool + 'static,
) -> JsValue {
    let off: RefCell<Option<Function>> = RefCell::default();
    let condition = Rc::new(condition);
    let seen = Promise::new(&mut |resolve, _| {
        let condition = condition.clone();
        let listener = Closure::<dyn FnMut(JsValue)>::new(move |event: JsValue| {
            if condition(&event) {
                resolve.call1(&JsValue::UNDEFINED, &event).expect("resolve");
            }
        });
        let on: Function = get(client, "on").unchecked_into();
        let unsubscribe = on.call2(client, &event.into(), &listener.into_js_value()).expect("on");
        off.replace(Some(unsubscribe.unchecked_into()));
    });
    let seen = JsFuture::from(seen).await.expect("an event");
    off.take().expect("unsubscribe").call0(&JsValue::UNDEFINED).expect("unsubscribe");
    seen
}

pub(crate) async fn leads(client: &JsValue) {
    if text(&ask(client, "status", &[]).await, "role") != "leader" {
        until(client, "status", |status| text(status, "role") == "leader").await;
    }
}
