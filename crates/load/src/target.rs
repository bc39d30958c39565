//! The server that is loaded: one that runs already, or one that is started here and may be ended.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tutti_databases::{Cluster, Durability};
use url::Url;

use crate::{
    backend::Backend,
    crowd::Crowd,
    database::Database,
    options::Options,
    process::{Process, Usage},
};

/// How long a server may take to start, or to stop in good order.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where servers to be loaded come from.
pub(crate) struct Target {
    source: Source,
    prefix: String,
    content: u32,
}

enum Source {
    Deployed { url: Url, key: String },
    Own { program: PathBuf, storage: Storage },
}

/// Where servers that are started here keep everything.
enum Storage {
    Sqlite,
    /// Each scenario has a database of its own.
    Cluster(Cluster),
    Postgres(String),
}

impl Target {
    /// # Errors
    /// When PostgreSQL is wanted and does not start.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let prefix = match &options.prefix {
            Some(prefix) => prefix.clone(),
            None => format!("load-{}", &secret()?[..8]),
        };
        let source = match (&options.server, &options.url, &options.server_key) {
            (Some(program), ..) => {
                let program = program.clone();
                let storage = match &options.database_url {
                    Some(url) => Storage::Postgres(url.clone()),
                    None if options.postgres => Storage::Cluster(Cluster::start(Durability::Machine)?),
                    None => Storage::Sqlite,
                };
                Source::Own { program, storage }
            }
            (None, Some(url), Some(key)) => Source::Deployed { url: url.clone(), key: key.clone() },
            _ => return Err(anyhow!("say which server: --server, or --url and --server-key")),
        };
        Ok(Self { source, prefix, content: options.content })
    }

    /// What the server keeps everything in, for people.
    pub(crate) fn storage(&self) -> &'static str {
        match &self.source {
            Source::Deployed { .. } => "deployed",
            Source::Own { storage: Storage::Sqlite, .. } => "SQLite",
            Source::Own { .. } => "PostgreSQL",
        }
    }

    /// Fails if servers are not started here.
    pub(crate) fn must_be_own(&self) -> Result<()> {
        let own = matches!(self.source, Source::Own { .. });
        ensure!(own, "this is measured with a server that is started for it: give --server");
        Ok(())
    }

    /// A server in which nothing was done yet for this run.
    pub(crate) async fn start(&mut self) -> Result<Server> {
        let (backend, own) = match &mut self.source {
            Source::Deployed { url, key } => {
                let backend = Backend::new(url, key)?;
                // Better told once than by each client.
                backend.token(&self.prefix).await?;
                (backend, None)
            }
            Source::Own { program, storage } => {
                let data = tempfile::tempdir()?;
                let (database, url, process) = match storage {
                    Storage::Sqlite => (Database::sqlite(data.path().join("tutti.db")), None, None),
                    Storage::Cluster(cluster) => {
                        let url = cluster.create()?;
                        let process = Process::new(cluster.process());
                        (Database::postgres(&url), Some(url), Some(process))
                    }
                    Storage::Postgres(url) => (Database::postgres(url), Some(url.clone()), None),
                };
                let mut own = Own {
                    program: program.clone(),
                    data,
                    url,
                    secrets: [secret()?, secret()?, secret()?],
                    address: SocketAddr::from(([127, 0, 0, 1], 0)),
                    database,
                    database_process: process,
                    child: None,
                };
                own.start().await?;
                let url = Url::parse(&format!("http://{}", own.address))?;
                (Backend::new(&url, &own.secrets[0])?, Some(own))
            }
        };
        Ok(Server { backend: Arc::new(backend), own, prefix: self.prefix.clone(), content: self.content })
    }
}

/// A server under load. One that was started here ends with this.
pub(crate) struct Server {
    pub(crate) backend: Arc<Backend>,
    own: Option<Own>,
    prefix: String,
    content: u32,
}

impl Server {
    /// Nobody yet, of those who are to load it.
    pub(crate) fn crowd(&self) -> Crowd {
        Crowd::new(self.backend.clone(), &self.prefix, self.content)
    }

    /// What groups are called.
    pub(crate) fn group(&self, members: u32) -> String {
        format!("{}-{members}", self.prefix)
    }

