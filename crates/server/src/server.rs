//! From a configuration to a server that runs, and to its end in good order.

use std::{
    fs::{DirBuilder, File},
    io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum_server::{Handle, accept::NoDelayAcceptor, tls_rustls::RustlsAcceptor};
use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::conn::auto as http,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tutti_acceptance::storage::{MasterKeys, PostgresStorage, SqliteStorage, Storage, StorageError};
use tutti_protocol::LogId;

use crate::{
    alerts::{self, Alerts},
    api,
    app::{App, CurrentSettings, ServerKey},
    bus::{Alone, Bus, Redis, UrlError},
    clock, cluster,
    config::{Config, ConfigError, Keys, Transport},
    devices::Lists,
    hub::Hub,
    origin::Origins,
    settings::Settings,
    status::Statuses,
    tls::Tls,
    tokens::Tokens,
    trimming,
    writer::Writer,
};

/// How long requests may take that have begun when the server is told to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the beginning of a connection or of a request may take.
const HEADERS: Duration = Duration::from_secs(10);

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
    /// Redis cannot be where it is said to be.
    #[error("--redis-url: {0}")]
    Redis(#[from] UrlError),
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
        let transport = config.transport()?;
        let storage = open(config, &keys.master).await?;
        let push = config.web_push()?;
        if let Err(off) = push.public_key() {
            tracing::info!("{off}");
        }
        let settings: Settings = match storage.settings().await? {
            Some(text) => serde_json::from_str(&text)?,
            None => Settings::default(),
        };
        let listener = bind(config.listen).map_err(|error| StartError::Listen(config.listen, error))?;
        let limits = config.limits.clone();
        let bus = bus(config, &keys)?;
        let hub = Arc::new(Hub::new(bus.clone(), limits.slot_lease(), settings.connections()));
        let grace = Duration::from_millis(config.presence_grace);
        let lists = Arc::new(Lists::new(storage.clone(), bus.clone(), hub.clone(), grace));
        let (alerts, news) = Alerts::new();
        let app = App {
            statuses: Arc::new(Statuses::new(storage.clone(), bus.clone(), hub.clone(), grace)),
            writer: Writer::start(storage.clone(), hub.clone(), lists.clone(), alerts),
            lists,
            storage,
            bus,
            hub,
            push,
            tokens: Tokens::new(&keys.token),
            server_key: ServerKey::new(&keys.server),
            origins: Origins::new(&config.allow_origins),
            settings: CurrentSettings::new(settings),
            site: config.site()?,
            transport: transport.clone(),
            limits,
            dev: config.dev,
            shutdown: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        let app = Arc::new(app);
        app.connections.spawn(alerts::run(app.clone(), news));
        app.connections.spawn(cluster::run(app.clone()));
        Ok(Self { app, listener, _lock: lock })
    }

    /// What connections are encrypted with, if this server does it.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        match &self.app.transport {
            Transport::Tls(tls) => Some(tls),
            Transport::Local | Transport::Proxy => None,
        }
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
        let app = self.app.clone();
        app.connections.spawn(trimming::run(app.clone()));
        let handle = Handle::new();
        let stopping = {
            let (handle, shutdown) = (handle.clone(), app.shutdown.clone());
            async move {
                stop.await;
                shutdown.cancel();
                // A request that does not end may not keep the server from ending.
                handle.graceful_shutdown(Some(DRAIN));
            }
        };
        let stopping = tokio::spawn(stopping);
        let served = self.serve(handle).await;
        stopping.abort();
        app.connections.close();
        app.connections.wait().await;
        app.bus.leave().await;
        app.storage.close().await;
        served
    }

    /// Accepts connections until the handle says to stop.
    async fn serve(&self, handle: Handle<SocketAddr>) -> io::Result<()> {
        let service = api::router(self.app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let mut server = axum_server::from_tcp(self.listener.try_clone()?)?.handle(handle);
        // WebSockets begin as HTTP/1.1 (RFC 6455). Who is slow to say what it wants is not waited for.
        let mut http = http::Builder::new(TokioExecutor::new()).http1_only();
        http.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS);
        *server.http_builder() = http;
        // Frames are small and go out at once.
        match &self.app.transport {
            Transport::Tls(tls) => {
                let acceptor = RustlsAcceptor::new(tls.config.clone()).handshake_timeout(HEADERS);
                server.acceptor(acceptor.acceptor(NoDelayAcceptor::new())).serve(service).await
            }
            Transport::Local | Transport::Proxy => {
                server.acceptor(NoDelayAcceptor::new()).serve(service).await
            }
        }
    }
}

/// Gives the log of a database that was restored another name. No server may be using it.
///
/// # Errors
/// [`StartError`] says what is in the way.
pub async fn rename_log(config: &Config) -> Result<(), StartError> {
    let _lock = lock(&config.data)?;
    let storage = open(config, &config.keys()?.master).await?;
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(ConfigError::Entropy)?;
    storage.rename_log(LogId::from(id)).await?;
    storage.close().await;
    Ok(())
}

/// Listens without blocking.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Opens the database that the server is to keep everything in.
async fn open(config: &Config, keys: &MasterKeys) -> Result<Arc<dyn Storage>, StorageError> {
    Ok(match &config.database_url {
        Some(url) => Arc::new(PostgresStorage::open(url, keys).await?),
        None => Arc::new(SqliteStorage::open(&config.data.join("tutti.db"), keys).await?),
    })
}

/// What this server knows together with others, if there are any.
fn bus(config: &Config, keys: &Keys) -> Result<Arc<dyn Bus>, StartError> {
    Ok(match &config.redis_url {
        Some(url) => Redis::start(url, &keys.token, &config.limits)?,
        None => Arc::new(Alone::new(&config.limits)),
    })
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
