//! What the store answers: batches that are durable or not, and copies read again.

use tutti_protocol::{
    Code, Millis, OperationId, codec,
    local::{self, Queued, channel_frame},
};

use super::{Engine, Enqueued, IDLE, Reading, Reload, Renewal, Role, calls::closed, queued_id};
use crate::{
    BatchId, Effect, Event, Extent, Failure, LoadId, Located, Now, Replica, Reply,
    batch::{Key, Snapshot, StoreError, Table},
    decode_block,
    message::Message,
    replica::{Applied, Change},
};

/// How long a tab that finds the store erased listens for another that says to have done that, in milliseconds.
pub(super) const ERASED: u64 = 500;

impl Engine {
    pub(super) fn handle_persisted(&mut self, id: BatchId, now: Now) {
        if self.writing.as_ref().is_some_and(|(batch, _)| *batch == id) {
            let (_, written) = self.writing.take().unwrap_or_default();
            return self.enqueued(written, now);
        }
        if self.closed.is_some() {
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            // Begun while this tab led. What it changed, the store tells.
            return self.start_reload();
        };
        let Some((_, change_set)) = leader.committing.take_if(|(batch, _)| *batch == id) else {
            return;
        };
        self.storage.reset();
        leader.idle_at = Some(now.monotonic.plus(IDLE));
        if let Some(events) = &mut leader.catching_up {
            *events += change_set.events.len() as u64;
        }
        let settled = change_set.settled.iter().filter_map(|id| OperationId::try_from(id).ok());
        let discarded = change_set.discarded.iter().filter_map(|id| OperationId::try_from(id).ok());
        for id in settled.chain(discarded).chain(change_set.refused.iter().filter_map(queued_id)) {
            leader.link.forget(id);
        }
        let reset = change_set.reset;
        if reset {
            // What was over in the log before may not be in this one.
            leader.gathered.over.clear();
            leader.look_at = Some(now.monotonic);
        }
        let alone = self.tabs.is_empty();
        if !alone {
            self.broadcast(channel_frame::Frame::ChangeSet(change_set.clone()));
        }
        let applied = self.replica.apply(change_set);
        if alone {
            // One that has just come, and was not heard yet, reads the store again. To tell of a whole page would cost
            // as much as to store it.
            self.tell_revision();
        }
        self.report(applied);
        if reset {
            self.send_again(now);
        }
    }

    pub(super) fn handle_persist_failed(&mut self, id: BatchId, error: StoreError, now: Now) {
        if self.writing.as_ref().is_some_and(|(batch, _)| *batch == id) {
            let (_, written) = self.writing.take().unwrap_or_default();
            if error == StoreError::Erased && self.closed.is_none() {
                // They are as good as ever, once there is a store again.
                self.waiting.splice(..0, written);
            } else {
                let failure = self.closed.map_or_else(|| Failure::from(&error), closed);
                for Enqueued { request, .. } in written {
                    self.answer(request, Err(failure.clone()));
                }
            }
            self.handle_loss(&error, now);
            return;
        }
        if self.handle_loss(&error, now) {
            return;
        }
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some((_, change_set)) = leader.committing.take_if(|(batch, _)| *batch == id) else {
            return;
        };
        if error == StoreError::Fenced {
            self.resign(now);
            return self.start_reload();
        }
        let wait = self.storage.next(&mut self.entropy);
        leader.rest_until = Some(now.monotonic.plus(wait));
        leader.idle_at = Some(now.monotonic.plus(wait + IDLE));
        if change_set.folded.is_some() {
            return self.complain(Failure::from(&error));
        }
        // Memory is never ahead of the disk: what was received is received again.
        leader.gathered.forget(&mut self.fetches);
        // What was to leave the outbox is looked for again.
        leader.look_at = Some(now.monotonic.plus(wait));
        leader.link.fail(Failure::from(&error), Some(wait), now, &mut self.entropy);
    }

