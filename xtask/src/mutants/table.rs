//! The bugs: each is a mistake that somebody tired could make, and that a user would notice.

use super::Mutant;

const ENGINE: &str = "crates/engine/src/engine.rs";
const ADVANCE: &str = "crates/engine/src/engine/advance.rs";
const CALLS: &str = "crates/engine/src/engine/calls.rs";
const NETWORK: &str = "crates/engine/src/engine/network.rs";
const STORAGE: &str = "crates/engine/src/engine/storage.rs";
const TABS: &str = "crates/engine/src/engine/tabs.rs";
const HISTORY: &str = "crates/engine/src/engine/history.rs";
const SNAPSHOT: &str = "crates/acceptance/src/history.rs";
const BACKOFF: &str = "crates/engine/src/backoff.rs";
const FOLD: &str = "crates/engine/src/fold.rs";
const LEADERSHIP: &str = "crates/engine/src/leadership.rs";
const LINK: &str = "crates/engine/src/link.rs";
const STATUS: &str = "crates/engine/src/engine/status.rs";
const QUESTIONS: &str = "crates/engine/src/engine/questions.rs";
const ERASING: &str = "crates/engine/src/engine/erasing.rs";
const OUTBOX: &str = "crates/engine/src/outbox.rs";
const REPLICA: &str = "crates/engine/src/replica.rs";
const CLOCK: &str = "crates/protocol/src/clock.rs";
const ACCEPT: &str = "crates/acceptance/src/accept.rs";
const READ: &str = "crates/acceptance/src/accept/read.rs";
const CHANGE: &str = "crates/acceptance/src/accept/change.rs";
const SHARE: &str = "crates/acceptance/src/accept/share.rs";
const MERGE: &str = "crates/acceptance/src/merge.rs";
const GROUPS: &str = "crates/acceptance/src/groups.rs";
const REACH: &str = "crates/acceptance/src/reach.rs";
const NOTICE: &str = "crates/acceptance/src/accept/notice.rs";
const NOTIFICATIONS: &str = "crates/engine/src/notifications.rs";
const IDENTITY: &str = "crates/engine/src/engine/identity.rs";
const SOURCE: &str = "crates/acceptance/src/source.rs";

