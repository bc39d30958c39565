//! What only the server can answer, at once or not at all: whether somebody is there, and what is to be done about
//! the account's devices. The leader asks, the other tabs do through the leader; nothing of it is kept.

use tutti_protocol::{
    Code, Millis, TabId, codec,
    conversation::is_name,
    local::{self, channel_frame},
    wire::{self, client_frame, manage},
};

use super::{ANNOUNCE, Engine, Role, Who, calls::closed};
use crate::{Connection, ConnectionId, Failure, Now, Reply, RequestId};

/// How long the server may take to answer, in milliseconds.
const ANSWER_DEADLINE: u64 = 10_000;

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Question {
    who: Who,
    /// Names it to the server.
    number: u64,
    asks: Asks,
    until: Millis,
    /// When a follower asks (again).
    ask_at: Millis,
    /// The connection on which a leader has asked.
    asked: Option<ConnectionId>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Asks {
    /// Whether somebody is there.
    Presence(String),
    /// To do something about the account's devices.
    Manage(manage::What),
}

impl Asks {
    fn check(&self) -> Result<(), Failure> {
        match self {
            Self::Presence(account) if !is_name(account) => Err(Failure::new(
                Code::Invalid,
                "account: expected 1 to 128 bytes without control characters",
            )),
            Self::Presence(_) => Ok(()),
            Self::Manage(what) => {
                let manage = wire::Manage { number: 0, what: Some(what.clone()) };
                let checked = codec::check_manage(&manage);
                checked.map_err(|error| Failure::new(Code::Invalid, error.to_string()))
            }
        }
    }

    /// As the server is asked.
    fn to_frame(&self, number: u64) -> client_frame::Frame {
        match self.clone() {
            Self::Presence(account) => client_frame::Frame::Ask(wire::Ask { account }),
            Self::Manage(what) => client_frame::Frame::Manage(wire::Manage { number, what: Some(what) }),
        }
    }

    /// As a follower asks the leader.
    fn to_question(&self, id: u64) -> local::Question {
        match self.clone() {
            Self::Presence(account) => local::Question { id, account, manage: None },
            Self::Manage(what) => {
                let manage = Some(wire::Manage { number: 0, what: Some(what) });
                local::Question { id, account: String::new(), manage }
            }
        }
    }

    fn from_question(question: local::Question) -> Option<Self> {
        match question.manage {
            Some(manage) => manage.what.map(Self::Manage),
            None => Some(Self::Presence(question.account)),
        }
    }
}

impl Engine {
    pub(super) fn handle_ask(&mut self, who: Who, asks: Asks, now: Now) {
        if let Some(code) = self.closed {
            return self.answer_question(&who, Err(closed(code)));
        }
        if let Err(failure) = asks.check() {
            return self.answer_question(&who, Err(failure));
        }
        self.last_question += 1;
        let (number, until) = (self.last_question, now.monotonic.plus(ANSWER_DEADLINE));
        self.leadership.ask(now, &mut self.entropy);
        self.questions.push(Question { who, number, asks, until, ask_at: now.monotonic, asked: None });
    }

    pub(super) fn handle_question(&mut self, tab: TabId, question: local::Question, now: Now) {
        let who = Who::Tab(tab, question.id);
        let known = self.questions.iter().any(|it| it.who == who);
        if let (Role::Leader(_), false, Some(asks)) = (&self.role, known, Asks::from_question(question)) {
            self.handle_ask(who, asks, now);
        }
    }

    pub(super) fn handle_answer(&mut self, answer: local::Answer) {
        let who = Who::Local(RequestId(answer.id));
        let result = match answer.code.as_str() {
            "" => Ok((answer.presence, answer.devices)),
            code => Err(Failure::new(Code::parse(code), answer.message)),
        };
        let reply = match result {
            Ok((Some(presence), _)) if codec::check_presence(&presence).is_ok() => {
                Ok(Reply::Presence(Box::new(presence)))
            }
            Ok((None, Some(devices))) if codec::check_devices(&devices).is_ok() => {
                Ok(Reply::Devices(Box::new(devices)))
            }
            Ok((None, None)) => Ok(Reply::Done),
            Ok(_) => return,
            Err(failure) => Err(failure),
        };
        self.end_questions(|it| it.who == who, reply);
    }

    /// Whoever has asked for an account's presence learns it.
    pub(super) fn answer_presence(&mut self, presence: &wire::AccountPresence) {
        let asks = |it: &Question| matches!(&it.asks, Asks::Presence(of) if *of == presence.account);
        self.end_questions(asks, Ok(Reply::Presence(Box::new(presence.clone()))));
    }

    /// The server has done something about the account's devices, or not.
    pub(super) fn handle_managed(&mut self, managed: wire::Managed) {
        let reply = match (managed.code.as_str(), managed.devices) {
            ("", Some(devices)) => Ok(Reply::Devices(Box::new(devices))),
            ("", None) => Ok(Reply::Done),
            (code, _) => Err(Failure::new(Code::parse(code), managed.message)),
        };
        self.end_questions(|it| it.asked.is_some() && it.number == managed.number, reply);
    }

    /// Time has passed, or the connection has changed.
    pub(super) fn advance_questions(&mut self, now: Now) {
        if self.questions.is_empty() {
            return;
        }
        let timeout = Failure::new(Code::Timeout, "nobody could say in time");
        self.end_questions(|it| it.until <= now.monotonic, Err(timeout));
        match &mut self.role {
            Role::Leader(leader) if leader.ready && leader.link.takes_status() => {
                let connection = leader.link.id();
                for question in self.questions.iter_mut().filter(|it| it.asked != Some(connection)) {
                    if matches!(question.asks, Asks::Manage(_)) && !leader.link.takes_manage() {
                        continue;
                    }
                    if !leader.link.say(question.asks.to_frame(question.number), now) {
                        break;
                    }
                    question.asked = Some(connection);
                }
                if !leader.link.takes_manage() {
                    let why = Failure::new(Code::Unsupported, "the server does not manage devices");
                    self.end_questions(|it| matches!(it.asks, Asks::Manage(_)), Err(why));
                }
            }
            Role::Leader(leader) if leader.ready => {
                let why = match leader.link.connection() {
                    // On the way.
                    Connection::Connecting => return,
                    Connection::Online => Failure::new(Code::Unsupported, "the server does not answer that"),
                    Connection::Polling => {
                        Failure::new(Code::ConnectionLimit, "there is no place for a connection now")
                    }
                    _ => Failure::new(Code::Offline, "not connected to the server"),
                };
                self.end_questions(|_| true, Err(why));
            }
            Role::Leader(_) => {}
            Role::Follower(_) => {
                let mut questions = Vec::new();
                let in_turn = in_turn(&self.questions);
                let due = |it: &&mut Question| it.ask_at <= now.monotonic && in_turn(it);
                for question in self.questions.iter_mut().filter(due) {
                    question.ask_at = now.monotonic.plus(ANNOUNCE);
                    if let Who::Local(RequestId(id)) = question.who {
                        questions.push(question.asks.to_question(id));
                    }
                }
                for question in questions {
                    self.broadcast(channel_frame::Frame::Question(question));
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
        result: Result<Reply, Failure>,
    ) {
        for question in self.questions.extract_if(.., |it| which(it)).collect::<Vec<_>>() {
            self.answer_question(&question.who, result.clone());
        }
    }

    fn answer_question(&mut self, who: &Who, result: Result<Reply, Failure>) {
        match *who {
            Who::Local(request) => self.resolve(request, result),
            Who::Tab(tab, id) => {
                let answer = local::Answer { tab: tab.to_bytes(), id, ..local::Answer::default() };
                let answer = match result {
                    Ok(Reply::Presence(presence)) => local::Answer { presence: Some(*presence), ..answer },
                    Ok(Reply::Devices(devices)) => local::Answer { devices: Some(*devices), ..answer },
                    Ok(_) => answer,
                    Err(Failure { code, message, .. }) => {
                        local::Answer { code: code.as_str().to_owned(), message, ..answer }
                    }
                };
                self.broadcast(channel_frame::Frame::Answer(answer));
            }
        }
    }

    pub(super) fn question_deadline(&self) -> Option<Millis> {
        let ask_at = match &self.role {
            Role::Leader(leader) if leader.ready => {
                let unasked = |it: &Question| it.asked != Some(leader.link.id());
                leader.link.say_at().filter(|_| self.questions.iter().any(unasked))
            }
            Role::Leader(_) => None,
            Role::Follower(_) => {
                let in_turn = in_turn(&self.questions);
                self.questions.iter().filter(|it| in_turn(it)).map(|it| it.ask_at).min()
            }
        };
        let until = self.questions.iter().map(|it| it.until).min();
        [ask_at, until].into_iter().flatten().min()
    }
}

/// Which of a follower's questions it may ask now. What is to be done about devices is asked one at a time: a leader
/// may miss any of them, and what is asked again later must not undo what came after it.
fn in_turn(questions: &[Question]) -> impl Fn(&Question) -> bool + use<> {
    let manages = |it: &Question| matches!(it.asks, Asks::Manage(_));
    let first = questions.iter().find(|it| manages(it)).map(|it| it.number);
    move |it| !manages(it) || first == Some(it.number)
}
