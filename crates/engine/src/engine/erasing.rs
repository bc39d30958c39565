//! Nothing is to be left of the account's copy on this device: since the user wants that, or since the device was
//! removed. One tab erases the store, the others let go of it.

use tutti_protocol::{
    Code,
    local::{self, channel_frame},
    wire::{self, manage},
};

use super::{Engine, Who, calls::closed, questions::Asks};
use crate::{Effect, Event, Failure, Now, Reply, RequestId, batch::StoreError};

/// Why the copy goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The user wants it gone.
    Wanted,
    /// The device was removed, by this one; none: by the application's back end.
    Removed(Option<String>),
}

impl Engine {
    /// Whether the copy is being erased by this tab.
    #[must_use]
    pub fn erases(&self) -> bool {
        self.erasing.is_some()
    }

    /// `revoke`: once the server has removed this device, and not before.
    pub(super) fn handle_erase(&mut self, request: RequestId, revoke: bool, now: Now) {
        if self.erasing.is_some() && !revoke {
            // That is being done.
            return self.erasers.push(request);
        }
        if let Some(code) = self.closed {
            return self.resolve(request, Err(closed(code)));
        }
        if !revoke {
            self.erasers.push(request);
            return self.erase(Reason::Wanted);
        }
        let Some(device) = self.replica.device() else {
            let failure = Failure::new(Code::Unsupported, "this device has no lasting id to be removed by");
            return self.resolve(request, Err(failure));
        };
        // What the server answers, and that this device was removed, come by two ways.
        self.erasers.push(request);
        let remove = wire::RemoveDevice { device: device.to_string() };
        self.handle_ask(Who::Local(request), Asks::Manage(manage::What::Remove(remove)), now);
    }

    /// A call was answered for which an erasure waits. Whether it was one.
    pub(super) fn note_removal(&mut self, request: RequestId, result: &Result<Reply, Failure>) -> bool {
        if !self.erasers.contains(&request) {
            return false;
        }
        match result {
            Ok(_) => {
                let device = self.replica.device().map(|device| device.to_string());
                self.erase(Reason::Removed(device));
            }
            Err(failure) if self.closed.is_none() => {
                self.erasers.retain(|it| *it != request);
                self.effects.push_back(Effect::Resolve(request, Err(failure.clone())));
            }
            Err(_) => {}
        }
        true
    }

    /// The server says that this device was removed.
    pub(super) fn handle_revoked(&mut self, revoked: wire::Revoked) {
        self.erase(Reason::Removed(Some(revoked.by).filter(|by| !by.is_empty())));
    }

    /// Another tab erases the store, or has done so.
    pub(super) fn handle_erased_elsewhere(&mut self, erased: local::Erased) {
        let reason = match erased.revoked {
            true => Reason::Removed(Some(erased.by).filter(|by| !by.is_empty())),
            false => Reason::Wanted,
        };
        if self.erasers.is_empty() {
            self.end(&reason);
            self.finish_erasure(reason);
        } else {
            // Whoever waits here is answered when that is so.
            self.erase(reason);
        }
    }

    /// The store is no more, or could not be erased.
    pub(super) fn handle_erased(&mut self, result: Result<(), StoreError>) {
        let Some(reason) = self.erasing.take() else {
            return;
        };
        if result.is_ok() {
            // Once more: who has just opened the store that is no more has not heard it.
            self.tell_erased(&reason);
        }
        let result = result.map_err(|error| Failure::from(&error));
        for request in std::mem::take(&mut self.erasers) {
            self.effects.push_back(Effect::Resolve(request, result.clone().map(|()| Reply::Done)));
        }
        if let Err(failure) = result {
            self.events.push_back(Event::Failed(failure));
        }
        self.finish_erasure(reason);
    }

    fn erase(&mut self, reason: Reason) {
        if self.closed.is_some() {
            return;
        }
        // First, so that nobody takes the store for one that was lost, and begins another with what it has.
        self.tell_erased(&reason);
        self.end(&reason);
        self.erasing = Some(reason);
        self.effects.push_back(Effect::Erase);
    }

    fn tell_erased(&mut self, reason: &Reason) {
        let erased = match reason {
            Reason::Wanted => local::Erased::default(),
            Reason::Removed(by) => local::Erased { revoked: true, by: by.clone().unwrap_or_default() },
        };
        self.broadcast(channel_frame::Frame::Erased(erased));
    }

    /// The store was erased while this tab heard nothing: on purpose, for all that it knows.
    pub(super) fn let_go(&mut self) {
        let message = "the local copy was erased while this tab was away";
        let failure = Failure::new(Code::Storage, message);
        self.events.push_back(Event::Failed(failure.clone()));
        self.end(&Reason::Wanted);
        // Whoever waits for the server to remove the device first is not to wait for what will not be asked any more.
        for request in std::mem::take(&mut self.erasers) {
            self.effects.push_back(Effect::Resolve(request, Err(failure.clone())));
        }
        self.effects.push_back(Effect::Close);
    }

    fn end(&mut self, reason: &Reason) {
        self.renewal = None;
        self.handle_close(match reason {
            Reason::Wanted => Code::Closed,
            Reason::Removed(_) => Code::Revoked,
        });
    }

    fn finish_erasure(&mut self, reason: Reason) {
        if let Reason::Removed(by) = reason {
            self.events.push_back(Event::Removed { by });
        }
        self.effects.push_back(Effect::Close);
    }
}
