//! A history: what happens, step by step, in a scene; and what must be so in the end.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    str::FromStr,
};

use anyhow::{Context as _, bail};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use tutti_engine::{Config, Input};
use tutti_protocol::OperationId;

use crate::{
    hunt::caught,
    vocabulary::{Climate, Dice, TEAM, THREE_DEVICES, VOCABULARY, Word, heal, wake},
    world::{SYNC_INTERVAL, World},
};

/// A history, to be played as often as one likes.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// What the scene comes from.
    pub seed: u64,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One thing that happens, and where its details come from.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// What.
    pub word: &'static Word,
    /// The number of its dice.
    pub dice: u64,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        (self.word.name, self.dice) == (other.word.name, other.dice)
    }
}

/// What came of a history.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How often each word took effect.
    pub words: BTreeMap<&'static str, u64>,
    /// Messages that were promised to be safe.
    pub promises: u64,
    /// Tabs that were compared in the end.
    pub tabs: u64,
    /// What was not as it must be.
    pub failure: Option<String>,
}

/// How long it may take until all is equal once everything is right and everybody knows, in milliseconds of
/// virtual time.
const QUIET: u64 = 10_000;
/// How long it may take until everybody knows: until a client notices that its connection is none, or that
/// an answer will not come.
const NOTICED: u64 = 70_000;
/// How long it may take until a message is in all tabs when nothing is in its way. What is not told at once is
/// learned when somebody asks, every 2 s.
const AT_ONCE: u64 = 200;

