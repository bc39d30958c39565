//! `SyncClient`: JavaScript in, JavaScript out, no logic.
//!
//! Methods are plain functions that return promises: an `async fn(&self)` would keep the object
//! borrowed and make `free()` throw.

use std::{future::Future, pin::Pin, rc::Rc};

use js_sys::{Function, Promise};
use tutti_engine::{Failure, Input, Message, Query, Reply, RequestId};
use tutti_protocol::{
    Code, Conversation, OperationId, Position,
    conversation::is_name,
    limits,
    wire::{self, manage::What},
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::{
    driver::{Driver, Kind},
    error::{invalid, to_js},
    text::string,
    types::{self, MAX_NUMBER, Options},
};

/// Messages on a page of history, or found by a search, when the caller does not say.
const PAGE: u64 = 50;
/// Most messages on a page of history, or found by a search.
const PAGE_MAX: u64 = 1_000;

/// An account's chat, kept in step with the other tabs and devices.
#[wasm_bindgen(js_name = SyncClient)]
pub struct WasmSyncClient {
    driver: Rc<Driver>,
}

#[wasm_bindgen(js_class = SyncClient)]
impl WasmSyncClient {
    /// Opens the account's store, joins the other tabs and starts to sync.
    pub fn open(options: &JsValue) -> Promise {
        let options = Options::read(options);
        promise(async move {
            let driver = Driver::open(options?).await?;
            Ok(Self { driver }.into())
        })
    }

    /// The account.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn account(&self) -> String {
        self.driver.identity().account
    }

    /// The device: the same for all tabs of a profile. Null while it has no lasting id.
    #[wasm_bindgen(getter, js_name = deviceId)]
    #[must_use]
    pub fn device_id(&self) -> JsValue {
        self.driver.device().map_or(JsValue::NULL, |device| device.to_string().into())
    }

    /// The tab.
    #[wasm_bindgen(getter, js_name = tabId)]
    pub fn tab_id(&self) -> String {
        self.driver.identity().tab.to_string()
    }

    /// Sends a message; it is durable when the promise resolves.
    pub fn send(&self, conversation: &JsValue, content: &JsValue, options: &JsValue) -> Promise {
        let input = read_send(conversation, content, options);
        let driver = self.driver.clone();
        promise(async move {
            let (conversation, content, kind, id) = input?;
            Ok(types::to_js(&driver.send(conversation, content.into(), kind, id).await?))
        })
    }

    /// One message, or null.
    pub fn message(&self, id: &JsValue) -> Promise {
        let id = read_id(id, "messageId");
        let driver = self.driver.clone();
        promise(async move { Ok(types::to_js(&driver.message(id?).await?)) })
    }

    /// A page of a conversation.
    pub fn history(&self, conversation: &JsValue, page: &JsValue) -> Promise {
        let conversation = read_conversation(conversation);
        let before = types::optional_number(page, "before", 1..=MAX_NUMBER);
        let limit = types::optional_number(page, "limit", 1..=PAGE_MAX);
        let driver = self.driver.clone();
        promise(async move {
            let (before, limit) = (before?.map(Position), limit?.unwrap_or(PAGE) as usize);
            Ok(types::to_js(&driver.history(&conversation?, before, limit).await?))
        })
    }

    /// The newest messages on this device that match a text.
    pub fn search(&self, text: &JsValue, options: &JsValue) -> Promise {
        let query = read_query(text);
        let conversation = types::optional_text(options, "conversation");
        let limit = types::optional_number(options, "limit", 1..=PAGE_MAX);
        let driver = self.driver.clone();
        promise(async move {
            let conversation = conversation?.map(check_conversation).transpose()?;
            let limit = limit?.unwrap_or(PAGE) as usize;
            Ok(types::to_js(&driver.search(query?, conversation, limit).await?))
        })
    }

    /// The conversations, latest activity first.
    pub fn conversations(&self, options: &JsValue) -> Promise {
        let limit = types::optional_number(options, "limit", 1..=MAX_NUMBER);
        self.look(move |driver| {
            let limit = at_most(limit?);
            Ok(types::to_js(&driver.conversations(limit)?))
        })
    }

    /// One conversation, or null.
    pub fn conversation(&self, id: &JsValue) -> Promise {
        let id = read_conversation(id);
        self.look(move |driver| {
            let id = id?;
            Ok(types::to_js(&driver.read(|replica| replica.conversation(&id))?))
        })
    }

    /// Marks a conversation as read, up to a position or to its end.
    #[wasm_bindgen(js_name = markRead)]
    pub fn mark_read(&self, conversation: &JsValue, position: &JsValue) -> Promise {
        let conversation = read_conversation(conversation);
        let position =
            (!position.is_undefined()).then(|| types::number(position, "position", 0..=MAX_NUMBER));
        let read = conversation.and_then(|it| Ok((it, position.transpose()?.map(Position))));
        self.act(read.map(|(conversation, position)| {
            move |request| Input::MarkRead { request, conversation, position }
        }))
    }

    /// Gives a message other content.
    pub fn edit(&self, id: &JsValue, content: &JsValue) -> Promise {
        let edit = read_id(id, "messageId").and_then(|id| Ok((id, types::content(content)?.into())));
        self.change(
            edit.map(|(id, content)| (id, move |request, message| Input::Edit { request, message, content })),
        )
    }

    /// Takes a message back.
    pub fn recall(&self, id: &JsValue) -> Promise {
        let id = read_id(id, "messageId");
        self.change(id.map(|id| (id, |request, message| Input::Recall { request, message })))
    }

    /// Tries a message again that was refused.
    pub fn retry(&self, id: &JsValue) -> Promise {
        self.withdraw(id, true)
    }

    /// Gives up a message that was not sequenced.
    pub fn discard(&self, id: &JsValue) -> Promise {
        self.withdraw(id, false)
    }

    /// Sets a conversation's draft, or whether it is muted or pinned.
    #[wasm_bindgen(js_name = setConversation)]
    pub fn set_conversation(&self, conversation: &JsValue, settings: &JsValue) -> Promise {
        let set = read_conversation(conversation).and_then(|id| types::settings(&id, settings));
        self.set(set)
    }

    /// Tells those who are there that the user types, or does not any more.
    ///
    /// # Errors
    /// Throws `invalid` for an argument that makes no sense.
    #[wasm_bindgen(js_name = setTyping)]
    pub fn set_typing(&self, conversation: &JsValue, typing: &JsValue) -> Result<(), JsValue> {
        let input = read_conversation(conversation).and_then(|conversation| {
            let typing = if typing.is_undefined() { Some(true) } else { typing.as_bool() };
            let typing = typing.ok_or_else(|| invalid("typing: expected a boolean"))?;
            Ok(Input::SetTyping { conversation, typing })
        });
        self.say(input)
    }

    /// Sets what others see of whether the user is there.
    ///
    /// # Errors
    /// Throws `invalid` for an argument that makes no sense.
    #[wasm_bindgen(js_name = setPresence)]
    pub fn set_presence(&self, presence: &JsValue) -> Result<(), JsValue> {
        self.say(types::availability(presence).map(Input::SetPresence))
    }

    /// Says something to those who are there.
    ///
    /// # Errors
    /// Throws `invalid` for an argument that makes no sense, and `too-large`.
    #[wasm_bindgen(js_name = sendStatus)]
    pub fn send_status(
        &self,
        conversation: &JsValue,
        kind: &JsValue,
        content: &JsValue,
    ) -> Result<(), JsValue> {
        self.say(read_status(conversation, kind, content))
    }

    /// Whether somebody is there.
    pub fn presence(&self, account: &JsValue) -> Promise {
        let account = types::text(account, "account");
        let driver = self.driver.clone();
        promise(async move {
            let account = account?;
            match driver.request(|request| Input::AskPresence { request, account }).await? {
                Reply::Presence(presence) => Ok(types::to_js(&*presence)),
                _ => Err(answered_amiss()),
            }
        })
    }

    /// Sets what the user is doing.
    #[wasm_bindgen(js_name = setSession)]
    pub fn set_session(&self, key: &JsValue, fields: &JsValue) -> Promise {
        let set = types::session_key(key).and_then(|key| types::session_fields(&key, fields));
        self.set(set)
    }

    /// What the user was doing, or null.
    pub fn session(&self, key: &JsValue) -> Promise {
        let key = types::session_key(key);
        self.look(move |driver| {
            let key = key?;
            Ok(types::to_js(&driver.read(|replica| replica.session(&key))?))
        })
    }

    /// All that the user was doing, under keys that begin with a prefix.
    pub fn sessions(&self, prefix: &JsValue) -> Promise {
        let prefix = if prefix.is_undefined() { Ok(String::new()) } else { types::text(prefix, "prefix") };
        self.look(move |driver| {
            let prefix = prefix?;
            Ok(types::to_js(&driver.read(|replica| replica.sessions(&prefix))?))
        })
    }

    /// What the account is notified of, the newest first.
    pub fn notifications(&self, options: &JsValue) -> Promise {
        let dismissed = types::optional_boolean(options, "includeDismissed");
        let limit = types::optional_number(options, "limit", 1..=MAX_NUMBER);
        self.look(move |driver| {
            let (dismissed, limit) = (dismissed?.unwrap_or(false), at_most(limit?));
            let wanted = driver.config().notifications;
            let shown =
                driver.read(|replica| replica.notifications(dismissed, if wanted { limit } else { 0 }))?;
            Ok(types::to_js(&shown))
        })
    }

    /// Marks a notification as read, or as one to be seen no more.
    #[wasm_bindgen(js_name = markNotification)]
    pub fn mark_notification(&self, id: &JsValue, state: &JsValue) -> Promise {
        let mark = read_id(id, "id").and_then(|id| Ok((id, types::mark(state)?)));
        self.act(mark.map(|(id, state)| move |request| Input::MarkNotification { request, id, state }))
    }

    /// Has notifications pushed to this browser while no tab is open.
    #[wasm_bindgen(js_name = enablePush)]
    pub fn enable_push(&self, registration: &JsValue) -> Promise {
        let (driver, registration) = (self.driver.clone(), registration.clone());
        promise(async move {
            driver.enable_push(&registration).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Has them pushed no more.
    #[wasm_bindgen(js_name = disablePush)]
    pub fn disable_push(&self) -> Promise {
        let driver = self.driver.clone();
        promise(async move {
            driver.disable_push().await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Goes on with push where it was enabled. The package calls it when it is online, and when the browser says that
    /// a subscription has ended.
    #[wasm_bindgen(js_name = renewPush)]
    pub fn renew_push(&self) -> Promise {
        let driver = self.driver.clone();
        promise(async move {
            driver.renew_push().await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// The service worker registration by which this account is pushed to, or null.
    #[wasm_bindgen(js_name = pushRegistration)]
    pub fn push_registration(&self) -> Promise {
        let driver = self.driver.clone();
        promise(async move { driver.push_registration().await })
    }

    /// The account's devices, the first registered first.
    pub fn devices(&self) -> Promise {
        let driver = self.driver.clone();
        promise(async move {
            let what = What::List(wire::ListDevices {});
            match driver.request(|request| Input::Manage { request, what }).await? {
                Reply::Devices(devices) => Ok(types::devices(&devices, driver.device())),
                _ => Err(answered_amiss()),
            }
        })
    }

    /// Gives a device of the account another name.
    #[wasm_bindgen(js_name = renameDevice)]
    pub fn rename_device(&self, device_id: &JsValue, name: &JsValue) -> Promise {
        self.manage(read_name(device_id, "deviceId").and_then(|device| {
            let name = read_name(name, "name")?;
            Ok(What::Rename(wire::RenameDevice { device, name }))
        }))
    }

    /// Removes a device from the account.
    #[wasm_bindgen(js_name = removeDevice)]
    pub fn remove_device(&self, device_id: &JsValue) -> Promise {
        let device = read_name(device_id, "deviceId");
        self.manage(device.map(|device| What::Remove(wire::RemoveDevice { device })))
    }

    /// The state of sync in one look.
    pub fn status(&self) -> JsValue {
        self.driver.status()
    }

    /// How the client is inside, for panels that show it.
    pub fn inspect(&self) -> Promise {
        self.look(Driver::inspect)
    }

    /// Resolves when the outbox is empty and the cursor has reached the server's head.
    #[wasm_bindgen(js_name = syncNow)]
    pub fn sync_now(&self) -> Promise {
        self.act(Ok(Input::SyncNow))
    }

    /// Connects this profile in the place of another device's connection.
    #[wasm_bindgen(js_name = takeOver)]
    pub fn take_over(&self, device_id: &JsValue) -> Promise {
        let device = types::text(device_id, "deviceId")
            .and_then(|id| id.parse().map_err(|_| invalid("deviceId: expected a UUID")));
        self.act(device.map(|device| move |request| Input::TakeOver(request, device)))
    }

    /// Works offline by choice, in all tabs of this profile, or no longer does.
    ///
    /// # Errors
    /// Throws `invalid` when not given a boolean.
    #[wasm_bindgen(js_name = setOffline)]
    pub fn set_offline(&self, offline: &JsValue) -> Result<(), JsValue> {
        let offline = offline.as_bool().ok_or_else(|| to_js(&invalid("offline: expected a boolean")))?;
        self.driver.feed(Input::SetOffline(offline));
        Ok(())
    }

    /// What the application has set, in any tab of this profile.
    pub fn config(&self) -> JsValue {
        types::config(&self.driver.config())
    }

    /// Sets some of it, for all tabs of this profile.
    pub fn configure(&self, config: &JsValue) -> Promise {
        let result = self.driver.configure(config);
        self.look(move |_| result.map(|()| JsValue::UNDEFINED))
    }

    /// Leaves the tab group and releases everything. Idempotent.
    pub fn close(&self) -> Promise {
        self.driver.close();
        Promise::resolve(&JsValue::UNDEFINED)
    }

    /// Leaves nothing of the account on this device, in any tab; `revoke`: nor of the device in the account.
    pub fn erase(&self, options: &JsValue) -> Promise {
        let revoke = types::optional_boolean(options, "revoke");
        let driver = self.driver.clone();
        promise(async move {
            let revoke = revoke?.unwrap_or(false);
            driver.erase(revoke).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Calls the listener for every such event; returns the function that ends it.
    ///
    /// # Errors
    /// Throws `invalid` for an event that does not exist or a listener that is no function.
    pub fn on(&self, event: &JsValue, listener: &JsValue) -> Result<Function, JsValue> {
        let kind = string(event).as_deref().and_then(Kind::parse);
        let kind = kind.ok_or_else(|| to_js(&invalid("event: no such event")))?;
        let listener: &Function =
            listener.dyn_ref().ok_or_else(|| to_js(&invalid("listener: expected a function")))?;
        Ok(self.driver.on(kind, listener.clone()))
    }
}

impl WasmSyncClient {
    fn withdraw(&self, id: &JsValue, retry: bool) -> Promise {
        let id = read_id(id, "messageId");
        self.act(id.map(|id| move |request| Input::Withdraw { request, id, retry }))
    }

    fn manage(&self, what: Result<What, Failure>) -> Promise {
        self.act(what.map(|what| move |request| Input::Manage { request, what }))
    }

    /// Hands the engine what needs no answer. A client at its end says nothing.
    fn say(&self, input: Result<Input, Failure>) -> Result<(), JsValue> {
        self.driver.feed(input.map_err(|failure| to_js(&failure))?);
        Ok(())
    }

    fn set(&self, set: Result<wire::Set, Failure>) -> Promise {
        self.act(set.map(|set| move |request| Input::Set { request, set }))
    }

    /// Looks at what is here.
    fn look(&self, look: impl FnOnce(&Driver) -> Result<JsValue, Failure> + 'static) -> Promise {
        looked(self.driver.clone(), Box::new(look))
    }

    /// Has the engine do something.
    fn act(&self, input: Result<impl FnOnce(RequestId) -> Input + 'static, Failure>) -> Promise {
        acted(self.driver.clone(), input.map(|input| Box::new(input) as _))
    }

    /// Has the engine change a message.
    fn change<I: FnOnce(RequestId, Message) -> Input + 'static>(
        &self,
        input: Result<(OperationId, I), Failure>,
    ) -> Promise {
        changed(self.driver.clone(), input.map(|(id, input)| (id, Box::new(input) as _)))
    }
}

type Send = (String, String, String, Option<OperationId>);

fn read_send(conversation: &JsValue, content: &JsValue, options: &JsValue) -> Result<Send, Failure> {
    let kind = types::optional_text(options, "type")?.unwrap_or_else(|| "text".to_owned());
    let id = types::optional_text(options, "id")?;
    let id = id.map(|id| id.parse().map_err(|_| invalid("id: expected a UUID"))).transpose()?;
    Ok((read_conversation(conversation)?, types::content(content)?, kind, id))
}

fn read_status(conversation: &JsValue, kind: &JsValue, content: &JsValue) -> Result<Input, Failure> {
    let kind = types::text(kind, "type")?;
    if !is_name(&kind) || kind.len() > limits::TYPE {
        return Err(invalid("type: expected 1 to 64 bytes without control characters"));
    }
    let (conversation, content) = (read_conversation(conversation)?, types::content(content)?);
    if content.len() > limits::CONTENT {
        return Err(Failure::new(Code::TooLarge, "content: over 32 KiB"));
    }
    tutti_protocol::content::check(content.as_bytes())
        .map_err(|error| invalid(format!("content: {error}")))?;
    Ok(Input::SendStatus { conversation, kind, content: content.into() })
}

fn answered_amiss() -> Failure {
    Failure::new(Code::Internal, "a question was answered with something else")
}

fn read_name(name: &JsValue, of: &str) -> Result<String, Failure> {
    let name = types::text(name, of)?;
    let expected = || invalid(format!("{of}: expected 1 to 128 bytes without control characters"));
    if is_name(&name) { Ok(name) } else { Err(expected()) }
}

fn read_conversation(id: &JsValue) -> Result<String, Failure> {
    check_conversation(types::text(id, "conversation")?)
}

fn check_conversation(id: String) -> Result<String, Failure> {
    Conversation::parse(&id).map_err(|error| invalid(format!("conversation: {error}")))?;
    Ok(id)
}

fn read_query(text: &JsValue) -> Result<Query, Failure> {
    let query = Query::parse(&types::text(text, "text")?);
    query.ok_or_else(|| invalid("text: expected words to look for, at most 1,024 bytes of them"))
}

/// So many as the caller says, or all.
fn at_most(limit: Option<u64>) -> usize {
    limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX))
}

fn read_id(id: &JsValue, name: &str) -> Result<OperationId, Failure> {
    types::text(id, name)?.parse().map_err(|_| invalid(format!("{name}: expected a UUID")))
}

fn promise(work: impl Future<Output = Result<JsValue, Failure>> + 'static) -> Promise {
    settle(Box::pin(work))
}

// Once for all calls of a kind, like the next one.

type Look = dyn FnOnce(&Driver) -> Result<JsValue, Failure>;

fn looked(driver: Rc<Driver>, look: Box<Look>) -> Promise {
    promise(async move { look(&driver) })
}

type Act = dyn FnOnce(RequestId) -> Input;

fn acted(driver: Rc<Driver>, input: Result<Box<Act>, Failure>) -> Promise {
    promise(async move {
        driver.request(input?).await?;
        Ok(JsValue::UNDEFINED)
    })
}

type Change = dyn FnOnce(RequestId, Message) -> Input;

fn changed(driver: Rc<Driver>, change: Result<(OperationId, Box<Change>), Failure>) -> Promise {
    promise(async move {
        let (id, input) = change?;
        let message = driver.changeable(id).await?;
        driver.request(|request| input(request, message)).await?;
        Ok(JsValue::UNDEFINED)
    })
}

/// Once for all kinds of work: what turns a future into a promise weighs more than most of them.
fn settle(work: Pin<Box<dyn Future<Output = Result<JsValue, Failure>>>>) -> Promise {
    future_to_promise(async move { work.await.map_err(|failure| to_js(&failure)) })
}
