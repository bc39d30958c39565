//! What the link brings.

use bytes::Bytes;
use tutti_protocol::{
    Code, Millis, Seq,
    local::{Queued, channel_frame},
    wire,
};

use super::{Engine, Role, newest};
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

    pub(super) fn handle_connected(&mut self, id: ConnectionId, token: String) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if !leader.ready {
            leader.opened = Some((id, token));
        } else if leader.link.id() == id {
            let copy = (self.replica.log, self.replica.cursor);
            leader.link.opened(token, &self.identity, self.leadership.epoch(), copy);
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
        let copy = (self.replica.log, self.replica.cursor);
        let mut time = Millis(0);
        let mut service = None;
        for arrived in leader.link.frame(bytes, copy, now, &mut self.entropy) {
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
                Arrived::Service { disabled } => service = Some(disabled),
                Arrived::OtherLog(log) => {
                    leader.gathered.forget();
                    (leader.gathered.log, leader.gathered.cursor) = (Some(log), Some(Seq(0)));
                }
                Arrived::Events(events, cursor) => {
                    time = time.max(newest(&events));
                    leader.gathered.events.extend(events);
                    leader.gathered.cursor = Some(cursor);
                }
                Arrived::Refused(refused) => {
                    for (id, refused) in refused {
                        if let Some(queued) = self.replica.outbox.get(id) {
                            leader.gathered.refused.push(Queued { refused: Some(refused), ..queued.clone() });
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
