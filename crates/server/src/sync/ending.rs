//! How a connection ends, and what is said last.

use std::fmt;

use tutti_acceptance::{accept::Refusal, devices::Barred, storage::StorageError};
use tutti_protocol::{
    Code,
    wire::{self, server_frame::Frame},
};

use super::outbound::Stuck;
use crate::roster::{Denied, Lost};

/// Longest that clients wait before they come back after a shutdown, so that not all come at once.
const GOODBYE_SPREAD: u32 = 2_000;
/// How long a replaced connection waits before it comes back, if it means to.
const REPLACED_WAIT: u32 = 1_000;

/// How a connection ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The peer is gone or does not listen.
    Gone,
    /// The peer asked for what cannot be served.
    Error(wire::Error),
    /// The peer sends more than a frame may hold; what it sends is not read any more.
    Oversized,
    /// In good order, to come back after so many milliseconds.
    Bye(u32),
    /// There is no place for it, or not any more: these have them all.
    Limit(wire::Limit),
    /// Its device was removed, perhaps by another one.
    Revoked(Option<String>),
}

impl Ending {
    /// What is said last.
    pub(super) fn last_frame(self) -> Option<Frame> {
        match self {
            Self::Gone => None,
            Self::Error(error) => Some(Frame::Error(error)),
            Self::Oversized => Self::error(Code::TooLarge, "the frame is over 64 KiB").last_frame(),
            Self::Bye(wait) => Some(Frame::Bye(wire::Bye { wait })),
            Self::Limit(limit) => Some(Frame::Limit(limit)),
            Self::Revoked(by) => Some(Frame::Revoked(wire::Revoked { by: by.unwrap_or_default() })),
        }
    }

    pub(super) fn error(code: Code, message: impl Into<String>) -> Self {
        Self::Error(wire::Error { code: code.as_str().to_owned(), message: message.into(), retry_after: 0 })
    }

    pub(super) fn shutdown() -> Self {
        let mut entropy = [0; 4];
        // Without randomness all come back at once: bad for the server, not for them.
        let _ = getrandom::fill(&mut entropy);
        Self::Bye(u32::from_le_bytes(entropy) % (GOODBYE_SPREAD + 1))
    }
}

/// For logs. They last, so who has the places, or removed it, is not named.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("gone"),
            Self::Error(error) => write!(f, "{}: {}", error.code, error.message),
            Self::Oversized => f.write_str("oversized frame"),
            Self::Bye(wait) => write!(f, "bye for {wait} ms"),
            Self::Limit(limit) => write!(f, "limit of {}", limit.limit),
            Self::Revoked(_) => f.write_str("removed"),
        }
    }
}

impl From<Stuck> for Ending {
    fn from(_: Stuck) -> Self {
        Self::Gone
    }
}

impl From<StorageError> for Ending {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a connection cannot be served");
        Refusal::storage().into()
    }
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Error(wire::Error {
            code: refusal.code.as_str().to_owned(),
            message: refusal.message,
            retry_after: refusal.retry_after,
        })
    }
}

impl From<Lost> for Ending {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Replaced => Self::Bye(REPLACED_WAIT),
            Lost::Limited(limit) => Self::Limit(limit),
            Lost::Revoked(by) => Self::Revoked(by),
        }
    }
}

impl From<Barred> for Ending {
    fn from(barred: Barred) -> Self {
        match barred {
            Barred::Removed(removed) => Self::Revoked(removed.by),
            Barred::Token => {
                Self::error(Code::Revoked, "a device that was removed had this token: come with another one")
            }
        }
    }
}

impl From<Denied> for Ending {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Superseded => Self::error(Code::Conflict, "a later leader of this device is connected"),
            Denied::Full(limit) => Self::Limit(limit),
        }
    }
}