    pub(super) fn handle_loaded(&mut self, id: LoadId, result: Result<Snapshot, StoreError>, now: Now) {
        if self.closed.is_some() {
            return;
        }
        // Whoever asked: this is told once.
        if result.as_ref().is_err_and(|error| self.handle_loss(error, now)) {
            return;
        }
        if let Role::Leader(leader) = &mut self.role
            && matches!(leader.outdated, Reading::Of(reading) if reading == id)
        {
            return self.handle_blocks(result, now);
        }
        let looked = match &mut self.role {
            Role::Leader(leader) => leader.loading.take_if(|loading| *loading == id).is_some(),
            Role::Follower(_) => false,
        };
        if !looked && self.reload.as_ref().is_none_or(|reload| reload.id != id) {
            // An answer that nobody waits for any more.
            return;
        }
        if !looked && result.is_ok() && matches!(&self.role, Role::Leader(leader) if leader.ready) {
            // Whoever writes the store knows it; what was read may be older.
            self.reload = None;
            return;
        }
        let stale = result.as_ref().is_ok_and(|snapshot| snapshot.revision < self.replica.revision);
        if !looked && stale && self.reload.as_ref().is_some_and(|reload| !reload.stale) {
            // It was read before the last commit that this tab knows of.
            let id = self.load(Extent::Everything);
            self.reload.iter_mut().for_each(|reload| (reload.id, reload.stale) = (id, true));
            return;
        }
        let loaded = result.and_then(|snapshot| {
            if looked {
                self.load_outbox(&snapshot);
                return Ok(());
            }
            let replica = Replica::load(&self.identity.account, &snapshot)?;
            self.replace_replica(replica, now);
            Ok(())
        });
        match loaded {
            Ok(()) => {
                self.resumed = false;
                self.storage.reset();
            }
            Err(error) => return self.handle_load_failed(looked, &error, now),
        }
        if let Role::Leader(leader) = &mut self.role
            && !leader.ready
        {
            leader.ready = true;
            leader.gathered.over.append(&mut self.replica.over);
            leader.gathered.over.extend(self.replica.outbox.discarded_long_ago());
            leader.reconcile_at = now.monotonic.plus(self.config.config.sync_interval);
            leader.idle_at = Some(now.monotonic.plus(IDLE));
            leader.link.connect_now_if_waiting();
            if let Some((id, token)) = leader.opened.take() {
                self.handle_connected(id, token, now);
            }
            self.tell_state(now);
        }
    }

