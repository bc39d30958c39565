//! As whom the server knows this device, and what the store says of that.

use tutti_protocol::DeviceId;

use super::Engine;
use crate::{Now, identity::Alias};

impl Engine {
    /// The device's lasting id; none if the application wants none.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.replica.device().filter(|_| !self.config.config.anonymous)
    }

    /// As whom the leader says hello. An id that passes is that of the leader before, as far as that is known: the
    /// server is to take the two for one.
    pub(super) fn alias(&mut self, now: Now) -> Alias {
        if let Some(device) = self.device() {
            self.passing = None;
            return Alias { device, passing: false };
        }
        let device = self.passing.unwrap_or_else(|| DeviceId::mint(now.wall, self.random()));
        self.passing = Some(device);
        Alias { device, passing: true }
    }

    /// Whether the store names a device though there is to be none, or none though there is to be one.
    pub(super) fn is_identity_due(&self) -> bool {
        self.replica.device().is_some() == self.config.config.anonymous
    }

    /// Which device the store is to name instead. An id that is wanted again is another one.
    pub(super) fn new_device(&mut self, now: Now) -> Option<DeviceId> {
        (!self.config.config.anonymous).then(|| DeviceId::mint(now.wall, self.random()))
    }
}
