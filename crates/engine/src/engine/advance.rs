//! What follows from all that happened: the outbox is written, the leader leads, commits and folds, a
//! follower announces, and whoever waits for all to be in step is answered.

use bytes::Bytes;
use tutti_protocol::{
    Code, DeviceId, LogId, Millis, OperationId, Revision, Seq, TabId, codec, limits,
    local::{self, ChangeSet, Queued, channel_frame},
    wire::{self, operation::Body},
};

use super::{
    ANNOUNCE, Engine, Gathered, Reading, Renewal, Role, Sync, Who, Withdrawal, accepted_by, queued_id,
    storage::ERASED,
};
use crate::{
    Connection, Effect, Event, Extent, Failure, Now, Reply, RequestId,
    batch::{Batch, Durability, Key, Table, Write},
    fold::{self, Fold, Outdated},
    identity, leadership, link,
    replica::{META, is_send},
    sorted::{SortedMap, SortedSet},
};

/// Messages in the journal at which it is folded.
const FOLD_MESSAGES: usize = 8_000;
/// Messages, or journal records, at which it is folded when nothing else happens.
const FOLD_IDLE: (usize, u64) = (2_000, 256);

impl Engine {
    /// Does what can be done now. Called after every input.
    pub(super) fn advance(&mut self, now: Now) {
        if self.closed.is_none() {
            self.leadership.tick(now, &mut self.entropy);
            self.end_roll_call(now);
            self.read_again(now);
            self.write_outbox();
            self.advance_withdrawals(now);
            self.advance_fetches(now);
            self.lead(now);
            self.advance_status(now);
            self.advance_questions(now);
            self.announce(now);
            self.advance_syncs(now);
            self.finish_session(now);
        }
        self.carry_leadership();
        let status = self.status();
        if self.last_status.as_ref() != Some(&status) {
            self.last_status = Some(status.clone());
            self.broadcast_leader_status(now);
            self.events.push_back(Event::Status(status));
        }
    }

    fn read_again(&mut self, now: Now) {
        let due = |at: &mut Millis| *at <= now.monotonic;
        if self.reload.as_mut().is_some_and(|reload| reload.again_at.take_if(due).is_some()) {
            let id = self.load(Extent::Everything);
            self.reload.iter_mut().for_each(|reload| reload.id = id);
        }
        let renewal = self.renewal.as_mut();
        let renewal = renewal.and_then(|it| Some((it.again_at.take_if(due)?, it.listens)));
        match renewal {
            // Who has just stood still has not heard yet what was said meanwhile.
            Some((at, true)) if at.plus(ERASED) <= now.monotonic => {
                self.renewal = Some(Renewal { again_at: Some(now.monotonic.plus(ERASED)), listens: false });
            }
            // What somebody has deleted on purpose is not to be begun anew.
            Some(_) if self.deleted => self.let_go(),
            Some(_) => self.renew(),
            None => {}
        }
    }

    fn write_outbox(&mut self) {
        if self.renewal.is_some() || self.writing.is_some() || self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let writes = waiting
            .iter()
            .filter_map(|it| Some((queued_id(&it.queued)?, &it.queued)))
            .map(|(id, queued)| Write::Insert(Table::Outbox, Key::Operation(id), codec::encode(queued)))
            .collect();
        let id = self.persist(Batch { fence: None, revision: None, writes, durability: Durability::Strict });
        self.writing = Some((id, waiting));
    }

