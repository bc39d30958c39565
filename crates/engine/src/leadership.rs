//! Who leads: a tab's part in choosing the leader of its profile, and how a dead one is noticed.
//!
//! The profile's lock elects. The tab that gets it claims the next **epoch** in the store, which fences
//! every write and frame of the leader before. A lock alone is not enough, since a tab that is frozen or
//! hangs keeps it for ever. So liveness is asked, and asked by tabs that somebody looks at: their timers
//! run, while those of hidden tabs may fire once a minute. Who gets no answer steals the lock; who was
//! robbed finds out, steps down and queues again.
//!
//! Where a browser has no locks, the epoch in the store is the lease instead: it is claimed by compare
//! and swap, and kept by answering. Nobody tells a leader then that it was robbed, so it asks now and then
//! whether another leads.

use tutti_protocol::{Epoch, Millis, Revision};

use crate::{
    Now,
    batch::{Claim, StoreError},
    entropy::Entropy,
};

/// How long a leader may take to answer, in milliseconds. Tabs wait up to a quarter longer, each its
/// own time, so that they do not rob each other.
const ANSWER: u64 = 800;
/// How long the answer may lie in this tab's own queue once the time is up, in milliseconds.
const GRACE: u64 = 50;
/// A timer so much too late tells that this tab itself was held up, in milliseconds.
const HELD_UP: u64 = 400;
/// How long a leader may be silent before somebody who looks asks, in milliseconds. Tabs wait up to a quarter
/// less, each its own time, so that one asks and all hear the answer.
const SILENCE: u64 = 2_000;
/// How often a leader without a lock asks whether there is another, in milliseconds.
const DOUBT: u64 = 10_000;
/// How long a tab that could not lead leaves it to others, in milliseconds.
const REST: u64 = 1_000;
/// How long a tab that may be left waits for no lock, in milliseconds: for as long as the next page may take to
/// answer.
const ASIDE: u64 = 10_000;

/// Which request for the lock something concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LockId(pub u64);

/// What leadership wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Queue for the lock.
    Wait(LockId),
    /// Take the lock from whoever has it.
    Steal(LockId),
    /// Let go of the lock, or of the place in its queue.
    Release(LockId),
    /// Begin the leadership after this one in the store.
    Claim(LockId, Epoch),
    /// Ask whether the leader is alive.
    Ping(u64),
}

/// What an input has changed for the rest of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// This tab leads from now on, from this revision of the store.
    Began(Revision),
    /// This tab leads no more.
    Ended,
}

/// A tab's part in it.
#[derive(Debug)]
pub(crate) struct Leadership {
    place: Place,
    last: LockId,
    /// The newest that was heard of.
    epoch: Epoch,
    /// Whether the browser has locks.
    locks: bool,
    /// Whether somebody looks at this tab.
    visible: bool,
    /// How long the leader may be silent before this tab asks, in milliseconds.
    silence: u64,
    /// A question that the leader has not answered.
    asked: Option<Asked>,
    last_question: u64,
    /// When the leader will have been silent for too long, or this one has to ask for another.
    ask_at: Option<Millis>,
    pub(crate) orders: Vec<Order>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Takes no part: until then, or until it is told to.
    Out(Option<Millis>),
    /// May be left. Takes no part until then, unless nobody leads.
    Aside(Millis),
    /// Waits for the lock, or to see the leader fail.
    Queued(LockId),
    /// Has the lock, and claims the leadership after this one.
    Claiming(LockId, Epoch),
    Leading(LockId),
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    until: Millis,
    /// This is the last chance.
    last: bool,
}

impl Leadership {
    /// Of a tab that has read the store at this epoch, and takes no part yet.
    pub(crate) fn new(epoch: Epoch, entropy: &mut Entropy) -> Self {
        Self {
            place: Place::Out(None),
            last: LockId(0),
            epoch,
            locks: true,
            visible: false,
            silence: SILENCE - u64::from(entropy.next_u32()) % (SILENCE / 4),
            asked: None,
            last_question: 0,
            ask_at: None,
            orders: Vec::new(),
        }
    }

    /// The newest leadership that this tab knows of; its own when it leads.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The store is another one, at this epoch.
    pub(crate) fn restart(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }

