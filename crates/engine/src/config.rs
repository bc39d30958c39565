//! What the application may set while the client runs. It holds for all tabs of the profile.

use tutti_protocol::{limits, local, wire};

/// The longest time between two comparisons with the server, in milliseconds: what a timer can count.
const INTERVAL_MAX: u64 = i32::MAX as u64;

/// What the application may set while the client runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Config {
    /// How often all is compared with the server though nothing seems missing, and how often a client
    /// without a connection of its own polls, in milliseconds.
    pub sync_interval: u64,
    /// Whether messages are synced. Without it the client keeps to itself, and what is sent waits.
    pub messages: bool,
    /// Whether notifications are synced, and shown.
    pub notifications: bool,
    /// Whether past days and older history are synced.
    pub history: bool,
    /// So many days of messages a new device gets by itself, 1 to 7, if the server gives as many.
    pub compensation_days: u32,
    /// What the user keeps from others.
    pub hide: Hide,
    /// How much is said on the console.
    pub log: LogLevel,
    /// Whether the device goes without a lasting id.
    pub anonymous: bool,
    /// Who sends the push, if anybody.
    pub push_key: Option<PushKey>,
}

/// An application server's public key for Web Push, as RFC 8292 writes it in `k`: an uncompressed point of P-256 in
/// base64url without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PushKey([u8; Self::LENGTH]);

impl PushKey {
    /// Characters: 65 bytes.
    pub const LENGTH: usize = 87;

    /// As it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl TryFrom<&[u8]> for PushKey {
    type Error = ();

    fn try_from(text: &[u8]) -> Result<Self, ()> {
        let text: [u8; Self::LENGTH] = text.try_into().map_err(|_| ())?;
        let base64 = text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
        // The first byte is 4 (SEC 1, section 2.3.3), and after the last there are two bits without a meaning.
        let point = text[0] == b'B' && (b'A'..=b'P').contains(&text[1]);
        let ends = b"AEIMQUYcgkosw048".contains(&text[Self::LENGTH - 1]);
        if base64 && point && ends { Ok(Self(text)) } else { Err(()) }
    }
}

/// What the user keeps from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hide {
    /// That something is being typed.
    pub typing: bool,
    /// Whether the account is online.
    pub presence: bool,
    /// How far the account has read.
    pub reads: bool,
}

/// How much is said on the console: this, and all that is worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Each thing that happens.
    Debug,
    /// How sync goes.
    Info,
    /// What failed and is tried again.
    #[default]
    Warning,
    /// What failed for good.
    Error,
}

impl LogLevel {
    const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warning, Self::Error];
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sync_interval: 15 * 60_000,
            messages: true,
            notifications: true,
            history: true,
            compensation_days: 1,
            hide: Hide::default(),
            log: LogLevel::default(),
            anonymous: false,
            push_key: None,
        }
    }
}

impl Config {
    /// So many days of messages come with a snapshot.
    pub(crate) fn days(self) -> u32 {
        if self.history { self.compensation_days } else { 0 }
    }

    /// As the tabs tell each other.
    pub(crate) fn to_local(self, change: u64) -> local::Config {
        local::Config {
            change,
            sync_interval: self.sync_interval,
            pause_messages: !self.messages,
            no_notifications: !self.notifications,
            no_history: !self.history,
            compensation_days: self.compensation_days,
            privacy: Some(self.hide.into()),
            log_level: self.log as u32,
            no_device_id: self.anonymous,
            push_key: self.push_key.map(|key| key.as_str().to_owned()).unwrap_or_default(),
        }
    }
}

impl From<local::Config> for Config {
    /// What another tab says; what makes no sense is bounded.
    fn from(config: local::Config) -> Self {
        let privacy = config.privacy.unwrap_or_default();
        Self {
            sync_interval: config.sync_interval.clamp(1, INTERVAL_MAX),
            messages: !config.pause_messages,
            notifications: !config.no_notifications,
            history: !config.no_history,
            compensation_days: config.compensation_days.clamp(1, limits::COMPENSATION_DAYS),
            hide: Hide {
                typing: privacy.hide_typing,
                presence: privacy.hide_presence,
                reads: privacy.hide_reads,
            },
            log: LogLevel::ALL.get(config.log_level as usize).copied().unwrap_or_default(),
            anonymous: config.no_device_id,
            push_key: PushKey::try_from(config.push_key.as_bytes()).ok(),
        }
    }
}

impl From<Hide> for wire::Privacy {
    fn from(hide: Hide) -> Self {
        Self { hide_typing: hide.typing, hide_presence: hide.presence, hide_reads: hide.reads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_tab_says_the_others_hear() {
        let hide = Hide { typing: true, presence: false, reads: true };
        let config = Config {
            sync_interval: 7,
            messages: false,
            notifications: false,
            history: false,
            compensation_days: 3,
            hide,
            log: LogLevel::Info,
            anonymous: true,
            push_key: PushKey::try_from(format!("B{}", "A".repeat(86)).as_bytes()).ok(),
        };
        assert!(config.push_key.is_some());
        assert_eq!(Config::from(config.to_local(3)), config);
        assert_eq!(Config::from(Config::default().to_local(0)), Config::default());
    }

    #[test]
    fn nonsense_is_bounded() {
        let nonsense = local::Config {
            sync_interval: u64::MAX,
            log_level: 99,
            compensation_days: 99,
            push_key: "A".repeat(PushKey::LENGTH),
            ..local::Config::default()
        };
        let config = Config::from(nonsense);
        assert_eq!(config.compensation_days, 7);
        assert_eq!((config.sync_interval, config.log), (INTERVAL_MAX, LogLevel::Warning));
        assert_eq!(config.push_key, None, "a point in another form");
        let none = Config::from(local::Config::default());
        assert_eq!((none.sync_interval, none.compensation_days), (1, 1));
    }
}
