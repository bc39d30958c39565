//! A PostgreSQL server of one's own, in a directory of its own and on a socket there: for tests and measurements. It ends
//! with the process that has started it, however that ends.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{LazyLock, Mutex, PoisonError},
};

/// Says where the server is and as which process it runs, and takes orders.
const SCRIPT: &str = include_str!("../postgres.sh");

/// What a database server outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Its own end alone: it never waits for the disk. For tests.
    Process,
    /// The machine's end too, as PostgreSQL is set by default. For measurements.
    Machine,
}

impl Durability {
    fn settings(self) -> &'static str {
        match self {
            Self::Process => "-c fsync=off -c full_page_writes=off",
            Self::Machine => "",
        }
    }
}

/// Why there is no server, or no database in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The shell does not run, or cannot be spoken to.
    #[error("cannot start PostgreSQL: {0}")]
    Shell(#[from] io::Error),
    /// PostgreSQL has said why on stderr.
    #[error(
        "PostgreSQL did not start: initdb, pg_ctl and createdb are to be installed, on PATH or where Debian has them"
    )]
    Ended,
    /// PostgreSQL does not serve root.
    #[error("PostgreSQL does not serve root, and there is neither a user postgres nor nobody to run it as")]
    NoUser,
}

/// A server.
#[derive(Debug)]
pub struct Cluster {
    directory: String,
    process: u32,
    databases: u32,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _shell: Child,
}

impl Cluster {
    /// Starts one.
    ///
    /// # Errors
    /// [`Error`] says what is missing.
    pub fn start(durability: Durability) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "sh", durability.settings()]);
        command.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        // Whoever interrupts us does not interrupt what is to clean up after us.
        command.process_group(0);
        // PostgreSQL does not serve root, and who does it instead may not write into root's own directories.
        if id("root") == id("") {
            let user = id("postgres").or_else(|| id("nobody")).ok_or(Error::NoUser)?;
            command.uid(user).env_remove("TMPDIR");
        }
        let mut shell = command.spawn()?;
        let (orders, answers) = shell.stdin.take().zip(shell.stdout.take()).ok_or(Error::Ended)?;
        let answers = BufReader::new(answers);
        let mut cluster =
            Self { directory: String::new(), process: 0, databases: 0, orders, answers, _shell: shell };
        cluster.directory = cluster.answer()?;
        cluster.process = cluster.answer()?.parse().map_err(|_| Error::Ended)?;
        Ok(cluster)
    }

    /// The id of its first process, whose children serve connections.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Makes a database, and says its address.
    ///
    /// # Errors
    /// When the server has ended.
    pub fn create(&mut self) -> Result<String, Error> {
        self.databases += 1;
        let name = format!("database_{}", self.databases);
        writeln!(self.orders, "create {name}")?;
        self.answer()?;
        Ok(format!("postgres://tutti@localhost/{name}?host={}", self.directory))
    }

    fn answer(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.strip_suffix('\n').map(str::to_owned).ok_or(Error::Ended)
    }
}

/// The number of a user; of who runs this, if there is no name.
fn id(user: &str) -> Option<u32> {
    let names = [user].into_iter().filter(|name| !name.is_empty());
    let output = Command::new("id").arg("-u").args(names).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// The address of a new database, in a server that all tests of this process share.
///
/// # Panics
/// Without PostgreSQL.
#[must_use]
pub fn database() -> String {
    static CLUSTER: LazyLock<Mutex<Cluster>> = LazyLock::new(|| {
        Mutex::new(Cluster::start(Durability::Process).unwrap_or_else(|error| panic!("{error}")))
    });
    // A test that failed has left it as it was.
    let made = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner).create();
    made.unwrap_or_else(|error| panic!("{error}"))
}
