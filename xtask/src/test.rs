//! Every check and every test, in one order, with one result.

use std::{
    ffi::OsStr,
    fs,
    ops::AddAssign,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, ExitCode},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    audit::dependencies,
    capabilities::capabilities,
    demo::build_site,
    npm,
    pack::{later_versions, later_versions_dir, pack, size},
    purity::purity,
    run::{cargo, command, each_line, elapsed, interrupted, read, root, run, target_dir},
    setup, simulate,
};

/// A part of the tests that makes sense on its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Native,
    Wasm,
    EndToEnd,
    Bundlers,
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "native" => Ok(Self::Native),
            "wasm" => Ok(Self::Wasm),
            "e2e" => Ok(Self::EndToEnd),
            "bundlers" => Ok(Self::Bundlers),
            _ => bail!("`{name}` is no part of the tests: native, wasm, e2e or bundlers"),
        }
    }
}

struct Step {
    name: &'static str,
    parts: &'static [Part],
    run: fn() -> Result<Tally>,
}

const NATIVE: &[Part] = &[Part::Native];
const WASM: &[Part] = &[Part::Wasm];
const END_TO_END: &[Part] = &[Part::EndToEnd];
const BUNDLERS: &[Part] = &[Part::Bundlers];
const BROWSER: &[Part] = &[Part::Wasm, Part::EndToEnd, Part::Bundlers];
const SERVED: &[Part] = &[Part::EndToEnd, Part::Bundlers];

const STEPS: &[Step] = &[
    Step { name: "setup", parts: BROWSER, run: || check(setup::everything()) },
    Step { name: "format", parts: NATIVE, run: || check(format()) },
    Step { name: "lints", parts: NATIVE, run: || check(native_lints()) },
    Step { name: "lints, WebAssembly", parts: WASM, run: || check(wasm_lints()) },
    Step { name: "purity", parts: NATIVE, run: || check(purity()) },
    Step { name: "dependencies", parts: NATIVE, run: || check(dependencies()) },
    Step { name: "native tests", parts: NATIVE, run: native_tests },
    Step { name: "histories", parts: NATIVE, run: || check(simulate::test()) },
    Step { name: "package", parts: BROWSER, run: || check(pack()) },
    Step { name: "package's JavaScript", parts: BROWSER, run: package_tests },
    Step { name: "size", parts: WASM, run: || check(size()) },
    Step { name: "browser tests, Chromium", parts: WASM, run: chromium_tests },
    Step { name: "browser tests, Firefox", parts: WASM, run: firefox_tests },
    Step { name: "browser tests, WebKit", parts: WASM, run: webkit_tests },
    Step { name: "demo's pages", parts: END_TO_END, run: || check(build_site()) },
    Step { name: "package, later versions", parts: END_TO_END, run: || check(later_versions()) },
    Step { name: "server", parts: SERVED, run: || check(build_server()) },
    Step { name: "bundlers", parts: BUNDLERS, run: bundler_tests },
    Step { name: "end-to-end tests", parts: END_TO_END, run: end_to_end_tests },
    Step { name: "with several servers", parts: END_TO_END, run: spread_tests },
    Step { name: "capabilities", parts: END_TO_END, run: || check(capabilities()) },
];

/// Runs the tests, or a part of them, up to the first step that fails.
pub(crate) fn test(only: Option<Part>) -> Result<ExitCode> {
    let start = Instant::now();
    let mut rows: Vec<(&str, Tally, Duration)> = Vec::new();
    let mut steps = STEPS.iter().filter(|step| only.is_none_or(|part| step.parts.contains(&part)));
    for step in steps.by_ref() {
        println!("\n── {} ──", step.name);
        let start = Instant::now();
        let tally = (step.run)().unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Tally::FAILURE
        });
        println!("── {}: {} ──", step.name, elapsed(start.elapsed()));
        rows.push((step.name, tally, start.elapsed()));
        if tally.failed > 0 || interrupted() {
            break;
        }
    }

    let mut sum = Tally::default();
    println!("\n{:<26}{:>8}{:>8}{:>9}{:>14}", "", "passed", "failed", "skipped", "time");
    for (name, tally, time) in rows {
        let Tally { passed, failed, skipped } = tally;
        println!("{name:<26}{passed:>8}{failed:>8}{skipped:>9}{:>14}", elapsed(time));
        sum += tally;
    }
    for step in steps {
        println!("{:<26}{:>39}", step.name, "not run");
    }
    println!("all in {}", elapsed(start.elapsed()));
    println!("\n{} passed, {} failed", sum.passed, sum.failed);
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The tests, and proof that building and testing leave the checkout as it was: lock files are
/// complete, and whatever is generated is ignored.
pub(crate) fn ci() -> Result<ExitCode> {
    let code = test(None)?;
    let changes = read(command("git").args(["status", "--porcelain"]))?;
    ensure!(changes.is_empty(), "the checkout has changed:\n{changes}");
    Ok(code)
}

