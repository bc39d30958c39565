//! Leading and following, and what the tabs of a profile say to each other.

use std::cmp::Ordering;

use bytes::Bytes;
use tutti_protocol::{
    Code, DeviceId, Epoch, LogId, Millis, OperationId, Position, Revision, TabId, codec, limits,
    local::{self, ChangeSet, ChannelFrame, channel_frame},
};

use super::{
    ANNOUNCE, Configured, DIFFERENCE, Engine, Follower, Gathered, Leader, Offline, ROLL_CALL, Reading, Role,
    RollCall, Who, newest, queued_id,
};
use crate::{
    Effect, Event, Extent, Failure, LockId, Now, RequestId,
    batch::{Claim, StoreError},
    leadership::Change,
    link::Link,
    replica::{Applied, check_change_set},
    status::OwnTyping,
};

impl Engine {
    pub(super) fn handle_claimed(&mut self, id: LockId, claim: Result<Claim, StoreError>, now: Now) {
        let known = self.leadership.epoch();
        let change = self.leadership.claimed(id, &claim, now);
        if matches!(claim, Ok(Claim::Overtaken(_))) && self.leadership.epoch() > known {
            // Whoever won may have been answered before this tab knew of it.
            self.call_roll(now);
            self.broadcast(channel_frame::Frame::Presence(local::Presence { asks: true }));
        }
        self.lead_or_follow(change, now);
        if let (Err(error), None) = (&claim, self.closed)
            && !self.handle_loss(error, now)
        {
            self.complain(Failure::from(error));
        }
    }

    pub(super) fn lead_or_follow(&mut self, change: Change, now: Now) {
        match change {
            Change::None => {}
            Change::Began(revision) => self.begin_to_lead(revision, now),
            Change::Ended => self.step_down(),
        }
    }

    fn begin_to_lead(&mut self, revision: Revision, now: Now) {
        let current = revision == self.replica.revision && self.reload.is_none();
        let loading = if current {
            // Only news of an operation can have been missed.
            Some(self.load(Extent::Outbox))
        } else {
            // A reload under way may have been read before the last leader's last commit.
            self.reload = None;
            self.start_reload();
            None
        };
        let mut link =
            Link::new(self.last_connection, self.is_held(), self.limit.is_some(), self.config.config);
        link.connect_now_if_waiting();
        self.role = Role::Leader(Box::new(Leader {
            ready: false,
            opened: None,
            loading,
            look_at: None,
            outdated: Reading::Idle,
            salvage: None,
            again: Vec::new(),
            link,
            gathered: Gathered::default(),
            committing: None,
            rest_until: None,
            catching_up: None,
            idle_at: None,
            reconcile_at: now.monotonic,
            typing: OwnTyping::default(),
        }));
        self.carry_presence();
        // The others hear of the new leader first, so that they count anew what is answered.
        self.broadcast_leader_status(now);
        self.broadcast(channel_frame::Frame::Presence(local::Presence { asks: true }));
        self.call_roll(now);
    }

    /// Steps down, and lets go of the lock that says otherwise.
    pub(super) fn resign(&mut self, now: Now) {
        let change = self.leadership.resign(now);
        self.lead_or_follow(change, now);
    }

    /// Nothing can be relied on from now on, so nothing is kept from the others.
    pub(super) fn handle_suspended(&mut self) {
        if self.closed.is_some() || std::mem::replace(&mut self.suspended, true) {
            return;
        }
        if self.renewal.as_ref().is_some_and(|renewal| renewal.listens) {
            // It will not hear who has erased the store.
            return self.let_go();
        }
        self.leadership.leave();
        self.step_down();
        self.broadcast(channel_frame::Frame::Leave(local::Leave {}));
    }