    /// The one that was started here.
    ///
    /// # Errors
    /// When it runs elsewhere.
    pub(crate) fn own(&mut self) -> Result<&mut Own> {
        self.own.as_mut().context("the server runs elsewhere")
    }

    /// How many rows lie in its database, if that can be seen from here.
    pub(crate) async fn rows(&self) -> Result<Option<u64>> {
        match &self.own {
            Some(own) => own.database.rows().await.map(Some),
            None => Ok(None),
        }
    }

    /// The bytes of memory that it occupies, if that can be seen from here.
    pub(crate) fn memory(&self) -> Result<Option<u64>> {
        self.process().map(|process| Ok(process.memory()?)).transpose()
    }

    /// What all have used, as far as that can be seen from here.
    pub(crate) fn usage(&self) -> Result<Load> {
        let database = self.own.as_ref().and_then(|own| own.database_process);
        Ok(Load {
            server: self.process().map(Process::usage).transpose()?,
            database: database.map(Process::usage_with_children).transpose()?,
            clients: Process::own().usage()?,
        })
    }

    fn process(&self) -> Option<Process> {
        self.own.as_ref()?.process()
    }
}

/// What was used, where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// By the server, if that can be seen from here.
    pub(crate) server: Option<Usage>,
    /// By PostgreSQL, if it was started here.
    pub(crate) database: Option<Usage>,
    /// By the clients.
    pub(crate) clients: Usage,
}

impl Load {
    /// What was used since then.
    pub(crate) fn since(self, before: Self) -> Self {
        let since = |now: Option<Usage>, before: Option<Usage>| Some(now?.since(before?));
        Self {
            server: since(self.server, before.server),
            database: since(self.database, before.database),
            clients: self.clients.since(before.clients),
        }
    }
}

/// A server that was started here.
pub(crate) struct Own {
    program: PathBuf,
    data: TempDir,
    url: Option<String>,
    secrets: [String; 3],
    address: SocketAddr,
    pub(crate) database: Database,
    database_process: Option<Process>,
    child: Option<Child>,
}

impl Own {
    /// Starts it, on what it has left, and where it was before.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let log = self.data.path().join("server.log");
        let mut command = Command::new(&self.program);
        // As it runs in earnest, with the limits that it has by default.
        command.arg("--listen").arg(self.address.to_string()).arg("--data").arg(self.data.path());
        // Not as arguments, which everybody on this machine can read.
        let names = ["TUTTI_SERVER_KEY", "TUTTI_TOKEN_SECRET", "TUTTI_MASTER_KEY"];
        command.envs(names.into_iter().zip(&self.secrets));
        command.envs(self.url.iter().map(|url| ("TUTTI_DATABASE_URL", url)));
        let log_file = fs::OpenOptions::new().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log_file).kill_on_drop(true);
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let output = child.stdout.take().context("its output is piped")?;
        let line = timeout(PATIENCE, BufReader::new(output).lines().next_line()).await;
        let line = line.context("the server takes too long to start")??;
        let address = line.as_deref().and_then(|line| line.strip_prefix("listening on http://"));
        self.address = address
            .and_then(|address| address.parse().ok())
            .with_context(|| format!("the server did not start; it said:\n{}", last_lines(&log)))?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills it: nothing is finished, nothing is flushed.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.child()?.kill().await?;
        self.child = None;
        Ok(())
    }

    /// Stops it in good order, and waits until it has.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let id = self.child()?.id().context("the server has ended")?;
        kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM)?;
        let status = timeout(PATIENCE, self.child()?.wait()).await.context("the server does not stop")??;
        ensure!(status.success(), "the server did not stop in good order ({status})");
        self.child = None;
        Ok(())
    }

    fn child(&mut self) -> Result<&mut Child> {
        self.child.as_mut().context("the server does not run")
    }

    fn process(&self) -> Option<Process> {
        self.child.as_ref()?.id().map(Process::new)
    }
}

/// What a server said last.
fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// A key that nobody knows.
fn secret() -> Result<String> {
    let mut entropy = [0; 32];
    getrandom::fill(&mut entropy)?;
    Ok(entropy.iter().map(|byte| format!("{byte:02x}")).collect())
}
