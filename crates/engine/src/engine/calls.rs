//! What the application asks for.

use tutti_protocol::{
    Code, Conversation as ConversationId, DeviceId, OperationId, Position, codec, content, conversation,
    limits,
    local::{self, Queued, channel_frame},
    wire::{self, operation},
};

use super::{Engine, Enqueued, Role, Sync, Who, Withdrawal};
use crate::{Failure, Message, Now, Reply, RequestId, State, batch::StoreError};

/// How long another tab's leader may take to answer a request, in milliseconds.
pub(super) const REQUEST_DEADLINE: u64 = 30_000;

impl Engine {
    pub(super) fn handle_send(
        &mut self,
        request: RequestId,
        send: wire::Send,
        id: Option<OperationId>,
        now: Now,
    ) {
        if let Err(failure) = self.check_send(&send) {
            return self.resolve(request, Err(failure));
        }
        let id = id.unwrap_or_else(|| self.mint(now));
        if self.replica.outbox.is_discarded(id) {
            let failure = Failure::new(Code::Conflict, "the message with this id was given up");
            return self.resolve(request, Err(failure));
        }
        // The same message again is no second message.
        if let crate::Located::Found(message) = self.replica.locate(id) {
            let same = (&message.conversation, &message.kind, &message.content)
                == (&send.conversation, &send.r#type, &send.content);
            let failure = || Failure::new(Code::Conflict, "another message has this id");
            return self
                .resolve(request, if same { Ok(Reply::Message(message.into())) } else { Err(failure()) });
        }
        // What was typed is sent.
        self.handle_set_typing(send.conversation.clone(), false, now);
        self.enqueue(request, id, operation::Body::Send(send), None, now);
    }

    /// Edits a message or takes it back.
    pub(super) fn handle_change(
        &mut self,
        request: RequestId,
        message: &Message,
        change: operation::Body,
        now: Now,
    ) {
        let refusal = match (&message.state, &change) {
            _ if message.sender != self.identity.account => {
                Some((Code::Forbidden, "only its sender can change a message"))
            }
            (State::Recalled, operation::Body::Recall(_)) => {
                return self.resolve(request, Ok(Reply::Done));
            }
            (State::Recalled, _) => Some((Code::Conflict, "the message was recalled")),
            (State::Failed(_), _) => Some((Code::Conflict, "the message was not sent: retry or discard it")),
            _ => None,
        };
        if let Some((code, message)) = refusal {
            return self.resolve(request, Err(Failure::new(code, message)));
        }
        if let operation::Body::Edit(edit) = &change
            && let Err(failure) = check_content(&edit.content)
        {
            return self.resolve(request, Err(failure));
        }
        let id = self.mint(now);
        self.enqueue(request, id, change, Some(message.to_wire()), now);
    }

    pub(super) fn handle_set(&mut self, request: RequestId, set: wire::Set, now: Now) {
        let id = self.mint(now);
        let operation = |set| wire::Operation { id: id.to_bytes(), clock: 0, body: Some(set) };
        let set = operation::Body::Set(set);
        match codec::check_operation(&operation(set.clone())) {
            Ok(()) => self.enqueue(request, id, set, None, now),
            Err(error) => self.resolve(request, Err(Failure::new(Code::Invalid, error.to_string()))),
        }
    }

    pub(super) fn handle_mark_notification(
        &mut self,
        request: RequestId,
        id: OperationId,
        state: wire::NotificationState,
        now: Now,
    ) {
        if let Some(code) = self.closed {
            return self.resolve(request, Err(closed(code)));
        }
        let known = self.replica.notification(id.as_bytes()).filter(|_| self.config.config.notifications);
        let Some(known) = known else {
            let failure = Failure::new(Code::NotFound, "no such notification on this device");
            return self.resolve(request, Err(failure));
        };
        if state <= known.state() {
            return self.resolve(request, Ok(Reply::Done));
        }
        let mark = wire::MarkNotification { notification: known.id, state: state.into() };
        let id = self.mint(now);
        self.enqueue(request, id, operation::Body::MarkNotification(mark), None, now);
    }

    /// Only the leader knows whether an operation is just being sent.
    pub(super) fn handle_withdraw(&mut self, who: Who, id: OperationId, retry: bool, now: Now) {
        if let Some(code) = self.closed {
            return self.answer_wish(who, Err(closed(code)));
        }
        let until = now.monotonic.plus(REQUEST_DEADLINE);
        self.leadership.ask(now, &mut self.entropy);
        self.withdrawals.push(Withdrawal { who, until, ask_at: now.monotonic, id, retry });
    }

    fn check_send(&self, send: &wire::Send) -> Result<(), Failure> {
        self.check_conversation(&send.conversation)?;
        if !conversation::is_name(&send.r#type) || send.r#type.len() > limits::TYPE {
            return Err(Failure::new(
                Code::Invalid,
                "type: expected 1 to 64 bytes without control characters",
            ));
        }
        check_content(&send.content)
    }

    fn check_conversation(&self, id: &str) -> Result<(), Failure> {
        if let Some(code) = self.closed {
            return Err(closed(code));
        }
        ConversationId::parse(id).map(drop).map_err(|error| Failure::new(Code::Invalid, error.to_string()))
    }

    pub(super) fn handle_mark_read(
        &mut self,
        request: RequestId,
        conversation: String,
        position: Option<Position>,
        now: Now,
    ) {
        if let Err(failure) = self.check_conversation(&conversation) {
            return self.resolve(request, Err(failure));
        }
        let Some(head) = self.replica.conversation(&conversation) else {
            let failure = Failure::new(Code::NotFound, "no such conversation on this device");
            return self.resolve(request, Err(failure));
        };
        let last = self.replica.last_position(&conversation);
        let position = position.unwrap_or(last).min(last);
        if position <= head.read_position {
            return self.resolve(request, Ok(Reply::Done));
        }
        let id = self.mint(now);
        let body = operation::Body::MarkRead(wire::MarkRead { conversation, position: position.0 });
        self.enqueue(request, id, body, None, now);
    }

    pub(super) fn handle_sync_now(&mut self, who: Who, take_over: Option<DeviceId>, now: Now) {
        if let Some(code) = self.closed {
            return self.answer_wish(who, Err(closed(code)));
        }
        if self.offline.offline {
            return self.answer_wish(who, Err(Failure::new(Code::Offline, "working offline by choice")));
        }
        let until = now.monotonic.plus(REQUEST_DEADLINE);
        self.syncs.push(Sync { who, until, ask_at: Some(now.monotonic), take_over });
        self.leadership.ask(now, &mut self.entropy);
        if let Role::Leader(leader) = &mut self.role
            && leader.ready
        {
            leader.look_at = Some(now.monotonic);
            leader.link.connect_now_if_waiting();
            leader.link.reconcile_anew();
        }
    }

    pub(super) fn handle_close(&mut self, why: Code) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(why);
        self.leadership.leave();
        self.step_down();
        self.broadcast(channel_frame::Frame::Leave(local::Leave {}));
        self.end_syncs(|_| true, Err(closed(why)));
        self.end_withdrawals(|_| true, Err(closed(why)));
        self.end_fetches(&|_, _| Some(Err(closed(why))));
        self.end_questions(|_| true, Err(closed(why)));
        // What is being written is answered when it is written; what waits will not be.
        for Enqueued { request, .. } in std::mem::take(&mut self.waiting) {
            self.answer(request, Err(closed(why)));
        }
    }

