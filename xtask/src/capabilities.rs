//! What Tutti must do, by the ids of its mission, and which end-to-end tests show that it does.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};

use crate::run::root;

/// A row of the mission.
struct Capability {
    id: &'static str,
    what: &'static str,
    state: State,
}

/// How far it is.
enum State {
    /// It is there, and tests say so.
    Built,
    /// It is not.
    NotYet,
}

use State::{Built, NotYet};

/// In the order of the mission. What is not here yet is another chapter of it.
const CAPABILITIES: &[Capability] = &[
    of("M1", "messages appear on all devices", Built),
    of("M2", "a device that was offline catches up", Built),
    of("M3", "sending works offline", Built),
    of("M4", "a new device gets the last days, and older history on demand", Built),
    of("M5", "recall", Built),
    of("M6", "edits, the latest holds", Built),
    of("M7", "conversation list, the same on all devices", Built),
    of("M8", "messages through the server's API, for the sender's devices or not", Built),
    of("M9", "search in the local messages", Built),
    of("S1", "typing", Built),
    of("S2", "presence", Built),
    of("S3", "custom status", Built),
    of("S4", "status reaches only who is online", Built),
    of("C1", "what the user is doing goes on elsewhere", Built),
    of("C2", "field by field, by timestamp", Built),
    of("C3", "interrupted networks are expected", Built),
    of("N1", "notifications, the same on all devices", Built),
    of("N2", "Web Push when the application is not open", Built),
    of("N3", "one notification a person", Built),
    of("D1", "devices register themselves, or are registered over HTTP", Built),
    of("D2", "devices are listed, renamed and removed", Built),
    of("D3", "a removed device is cut off, and keeps nothing", Built),
    of("D4", "who may be online at once, by platform", Built),
    of("P4", "two accounts never meet, and erase really erases", Built),
    of("F enableMessageSync", "messages are synced", Built),
    of("F enableNotificationSync", "notifications are synced", Built),
    of("F enableChatHistorySync", "past days and older history are synced", Built),
    of("F disableDeviceId", "no lasting device id", Built),
    of("F syncInterval", "minutes between reconciliations", Built),
    of("F logLevel", "what the console is told", Built),
    of("F pushNotificationSenderId", "who sends the push", Built),
    of("O", "the service switch", Built),
    of("X2", "several instances over PostgreSQL and Redis", NotYet),
    of("X3", "the HTTP API is described by OpenAPI", Built),
    of("X4", "metrics for Prometheus", Built),
];

const fn of(id: &'static str, what: &'static str, state: State) -> Capability {
    Capability { id, what, state }
}

/// Prints each capability with its state and its tests.
///
/// # Errors
/// When one that is built has no test named after it.
pub(crate) fn capabilities() -> Result<()> {
    let tests = named_tests()?;
    let mut untested = Vec::new();
    for Capability { id, what, state } in CAPABILITIES {
        let count = tests.get(id).copied().unwrap_or_default();
        let state = match state {
            Built if count == 0 => {
                untested.push(*id);
                "NO TEST".to_owned()
            }
            Built => "built".to_owned(),
            NotYet => "not yet".to_owned(),
        };
        let tests = if count == 0 { String::new() } else { format!(", {count} tests") };
        println!("{id:<26} {what}: {state}{tests}");
    }
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
    fn what_is_said_to_be_built_has_tests() {
        super::capabilities().unwrap();
    }
}
