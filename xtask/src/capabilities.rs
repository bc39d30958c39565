//! What Tutti must do, by the ids of its mission, and which end-to-end tests show that it does.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};

use crate::run::root;

/// A row of the mission.
struct Capability {
    id: &'static str,
    what: &'static str,
}

/// In the order of the mission.
const CAPABILITIES: &[Capability] = &[
    of("M1", "messages appear on all devices"),
    of("M2", "a device that was offline catches up"),
    of("M3", "sending works offline"),
    of("M4", "a new device gets the last days, and older history on demand"),
    of("M5", "recall"),
    of("M6", "edits, the latest holds"),
    of("M7", "conversation list, the same on all devices"),
    of("M8", "messages through the server's API, for the sender's devices or not"),
    of("M9", "search in the local messages"),
    of("S1", "typing"),
    of("S2", "presence"),
    of("S3", "custom status"),
    of("S4", "status reaches only who is online"),
    of("C1", "what the user is doing goes on elsewhere"),
    of("C2", "field by field, by timestamp"),
    of("C3", "interrupted networks are expected"),
    of("N1", "notifications, the same on all devices"),
    of("N2", "Web Push when the application is not open"),
    of("N3", "one notification a person"),
    of("D1", "devices register themselves, or are registered over HTTP"),
    of("D2", "devices are listed, renamed and removed"),
    of("D3", "a removed device is cut off, and keeps nothing"),
    of("D4", "who may be online at once, by platform"),
    of("P4", "two accounts never meet, and erase really erases"),
    of("F enableMessageSync", "messages are synced"),
    of("F enableNotificationSync", "notifications are synced"),
    of("F enableChatHistorySync", "past days and older history are synced"),
    of("F disableDeviceId", "no lasting device id"),
    of("F syncInterval", "minutes between reconciliations"),
    of("F logLevel", "what the console is told"),
    of("F pushNotificationSenderId", "who sends the push"),
    of("O", "the service switch"),
    of("X2", "several instances over PostgreSQL and Redis"),
    of("X3", "the HTTP API is described by OpenAPI"),
    of("X4", "metrics for Prometheus"),
];

const fn of(id: &'static str, what: &'static str) -> Capability {
    Capability { id, what }
}

/// Prints each capability with how many tests it has.
///
/// # Errors
/// When one has no test named after it.
pub(crate) fn capabilities() -> Result<()> {
    let tests = named_tests()?;
    let count = |id: &str| tests.get(id).copied().unwrap_or_default();
    for Capability { id, what } in CAPABILITIES {
        println!("{id:<26} {what}: {} tests", count(id));
    }
    let untested: Vec<_> = CAPABILITIES.iter().map(|it| it.id).filter(|id| count(id) == 0).collect();
    ensure!(untested.is_empty(), "no end-to-end test is named after {}", untested.join(", "));
    Ok(())
}

/// How many end-to-end tests are named after each id: their names begin with it.
fn named_tests() -> Result<BTreeMap<&'static str, usize>> {
    let folder = root().join("tests/e2e");
    let mut tests = BTreeMap::new();
    for file in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = file?.path();
        if !path.to_string_lossy().ends_with(".test.mjs") {
            continue;
        }
        let source = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        for Capability { id, .. } in CAPABILITIES {
            let named = source.match_indices("test(").filter(|(start, _)| {
                let name = source[start + "test(".len()..].strip_prefix(['"', '`']);
                let rest = name.and_then(|name| name.strip_prefix(id));
                rest.is_some_and(|rest| rest.starts_with([' ', ':']))
            });
            *tests.entry(*id).or_default() += named.count();
        }
    }
    Ok(tests)
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_has_tests() {
        super::capabilities().unwrap();
    }
}
