//! Devices, and the tokens that they came with.

use std::collections::{BTreeMap, BTreeSet};

use tutti_protocol::{Millis, limits};

use crate::devices::{Device, Known, Removed, Subscription, Token, TokenMark};

/// An account's devices.
#[derive(Clone, Debug, Default)]
pub(super) struct Devices {
    listed: BTreeMap<String, Device>,
    removed: BTreeMap<String, Removed>,
    /// With which tokens devices came, and until when those work.
    uses: BTreeMap<(TokenMark, String), Millis>,
    revoked: BTreeMap<TokenMark, Millis>,
}

impl Devices {
    pub(super) fn list(&self) -> Vec<Device> {
        let mut devices: Vec<Device> = self.listed.values().cloned().collect();
        devices.sort_by(|a, b| (a.registered_at, &a.id).cmp(&(b.registered_at, &b.id)));
        devices
    }

    pub(super) fn find(&self, id: &str) -> Option<Known> {
        let removed = self.removed.get(id).cloned().map(Known::Removed);
        removed.or_else(|| self.listed.get(id).cloned().map(Known::Listed))
    }

    pub(super) fn put(&mut self, device: &Device) {
        let push = self.listed.get(&device.id).and_then(|before| before.push.clone());
        self.listed.insert(device.id.clone(), Device { push, ..device.clone() });
    }

    pub(super) fn drop_surplus(&mut self) {
        let mut devices: Vec<_> = self.listed.values().map(|it| (last_there(it), it.id.clone())).collect();
        devices.sort_by(|(a, a_id), (b, b_id)| b.cmp(a).then(a_id.cmp(b_id)));
        for (_, id) in devices.into_iter().skip(limits::DEVICES) {
            self.listed.remove(&id);
        }
    }

    pub(super) fn set_push(&mut self, id: &str, push: Option<&Subscription>) {
        if let Some(device) = self.listed.get_mut(id) {
            device.push = push.cloned();
        }
    }

    pub(super) fn remove(&mut self, id: &str, removed: &Removed) {
        self.listed.remove(id);
        self.removed.insert(id.to_owned(), removed.clone());
        for ((token, _), expires_at) in self.uses.extract_if(.., |(_, device), _| device == id) {
            self.revoked.insert(token, expires_at);
        }
    }

    pub(super) fn token_keepers(&self, token: TokenMark) -> Option<BTreeSet<String>> {
        self.revoked.get(&token)?;
        let uses = self.uses.keys().filter(|(other, _)| *other == token);
        Some(uses.map(|(_, device)| device.clone()).collect())
    }

    pub(super) fn note_token(&mut self, device: &str, token: Token) -> bool {
        let noted = (token.mark, device.to_owned());
        let may_use = self.uses.contains_key(&noted) || !self.revoked.contains_key(&token.mark);
        if may_use {
            self.uses.entry(noted).or_insert(token.expires_at);
        }
        may_use
    }

    pub(super) fn trim_tokens(&mut self, now: Millis) {
        self.uses.retain(|_, expires_at| *expires_at > now);
        self.revoked.retain(|_, expires_at| *expires_at > now);
    }
}

fn last_there(device: &Device) -> Millis {
    device.last_seen.unwrap_or(device.registered_at)
}
