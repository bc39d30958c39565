//! Messages and conversations as the application sees them.

use bytes::Bytes;
use tutti_protocol::{
    Code, DeviceId, Millis, OperationId, Position,
    local::Queued,
    wire::{self, operation::Body},
};

use crate::{batch::StoreError, sorted::SortedMap};

/// A message, on its way or sequenced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Minted by the sending device.
    pub id: OperationId,
    /// As this account sees it.
    pub conversation: String,
    /// The account that sent it.
    pub sender: String,
    /// The device that sent it; none for the HTTP API, and for one without a lasting id.
    pub device: Option<DeviceId>,
    /// What kind of content; "text" when the sender did not say.
    pub kind: String,
    /// JSON text; empty once recalled.
    pub content: Bytes,
    /// None until the server has given it one.
    pub position: Option<Position>,
    /// The server's clock once sequenced, the device's before.
    pub sent_at: Millis,
    /// When it got the content that it has, if that is not its first.
    pub edited_at: Option<Millis>,
    /// How far it has got.
    pub state: State,
}

/// How far a message has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Durable here, not confirmed by the server.
    Pending,
    /// In the log.
    Sent,
    /// Refused by the server for good.
    Failed(Failure),
    /// Taken back by its sender: its content is gone.
    Recalled,
}

/// Why something did not work, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<&wire::Refused> for Failure {
    fn from(refused: &wire::Refused) -> Self {
        Self::new(Code::parse(&refused.code), refused.message.clone())
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        let code = match error {
            StoreError::Quota => Code::Quota,
            StoreError::Version => Code::Version,
            StoreError::Closed => Code::Closed,
            StoreError::Fenced
            | StoreError::Blocked
            | StoreError::Erased
            | StoreError::Damaged(_)
            | StoreError::Failed(_) => Code::Storage,
        };
        Self::new(code, error.to_string())
    }
}

/// A conversation's summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// As this account sees it.
    pub id: String,
    /// Accounts in it, this one included while it is a member.
    pub members: Vec<String>,
    /// The newest, one on its way before any that is sequenced.
    pub last: Option<Message>,
    /// When the newest message was sent; 0 without any.
    pub last_activity: Millis,
    /// Messages of others after the read position.
    pub unread: u64,
    /// Up to where this account has read.
    pub read_position: Position,
    /// Up to where others have read, as far as they share it.
    pub read_by: SortedMap<String, Position>,
    /// What the user has written and not sent: a JSON string.
    pub draft: Option<Bytes>,
    /// Whether it is to be quiet.
    pub muted: bool,
    /// Whether it stands before all that are not pinned.
    pub pinned: bool,
}

/// What the user was doing, to go on with it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The application's name for it.
    pub key: String,
    /// JSON texts by name.
    pub fields: SortedMap<String, Bytes>,
    /// When a field was last set: the server's clock once it has confirmed that, the device's before.
    pub updated_at: Millis,
    /// The device that set one last; none for one without a lasting id.
    pub device: Option<DeviceId>,
}

/// A stretch of a conversation, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Sequenced ones by position; on the newest page those on their way after them.
    pub messages: Vec<Message>,
    /// What the page covers and this device does not have.
    pub holes: Vec<Hole>,
    /// Whether there is anything before the page.
    pub has_more: bool,
}

/// Positions, both ends included, of which this device does not have the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first.
    pub from: Position,
    /// The last.
    pub to: Position,
    /// Why.
    pub reason: Missing,
}

/// Why messages are not on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// They were not fetched, and cannot be now.
    Offline,
    /// The server does not keep them any more.
    Expired,
    /// The application does not want past messages, or devices are not kept in step.
    Disabled,
}

impl Page {
    /// Says why messages are missing: up to this position the server does not keep them, and beyond for that reason.
    pub fn explain(&mut self, expired: Position, otherwise: Missing) {
        for hole in std::mem::take(&mut self.holes) {
            let kept = expired.next().max(hole.from);
            if hole.from < kept {
                self.holes.push(Hole { to: expired.min(hole.to), reason: Missing::Expired, ..hole });
            }
            if kept <= hole.to {
                self.holes.push(Hole { from: kept, reason: otherwise, ..hole });
            }
        }
    }
}

