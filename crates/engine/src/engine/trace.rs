//! What goes into an engine, what comes out of it and how it is inside: for logs, and for panels that show it.

use tutti_protocol::{Code, Millis, OperationId, Revision, Seq, TabId, local::Queued, wire::operation::Body};

use super::{Engine, queued_id};
use crate::{Effect, Input, outbox};

/// How an engine is inside. What its status tells is not said again.
#[derive(Debug)]
pub struct Inspection {
    /// The last event of the account's log that is stored.
    pub cursor: Seq,
    /// The last commit of the store that this tab knows.
    pub revision: Revision,
    /// Messages in the journal, which are not folded into blocks yet.
    pub journal: usize,
    /// The profile's other tabs, as far as they have been heard.
    pub tabs: Vec<TabId>,
    /// Durable operations on their way to the server, in their order.
    pub outbox: Vec<InOutbox>,
}

/// An operation on its way to the server.
#[derive(Debug)]
pub struct InOutbox {
    /// Names it.
    pub id: OperationId,
    /// What the user did.
    pub what: &'static str,
    /// The conversation, or whatever else it concerns.
    pub subject: String,
    /// When, by this device's clock.
    pub queued_at: Millis,
    /// Why the server has refused it for good.
    pub refused: Option<Code>,
}

impl Engine {
    /// How it is inside, at this moment.
    #[must_use]
    pub fn inspect(&self) -> Inspection {
        Inspection {
            cursor: self.replica.cursor,
            revision: self.replica.revision,
            journal: self.replica.heads.values().map(|head| head.recent.len()).sum(),
            tabs: self.tabs.iter().copied().collect(),
            outbox: self.replica.outbox.iter().filter_map(|(_, queued)| in_outbox(queued)).collect(),
        }
    }
}

fn in_outbox(queued: &Queued) -> Option<InOutbox> {
    let body = queued.operation.as_ref()?.body.as_ref()?;
    let what = match body {
        Body::Send(_) => "send",
        Body::MarkRead(_) => "markRead",
        Body::Edit(_) => "edit",
        Body::Recall(_) => "recall",
        Body::Set(_) => "set",
        Body::MarkNotification(_) => "markNotification",
    };
    Some(InOutbox {
        id: queued_id(queued)?,
        what,
        subject: outbox::subject(queued).to_owned(),
        queued_at: Millis(queued.queued_at),
        refused: queued.refused.as_ref().map(|refused| Code::parse(&refused.code)),
    })
}

impl Input {
    /// What happened.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Persisted(_) => "Persisted",
            Self::PersistFailed(..) => "PersistFailed",
            Self::Loaded(..) => "Loaded",
            Self::LockGranted(_) => "LockGranted",
            Self::LockLost(_) => "LockLost",
            Self::NoLocks => "NoLocks",
            Self::Claimed(..) => "Claimed",
            Self::VisibilityChanged(_) => "VisibilityChanged",
            Self::Leaving => "Leaving",
            Self::Suspended => "Suspended",
            Self::Resumed => "Resumed",
            Self::ChannelFrame(_) => "ChannelFrame",
            Self::Connected(..) => "Connected",
            Self::Disconnected(..) => "Disconnected",
            Self::FrameReceived(..) => "FrameReceived",
            Self::NetworkChanged(_) => "NetworkChanged",
            Self::Send { .. } => "Send",
            Self::MarkRead { .. } => "MarkRead",
            Self::Edit { .. } => "Edit",
            Self::Recall { .. } => "Recall",
            Self::Set { .. } => "Set",
            Self::MarkNotification { .. } => "MarkNotification",
            Self::Withdraw { .. } => "Withdraw",
            Self::Fetch { .. } => "Fetch",
            Self::SetTyping { .. } => "SetTyping",
            Self::SetPresence(_) => "SetPresence",
            Self::SendStatus { .. } => "SendStatus",
            Self::AskPresence { .. } => "AskPresence",
            Self::Manage { .. } => "Manage",
            Self::Erase { .. } => "Erase",
            Self::Erased(_) => "Erased",
            Self::TokenFetched(..) => "TokenFetched",
            Self::SyncNow(_) => "SyncNow",
            Self::TakeOver(..) => "TakeOver",
            Self::SetOffline(_) => "SetOffline",
            Self::Configure(_) => "Configure",
            Self::Renewed(_) => "Renewed",
            Self::StoreLost => "StoreLost",
            Self::StoreDeleted => "StoreDeleted",
            Self::ReadFailed(_) => "ReadFailed",
            Self::Close => "Close",
            Self::Tick => "Tick",
        }
    }

    /// How long the frame is that it brings, if it brings one.
    #[must_use]
    pub fn frame_len(&self) -> Option<usize> {
        match self {
            Self::ChannelFrame(bytes) | Self::FrameReceived(_, bytes) => Some(bytes.len()),
            _ => None,
        }
    }
}

impl Effect {
    /// What is to be done.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Persist(..) => "Persist",
            Self::Load(..) => "Load",
            Self::Connect(..) => "Connect",
            Self::FetchToken(_) => "FetchToken",
            Self::Disconnect(_) => "Disconnect",
            Self::Send(..) => "Send",
            Self::Broadcast(_) => "Broadcast",
            Self::Resolve(..) => "Resolve",
            Self::Renew => "Renew",
            Self::Erase => "Erase",
            Self::Close => "Close",
            Self::Lock(_) => "Lock",
            Self::StealLock(_) => "StealLock",
            Self::ReleaseLock(_) => "ReleaseLock",
            Self::Claim(..) => "Claim",
        }
    }

    /// How long the frame is that it sends, if it sends one.
    #[must_use]
    pub fn frame_len(&self) -> Option<usize> {
        match self {
            Self::Send(_, bytes) | Self::Broadcast(bytes) => Some(bytes.len()),
            _ => None,
        }
    }
}