    /// Has an operation written to the outbox. `message`: the one that it is about, if it is no send.
    pub(super) fn enqueue(
        &mut self,
        request: RequestId,
        id: OperationId,
        body: operation::Body,
        message: Option<wire::Message>,
        now: Now,
    ) {
        if let Some(code) = self.closed {
            return self.resolve(request, Err(closed(code)));
        }
        // After all that this device did before, whatever its wall clock has done since.
        let corrected = self.corrected(now);
        if let Some(newest) = self.replica.newest_clock() {
            self.clock.observe(newest, newest.millis().max(corrected));
        }
        let operation =
            wire::Operation { id: id.to_bytes(), clock: self.clock.tick(corrected).0, body: Some(body) };
        self.own.insert(id);
        // Whoever acts wants a leader that lives.
        self.leadership.ask(now, &mut self.entropy);
        let queued =
            Queued { operation: Some(operation), queued_at: now.wall.0, message, ..Queued::default() };
        self.waiting.push(Enqueued { request: Some(request), queued });
    }
}

fn check_content(content: &[u8]) -> Result<(), Failure> {
    content::check(content).map_err(|error| {
        let code = match error {
            content::InvalidContent::TooLarge => Code::TooLarge,
            content::InvalidContent::NotJson => Code::Invalid,
        };
        Failure::new(code, error.to_string())
    })
}

/// What calls of a client at its end are told.
pub(super) fn closed(why: Code) -> Failure {
    match why {
        Code::Version => Failure::from(&StoreError::Version),
        Code::Revoked => Failure::new(Code::Revoked, "this device was removed from the account"),
        _ => Failure::new(Code::Closed, "this client is closed"),
    }
}
