//! What all requests and connections share.

use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tutti_acceptance::{reach::Reach, storage::Storage};

use crate::{
    bus::Bus, config::Transport, devices::Lists, hub::Hub, limits::Limits, origin::Origins, push::WebPush,
    settings::Settings, site::Site, status::Statuses, tokens::Tokens, writer::Writer,
};

/// What all requests and connections share.
pub(crate) struct App {
    /// Lasting memory, to read.
    pub storage: Arc<dyn Storage>,
    /// The way to change it.
    pub writer: Writer,
    /// What all servers know together.
    pub bus: Arc<dyn Bus>,
    /// Who is connected.
    pub hub: Arc<Hub>,
    /// Who is there, and the way to all who are.
    pub statuses: Arc<Statuses>,
    /// The way to browsers whose page is closed.
    pub push: WebPush,
    /// Which devices are there, and the way to those who want to know.
    pub lists: Arc<Lists>,
    /// Reads and makes user tokens.
    pub tokens: Tokens,
    /// Authenticates the application's back end.
    pub server_key: ServerKey,
    /// Which pages may connect.
    pub origins: Origins,
    /// What the operator has set.
    pub settings: CurrentSettings,
    /// The page that is served.
    pub site: Option<Site>,
    /// How connections are kept from being listened to.
    pub transport: Transport,
    /// What a connection may do.
    pub limits: Limits,
    /// Whether tokens are given to anyone on this machine.
    pub dev: bool,
    /// The server is about to end.
    pub shutdown: CancellationToken,
    /// Connections, and what else the server waits for before it ends.
    pub connections: TaskTracker,
}

impl App {
    /// Which devices of an account get a message that is accepted now.
    pub(crate) fn reach(&self) -> Reach {
        if self.settings.get().sync_enabled { Reach::All } else { Reach::One(self.hub.clone()) }
    }

    /// From now on these settings hold, for those who are connected here, too.
    pub(crate) async fn take_settings(&self, settings: Settings) {
        let limits = settings.connections();
        self.settings.set(settings);
        self.hub.set_limits(limits).await;
    }
}

/// The key of the application's back end. Only its hash is held, and compared in constant time.
pub(crate) struct ServerKey([u8; 32]);

impl ServerKey {
    /// This key.
    #[must_use]
    pub(crate) fn new(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Whether this is the key.
    #[must_use]
    pub(crate) fn is(&self, key: &str) -> bool {
        self.0.ct_eq(&Sha256::digest(key)[..]).into()
    }
}

/// The settings as they are now.
pub(crate) struct CurrentSettings {
    settings: RwLock<Arc<Settings>>,
    changed: Notify,
    changing: tokio::sync::Mutex<()>,
}

impl CurrentSettings {
    /// These.
    #[must_use]
    pub(crate) fn new(settings: Settings) -> Self {
        let settings = RwLock::new(Arc::new(settings));
        Self { settings, changed: Notify::new(), changing: tokio::sync::Mutex::default() }
    }

    /// The settings as they are now.
    #[must_use]
    pub(crate) fn get(&self) -> Arc<Settings> {
        let settings = self.settings.read();
        settings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these.
    pub(crate) fn set(&self, settings: Settings) {
        let mut current = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(settings);
        self.changed.notify_one();
    }

    /// Waits until they have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Waits for the right to change them.
    pub(crate) async fn changing(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changing.lock().await
    }
}