    /// Takes part: queues for the lock, and finds out whether there is a leader.
    pub(crate) fn join(&mut self, now: Now, entropy: &mut Entropy) {
        if let Place::Out(_) | Place::Aside(_) = self.place {
            self.queue(now);
            self.ask_if_watching(now, entropy);
        }
    }

    /// Takes no part any more. Whoever comes next need not wait.
    pub(crate) fn leave(&mut self) -> Change {
        self.go_out(None)
    }

    /// This tab cannot lead, or must not: others may, for a while.
    pub(crate) fn resign(&mut self, now: Now) -> Change {
        self.go_out(Some(now.monotonic.plus(REST)))
    }

    /// This tab may be about to go. One that leads stays for as long as it is there.
    pub(crate) fn step_aside(&mut self, now: Now) {
        if let Place::Queued(_) = self.place {
            self.go_out(None);
            self.place = Place::Aside(now.monotonic.plus(ASIDE));
        }
    }

    pub(crate) fn granted(&mut self, id: LockId) {
        if self.place == Place::Queued(id) {
            self.claim(id);
        } else {
            // Nobody wants it any more.
            self.orders.push(Order::Release(id));
        }
    }

    /// Another tab has taken the lock, or it could not be had.
    pub(crate) fn lost(&mut self, id: LockId, now: Now) -> Change {
        match self.place {
            Place::Queued(of) | Place::Claiming(of, _) if of == id => self.queue(now),
            Place::Leading(of) if of == id => {
                self.queue(now);
                return Change::Ended;
            }
            _ => {}
        }
        Change::None
    }

    /// This browser has no locks.
    pub(crate) fn no_locks(&mut self, now: Now, entropy: &mut Entropy) {
        self.locks = false;
        self.ask_if_watching(now, entropy);
    }

    /// What the store says to a claim.
    pub(crate) fn claimed(&mut self, id: LockId, claim: &Result<Claim, StoreError>, now: Now) -> Change {
        let Place::Claiming(of, from) = self.place else {
            return Change::None;
        };
        if of != id {
            return Change::None;
        }
        match *claim {
            Ok(Claim::Won(revision)) => {
                self.epoch = from.next();
                self.place = Place::Leading(id);
                self.doubt(now);
                return Change::Began(revision);
            }
            Ok(Claim::Overtaken(epoch)) => {
                self.epoch = epoch;
                if self.locks {
                    // Whoever that was has no lock. If it has stolen this one, that will be told.
                    self.claim(id);
                } else {
                    self.place = Place::Queued(id);
                    self.watch(now);
                }
            }
            Err(_) => return self.resign(now),
        }
        Change::None
    }

    /// A leader of this epoch was heard.
    pub(crate) fn heard(&mut self, epoch: Epoch, now: Now) -> Change {
        if epoch < self.epoch {
            return Change::None;
        }
        let newer = epoch > self.epoch;
        self.epoch = epoch;
        match self.place {
            // Whatever the lock says: the store obeys the newer leader.
            Place::Leading(_) if newer => return self.resign(now),
            Place::Leading(_) | Place::Claiming(..) => {}
            // What was said before the question is no answer to it.
            Place::Queued(_) if newer || self.asked.is_none() => self.watch(now),
            Place::Queued(_) | Place::Out(_) | Place::Aside(_) => {}
        }
        Change::None
    }

    /// This tab's question is answered. One whose leadership is over may not know it yet.
    pub(crate) fn answered(&mut self, number: u64, epoch: Epoch, now: Now) {
        if self.asked.is_some() && number == self.last_question && epoch >= self.epoch {
            self.watch(now);
        }
    }

    /// The leader has said goodbye. Where there is a lock, that tells whoever waits for it.
    pub(crate) fn vacated(&mut self, now: Now, entropy: &mut Entropy) {
        match self.place {
            Place::Queued(id) if !self.locks => self.claim(id),
            Place::Aside(_) => self.join(now, entropy),
            _ => {}
        }
    }

    /// Whether a question for the leader is for this tab to answer.
    pub(crate) fn answers(&self) -> bool {
        matches!(self.place, Place::Claiming(..) | Place::Leading(_))
    }

    /// Somebody looks at this tab, or does not any more.
    pub(crate) fn set_visible(&mut self, visible: bool, now: Now, entropy: &mut Entropy) {
        if std::mem::replace(&mut self.visible, visible) == visible {
            return;
        }
        if let Place::Queued(_) = self.place {
            self.ask_at = None;
        }
        self.ask_if_watching(now, entropy);
    }