    fn lead(&mut self, now: Now) {
        if !matches!(self.role, Role::Leader(_)) {
            return;
        }
        let (corrected, alias) = (self.corrected(now), self.alias(now));
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if !leader.ready {
            // The connection opens while the store is read. Nothing is said on it before that is done.
            leader.link.tick(now, true, &mut self.entropy);
            return self.carry_link();
        }
        let due = |at: &mut Millis| *at <= now.monotonic;
        let reconcile = due(&mut leader.reconcile_at);
        if reconcile {
            leader.reconcile_at = now.monotonic.plus(self.config.config.sync_interval);
            leader.look_at = Some(now.monotonic);
            leader.link.reconcile();
        }
        leader.rest_until.take_if(due);
        let idle = leader.idle_at.take_if(due).is_some();
        let look = leader.loading.is_none() && leader.look_at.take_if(due).is_some();
        leader.link.go_by(alias);
        leader.link.set_take_over(self.syncs.iter().find_map(|sync| sync.take_over));
        leader.link.tick(now, leader.committing.is_none(), &mut self.entropy);
        // Of one device the last word holds: what it sends again comes before what it has done since.
        let saves = leader.gathered.common.is_some() || !leader.again.is_empty();
        if !saves && !leader.link.is_before_another() {
            leader.link.submit(&self.replica.outbox, corrected, now);
        }
        leader.link.pull(leader.gathered.events.len());
        if !leader.link.is_up() {
            leader.gathered.forget(&mut self.fetches);
            leader.catching_up = None;
        }
        self.commit(idle, now);
        if idle || reconcile {
            self.tell_state(now);
        }
        let load = look.then(|| self.load(Extent::Outbox));
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        leader.loading = load.or(leader.loading);
        if leader.committing.is_none()
            && leader.link.is_caught_up()
            && let Some(events) = leader.catching_up.take()
        {
            self.complained = None;
            self.events.push_back(Event::CaughtUp { events, complete_from: self.replica.complete_from() });
        }
        // The status tells that the server is not there, and an event of its own that all places are taken.
        let told = [Code::Offline, Code::Timeout, Code::ConnectionLimit];
        let trouble = leader.link.reason().filter(|failure| !told.contains(&failure.code)).cloned();
        self.carry_link();
        if let Some(failure) = trouble {
            self.complain(failure);
        }
    }

    /// When there is no place for a connection, and nothing more to say by post either.
    fn finish_session(&mut self, now: Now) {
        if let Role::Leader(leader) = &mut self.role {
            let stored = leader.committing.is_none() && leader.gathered.is_empty() && self.fetches.is_empty();
            leader.link.finish(&self.replica.outbox, stored, now);
            self.carry_link();
        }
    }

