//! What the server does about devices: which an account has, what is done about them, and the tokens with which they
//! come.

use std::collections::BTreeSet;

use tutti_acceptance::{
    accept::Refusal,
    devices::{
        Appear, Change, Known, Register, Remove, Rename, SetPush, Sighting, Subscription, Token, TokenMark,
        What,
    },
    source::Source,
    storage::{self, Storage as _},
};
use tutti_protocol::{
    Code, DeviceId, Millis,
    wire::{self, manage, server_frame, status::Status as Kind},
};

use super::{Server, Session, Wire, poll};

/// When a token expires that never does.
const NEVER: Millis = Millis(u64::MAX);

/// Why a device may not be there.
pub(super) enum TurnedAway {
    /// It was removed, perhaps by another one.
    Removed(Option<String>),
    /// Its token is good no more, or was never good.
    Token(Code),
}

impl Server {
    /// An account's devices.
    #[must_use]
    pub fn devices(&self, account: &str) -> wire::Devices {
        let online = self.online(account);
        let devices = poll(self.storage.devices(account)).expect("memory holds").into_iter();
        let devices = devices.map(|device| {
            let online = online.contains(&device.id);
            device.into_wire(online)
        });
        wire::Devices { devices: devices.collect() }
    }

    /// Who has removed a device, if it was removed.
    #[must_use]
    pub fn removal(&self, account: &str, device: DeviceId) -> Option<Option<String>> {
        match poll(self.storage.device(account, &device.to_string())).expect("memory holds") {
            Some(Known::Removed(removed)) => Some(removed.by),
            Some(Known::Listed(_)) | None => None,
        }
    }

    /// The back end of the application registers a device that has not come yet. Says whether that could be stored.
    pub fn register_device(&mut self, account: &str, device: &str, now: Millis) -> bool {
        let (account, devices) = (account.to_owned(), vec![device.to_owned()]);
        self.perform(&Register { account, devices, now }).is_ok_and(|registered| registered.is_ok())
    }

    /// The back end of the application removes a device. Says whether that could be stored.
    pub fn remove_device(&mut self, account: &str, device: DeviceId, now: Millis) -> bool {
        let (account, device) = (account.to_owned(), device.to_string());
        let removed = self.perform(&Remove { account, device, by: None, now });
        self.cut_off();
        removed.is_ok_and(|is_there| is_there)
    }

    /// Ends the connections whose tokens have expired.
    pub fn expire(&mut self, now: Millis) {
        let over = self.sessions.iter().filter(|(_, session)| !session.post && session.expires_at <= now);
        for wire in over.map(|(wire, _)| *wire).collect::<Vec<_>>() {
            self.refuse(wire, Code::Auth, 0);
        }
    }

    /// Whether a device may be there with a token, and until when that is good. One that was removed learns that
    /// first: for that its token may have expired.
    pub(super) fn admit(
        &mut self,
        account: &str,
        source: Source,
        text: &str,
        now: Millis,
    ) -> Result<Millis, TurnedAway> {
        let expires_at = expiry(text, account).ok_or(TurnedAway::Token(Code::Auth))?;
        let device = source.lasting();
        if let Some(by) = device.and_then(|device| self.removal(account, device)) {
            return Err(TurnedAway::Removed(by));
        }
        if expires_at <= now {
            return Err(TurnedAway::Token(Code::Auth));
        }
        let keepers = poll(self.storage.token_keepers(account, TokenMark::of(text))).expect("memory holds");
        let may_use = |keepers: &BTreeSet<String>| device.is_some_and(|it| keepers.contains(&it.to_string()));
        if keepers.is_some_and(|keepers| !may_use(&keepers)) {
            self.barred.insert(text.to_owned());
            return Err(TurnedAway::Token(Code::Revoked));
        }
        Ok(expires_at)
    }

    pub(super) fn turn_away(&mut self, wire: Wire, why: TurnedAway) {
        match why {
            TurnedAway::Token(code) => self.refuse(wire, code, 0),
            TurnedAway::Removed(by) => self.revoke(wire, by),
        }
    }

    /// Notes that the device of a connection is there, and with which token, unless it has no lasting id. A full disk
    /// keeps nobody out.
    pub(super) fn note_sighting(&mut self, wire: Wire, text: &str, now: Millis) {
        let Session { account, source, platform, expires_at, name, .. } = &self.sessions[&wire];
        let Some(device) = source.lasting() else { return };
        let sighting = Sighting { id: device.to_string(), name: name.clone(), platform: *platform };
        let token = Token { mark: TokenMark::of(text), expires_at: *expires_at };
        let appeared = self.perform(&Appear { account: account.clone(), sighting, token, now });
        assert!(!matches!(appeared, Ok(Err(_))), "it was admitted");
    }

    /// Goes on with another token, if that is good.
    pub(super) fn refresh(&mut self, wire: Wire, text: &str, now: Millis) {
        let Session { account, source, .. } = &self.sessions[&wire];
        let (account, source) = (account.clone(), *source);
        match self.admit(&account, source, text, now) {
            Ok(expires_at) => {
                self.refreshed += 1;
                self.sessions.entry(wire).and_modify(|session| session.expires_at = expires_at);
                self.note_sighting(wire, text, now);
                let refreshed = wire::Refreshed { token_ttl: ttl(expires_at, now) };
                self.send(wire, server_frame::Frame::Refreshed(refreshed));
            }
            Err(why) => self.turn_away(wire, why),
        }
    }

