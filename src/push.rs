//! The browser's side of Web Push (RFC 8030): its subscription, of which the server is told.
//!
//! A service worker registration has one subscription, and that is for one account: whoever enables push for another
//! account on the same registration ends the first one's. Accounts that are to be pushed to side by side have a worker
//! each, under scopes of their own.

use js_sys::{Array, Promise, Reflect, Uint8Array};
use tutti_engine::{Failure, PushKey};
use tutti_protocol::{Code, wire};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::{error::describe, store::AnyStore};

#[wasm_bindgen(module = "/src/push.js")]
extern "C" {
    #[wasm_bindgen(js_name = subscribe)]
    fn begin(registration: &JsValue, key: &str, known: Option<String>) -> Promise;
    #[wasm_bindgen(js_name = renew)]
    fn go_on(key: &str, known: Option<String>) -> Promise;
    #[wasm_bindgen(js_name = unsubscribe)]
    fn end(known: Option<String>) -> Promise;
    #[wasm_bindgen(js_name = registration)]
    fn find(known: Option<String>) -> Promise;
}

/// Subscribes, or goes on with the subscription that this account has.
///
/// # Errors
/// `invalid` for what is no registration, `unsupported` without push, `forbidden` when the user does not want it, and
/// `offline` when the browser does not reach its push service.
pub(crate) async fn subscribe(
    registration: &JsValue,
    key: PushKey,
    store: &AnyStore,
) -> Result<wire::SetPush, Failure> {
    let subscribed = begin(registration, key.as_str(), known(store).await);
    Ok(keep(subscribed, store).await?.unwrap_or_default())
}

/// This account's subscription, for the server to be told again: it may have lost it. Subscribes anew where the browser
/// has ended it by itself. None: push was not enabled, or is not to be any more.
///
/// # Errors
/// As [`subscribe`].
pub(crate) async fn renew(key: PushKey, store: &AnyStore) -> Result<Option<wire::SetPush>, Failure> {
    match known(store).await {
        None => Ok(None),
        known => keep(go_on(key.as_str(), known), store).await,
    }
}

/// Ends this account's subscription, if there is one that can be found from here. Whether there was.
pub(crate) async fn unsubscribe(store: &AnyStore) -> bool {
    let Some(known) = known(store).await else { return false };
    let ended = JsFuture::from(end(Some(known))).await;
    // Where it could not be found, the push service learns from the server that nobody wants it.
    let _ = store.set_push(None).await;
    ended.is_ok_and(|ended| ended.is_truthy())
}

/// The service worker registration by which this account is pushed to, if it is to be found from here; else null.
pub(crate) async fn registration(store: &AnyStore) -> JsValue {
    match known(store).await {
        None => JsValue::NULL,
        known => JsFuture::from(find(known)).await.unwrap_or(JsValue::NULL),
    }
}

async fn known(store: &AnyStore) -> Option<String> {
    store.push().await.ok().flatten()
}

/// Waits for a subscription, and keeps what is to be known of it. The server is told the rest.
async fn keep(subscribed: Promise, store: &AnyStore) -> Result<Option<wire::SetPush>, Failure> {
    let subscribed = JsFuture::from(subscribed).await.map_err(refused)?;
    let Some(subscribed) = subscribed.dyn_ref::<Array>() else { return Ok(None) };
    let key = |at| Uint8Array::new(&subscribed.get(at)).to_vec().into();
    if let Some(known) = subscribed.get(3).as_string() {
        store.set_push(Some(known)).await.map_err(|error| Failure::from(&error))?;
    }
    let endpoint = subscribed.get(0).as_string().unwrap_or_default();
    Ok(Some(wire::SetPush { endpoint, p256dh: key(1), auth: key(2) }))
}

/// Why the browser does not subscribe.
fn refused(refusal: JsValue) -> Failure {
    let code = Reflect::get(&refusal, &"code".into()).ok().and_then(|code| code.as_string());
    Failure::new(Code::parse(&code.unwrap_or_default()), describe(&refusal))
}
