//! Histories in which everything goes wrong in any order, from a seed.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use common::world::{World, store_errors};
use rand_chacha::rand_core::RngCore as _;
use tutti_engine::Input;
use tutti_protocol::{Millis, OperationId};

const TEAM: &str = "group:team";

/// Messages that are there before, so that journals are folded amid the history.
const PAST: u64 = 2_050;

#[test]
fn histories_end_equal_and_every_confirmed_message_arrives_once() {
    for seed in 0..2_000 {
        let mut world = begin(seed, 0);
        live(&mut world, 80);
        end(&mut world, seed);
    }
}

#[test]
fn histories_with_folds_in_them_end_equal() {
    for seed in 0..30 {
        let mut world = begin(seed, PAST);
        live(&mut world, 60);
        end(&mut world, seed);
    }
}

fn begin(seed: u64, past: u64) -> World {
    // Shown when the test fails.
    println!("seed {seed}");
    let mut world = World::new(seed);
    for account in ["anna", "anna", "ben"] {
        world.profile(account);
    }
    world.server.set_group("team", &["anna", "ben"]);
    for number in 0..past {
        let id = OperationId::mint(Millis(number), [7; 10]);
        world.server.post("ben", TEAM, id, &format!("\"past {number}\""), Millis(number));
    }
    world.server.page = if past == 0 { 7 } else { 300 };
    world.channel_loss = [0, 0, 10, 40][world.chance.next_u32() as usize % 4];
    world.locks = !world.chance.next_u32().is_multiple_of(4);
    world.server.places = 1 + world.chance.next_u32() as usize % 3;
    world.channel_disorder = world.chance.next_u32().is_multiple_of(3);
    world
}

fn live(world: &mut World, actions: usize) {
    for action in 0..actions {
        let alive = world.alive();
        let pick = world.chance.next_u32() as usize;
        let profile = pick % world.profiles.len();
        let any = (!alive.is_empty()).then(|| alive[pick % alive.len()]);
        match (world.chance.next_u32() % 32, any) {
            (0..3, _) if alive.len() < 8 => drop(world.open(profile)),
            (3, Some(at)) => world.crash(at),
            (4, Some(at)) => world.close(at),
            (5, Some(at)) => world.steal(at),
            (6, _) => world.cut(),
            (7, _) => world.reachable = !world.reachable,
            (8, _) => world.kill(profile),
            (9, Some(at)) => world.mark_read(at, TEAM, None),
            (10, Some(at)) => {
                let store = &mut world.profiles[at.0].store;
                store.fail = Some((store.operations + pick as u64 % 6, store_errors()[pick % 3].clone()));
            }
            (11, Some(at)) => drop(world.sync_now(at)),
            (12, _) => world.wall = world.wall.saturating_add(pick as u64 % 100_000),
            (13, _) => world.wall = world.wall.saturating_sub(pick as u64 % 100_000),
            (14, _) => world.server.bye(pick as u32 % 2_000),
            (15, Some(at)) => world.input(at, Input::SetOffline(pick.is_multiple_of(2))),
            (16, Some(at)) => world.input(at, Input::NetworkChanged(pick.is_multiple_of(2))),
            (17, _) => world.server.budget = (!pick.is_multiple_of(3)).then_some(pick % 4),
            (18, Some(at)) => world.freeze(at),
            (19, Some(at)) => world.thaw(at),
            (20, Some(at)) => world.suspend(at),
            (21, Some(at)) => world.resume(at),
            (22, Some(at)) => world.input(at, Input::VisibilityChanged(pick.is_multiple_of(2))),
            (_, Some(at)) => drop(world.send(at, TEAM, &action.to_string())),
            _ => {}
        }
        world.deliver();
        for _ in 0..world.chance.next_u32() % 12 {
            world.step(world.now + 500);
        }
    }
}

fn end(world: &mut World, seed: u64) {
    world.profiles.iter_mut().for_each(|place| place.store.fail = None);
    world.server.budget = None;
    world.channel_loss = 0;
    world.channel_disorder = false;
    world.reachable = true;
    world.server.places = 10;
    for profile in 0..world.profiles.len() {
        world.open(profile);
    }
    world.pass(5_000);
    for at in world.alive() {
        world.thaw(at);
        world.resume(at);
        world.input(at, Input::VisibilityChanged(true));
        world.input(at, Input::SetOffline(false));
        world.input(at, Input::NetworkChanged(true));
        world.pass(1_000);
    }
    world.pass(120_000);
    for at in world.alive() {
        world.sync_now(at);
    }
    world.settle();

    let mut arrived: BTreeMap<&Bytes, usize> = BTreeMap::new();
    for message in &world.server.accounts["anna"].views[TEAM].messages {
        *arrived.entry(&message.content).or_default() += 1;
    }
    assert!(arrived.values().all(|times| *times == 1), "seed {seed}: something arrived twice");
    let lost: BTreeSet<_> = world.confirmed.iter().filter(|content| !arrived.contains_key(content)).collect();
    assert!(lost.is_empty(), "seed {seed}: {lost:?} lost");
}
