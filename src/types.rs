//! JavaScript values in, JavaScript values out. Lists leave as one JSON text that the browser parses
//! in one go, which is several times cheaper than building objects field by field.

use bytes::Bytes;
use js_sys::{Function, JSON, JsString, Object, Reflect};
use tutti_engine::{
    CatchingUp, Change, Config, Connection, Conversation, Failure, Hole, InOutbox, Inspection, LogLevel,
    Message, MessageEvent, Missing, Origin, Page, PushKey, Session, State, Status,
};
use tutti_protocol::{
    Code, DeviceId, Millis, OperationId, Position, Target,
    conversation::is_name,
    limits,
    target::{DRAFT, MUTED, PINNED, is_key},
    wire::{self, Availability, NotificationState, Platform},
};
use wasm_bindgen::prelude::*;

use crate::{
    driver::Trace,
    error::{describe, invalid},
    json::{Json, ToJson},
    text::string,
    transport::check_url,
};

/// What `pushNotificationSenderId` is.
const PUSH_KEY: &str = "a VAPID public key, 87 characters of base64url, or null";
/// What a device is called when the application does not say.
const DEVICE_NAME: &str = "Browser";

/// What `SyncClient.open` was given.
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) account: String,
    pub(crate) token: TokenSource,
    pub(crate) device_name: String,
    pub(crate) platform: Platform,
    pub(crate) config: Config,
}

/// Where tokens come from.
pub(crate) enum TokenSource {
    Fixed(String),
    Function(Function),
}

impl Options {
    pub(crate) fn read(options: &JsValue) -> Result<Self, Failure> {
        let options = as_object(options, "options")?;
        let url = field(options, "url")?;
        // A URL object says itself in text.
        let url = string(&url).or_else(|| {
            let href = url.is_instance_of::<web_sys::Url>().then(|| Reflect::get(&url, &"href".into()));
            string(&href?.ok()?)
        });
        let url = check_url(&url.ok_or_else(|| invalid("url: expected a string or URL"))?)?;
        let account = string(&field(options, "account")?).filter(|name| is_name(name));
        let token = field(options, "token")?;
        let token = match token.dyn_into() {
            Ok(function) => TokenSource::Function(function),
            Err(token) => TokenSource::Fixed(check_token(&token)?),
        };
        let device = field(options, "device")?;
        let (device_name, platform) = if device.is_undefined() {
            (DEVICE_NAME.to_owned(), Platform::Web)
        } else {
            read_device(as_object(&device, "device")?)?
        };
        Ok(Self {
            url,
            account: account.ok_or_else(|| {
                invalid("account: expected a string of 1 to 128 bytes without control characters")
            })?,
            token,
            device_name,
            platform,
            config: configured(Config::default(), &field(options, "config")?)?,
        })
    }
}

fn read_device(device: &Object) -> Result<(String, Platform), Failure> {
    let name = match field(device, "name")? {
        name if name.is_undefined() => DEVICE_NAME.to_owned(),
        name => string(&name).filter(|name| is_name(name)).ok_or_else(|| {
            invalid("device.name: expected a string of 1 to 128 bytes without control characters")
        })?,
    };
    let platform = match field(device, "platform")? {
        platform if platform.is_undefined() => Platform::Web,
        platform => match string(&platform).as_deref() {
            Some("web") => Platform::Web,
            Some("mobile") => Platform::Mobile,
            Some("desktop") => Platform::Desktop,
            Some("miniprogram") => Platform::Miniprogram,
            _ => {
                return Err(invalid(
                    r#"device.platform: expected "mobile", "web", "desktop" or "miniprogram""#,
                ));
            }
        },
    };
    Ok((name, platform))
}

/// The longest that can be waited, in minutes: what a timer can count.
const SYNC_INTERVAL_MAX: f64 = 35_000.0;
/// The names of the log levels, from the one that says most.
const LOG_LEVELS: [(&str, LogLevel); 4] = [
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warning", LogLevel::Warning),
    ("error", LogLevel::Error),
];

