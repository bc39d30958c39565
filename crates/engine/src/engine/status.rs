//! Status: what reaches only who is there at the moment. The leader says and hears it, the other tabs do
//! through the leader; what cannot be said is lost.

use tutti_protocol::{
    Code, Epoch, Millis, TabId, codec,
    conversation::is_name,
    local::{self, channel_frame},
    wire::{self, Availability, client_frame, status::Status as Kind},
};

use super::{ANNOUNCE, Engine, Role, Who, calls::closed};
use crate::{
    Connection, ConnectionId, Event, Failure, Now, Reply, RequestId,
    status::{OwnPresence, Typist},
};

/// How long it may take to learn an account's presence, in milliseconds.
const PRESENCE_DEADLINE: u64 = 10_000;

/// A wish to know whether somebody is there.
#[derive(Debug)]
pub(super) struct Question {
    who: Who,
    account: String,
    until: Millis,
    /// When a follower asks (again).
    ask_at: Millis,
    /// The connection on which a leader has asked.
    asked: Option<ConnectionId>,
}

impl Engine {
    /// The user types somewhere, or does not any more.
    pub(super) fn handle_set_typing(&mut self, conversation: String, typing: bool, now: Now) {
        if typing {
            self.typing_here.insert(conversation.clone());
        } else if !self.typing_here.remove(&conversation) {
            return;
        }
        let typing = wire::Typing { conversation, account: String::new(), typing };
        self.say(Kind::Typing(typing), now);
    }

    pub(super) fn handle_set_presence(&mut self, availability: Availability) {
        if self.closed.is_some() || availability == Availability::Offline {
            return;
        }
        self.presence = self.presence.next(availability);
        self.tell_presence();
        self.carry_presence();
    }

    pub(super) fn handle_send_status(&mut self, custom: wire::Custom, now: Now) {
        self.say(Kind::Custom(custom), now);
    }

    pub(super) fn handle_ask_presence(&mut self, who: Who, account: String, now: Now) {
        if let Some(code) = self.closed {
            return self.answer_question(&who, Err(closed(code)));
        }
        if !is_name(&account) {
            let failure =
                Failure::new(Code::Invalid, "account: expected 1 to 128 bytes without control characters");
            return self.answer_question(&who, Err(failure));
        }
        let until = now.monotonic.plus(PRESENCE_DEADLINE);
        self.leadership.ask(now, &mut self.entropy);
        self.questions.push(Question { who, account, until, ask_at: now.monotonic, asked: None });
    }

    /// What other tabs say of status. What was meant for a leader before this one may have lain here for long.
    pub(super) fn handle_say(&mut self, say: local::Say, now: Now) {
        if matches!(self.role, Role::Leader(_))
            && Epoch(say.epoch) == self.leadership.epoch()
            && let Some(status) = say.status
            && codec::check_said(&status).is_ok()
            && let Some(kind) = status.status
        {
            self.say(kind, now);
        }
    }

    pub(super) fn handle_told(&mut self, status: wire::Status, now: Now) {
        if codec::check_status(&status).is_ok() {
            self.note_status(status, now);
        }
    }

    pub(super) fn handle_presence_set(&mut self, told: &local::SetPresence) {
        let Some(told) = OwnPresence::heard(told.change, told.availability) else {
            return;
        };
        if told < self.presence {
            self.tell_presence();
        }
        self.presence = self.presence.max(told);
        self.carry_presence();
    }

    pub(super) fn handle_presence_asked(&mut self, tab: TabId, ask: local::AskPresence, now: Now) {
        let who = Who::Tab(tab, ask.id);
        let known = self.questions.iter().any(|it| it.who == who);
        if matches!(self.role, Role::Leader(_)) && !known {
            self.handle_ask_presence(who, ask.account, now);
        }
    }

    pub(super) fn handle_presence_told(&mut self, told: local::PresenceTold) {
        let who = Who::Local(RequestId(told.id));
        let result = match (told.code.as_str(), told.presence) {
            ("", Some(presence)) if codec::check_presence(&presence).is_ok() => Ok(presence),
            ("", _) => return,
            (code, _) => Err(Failure::new(Code::parse(code), told.message)),
        };
        self.end_questions(|it| it.who == who, result);
    }

    /// The server tells something.
    pub(super) fn handle_status(&mut self, status: wire::Status, now: Now) {
        self.broadcast(channel_frame::Frame::Told(status.clone()));
        self.note_status(status, now);
    }

    fn note_status(&mut self, status: wire::Status, now: Now) {
        match status.status {
            Some(Kind::Typing(wire::Typing { conversation, account, typing })) => {
                let who = (conversation, account);
                if self.typists.note(&who, typing, now.monotonic) {
                    self.tell_typing(who, typing);
                }
            }
            Some(Kind::Presence(presence)) => {
                self.end_questions(|it| it.account == presence.account, Ok(presence.clone()));
                self.events.push_back(Event::Presence(presence));
            }
            Some(Kind::Custom(custom)) => self.events.push_back(Event::CustomStatus(custom)),
            None => {}
        }
    }

    fn tell_typing(&mut self, (conversation, account): Typist, typing: bool) {
        self.events.push_back(Event::Typing { conversation, account, typing });
    }

    /// Nobody would be heard who ends typing.
    pub(super) fn end_typing(&mut self) {
        self.typists.all().into_iter().for_each(|who| self.tell_typing(who, false));
    }

