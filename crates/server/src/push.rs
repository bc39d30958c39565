//! Web Push: tells a browser whose page is closed that there is something (RFC 8030).
//!
//! ```text
//! enqueue ── queue ── sender ── dial ── push service ── browser
//!              │         ├── sealing: what only the browser can read (RFC 8291)
//!              │         └── vapid: who pushes (RFC 8292)
//!              └── gone: subscriptions to remove
//! ```
//! ```text
//! let subscription = app.push.subscription(endpoint, p256dh, auth)?; // as the browser gave it
//! let payload = Payload::new(text)?;
//! app.push.enqueue(key, subscription, Push { payload, ttl, urgency: Urgency::High, topic: None });
//! app.push.cancel(|key| key.account == "alice" && key.notification == read);
//! let removed = app.push.gone().await; // its subscription is no more
//! ```
//! Endpoints are capabilities, and what is pushed is private: of both, logs have the push service's origin alone.

mod address;
mod dial;
mod queue;
mod sealing;
mod sender;
mod services;
mod settings;
mod subscription;
mod vapid;

use std::sync::Arc;

pub use dial::{Internet, Network};
pub use queue::{Counts, Key, Queue};
pub use sealing::{MAX_PAYLOAD, Payload, PayloadTooLarge, SIZES};
pub use sender::{BadTopic, Deliver, Outcome, Push, Sender, Topic, Urgency};
pub use services::{BadService, NotAllowed, Service, Services};
pub use settings::PushSettings;
pub use subscription::{MAX_ENDPOINT, Subscription, SubscriptionError};
pub(crate) use vapid::make_key;
pub use vapid::{Vapid, VapidError};

/// Web Push as this server does it, if it does.
#[derive(Debug)]
pub struct WebPush(Result<On, Off>);

#[derive(Debug)]
struct On {
    services: Arc<Services>,
    vapid: Arc<Vapid>,
    queue: Queue,
}

/// Why nothing is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Web Push is off: the server was started without --vapid-key")]
pub struct Off;

/// Why a subscription is not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubscribeError {
    /// Nothing is pushed.
    #[error(transparent)]
    Off(#[from] Off),
    /// It is not one that this server can push to.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
}

impl WebPush {
    /// Nothing is pushed.
    #[must_use]
    pub fn off() -> Self {
        Self(Err(Off))
    }

    /// Pushes to these services in the name of a key, once it [runs](Self::run).
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn new(services: Services, vapid: Vapid) -> Result<Self, rustls::Error> {
        let (services, vapid) = (Arc::new(services), Arc::new(vapid));
        let sender = Sender::new(services.clone(), vapid.clone())?;
        Ok(Self(Ok(On { services, vapid, queue: Queue::new(Arc::new(sender)) })))
    }

    /// What browsers subscribe with: `applicationServerKey`, in base64url.
    ///
    /// # Errors
    /// [`Off`] when nothing is pushed.
    pub fn public_key(&self) -> Result<&str, Off> {
        Ok(self.on()?.vapid.public_key())
    }

    /// A subscription, as it goes over the wire and is stored.
    ///
    /// # Errors
    /// [`SubscribeError`] when nothing is pushed there.
    pub fn subscription(
        &self,
        endpoint: &str,
        p256dh: &[u8],
        auth: &[u8],
    ) -> Result<Subscription, SubscribeError> {
        Ok(Subscription::of_bytes(endpoint, p256dh, auth, &self.on()?.services)?)
    }

    /// Sends a push when its turn comes: see [`Queue::enqueue`]. Nothing while pushes are off.
    pub fn enqueue(&self, key: Key, to: Subscription, push: Push) {
        if let Ok(on) = &self.0 {
            on.queue.enqueue(key, to, push);
        }
    }

    /// Drops all that waits of what is cancelled: read elsewhere, recalled, or for a device that was removed.
    pub fn cancel(&self, is_cancelled: impl FnMut(&Key) -> bool) {
        if let Ok(on) = &self.0 {
            on.queue.cancel(is_cancelled);
        }
    }

    /// Waits for the next push whose subscription is no more, which is to be removed.
    pub async fn gone(&self) -> Key {
        match &self.0 {
            Ok(on) => on.queue.gone().await,
            Err(Off) => std::future::pending().await,
        }
    }

    /// How many pushes ended how.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.as_ref().map(|on| on.queue.counts()).unwrap_or_default()
    }

    /// Sends what waits, until this is dropped.
    pub async fn run(&self) {
        match &self.0 {
            Ok(on) => on.queue.run().await,
            Err(Off) => std::future::pending().await,
        }
    }

    fn on(&self) -> Result<&On, Off> {
        self.0.as_ref().map_err(|off| *off)
    }
}