/// A configuration with some of it changed. What cannot be changed yet is refused, unless it is what it is.
pub(crate) fn configured(mut config: Config, changes: &JsValue) -> Result<Config, Failure> {
    if changes.is_undefined() {
        return Ok(config);
    }
    let changes = as_object(changes, "config")?;
    for name in names(changes, "config")? {
        let value = field(changes, &name)?;
        if value.is_undefined() {
            continue;
        }
        let wrong = |expected: &str| invalid(format!("config.{name}: expected {expected}"));
        let boolean = || value.as_bool().ok_or_else(|| wrong("a boolean"));
        match name.as_str() {
            "syncInterval" => {
                let minutes = value.as_f64().filter(|it| *it > 0.0 && *it <= SYNC_INTERVAL_MAX);
                let minutes = minutes.ok_or_else(|| wrong("minutes, more than 0 and at most 35,000"))?;
                config.sync_interval = (minutes * 60_000.0).ceil() as u64;
            }
            "enableMessageSync" => config.messages = boolean()?,
            "shareTyping" => config.hide.typing = !boolean()?,
            "sharePresence" => config.hide.presence = !boolean()?,
            "shareReadReceipts" => config.hide.reads = !boolean()?,
            "logLevel" => {
                let level = string(&value);
                let level = LOG_LEVELS.iter().find(|(of, _)| level.as_deref() == Some(*of));
                let level = level.ok_or_else(|| wrong(r#""debug", "info", "warning" or "error""#))?;
                config.log = level.1;
            }
            "enableChatHistorySync" => config.history = boolean()?,
            "enableNotificationSync" => config.notifications = boolean()?,
            "disableDeviceId" => config.anonymous = boolean()?,
            "compensationDays" => {
                let days = value.as_f64().filter(|days| days.fract() == 0.0 && (1.0..=7.0).contains(days));
                let days = days.ok_or_else(|| wrong("days, a whole number from 1 to 7"))?;
                config.compensation_days = days as u32;
            }
            "pushNotificationSenderId" => {
                config.push_key = push_key(&value).ok_or_else(|| wrong(PUSH_KEY))?
            }
            _ => return Err(invalid(format!("config.{name}: no such option"))),
        }
    }
    Ok(config)
}

/// An application server's key, as `PushManager.subscribe` takes it, or null.
fn push_key(value: &JsValue) -> Option<Option<PushKey>> {
    if value.is_null() {
        return Some(None);
    }
    PushKey::try_from(string(value)?.as_bytes()).ok().map(Some)
}

/// The whole configuration.
pub(crate) fn config(config: &Config) -> JsValue {
    let level = LOG_LEVELS.iter().find(|(_, level)| *level == config.log).map(|(name, _)| *name);
    let said = object(&[
        ("enableMessageSync", &config.messages),
        ("enableNotificationSync", &config.notifications),
        ("enableChatHistorySync", &config.history),
        ("disableDeviceId", &config.anonymous),
        ("compensationDays", &u64::from(config.compensation_days)),
        ("logLevel", &level),
        ("pushNotificationSenderId", &config.push_key.as_ref().map(PushKey::as_str)),
        ("shareTyping", &!config.hide.typing),
        ("sharePresence", &!config.hide.presence),
        ("shareReadReceipts", &!config.hide.reads),
    ]);
    // Writing a fraction in decimals takes kilobytes of code, which the browser has.
    let minutes = JsValue::from_f64(config.sync_interval as f64 / 60_000.0);
    let _ = Reflect::set(&said, &"syncInterval".into(), &minutes);
    said
}

fn platform_name(platform: Platform) -> &'static str {
    match platform {
        Platform::Mobile => "mobile",
        Platform::Desktop => "desktop",
        Platform::Miniprogram => "miniprogram",
        Platform::Web | Platform::Unspecified => "web",
    }
}

/// A token that a frame can carry.
pub(crate) fn check_token(token: &JsValue) -> Result<String, Failure> {
    let token = string(token).filter(|token| (1..=limits::TOKEN).contains(&token.len()));
    token.ok_or_else(|| invalid("token: expected a string of 1 to 8192 bytes, or a function that gives one"))
}

/// Content as JSON text.
pub(crate) fn content(value: &JsValue) -> Result<String, Failure> {
    // By itself it would become null; within an object it does, as everywhere in JavaScript.
    if value.as_f64().is_some_and(|number| !number.is_finite()) {
        return Err(invalid("content: NaN and infinity are not JSON"));
    }
    let text = JSON::stringify(value)
        .map_err(|error| invalid(format!("content: not JSON: {}", describe(&error))))?;
    // `undefined`, functions and symbols have no JSON; then there is no string, whatever the type says.
    let text = JsValue::from(text);
    let text: &JsString =
        text.dyn_ref().ok_or_else(|| invalid("content: undefined and functions are not JSON"))?;
    // Every unit of it is a byte at least: what is too large is not even copied.
    if text.length() as usize > limits::CONTENT {
        return Err(Failure::new(Code::TooLarge, "content: over 32 KiB"));
    }
    Ok(text.into())
}

/// What is set of a conversation: those of the settings that the caller gives.
pub(crate) fn settings(conversation: &str, settings: &JsValue) -> Result<wire::Set, Failure> {
    let settings = as_object(settings, "settings")?;
    let mut fields = Vec::new();
    for name in names(settings, "settings")? {
        let value = field(settings, &name)?;
        let expected = match name.as_str() {
            _ if value.is_undefined() => continue,
            // Nothing written is no draft.
            DRAFT if value.is_null() || value == "" => {
                fields.push(wire::Field { name, value: Bytes::new() });
                continue;
            }
            DRAFT if value.is_string() => None,
            DRAFT => Some("a string or null"),
            MUTED | PINNED if value.as_bool().is_some() => None,
            MUTED | PINNED => Some("a boolean"),
            _ => return Err(invalid(format!("settings.{name}: no such setting"))),
        };
        if let Some(expected) = expected {
            return Err(invalid(format!("settings.{name}: expected {expected}")));
        }
        fields.push(wire::Field { name, value: content(&value)?.into() });
    }
    set(conversation.to_owned(), fields, "settings")
}

/// What is set of a session.
pub(crate) fn session_fields(key: &str, fields: &JsValue) -> Result<wire::Set, Failure> {
    let object = as_object(fields, "fields")?;
    let mut fields = Vec::new();
    for name in names(object, "fields")? {
        let value = field(object, &name)?;
        if value.is_undefined() {
            continue;
        }
        let value = if value.is_null() { Bytes::new() } else { content(&value)?.into() };
        fields.push(wire::Field { name, value });
    }
    set(Target::Session(key).to_string(), fields, "fields")
}

fn set(target: String, fields: Vec<wire::Field>, name: &str) -> Result<wire::Set, Failure> {
    if fields.is_empty() {
        return Err(invalid(format!("{name}: expected at least one")));
    }
    let size: usize = fields.iter().map(|field| field.value.len()).sum();
    if size > limits::FIELDS_BYTES {
        return Err(too_many(name));
    }
    let named = |field: &wire::Field| is_name(&field.name) && field.name.len() <= limits::TYPE;
    if !fields.iter().all(named) {
        return Err(ill_named(name));
    }
    Ok(wire::Set { target, fields })
}

/// The names of an object's own fields.
fn names(object: &Object, name: &str) -> Result<Vec<String>, Failure> {
    let threw = |error: JsValue| invalid(format!("{name}: {}", describe(&error)));
    let names = Reflect::own_keys(object).map_err(threw)?;
    if names.length() as usize > limits::FIELDS {
        return Err(too_many(name));
    }
    // Symbols are nobody's business.
    let names = names.iter().filter(JsValue::is_string);
    names.map(|field| string(&field).ok_or_else(|| ill_named(name))).collect()
}

fn too_many(name: &str) -> Failure {
    Failure::new(Code::TooLarge, format!("{name}: more than {} of them, or over 32 KiB", limits::FIELDS))
}

fn ill_named(name: &str) -> Failure {
    invalid(format!("{name}: names have 1 to 64 bytes without control characters"))
}

/// The key of a session.
pub(crate) fn session_key(key: &JsValue) -> Result<String, Failure> {
    let key = text(key, "key")?;
    let valid = is_key(&key);
    valid.then_some(key).ok_or_else(|| invalid("key: expected 1 to 256 bytes without control characters"))
}

/// What a user can want others to see.
pub(crate) fn availability(presence: &JsValue) -> Result<Availability, Failure> {
    Ok(match string(presence).as_deref() {
        Some("online") => Availability::Online,
        Some("away") => Availability::Away,
        Some("busy") => Availability::Busy,
        Some("invisible") => Availability::Invisible,
        _ => return Err(invalid(r#"presence: expected "online", "away", "busy" or "invisible""#)),
    })
}

/// How far a user may bring a notification.
pub(crate) fn mark(state: &JsValue) -> Result<NotificationState, Failure> {
    Ok(match string(state).as_deref() {
        Some("read") => NotificationState::Read,
        Some("dismissed") => NotificationState::Dismissed,
        _ => return Err(invalid(r#"state: expected "read" or "dismissed""#)),
    })
}

/// A required text argument.
pub(crate) fn text(value: &JsValue, name: &str) -> Result<String, Failure> {
    string(value).ok_or_else(|| invalid(format!("{name}: expected a string of Unicode, at most 32 KiB")))
}

/// An optional text field of an optional object argument.
pub(crate) fn optional_text(options: &JsValue, name: &str) -> Result<Option<String>, Failure> {
    match optional_field(options, name)? {
        None => Ok(None),
        Some(value) => text(&value, name).map(Some),
    }
}

/// An optional boolean field of an optional object argument.
pub(crate) fn optional_boolean(options: &JsValue, name: &str) -> Result<Option<bool>, Failure> {
    let value = optional_field(options, name)?;
    let boolean =
        |value: JsValue| value.as_bool().ok_or_else(|| invalid(format!("{name}: expected a boolean")));
    value.map(boolean).transpose()
}

/// An optional whole-number field of an optional object argument.
pub(crate) fn optional_number(
    options: &JsValue,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<Option<u64>, Failure> {
    optional_field(options, name)?.map(|value| number(&value, name, range)).transpose()
}

/// A whole number within a range.
pub(crate) fn number(
    value: &JsValue,
    name: &str,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, Failure> {
    let whole = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0);
    // Exact: 2^53 bounds every range.
    whole.map(|number| number as u64).filter(|number| range.contains(number)).ok_or_else(|| {
        invalid(format!("{name}: expected a whole number from {} to {}", range.start(), range.end()))
    })
}

fn optional_field(options: &JsValue, name: &str) -> Result<Option<JsValue>, Failure> {
    if options.is_undefined() {
        return Ok(None);
    }
    let value = field(as_object(options, "options")?, name)?;
    Ok((!value.is_undefined()).then_some(value))
}

fn as_object<'a>(value: &'a JsValue, name: &str) -> Result<&'a Object, Failure> {
    // Not `instanceof`: one of another realm, or without a prototype, is an object too.
    let object = value.is_object().then(|| value.unchecked_ref());
    object.ok_or_else(|| invalid(format!("{name}: expected an object")))
}

/// A field of the caller's object; getters and proxies may throw.
fn field(object: &Object, name: &str) -> Result<JsValue, Failure> {
    let key = name.into();
    let threw = |error: JsValue| invalid(format!("{name}: {}", describe(&error)));
    // Own fields only: what a polluted prototype offers was not given by the caller.
    if Reflect::get_own_property_descriptor(object, &key).map_err(threw)?.is_undefined() {
        return Ok(JsValue::UNDEFINED);
    }
    Reflect::get(object, &key).map_err(threw)
}

/// The largest whole number that JavaScript counts exactly to.
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;

impl ToJson for Message {
    fn write(&self, json: &mut Json) {
        let (state, error) = match &self.state {
            State::Pending => ("pending", None),
            State::Sent => ("sent", None),
            State::Failed(failure) => ("failed", Some(failure)),
            State::Recalled => ("recalled", None),
        };
        json.object(&[
            ("id", &self.id.to_string()),
            ("conversation", &self.conversation),
            ("sender", &self.sender),
            ("device", &self.device.map(|device| device.to_string())),
            ("type", &self.kind),
            ("content", &self.content),
            ("position", &self.position.map(|position| position.0)),
            ("sentAt", &self.sent_at.0),
            ("editedAt", &self.edited_at.map(|edited_at| edited_at.0)),
            ("state", &state),
            ("error", &error),
        ]);
    }
}

impl ToJson for CatchingUp {
    fn write(&self, json: &mut Json) {
        json.object(&[("done", &self.done), ("total", &self.total)]);
    }
}

impl ToJson for Failure {
    fn write(&self, json: &mut Json) {
        json.object(&[("code", &self.code.as_str()), ("message", &self.message)]);
    }
}

impl ToJson for MessageEvent {
    fn write(&self, json: &mut Json) {
        let change = match self.change {
            Change::Added => "added",
            Change::Updated => "updated",
            Change::Recalled => "recalled",
            Change::Removed => "removed",
        };
        json.object(&[("change", &change), ("message", &self.message), ("origin", &self.origin)]);
    }
}

impl ToJson for Origin {
    fn write(&self, json: &mut Json) {
        json.string(match self {
            Self::Local => "local",
            Self::Tab => "tab",
            Self::Remote => "remote",
        });
    }
}

impl ToJson for Position {
    fn write(&self, json: &mut Json) {
        self.0.write(json);
    }
}

impl ToJson for Session {
    fn write(&self, json: &mut Json) {
        write_session(self, None, json);
    }
}

/// A session as an event tells of it.
impl ToJson for (Session, Origin) {
    fn write(&self, json: &mut Json) {
        write_session(&self.0, Some(self.1), json);
    }
}

fn write_session(session: &Session, origin: Option<Origin>, json: &mut Json) {
    let device = session.device.map(|device| device.to_string());
    let fields: [(&str, &dyn ToJson); 5] = [
        ("key", &session.key),
        ("fields", &session.fields),
        ("updatedAt", &session.updated_at.0),
        ("device", &device),
        ("origin", &origin),
    ];
    json.object(&fields[..if origin.is_some() { 5 } else { 4 }]);
}

impl ToJson for wire::Notification {
    fn write(&self, json: &mut Json) {
        let state = match self.state() {
            NotificationState::Unread => "unread",
            NotificationState::Read => "read",
            NotificationState::Dismissed => "dismissed",
        };
        let uuid = |id: &Bytes| OperationId::try_from(id).ok().map(|id| id.to_string());
        json.object(&[
            ("id", &uuid(&self.id)),
            ("title", &self.title),
            ("body", &self.body),
            ("data", &self.data),
            ("conversation", &Some(&self.conversation).filter(|id| !id.is_empty())),
            ("message", &uuid(&self.message)),
            ("createdAt", &self.created_at),
            ("state", &state),
        ]);
    }
}

impl ToJson for Trace {
    fn write(&self, json: &mut Json) {
        let bytes = self.bytes.map(|bytes| bytes as u64);
        json.object(&[("at", &self.at.0), ("kind", &self.kind), ("name", &self.name), ("bytes", &bytes)]);
    }
}

impl ToJson for Inspection {
    fn write(&self, json: &mut Json) {
        let tabs: Vec<String> = self.tabs.iter().map(ToString::to_string).collect();
        json.object(&[
            ("cursor", &self.cursor.0),
            ("revision", &self.revision.0),
            ("journal", &(self.journal as u64)),
            ("tabs", &tabs),
            ("outbox", &self.outbox),
        ]);
    }
}

impl ToJson for InOutbox {
    fn write(&self, json: &mut Json) {
        json.object(&[
            ("id", &self.id.to_string()),
            ("what", &self.what),
            ("subject", &self.subject),
            ("queuedAt", &self.queued_at.0),
            ("refused", &self.refused.map(Code::as_str)),
        ]);
    }
}

impl ToJson for Conversation {
    fn write(&self, json: &mut Json) {
        json.object(&[
            ("id", &self.id),
            ("members", &self.members),
            ("lastMessage", &self.last),
            ("lastActivity", &self.last_activity.0),
            ("unread", &self.unread),
            ("readPosition", &self.read_position.0),
            ("readBy", &self.read_by),
            ("draft", &self.draft),
            ("muted", &self.muted),
            ("pinned", &self.pinned),
        ]);
    }
}

impl ToJson for wire::Connection {
    fn write(&self, json: &mut Json) {
        let device = DeviceId::try_from(&self.device).map(|device| device.to_string());
        json.object(&[
            ("deviceId", &device.unwrap_or_default()),
            ("name", &self.name),
            ("platform", &platform_name(self.platform())),
            ("since", &self.since),
        ]);
    }
}

impl ToJson for wire::AccountPresence {
    fn write(&self, json: &mut Json) {
        let presence = match self.availability() {
            Availability::Offline | Availability::Invisible => "offline",
            Availability::Online => "online",
            Availability::Away => "away",
            Availability::Busy => "busy",
        };
        let platforms: Vec<&str> = self.platforms().map(platform_name).collect();
        let last_seen = (self.last_seen > 0).then_some(self.last_seen);
        let mut fields: Vec<(&str, &dyn ToJson)> = vec![
            ("account", &self.account),
            ("presence", &presence),
            ("lastSeen", &last_seen),
            ("platforms", &platforms),
        ];
        if self.availability() == Availability::Invisible {
            fields.push(("invisible", &true));
        }
        json.object(&fields);
    }
}

impl ToJson for wire::Custom {
    fn write(&self, json: &mut Json) {
        json.object(&[
            ("conversation", &self.conversation),
            ("account", &self.account),
            ("type", &self.r#type),
            ("content", &self.content),
        ]);
    }
}

impl ToJson for Page {
    fn write(&self, json: &mut Json) {
        json.object(&[("messages", &self.messages), ("holes", &self.holes), ("hasMore", &self.has_more)]);
    }
}

impl ToJson for Hole {
    fn write(&self, json: &mut Json) {
        let reason = match self.reason {
            Missing::Offline => "offline",
            Missing::Expired => "expired",
            Missing::Disabled => "disabled",
        };
        json.object(&[("from", &self.from), ("to", &self.to), ("reason", &reason)]);
    }
}

/// Any of the above as a JavaScript value.
pub(crate) fn to_js(value: &(impl ToJson + ?Sized)) -> JsValue {
    parse(&Json::text(value))
}

pub(crate) fn connection_name(connection: Connection) -> &'static str {
    match connection {
        Connection::Online => "online",
        Connection::Connecting => "connecting",
        Connection::Polling => "polling",
        Connection::Offline => "offline",
        Connection::Closed => "closed",
    }
}

pub(crate) fn status(status: &Status, durable: bool) -> JsValue {
    let connection = connection_name(status.connection);
    object(&[
        ("role", &if status.leader { "leader" } else { "follower" }),
        ("connection", &connection),
        ("reason", &status.reason.map(Code::as_str)),
        ("pending", &(status.pending as u64)),
        ("catchingUp", &status.catching_up.is_some()),
        ("progress", &status.catching_up),
        ("tabs", &(status.tabs as u64)),
        ("durable", &durable),
        ("epoch", &status.epoch.0),
        ("workingOffline", &status.working_offline),
    ])
}

pub(crate) fn typing(conversation: &str, account: &str, typing: bool) -> JsValue {
    object(&[("conversation", &conversation), ("account", &account), ("typing", &typing)])
}

pub(crate) fn connection_limit(limit: &wire::Limit) -> JsValue {
    object(&[("limit", &u64::from(limit.limit)), ("connections", &limit.connections)])
}

pub(crate) fn catch_up(events: u64, complete_from: Option<Millis>) -> JsValue {
    object(&[("events", &events), ("completeFrom", &complete_from.map(|from| from.0))])
}

/// The account's devices, of which one is this.
pub(crate) fn devices(devices: &wire::Devices, current: Option<DeviceId>) -> JsValue {
    let current = current.map(|id| id.to_string());
    let is_current = |device: &wire::Device| current.as_ref() == Some(&device.id);
    let devices: Vec<_> = devices.devices.iter().map(|device| (device, is_current(device))).collect();
    to_js(&devices)
}

impl ToJson for (&wire::Device, bool) {
    fn write(&self, json: &mut Json) {
        let (device, current) = self;
        let platform = match device.platform() {
            // Whatever it was registered for over HTTP, it has not been here yet.
            Platform::Unspecified => Platform::Web,
            platform => platform,
        };
        let seen = if device.last_seen > 0 { device.last_seen } else { device.registered_at };
        json.object(&[
            ("id", &device.id),
            ("name", if device.name.is_empty() { &device.id } else { &device.name }),
            ("platform", &platform_name(platform)),
            ("registeredAt", &device.registered_at),
            ("lastSeen", &seen),
            ("online", &device.online),
            ("push", &device.push),
            ("current", current),
        ]);
    }
}

pub(crate) fn removed(by: Option<&str>) -> JsValue {
    object(&[("by", &by)])
}

fn object(fields: &[(&str, &dyn ToJson)]) -> JsValue {
    let mut json = Json::default();
    json.object(fields);
    parse(&json.into_text())
}

fn parse(text: &str) -> JsValue {
    JSON::parse(text).unwrap_or(JsValue::NULL)
}
