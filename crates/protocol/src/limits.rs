//! Limits and defaults that both ends hold to. Sizes in bytes, times in milliseconds.

/// Largest frame to the server.
pub const CLIENT_FRAME: usize = 64 * 1024;
/// Largest frame to the client.
pub const SERVER_FRAME: usize = 512 * 1024;
/// Size at which the server closes a page of a catch-up.
pub const PAGE_BYTES: usize = 256 * 1024;
/// Most events in a page.
pub const PAGE_EVENTS: usize = 1_000;
/// Most messages of a conversation that are asked for at once.
pub const HISTORY: u64 = 1_000;
/// Most days of messages that a new device gets by itself.
pub const COMPENSATION_DAYS: u32 = 7;
/// Most operations in one submit.
pub const SUBMIT_OPERATIONS: usize = 200;
/// Largest content of a message.
pub const CONTENT: usize = 32 * 1024;
/// Longest account name, group id or device name.
pub const NAME: usize = 128;
/// Longest message type.
pub const TYPE: usize = 64;
/// Longest key of a session.
pub const KEY: usize = 256;
/// Most fields that a conversation or a session has, removed ones too …
pub const FIELDS: usize = 32;
/// … and their values together.
pub const FIELDS_BYTES: usize = 32 * 1024;
/// Most conversations and sessions that an account has fields of.
pub const TARGETS: usize = 2_000;
/// Most members of a group in which is told how far each has read.
pub const READERS: usize = 50;
/// Longest title, body and data of a notification together.
pub const NOTIFICATION: usize = 4 * 1024;
/// So many of an account's notifications are kept, the newest …
pub const NOTIFICATIONS: usize = 200;
/// … and of those that were dismissed the words only of such as are among so many newest.
pub const NOTIFICATIONS_DISMISSED: usize = 50;
/// Most devices of an account; of more, those that were not there for longest give way.
pub const DEVICES: usize = 500;
/// How often the list of them is told at most, in milliseconds.
pub const DEVICES_INTERVAL: u64 = 100;
/// Longest address of a push subscription.
pub const PUSH_ENDPOINT: usize = 1024;
/// Longest token.
pub const TOKEN: usize = 8 * 1024;
/// Most connections of one platform that an account may be allowed.
pub const CONNECTIONS: usize = 10;
/// How long a connection keeps its place without a sign of life.
pub const SLOT_LEASE: u64 = 45_000;
/// Version of what the tabs of a profile say to each other; they ignore what needs a later one.
pub const CHANNEL: u32 = 1;
/// Most members of a group.
pub const GROUP: usize = 500;
/// Most events, messages, heads or locator spans in one record of the store.
pub const RECORD_ITEMS: usize = 512;
/// Most members, pieces or locators in one record of the store, all of its items together.
pub const RECORD_PARTS: usize = 4_096;
/// Most events, operations or locator spans in one frame of the tab channel.
pub const CHANNEL_ITEMS: usize = 16_384;
/// Most pieces or ids of operations in one frame of the tab channel.
pub const CHANNEL_PARTS: usize = 65_536;
/// How far ahead another's clock is believed.
pub const CLOCK_AHEAD: u64 = 5 * 60 * 1_000;
/// How long a connection may take to say hello.
pub const AUTH_DEADLINE: u64 = 10_000;
/// How long a write to a peer may take.
pub const WRITE_DEADLINE: u64 = 10_000;
/// Silence after which a peer is pinged.
pub const PING_INTERVAL: u64 = 25_000;
/// How long a ping may stay unanswered.
pub const PONG_DEADLINE: u64 = 10_000;
/// First wait before connecting again; each further one is half as long again.
pub const RECONNECT_FIRST: u64 = 1_000;
/// Longest wait before connecting again, before jitter.
pub const RECONNECT_MAX: u64 = 60_000;
/// Most that may wait to be written to one connection; beyond it the server closes.
pub const WRITE_QUEUE: usize = 1024 * 1024;
/// Most frames a connection may send in a minute, heartbeats apart.
pub const FRAMES_PER_MINUTE: u32 = 600;
/// How often it is sent that somebody goes on typing in a conversation, at most.
pub const TYPING_INTERVAL: u64 = 2_000;
/// How long somebody types who is not said to go on.
pub const TYPING_EXPIRES: u64 = 6_000;
/// Most platforms in a presence.
pub const PLATFORMS: usize = 8;
/// Operations that an account may submit at once …
pub const OPERATIONS_BURST: u32 = 500;
/// … and then each second.
pub const OPERATIONS_PER_SECOND: u32 = 20;
