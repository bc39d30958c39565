//! Where operations come from, and what may be written of that.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tutti_protocol::DeviceId;

/// How much of a digest takes the place of an id.
const ID: usize = 16;

/// From where an account's operations come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the application's back end.
    BackEnd,
    /// From a device.
    Device(DeviceId),
    /// From a device without a lasting id. The one that it has for now is written nowhere.
    Passing(DeviceId),
}

impl Source {
    /// What is kept of the device, and told to its account.
    #[must_use]
    pub fn lasting(self) -> Option<DeviceId> {
        match self {
            Self::Device(device) => Some(device),
            Self::BackEnd | Self::Passing(_) => None,
        }
    }

    /// The device to which a message may be addressed. Those without a lasting id have one name together: what is
    /// addressed to one is there for it when it comes back under another id, and so for the others.
    #[must_use]
    pub fn addressee(self) -> Option<DeviceId> {
        match self {
            Self::BackEnd => None,
            Self::Device(device) => Some(device),
            Self::Passing(_) => Some(DeviceId::from([0; ID])),
        }
    }

    /// What tells it from others that decide the same thing, a message's content or a target's fields: the device's
    /// id; empty for the back end. Of an id that passes it is a digest with what is decided, by which nobody finds the
    /// id, nor that two things were decided by one device.
    #[must_use]
    pub fn mark(self, decided: &[u8]) -> Bytes {
        match self {
            Self::BackEnd => Bytes::new(),
            Self::Device(device) => device.to_bytes(),
            Self::Passing(device) => {
                let digest = Sha256::new().chain_update(device.as_bytes()).chain_update(decided).finalize();
                Bytes::copy_from_slice(&digest[..ID])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_of_an_id_that_passes_tells_neither_it_nor_what_else_it_did() {
        let id = DeviceId::from([7; 16]);
        let passing = Source::Passing(id);
        assert_eq!(passing.lasting(), None);
        assert_eq!(passing.addressee(), Source::Passing(DeviceId::from([8; 16])).addressee());
        let mark = passing.mark(b"direct:bob");
        assert_eq!(mark, passing.mark(b"direct:bob"), "one device is one");
        for other in [id.to_bytes(), passing.mark(b"direct:carla"), Source::Device(id).mark(b"direct:bob")] {
            assert_ne!(mark, other);
        }
        assert_eq!(mark.len(), 16);
    }
}