/// All of them, by file.
pub(super) const MUTANTS: &[Mutant] = &[
    // What is written, and when it counts.
    Mutant {
        name: "cursor-moved-before-the-commit",
        file: NETWORK,
        from: "leader.gathered.cursor = Some(cursor);",
        to: "leader.gathered.cursor = Some(cursor); self.replica.cursor = cursor;",
    },
    Mutant {
        name: "cursor-written-without-its-events",
        file: ADVANCE,
        from: "writes
            .extend(numbered.map(|(number, record)| Write::Put(Table::Journal, Key::Number(number), record)));",
        to: "drop(numbered);",
    },
    Mutant {
        name: "leader-writes-without-its-fence",
        file: ADVANCE,
        from: "fence: Some(self.leadership.epoch()),",
        to: "fence: None,",
    },
    Mutant {
        name: "outbox-written-over-what-is-there",
        file: ADVANCE,
        from: "Write::Insert(Table::Outbox,",
        to: "Write::Put(Table::Outbox,",
    },
    Mutant {
        name: "second-write-forgets-the-first",
        file: ADVANCE,
        from: "self.renewal.is_some() || self.writing.is_some() || self.waiting.is_empty()",
        to: "self.renewal.is_some() || self.waiting.is_empty()",
    },
    Mutant {
        name: "outbox-dropped-with-the-log",
        file: ADVANCE,
        from: "let derived = [Table::Journal, Table::Blocks, Table::Heads, Table::Locators];",
        to: "let derived = [Table::Journal, Table::Blocks, Table::Heads, Table::Locators, Table::Outbox];",
    },
    Mutant {
        name: "other-log-leaves-old-records",
        file: ADVANCE,
        from: "writes.extend(derived.map(Write::Clear));",
        to: "let _ = derived;",
    },
    Mutant {
        name: "journal-counts-commits-instead-of-records",
        file: ADVANCE,
        from: "first.saturating_add(journal.len() as u64)",
        to: "first.saturating_add(u64::from(!journal.is_empty()))",
    },
    Mutant {
        name: "outbox-entry-outlives-its-commit",
        file: ADVANCE,
        from: "writes.extend(settled.iter().map(|id| Write::Delete(Table::Outbox, Key::Operation(*id))));",
        to: "",
    },
    Mutant {
        name: "refusal-not-written",
        file: ADVANCE,
        from: "discarded.iter().chain(refused.iter().filter(|queued| is_send(queued)))",
        to: "discarded.iter().chain(refused.iter().filter(|_| false))",
    },
    Mutant {
        name: "commit-waits-for-news",
        file: ADVANCE,
        from: "let news = !leader.gathered.is_empty() || !settled.is_empty() || identity_due;",
        to: "let news = !leader.gathered.is_empty() || identity_due;",
    },
    Mutant {
        name: "unsaved-pages-outlive-their-connection",
        file: ADVANCE,
        from: "leader.gathered.forget(&mut self.fetches); leader.catching_up = None;",
        to: "leader.catching_up = None;",
    },
    Mutant {
        name: "followers-not-told-of-commits",
        file: STORAGE,
        from: "self.broadcast(channel_frame::Frame::ChangeSet(change_set.clone()));",
        to: "",
    },
    Mutant {
        name: "newcomers-not-told-how-far-the-store-is",
        file: STORAGE,
        from: "self.tell_revision();",
        to: "",
    },
    Mutant {
        name: "storage-failure-ignored",
        file: STORAGE,
        from: "// Memory is never ahead of the disk: what was received is received again.
            leader.gathered.forget(&mut self.fetches);",
        to: "self.broadcast(channel_frame::Frame::ChangeSet(change_set.clone()));
            let applied = self.replica.apply(change_set);
            self.report(applied);
            let Role::Leader(leader) = &mut self.role else { return };",
    },
    Mutant {
        name: "failed-commit-not-received-again",
        file: STORAGE,
        from: "leader.link.fail(Failure::from(&error), Some(wait), now, &mut self.entropy);",
        to: "",
    },
    Mutant {
        name: "fenced-leader-tries-again",
        file: STORAGE,
        from: "if error == StoreError::Fenced {",
        to: "if false {",
    },
    Mutant {
        name: "failed-write-promised-all-the-same",
        file: STORAGE,
        from: "self.answer(request, Err(failure.clone())); }",
        to: "self.answer(request, Ok(Reply::Done)); }",
    },
    Mutant {
        name: "write-to-an-erased-store-dropped",
        file: STORAGE,
        from: "self.waiting.splice(..0, written);",
        to: "",
    },
    Mutant {
        name: "erased-outbox-not-rescued",
        file: STORAGE,
        from: "self.waiting.splice(..0, saved);",
        to: "drop(saved);",
    },
    Mutant {
        name: "promised-before-it-is-on-disk",
        file: CALLS,
        from: "self.waiting.push(Enqueued { request: Some(request), queued });",
        to: "let message = crate::Message::queued(&queued, &self.identity.account, self.replica.device());
            self.resolve(request, Ok(message.map_or(Reply::Done, |message| Reply::Message(message.into()))));
            self.waiting.push(Enqueued { request: None, queued });",
    },
    // What is read again.
    Mutant {
        name: "new-leader-ignores-the-outbox",
        file: STORAGE,
        from: "self.load_outbox(&snapshot);",
        to: "",
    },
    Mutant {
        name: "settled-forgotten-by-a-reload",
        file: STORAGE,
        from: "let mut over = self.replica.outbox.remember(&old.outbox, same_log);",
        to: "let mut over: Vec<OperationId> = Vec::new();",
    },
    Mutant {
        name: "reload-drops-what-was-queued-meanwhile",
        file: STORAGE,
        from: "let _ = self.replica.enqueue(queued);",
        to: "let _ = queued;",
    },
    Mutant {
        name: "reload-tells-nobody",
        file: STORAGE,
        from: "self.report(applied);
        for change_set in reload.change_sets {",
        to: "for change_set in reload.change_sets {",
    },
    Mutant {
        name: "journal-overwritten-after-a-restart",
        file: REPLICA,
        from: "replica.next_journal.max(number + 1)",
        to: "replica.next_journal.max(number)",
    },
    // The tabs.
    Mutant {
        name: "new-leader-trusts-its-copy",
        file: TABS,
        from: "let current = revision == self.replica.revision && self.reload.is_none();",
        to: "let current = self.reload.is_none();",
    },
    Mutant {
        name: "new-leader-content-with-an-old-reading",
        file: TABS,
        from: "self.reload = None; self.start_reload(); None",
        to: "self.start_reload(); None",
    },
    Mutant {
        name: "place-kept-when-suspended",
        file: TABS,
        from: "self.leadership.leave(); self.step_down(); self.broadcast(channel_frame::Frame::Leave",
        to: "self.step_down(); self.broadcast(channel_frame::Frame::Leave",
    },
    Mutant {
        name: "gap-in-revisions-not-noticed",
        file: TABS,
        from: "if revision > self.replica.revision.next() || change_set.log.is_empty() {",
        to: "if change_set.log.is_empty() {",
    },
    Mutant {
        name: "question-not-answered",
        file: TABS,
        from: "if self.leadership.answers() {",
        to: "if false {",
    },
    Mutant {
        name: "outbox-of-a-closed-tab-overlooked",
        file: TABS,
        from: "Role::Leader(leader) => leader.look_at = Some(now.monotonic.plus(ANNOUNCE)),",
        to: "Role::Leader(_) => {}",
    },
    Mutant {
        name: "working-offline-told-once-only",
        file: ENGINE,
        from: "self.tell_revision(); self.tell_offline(); self.tell_config();",
        to: "self.tell_revision(); self.tell_config();",
    },
    Mutant {
        name: "configuration-told-once-only",
        file: ENGINE,
        from: "self.tell_offline(); self.tell_config(); }",
        to: "self.tell_offline(); }",
    },
    Mutant {
        name: "wish-to-work-online-overruled",
        file: ENGINE,
        from: "Offline { change: self.offline.change.saturating_add(1), offline };",
        to: "Offline { change: self.offline.change, offline };",
    },
    Mutant {
        name: "announced-once-only",
        file: ADVANCE,
        from: "follower.announce_at = (!queued.is_empty()).then(|| now.monotonic.plus(ANNOUNCE));",
        to: "follower.announce_at = None;",
    },
    Mutant {
        name: "sync-answered-before-the-outbox-is-empty",
        file: ADVANCE,
        from: "is_caught_up() && written && sent && stored && looked",
        to: "is_caught_up() && stored && looked",
    },
    Mutant {
        name: "sync-answered-before-all-has-come",
        file: ADVANCE,
        from: "leader.link.is_caught_up() && written && sent && stored && looked",
        to: "written && sent && stored && looked",
    },
    // Who leads.
    Mutant {
        name: "step-down-forgotten-when-robbed",
        file: LEADERSHIP,
        from: "self.queue(now); return Change::Ended;",
        to: "self.queue(now);",
    },
    Mutant {
        name: "newer-leader-ignored",
        file: LEADERSHIP,
        from: "Place::Leading(_) if newer => return self.resign(now),",
        to: "",
    },
    Mutant {
        name: "silent-leader-never-replaced",
        file: LEADERSHIP,
        from: "Some(Asked { last: true, .. })) => self.take(id, now),",
        to: "Some(Asked { last: true, .. })) => { let _ = id; self.watch(now) }",
    },
    Mutant {
        name: "leader-not-asked-again",
        file: LEADERSHIP,
        from: "self.ask_at = self.is_watching().then(|| now.monotonic.plus(self.silence));",
        to: "self.ask_at = None;",
    },
    Mutant {
        name: "lost-claim-taken-for-won",
        file: LEADERSHIP,
        from: "self.epoch = epoch; if self.locks {",
        to: "self.epoch = epoch;
            if self.locks {
                self.place = Place::Leading(id);
                return Change::Began(Revision(0));
            }
            if self.locks {",
    },
    Mutant {
        name: "epoch-of-the-claim-forgotten",
        file: LEADERSHIP,
        from: "self.epoch = from.next(); self.place = Place::Leading(id);",
        to: "self.place = Place::Leading(id);",
    },
    // The link.
    Mutant {
        name: "gap-in-the-log-not-noticed",
        file: LINK,
        from: "if Seq(delta.after) > self.received || Seq(delta.next) <= self.received {",
        to: "if Seq(delta.next) <= self.received {",
    },
    Mutant {
        name: "short-page-taken-for-the-end",
        file: LINK,
        from: "self.short = delta.next < delta.head;",
        to: "self.short = false;",
    },
    Mutant {
        name: "catching-up-stops-after-the-first-page",
        file: LINK,
        from: "self.head = self.head.max(Seq(delta.head)); self.pulling = false;
            self.short = delta.next < delta.head;",
        to: "self.head = Seq(delta.next); self.pulling = false; self.short = false;",
    },
    Mutant {
        name: "log-identity-not-compared",
        file: LINK,
        from: "mark.log != Some(log) || head < mark.cursor",
        to: "mark.log.is_none() || head < mark.cursor",
    },
    Mutant {
        name: "connects-while-a-commit-is-written",
        file: LINK,
        from: "if stored && !self.held && *until <= now.monotonic => {",
        to: "if !self.held && *until <= now.monotonic => {",
    },
    Mutant {
        name: "submitted-taken-for-accepted",
        file: LINK,
        from: "session.paced = paced;",
        to: "session.paced = paced;
            session.accepted.extend(session.submitted.iter().map(|id| (*id, Seq(0))));",
    },
    Mutant {
        name: "accepted-leaves-before-it-is-here",
        file: LINK,
        from: "session.accepted.iter().filter(|(_, seq)| **seq <= cursor).map",
        to: "session.accepted.iter().filter(|_| cursor >= Seq(0)).map",
    },
    Mutant {
        name: "acceptance-without-an-event-forgotten",
        file: LINK,
        from: "self.accepted.insert(id, Seq(accepted.seq));",
        to: "if accepted.seq > 0 { self.accepted.insert(id, Seq(accepted.seq)); }",
    },
    Mutant {
        name: "refused-for-now-taken-for-final",
        file: LINK,
        from: "Some(outcome::Result::Refused(it)) if it.retry_after > 0 => {",
        to: "Some(outcome::Result::Refused(it)) if it.retry_after > 3_600_000 => {",
    },
    Mutant {
        name: "final-refusal-retried-for-ever",
        file: LINK,
        from: "self.refused.insert(id); refused.push((id, it));",
        to: "let _ = it;",
    },
    Mutant {
        name: "retry-after-ignored",
        file: LINK,
        from: "self.hold = Some(self.hold.map_or(until, |hold| hold.max(until)));",
        to: "let _ = until;",
    },
    Mutant {
        name: "pong-not-awaited",
        file: LINK,
        from: "session.pinged = Some(now.monotonic);",
        to: "session.heard = now.monotonic;",
    },
    Mutant {
        name: "submit-larger-than-a-frame",
        file: LINK,
        from: "|| size > limits::CLIENT_FRAME - 64;",
        to: "|| size > limits::SERVER_FRAME - 64;",
    },
    Mutant {
        name: "backoff-without-jitter",
        file: BACKOFF,
        from: "wait / 2 + entropy.next_u64() % (wait + 1)",
        to: "wait",
    },
    Mutant {
        name: "place-never-asked-for-again",
        file: LINK,
        from: "self.close(Some(self.place_at), limit_reached());",
        to: "self.close(None, limit_reached());",
    },
    // The outbox and the replica.
    Mutant {
        name: "settled-in-the-log-before",
        file: REPLICA,
        from: "self.outbox.forget_settled();",
        to: "",
    },
    Mutant {
        name: "late-news-of-an-operation-believed",
        file: OUTBOX,
        from: "if self.settled.contains(&id) || self.clocks",
        to: "if self.clocks",
    },
    Mutant {
        name: "refused-operation-still-pending",
        file: OUTBOX,
        from: "} else { self.pending.remove(&place); }",
        to: "}",
    },
    Mutant {
        name: "own-message-told-as-new",
        file: REPLICA,
        from: "let known = self.outbox.get(id).is_some();",
        to: "let known = false;",
    },
    Mutant {
        name: "unread-counted-on-after-reading",
        file: REPLICA,
        from: "head.read_inbound = head.read_inbound.max(read.inbound);",
        to: "",
    },
    Mutant {
        name: "old-copy-shown-beside-the-new-log",
        file: REPLICA,
        from: "self.heads.clear(); self.numbers.clear();",
        to: "",
    },
    Mutant {
        name: "operations-not-ordered-after-those-seen",
        file: CALLS,
        from: "self.clock.observe(newest, newest.millis().max(corrected));",
        to: "let _ = newest;",
    },
    Mutant {
        name: "clock-goes-back-with-the-wall",
        file: CLOCK,
        from: "Timestamp::at(wall).max(Timestamp(self.last.0.saturating_add(1)));",
        to: "Timestamp::at(wall);",
    },
    // Folding.
    Mutant {
        name: "last-record-not-written",
        file: FOLD,
        from: "if !self.open.is_empty() { self.close(); } self.full",
        to: "self.full",
    },
    Mutant {
        name: "full-block-counted-on",
        file: FOLD,
        from: "block: first + blocks.full.len() as u64,",
        to: "block: first,",
    },
    Mutant {
        name: "blocks-numbered-anew",
        file: FOLD,
        from: "let first = used.map_or(0, |used| used + 1); let mut pieces",
        to: "let first = used.map_or(0, |_| 0); let mut pieces",
    },
    Mutant {
        name: "older-pieces-forgotten",
        file: FOLD,
        from: "let mut pieces: Vec<Piece> = kept.cloned().collect();",
        to: "drop(kept); let mut pieces: Vec<Piece> = Vec::new();",
    },
    Mutant {
        name: "locators-not-written",
        file: FOLD,
        from: "writes.push(Write::Put(Table::Locators, Key::Number(number), codec::encode(&locators)));",
        to: "drop(locators);",
    },
    Mutant {
        name: "journal-kept-when-it-is-folded",
        file: FOLD,
        from: "writes.push(Write::Clear(Table::Journal));",
        to: "",
    },
    Mutant {
        name: "read-count-not-folded",
        file: FOLD,
        from: "read_inbound: head.read_inbound,",
        to: "read_inbound: 0,",
    },
    Mutant {
        name: "record-grows-without-bound",
        file: FOLD,
        from: "let over = self.open.len() > RECORD",
        to: "let over = self.open.len() - start > RECORD",
    },
    Mutant {
        name: "changed-message-kept-at-hand-as-it-was",
        file: REPLICA,
        from: "self.tails.forget(number);",
        to: "",
    },
    Mutant {
        name: "kept-at-hand-across-logs",
        file: REPLICA,
        from: "self.tails = Tails::default();",
        to: "",
    },
    // What the server accepts.
    Mutant {
        name: "receipts-not-kept",
        file: ACCEPT,
        from: "self.tx.keep_receipt(self.key, id, &receipt).await?;",
        to: "",
    },
    Mutant {
        name: "receipts-looked-up-for-anybody",
        file: ACCEPT,
        from: "self.tx.receipt(self.key, id).await?",
        to: "self.tx.receipt(AccountKey(0), id).await?",
    },
    Mutant {
        name: "receipt-forgets-where-the-event-is",
        file: ACCEPT,
        from: "return Ok((receipt.seq, receipt.accepted_at));",
        to: "return Ok((Seq(0), receipt.accepted_at));",
    },
    Mutant {
        name: "clock-counted-among-what-is-said",
        file: ACCEPT,
        from: "clock: 0, body: operation.body.clone()",
        to: "clock: operation.clock, body: operation.body.clone()",
    },
    Mutant {
        name: "refusal-of-the-storage-made-final",
        file: ACCEPT,
        from: "retry_after: RETRY_AFTER,",
        to: "retry_after: RETRY_AFTER / 1_000_000,",
    },
    Mutant {
        name: "storage-refusal-overtaken-by-what-follows",
        file: ACCEPT,
        from: "self.verdicts.extend(self.rest.operations.drain(..).map(|_| refused.clone()));",
        to: "self.verdicts.extend(self.rest.operations.drain(..1).map(|_| refused.clone()));",
    },
    Mutant {
        name: "sender-among-the-others",
        file: ACCEPT,
        from: "if !others.remove(account) {",
        to: "if !others.contains(account) {",
    },
    Mutant {
        name: "direct-message-under-the-wrong-name",
        file: ACCEPT,
        from: "conversation: Conversation::Direct(account).to_string(),",
        to: "conversation: conversation.to_owned(),",
    },
    Mutant {
        name: "read-position-goes-back",
        file: READ,
        from: "if position <= view.read {",
        to: "if position == view.read {",
    },
    Mutant {
        name: "read-position-not-kept",
        file: READ,
        from: "self.tx.set_read(place).await?;",
        to: "",
    },
    Mutant {
        name: "mark-beyond-the-end-believed",
        file: READ,
        from: "Position(mark.position).min(view.last);",
        to: "Position(mark.position);",
    },
    // Edits, recalls, and what devices share.
    Mutant {
        name: "recall-undone-by-an-edit",
        file: CHANGE,
        from: "_ if message.recalled => None,",
        to: "",
    },
    Mutant {
        name: "earlier-edit-wins",
        file: CHANGE,
        from: "Some(latest) => stamp.over(latest),",
        to: "Some(latest) => if stamp.over(latest).is_some() { None } else { Some(stamp) },",
    },
    Mutant {
        name: "edited-last-by-order-alone",
        file: CHANGE,
        from: "Some(latest) => stamp.over(latest),",
        to: "Some(_) => Some(stamp),",
    },
    Mutant {
        name: "anybody-may-change-a-message",
        file: CHANGE,
        from: "if message.sender == self.submission.account",
        to: "if message.held",
    },
    Mutant {
        name: "others-not-woken-for-a-change",
        file: CHANGE,
        from: "growth.add_entries(told.keys().cloned());",
        to: "let _ = &growth;",
    },
    Mutant {
        name: "field-set-last-by-order-alone",
        file: MERGE,
        from: "Some(own) => field.stamp.over(&own.stamp),",
        to: "Some(_) => Some(field.stamp),",
    },
    Mutant {
        name: "field-stays-what-it-was-at-first",
        file: MERGE,
        from: "Some(own) => field.stamp.over(&own.stamp),",
        to: "Some(_) => None,",
    },
    Mutant {
        name: "device-overruled-by-what-it-did-before",
        file: MERGE,
        from: "if self.device == known.device { self.clock.max(known.clock) } else { self.clock }",
        to: "self.clock",
    },
    Mutant {
        name: "older-value-wins-over-a-newer",
        file: SHARE,
        from: "let won = fields.merge(Fields::stamped(&set.fields, &stamp));",
        to: "fields = Fields::default(); let won = fields.merge(Fields::stamped(&set.fields, &stamp));",
    },
    Mutant {
        name: "clock-ahead-of-the-server-sent",
        file: LINK,
        from: "let clock = operation.clock.min(Timestamp::at(corrected).0);",
        to: "let clock = operation.clock; let _ = (corrected, Timestamp::default());",
    },
    Mutant {
        name: "recalled-content-kept-until-the-next-fold",
        file: REPLICA,
        from: "self.purge |= message.recalled && had.map_or(folded, |had| !had.recalled);",
        to: "let _ = (had, folded);",
    },
    Mutant {
        name: "changed-message-not-put-into-its-block",
        file: FOLD,
        from: "message.clone_from(changed);",
        to: "let _ = changed;",
    },
    Mutant {
        name: "last-message-stays-as-it-was",
        file: REPLICA,
        from: "if head.last.as_ref().is_none_or(|last| last.position <= message.position) {",
        to: "if head.last.as_ref().is_none_or(|last| last.position < message.position) {",
    },
    Mutant {
        name: "edit-of-a-pending-message-sent-alone",
        file: STORAGE,
        from: "follower.unclaimed.extend(self.replica.outbox.pending().map(|(id, _)| id));",
        to: "",
    },
    Mutant {
        name: "given-up-and-sent-all-the-same",
        file: OUTBOX,
        from: "|| self.discarded.contains(&id)",
        to: "",
    },
    Mutant {
        name: "given-up-only-where-it-was-known",
        file: OUTBOX,
        from: "self.discarded.insert(id);
        self.remove(id)",
        to: "let queued = self.remove(id)?;
        self.discarded.insert(id);
        Some(queued)",
    },
    Mutant {
        name: "given-up-while-it-is-sent",
        file: ADVANCE,
        from: "Some(_) if leader.link.is_sending(wish.id) => {}",
        to: "",
    },
    Mutant {
        name: "giving-up-is-not-lasting",
        file: ADVANCE,
        from: "let kept = discarded.iter().chain(",
        to: "let kept = discarded.iter().take(0).chain(",
    },
    Mutant {
        name: "sessions-not-folded",
        file: FOLD,
        from: "let sessions = replica.sessions.values();",
        to: "let sessions = replica.sessions.values().take(0);",
    },
    Mutant {
        name: "settings-not-folded",
        file: FOLD,
        from: "settings: head.settings(),",
        to: "settings: Vec::new(),",
    },
    Mutant {
        name: "what-others-have-read-goes-back",
        file: REPLICA,
        from: "*read = Position(read_by.position).max(*read);",
        to: "*read = Position(read_by.position).min(*read);",
    },
    Mutant {
        name: "reader-not-told-of-to-others",
        file: READ,
        from: "if !self.submission.hide_reads {",
        to: "if self.submission.hide_reads {",
    },
    Mutant {
        name: "hidden-reader-told-of-to-others",
        file: READ,
        from: "if !self.submission.hide_reads {",
        to: "if !self.submission.hide_reads || self.submission.include_sender {",
    },
    Mutant {
        name: "those-who-left-not-told",
        file: GROUPS,
        from: "tell_members(tx, growth, &self.id, &left, &stayed).await",
        to: "{ let _: (BTreeSet<String>, BTreeSet<String>) = (left, stayed); Ok(()) }",
    },
    Mutant {
        name: "members-compared-by-their-number",
        file: GROUPS,
        from: "if before == self.members {",
        to: "if before.len() == self.members.len() {",
    },
    // What a new device gets, and what is fetched later.
    Mutant {
        name: "snapshot-goes-on-from-its-last-page",
        file: LINK,
        from: "if begins {
            self.received = Seq(page.cursor);
        }",
        to: "let _ = begins;
        self.received = Seq(page.cursor);",
    },
    Mutant {
        name: "snapshot-forgets-how-far-it-has-come",
        file: ADVANCE,
        from: "            snapshot,
            complete_from: complete_from.0,
        };",
        to: "            snapshot: None,
            complete_from: complete_from.0,
        };
        drop(snapshot);",
    },
    Mutant {
        name: "trimmed-log-goes-on-as-if-nothing-were-missing",
        file: LINK,
        from: "|| mark.cursor < Seq(welcome.tail);",
        to: ";",
    },
    Mutant {
        name: "told-twice-of-what-a-snapshot-brought",
        file: REPLICA,
        from: "if self.heads.get(&message.conversation).is_some_and(|head| head.holds(Position(message.position))) {",
        to: "if false {",
    },
    Mutant {
        name: "change-of-what-is-missing-is-passed-over",
        file: REPLICA,
        from: "        let (number, folded) = (head.number, head.piece(position).is_some());
        let had = head.recent",
        to: "        let (number, folded) = (head.number, head.piece(position).is_some());
        if !folded && !head.recent.contains_key(&position) {
            return;
        }
        let had = head.recent",
    },
    Mutant {
        name: "fetch-is-done-before-it-is-written",
        file: HISTORY,
        from: "let is_written = !written.chain(&leader.gathered.events).any(is_past);",
        to: "drop(written); let is_written = true;",
    },
    Mutant {
        name: "lost-answer-is-taken-for-gone",
        file: HISTORY,
        from: "self.answered = self.to.next();",
        to: "",
    },
    Mutant {
        name: "follower-never-asks-again",
        file: HISTORY,
        from: "fetch.ask_at = now.monotonic.plus(ANNOUNCE);",
        to: "fetch.ask_at = Millis(u64::MAX);",
    },
    Mutant {
        name: "wish-without-an-end",
        file: HISTORY,
        from: "self.end_fetches(&|it, _| (it.until <= now.monotonic).then(|| Err(timeout.clone())));",
        to: "drop(timeout);",
    },
    Mutant {
        name: "days-begin-with-the-next-conversation",
        file: SNAPSHOT,
        from: "                if !self.take(vec![Body::Message(message)]) {
                    return Ok(false);
                }
                self.place.before = position;",
        to: "                self.place.before = position;
                if !self.take(vec![Body::Message(message)]) {
                    return Ok(false);
                }",
    },
    Mutant {
        name: "snapshot-older-than-its-cursor",
        file: SNAPSHOT,
        from: "Ok(wire::Snapshot { place, events: page.events, next, cursor, from })",
        to: "let cursor = storage.head(account).await?.0 + u64::from(next.is_some());
    Ok(wire::Snapshot { place, events: page.events, next, cursor, from })",
    },
    Mutant {
        name: "history-leaves-out-what-does-not-fit",
        file: SNAPSHOT,
        from: "                history.from = end + 1;
",
        to: "",
    },
    Mutant {
        name: "what-a-restored-log-lacks-still-shown",
        file: REPLICA,
        from: "self.note_all(&mut applied);
            self.heads.clear();",
        to: "self.heads.clear();",
    },
    Mutant {
        name: "what-was-folded-unheard-is-not-read-again",
        file: REPLICA,
        from: "applied.unsaid |= missed || old.outbox",
        to: "applied.unsaid |= old.outbox",
    },
    Mutant {
        name: "what-was-over-and-folded-is-not-read-again",
        file: REPLICA,
        from: "applied.unsaid |= unseen || is_send(&queued) && !self.fresh.contains_key(&id);",
        to: "",
    },
    Mutant {
        name: "contents-of-a-new-store-not-told",
        file: REPLICA,
        from: "old.note_what_there_is(self, self.device(), applied);",
        to: "",
    },
    Mutant {
        name: "changed-message-stays-in-the-outbox",
        file: ENGINE,
        from: "Some(event::Body::Changed(message)) => Some(&message.id),",
        to: "Some(event::Body::Changed(_)) => None,",
    },
    Mutant {
        name: "status-for-an-earlier-leader-sent",
        file: STATUS,
        from: "&& Epoch(say.epoch) == self.leadership.epoch()",
        to: "",
    },
    Mutant {
        name: "replaced-leader-heard-out-of-order",
        file: TABS,
        from: "(1..self.leadership.epoch().0).contains(&announce.epoch)",
        to: "false",
    },
    // The switch.
    Mutant {
        name: "message-for-one-goes-to-all",
        file: REACH,
        from: "Self::One(online) => online.device(account).await.map_or(Addressee::First, Addressee::Device),",
        to: "Self::One(_) => Addressee::All,",
    },
    Mutant {
        name: "nobody-there-is-taken-for-all",
        file: REACH,
        from: "map_or(Addressee::First, Addressee::Device)",
        to: "map_or(Addressee::All, Addressee::Device)",
    },
    Mutant {
        name: "switch-stays-off-in-other-tabs",
        file: TABS,
        from: "self.sync_disabled = status.sync_disabled;",
        to: "self.sync_disabled |= status.sync_disabled;",
    },
    Mutant {
        name: "switch-is-learned-once",
        file: NETWORK,
        from: "service.is_some_and(|disabled| std::mem::replace",
        to: "service.is_some_and(|disabled| !self.sync_disabled && std::mem::replace",
    },
    // Notifications.
    Mutant {
        name: "notification-marked-back",
        file: NOTICE,
        from: "if mark.state <= i32::from(known) {",
        to: "if mark.state == i32::from(known) {",
    },
    Mutant {
        name: "notification-outlives-what-it-tells-of",
        file: CHANGE,
        from: "let told = tx.erase_notifications(message).await?;",
        to: "let told = std::collections::BTreeSet::new();",
    },
    Mutant {
        name: "recalled-words-kept-until-the-next-fold",
        file: NOTIFICATIONS,
        from: "self.purge |= erased && before.is_some_and(|before| !is_erased(&before));",
        to: "let _ = (erased, before);",
    },
    Mutant {
        name: "notifications-not-folded",
        file: FOLD,
        from: "&replica.notifications.held, |_| 1",
        to: "replica.notifications.held.iter().take(0), |_| 1",
    },
    Mutant {
        name: "unwanted-notifications-taken-for-seen",
        file: NETWORK,
        from: "leader.gathered.notified = Some(false);",
        to: "leader.gathered.notified = None;",
    },
    Mutant {
        name: "missed-notifications-not-asked-for",
        file: LINK,
        from: "(notified && !mark.notified).then(missed)",
        to: "(notified && mark.notified).then(missed)",
    },
    // Devices without a lasting id.
    Mutant {
        name: "id-stays-though-none-is-wanted",
        file: IDENTITY,
        from: "self.replica.device().is_some() == self.config.config.anonymous",
        to: "self.replica.device().is_none() && !self.config.config.anonymous",
    },
    Mutant {
        name: "connection-stays-under-the-id-before",
        file: ADVANCE,
        from: "leader.link.go_by(alias);",
        to: "",
    },
    Mutant {
        name: "passing-id-kept-with-what-it-sends",
        file: SOURCE,
        from: "Self::Device(device) => Some(device), Self::BackEnd | Self::Passing(_) => None,",
        to: "Self::Device(device) | Self::Passing(device) => Some(device), Self::BackEnd => None,",
    },
    // Devices, tokens, and copies that are erased.
    Mutant {
        name: "questions-forgotten-with-the-leader",
        file: QUESTIONS,
        from: "self.questions.retain(|it| matches!(it.who, Who::Local(_)));",
        to: "self.questions.clear();",
    },
    Mutant {
        name: "answer-to-another-question-taken",
        file: QUESTIONS,
        from: "it.asked.is_some() && it.number == managed.number",
        to: "it.asked.is_some()",
    },
    Mutant {
        name: "removed-and-not-impressed",
        file: NETWORK,
        from: "Arrived::Revoked(revoked) => return self.handle_revoked(revoked),",
        to: "Arrived::Revoked(_) => {}",
    },
    Mutant {
        name: "copy-erased-without-a-word",
        file: ERASING,
        from: "self.broadcast(channel_frame::Frame::Erased(erased));",
        to: "drop(erased);",
    },
    Mutant {
        name: "copy-erased-before-that-is-said",
        file: ERASING,
        from: "self.tell_erased(&reason); self.end(&reason);",
        to: "self.end(&reason);",
    },
    Mutant {
        name: "copy-said-to-be-erased-only-once",
        file: ERASING,
        from: "if result.is_ok() {",
        to: "if false {",
    },
    Mutant {
        name: "erased-though-the-device-is-still-listed",
        file: ERASING,
        from: "Err(failure) if self.closed.is_none() => {",
        to: "Err(_) if self.closed.is_none() => self.erase(Reason::Removed(None)), Err(failure) if false => {",
    },
    Mutant {
        name: "erased-copy-brought-back-from-the-cache",
        file: STORAGE,
        from: "StoreError::Erased if (self.suspended || self.resumed) && self.closed.is_none()",
        to: "StoreError::Erased if false",
    },
    Mutant {
        name: "erased-copy-saved-before-it-is-heard-why",
        file: STORAGE,
        from: "again_at: Some(now.monotonic.plus(ERASED)), listens: true",
        to: "again_at: Some(now.monotonic), listens: true",
    },
    Mutant {
        name: "calls-left-to-a-store-that-is-no-more",
        file: STORAGE,
        from: "if error == StoreError::Erased && self.closed.is_none() {",
        to: "if error == StoreError::Erased {",
    },
    Mutant {
        name: "token-never-replaced",
        file: LINK,
        from: "self.orders.push(Order::FetchToken(self.connection));",
        to: "",
    },
    Mutant {
        name: "token-asked-for-once",
        file: LINK,
        from: "Err(_) => session.refresh_at = Some(now.monotonic.plus(REFRESH_AGAIN)),",
        to: "Err(_) => {}",
    },
    Mutant {
        name: "devices-managed-all-at-once",
        file: "crates/engine/src/engine/questions.rs",
        from: "move |it| !manages(it) || first == Some(it.number)",
        to: "move |it| !manages(it) || first.is_some()",
    },
    Mutant {
        name: "in-step-with-a-store-that-is-no-more",
        file: "crates/engine/src/engine/advance.rs",
        from: "if self.reload.is_none() && self.renewal.is_none() { self.end_syncs(",
        to: "if self.reload.is_none() { self.end_syncs(",
    },
    Mutant {
        name: "read-again-by-who-has-ended",
        file: "crates/engine/src/engine/storage.rs",
        from: "if doubtful && self.closed.is_none() && matches!",
        to: "if doubtful && matches!",
    },
];
