//! Ids: UUIDv7 (RFC 9562), 16 bytes on the wire, hyphenated text in the JS and HTTP APIs.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use uuid::Uuid;

use crate::Millis;

/// What was given is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected a UUID")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A UUIDv7 of this moment; `entropy` fills what is not time, version or variant.
            #[must_use]
            pub fn mint(now: Millis, entropy: [u8; 10]) -> Self {
                Self(uuid::Builder::from_unix_timestamp_millis(now.0, &entropy).into_uuid().into_bytes())
            }

            /// The id as it stands on the wire.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// The id as the content of a frame's field.
            #[must_use]
            pub fn to_bytes(self) -> Bytes {
                Bytes::copy_from_slice(&self.0)
            }
        }

        impl From<[u8; 16]> for $name {
            fn from(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = InvalidId;

            fn try_from(bytes: &[u8]) -> Result<Self, InvalidId> {
                bytes.try_into().map(Self).map_err(|_| InvalidId)
            }
        }

        impl TryFrom<&Bytes> for $name {
            type Error = InvalidId;

            fn try_from(bytes: &Bytes) -> Result<Self, InvalidId> {
                Self::try_from(&bytes[..])
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // Only the hyphenated form: one id, one spelling.
                if text.len() != 36 {
                    return Err(InvalidId);
                }
                Uuid::try_parse(text).map(|uuid| Self(uuid.into_bytes())).map_err(|_| InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_bytes(self.0).hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// Names what a user did, and makes sending it again harmless. A send's id is its message's id.
    OperationId
);
id!(
    /// Names a device: one browser profile, one phone.
    DeviceId
);
id!(
    /// Names a store, so that its tabs tell it from one that was erased before it. Told to no server.
    StoreId
);
id!(
    /// Names a tab from load to unload. Never stored, so a duplicated tab has its own.
    TabId
);
id!(
    /// Names a server's log. A cursor means something only in the log it came from.
    LogId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minted_ids_are_uuid_v7_and_order_by_time() {
        let early = OperationId::mint(Millis(1_700_000_000_000), [0xff; 10]);
        let late = OperationId::mint(Millis(1_700_000_000_001), [0; 10]);
        assert!(early < late);
        assert_eq!(Uuid::from_bytes(*late.as_bytes()).get_version_num(), 7);
        assert_eq!(late.to_string(), "018bcfe5-6801-7000-8000-000000000000");
    }

    #[test]
    fn text_has_one_spelling() {
        let id = DeviceId::mint(Millis(5), [9; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in
            ["", "nonsense", "018bcfe568017000800000000000000a", "{018bcfe5-6801-7000-8000-00000000000}"]
        {
            assert_eq!(wrong.parse::<DeviceId>(), Err(InvalidId), "{wrong}");
        }
    }

    #[test]
    fn bytes_of_another_length_are_refused() {
        assert_eq!(TabId::try_from(&[1u8; 15][..]), Err(InvalidId));
    }
}