    /// Does something about the devices of an account, and answers.
    pub(super) fn manage(&mut self, wire: Wire, manage: wire::Manage, now: Millis) {
        let wire::Manage { number, what } = manage;
        let refused = |code: Code| wire::Managed { code: code.as_str().into(), ..wire::Managed::default() };
        let managed = match self.do_about_devices(wire, what.expect("the codec has looked"), now) {
            Ok(Some(devices)) => wire::Managed { devices, ..wire::Managed::default() },
            Ok(None) => refused(Code::NotFound),
            Err(_) => refused(Refusal::storage().code),
        };
        self.send(wire, server_frame::Frame::Managed(wire::Managed { number, ..managed }));
        // Who has removed itself is answered first.
        self.cut_off();
    }

    /// Answers with the devices, if those are wanted; with nothing if there is no such device.
    fn do_about_devices(
        &mut self,
        wire: Wire,
        what: manage::What,
        now: Millis,
    ) -> storage::Result<Option<Option<wire::Devices>>> {
        let Session { account, source, .. } = &self.sessions[&wire];
        let (account, own) = (account.clone(), source.lasting().map(|device| device.to_string()));
        let is_there = match what {
            manage::What::List(wire::ListDevices {}) => return Ok(Some(Some(self.devices(&account)))),
            manage::What::Rename(wire::RenameDevice { device, name }) => {
                self.perform(&Rename { account, device, name })?
            }
            manage::What::Remove(wire::RemoveDevice { device }) => {
                self.perform(&Remove { account, device, by: own, now })?
            }
            manage::What::SetPush(wire::SetPush { endpoint, p256dh, auth }) => {
                let push = (!endpoint.is_empty()).then_some(Subscription { endpoint, p256dh, auth });
                own.map_or(Ok(false), |device| self.perform(&SetPush { account, device, push }))?
            }
        };
        Ok(is_there.then_some(None))
    }

    /// Something has become of an account's device.
    pub(super) fn note_change(&mut self, change: Change) {
        if let What::Removed(by) = change.what {
            self.removed.push((change.account.clone(), change.device, by));
        }
        self.relisted.insert(change.account);
    }

    /// Ends the connections of devices that were removed.
    fn cut_off(&mut self) {
        for (account, device, by) in std::mem::take(&mut self.removed) {
            let is_its = |session: &Session| {
                let lasting = session.source.lasting().map(|id| id.to_string());
                session.account == account && lasting.as_ref() == Some(&device)
            };
            let its = self.sessions.iter().filter(|(_, session)| !session.post && is_its(session));
            for wire in its.map(|(wire, _)| *wire).collect::<Vec<_>>() {
                self.revoke(wire, by.clone());
            }
        }
    }

    pub(super) fn revoke(&mut self, wire: Wire, by: Option<String>) {
        self.sessions.remove(&wire);
        self.end(wire, server_frame::Frame::Revoked(wire::Revoked { by: by.unwrap_or_default() }));
    }

    /// Who of an account's devices is there.
    fn online(&self, account: &str) -> BTreeSet<String> {
        let there = self.sessions.values().filter(|session| !session.post && session.account == account);
        there.filter_map(|session| Some(session.source.lasting()?.to_string())).collect()
    }

    /// Tells whose list of devices has changed. That it is there itself is no news to a device.
    pub(super) fn tell_lists(&mut self) {
        let there: BTreeSet<(String, DeviceId)> = self
            .sessions
            .values()
            .filter(|session| !session.post)
            .filter_map(|session| Some((session.account.clone(), session.source.lasting()?)))
            .collect();
        let moved = there.symmetric_difference(&self.there).map(|(account, _)| account.clone());
        let mut accounts: BTreeSet<String> = moved.collect();
        accounts.append(&mut self.relisted);
        self.there = there;
        for account in accounts {
            let list = self.devices(&account);
            let seen = timeless(&list);
            let listeners = self.sessions.iter_mut();
            let listeners = listeners.filter(|(_, session)| session.listens && session.account == account);
            let news = |(wire, session): (&Wire, &mut Session)| {
                let before = session.list.replace(seen.clone());
                before.is_some_and(|before| before != seen).then_some(*wire)
            };
            for wire in listeners.filter_map(news).collect::<Vec<_>>() {
                let status = wire::Status { status: Some(Kind::Devices(list.clone())) };
                self.send(wire, server_frame::Frame::Status(status));
            }
        }
    }
}

/// A list without what changes with each look at it.
#[must_use]
pub fn timeless(list: &wire::Devices) -> wire::Devices {
    let device = |device: &wire::Device| wire::Device { last_seen: 0, ..device.clone() };
    wire::Devices { devices: list.devices.iter().map(device).collect() }
}

/// The token that is good for an account, for ever.
#[must_use]
pub fn token(account: &str) -> String {
    format!("token of {account}")
}

/// One that the application's back end has signed for a profile whose user has signed in so many times; good until
/// then, or for ever.
#[must_use]
pub fn token_of(account: &str, profile: usize, sign_in: u64, until: Option<Millis>) -> String {
    let until = until.unwrap_or(NEVER).0;
    format!("{}, in profile {profile}, sign-in {sign_in}, until {until}", token(account))
}

/// When a token expires, if it is one of the account's.
fn expiry(text: &str, account: &str) -> Option<Millis> {
    match text.strip_prefix(&token(account))? {
        "" => Some(NEVER),
        rest => rest.strip_prefix(", ")?.rsplit_once(", until ")?.1.parse().ok().map(Millis),
    }
}

/// For how long a token is good, as clients are told; 0: that is not told.
pub(super) fn ttl(expires_at: Millis, now: Millis) -> u64 {
    if expires_at == NEVER { 0 } else { expires_at.0.saturating_sub(now.0).max(1) }
}
