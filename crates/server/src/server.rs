//! From a configuration to a server that runs, and to its end in good order.

use std::{
    fs::{DirBuilder, File},
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::serve::ListenerExt as _;
use tokio::{net::TcpListener, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tutti_acceptance::storage::{SqliteStorage, Storage, StorageError};
use tutti_protocol::limits;

use crate::{
    api,
    app::{App, CurrentSettings, ServerKey},
    clock,
    config::{Config, ConfigError},
    hub::Hub,
    origin::Origins,
    rate::{AccountRates, Rate},
    settings::Settings,
    site::Site,
    status::Statuses,
    tokens::Tokens,
    trimming,
    writer::Writer,
};

/// How long requests may take that have begun when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How much longer than the silence before a ping a connection keeps its place: enough for the answer,
/// so that only one that is not there loses it, however seldom this server pings.
const LEASE_BEYOND_PING: Duration = Duration::from_millis(limits::SLOT_LEASE - limits::PING_INTERVAL);

/// A server that listens.
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    _lock: File,
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It is told something that makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error("cannot use {0}: {1}")]
    Data(PathBuf, #[source] io::Error),
    /// Two servers on one database would not know of each other's connections.
    #[error("another server uses {0}")]
    InUse(PathBuf),
    /// The database cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The settings in the database cannot be read.
    #[error("stored settings: {0}")]
    Settings(#[from] serde_json::Error),
    /// The address is not to be had.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
}

impl Server {
    /// Opens the database and listens.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        clock::set_offset(config.clock_offset);
        let lock = lock(&config.data)?;
        let keys = config.keys()?;
        let storage: Arc<dyn Storage> = Arc::new(SqliteStorage::open(&config.data.join("tutti.db")).await?);
        let settings: Settings = match storage.settings().await? {
            Some(text) => serde_json::from_str(&text)?,
            None => Settings::default(),
        };
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|error| StartError::Listen(config.listen, error))?;
        let ping_interval = Duration::from_secs(config.ping_interval);
        let hub = Arc::new(Hub::new(ping_interval + LEASE_BEYOND_PING, settings.connections()));
        let grace = Duration::from_millis(config.presence_grace);
        let app = App {
            statuses: Arc::new(Statuses::new(storage.clone(), hub.clone(), grace)),
            writer: Writer::start(storage.clone(), hub.clone()),
            storage,
            hub,
            posts: AccountRates::new(Rate::FRAMES),
            rates: AccountRates::new(Rate {
                burst: config.rate_burst,
                per_second: f64::from(config.rate_per_second),
            }),
            tokens: Tokens::new(&keys.token),
            server_key: ServerKey::new(&keys.server),
            origins: Origins::new(&config.allow_origins),
            settings: CurrentSettings::new(settings),
            site: config.www.clone().map(Site::new),
            ping_interval,
            dev: config.dev,
            shutdown: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        Ok(Self { app: Arc::new(app), listener, _lock: lock })
    }

    /// Where it listens: the port that was found when port 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`, then says goodbye to every connection, finishes what was begun and
    /// closes the database.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let app = self.app;
        app.connections.spawn(trimming::run(app.clone()));
        let shutdown = app.shutdown.clone();
        let service = api::router(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let listener = self.listener.tap_io(|stream| {
            // Frames are small and go out at once. Where the system cannot do that they go out later.
            let _ = stream.set_nodelay(true);
        });
        let stopping = app.shutdown.clone();
        let serving = axum::serve(listener, service)
            .with_graceful_shutdown(async move {
                stop.await;
                shutdown.cancel();
            })
            .into_future();
        let served = tokio::select! {
            served = serving => served,
            // A request that does not end may not keep the server from ending.
            () = async { stopping.cancelled().await; sleep(DRAIN).await } => Ok(()),
        };
        app.connections.close();
        app.connections.wait().await;
        app.storage.close().await;
        served
    }
}

/// Makes the data directory if need be, and keeps other servers out of it for as long as the file
/// is held.
fn lock(data: &Path) -> Result<File, StartError> {
    let failed = |error| StartError::Data(data.to_owned(), error);
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    let file = File::create(data.join("lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::InUse(data.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}
