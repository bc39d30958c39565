//! An account's devices: who they are, what is done about them, and with which tokens they came.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tutti_protocol::{Millis, wire};

use crate::{
    platform::Platform,
    storage::{Result, Touched, Transaction},
    work::{Growth, Work},
};

/// A device that is in the account's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// UUID text for a browser, any name for one that was registered over HTTP.
    pub id: String,
    /// What its user calls it, or else what it calls itself; its id until it has connected.
    pub name: String,
    /// What it is; unknown until it has connected.
    pub platform: Option<Platform>,
    /// When it was registered.
    pub registered_at: Millis,
    /// When it was last connected.
    pub last_seen: Option<Millis>,
    /// Its user has named it: what it calls itself counts no more.
    pub renamed: bool,
    /// Where it is pushed to.
    pub push: Option<Subscription>,
}

/// Where and how to push to a device (RFC 8030, RFC 8291).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// An https URL.
    pub endpoint: String,
    /// 65 bytes, an uncompressed point of P-256.
    pub p256dh: Bytes,
    /// 16 bytes.
    pub auth: Bytes,
}

/// That a device was removed: for good, so nothing else is known of it any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The device that did it; none: the application's back end, or one without a lasting id.
    pub by: Option<String>,
    /// When.
    pub at: Millis,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is in the list.
    Listed(Device),
    /// It was, and is to erase its copy of the account when it comes again.
    Removed(Removed),
}

/// A device, as it introduced itself.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Its id.
    pub id: String,
    /// What it calls itself; may be empty.
    pub name: String,
    /// What it is.
    pub platform: Platform,
}

/// What is remembered of a token: it cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenMark([u8; 16]);

/// A token that a device came with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Which.
    pub mark: TokenMark,
    /// When it stops to work.
    pub expires_at: Millis,
}

impl TokenMark {
    /// That of a token with this text: the first 16 bytes of its SHA-256.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut mark = [0; 16];
        mark.copy_from_slice(&Sha256::digest(text)[..16]);
        Self(mark)
    }

    /// As it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Not a token, but logs need not tell who came with the same one.
impl fmt::Debug for TokenMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenMark")
    }
}

impl Device {
    /// One that has not connected yet.
    #[must_use]
    pub fn new(id: &str, registered_at: Millis) -> Self {
        let (id, name) = (id.to_owned(), id.to_owned());
        Self { id, name, platform: None, registered_at, last_seen: None, renamed: false, push: None }
    }

    fn see(&mut self, sighting: &Sighting, now: Millis) {
        if !self.renamed && !sighting.name.is_empty() {
            self.name.clone_from(&sighting.name);
        }
        self.platform = Some(sighting.platform);
        self.last_seen = Some(now);
    }

    /// As it is listed on the wire, by who knows whether it is connected.
    #[must_use]
    pub fn into_wire(self, online: bool) -> wire::Device {
        wire::Device {
            id: self.id,
            name: self.name,
            platform: self.platform.map_or(wire::Platform::Unspecified, Into::into).into(),
            registered_at: self.registered_at.0,
            last_seen: self.last_seen.map_or(0, |at| at.0),
            online,
            push: self.push.is_some(),
        }
    }

    /// Whether it looks the same in the list, but for when it was seen.
    fn looks_like(&self, other: &Self) -> bool {
        (&self.name, self.platform, self.push.is_some())
            == (&other.name, other.platform, other.push.is_some())
    }
}

/// What has become of an account's list of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose list.
    pub account: String,
    /// Which device in it.
    pub device: String,
    /// What.
    pub what: What,
}

/// What has become of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is in the list, or looks different there.
    Listed,
    /// Its user has named it.
    Renamed(String),
    /// It was removed, perhaps by another device.
    Removed(Option<String>),
}

/// A device is there: it is registered if need be, and with the token that it came with. At most so many devices
/// of an account are listed ([`limits::DEVICES`](tutti_protocol::limits::DEVICES)).
#[derive(Clone, Debug)]
pub struct Appear {
    /// Whose device.
    pub account: String,
    /// Who it says that it is.
    pub sighting: Sighting,
    /// What it came with.
    pub token: Token,
    /// When.
    pub now: Millis,
}

/// Why a device may not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barred {
    /// It was removed, or its account was erased.
    Removed(Removed),
    /// A device that was removed had come with its token, and this one had not before.
    Token,
}

impl Barred {
    /// The account was erased at that time.
    #[must_use]
    pub fn erased(at: Millis) -> Self {
        Self::Removed(Removed { by: None, at })
    }
}

#[async_trait]
impl Work for Appear {
    type Answer = Result<(), Barred>;

