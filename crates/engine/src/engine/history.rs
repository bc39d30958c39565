//! Messages that the application wants to see and this device does not have: the leader asks the server for them.

use tutti_protocol::{
    Code, Conversation as ConversationId, Millis, Position, codec,
    local::{self, channel_frame},
    wire::{self, event},
};

use super::{
    ANNOUNCE, Engine, Role, Who,
    calls::{REQUEST_DEADLINE, closed},
};
use crate::{Connection, Failure, Now, Replica, Reply, RequestId};

/// Up to where the server keeps nothing that is not here, or why that cannot be said.
type Answer = Result<Position, Failure>;

/// A wish for messages.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) who: Who,
    until: Millis,
    /// When a follower asks (again).
    ask_at: Millis,
    conversation: String,
    from: Position,
    to: Position,
    /// From this position on the server has answered: what is not here then, it does not keep.
    answered: Position,
    /// The leader's answer, for which this tab's copy may not be ready yet.
    found: Option<Position>,
}

impl Fetch {
    /// What was answered may have been lost on the way to the store.
    pub(super) fn put_anew(&mut self) {
        self.answered = self.to.next();
    }

    /// The server has answered, perhaps to what another wanted.
    pub(super) fn note_answer(&mut self, history: &wire::History, replica: &Replica) {
        let before = Position(self.answered.0 - 1);
        if self.conversation == history.conversation
            && replica.missing(&self.conversation, Position(history.to).next(), before).is_none()
        {
            self.answered = self.answered.min(Position(history.from));
        }
    }

    /// The last message that is wanted and not here; 0: none.
    fn missing(&self, replica: &Replica) -> Position {
        replica.missing(&self.conversation, self.from, self.to).unwrap_or_default()
    }

    /// What is to be asked for next; none: nothing.
    fn next(&self, replica: &Replica) -> Option<wire::PullHistory> {
        let before = Position(self.answered.0 - 1);
        let to = replica.missing(&self.conversation, self.from, before)?;
        Some(wire::PullHistory { conversation: self.conversation.clone(), from: self.from.0, to: to.0 })
    }
}

impl Engine {
    pub(super) fn handle_fetch(
        &mut self,
        who: Who,
        conversation: String,
        (from, to): (Position, Position),
        now: Now,
    ) {
        let sensible =
            ConversationId::parse(&conversation).is_ok() && codec::check_positions(from.0, to.0).is_ok();
        let refusal = match self.closed {
            Some(code) => Some(closed(code)),
            None if !sensible => Some(Failure::new(Code::Invalid, "not positions of a conversation")),
            None if !self.config.config.history => {
                Some(Failure::new(Code::Unsupported, "past messages are not wanted"))
            }
            None => None,
        };
        if let Some(failure) = refusal {
            return self.answer_fetch(who, Err(failure));
        }
        self.leadership.ask(now, &mut self.entropy);
        self.fetches.push(Fetch {
            who,
            until: now.monotonic.plus(REQUEST_DEADLINE),
            ask_at: now.monotonic,
            conversation,
            from,
            to,
            answered: to.next(),
            found: None,
        });
    }

    /// Asks for what is wanted, one stretch after the other.
    pub(super) fn advance_fetches(&mut self, now: Now) {
        if self.fetches.is_empty() {
            return;
        }
        let timeout = Failure::new(Code::Timeout, "the messages did not come in time");
        self.end_fetches(&|it, _| (it.until <= now.monotonic).then(|| Err(timeout.clone())));
        match &mut self.role {
            Role::Leader(leader) if leader.ready => {
                leader.link.fetch(self.fetches.iter().find_map(|it| it.next(&self.replica)));
                let written = leader.committing.iter().flat_map(|(_, change_set)| &change_set.events);
                let is_written = !written.chain(&leader.gathered.events).any(is_past);
                let is_offline = leader.link.connection() == Connection::Offline;
                let offline = Failure::new(Code::Offline, "the server cannot be reached");
                self.end_fetches(&|it, replica| match it.next(replica) {
                    None if is_written => Some(Ok(it.missing(replica))),
                    _ => is_offline.then(|| Err(offline.clone())),
                });
            }
            Role::Leader(_) => {}
            Role::Follower(_) => {
                if self.reload.is_none() {
                    self.end_fetches(&|it, _| it.found.map(Ok));
                }
                let mut asks = Vec::new();
                let due = |it: &&mut Fetch| it.ask_at <= now.monotonic && it.found.is_none();
                for fetch in self.fetches.iter_mut().filter(due) {
                    fetch.ask_at = now.monotonic.plus(ANNOUNCE);
                    if let Who::Local(RequestId(id)) = fetch.who {
                        let (conversation, from, to) = (fetch.conversation.clone(), fetch.from.0, fetch.to.0);
                        asks.push(local::FetchHistory { id, conversation, from, to });
                    }
                }
                for ask in asks {
                    self.broadcast(channel_frame::Frame::FetchHistory(ask));
                }
            }
        }
    }

    /// The leader has answered. Its last commit may be on its way to this copy by another road.
    pub(super) fn note_fetched(&mut self, who: Who, result: Answer) {
        match result {
            Ok(expired) => {
                let fetches = self.fetches.iter_mut().filter(|it| it.who == who);
                fetches.for_each(|it| it.found = Some(expired));
            }
            Err(failure) => self.end_fetches(&|it, _| (it.who == who).then(|| Err(failure.clone()))),
        }
    }

    /// Another leads from now on: it is asked anew, and whoever asked this tab asks it.
    pub(super) fn put_fetches_anew(&mut self) {
        self.fetches.retain(|it| matches!(it.who, Who::Local(_)));
        self.fetches.iter_mut().for_each(|it| (it.ask_at, it.found) = (Millis(0), None));
    }

    /// Ends the wishes to which there is an answer.
    pub(super) fn end_fetches(&mut self, answer: &dyn Fn(&Fetch, &Replica) -> Option<Answer>) {
        let mut answers = Vec::new();
        self.fetches.retain(|it| match answer(it, &self.replica) {
            Some(result) => {
                answers.push((it.who, result));
                false
            }
            None => true,
        });
        for (who, result) in answers {
            self.answer_fetch(who, result);
        }
    }

    fn answer_fetch(&mut self, who: Who, result: Answer) {
        match who {
            Who::Local(request) => self.resolve(request, result.map(Reply::Fetched)),
            Who::Tab(tab, id) => self.tell_done(tab, id, result.map(|expired| expired.0)),
        }
    }

    pub(super) fn fetch_deadline(&self) -> Option<Millis> {
        let follows = matches!(self.role, Role::Follower(_));
        let ask_at = |it: &Fetch| Some(it.ask_at).filter(|_| follows && it.found.is_none());
        self.fetches.iter().flat_map(|it| [Some(it.until), ask_at(it)]).flatten().min()
    }
}

fn is_past(event: &wire::Event) -> bool {
    matches!(event.body, Some(event::Body::Past(_)))
}