impl History {
    /// The history of a seed.
    #[must_use]
    pub fn generate(seed: u64, climate: Climate) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let sum: u32 = VOCABULARY.iter().map(|word| word.weights[climate as usize]).sum();
        let length = 10 + chance.next_u32() % 100;
        let step = |_| {
            let mut pick = chance.next_u32() % sum;
            let word = VOCABULARY.iter().find(|word| {
                let weight = word.weights[climate as usize];
                let here = pick < weight;
                pick = pick.wrapping_sub(weight);
                here
            });
            Step { word: word.unwrap_or(&VOCABULARY[0]), dice: chance.next_u64() }
        };
        let mut steps: Vec<Step> = (0..length).map(step).collect();
        if climate == Climate::Devices {
            let begin = VOCABULARY.iter().find(|word| word.name == THREE_DEVICES);
            steps.splice(..0, begin.map(|word| Step { word, dice: chance.next_u64() }));
        }
        Self { seed, steps }
    }

    /// Plays it, and looks whether all is as it must be.
    #[must_use]
    pub fn play(&self) -> Outcome {
        self.play_in(&mut |_| {}, &mut |_, _| {})
    }

    /// Plays it in a world that was prepared, and tells each step.
    pub fn play_in(
        &self,
        prepare: &mut dyn FnMut(&mut World),
        tell: &mut dyn FnMut(&World, &str),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let played = catch_unwind(AssertUnwindSafe(|| {
            let mut world = scene(self.seed);
            prepare(&mut world);
            for step in &self.steps {
                world.close_ended();
                world.chance = ChaCha8Rng::seed_from_u64(step.dice);
                if let Some(what) = (step.word.act)(&mut world, &mut Dice::new(step.dice)) {
                    *outcome.words.entry(step.word.name).or_default() += 1;
                    tell(&world, &what);
                }
                world.deliver();
                for _ in 0..world.chance.next_u32() % 12 {
                    world.step(world.now + 500);
                }
            }
            tell(&world, "everything is right again");
            end(&mut world, tell);
            outcome.promises = world.model.promises().count() as u64;
            outcome.tabs = world.alive().len() as u64;
        }));
        outcome.failure = played.err().map(caught);
        outcome
    }

    /// As few steps as still fail, in about so many attempts.
    #[must_use]
    pub fn shrink(&self, mut attempts: usize) -> Self {
        let mut best = self.clone();
        let mut size = best.steps.len().div_ceil(2);
        while size > 0 && attempts > 0 {
            let mut start = 0;
            while start < best.steps.len() && attempts > 0 {
                attempts -= 1;
                let mut shorter = best.clone();
                shorter.steps.drain(start..(start + size).min(shorter.steps.len()));
                if shorter.play().failure.is_some() {
                    best = shorter;
                } else {
                    start += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
        best
    }
}

/// Accounts, profiles and tabs, and how the world is in the beginning.
fn scene(seed: u64) -> World {
    let mut world = World::new(seed);
    let mut dice = Dice::new(seed);
    let profiles = if dice.roll(16) == 0 { 4 + dice.roll(6) } else { 2 + dice.roll(3) };
    for number in 0..profiles {
        world.profile(["anna", "ben", "anna", "carla"][number % 4]);
    }
    let mut members: Vec<String> = world.profiles.iter().map(|place| place.account.clone()).collect();
    members.sort();
    members.dedup();
    world.set_group("team", &members.iter().map(String::as_str).collect::<Vec<_>>());
    world.locks = dice.roll(4) > 0;
    world.visible = dice.roll(4) > 0;
    // So short that much of what was sent is old within a history.
    world.server.day = 10_000;
    world.server.storage.set_page_events(if dice.roll(2) == 0 { 7 } else { 1_000 });
    // Now and then so much is there that journals are folded amid the history.
    if dice.roll(64) == 0 {
        world.post_many("ben", TEAM, 2_050);
        world.server.storage.set_page_events(300);
    }
    world.open(0);
    world
}

/// Everything is right again: soon all is equal, and what was promised is there.
fn end(world: &mut World, tell: &mut dyn FnMut(&World, &str)) {
    heal(world);
    world.pass(NOTICED);
    world.close_ended();
    tell(world, "everybody who is awake has had time to notice");
    world.check_awake();
    let unsent = world.unsent();
    world.pass(QUIET);
    let stuck = world.unsent().into_iter().find(|it| unsent.contains(it));
    assert_eq!(stuck, None, "stuck: in an outbox though its leader is online");
    wake(world);
    world.pass(QUIET);
    world.close_ended();
    // What is wished for in one tab holds in all.
    for profile in 0..world.profiles.len() {
        let one = world.alive().into_iter().find(|at| at.0 == profile);
        if let Some(at) = one {
            world.input(at, Input::SetOffline(false));
            let config = Config {
                messages: true,
                history: true,
                notifications: true,
                ..world.tab(at).engine.config()
            };
            world.input(at, Input::Configure(config));
        }
    }
    world.pass(QUIET);
    for at in world.alive() {
        world.input(at, Input::NetworkChanged(true));
    }
    world.pass(QUIET);
    // Who has learned by now that its device was removed has ended; what comes in its place is another one.
    world.close_ended();
    for profile in 0..world.profiles.len() {
        if world.profiles[profile].tabs.is_empty() {
            world.open(profile);
        }
    }
    world.pass(QUIET);
    world.check_awake();
    // Seldom, since it is most of such a history.
    if Dice::new(world.seed).roll(64) == 0 {
        tell(world, "all are awake, and have as long as it takes without being told");
        world.pass(SYNC_INTERVAL + NOTICED);
    } else {
        tell(world, "all are awake, and told to be in step");
        for at in world.alive() {
            world.sync_now(at);
        }
    }
    world.pass(QUIET);
    tell(world, "all is compared");
    world.check();
    if world.check_history() {
        tell(world, "all have looked at all there is");
        world.check();
    }
    world.check_devices();
    tell(world, "all have seen their devices");
    // A leader that the store obeys no more learns it when it writes.
    post_one(world, 1);
    world.pass(QUIET);
    tell(world, "one more message comes, and nothing else happens");
    let epochs = |world: &World| world.profiles.iter().map(|place| place.store.epoch).collect::<Vec<_>>();
    let led = epochs(world);
    post_one(world, 2);
    world.pass(AT_ONCE);
    world.check_arrived(TEAM);
    world.pass(QUIET);
    assert_eq!(epochs(world), led, "leaders change though all is well");
    let anyone = world.alive()[0];
    let last = world.newest(anyone, TEAM).pop().expect("one more message");
    tell(world, "it is edited");
    let text = world.text();
    let content = world.edit(anyone, last, &text);
    world.pass(AT_ONCE);
    world.check_last(TEAM, &content);
    tell(world, "something is said to those who are there");
    world.check_status(anyone, TEAM, AT_ONCE);
    world.model.check(&world.server);
}

/// A message to all, which has this number.
fn post_one(world: &mut World, number: u8) {
    let (sender, text) = (world.profiles[0].account.clone(), world.text());
    let id = OperationId::mint(world.clock(), [number; 10]);
    world.post(&sender, TEAM, id, &text);
}

impl fmt::Display for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "seed {}", self.seed)?;
        self.steps.iter().try_for_each(|step| writeln!(formatter, "{:016x} {}", step.dice, step.word.name))
    }
}

impl FromStr for History {
    type Err = anyhow::Error;

    /// Reads what [`History`] prints. What follows a `#` is for people.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let mut lines = lines.filter(|line| !line.is_empty());
        let Some(("seed", seed)) = lines.next().and_then(|line| line.split_once(' ')) else {
            bail!("a history begins with its seed");
        };
        let step = |line: &str| {
            let (dice, name) = line.split_once(' ').context("expected dice and a word")?;
            let word = VOCABULARY.iter().find(|word| word.name == name);
            let word = word.with_context(|| format!("no word is {name:?}"))?;
            Ok(Step { word, dice: u64::from_str_radix(dice, 16)? })
        };
        Ok(Self { seed: seed.parse()?, steps: lines.map(step).collect::<anyhow::Result<_>>()? })
    }
}
