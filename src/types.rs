//! JavaScript values in, JavaScript values out. Lists leave as one JSON text that the browser parses
//! in one go, which is several times cheaper than building objects field by field.

use std::collections::BTreeMap;

use js_sys::{Function, JSON, Object, Reflect};
use serde::Serialize;
use serde_json::value::RawValue;
use tutti_engine::{Connection, Conversation, Failure, Message, MessageEvent, Origin, Page, State, Status};
use tutti_protocol::{Code, Position, conversation::is_name, limits, wire::Platform};
use wasm_bindgen::prelude::*;

use crate::{
    error::{describe, invalid},
    transport::check_url,
};

/// What `SyncClient.open` was given.
pub(crate) struct Options {
    pub(crate) url: String,
    pub(crate) account: String,
    pub(crate) token: TokenSource,
    pub(crate) device_name: String,
    pub(crate) platform: Platform,
}

/// Where tokens come from.
pub(crate) enum TokenSource {
    Fixed(String),
    Function(Function),
}

impl Options {
    pub(crate) fn read(options: &JsValue) -> Result<Self, Failure> {
        let options = object(options, "options")?;
        let url = field(options, "url")?;
        // A URL object says itself in text.
        let url = url.as_string().or_else(|| url.dyn_ref::<web_sys::Url>().map(web_sys::Url::href));
        let url = check_url(&url.ok_or_else(|| invalid("url: expected a string or URL"))?)?;
        let account = field(options, "account")?.as_string().filter(|name| is_name(name));
        let token = field(options, "token")?;
        let token = match token.as_string() {
            Some(token) => TokenSource::Fixed(check_token(token)?),
            None => TokenSource::Function(
                token.dyn_into().map_err(|_| invalid("token: expected a string or a function"))?,
            ),
        };
        let device = field(options, "device")?;
        let (device_name, platform) = if device.is_undefined() {
            (String::new(), Platform::Web)
        } else {
            read_device(object(&device, "device")?)?
        };
        Ok(Self {
            url,
            account: account.ok_or_else(|| {
                invalid("account: expected a string of 1 to 128 bytes without control characters")
            })?,
            token,
            device_name,
            platform,
        })
    }
}