    pub(super) fn handle_resumed(&mut self, now: Now) {
        if self.closed.is_some() || !std::mem::replace(&mut self.suspended, false) {
            return;
        }
        self.resumed = true;
        self.tabs.clear();
        self.broadcast(channel_frame::Frame::Presence(local::Presence { asks: true }));
        if self.renewal.is_none() {
            self.leadership.join(now, &mut self.entropy);
        }
        // Whatever was read, or is being read, is from before.
        self.reload = None;
        self.start_reload();
    }

    pub(super) fn step_down(&mut self) {
        if let Role::Leader(leader) = &mut self.role {
            self.last_connection = leader.link.id();
            self.effects.push_back(Effect::Disconnect(self.last_connection));
            let mut follower = Follower { announce_at: Some(Millis(0)), ..Follower::default() };
            follower.unclaimed.extend(self.own_pending());
            self.role = Role::Follower(Box::new(follower));
            // Those who asked ask the next leader.
            self.syncs.retain(|sync| matches!(sync.who, Who::Local(_)));
            self.withdrawals.retain(|it| matches!(it.who, Who::Local(_)));
            self.put_fetches_anew();
            self.put_questions_anew();
            if self.closed.is_none() && !self.suspended {
                // What the next leader has said already, it says again.
                self.broadcast(channel_frame::Frame::Presence(local::Presence { asks: true }));
            }
        }
    }

