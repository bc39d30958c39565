//! What the operator may set while the server runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_acceptance::platform::Platform;
use tutti_protocol::{Millis, limits};
use utoipa::ToSchema;

/// What the operator may set while the server runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Settings {
    /// Whether an account's devices are kept in step.
    pub sync_enabled: bool,
    /// Whether accounts are notified of the messages that they get.
    pub message_notifications: bool,
    /// Days that a new device catches up on.
    pub compensation_days: u32,
    /// Days that the server keeps history.
    pub history_days: u32,
    /// How long a message may be recalled; 0: for as long as it is kept.
    pub recall_window_seconds: u64,
    /// Who may be online at once.
    pub limits: Limits,
}

/// Connections that an account may have at once, by platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct Limits {
    /// Phones and tablets.
    pub mobile: u32,
    /// Desktop apps.
    pub desktop: u32,
    /// Apps inside other apps.
    pub miniprogram: u32,
    /// Browsers.
    pub web: u32,
}

/// Most connections from the web where devices are not kept in step.
const WEB_ALONE: u32 = 1;
/// Most days that the server can be told to keep history: ten years.
const HISTORY_DAYS_MAX: u64 = 3_650;
/// Longest time in which a message may be recalled, in seconds: ten years.
const RECALL_WINDOW_MAX: u64 = 10 * 365 * 24 * 60 * 60;

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync_enabled: true,
            message_notifications: false,
            compensation_days: 1,
            history_days: 365,
            recall_window_seconds: 0,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { mobile: 1, desktop: 1, miniprogram: 1, web: 10 }
    }
}

/// A setting that cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct BadSetting {
    /// Which: a path, as in `limits.web`.
    pub field: String,
    /// What is wrong with it.
    pub message: &'static str,
}

impl Settings {
    /// How long a message may be recalled; none: for as long as it is kept.
    pub(crate) fn recall_window(&self) -> Option<Duration> {
        (self.recall_window_seconds > 0).then(|| Duration::from_secs(self.recall_window_seconds))
    }

    /// Connections that an account may have at once.
    pub(crate) fn connections(&self) -> Limits {
        let web = if self.sync_enabled { self.limits.web } else { WEB_ALONE };
        Limits { web, ..self.limits.clone() }
    }

    /// Since when a device gets messages by itself that has none yet and wants those of so many days.
    pub(crate) fn compensated_since(&self, days: u32, now: Millis) -> Millis {
        if !self.sync_enabled {
            // What was sent up to now it does not get.
            return Millis(now.0 + 1);
        }
        before(now, days.min(self.compensation_days))
    }

    /// Since when messages are kept.
    pub(crate) fn kept_since(&self, now: Millis) -> Millis {
        before(now, self.history_days)
    }

    /// These settings with some of them changed: those that `changes`, a JSON object, names.
    ///
    /// # Errors
    /// [`BadSetting`] names the first that makes no sense, or that this server does not support yet.
    pub(crate) fn with(&self, changes: &Value) -> Result<Self, BadSetting> {
        let mut settings = self.clone();
        for (field, value) in object(changes, "")? {
            match field.as_str() {
                "limits" => settings.limits.change(value)?,
                "sync_enabled" => settings.sync_enabled = boolean(value, field)?,
                "message_notifications" => settings.message_notifications = boolean(value, field)?,
                "recall_window_seconds" => {
                    settings.recall_window_seconds =
                        value.as_u64().filter(|&seconds| seconds <= RECALL_WINDOW_MAX).ok_or_else(|| {
                            let message = "expected whole seconds, from 0 to ten years";
                            BadSetting { field: field.clone(), message }
                        })?;
                }
                "compensation_days" => {
                    let most = u64::from(limits::COMPENSATION_DAYS);
                    settings.compensation_days = days(value, field, most, "expected a number from 1 to 7")?;
                }
                "history_days" => {
                    let message = "expected whole days, from 1 to ten years";
                    settings.history_days = days(value, field, HISTORY_DAYS_MAX, message)?;
                }
                _ => return Err(unknown(field)),
            }
        }
        Ok(settings)
    }
}

impl Limits {
    /// How many of a platform an account may have.
    pub(crate) fn of(&self, platform: Platform) -> usize {
        let limit = match platform {
            Platform::Mobile => self.mobile,
            Platform::Desktop => self.desktop,
            Platform::Miniprogram => self.miniprogram,
            Platform::Web => self.web,
        };
        limit as usize
    }

    fn change(&mut self, changes: &Value) -> Result<(), BadSetting> {
        for (name, value) in object(changes, "limits")? {
            let field = format!("limits.{name}");
            let limit = match name.as_str() {
                "mobile" => &mut self.mobile,
                "desktop" => &mut self.desktop,
                "miniprogram" => &mut self.miniprogram,
                "web" => &mut self.web,
                _ => return Err(unknown(&field)),
            };
            *limit = value
                .as_u64()
                .and_then(|limit| u32::try_from(limit).ok())
                .filter(|limit| (1..=limits::CONNECTIONS).contains(&(*limit as usize)))
                .ok_or(BadSetting { field, message: "expected a number from 1 to 10" })?;
        }
        Ok(())
    }
}

const DAY: u64 = 24 * 60 * 60 * 1_000;