fn read_device(device: &Object) -> Result<(String, Platform), Failure> {
    let name = match field(device, "name")? {
        name if name.is_undefined() => String::new(),
        name => name.as_string().filter(|name| is_name(name)).ok_or_else(|| {
            invalid("device.name: expected a string of 1 to 128 bytes without control characters")
        })?,
    };
    let platform = match field(device, "platform")? {
        platform if platform.is_undefined() => Platform::Web,
        platform => match platform.as_string().as_deref() {
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

/// A token that a frame can carry.
pub(crate) fn check_token(token: String) -> Result<String, Failure> {
    if token.is_empty() || token.len() > limits::TOKEN {
        return Err(invalid("token: expected a string of 1 to 8192 bytes"));
    }
    Ok(token)
}

/// Content as JSON text.
pub(crate) fn content(value: &JsValue) -> Result<String, Failure> {
    let text = JSON::stringify(value)
        .map_err(|error| invalid(format!("content: not JSON: {}", describe(&error))))?;
    // `undefined`, functions and symbols have no JSON; then there is no string, whatever the type says.
    JsValue::from(text).as_string().ok_or_else(|| invalid("content: undefined and functions are not JSON"))
}

/// A required text argument.
pub(crate) fn text(value: &JsValue, name: &str) -> Result<String, Failure> {
    value.as_string().ok_or_else(|| invalid(format!("{name}: expected a string")))
}

/// An optional text field of an optional object argument.
pub(crate) fn optional_text(options: &JsValue, name: &str) -> Result<Option<String>, Failure> {
    match optional_field(options, name)? {
        None => Ok(None),
        Some(value) => text(&value, name).map(Some),
    }
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
    let value = field(object(options, "options")?, name)?;
    Ok((!value.is_undefined()).then_some(value))
}

fn object<'a>(value: &'a JsValue, name: &str) -> Result<&'a Object, Failure> {
    value.dyn_ref::<Object>().ok_or_else(|| invalid(format!("{name}: expected an object")))
}

/// A field of the caller's object; getters and proxies may throw.
fn field(object: &Object, name: &str) -> Result<JsValue, Failure> {
    // Own fields only: what a polluted prototype offers was not given by the caller.
    let own = Object::has_own(object, &name.into());
    if !own {
        return Ok(JsValue::UNDEFINED);
    }
    Reflect::get(object, &name.into()).map_err(|error| invalid(format!("{name}: {}", describe(&error))))
}

/// The largest whole number that JavaScript counts exactly to.
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageJson<'a> {
    id: String,
    conversation: &'a str,
    sender: &'a str,
    device: Option<String>,
    r#type: &'a str,
    content: &'a RawValue,
    position: Option<u64>,
    sent_at: u64,
    edited_at: Option<u64>,
    state: &'static str,
    error: Option<ErrorJson<'a>>,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct MessageEventJson<'a> {
    change: &'static str,
    message: MessageJson<'a>,
    origin: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConversationJson<'a> {
    id: &'a str,
    members: &'a [String],
    last_message: Option<MessageJson<'a>>,
    last_activity: u64,
    unread: u64,
    read_position: u64,
    read_by: BTreeMap<String, u64>,
    draft: Option<&'a str>,
    muted: bool,
    pinned: bool,
}

#[derive(Serialize)]
struct HoleJson {
    from: u64,
    to: u64,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageJson<'a> {
    messages: Vec<MessageJson<'a>>,
    holes: Vec<HoleJson>,
    has_more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusJson {
    role: &'static str,
    connection: &'static str,
    reason: Option<&'static str>,
    pending: usize,
    catching_up: bool,
    tabs: usize,
    durable: bool,
    epoch: u64,
    working_offline: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CatchUpJson {
    events: u64,
    complete_from: Option<u64>,
}

impl<'a> From<&'a Message> for MessageJson<'a> {
    fn from(message: &'a Message) -> Self {
        let (state, error) = match &message.state {
            State::Pending => ("pending", None),
            State::Sent => ("sent", None),
            State::Failed(failure) => {
                ("failed", Some(ErrorJson { code: failure.code.as_str(), message: &failure.message }))
            }
        };
        Self {
            id: message.id.to_string(),
            conversation: &message.conversation,
            sender: &message.sender,
            device: message.device.map(|device| device.to_string()),
            r#type: &message.kind,
            // Checked when it came in; one broken message must not take its page with it.
            content: serde_json::from_slice(&message.content).unwrap_or(RawValue::NULL),
            position: message.position.map(|position| position.0),
            sent_at: message.sent_at.0,
            edited_at: None,
            state,
            error,
        }
    }
}

impl<'a> From<&'a Conversation> for ConversationJson<'a> {
    fn from(conversation: &'a Conversation) -> Self {
        Self {
            id: &conversation.id,
            members: &conversation.members,
            last_message: conversation.last.as_ref().map(MessageJson::from),
            last_activity: conversation.last_activity.0,
            unread: conversation.unread,
            read_position: conversation.read_position.0,
            read_by: BTreeMap::new(),
            draft: None,
            muted: false,
            pinned: false,
        }
    }
}

pub(crate) fn message(message: Option<&Message>) -> JsValue {
    parse(&message.map(MessageJson::from))
}

pub(crate) fn messages_event(events: &[MessageEvent]) -> JsValue {
    let events: Vec<_> = events
        .iter()
        .map(|event| MessageEventJson {
            change: if event.added { "added" } else { "updated" },
            message: MessageJson::from(&event.message),
            origin: match event.origin {
                Origin::Local => "local",
                Origin::Tab => "tab",
                Origin::Remote => "remote",
            },
        })
        .collect();
    parse(&events)
}

pub(crate) fn conversation(conversation: Option<&Conversation>) -> JsValue {
    parse(&conversation.map(ConversationJson::from))
}

pub(crate) fn conversations(conversations: &[Conversation]) -> JsValue {
    parse(&conversations.iter().map(ConversationJson::from).collect::<Vec<_>>())
}

pub(crate) fn page(page: &Page) -> JsValue {
    let hole = |&(from, to): &(Position, Position)| HoleJson { from: from.0, to: to.0, reason: "offline" };
    parse(&PageJson {
        messages: page.messages.iter().map(MessageJson::from).collect(),
        holes: page.holes.iter().map(hole).collect(),
        has_more: page.has_more,
    })
}

pub(crate) fn status(status: &Status, durable: bool) -> JsValue {
    parse(&StatusJson {
        role: if status.leader { "leader" } else { "follower" },
        connection: match status.connection {
            Connection::Online => "online",
            Connection::Connecting => "connecting",
            Connection::Offline => "offline",
            Connection::Closed => "closed",
        },
        reason: status.reason.map(Code::as_str),
        pending: status.pending,
        catching_up: status.catching_up,
        tabs: status.tabs,
        durable,
        epoch: status.epoch.0,
        working_offline: status.working_offline,
    })
}

pub(crate) fn catch_up(events: u64) -> JsValue {
    // The whole log was brought: the copy is complete from its beginning.
    parse(&CatchUpJson { events, complete_from: None })
}

fn parse(value: &impl Serialize) -> JsValue {
    let text = serde_json::to_string(value).unwrap_or_default();
    JSON::parse(&text).unwrap_or(JsValue::NULL)
}
