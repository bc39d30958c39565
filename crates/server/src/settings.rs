//! What the operator may set while the server runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tutti_protocol::{Millis, limits};

/// What the operator may set while the server runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Whether an account's devices are kept in step.
    pub sync_enabled: bool,
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// Most web connections that an account can be allowed.
const WEB_MAX: u64 = 10;
/// Most days that the server can be told to keep history: ten years.
const HISTORY_DAYS_MAX: u64 = 3_650;
/// Longest time in which a message may be recalled, in seconds: ten years.
const RECALL_WINDOW_MAX: u64 = 10 * 365 * 24 * 60 * 60;

impl Default for Settings {
    fn default() -> Self {
        Self {
            sync_enabled: true,
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

    /// Since when a device gets messages by itself that has none yet and wants those of so many days.
    pub(crate) fn compensated_since(&self, days: u32, now: Millis) -> Millis {
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
                "sync_enabled" => {
                    only_default(value, &default_of(field), field)?;
                }
                _ => return Err(unknown(field)),
            }
        }
        Ok(settings)
    }
}

impl Limits {
    fn change(&mut self, changes: &Value) -> Result<(), BadSetting> {
        for (name, value) in object(changes, "limits")? {
            let field = format!("limits.{name}");
            match name.as_str() {
                "web" => {
                    self.web = value
                        .as_u64()
                        .filter(|limit| (1..=WEB_MAX).contains(limit))
                        .and_then(|limit| u32::try_from(limit).ok())
                        .ok_or(BadSetting { field, message: "expected a number from 1 to 10" })?;
                }
                "mobile" | "desktop" | "miniprogram" => {
                    only_default(value, &default_of("limits")[name], &field)?;
                }
                _ => return Err(unknown(&field)),
            }
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

fn days(value: &Value, field: &str, most: u64, message: &'static str) -> Result<u32, BadSetting> {
    let days = value.as_u64().filter(|days| (1..=most).contains(days));
    let bad = || BadSetting { field: field.to_owned(), message };
    days.and_then(|days| u32::try_from(days).ok()).ok_or_else(bad)
}

fn default_of(field: &str) -> Value {
    serde_json::to_value(Settings::default()).map(|mut defaults| defaults[field].take()).unwrap_or_default()
}

/// Accepts what changes nothing, rather than to pretend to do what is not built.
fn only_default(value: &Value, default: &Value, field: &str) -> Result<(), BadSetting> {
    if value == default {
        return Ok(());
    }
    Err(BadSetting {
        field: field.to_owned(),
        message: "this server does not support any value but the default yet",
    })
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
            (json!({"sync_enabled": false}), "sync_enabled"),
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
            (json!({"limits": {"mobile": 2}}), "limits.mobile"),
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
