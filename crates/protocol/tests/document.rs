//! docs/protocol.md says what the code does, as far as a test can tell.

use tutti_protocol::{Code, limits};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// The section under this heading.
fn section(heading: &str) -> &'static str {
    let (_, after) = DOCUMENT.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    after.split("\n## ").next().unwrap_or(after)
}

/// Rows of the section's table, cell by cell.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    section(heading)
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn the_limits_are_those_of_the_code() {
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let seconds = |millis: u64| format!("{} s", millis / 1_000);
    let grouped = |number: usize| format!("{},{:03}", number / 1_000, number % 1_000);
    let expected = [
        ("frame to the server", kib(limits::CLIENT_FRAME)),
        ("frame to the client", kib(limits::SERVER_FRAME)),
        (
            "page of a catch-up",
            format!("{} events, closed at {}", grouped(limits::PAGE_EVENTS), kib(limits::PAGE_BYTES)),
        ),
        ("operations in a Submit", limits::SUBMIT_OPERATIONS.to_string()),
        ("positions in a PullHistory", grouped(limits::HISTORY as usize)),
        ("days of a snapshot", limits::COMPENSATION_DAYS.to_string()),
        ("content", kib(limits::CONTENT)),
        ("name", format!("{} bytes", limits::NAME)),
        ("type", format!("{} bytes", limits::TYPE)),
        ("key of a session", format!("{} bytes", limits::KEY)),
        ("fields of a conversation or a session", format!("{}, removed ones too", limits::FIELDS)),
        ("values of those fields together", kib(limits::FIELDS_BYTES)),
        ("conversations and sessions with fields of an account", grouped(limits::TARGETS)),
        ("title, body and data of a notification together", kib(limits::NOTIFICATION)),
        (
            "notifications of an account",
            format!(
                "the newest {}; of dismissed ones the words of those among the newest {}",
                limits::NOTIFICATIONS,
                limits::NOTIFICATIONS_DISMISSED
            ),
        ),
        ("token", kib(limits::TOKEN)),
        ("connections of an account of one platform", limits::CONNECTIONS.to_string()),
        ("lease of a connection's place", seconds(limits::SLOT_LEASE)),
        ("devices of an account", limits::DEVICES.to_string()),
        ("address of a push subscription", format!("{} bytes", grouped(limits::PUSH_ENDPOINT))),
        ("members of a group", limits::GROUP.to_string()),
        ("members of a group in which is told how far each has read", limits::READERS.to_string()),
        ("lists of devices that are told", format!("every {} ms", limits::DEVICES_INTERVAL)),
        ("how far ahead another's clock is believed", format!("{} min", limits::CLOCK_AHEAD / 60_000)),
        ("handshake", seconds(limits::AUTH_DEADLINE)),
        ("write", seconds(limits::WRITE_DEADLINE)),
        ("silence before a ping", seconds(limits::PING_INTERVAL)),
        ("ping without an answer", seconds(limits::PONG_DEADLINE)),
        (
            "wait before connecting again",
            format!(
                "{} × 1.5 … up to {}, ± 50 %",
                seconds(limits::RECONNECT_FIRST),
                seconds(limits::RECONNECT_MAX)
            ),
        ),
        ("write queue of a connection", format!("{} MiB", limits::WRITE_QUEUE / 1024 / 1024)),
        ("frames of a connection", format!("{} a minute, pings apart", limits::FRAMES_PER_MINUTE)),
        ("typing in a conversation, said again", format!("every {}", seconds(limits::TYPING_INTERVAL))),
        ("typing that is not said again", seconds(limits::TYPING_EXPIRES)),
        ("platforms in a presence", limits::PLATFORMS.to_string()),
        (
            "operations of an account",
            format!("{} at once, then {} a second", limits::OPERATIONS_BURST, limits::OPERATIONS_PER_SECOND),
        ),
    ];
    let expected: Vec<Vec<&str>> = expected.iter().map(|(what, value)| vec![*what, value.as_str()]).collect();
    assert_eq!(rows("Limits")[1..], expected);
}

#[test]
fn every_code_is_told() {
    for code in Code::ALL {
        assert!(section("Codes").contains(&format!("`{code}`")), "{code}");
    }
    for row in &rows("Codes")[1..] {
        let code = Code::parse(row[0].trim_matches('`'));
        assert_eq!(format!("`{code}`"), row[0]);
        assert_eq!(row[2].starts_with("yes"), code.retryable(), "{code}");
    }
}