/// How many tests there were; a step without tests of its own counts as one.
#[derive(Clone, Copy, Default)]
struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    const SUCCESS: Self = Self { passed: 1, failed: 0, skipped: 0 };
    const FAILURE: Self = Self { passed: 0, failed: 1, skipped: 0 };
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

fn check(result: Result<()>) -> Result<Tally> {
    result.map(|()| Tally::SUCCESS)
}

fn format() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))
}

/// The root package's code is for browsers alone.
const NATIVE_CODE: [&str; 3] = ["--workspace", "--exclude", "tutti-sync"];

fn native_lints() -> Result<()> {
    let mut clippy = cargo();
    run(clippy.arg("clippy").args(NATIVE_CODE).args(["--all-targets", "--", "-D", "warnings"]))
}

fn wasm_lints() -> Result<()> {
    let mut clippy = cargo();
    clippy.args(["clippy", "-p", "tutti-sync", "--target", "wasm32-unknown-unknown"]);
    run(clippy.args(["--all-targets", "--", "-D", "warnings"]))
}

fn native_tests() -> Result<Tally> {
    setup::postgres()?;
    setup::redis()?;
    tally(cargo().args(["test", "--no-fail-fast"]).args(NATIVE_CODE))
}

fn chromium_tests() -> Result<Tally> {
    let driver = setup::chromium()?.driver;
    tally(wasm_tests().args(["--chrome", "--chromedriver"]).arg(driver).args(TESTS_ALONE))
}

fn firefox_tests() -> Result<Tally> {
    let driver = setup::firefox()?;
    tally(wasm_tests().args(["--firefox", "--geckodriver"]).arg(driver).args(TESTS_ALONE))
}

/// wasm-pack does not know this browser, so cargo runs the tests' runner itself: in a folder of its own,
/// where it finds the browser's capabilities.
fn webkit_tests() -> Result<Tally> {
    let browser = setup::webkit()?;
    let folder = target_dir().join("xtask/webkit");
    fs::create_dir_all(&folder)?;
    let capabilities = format!(
        r#"{{"browserName": "MiniBrowser", "webkitgtk:browserOptions": {{"binary": "{}", "args": ["--automation"]}}}}"#,
        browser.binary.display()
    );
    fs::write(folder.join("webdriver.json"), capabilities)?;
    let script = folder.join("run.sh");
    fs::write(&script, "#!/bin/sh\ncd \"$(dirname \"$0\")\" && exec wasm-bindgen-test-runner \"$@\"\n")?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let mut test = command("xvfb-run");
    test.args(["-a", "cargo", "test", "-p", "tutti-sync", "--target", "wasm32-unknown-unknown"]);
    test.args(["--lib", "--test", "*"]).env("SAFARIDRIVER", browser.driver);
    test.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", script);
    // Its sandbox does not work for root.
    if nix::unistd::Uid::effective().is_root() {
        test.env("WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS", "1");
    }
    tally(patient(&mut test))
}

/// Without the examples in comments, which would each start a browser.
const TESTS_ALONE: [&str; 4] = ["--", "--lib", "--test", "*"];

fn wasm_tests() -> Command {
    let mut test = command("wasm-pack");
    test.args(["test", "--headless", "--mode", "no-install"]);
    patient(&mut test);
    test
}

/// A loaded machine takes longer than the 20 seconds and 5 seconds of the runner's defaults.
fn patient(test: &mut Command) -> &mut Command {
    test.env("WASM_BINDGEN_TEST_TIMEOUT", "300").env("WASM_BINDGEN_TEST_DRIVER_TIMEOUT", "60")
}

fn build_server() -> Result<()> {
    // With all of the workspace, for the same features of shared crates as in the native tests.
    run(cargo().arg("build").args(NATIVE_CODE).args(["--bin", "tutti-server"]))
}

/// Stores, hooks and types, as an application gets them.
fn package_tests() -> Result<Tally> {
    let folder = root().join("tests/package");
    let mut node = command("node");
    node.args(["--test", "--test-reporter=spec"]).args(test_files(&folder)?);
    tally(node.current_dir(folder))
}

