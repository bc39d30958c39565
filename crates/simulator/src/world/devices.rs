//! What is done about devices, and the tokens with which they come; and what may be left of one that was removed, or
//! whose copy was erased.

use prost::Message as _;
use tutti_engine::{
    Effect, Failure, Input, Reply, RequestId,
    batch::{Key, StoreError, Table},
};
use tutti_protocol::{
    Code, DeviceId, Millis, local,
    wire::{self, manage},
};

use super::{At, Source, Task, World};
use crate::server::{timeless, token, token_of};

impl World {
    /// The user of a tab wants something done about the account's devices.
    pub fn manage(&mut self, at: At, what: manage::What) -> RequestId {
        let request = self.request();
        if let manage::What::Rename(rename) = &what {
            let account = &self.profiles[at.0].account;
            self.model.renames(at, request, account, &rename.device, &rename.name);
        }
        self.input(at, Input::Manage { request, what });
        request
    }

    /// The user of a tab wants to see the account's devices.
    pub fn list_devices(&mut self, at: At) -> RequestId {
        self.manage(at, manage::What::List(wire::ListDevices {}))
    }

    /// The user of a tab names a device of the account.
    pub fn rename_device(&mut self, at: At, device: DeviceId, name: &str) -> RequestId {
        let (device, name) = (device.to_string(), name.to_owned());
        self.manage(at, manage::What::Rename(wire::RenameDevice { device, name }))
    }

    /// The user of a tab removes a device of the account.
    pub fn remove_device(&mut self, at: At, device: DeviceId) -> RequestId {
        self.manage(at, manage::What::Remove(wire::RemoveDevice { device: device.to_string() }))
    }

    /// The back end of the application removes the device of a profile. Says whether there is one of which the server
    /// knows.
    pub fn remove_from_without(&mut self, profile: usize) -> bool {
        let (now, account) = (self.clock(), self.profiles[profile].account.clone());
        let device = self.device_of(profile);
        let removed = device.is_some_and(|device| self.server.remove_device(&account, device, now));
        self.deliver();
        removed
    }

    /// The user of a tab wants nothing to be left of the account in this profile, nor of the device on the server.
    pub fn erase_for_good(&mut self, at: At, revoke: bool) -> RequestId {
        let request = self.request();
        self.input(at, Input::Erase { request, revoke });
        request
    }

    /// The lasting id that the store of a profile names.
    #[must_use]
    pub fn device_of(&self, profile: usize) -> Option<DeviceId> {
        let record = self.profiles[profile].store.records.get(&(Table::Meta, Key::Number(1)))?;
        let identity = local::Identity::decode(record.clone()).expect("an identity");
        DeviceId::try_from(&identity.device).ok()
    }

    /// What the application gives a profile for a token: the one that it has, or one that is signed now where those do
    /// not last.
    pub(super) fn token_for(&mut self, at: At) -> Result<String, Failure> {
        let (clock, mirrored) = (self.clock(), self.server.is_mirrored());
        let until = self.tokens_last.map(|millis| clock.plus(millis));
        let place = &mut self.profiles[at.0];
        if let Some(left) = place.missing_tokens.checked_sub(1) {
            place.missing_tokens = left;
            return Err(Failure::new(Code::Auth, "there is no token"));
        }
        if let Some(left) = place.expired_tokens.checked_sub(1) {
            place.expired_tokens = left;
            return Ok(token_of(&place.account, at.0, place.sign_ins, Some(Millis(1))));
        }
        if mirrored {
            return Ok(token(&place.account));
        }
        let token = token_of(&place.account, at.0, place.sign_ins, until);
        // Who is turned away with it signs in again.
        let barred = self.server.barred.contains(&token);
        place.sign_ins += u64::from(barred);
        Ok(if barred { token_of(&place.account, at.0, place.sign_ins, until) } else { token })
    }

    /// A tab has the store of its profile deleted, whoever else has it open.
    pub(super) fn delete_store(&mut self, at: At) -> Result<(), StoreError> {
        let known = self.tab(at).generation == self.profiles[at.0].store.generation;
        if !known {
            // Another tab has done that. What has begun in its place goes as if the site's data were cleared.
            if !self.profiles[at.0].store.records.is_empty() {
                self.erase(at.0);
            }
            return Ok(());
        }
        let pending = self.has_pending(at.0);
        self.profiles[at.0].store.delete()?;
        self.profiles[at.0].leaderships.clear();
        let now = self.clock();
        self.model.erased_for_good(at.0, pending, &self.server);
        if self.deafened.contains(&at.0) {
            // Who has not heard of it takes it for cleared site data.
            self.model.copy_replaced();
        } else if !self.unheard.contains(&at.0) {
            self.model.gone_for_good(at.0, now);
        }
        // Who is suspended has none open.
        let open = |other: &At| *other != at && !self.tab(*other).suspended;
        for other in self.tabs_of(at.0).filter(open).collect::<Vec<_>>() {
            let source = Source::Store(self.next());
            self.push(other, source, Task::Input(Input::StoreLost));
        }
        Ok(())
    }

    /// Whether anything of a profile may not have come to the server.
    fn has_pending(&self, profile: usize) -> bool {
        let place = &self.profiles[profile];
        let asked = |at: At| self.tab(at).calls.iter().any(|call| !self.tab(at).replies.contains_key(call));
        let held = |at: At| self.tab(at).engine.replica().outbox().iter().next().is_some();
        place.store.table(Table::Outbox).next().is_some()
            || self.tabs_of(profile).any(|at| asked(at) || held(at))
    }

    /// Who has ended tells what it must, and asks for nothing any more.
    pub(super) fn check_ended(&self, at: At, effect: &Effect) {
        let over = matches!(
            effect,
            Effect::Resolve(..) | Effect::ReleaseLock(_) | Effect::Broadcast(_) | Effect::Close
        );
        assert!(over || !self.tab(at).ended, "{at:?} goes on though it has ended: {effect:?}");
    }

    /// Closes the tabs whose clients have ended themselves. All their calls were answered.
    pub fn close_ended(&mut self) {
        for at in self.alive() {
            let tab = self.tab(at);
            if !tab.ended || tab.frozen {
                continue;
            }
            let writes =
                self.lanes.keys().any(|(to, source)| *to == at && matches!(source, Source::Store(_)));
            if writes {
                continue;
            }
            let unanswered = tab.calls.iter().find(|call| !tab.replies.contains_key(call));
            assert_eq!(unanswered, None, "stuck: {at:?} has ended, and did not answer");
            self.remove(at);
        }
    }

    /// No profile goes by an id that was removed; and all tabs are told the same of the account's devices, which is
    /// so. A second is to pass in between.
    pub fn check_devices(&mut self) {
        let asked: Vec<(At, RequestId)> =
            self.alive().into_iter().map(|at| (at, self.list_devices(at))).collect();
        self.pass(1_000);
        for (at, request) in asked {
            let account = &self.profiles[at.0].account;
            let device = self.tab(at).engine.device();
            let removed = device.and_then(|device| self.server.removal(account, device));
            assert_eq!(removed, None, "{at:?} goes on though its device was removed");
            let there = timeless(&self.server.devices(account));
            match self.tab(at).replies.get(&request) {
                Some(Ok(Reply::Devices(here))) => {
                    assert_eq!(timeless(here), there, "divergent: {at:?} is told of other devices");
                }
                reply => panic!("stuck: {at:?} asked for its devices, and was told {reply:?}"),
            }
        }
    }
}
