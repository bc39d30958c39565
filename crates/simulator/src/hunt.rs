//! Many histories, on all processors.

use std::{
    any::Any,
    cell::RefCell,
    collections::BTreeMap,
    panic,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    history::{History, Outcome},
    vocabulary::Climate,
};

thread_local! {
    /// Where the last panic of this thread came from.
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Characters that are told of a panic.
const LONGEST: usize = 2000;

/// How often it is told how far they are.
const TELL: Duration = Duration::from_secs(5);

/// What to look through.
#[derive(Clone, Copy, Debug)]
pub struct Hunt {
    /// How many histories.
    pub histories: u64,
    /// The seed of the first; the next has the next.
    pub seed: u64,
    /// How hostile they are.
    pub climate: Climate,
    /// How many at a time.
    pub jobs: usize,
    /// Whether to go on after one that fails.
    pub keep_going: bool,
}

/// What came of all of them.
#[derive(Debug, Default)]
pub struct Bag {
    /// Histories that were played.
    pub histories: u64,
    /// In how many histories each word took effect.
    pub words: BTreeMap<&'static str, u64>,
    /// Messages that were promised to be safe.
    pub promises: u64,
    /// Tabs that were compared in the end.
    pub tabs: u64,
    /// How long that took.
    pub time: Duration,
    /// Histories that failed, and how.
    pub failures: Vec<Failed>,
}

/// A history that failed.
#[derive(Debug)]
pub struct Failed {
    /// How many came before.
    pub number: u64,
    /// What happened in it.
    pub history: History,
    /// What was wrong.
    pub why: String,
}

impl Hunt {
    /// Plays them, and tells now and then what has come of them so far, and whenever one has failed.
    #[must_use]
    pub fn run(&self, mut tell: impl FnMut(&Bag)) -> Bag {
        quietly();
        let start = Instant::now();
        let (next, over) = (AtomicU64::new(0), AtomicBool::new(false));
        let (played, outcomes) = mpsc::channel();
        let mut bag = Bag::default();
        thread::scope(|scope| {
            for _ in 0..self.jobs {
                let (played, next, over) = (played.clone(), &next, &over);
                scope.spawn(move || {
                    while !over.load(Relaxed) {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= self.histories {
                            break;
                        }
                        let history = History::generate(self.seed.wrapping_add(number), self.climate);
                        let outcome = history.play();
                        over.fetch_or(outcome.failure.is_some() && !self.keep_going, Relaxed);
                        // Nobody stops listening before the last has ended.
                        let _ = played.send((number, history, outcome));
                    }
                });
            }
            drop(played);
            let mut told = start;
            loop {
                let mut failed = false;
                match outcomes.recv_timeout(TELL) {
                    Ok((number, history, outcome)) => {
                        failed = outcome.failure.is_some();
                        bag.add(number, history, outcome);
                    }
                    // One that never ends is not waited for in silence.
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                bag.time = start.elapsed();
                if failed || told.elapsed() >= TELL {
                    told = Instant::now();
                    tell(&bag);
                }
            }
        });
        bag
    }
}

impl Bag {
    fn add(&mut self, number: u64, history: History, outcome: Outcome) {
        self.histories += 1;
        self.promises += outcome.promises;
        self.tabs += outcome.tabs;
        for word in outcome.words.into_keys() {
            *self.words.entry(word).or_default() += 1;
        }
        self.failures.extend(outcome.failure.map(|why| Failed { number, history, why }));
    }
}

/// Has panics be remembered, not printed: they are how histories fail.
pub fn quietly() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
        PANICKED_AT.with(|at| *at.borrow_mut() = place.unwrap_or_default());
    }));
}

/// What a panic said, and where.
pub(crate) fn caught(panic: Box<dyn Any + Send>) -> String {
    let said = match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(said), _) => said.clone(),
        (_, Some(said)) => (*said).to_owned(),
        _ => "a panic".to_owned(),
    };
    // Some show a message, and some messages are long.
    let said: String = said.chars().take(LONGEST).collect();
    let place = PANICKED_AT.with(|at| at.take());
    if place.is_empty() { said } else { format!("{said} ({place})") }
}