fn before(now: Millis, days: u32) -> Millis {
    Millis(now.0.saturating_sub(u64::from(days) * DAY))
}

fn object<'a>(value: &'a Value, field: &str) -> Result<&'a serde_json::Map<String, Value>, BadSetting> {
    value.as_object().ok_or_else(|| BadSetting { field: field.to_owned(), message: "expected an object" })
}

fn boolean(value: &Value, field: &str) -> Result<bool, BadSetting> {
    let bad = || BadSetting { field: field.to_owned(), message: "expected true or false" };
    value.as_bool().ok_or_else(bad)
}

fn days(value: &Value, field: &str, most: u64, message: &'static str) -> Result<u32, BadSetting> {
    let days = value.as_u64().filter(|days| (1..=most).contains(days));
    let bad = || BadSetting { field: field.to_owned(), message };
    days.and_then(|days| u32::try_from(days).ok()).ok_or_else(bad)
}

fn unknown(field: &str) -> BadSetting {
    BadSetting { field: field.to_owned(), message: "no such setting" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let settings = Settings::default().with(&json!({"limits": {"web": 3}})).unwrap();
        assert_eq!(settings.limits.web, 3);
        assert_eq!(settings.with(&json!({})).unwrap(), settings);
        assert_eq!(settings.with(&json!({"sync_enabled": true})).unwrap(), settings);
        let settings = settings.with(&json!({"limits": {"mobile": 2}, "sync_enabled": false})).unwrap();
        let limits = Limits { mobile: 2, desktop: 1, miniprogram: 1, web: 3 };
        assert_eq!((settings.sync_enabled, &settings.limits), (false, &limits));
    }

    #[test]
    fn where_devices_are_not_kept_in_step_there_is_one_connection_from_the_web() {
        let disabled = Settings::default().with(&json!({"sync_enabled": false})).unwrap();
        assert_eq!(disabled.connections(), Limits { web: 1, ..Limits::default() });
        let enabled = disabled.with(&json!({"sync_enabled": true})).unwrap();
        assert_eq!(enabled.connections(), Limits::default(), "what was set is kept");
    }

    #[test]
    fn a_recall_window_of_nothing_is_none() {
        let window = |seconds| {
            let settings = Settings::default().with(&json!({"recall_window_seconds": seconds})).unwrap();
            settings.recall_window()
        };
        assert_eq!(window(0), None);
        assert_eq!(window(120), Some(Duration::from_secs(120)));
        assert_eq!(window(315_360_000), Some(Duration::from_secs(315_360_000)));
    }

    #[test]
    fn a_device_gets_the_lesser_of_the_days_that_it_wants_and_that_it_may_have() {
        let settings = Settings::default().with(&json!({"compensation_days": 3})).unwrap();
        let since = |days| settings.compensated_since(days, Millis(10 * DAY)).0;
        assert_eq!([0, 2, 7].map(since), [10 * DAY, 8 * DAY, 7 * DAY]);
        let settings = settings.with(&json!({"history_days": 30})).unwrap();
        assert_eq!(settings.kept_since(Millis(40 * DAY)), Millis(10 * DAY));
        assert_eq!(settings.kept_since(Millis(DAY)), Millis(0));
    }

    #[test]
    fn what_is_not_built_or_makes_no_sense_is_named() {
        for (changes, field) in [
            (json!({"sync_enabled": "false"}), "sync_enabled"),
            (json!({"sync_enabled": 0}), "sync_enabled"),
            (json!({"sync_enabled": null}), "sync_enabled"),
            (json!({"message_notifications": 1}), "message_notifications"),
            (json!({"compensation_days": 0}), "compensation_days"),
            (json!({"compensation_days": 8}), "compensation_days"),
            (json!({"compensation_days": 1.5}), "compensation_days"),
            (json!({"history_days": "365"}), "history_days"),
            (json!({"history_days": 0}), "history_days"),
            (json!({"history_days": 3_651}), "history_days"),
            (json!({"recall_window_seconds": 315_360_001}), "recall_window_seconds"),
            (json!({"recall_window_seconds": -1}), "recall_window_seconds"),
            (json!({"recall_window_seconds": 1.5}), "recall_window_seconds"),
            (json!({"recall_window_seconds": null}), "recall_window_seconds"),
            (json!({"limits": {"mobile": 0}}), "limits.mobile"),
            (json!({"limits": {"mobile": 4_294_967_297_u64}}), "limits.mobile"),
            (json!({"limits": {"desktop": -1}}), "limits.desktop"),
            (json!({"limits": {"miniprogram": "1"}}), "limits.miniprogram"),
            (json!({"limits": {"web": 11}}), "limits.web"),
            (json!({"limits": {"web": 0}}), "limits.web"),
            (json!({"limits": {"web": 1.5}}), "limits.web"),
            (json!({"limits": 10}), "limits"),
            (json!({"limits": {"watch": 1}}), "limits.watch"),
            (json!({"speed": 11}), "speed"),
        ] {
            let error = Settings::default().with(&changes).unwrap_err();
            assert_eq!(error.field, field, "{changes}");
        }
    }

    #[test]
    fn settings_written_by_an_earlier_version_are_read() {
        let settings: Settings = serde_json::from_str(r#"{"limits":{"web":2}}"#).unwrap();
        assert_eq!(settings.limits.web, 2);
        assert_eq!(settings.history_days, 365);
    }
}
