//! Child processes: their output streams through, and none of them outlives us.

use std::{
    env,
    ffi::OsStr,
    fmt,
    io::{BufRead, BufReader},
    ops::ControlFlow,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The process groups of the children that run now.
static GROUPS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Hands an interrupt (Ctrl-C, SIGTERM, SIGHUP) on to the children, so that we end when they have
/// ended; a second one kills them.
pub(crate) fn take_children_along() -> Result<()> {
    ctrlc::set_handler(|| {
        let again = INTERRUPTED.swap(true, Ordering::SeqCst);
        let signal = if again { Signal::SIGKILL } else { Signal::SIGTERM };
        for &group in groups().iter() {
            // It may have ended in this very moment.
            let _ = killpg(group, signal);
        }
    })
    .context("cannot listen for Ctrl-C")
}

/// Whether someone asked us to stop.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace")
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// A command that runs in the workspace's folder and sees what `setup` installed.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    // A group of its own, so that one signal also reaches the child's children: wasm-pack starts
    // cargo, which starts a test runner, which starts a browser.
    command.process_group(0);
    // `cargo run` describes xtask to us in these; build scripts that watch them would run again
    // for each change between a plain `cargo build` and ours.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    if let Ok(path) = env::join_paths(search_path()) {
        command.env("PATH", path);
    }
    command.env("CARGO_TARGET_DIR", target_dir());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The program of this name that a command would run.
pub(crate) fn which(name: &str) -> Option<PathBuf> {
    search_path().map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Where cargo keeps what it downloads and installs.
pub(crate) fn cargo_homes() -> impl Iterator<Item = PathBuf> {
    let usual = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    env::var_os("CARGO_HOME").map(PathBuf::from).into_iter().chain(usual)
}

/// Where `cargo install` puts programs comes first: it need not be on PATH.
fn search_path() -> impl Iterator<Item = PathBuf> {
    let installs = env::var_os("CARGO_INSTALL_ROOT").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = env::split_paths(&path).collect();
    installs.into_iter().chain(cargo_homes()).map(|root| root.join("bin")).chain(path)
}

/// Runs a command to its successful end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = Child::spawn(command)?.wait()?;
    succeeded(command, status)
}

/// Runs a command quietly and returns what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let mut lines = Vec::new();
    let status = each_line(command.stderr(Stdio::null()), |line| lines.push(line.to_owned()))?;
    succeeded(command, status)?;
    Ok(lines.join("\n"))
}

/// Runs a command and calls `on_line` for each line that it prints.
pub(crate) fn each_line(command: &mut Command, mut on_line: impl FnMut(&str)) -> Result<ExitStatus> {
    let on_line = |line: &str| {
        on_line(line);
        ControlFlow::Continue(())
    };
    Ok(each_line_until(command, on_line)?.expect("nobody has stopped it"))
}

/// Runs a command and calls `on_line` for each line that it prints, until that has enough: then the command
/// is stopped, and has no status.
pub(crate) fn each_line_until(
    command: &mut Command,
    mut on_line: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Option<ExitStatus>> {
    let mut child = Child::spawn(command.stdout(Stdio::piped()))?;
    let mut output = BufReader::new(child.inner.stdout.take().expect("stdout is piped"));
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        if on_line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])).is_break() {
            return Ok(None);
        }
        line.clear();
    }
    child.wait().map(Some)
}

fn succeeded(command: &Command, status: ExitStatus) -> Result<()> {
    ensure!(!interrupted(), "interrupted");
    ensure!(status.success(), "`{}` failed ({status})", Shown(command));
    Ok(())
}

/// A running child and all that it started.
pub(crate) struct Child {
    inner: std::process::Child,
    group: Pid,
}

impl Child {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        // Held until the child is on the list: an interrupt finds it there, or it never starts.
        let mut groups = groups();
        ensure!(!interrupted(), "interrupted");
        let inner = command.spawn().with_context(|| format!("cannot start `{}`", Shown(command)))?;
        let group = Pid::from_raw(inner.id().try_into().context("a process id is an i32")?);
        groups.push(group);
        Ok(Self { inner, group })
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.inner.wait()?;
        self.forget();
        Ok(status)
    }

    /// Fails when the child has ended.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        if let Some(status) = self.inner.try_wait()? {
            self.forget();
            ensure!(!interrupted(), "interrupted");
            bail!("it ended early ({status})");
        }
        Ok(())
    }

    fn forget(&self) {
        groups().retain(|&group| group != self.group);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if groups().contains(&self.group) {
            let _ = killpg(self.group, Signal::SIGTERM);
            let _ = self.wait();
        }
    }
}

fn groups() -> MutexGuard<'static, Vec<Pid>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A command as one would type it.
struct Shown<'a>(&'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = Path::new(self.0.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str());
        write!(f, "{}", name.to_string_lossy())?;
        for argument in self.0.get_args() {
            write!(f, " {}", argument.to_string_lossy())?;
        }
        Ok(())
    }
}

/// Says what is about to happen, and afterwards how long it took.
pub(crate) fn announced<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("» {what}");
    let start = Instant::now();
    let result = work()?;
    println!("  done in {}", elapsed(start.elapsed()));
    Ok(result)
}

/// A duration for people.
pub(crate) fn elapsed(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 60.. => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{:.1} s", time.as_secs_f32()),
    }
}
