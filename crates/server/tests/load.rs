//! The tool that loads a server, on the real binary and small.

use clap::Parser as _;
use tutti_load::{Options, Row};

/// Each scenario, over what these options say.
async fn measured(options: &[&str]) -> Vec<Row> {
    let small = [
        ["--accounts", "12"],
        ["--rates", "50"],
        ["--window", "1"],
        ["--p99", "60000"],
        ["--connections", "5,20"],
        ["--idle", "1"],
        ["--groups", "1,7"],
        ["--messages", "3"],
        ["--clients", "20"],
        ["--written", "200"],
    ];
    let server = ["tutti-load", "--server", env!("CARGO_BIN_EXE_tutti-server")];
    let arguments = server.iter().chain(small.as_flattened()).chain(options);
    tutti_load::run(&Options::parse_from(arguments)).await.unwrap()
}

/// What every run has to show. `rows`: how many a message adds beside those in its members' logs.
fn check(measured: &[Row], rows: f64) {
    let mut seen = [0; 5];
    for row in measured {
        match row {
            Row::Sustained { sent, missing, holds, confirmed, arrived, server, .. } => {
                assert!(*sent > 0 && *missing == 0 && *holds, "{row:?}");
                assert!(confirmed.p50 > 0.0 && arrived.p50 <= arrived.p99 && arrived.p99 <= arrived.max);
                assert!(server.is_some_and(|busy| busy > 0.0));
                seen[0] += 1;
            }
            Row::Best { rate } => assert_eq!(*rate, Some(50.0)),
            Row::Memory { memory, .. } => {
                assert!(memory.is_some_and(|bytes| bytes > 1_000_000), "{row:?}");
                seen[1] += 1;
            }
            Row::Fanout { members, rows: added, last, .. } => {
                assert_eq!(*added, Some(f64::from(*members) + rows), "{row:?}");
                assert!(last.p50 > 0.0);
                seen[2] += 1;
            }
            Row::Storm { clients, half, most, all, written, arrived, .. } => {
                assert_eq!((*clients, *written, *arrived), (20, 2, 2));
                assert!(0.0 < *half && half <= most && most <= all, "{row:?}");
                seen[3] += 1;
            }
            Row::Disk { part, each } => {
                assert!(part != "rows" || *each >= 2.0 + rows, "{row:?}");
                seen[4] += usize::from(part == "log" && *each > 0.0);
            }
        }
    }
    assert_eq!(seen, [1, 2, 2, 2, 1], "{measured:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scenario_is_measured_over_sqlite() {
    // The message, its content, and the operation.
    check(&measured(&[]).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_scenario_is_measured_over_postgresql() {
    check(&measured(&["--postgres"]).await, 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let options = ["tutti-load", "fanout", "--url", "http://127.0.0.1:9", "--server-key", "none"];
    let error = tutti_load::run(&Options::parse_from(options)).await.unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("fanout") && said.contains("127.0.0.1:9"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_elsewhere_is_not_ended() {
    let options = ["tutti-load", "storm", "--url", "http://127.0.0.1:9", "--server-key", "none"];
    let error = tutti_load::run(&Options::parse_from(options)).await.unwrap_err();
    assert!(format!("{error:#}").contains("--server"), "{error:#}");
}
