//! What Tutti's clients and servers agree on: frames, ids, clocks and limits.
//!
//! Pure: no browser, clock, randomness or runtime. Time and entropy are arguments.
//!
//! ```
//! use tutti_protocol::{codec, wire};
//!
//! let ping = wire::ClientFrame { frame: Some(wire::client_frame::Frame::Ping(wire::Ping { nonce: 7 })) };
//! let bytes = codec::encode(&ping);
//! assert_eq!(codec::decode_client(bytes)?, ping);
//! # Ok::<(), codec::DecodeError>(())
//! ```

pub mod clock;
pub mod code;
pub mod codec;
pub mod content;
pub mod conversation;
pub mod id;
pub mod limits;
pub mod notification;
pub mod outline;
pub mod record;
pub mod sequence;
pub mod target;

pub use clock::{HybridClock, Millis, Timestamp};
pub use code::Code;
pub use conversation::{Conversation, InvalidConversation};
pub use id::{DeviceId, InvalidId, LogId, OperationId, StoreId, TabId};
pub use target::Target;

/// Frames between client and server, generated from `proto/tutti.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/tutti.wire.rs"));
}

/// Records of the store and frames of the tab channel, generated from `proto/local.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod local {
    include!(concat!(env!("OUT_DIR"), "/tutti.local.rs"));
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Place of an event in an account's log: contiguous from 1; 0 stands before the first.
    Seq
);
number!(
    /// Place of a message in one account's view of a conversation: contiguous from 1; 0 stands
    /// before the first.
    Position
);
number!(
    /// Leadership number of a profile. Grows with every change of leader and fences older ones.
    Epoch
);
number!(
    /// Number of a commit to a profile's store.
    Revision
);