    fn tell_touched(&self, touched: &mut Touched) {
        touched.devices.insert(self.account.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Self::Answer> {
        let (account, id) = (&self.account, &self.sighting.id);
        if let Some((_, at)) = tx.erased(&[account]).await? {
            return Ok(Err(Barred::erased(at)));
        }
        let before = match tx.device(account, id).await? {
            Some(Known::Removed(removed)) => return Ok(Err(Barred::Removed(removed))),
            Some(Known::Listed(device)) => Some(device),
            None => None,
        };
        if !tx.note_token(account, id, self.token).await? {
            return Ok(Err(Barred::Token));
        }
        let mut device = before.clone().unwrap_or_else(|| Device::new(id, self.now));
        device.see(&self.sighting, self.now);
        tx.put_device(account, &device).await?;
        if before.is_none() {
            tx.drop_surplus_devices(account).await?;
        }
        if !before.is_some_and(|before| before.looks_like(&device)) {
            growth.note_device(account, id, What::Listed);
        }
        Ok(Ok(()))
    }
}

/// An account is to have these devices: all of them, or none if one of them was removed, or the account erased.
#[derive(Clone, Debug)]
pub struct Register {
    /// Whose.
    pub account: String,
    /// Their ids.
    pub devices: Vec<String>,
    /// When.
    pub now: Millis,
}

/// Why devices are not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unregistered {
    /// This one was removed.
    Removed(String),
    /// Their account was erased.
    Erased,
}

#[async_trait]
impl Work for Register {
    type Answer = Result<(), Unregistered>;

    fn tell_touched(&self, touched: &mut Touched) {
        touched.devices.insert(self.account.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<Self::Answer> {
        if tx.erased(&[&self.account]).await?.is_some() {
            return Ok(Err(Unregistered::Erased));
        }
        let mut new = Vec::new();
        for id in &self.devices {
            match tx.device(&self.account, id).await? {
                Some(Known::Removed(_)) => return Ok(Err(Unregistered::Removed(id.clone()))),
                Some(Known::Listed(_)) => {}
                None => new.push(Device::new(id, self.now)),
            }
        }
        for device in &new {
            tx.put_device(&self.account, device).await?;
            growth.note_device(&self.account, &device.id, What::Listed);
        }
        if !new.is_empty() {
            tx.drop_surplus_devices(&self.account).await?;
        }
        Ok(Ok(()))
    }
}

/// A device is given a name by its user.
#[derive(Clone, Debug)]
pub struct Rename {
    /// Whose device.
    pub account: String,
    /// Which.
    pub device: String,
    /// Its name from now on.
    pub name: String,
}

#[async_trait]
impl Work for Rename {
    /// Whether there is such a device.
    type Answer = bool;

    fn tell_touched(&self, touched: &mut Touched) {
        touched.devices.insert(self.account.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<bool> {
        let Some(Known::Listed(before)) = tx.device(&self.account, &self.device).await? else {
            return Ok(false);
        };
        let device = Device { name: self.name.clone(), renamed: true, ..before.clone() };
        if device != before {
            tx.put_device(&self.account, &device).await?;
            growth.note_device(&self.account, &self.device, What::Renamed(self.name.clone()));
        }
        Ok(true)
    }
}

/// A device is removed for good: its push ends, and the tokens that it came with work for no device that has not
/// come with them before.
#[derive(Clone, Debug)]
pub struct Remove {
    /// Whose device.
    pub account: String,
    /// Which.
    pub device: String,
    /// By which other one, or itself.
    pub by: Option<String>,
    /// When.
    pub now: Millis,
}

#[async_trait]
impl Work for Remove {
    /// Whether there is such a device, or was until it was removed.
    type Answer = bool;

    fn tell_touched(&self, touched: &mut Touched) {
        touched.devices.insert(self.account.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<bool> {
        match tx.device(&self.account, &self.device).await? {
            None => return Ok(false),
            Some(Known::Removed(_)) => return Ok(true),
            Some(Known::Listed(_)) => {}
        }
        let removed = Removed { by: self.by.clone(), at: self.now };
        tx.remove_device(&self.account, &self.device, &removed).await?;
        growth.note_device(&self.account, &self.device, What::Removed(removed.by));
        Ok(true)
    }
}

/// A device is pushed to from now on, or not any more.
#[derive(Clone, Debug)]
pub struct SetPush {
    /// Whose device.
    pub account: String,
    /// Which.
    pub device: String,
    /// Where to; none: nowhere.
    pub push: Option<Subscription>,
}

#[async_trait]
impl Work for SetPush {
    /// Whether there is such a device.
    type Answer = bool;

    fn tell_touched(&self, touched: &mut Touched) {
        touched.devices.insert(self.account.clone());
    }

    async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<bool> {
        let Some(Known::Listed(before)) = tx.device(&self.account, &self.device).await? else {
            return Ok(false);
        };
        if self.push != before.push {
            tx.set_push(&self.account, &self.device, self.push.as_ref()).await?;
        }
        if self.push.is_some() != before.push.is_some() {
            growth.note_device(&self.account, &self.device, What::Listed);
        }
        Ok(true)
    }
}

/// Tokens that have expired are forgotten, some of them.
#[derive(Clone, Copy, Debug)]
pub struct TrimTokens {
    /// Those that have expired by then.
    pub now: Millis,
}

#[async_trait]
impl Work for TrimTokens {
    /// Whether there may be more.
    type Answer = bool;

    async fn run(&self, tx: &mut dyn Transaction, _: &mut Growth) -> Result<bool> {
        tx.trim_tokens(self.now).await
    }
}