    pub(super) fn handle_channel(&mut self, bytes: &Bytes, now: Now) {
        // Another version's frame may hold what this one does not know; then it is not for us.
        let Ok(ChannelFrame { tab, store, frame: Some(frame), needs }) = codec::decode_local(bytes.clone())
        else {
            return;
        };
        let Ok(tab) = TabId::try_from(&tab) else {
            return;
        };
        if tab == self.identity.tab || self.closed.is_some() || self.suspended || needs > limits::CHANNEL {
            return;
        }
        if store[..] != self.replica.store().as_bytes()[..] {
            // The store was erased: one of the two does not know it yet. A leader learns it when it writes.
            if self.renewal.is_none() && matches!(self.role, Role::Follower(_)) {
                self.start_reload();
            }
            return;
        }
        let leads = match &frame {
            channel_frame::Frame::ChangeSet(change_set) => Some(Epoch(change_set.epoch)),
            channel_frame::Frame::LeaderStatus(status) => Some(Epoch(status.epoch)),
            channel_frame::Frame::Pong(pong) => Some(Epoch(pong.epoch)),
            channel_frame::Frame::Claim(claim) => Some(Epoch(claim.epoch)),
            // Of what it has sent itself it tells no more: an older leader must not send this before the rest.
            channel_frame::Frame::Announce(announce) if announce.epoch > 0 => Some(Epoch(announce.epoch)),
            _ => None,
        };
        if let Some(epoch) = leads {
            self.handle_leader_heard(tab, epoch, now);
        }
        if !matches!(frame, channel_frame::Frame::Leave(_)) {
            self.tabs.insert(tab);
            if let Some(call) = &mut self.roll_call {
                call.missing.remove(&tab);
            }
        }
        match frame {
            channel_frame::Frame::Presence(presence) => {
                if presence.asks {
                    self.broadcast(channel_frame::Frame::Presence(local::Presence { asks: false }));
                    if let (Role::Leader(_), Some(limit)) = (&self.role, self.limit.clone()) {
                        self.broadcast(channel_frame::Frame::Limit(limit));
                    }
                    self.tell_state(now);
                }
            }
            channel_frame::Frame::Leave(_) => {
                self.tabs.remove(&tab);
                match &mut self.role {
                    // What it wrote last it could not announce any more.
                    Role::Leader(leader) => leader.look_at = Some(now.monotonic.plus(ANNOUNCE)),
                    Role::Follower(follower) => {
                        if follower.leader_tab.take_if(|leader| *leader == tab).is_some() {
                            self.leadership.vacated(now, &mut self.entropy);
                        }
                    }
                }
            }
            channel_frame::Frame::Offline(offline) => {
                let (known, told) =
                    (self.offline, Offline { change: offline.change, offline: offline.offline });
                self.offline = known.max(told);
                self.hold_link();
                if told < known {
                    self.tell_offline();
                }
            }
            channel_frame::Frame::Config(config) => {
                let told = Configured { change: config.change, config: config.into() };
                match told.cmp(&self.config) {
                    Ordering::Greater if told.change > 0 => self.configure(told, now),
                    Ordering::Less if self.config.change > 0 => self.tell_config(),
                    _ => {}
                }
            }
            channel_frame::Frame::ChangeSet(change_set) => self.handle_change_set(change_set, now),
            channel_frame::Frame::Announce(announce) => self.handle_announce(announce),
            channel_frame::Frame::Claim(claim) => {
                if let Role::Follower(follower) = &mut self.role
                    && Epoch(claim.epoch) >= self.leadership.epoch()
                {
                    for id in claim.ids.iter().filter_map(|id| OperationId::try_from(id).ok()) {
                        if follower.unclaimed.remove(&id) {
                            follower.announce_at = Some(now.monotonic);
                        }
                    }
                }
            }
            channel_frame::Frame::LeaderStatus(status) => self.handle_leader_status(status, now),
            channel_frame::Frame::SyncRequest(request) => {
                let who = Who::Tab(tab, request.id);
                let known = self.syncs.iter().any(|sync| sync.who == who);
                if matches!(self.role, Role::Leader(_)) && !known {
                    self.handle_sync_now(who, DeviceId::try_from(&request.take_over).ok(), now);
                }
            }
            channel_frame::Frame::Withdraw(wish) => {
                let who = Who::Tab(tab, wish.id);
                let known = self.withdrawals.iter().any(|it| it.who == who);
                if let (Role::Leader(_), false, Ok(id)) =
                    (&self.role, known, OperationId::try_from(&wish.operation))
                {
                    self.handle_withdraw(who, id, wish.retry, now);
                }
            }
            channel_frame::Frame::FetchHistory(wish) => {
                let who = Who::Tab(tab, wish.id);
                let known = self.fetches.iter().any(|it| it.who == who);
                if matches!(self.role, Role::Leader(_)) && !known {
                    let positions = (Position(wish.from), Position(wish.to));
                    self.handle_fetch(who, wish.conversation, positions, now);
                }
            }
            channel_frame::Frame::SyncDone(done) => {
                if TabId::try_from(&done.tab) == Ok(self.identity.tab) {
                    self.handle_sync_done(done);
                }
            }
            channel_frame::Frame::Ping(local::Ping { number }) => {
                if self.leadership.answers() {
                    let (epoch, tab) = (self.leadership.epoch().0, tab.to_bytes());
                    self.broadcast(channel_frame::Frame::Pong(local::Pong { epoch, tab, number }));
                    // Whoever missed something while nothing else happens learns it from this.
                    self.tell_state(now);
                }
            }
            channel_frame::Frame::Pong(pong) => {
                if TabId::try_from(&pong.tab) == Ok(self.identity.tab) {
                    self.leadership.answered(pong.number, Epoch(pong.epoch), now);
                }
            }
            channel_frame::Frame::Say(say) => self.handle_say(say, now),
            channel_frame::Frame::Told(status) => self.handle_told(status, now),
            channel_frame::Frame::SetPresence(presence) => self.handle_presence_set(&presence),
            channel_frame::Frame::Question(question) => self.handle_question(tab, question, now),
            channel_frame::Frame::Answer(answer) => {
                if TabId::try_from(&answer.tab) == Ok(self.identity.tab) {
                    self.handle_answer(answer);
                }
            }
            channel_frame::Frame::Erased(erased) => self.handle_erased_elsewhere(erased),
            channel_frame::Frame::Limit(limit) => {
                if matches!(self.role, Role::Follower(_)) && codec::check_limit(&limit).is_ok() {
                    self.tell_limit(limit);
                }
            }
        }
    }