impl Message {
    /// A sequenced message. None for a record that no version of this code wrote.
    pub(crate) fn sequenced(message: &wire::Message) -> Option<Self> {
        Some(Self {
            id: OperationId::try_from(&message.id).ok()?,
            conversation: message.conversation.clone(),
            sender: message.sender.clone(),
            device: DeviceId::try_from(&message.device).ok(),
            kind: message.r#type.clone(),
            content: message.content.clone(),
            position: Some(Position(message.position)),
            sent_at: Millis(message.sent_at),
            edited_at: (message.edited_at > 0).then_some(Millis(message.edited_at)),
            state: if message.recalled { State::Recalled } else { State::Sent },
        })
    }

    /// A message in the outbox. None for operations that are no sends.
    pub(crate) fn queued(queued: &Queued, account: &str, device: Option<DeviceId>) -> Option<Self> {
        let operation = queued.operation.as_ref()?;
        let Body::Send(send) = operation.body.as_ref()? else {
            return None;
        };
        Some(Self {
            id: OperationId::try_from(&operation.id).ok()?,
            conversation: send.conversation.clone(),
            sender: account.to_owned(),
            device,
            kind: send.r#type.clone(),
            content: send.content.clone(),
            position: None,
            sent_at: Millis(queued.queued_at),
            edited_at: None,
            state: queued.refused.as_ref().map_or(State::Pending, |refused| State::Failed(refused.into())),
        })
    }

    /// The message as it stands by an edit or a recall in the outbox.
    pub(crate) fn to_wire(&self) -> wire::Message {
        wire::Message {
            id: self.id.to_bytes(),
            conversation: self.conversation.clone(),
            sender: self.sender.clone(),
            device: self.device.map(DeviceId::to_bytes).unwrap_or_default(),
            r#type: self.kind.clone(),
            content: self.content.clone(),
            position: self.position.unwrap_or_default().0,
            inbound: 0,
            sent_at: self.sent_at.0,
            edited_at: self.edited_at.unwrap_or_default().0,
            recalled: self.state == State::Recalled,
        }
    }

    /// What an operation that is on its way will make of the message, if it is about this one.
    pub(crate) fn foresee(&mut self, queued: &Queued, body: &Body) {
        let (of, content) = match body {
            Body::Edit(edit) => (&edit.message, Some(&edit.content)),
            Body::Recall(recall) => (&recall.message, None),
            _ => return,
        };
        if of[..] != self.id.as_bytes()[..] || self.state == State::Recalled {
            return;
        }
        match content {
            Some(content) => {
                self.content = content.clone();
                self.edited_at = Some(Millis(queued.queued_at));
            }
            None => {
                self.content = Bytes::new();
                self.state = State::Recalled;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_told_apart_by_what_the_server_keeps() {
        let hole = |from, to, reason| Hole { from: Position(from), to: Position(to), reason };
        let page = || Page {
            holes: vec![hole(1, 4, Missing::Offline), hole(6, 9, Missing::Offline)],
            ..Page::default()
        };
        let explained = |expired, otherwise| {
            let mut page = page();
            page.explain(Position(expired), otherwise);
            page.holes
        };
        assert_eq!(explained(0, Missing::Offline), page().holes);
        let disabled = [hole(1, 4, Missing::Disabled), hole(6, 9, Missing::Disabled)];
        assert_eq!(explained(0, Missing::Disabled), disabled);
        let first = [hole(1, 4, Missing::Expired), hole(6, 9, Missing::Offline)];
        assert_eq!(explained(4, Missing::Offline), first);
        assert_eq!(explained(5, Missing::Offline), first);
        let within =
            [hole(1, 4, Missing::Expired), hole(6, 7, Missing::Expired), hole(8, 9, Missing::Offline)];
        assert_eq!(explained(7, Missing::Offline), within);
        let all = [hole(1, 4, Missing::Expired), hole(6, 9, Missing::Expired)];
        assert_eq!(explained(20, Missing::Offline), all);
    }
}
