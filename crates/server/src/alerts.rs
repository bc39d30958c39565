//! Alerts: an account that is notified of something while none of its devices is active is pushed to.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tutti_acceptance::{
    devices::{Known, SetPush, Subscription, What},
    storage::{Result as StorageResult, Touched, Transaction},
    work::{Growth, Notice, Work},
};
use tutti_protocol::{DeviceId, OperationId, wire};

use crate::{
    app::App,
    bus::Word,
    clock::now,
    push::{Key, Payload, Push, Urgency, WebPush},
    roster,
};

/// How long a push service keeps an alert for a browser that is not there, and how long the token in it is good.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// Most bytes of a title, and of a body: with the rest of an alert they fit into a push. What is longer the browser
/// has once it has synced.
const WORDS: usize = 1_000;

/// Where news for alerts are brought.
#[derive(Clone)]
pub(crate) struct Alerts(UnboundedSender<News>);

/// What was committed that alerts follow from.
pub(crate) enum News {
    /// An account was notified of something new.
    Alert {
        /// The account.
        account: String,
        /// Of what.
        notification: wire::Notification,
    },
    /// What waits of it is not to be pushed any more, by whichever server.
    Over(Cancelled),
}

/// Pushes that are not to be sent any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cancelled {
    /// An account has seen what they tell of, or there is nothing to be seen of it any more.
    Notification {
        /// The account.
        account: String,
        /// What was to be seen.
        #[serde(with = "roster::base64")]
        id: Bytes,
    },
    /// A device is not in its account's list any more.
    Device {
        /// The account.
        account: String,
        /// The device.
        device: String,
    },
    /// An account is no more.
    Account(String),
}

impl Cancelled {
    /// Drops those of them that wait on this server.
    pub(crate) fn cancel(&self, push: &WebPush) {
        match self {
            Self::Notification { account, id } => {
                push.cancel(|key| key.account == *account && key.notification == *id);
            }
            Self::Device { account, device } => {
                push.cancel(|key| key.account == *account && device_of(key) == Some(device));
            }
            Self::Account(account) => push.cancel(|key| key.account == *account),
        }
    }
}

impl Alerts {
    /// A way to bring news, and where they come out, for [`run`].
    pub(crate) fn new() -> (Self, UnboundedReceiver<News>) {
        let (sender, news) = unbounded_channel();
        (Self(sender), news)
    }

    /// Passes on what was committed.
    pub(crate) fn tell(&self, growth: &Growth) {
        let notices = growth.notices().iter().map(News::from);
        let removed = growth.devices().iter().filter(|change| matches!(change.what, What::Removed(_)));
        let removed = removed.map(|change| {
            let (account, device) = (change.account.clone(), change.device.clone());
            News::Over(Cancelled::Device { account, device })
        });
        let erased = growth.erased_accounts().iter().cloned().map(Cancelled::Account).map(News::Over);
        // When nobody listens any more the server is about to end.
        notices.chain(removed).chain(erased).for_each(|news| drop(self.0.send(news)));
    }
}

impl From<&Notice> for News {
    fn from(notice: &Notice) -> Self {
        match notice.clone() {
            Notice::Alert { account, notification } => Self::Alert { account, notification },
            Notice::Over { account, id } => {
                Self::Over(Cancelled::Notification { account, id: id.to_bytes() })
            }
        }
    }
}

/// Alerts, until the server ends.
pub(crate) async fn run(app: Arc<App>, mut news: UnboundedReceiver<News>) {
    let work = async {
        loop {
            tokio::select! {
                Some(news) = news.recv() => follow(&app, news).await,
                key = app.push.gone() => unsubscribe(&app, key).await,
            }
        }
    };
    app.shutdown.run_until_cancelled(async { tokio::join!(work, app.push.run()) }).await;
}

async fn follow(app: &App, news: News) {
    match news {
        News::Alert { account, notification } => {
            if let Err(error) = alert(app, &account, &notification).await {
                tracing::warn!(%error, "an account was not alerted");
            }
        }
        News::Over(cancelled) => {
            cancelled.cancel(&app.push);
            app.bus.publish(Word::Cancelled(cancelled));
        }
    }
}

/// Pushes to all of an account's devices that are to be pushed to and have no connection, unless it is active on one
/// that has.
async fn alert(app: &App, account: &str, notification: &wire::Notification) -> StorageResult<()> {
    if app.push.public_key().is_err() || app.statuses.is_active(account).await {
        return Ok(());
    }
    let roster = app.bus.look(account).await;
    for device in app.storage.devices(account).await? {
        let Some(subscription) = device.push.filter(|_| !roster.is_online(&device.id)) else {
            continue;
        };
        let Subscription { endpoint, p256dh, auth } = &subscription;
        let Ok(to) = app.push.subscription(endpoint, p256dh, auth) else {
            // It was one, when the operator allowed other push services.
            continue;
        };
        let Some(payload) = payload(app, account, &device.id, notification) else {
            continue;
        };
        let key = Key {
            account: account.to_owned(),
            notification: notification.id.clone(),
            subscription: name(&device.id, &subscription).into(),
        };
        app.push.enqueue(key, to, Push { payload, ttl: TTL, urgency: Urgency::High, topic: None });
    }
    Ok(())
}

/// What the device's service worker reads: what to show, and a token to sync with that is for this device alone.
fn payload(app: &App, account: &str, device: &str, notification: &wire::Notification) -> Option<Payload> {
    let token =
        app.tokens.issue(account, Some(device.parse::<DeviceId>().ok()?), now(), TTL.as_secs()).ok()?;
    let about = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let payload = json!({"tutti": {
        "account": account,
        "token": token.text,
        "notification": {
            "id": OperationId::try_from(&notification.id).ok()?.to_string(),
            "title": beginning(&notification.title),
            "body": beginning(&notification.body),
            "conversation": about(&notification.conversation),
            "message": OperationId::try_from(&notification.message).ok().map(|id| id.to_string()),
            "createdAt": notification.created_at,
            "state": "unread",
        },
    }});
    Payload::new(payload.to_string()).ok()
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(WORDS)]
}

/// A subscription of a device.
fn name(device: &str, subscription: &Subscription) -> String {
    format!("{device} {}", subscription.endpoint)
}

fn device_of(key: &Key) -> Option<&str> {
    Some(str::from_utf8(&key.subscription).ok()?.rsplit_once(' ')?.0)
}

/// A push service says that a subscription is no more.
async fn unsubscribe(app: &App, key: Key) {
    if let Err(error) = app.writer.write(Unsubscribe(key)).await {
        tracing::warn!(%error, "a push subscription that is no more was not removed");
    }
}

/// A subscription ends, if it is still the device's.
struct Unsubscribe(Key);

#[async_trait]
impl Work for Unsubscribe {
    type Answer = ();

    fn tell_touched(&self, touched: &mut Touched) {
        touched.devices.insert(self.0.account.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> StorageResult<()> {
        let (Some(device), account) = (device_of(&self.0), &self.0.account) else {
            return Ok(());
        };
        let Some(Known::Listed(known)) = tx.device(account, device).await? else {
            return Ok(());
        };
        if known.push.is_some_and(|push| name(device, &push).as_bytes() == &self.0.subscription[..]) {
            let (account, device) = (account.clone(), device.to_owned());
            SetPush { account, device, push: None }.run(tx, growth).await?;
        }
        Ok(())
    }
}
