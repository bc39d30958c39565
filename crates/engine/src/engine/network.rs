//! What the link brings.

use bytes::Bytes;
use tutti_protocol::{
    Code, Millis,
    local::{Queued, channel_frame},
    wire::{self, event},
};

use super::{Engine, Reading, Role, newest};
use crate::{Connection, ConnectionId, Event, Failure, Now, link::Arrived};

impl Engine {
    /// There is no place for a connection. Whoever wanted another's has not got it.
    fn handle_limited(&mut self, limit: wire::Limit) {
        let failure =
            Failure::new(Code::ConnectionLimit, "that device has no connection of this kind to take over");
        self.end_syncs(|sync| sync.take_over.is_some(), Err(failure));
        self.broadcast(channel_frame::Frame::Limit(limit.clone()));
        self.tell_limit(limit);
    }

    /// Tells of it, each time that it is another.
    pub(super) fn tell_limit(&mut self, limit: wire::Limit) {
        if self.limit.as_ref() != Some(&limit) {
            self.limit = Some(limit.clone());
            self.events.push_back(Event::Limited(limit));
        }
    }

    pub(super) fn handle_connected(&mut self, id: ConnectionId, token: String, now: Now) {
        let alias = self.alias(now);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if !leader.ready {
            leader.opened = Some((id, token));
        } else if leader.link.id() == id {
            leader.link.opened(token, &self.identity, alias, self.leadership.epoch(), &self.replica.mark());
        }
    }

    /// Another token, for a connection that stands.
    pub(super) fn handle_token(&mut self, id: ConnectionId, token: Result<String, Failure>, now: Now) {
        if let Role::Leader(leader) = &mut self.role
            && leader.link.id() == id
        {
            leader.link.refresh(token, now);
        }
    }

    pub(super) fn handle_disconnected(&mut self, id: ConnectionId, failure: Failure, now: Now) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.link.id() == id {
            leader.link.closed(failure, now, &mut self.entropy);
        }
    }

    pub(super) fn handle_frame(&mut self, id: ConnectionId, bytes: Bytes, now: Now) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.link.id() != id {
            return;
        }
        let mut time = Millis(0);
        let mut service = None;
        for arrived in leader.link.frame(bytes, self.replica.mark(), now, &mut self.entropy) {
            match arrived {
                Arrived::Time(server) => {
                    self.server_time = Some((server, now.monotonic));
                    leader.catching_up = Some(0);
                    if leader.link.connection() == Connection::Online {
                        self.limit = None;
                    }
                }
                Arrived::Replaced => return self.resign(now),
                Arrived::Limited(limit) => return self.handle_limited(limit),
                Arrived::Status(status) => return self.handle_status(status, now),
                Arrived::Managed(managed) => return self.handle_managed(managed),
                Arrived::Revoked(revoked) => return self.handle_revoked(revoked),
                Arrived::Service { disabled } => service = Some(disabled),
                Arrived::Snapshot(page) => {
                    if page.log.is_some() {
                        leader.gathered.forget(&mut self.fetches);
                        (leader.gathered.log, leader.gathered.common) = (page.log, page.common);
                        // Nor is what was read for a fold of use now.
                        (leader.salvage, leader.outdated) = (None, Reading::Idle);
                    }
                    time = time.max(newest(&page.events));
                    leader.gathered.events.extend(page.events);
                    leader.gathered.cursor = Some(page.cursor);
                    leader.gathered.notified = Some(page.next.is_none() && leader.link.is_notified());
                    leader.gathered.snapshot = Some((page.next, page.from));
                }
                Arrived::History(history) => {
                    for fetch in &mut self.fetches {
                        fetch.note_answer(&history, &self.replica);
                    }
                    // As of now, and kept like what comes by itself.
                    let seq = self.replica.cursor.0.max(1);
                    leader.gathered.events.extend(history.messages.into_iter().map(|message| wire::Event {
                        seq,
                        operation: message.id.clone(),
                        body: Some(event::Body::Past(message)),
                    }));
                }
                Arrived::Events(events, cursor) => {
                    time = time.max(newest(&events));
                    leader.gathered.events.extend(events);
                    leader.gathered.cursor = Some(cursor);
                    if !leader.link.is_notified() {
                        leader.gathered.notified = Some(false);
                    }
                }
                Arrived::Refused(refused) => {
                    for (id, refused) in refused {
                        match self.replica.outbox.get(id) {
                            // Another device was faster, and had it as it was before, or is now.
                            Some(queued) if queued.again && Code::parse(&refused.code) == Code::Conflict => {
                                leader.gathered.over.push(id);
                            }
                            Some(queued) => {
                                let refused = Some(refused);
                                leader.gathered.refused.push(Queued { refused, ..queued.clone() });
                            }
                            None => {}
                        }
                    }
                }
            }
        }
        self.learn_time(time, now);
        if service.is_some_and(|disabled| std::mem::replace(&mut self.sync_disabled, disabled) != disabled) {
            self.broadcast_leader_status(now);
        }
    }
}
