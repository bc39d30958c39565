//! The bodies of requests and answers, for the description of the API. Handlers read requests field by field, to say
//! which one is wrong, and write answers as they go; `tests/openapi.rs` holds them to what is said here.

#![allow(dead_code, reason = "they are described, and never made")]

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Why a request was refused.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refusal {
    error: Reason,
}

/// In one word, and for people.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reason {
    /// Stable: programs may ask for it.
    #[schema(example = "invalid")]
    code: String,
    message: String,
    /// The field that is wrong, as it was called in the request.
    #[schema(nullable = false)]
    field: Option<String>,
}

/// Why a post was refused, in the shape of another service.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PublishRefusal {
    /// The status.
    code: u16,
    error_message: String,
}

/// It was accepted.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Published {
    /// 200.
    code: u16,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    account: String,
    /// How long it is to work: 900 unless asked otherwise.
    #[schema(minimum = 1, maximum = 604_800)]
    ttl_seconds: Option<u64>,
    /// The only device that it is to work for.
    #[schema(format = "uuid")]
    device_id: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Token {
    token: String,
    /// Milliseconds since the Unix epoch.
    expires_at: u64,
}

/// An account's name, or the number that a back end knows it by.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum UserId {
    Name(String),
    Number(i64),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    user_id: UserId,
    /// Names of devices.
    #[schema(min_items = 1, max_items = 100)]
    devices: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {
    message: String,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Devices {
    devices: Vec<Device>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    id: String,
    name: String,
    /// None until it has connected.
    #[schema(required)]
    platform: Option<Platform>,
    /// Milliseconds since the Unix epoch.
    registered_at: u64,
    /// Milliseconds since the Unix epoch; none until it has connected.
    #[schema(required)]
    last_seen: Option<u64>,
    online: bool,
    /// Whether it is pushed to.
    push: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Platform {
    Mobile,
    Web,
    Desktop,
    Miniprogram,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Name {
    name: String,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Message {
    from: String,
    /// `direct:` and an account, or `group:` and a group of the sender's.
    #[schema(example = "direct:bob")]
    to: String,
    /// What kind of content it is: `text` unless it says otherwise.
    r#type: Option<String>,
    /// Any JSON, up to 32 KiB.
    content: Value,
    /// The same id again gets the same answer, and nothing is sent.
    #[schema(format = "uuid")]
    id: Option<String>,
    /// Whether the sender's own devices get it, too.
    is_include_sender: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    #[schema(format = "uuid")]
    id: String,
    /// Milliseconds since the Unix epoch.
    sent_at: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Recall {
    /// Who has sent it.
    from: String,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Recalled {
    #[schema(format = "uuid")]
    id: String,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Status {
    from: String,
    /// `direct:` and an account, or `group:` and a group of the sender's.
    #[schema(example = "group:team")]
    to: String,
    r#type: String,
    /// Any JSON, up to 32 KiB.
    content: Value,
    /// Whether the sender's own devices hear it, too.
    is_include_sender: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Notification {
    #[schema(min_items = 1, max_items = 500)]
    accounts: Vec<String>,
    #[schema(min_length = 1)]
    title: String,
    /// With title and data up to 4 KiB.
    body: String,
    /// For the application.
    #[schema(value_type = Option<Value>)]
    data: Option<Value>,
    /// The conversation that it is about.
    conversation: Option<String>,
    /// The message that it is about: recalled, it takes the words of this with it.
    #[schema(format = "uuid")]
    message: Option<String>,
    /// The same id again gets the same answer, and nobody is notified twice.
    #[schema(format = "uuid")]
    id: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Notified {
    #[schema(format = "uuid")]
    id: String,
    /// Milliseconds since the Unix epoch.
    created_at: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Members {
    #[schema(min_items = 1, max_items = 500)]
    members: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    id: String,
    /// In the order of their names.
    members: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connections {
    connections: Vec<Connection>,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connection {
    device_id: String,
    name: String,
    platform: Platform,
    /// Milliseconds since the Unix epoch.
    since: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushKey {
    /// What browsers subscribe with (`applicationServerKey`), in base64url.
    public_key: String,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Health {
    #[schema(example = "ok")]
    status: String,
}

/// A message or a status for accounts. What else the other service knows is passed over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublishToUsers {
    from_user_id: String,
    /// Repeated for each, up to 1,000 times.
    #[schema(min_items = 1, max_items = 1_000)]
    to_user_id: Vec<String>,
    /// What kind of content it is.
    #[schema(example = "RC:TxtMsg")]
    object_name: String,
    /// JSON, or text that becomes a JSON string.
    content: String,
    /// 1: the sender's own devices get it, too.
    #[schema(minimum = 0, maximum = 1)]
    is_include_sender: Option<u8>,
}

/// A message or a status for groups. What else the other service knows is passed over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublishToGroups {
    from_user_id: String,
    /// Repeated for each, up to 3 times.
    #[schema(min_items = 1, max_items = 3)]
    to_group_id: Vec<String>,
    /// What kind of content it is.
    object_name: String,
    /// JSON, or text that becomes a JSON string.
    content: String,
    /// 1: the sender's own devices get it, too.
    #[schema(minimum = 0, maximum = 1)]
    is_include_sender: Option<u8>,
}