    fn say(&mut self, kind: Kind, now: Now) {
        if self.closed.is_some() {
            return;
        }
        match &mut self.role {
            Role::Leader(leader) if leader.ready && leader.link.takes_status() => {
                let due = match &kind {
                    Kind::Typing(typing) => {
                        leader.typing.set(&typing.conversation, typing.typing, now.monotonic)
                    }
                    _ => true,
                };
                if due {
                    let status = wire::Status { status: Some(kind) };
                    leader.link.say(client_frame::Frame::Status(status), now);
                }
            }
            Role::Leader(_) => {}
            Role::Follower(_) => {
                let (status, epoch) = (wire::Status { status: Some(kind) }, self.leadership.epoch().0);
                self.broadcast(channel_frame::Frame::Say(local::Say { status: Some(status), epoch }));
            }
        }
    }

    /// Says what the user has set, to tabs that may not know it.
    pub(super) fn tell_presence(&mut self) {
        if let Some(availability) = self.presence.availability() {
            let (change, availability) = (self.presence.change, availability.into());
            let presence = local::SetPresence { availability, change };
            self.broadcast(channel_frame::Frame::SetPresence(presence));
        }
    }

    /// The server is told of it by the leader, now and whenever it is connected to anew.
    pub(super) fn carry_presence(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            leader.link.set_presence(self.presence);
        }
    }

    /// Time has passed, or the connection has changed.
    pub(super) fn advance_status(&mut self, now: Now) {
        for who in self.typists.expired(now.monotonic) {
            self.tell_typing(who, false);
        }
        self.advance_questions(now);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.link.takes_status() {
            leader.link.say_presence(now);
            for conversation in leader.typing.due(now.monotonic) {
                let typing = wire::Typing { conversation, account: String::new(), typing: true };
                let status = wire::Status { status: Some(Kind::Typing(typing)) };
                leader.link.say(client_frame::Frame::Status(status), now);
            }
        } else {
            leader.typing = Default::default();
            self.end_typing();
        }
        self.carry_link();
    }

    fn advance_questions(&mut self, now: Now) {
        if self.questions.is_empty() {
            return;
        }
        let timeout = Failure::new(Code::Timeout, "nobody could say in time");
        self.end_questions(|it| it.until <= now.monotonic, Err(timeout));
        match &mut self.role {
            Role::Leader(leader) if leader.ready && leader.link.takes_status() => {
                let connection = leader.link.id();
                for question in self.questions.iter_mut().filter(|it| it.asked != Some(connection)) {
                    let ask = wire::Ask { account: question.account.clone() };
                    if !leader.link.say(client_frame::Frame::Ask(ask), now) {
                        break;
                    }
                    question.asked = Some(connection);
                }
            }
            Role::Leader(leader) if leader.ready => {
                let why = match leader.link.connection() {
                    // On the way.
                    Connection::Connecting => return,
                    Connection::Online => {
                        Failure::new(Code::Unsupported, "the server does not tell of presence")
                    }
                    _ => Failure::new(Code::Offline, "not connected to the server"),
                };
                self.end_questions(|_| true, Err(why));
            }
            Role::Leader(_) => {}
            Role::Follower(_) => {
                let mut asks = Vec::new();
                for question in self.questions.iter_mut().filter(|it| it.ask_at <= now.monotonic) {
                    question.ask_at = now.monotonic.plus(ANNOUNCE);
                    if let Who::Local(RequestId(id)) = question.who {
                        asks.push(local::AskPresence { id, account: question.account.clone() });
                    }
                }
                for ask in asks {
                    self.broadcast(channel_frame::Frame::AskPresence(ask));
                }
            }
        }
    }

    /// Another leads from now on: it is asked anew, and whoever asked this tab asks it.
    pub(super) fn put_questions_anew(&mut self) {
        self.questions.retain(|it| matches!(it.who, Who::Local(_)));
        self.questions.iter_mut().for_each(|it| (it.ask_at, it.asked) = (Millis(0), None));
    }

    pub(super) fn end_questions(
        &mut self,
        which: impl Fn(&Question) -> bool,
        result: Result<wire::AccountPresence, Failure>,
    ) {
        for question in self.questions.extract_if(.., |it| which(it)).collect::<Vec<_>>() {
            self.answer_question(&question.who, result.clone());
        }
    }

    fn answer_question(&mut self, who: &Who, result: Result<wire::AccountPresence, Failure>) {
        match *who {
            Who::Local(request) => {
                self.resolve(request, result.map(|presence| Reply::Presence(Box::new(presence))));
            }
            Who::Tab(tab, id) => {
                let tab = tab.to_bytes();
                let told = match result {
                    Ok(presence) => {
                        local::PresenceTold { tab, id, presence: Some(presence), ..Default::default() }
                    }
                    Err(Failure { code, message, .. }) => {
                        let code = code.as_str().to_owned();
                        local::PresenceTold { tab, id, code, message, presence: None }
                    }
                };
                self.broadcast(channel_frame::Frame::PresenceTold(told));
            }
        }
    }

    pub(super) fn status_deadline(&self) -> Option<Millis> {
        let own = match &self.role {
            Role::Leader(leader) if leader.ready => {
                let unasked = |it: &Question| it.asked != Some(leader.link.id());
                let wanted = self.questions.iter().any(unasked) || leader.link.owes_presence();
                let say_at = leader.link.say_at().filter(|_| wanted);
                [leader.typing.deadline(), say_at].into_iter().flatten().min()
            }
            Role::Leader(_) => None,
            Role::Follower(_) => self.questions.iter().map(|it| it.ask_at).min(),
        };
        let until = self.questions.iter().map(|it| it.until).min();
        [own, until, self.typists.deadline()].into_iter().flatten().min()
    }
}