/// The examples, as each bundler builds them.
fn bundler_tests() -> Result<Tally> {
    npm::install("tests/bundlers", "the examples are built with them")?;
    let folder = "tests/bundlers";
    tally(node_tests(folder)?.args(test_files(&root().join(folder))?))
}

fn end_to_end_tests() -> Result<Tally> {
    let folder = "tests/e2e";
    tally(node_tests(folder)?.args(test_files(&root().join(folder))?))
}

fn spread_tests() -> Result<Tally> {
    spread(3, SPREAD)
}

/// Of what devices learn of each other, and of what is stored.
const SPREAD: [&str; 11] = [
    "connection-limit.test.mjs",
    "convergence.test.mjs",
    "devices.test.mjs",
    "notifications.test.mjs",
    "push.test.mjs",
    "recall.test.mjs",
    "removed.test.mjs",
    "server-api.test.mjs",
    "settings.test.mjs",
    "status.test.mjs",
    "switch.test.mjs",
];

/// All end-to-end tests, with so many servers in the place of each.
pub(crate) fn instances(count: u8) -> Result<ExitCode> {
    setup::everything()?;
    pack()?;
    build_site()?;
    later_versions()?;
    build_server()?;
    let Tally { passed, failed, .. } = spread(count, test_files(&root().join("tests/e2e"))?)?;
    println!("\n{passed} passed, {failed} failed");
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// End-to-end tests in which clients are at any of several servers, over PostgreSQL and Redis.
fn spread(count: u8, files: impl IntoIterator<Item: AsRef<OsStr>>) -> Result<Tally> {
    tally(node_tests("tests/e2e")?.env("TUTTI_INSTANCES", count.to_string()).args(files))
}

/// The names of the files with tests in a folder.
fn test_files(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

fn node_tests(folder: &str) -> Result<Command> {
    let mut node = command("node");
    node.current_dir(root().join(folder)).env("TUTTI_SERVER", target_dir().join("debug/tutti-server"));
    node.env("TUTTI_LATER_VERSIONS", later_versions_dir());
    node.env("TUTTI_CHROMIUM", setup::chromium()?.binary);
    node.env("TUTTI_GECKODRIVER", setup::firefox()?).env("TUTTI_WEBKITDRIVER", setup::webkit()?.driver);
    // Two at a time: each starts several browsers, but waits more than it works.
    node.args(["--test", "--test-concurrency=2", "--test-reporter=spec"]);
    Ok(node)
}

/// Lets leaders end, again and again, and prints how long it took until another tab led.
/// `runs`: `engine:kind:rounds`, as in `chromium:freeze:100`.
pub(crate) fn takeovers(runs: &[&str]) -> Result<()> {
    setup::everything()?;
    pack()?;
    build_server()?;
    let runs = if runs.is_empty() { LONG_RUNS } else { runs };
    let tally =
        tally(node_tests("tests/e2e")?.env("TUTTI_TAKEOVERS", runs.join(" ")).arg("takeovers.test.mjs"))?;
    ensure!(tally.failed == 0, "a takeover went wrong");
    Ok(())
}

/// All ways in which each engine can be made to end a leader, a hundred times each.
const LONG_RUNS: &[&str] = &[
    "chromium:close:100",
    "chromium:crash:100",
    "chromium:freeze:100",
    "firefox:close:100",
    "webkit:close:100",
];

/// Runs tests and counts them. A run without any is a failure: it proves nothing.
fn tally(command: &mut Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let status = each_line(command, |line| {
        println!("{line}");
        tally += counted(line);
    })?;
    ensure!(!interrupted(), "interrupted");
    ensure!(tally.passed + tally.failed > 0, "no test ran ({status})");
    if !status.success() {
        tally.failed = tally.failed.max(1);
    }
    Ok(tally)
}

/// The numbers of a line in which cargo, wasm-bindgen or Node sums up its tests.
fn counted(line: &str) -> Tally {
    let words: Vec<&str> = line.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let number = |word: &str| word.parse().unwrap_or(0);
    match words[..] {
        ["test", "result:", _, passed, "passed", failed, "failed", ignored, "ignored", ..] => {
            Tally { passed: number(passed), failed: number(failed), skipped: number(ignored) }
        }
        ["ℹ", "pass", count] => Tally { passed: number(count), ..Tally::default() },
        ["ℹ", "fail" | "cancelled", count] => Tally { failed: number(count), ..Tally::default() },
        ["ℹ", "skipped" | "todo", count] => Tally { skipped: number(count), ..Tally::default() },
        _ => Tally::default(),
    }
}