    pub(super) fn tell_offline(&mut self) {
        let Offline { change, offline } = self.offline;
        // Even by who has not heard of any change: whoever has says so then.
        self.broadcast(channel_frame::Frame::Offline(local::Offline { change, offline }));
    }

    fn call_roll(&mut self, now: Now) {
        let until = now.monotonic.plus(ROLL_CALL);
        self.roll_call = Some(RollCall { until, missing: self.tabs.clone() });
    }

    /// Those who have not answered are gone.
    pub(super) fn end_roll_call(&mut self, now: Now) {
        if let Some(call) = self.roll_call.take_if(|call| call.until <= now.monotonic) {
            self.tabs.retain(|tab| !call.missing.contains(tab));
        }
    }

    /// What this tab began and the server has not confirmed.
    fn own_pending(&self) -> Vec<OperationId> {
        let pending = self.replica.outbox.pending().map(|(id, _)| id);
        pending.filter(|id| self.own.contains(id)).collect()
    }

    /// Another tab leads, at this epoch.
    fn handle_leader_heard(&mut self, tab: TabId, epoch: Epoch, now: Now) {
        let (known, answers) = (self.leadership.epoch(), self.leadership.answers());
        if epoch > known {
            self.call_roll(now);
        }
        let change = self.leadership.heard(epoch, now);
        self.lead_or_follow(change, now);
        let own = if epoch > known { self.own_pending() } else { Vec::new() };
        if let Role::Follower(follower) = &mut self.role
            && epoch >= known
            && !answers
        {
            follower.leader_tab = Some(tab);
            if epoch > known {
                // What the last one claimed it may have claimed after this one had read the store.
                follower.unclaimed.extend(own);
                follower.announce_at = Some(now.monotonic);
            }
        }
    }

    fn handle_sync_done(&mut self, done: local::SyncDone) {
        let who = Who::Local(RequestId(done.id));
        let result = match done.code.as_str() {
            "" => Ok(()),
            code => Err(Failure::new(Code::parse(code), done.message)),
        };
        self.end_withdrawals(|it| it.who == who, result.clone());
        self.note_fetched(who, result.clone().map(|()| Position(done.expired)));
        if result.is_ok() {
            // The leader is done. It has said at which revision, so this tab reads if it must.
            self.syncs.iter_mut().filter(|sync| sync.who == who).for_each(|sync| sync.ask_at = None);
        } else {
            self.end_syncs(|sync| sync.who == who, result);
        }
    }

    fn handle_change_set(&mut self, change_set: ChangeSet, now: Now) {
        if !check_change_set(&change_set)
            || matches!(self.role, Role::Leader(_))
            || Epoch(change_set.epoch) < self.leadership.epoch()
        {
            return;
        }
        match &mut self.reload {
            Some(reload) => reload.change_sets.push(change_set),
            None => self.follow(change_set, now),
        }
    }

    /// Does as the leader did; a gap means that the store knows more.
    pub(super) fn follow(&mut self, change_set: ChangeSet, now: Now) {
        let revision = Revision(change_set.revision);
        if revision <= self.replica.revision {
            // What is over stays over, whenever one hears of it, unless that was in another log.
            let mut applied = Applied::default();
            if LogId::try_from(&change_set.log).ok() == self.replica.log {
                for id in change_set.settled.iter().filter_map(|id| OperationId::try_from(id).ok()) {
                    self.replica.settle(id, &mut applied);
                }
            }
            return self.report(applied);
        }
        // Without a log it is no commit, only says how far the store is.
        if revision > self.replica.revision.next() || change_set.log.is_empty() {
            return self.start_reload();
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.caught += change_set.events.len() as u64;
        }
        self.learn_time(newest(&change_set.events), now);
        let applied = self.replica.apply(change_set);
        self.report(applied);
    }