    pub(super) fn carry_link(&mut self) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        for order in leader.link.orders.drain(..) {
            self.effects.push_back(match order {
                link::Order::Connect(id, transport) => Effect::Connect(id, transport),
                link::Order::Disconnect(id) => Effect::Disconnect(id),
                link::Order::Send(id, bytes) => Effect::Send(id, bytes),
                link::Order::FetchToken(id) => Effect::FetchToken(id),
            });
        }
    }

    pub(super) fn carry_leadership(&mut self) {
        for order in std::mem::take(&mut self.leadership.orders) {
            match order {
                leadership::Order::Wait(id) => self.effects.push_back(Effect::Lock(id)),
                leadership::Order::Steal(id) => self.effects.push_back(Effect::StealLock(id)),
                leadership::Order::Release(id) => self.effects.push_back(Effect::ReleaseLock(id)),
                leadership::Order::Claim(id, from) => self.effects.push_back(Effect::Claim(id, from)),
                leadership::Order::Ping(number) => {
                    self.broadcast(channel_frame::Frame::Ping(local::Ping { number }));
                }
            }
        }
    }

    /// Writes what has gathered, or folds the journal, if no other commit is under way. `idle`: there
    /// is time for what could wait.
    pub(super) fn commit(&mut self, idle: bool, now: Now) {
        let identity_due = self.is_identity_due();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.committing.is_some() || leader.rest_until.is_some() || !self.is_salvaged() {
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let cursor = leader.gathered.cursor.unwrap_or(self.replica.cursor);
        let settled = leader.link.settled(cursor, &self.replica.outbox);
        let news = !leader.gathered.is_empty() || !settled.is_empty() || identity_due;
        // What was recalled does not wait for a pause.
        let fold =
            if self.replica.purge || !news && self.is_fold_due(idle) { self.build_fold() } else { None };
        let (change_set, writes) = match fold {
            Some(fold) => fold,
            None if news => self.build_commit(cursor, &settled, now),
            None => return,
        };
        let batch = Batch {
            fence: Some(self.leadership.epoch()),
            revision: Some(Revision(change_set.revision)),
            writes,
            // What was saved out of a copy that goes with this is nowhere else.
            durability: if change_set.reset { Durability::Strict } else { Durability::Relaxed },
        };
        let id = self.persist(batch);
        if let Role::Leader(leader) = &mut self.role {
            leader.committing = Some((id, change_set));
            leader.idle_at = None;
        }
    }

    fn build_commit(&mut self, cursor: Seq, accepted: &[OperationId], now: Now) -> (ChangeSet, Vec<Write>) {
        let device = self.is_identity_due().then(|| self.new_device(now));
        let Role::Leader(leader) = &mut self.role else {
            return Default::default();
        };
        let Gathered { log, events, snapshot, notified, refused, discarded, over, .. } =
            std::mem::take(&mut leader.gathered);
        let (snapshot, complete_from) =
            snapshot.unwrap_or_else(|| (self.replica.snapshot.clone(), self.replica.complete_from));
        let reset = log.is_some() && self.replica.log.is_some();
        let over = if reset { Vec::new() } else { over };
        let log = log.or(self.replica.log);
        let mut writes = Vec::new();
        if reset {
            let derived = [Table::Journal, Table::Blocks, Table::Heads, Table::Locators];
            writes.extend(derived.map(Write::Clear));
            // Nor may a block be put back that was read from what is cleared.
            leader.outdated = Reading::Idle;
            // What was saved out of it is on its way again.
            let saved = leader.salvage.take().map(|salvage| salvage.end()).unwrap_or_default();
            let is_new = |id: OperationId| {
                self.replica.outbox.get(id).is_none() && !self.replica.outbox.is_discarded(id)
            };
            leader.again = saved;
            leader.again.retain(|queued| queued_id(queued).is_some_and(is_new));
        }
        let first = if reset { 0 } else { self.replica.next_journal };
        let journal = fold::cut::<wire::Event>(fold::ITEMS, &events, |_| 1);
        let next_journal = first.saturating_add(journal.len() as u64);
        let numbered = (first..).zip(journal);
        writes
            .extend(numbered.map(|(number, record)| Write::Put(Table::Journal, Key::Number(number), record)));
        // An operation leaves the outbox in the commit that stores what became of it.
        let mut settled = SortedSet::new();
        let leaving = events
            .iter()
            .flat_map(accepted_by)
            .filter(|id| self.replica.outbox.get(*id).is_some())
            .chain(accepted.iter().copied())
            .chain(over)
            // A message that was refused is shown as failed. For the rest there is nothing to show.
            .chain(refused.iter().filter(|queued| !is_send(queued)).filter_map(queued_id));
        settled.extend(leaving);
        writes.extend(settled.iter().map(|id| Write::Delete(Table::Outbox, Key::Operation(*id))));
        let discarded: Vec<Queued> =
            discarded.iter().filter_map(|id| self.replica.outbox.get(*id)).map(given_up).collect();
        let again: &[Queued] = if reset { &leader.again } else { &[] };
        let kept = discarded.iter().chain(refused.iter().filter(|queued| is_send(queued))).chain(again);
        writes.extend(kept.filter_map(|queued| {
            Some(Write::Put(Table::Outbox, Key::Operation(queued_id(queued)?), codec::encode(queued)))
        }));
        let meta = local::Meta {
            log: log.map(LogId::to_bytes).unwrap_or_default(),
            cursor: cursor.0,
            notifications: notified.unwrap_or(self.replica.notifications.complete),
            snapshot,
            complete_from: complete_from.0,
        };
        writes.push(Write::Put(Table::Meta, META, codec::encode(&meta)));
        writes.extend(device.map(|device| identity::rewrite(self.replica.store(), device)));
        let change_set = ChangeSet {
            epoch: self.leadership.epoch().0,
            revision: self.replica.revision.next().0,
            cursor: cursor.0,
            events,
            settled: settled.into_iter().map(OperationId::to_bytes).collect(),
            refused,
            folded: None,
            reset,
            log: meta.log,
            next_journal,
            discarded: discarded.iter().filter_map(queued_id).map(OperationId::to_bytes).collect(),
            snapshot: meta.snapshot,
            complete_from: meta.complete_from,
            notifications: meta.notifications,
            device: device.map(|device| device.map(DeviceId::to_bytes).unwrap_or_default()),
        };
        (change_set, writes)
    }

    fn is_fold_due(&self, idle: bool) -> bool {
        let Role::Leader(leader) = &self.role else {
            return false;
        };
        // What was begun is brought to its end.
        if matches!(leader.outdated, Reading::Read(_)) {
            return true;
        }
        let messages = self.replica.fresh.len();
        messages >= FOLD_MESSAGES
            || idle && (messages >= FOLD_IDLE.0 || self.replica.next_journal >= FOLD_IDLE.1)
    }

    /// A fold, once the blocks are at hand that it has to change.
    fn build_fold(&mut self) -> Option<(ChangeSet, Vec<Write>)> {
        let wanted = self.replica.outdated_blocks();
        let Role::Leader(leader) = &mut self.role else {
            return None;
        };
        let outdated = match std::mem::take(&mut leader.outdated) {
            Reading::Of(id) => {
                leader.outdated = Reading::Of(id);
                return None;
            }
            Reading::Idle => Outdated::new(),
            Reading::Read(blocks) => blocks,
        };
        if !wanted.iter().all(|number| outdated.contains_key(number)) {
            let id = self.load(Extent::Blocks(wanted.into_iter().collect()));
            if let Role::Leader(leader) = &mut self.role {
                leader.outdated = Reading::Of(id);
            }
            return None;
        }
        let Fold { writes, folded } = fold::fold(&self.replica, outdated);
        let change_set = ChangeSet {
            epoch: self.leadership.epoch().0,
            revision: self.replica.revision.next().0,
            cursor: self.replica.cursor.0,
            log: self.replica.log.map(LogId::to_bytes).unwrap_or_default(),
            folded: Some(folded),
            snapshot: self.replica.snapshot.clone(),
            complete_from: self.replica.complete_from.0,
            notifications: self.replica.notifications.complete,
            ..ChangeSet::default()
        };
        Some((change_set, writes))
    }

    pub(super) fn announce(&mut self, now: Now) {
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        if follower.announce_at.is_none_or(|at| now.monotonic < at) {
            return;
        }
        let outbox = &self.replica.outbox;
        follower.unclaimed.retain(|id| outbox.get(*id).is_some_and(|queued| queued.refused.is_none()));
        // The oldest first; when those are claimed, the next.
        let oldest: SortedMap<_, _> = follower.unclaimed.iter().map(|id| (outbox.place(*id), *id)).collect();
        let oldest = oldest.into_values().take(limits::SUBMIT_OPERATIONS);
        let queued: Vec<Queued> = oldest.filter_map(|id| outbox.get(id).cloned()).collect();
        follower.announce_at = (!queued.is_empty()).then(|| now.monotonic.plus(ANNOUNCE));
        if !queued.is_empty() {
            self.broadcast(channel_frame::Frame::Announce(local::Announce { queued, epoch: 0 }));
        }
    }

    fn advance_syncs(&mut self, now: Now) {
        if self.syncs.is_empty() {
            return;
        }
        let timeout = Failure::new(Code::Timeout, "sync did not finish in time; it goes on");
        self.end_syncs(|sync| sync.until <= now.monotonic, Err(timeout));
        match &self.role {
            Role::Leader(leader) if leader.ready => {
                let written = self.waiting.is_empty() && self.writing.is_none();
                let sent = self.replica.outbox.pending().next().is_none();
                let stored = leader.committing.is_none() && leader.gathered.cursor.is_none();
                // One that has failed is to come again.
                let looked = leader.loading.is_none() && leader.look_at.is_none();
                if leader.link.is_caught_up() && written && sent && stored && looked {
                    self.tell_state(now);
                    self.end_syncs(|_| true, Ok(()));
                } else if leader.link.connection() == Connection::Offline && leader.committing.is_none() {
                    let failure = leader.link.reason().cloned();
                    let failure = failure
                        .unwrap_or_else(|| Failure::new(Code::Offline, "the server cannot be reached"));
                    self.end_syncs(|_| true, Err(failure));
                }
            }
            Role::Leader(_) => {}
            Role::Follower(_) => {
                if self.reload.is_none() && self.renewal.is_none() {
                    self.end_syncs(|sync| sync.ask_at.is_none(), Ok(()));
                }
                let mut ask = Vec::new();
                for sync in &mut self.syncs {
                    if let Who::Local(request) = sync.who
                        && sync.ask_at.is_some_and(|at| at <= now.monotonic)
                        && self.writing.is_none()
                    {
                        sync.ask_at = Some(now.monotonic.plus(ANNOUNCE));
                        ask.push((request.0, sync.take_over));
                    }
                }
                for (id, device) in ask {
                    let take_over = device.map(DeviceId::to_bytes).unwrap_or_default();
                    self.broadcast(channel_frame::Frame::SyncRequest(local::SyncRequest { id, take_over }));
                }
            }
        }
    }

    pub(super) fn end_syncs(&mut self, which: impl Fn(&Sync) -> bool, result: Result<(), Failure>) {
        for sync in self.syncs.extract_if(.., |sync| which(sync)).collect::<Vec<_>>() {
            self.answer_wish(sync.who, result.clone());
        }
    }

    /// Gives up operations, or tries them again, as soon as it is known what becomes of those that are being
    /// sent.
    fn advance_withdrawals(&mut self, now: Now) {
        if self.withdrawals.is_empty() {
            return;
        }
        let timeout = Failure::new(Code::Timeout, "no tab could do this in time");
        self.end_withdrawals(|it| it.until <= now.monotonic, Err(timeout));
        let mut done = Vec::new();
        let mut ask = Vec::new();
        for wish in &mut self.withdrawals {
            let queued = self.replica.outbox.get(wish.id);
            match &mut self.role {
                Role::Leader(leader) if leader.ready => match queued {
                    None => done.push((wish.who, self.replica.left(wish.id, wish.retry))),
                    Some(queued) if wish.retry && queued.refused.is_none() => done.push((wish.who, Ok(()))),
                    Some(_) if leader.link.is_sending(wish.id) => {}
                    Some(_) if leader.committing.is_some() => {
                        // Nor may a connection send it that comes while this is being written.
                        if !wish.retry {
                            leader.link.withhold(wish.id);
                        }
                    }
                    Some(queued) if wish.retry => {
                        leader.gathered.refused.retain(|it| queued_id(it) != Some(wish.id));
                        leader.gathered.refused.push(Queued { refused: None, ..queued.clone() });
                    }
                    Some(_) => {
                        leader.link.withhold(wish.id);
                        leader.gathered.discarded.insert(wish.id);
                    }
                },
                // Not before the leader has heard of it.
                Role::Follower(follower) if follower.unclaimed.contains(&wish.id) => {
                    wish.ask_at = now.monotonic.plus(ANNOUNCE);
                }
                Role::Follower(_) if wish.ask_at <= now.monotonic && self.writing.is_none() => {
                    wish.ask_at = now.monotonic.plus(ANNOUNCE);
                    if let Who::Local(RequestId(id)) = wish.who {
                        let operation = wish.id.to_bytes();
                        ask.push(local::Withdraw { id, operation, retry: wish.retry });
                    }
                }
                _ => {}
            }
        }
        for (who, result) in done {
            self.end_withdrawals(|it| it.who == who, result);
        }
        for wish in ask {
            self.broadcast(channel_frame::Frame::Withdraw(wish));
        }
    }

    pub(super) fn end_withdrawals(
        &mut self,
        which: impl Fn(&Withdrawal) -> bool,
        result: Result<(), Failure>,
    ) {
        for withdrawal in self.withdrawals.extract_if(.., |it| which(it)).collect::<Vec<_>>() {
            self.answer_wish(withdrawal.who, result.clone());
        }
    }

    pub(super) fn answer_wish(&mut self, who: Who, result: Result<(), Failure>) {
        match who {
            Who::Local(request) => self.resolve(request, result.map(|()| Reply::Done)),
            Who::Tab(tab, id) => self.tell_done(tab, id, result.map(|()| 0)),
        }
    }

    /// Answers another tab's wish. `expired`: as in the frame.
    pub(super) fn tell_done(&mut self, tab: TabId, id: u64, expired: Result<u64, Failure>) {
        let tab = tab.to_bytes();
        let done = match expired {
            Ok(expired) => local::SyncDone { tab, id, expired, ..local::SyncDone::default() },
            Err(Failure { code, message }) => {
                local::SyncDone { tab, id, code: code.as_str().to_owned(), message, expired: 0 }
            }
        };
        self.broadcast(channel_frame::Frame::SyncDone(done));
    }
}

/// What is kept of an operation that the user gave up: that there was one.
fn given_up(queued: &Queued) -> Queued {
    let mut queued = Queued { discarded: true, refused: None, message: None, ..queued.clone() };
    if let Some(Body::Send(send)) = queued.operation.as_mut().and_then(|operation| operation.body.as_mut()) {
        send.content = Bytes::from_static(b"null");
    }
    queued
}
