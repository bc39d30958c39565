//! Status: what reaches only who is there at the moment. The leader says and hears it, the other tabs do
//! through the leader; what cannot be said is lost.

use tutti_protocol::{
    Epoch, Millis, codec,
    local::{self, channel_frame},
    wire::{self, Availability, client_frame, status::Status as Kind},
};

use super::{Engine, Role};
use crate::{
    Event, Now,
    status::{OwnPresence, Typist},
};

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
                self.answer_presence(&presence);
                self.events.push_back(Event::Presence(presence));
            }
            Some(Kind::Custom(custom)) => self.events.push_back(Event::CustomStatus(custom)),
            Some(Kind::Devices(devices)) => self.events.push_back(Event::Devices(devices)),
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

    pub(super) fn status_deadline(&self) -> Option<Millis> {
        let own = match &self.role {
            Role::Leader(leader) if leader.ready => {
                let say_at = leader.link.say_at().filter(|_| leader.link.owes_presence());
                [leader.typing.deadline(), say_at].into_iter().flatten().min()
            }
            _ => None,
        };
        [own, self.typists.deadline()].into_iter().flatten().min()
    }
}