    /// Asks the leader, if that is another tab, and no answer is awaited already.
    pub(crate) fn ask(&mut self, now: Now, entropy: &mut Entropy) {
        if matches!(self.place, Place::Queued(_)) && self.asked.is_none() {
            let until = now.monotonic.plus(patience(entropy));
            self.asked = Some(Asked { until, last: false });
            self.ask_at = None;
            self.put_question();
        }
    }

    /// When to [`Leadership::tick`].
    pub(crate) fn deadline(&self) -> Option<Millis> {
        match self.place {
            Place::Out(until) => until,
            Place::Aside(until) => Some(until),
            Place::Queued(_) => self.asked.map(|asked| asked.until).or(self.ask_at),
            Place::Claiming(..) => None,
            Place::Leading(_) => self.ask_at,
        }
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Now, entropy: &mut Entropy) {
        if self.deadline().is_none_or(|at| now.monotonic < at) {
            return;
        }
        match (self.place, self.asked) {
            (Place::Out(_) | Place::Aside(_), _) => self.join(now, entropy),
            (Place::Queued(id), Some(Asked { last: true, .. })) => self.take(id, now),
            (Place::Queued(_), Some(Asked { until, last: false })) => {
                let held_up = until.plus(HELD_UP) <= now.monotonic;
                if held_up {
                    self.put_question();
                }
                let wait = if held_up { patience(entropy) } else { GRACE };
                self.asked = Some(Asked { until: now.monotonic.plus(wait), last: true });
            }
            (Place::Queued(_), None) => self.ask(now, entropy),
            (Place::Leading(_), _) => {
                self.put_question();
                self.doubt(now);
            }
            (Place::Claiming(..), _) => {}
        }
    }

    /// Whether the leader's silence is noticed here: this tab's timers can be relied on, or nobody else
    /// would notice.
    fn is_watching(&self) -> bool {
        self.visible || !self.locks
    }

    fn ask_if_watching(&mut self, now: Now, entropy: &mut Entropy) {
        if self.is_watching() {
            self.ask(now, entropy);
        }
    }

    /// Without a lock nobody tells a leader that another has claimed what comes after it.
    fn doubt(&mut self, now: Now) {
        self.ask_at = (!self.locks).then(|| now.monotonic.plus(DOUBT));
    }

    fn put_question(&mut self) {
        self.last_question += 1;
        self.orders.push(Order::Ping(self.last_question));
    }

    /// From now on the leader has so long to be heard of.
    fn watch(&mut self, now: Now) {
        self.asked = None;
        self.ask_at = self.is_watching().then(|| now.monotonic.plus(self.silence));
    }

    fn queue(&mut self, now: Now) {
        self.last = LockId(self.last.0 + 1);
        self.place = Place::Queued(self.last);
        self.watch(now);
        if self.locks {
            self.orders.push(Order::Wait(self.last));
        }
    }

    /// The leader does not answer.
    fn take(&mut self, queued: LockId, now: Now) {
        if !self.locks {
            return self.claim(queued);
        }
        self.orders.push(Order::Release(queued));
        self.last = LockId(self.last.0 + 1);
        self.place = Place::Queued(self.last);
        self.watch(now);
        self.orders.push(Order::Steal(self.last));
    }

    fn claim(&mut self, id: LockId) {
        self.place = Place::Claiming(id, self.epoch);
        self.asked = None;
        self.ask_at = None;
        self.orders.push(Order::Claim(id, self.epoch));
    }

    fn go_out(&mut self, until: Option<Millis>) -> Change {
        let place = std::mem::replace(&mut self.place, Place::Out(until));
        self.asked = None;
        self.ask_at = None;
        match place {
            Place::Out(_) | Place::Aside(_) => return Change::None,
            Place::Queued(id) | Place::Claiming(id, _) | Place::Leading(id) => {
                self.orders.push(Order::Release(id));
            }
        }
        if matches!(place, Place::Leading(_)) { Change::Ended } else { Change::None }
    }
}

fn patience(entropy: &mut Entropy) -> u64 {
    ANSWER + u64::from(entropy.next_u32()) % (ANSWER / 4)
}