    fn handle_announce(&mut self, announce: local::Announce) {
        if matches!(self.role, Role::Leader(_)) && (1..self.leadership.epoch().0).contains(&announce.epoch) {
            // From a leader that was replaced: what it told of before may have been lost. When it knows, it tells
            // of all again.
            return;
        }
        let mut claim = local::Claim { epoch: self.leadership.epoch().0, ids: Vec::new() };
        let mut over = Vec::new();
        for queued in announce.queued {
            let Some(id) = queued_id(&queued).filter(|_| codec::check_queued(&queued).is_ok()) else {
                continue;
            };
            claim.ids.push(id.to_bytes());
            if self.replica.is_over(id) {
                over.push(id);
            }
            if let Some(reload) = &mut self.reload {
                reload.queued.push(queued.clone());
            }
            if let Some(applied) = self.replica.enqueue(queued) {
                self.report(applied);
            }
        }
        if let Role::Leader(leader) = &mut self.role
            && leader.ready
        {
            leader.gathered.over.extend(over);
            self.broadcast(channel_frame::Frame::Claim(claim));
        }
    }

    fn handle_leader_status(&mut self, status: local::LeaderStatus, now: Now) {
        if !matches!(self.role, Role::Follower(_)) || Epoch(status.epoch) < self.leadership.epoch() {
            return;
        }
        if status.connection == "online" {
            self.limit = None;
        }
        self.sync_disabled = status.sync_disabled;
        self.passing = DeviceId::try_from(&status.passing).ok();
        // It may have waited for this tab to thaw: then it is the older one.
        let time = Millis(status.server_time);
        if time.0 > 0 && self.server_time.is_none_or(|_| self.corrected(now) < time) {
            self.server_time = Some((time, now.monotonic));
        }
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        let ended = follower.leader.catching_up && !status.catching_up && status.connection == "online";
        if !follower.leader.catching_up && status.catching_up {
            follower.caught = 0;
        }
        let same = self.replica.outbox.pending_count() as u64 == status.pending;
        let quiet = follower.unclaimed.is_empty() && self.writing.is_none() && self.reload.is_none();
        // What this tab has missed, the store tells; what the leader has, this tab.
        follower.differs = (!same && quiet).then(|| follower.differs.unwrap_or(now.monotonic));
        let late = |since: &mut Millis| since.plus(DIFFERENCE) <= now.monotonic;
        let reload = follower.differs.take_if(late).is_some();
        let online = status.connection == "online";
        follower.leader = status;
        if ended {
            let complete_from = self.replica.complete_from();
            self.events.push_back(Event::CaughtUp { events: follower.caught, complete_from });
        }
        if reload {
            follower.unclaimed.extend(self.replica.outbox.pending().map(|(id, _)| id));
            follower.announce_at = Some(now.monotonic.plus(ANNOUNCE));
            self.start_reload();
        }
        if !online {
            self.end_typing();
        }
    }

    pub(super) fn tell_config(&mut self) {
        let Configured { change, config } = self.config;
        self.broadcast(channel_frame::Frame::Config(config.to_local(change)));
    }

    pub(super) fn configure(&mut self, configured: Configured, now: Now) {
        let before = std::mem::replace(&mut self.config, configured).config;
        if before.notifications != configured.config.notifications {
            self.tell_notifications();
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.link.configure(configured.config);
            // What was waited for is not waited for longer than is wanted now.
            leader.reconcile_at =
                leader.reconcile_at.min(now.monotonic.plus(configured.config.sync_interval));
        }
        self.hold_link();
    }

    /// Whether no connection is wanted.
    fn is_held(&self) -> bool {
        self.offline.offline || !self.network || !self.config.config.messages
    }

    pub(super) fn hold_link(&mut self) {
        let held = self.is_held();
        if let Role::Leader(leader) = &mut self.role {
            leader.link.hold(held);
        }
    }
}
