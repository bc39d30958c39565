//! The browser's side of Web Push (RFC 8030): its subscription, of which the server is told.
//!
//! A service worker registration has one subscription, and that is for one account: whoever enables push for another
//! account on the same registration ends the first one's. Accounts that are to be pushed to side by side have a worker
//! each, under scopes of their own.

use js_sys::{Array, Reflect, Uint8Array};
use tutti_engine::{Failure, PushKey};
use tutti_protocol::{Code, wire};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DomException, PushEncryptionKeyName, PushManager, PushSubscription, PushSubscriptionOptionsInit,
    ServiceWorkerContainer, ServiceWorkerRegistration,
};

use crate::{
    error::{describe, invalid},
    store::{AnyStore, Pushed, digest},
};

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
    let registration: &ServiceWorkerRegistration = registration
        .dyn_ref()
        .ok_or_else(|| invalid("registration: expected a ServiceWorkerRegistration"))?;
    let manager = registration.push_manager().map_err(refused)?;
    if manager.is_undefined() {
        return Err(Failure::new(Code::Unsupported, "this browser has no push"));
    }
    if let Some(present) = present(&manager).await.map_err(refused)? {
        if is_own(&present, store).await {
            return to_wire(&present);
        }
        JsFuture::from(present.unsubscribe().map_err(refused)?).await.map_err(refused)?;
    }
    begin(registration, &manager, key, store).await
}

/// This account's subscription, for the server to be told again: it may have lost it. Subscribes anew where the browser
/// has ended it by itself. None: push was not enabled, or is not to be any more.
///
/// # Errors
/// As [`subscribe`].
pub(crate) async fn renew(key: PushKey, store: &AnyStore) -> Result<Option<wire::SetPush>, Failure> {
    let Some(registration) = registered(store).await.map_err(refused)? else {
        return Ok(None);
    };
    let manager = registration.push_manager().map_err(refused)?;
    match present(&manager).await.map_err(refused)? {
        Some(present) if is_own(&present, store).await => to_wire(&present).map(Some),
        None if is_permitted(&manager).await.map_err(refused)? => {
            begin(&registration, &manager, key, store).await.map(Some)
        }
        // Another account's, or the user has changed their mind.
        Some(_) | None => Ok(None),
    }
}

async fn begin(
    registration: &ServiceWorkerRegistration,
    manager: &PushManager,
    key: PushKey,
    store: &AnyStore,
) -> Result<wire::SetPush, Failure> {
    let options = visible();
    options.set_application_server_key(&key.as_str().into());
    let asked = manager.subscribe_with_options(&options).map_err(refused)?;
    let subscription: PushSubscription = JsFuture::from(asked).await.map_err(refused)?.unchecked_into();
    let subscribed = to_wire(&subscription)?;
    let digest = digest(&subscription.endpoint()).await.map_err(|error| Failure::from(&error))?;
    let pushed = Pushed { digest, scope: registration.scope() };
    store.set_push(Some(pushed)).await.map_err(|error| Failure::from(&error))?;
    Ok(subscribed)
}

/// Browsers push for nothing else.
fn visible() -> PushSubscriptionOptionsInit {
    let options = PushSubscriptionOptionsInit::new();
    options.set_user_visible_only(true);
    options
}

async fn is_permitted(manager: &PushManager) -> Result<bool, JsValue> {
    let state = JsFuture::from(manager.permission_state_with_options(&visible())?).await?;
    Ok(state == "granted")
}

/// Ends this account's subscription, if there is one that can be found from here. Whether there was.
pub(crate) async fn unsubscribe(store: &AnyStore) -> bool {
    let Ok(Some(_)) = store.push().await else {
        return false;
    };
    let ended = end(store).await.unwrap_or(false);
    // Where it could not be found, the push service learns from the server that nobody wants it.
    let _ = store.set_push(None).await;
    ended
}

async fn end(store: &AnyStore) -> Result<bool, JsValue> {
    match find(store).await? {
        Some((_, subscription)) => Ok(JsFuture::from(subscription.unsubscribe()?).await?.is_truthy()),
        None => Ok(false),
    }
}

/// The registration by which this account is pushed to, if it is to be found from here.
pub(crate) async fn registration(store: &AnyStore) -> Option<ServiceWorkerRegistration> {
    Some(find(store).await.ok()??.0)
}

async fn find(store: &AnyStore) -> Result<Option<(ServiceWorkerRegistration, PushSubscription)>, JsValue> {
    let Some(registration) = registered(store).await? else {
        return Ok(None);
    };
    match present(&registration.push_manager()?).await? {
        Some(subscription) if is_own(&subscription, store).await => Ok(Some((registration, subscription))),
        Some(_) | None => Ok(None),
    }
}

/// The registration that push was enabled with.
async fn registered(store: &AnyStore) -> Result<Option<ServiceWorkerRegistration>, JsValue> {
    let Ok(Some(Pushed { scope, .. })) = store.push().await else {
        return Ok(None);
    };
    let mut registrations = registrations().await?.into_iter().map(JsCast::unchecked_into);
    Ok(registrations.find(|registration: &ServiceWorkerRegistration| registration.scope() == scope))
}

/// All of this origin; in a service worker its own.
async fn registrations() -> Result<Array, JsValue> {
    let global = js_sys::global();
    let own = Reflect::get(&global, &"registration".into())?;
    if own.is_instance_of::<ServiceWorkerRegistration>() {
        return Ok(Array::of1(&own));
    }
    let container = Reflect::get(&Reflect::get(&global, &"navigator".into())?, &"serviceWorker".into())?;
    match container.dyn_into::<ServiceWorkerContainer>() {
        Ok(container) => Ok(JsFuture::from(container.get_registrations()).await?.unchecked_into()),
        Err(_) => Ok(Array::new()),
    }
}

async fn present(manager: &PushManager) -> Result<Option<PushSubscription>, JsValue> {
    let subscription = JsFuture::from(manager.get_subscription()?).await?;
    Ok((!subscription.is_null()).then(|| subscription.unchecked_into()))
}

/// Whether it is this account's, and not another's that has used the registration.
async fn is_own(subscription: &PushSubscription, store: &AnyStore) -> bool {
    let known = store.push().await.ok().flatten().map(|pushed| pushed.digest);
    known.is_some() && digest(&subscription.endpoint()).await.ok() == known
}

fn to_wire(subscription: &PushSubscription) -> Result<wire::SetPush, Failure> {
    let key = |name| {
        let key = subscription.get_key(name).map_err(refused)?;
        let key =
            key.ok_or_else(|| Failure::new(Code::Unsupported, "this browser's push is not encrypted"))?;
        Ok::<_, Failure>(Uint8Array::new(&key).to_vec().into())
    };
    Ok(wire::SetPush {
        endpoint: subscription.endpoint(),
        p256dh: key(PushEncryptionKeyName::P256dh)?,
        auth: key(PushEncryptionKeyName::Auth)?,
    })
}

/// Why the browser does not subscribe.
fn refused(thrown: JsValue) -> Failure {
    let name = thrown.dyn_ref::<DomException>().map(DomException::name).unwrap_or_default();
    let code = match name.as_str() {
        "NotAllowedError" => Code::Forbidden,
        "AbortError" | "NetworkError" => Code::Offline,
        "NotSupportedError" => Code::Unsupported,
        _ => Code::Invalid,
    };
    Failure::new(code, format!("push: {}", describe(&thrown)))
}