    /// Blocks were read, to put messages into them that have changed.
    fn handle_blocks(&mut self, result: Result<Snapshot, StoreError>, now: Now) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        match result {
            Ok(snapshot) => {
                let block = |(_, key, record)| match key {
                    // One that cannot be read leaves a hole, now as before.
                    Key::Number(number) => Some((number, decode_block(record).ok())),
                    Key::Operation(_) => None,
                };
                leader.outdated = Reading::Read(snapshot.records.into_iter().filter_map(block).collect());
            }
            Err(error) => {
                leader.outdated = Reading::Idle;
                leader.rest_until = Some(now.monotonic.plus(self.storage.next(&mut self.entropy)));
                self.complain(Failure::from(&error));
            }
        }
    }

    fn handle_load_failed(&mut self, looked: bool, error: &StoreError, now: Now) {
        let again_at = now.monotonic.plus(self.storage.next(&mut self.entropy));
        match &mut self.role {
            Role::Leader(leader) if leader.ready => leader.look_at = Some(again_at),
            Role::Leader(_) => self.resign(now),
            Role::Follower(_) => {}
        }
        if let Some(reload) = self.reload.as_mut().filter(|_| !looked) {
            reload.again_at = Some(again_at);
        }
        self.complain(Failure::from(error));
    }

    /// A store that is not what it was: erased, or of a version that this code does not know. Whether
    /// that was it.
    pub(super) fn handle_loss(&mut self, error: &StoreError, now: Now) -> bool {
        match error {
            StoreError::Erased if (self.suspended || self.resumed) && self.closed.is_none() => self.let_go(),
            StoreError::Erased if self.renewal.is_none() && self.closed.is_none() => {
                // Whatever was complained of before: this is news of its own.
                self.events.push_back(Event::Failed(Failure::from(error)));
                self.leadership.leave();
                self.step_down();
                self.reload = None;
                // If another tab did that, it has said so, and that may just not have been heard yet.
                self.renewal = Some(Renewal { again_at: Some(now.monotonic.plus(ERASED)), listens: true });
            }
            StoreError::Version if self.closed.is_none() => {
                self.events.push_back(Event::Failed(Failure::from(error)));
                self.handle_close(Code::Version);
                self.effects.push_back(Effect::Close);
            }
            StoreError::Erased | StoreError::Version => {}
            _ => return false,
        }
        true
    }

    pub(super) fn renew(&mut self) {
        self.renewal = Some(Renewal::default());
        self.effects.push_back(Effect::Renew);
    }

    /// Begins again as a new device, with what this tab still has in memory and the server does not.
    pub(super) fn handle_renewed(&mut self, result: Result<Snapshot, StoreError>, now: Now) {
        if self.closed.is_some() || self.renewal.is_none() {
            return;
        }
        let begun = result
            .and_then(|snapshot| Ok((Replica::load(&self.identity.account, &snapshot)?, snapshot.epoch)));
        let (replica, epoch) = match begun {
            Ok(begun) => begun,
            Err(StoreError::Erased) => return self.renew(),
            Err(error) if self.handle_loss(&error, now) => return,
            Err(error) => {
                let again_at = Some(now.monotonic.plus(self.storage.next(&mut self.entropy)));
                self.renewal = Some(Renewal { again_at, listens: false });
                return self.complain(Failure::from(&error));
            }
        };
        self.renewal = None;
        // The new store counts leaderships anew, which the server would take for older ones of the same device.
        self.passing = None;
        // Whatever is being read is of the store before.
        self.reload = None;
        // Nor is the copy any more that a leader has put in step.
        self.syncs.iter_mut().for_each(|sync| sync.ask_at = Some(now.monotonic));
        self.storage.reset();
        let old = std::mem::replace(&mut self.replica, replica);
        let saved = old.outbox.iter().filter(|(_, queued)| queued.refused.is_none());
        let saved = saved.map(|(_, queued)| Enqueued { request: None, queued: queued.clone() });
        self.waiting.splice(..0, saved);
        let mut applied = Applied::default();
        self.replica.note_replaced(&old, &mut applied);
        self.report(applied);
        self.leadership.restart(epoch);
        if !self.suspended {
            self.leadership.join(now, &mut self.entropy);
        }
    }

    /// Tells of trouble that no call waits for.
    pub(super) fn complain(&mut self, failure: Failure) {
        if self.complained != Some(failure.code) {
            self.complained = Some(failure.code);
            self.events.push_back(Event::Failed(failure));
        }
    }

    fn load_outbox(&mut self, snapshot: &Snapshot) {
        let mut over = Vec::new();
        for (_, _, record) in snapshot.records.iter().filter(|(table, _, _)| *table == Table::Outbox) {
            let queued = codec::decode_local::<Queued>(record.clone()).ok();
            let valid = queued.filter(|queued| codec::check_queued(queued).is_ok());
            let id = valid.as_ref().and_then(queued_id);
            if let (Some(true), Some(id)) = (valid.as_ref().map(|it| it.discarded), id) {
                let mut applied = Applied::default();
                self.replica.discard(id, &mut applied);
                self.report(applied);
                continue;
            }
            over.extend(id.filter(|id| self.replica.is_over(*id)));
            if let Some(applied) = valid.and_then(|queued| self.replica.enqueue(queued)) {
                self.report(applied);
            }
        }
        self.take_out(over);
    }

    /// Reads the store again, if that is not under way; nor is what a new store holds, which must not take
    /// the place of what was saved out of the old one.
    pub(super) fn start_reload(&mut self) {
        if self.reload.is_none() && self.renewal.is_none() {
            let id = self.load(Extent::Everything);
            self.reload = Some(Reload::of(id));
        }
    }

    /// Reads the store again that was closed from without. If another tab is erasing it, it has said so, and that may
    /// just not have been heard yet; whoever looked now would make another database.
    pub(super) fn reload_later(&mut self, now: Now) {
        if self.reload.is_none() && self.renewal.is_none() {
            self.last_load = LoadId(self.last_load.0 + 1);
            let again_at = Some(now.monotonic.plus(ERASED));
            self.reload = Some(Reload { again_at, ..Reload::of(self.last_load) });
        }
    }

    /// Puts a copy just read in the place of one that missed something, and tells what that was.
    fn replace_replica(&mut self, replica: Replica, now: Now) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        let old = std::mem::replace(&mut self.replica, replica);
        self.replica.follow_rewrites(&old);
        let same_log = old.log == self.replica.log;
        let mut over = self.replica.outbox.remember(&old.outbox, same_log);
        over.append(&mut self.replica.over);
        self.take_out(over);
        // Whether what was queued meanwhile is over already, only the store can tell; or the server,
        // which a leader asks anyway.
        let again = !reload.queued.is_empty() && matches!(self.role, Role::Follower(_));
        for queued in reload.queued {
            // It was told of when it came.
            let _ = self.replica.enqueue(queued);
        }
        let mut applied = Applied::default();
        for (id, head) in self.replica.heads.iter() {
            let seen = old.last_position(id);
            let before = old.heads.get(id);
            for (position, message) in head.recent.iter() {
                let changed = message.edited_at > 0 || message.recalled;
                let had = || before.and_then(|head| head.recent.get(position)) == Some(message);
                let held = before.is_some_and(|head| head.holds(*position));
                // What was fetched is no news.
                let fetched = *position <= seen && Millis(message.sent_at) < self.replica.complete_from;
                if held && (!changed || had()) || !held && fetched {
                    continue;
                }
                applied.messages.extend(self.replica.shown(message).map(|message| {
                    let known = held || old.outbox.has_seen(message.id);
                    Change::to(message, known)
                }));
            }
        }
        for (id, queued) in self.replica.outbox.iter() {
            let known = old.outbox.get(id);
            if known.is_none_or(|known| known.refused != queued.refused) {
                self.replica.note(queued, known.is_some(), &mut applied);
            }
        }
        let gone = old.outbox.iter().filter(|(id, _)| self.replica.outbox.get(*id).is_none());
        let changed = gone.filter_map(|(_, queued)| self.replica.shown_subject(queued));
        applied.messages.extend(changed.map(|message| Change::to(message, true)));
        self.replica.note_replaced(&old, &mut applied);
        self.report(applied);
        for change_set in reload.change_sets {
            self.follow(change_set, now);
        }
        if again {
            self.start_reload();
        }
    }

    /// Whether the id of an operation is known to belong to another.
    fn is_another(&self, queued: &Queued, message: Option<&Message>) -> bool {
        let Some(id) = queued_id(queued) else {
            return false;
        };
        if self.replica.outbox.is_discarded(id) {
            return true;
        }
        if let Some(known) = self.replica.outbox.get(id) {
            let bodies = [known, queued].map(|it| it.operation.as_ref().map(|operation| &operation.body));
            return bodies[0] != bodies[1];
        }
        let differs = |a: &Message, b: &Message| {
            (&a.conversation, &a.kind, &a.content) != (&b.conversation, &b.kind, &b.content)
        };
        match self.replica.locate(id) {
            Located::Found(known) => message.is_none_or(|message| differs(message, &known)),
            Located::Unknown | Located::Stored(_) => false,
        }
    }

    /// Own operations are durable: show them, answer, and send them on their way.
    pub(super) fn enqueued(&mut self, written: Vec<Enqueued>, now: Now) {
        let mut all = Applied::default();
        let mut announce = local::Announce::default();
        let mut over = Vec::new();
        let mut doubtful = false;
        for Enqueued { request, queued } in written {
            let Some(id) = queued_id(&queued) else { continue };
            let message = Message::queued(&queued, &self.identity.account, self.replica.device());
            let is_over = self.replica.is_over(id);
            if is_over {
                // It has come back through the log already, as what is saved out of an erased store may.
                over.push(id);
            }
            if self.is_another(&queued, message.as_ref()) {
                let failure = Failure::new(Code::Conflict, "another message has this id");
                self.answer(request, Err(failure));
                // What was written in the place of one that has left, the store tells.
                doubtful |= !is_over;
                continue;
            }
            self.answer(request, Ok(message.map_or(Reply::Done, |message| Reply::Message(message.into()))));
            if is_over {
                continue;
            }
            if let Role::Follower(follower) = &mut self.role
                && queued.message.as_ref().is_some_and(|message| message.position == 0)
            {
                // The leader may not know yet of the message that this changes, nor of those before it.
                follower.unclaimed.extend(self.replica.outbox.pending().map(|(id, _)| id));
            }
            announce.queued.push(queued.clone());
            if let Some(reload) = &mut self.reload {
                reload.queued.push(queued.clone());
            }
            if let Some(applied) = self.replica.enqueue(queued) {
                all.absorb(applied);
            }
        }
        if let Role::Follower(follower) = &mut self.role {
            // With all that the leader has not claimed yet: it must not send these before those.
            follower.unclaimed.extend(announce.queued.iter().filter_map(queued_id));
            follower.announce_at = Some(now.monotonic);
        } else {
            announce.epoch = self.leadership.epoch().0;
            self.broadcast(channel_frame::Frame::Announce(announce));
        }
        self.take_out(over);
        self.report(all);
        if doubtful && self.closed.is_none() && matches!(self.role, Role::Follower(_)) {
            self.start_reload();
        }
    }

    /// Takes out of the store's outbox what has taken effect all the same. That is the leader's to do, who
    /// knows the log that it is in, and who looks for it now and then.
    fn take_out(&mut self, over: Vec<OperationId>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.gathered.over.extend(over);
        }
    }
}
