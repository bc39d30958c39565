//! What devices make of a server that does not keep them in step, and of places that others take.

use bytes::Bytes;
use tutti_engine::Connection;
use tutti_protocol::{Position, wire::Platform};
use tutti_simulator::world::{At, SYNC_INTERVAL, World};

const TO_BEN: &str = "direct:ben";
const TO_ANNA: &str = "direct:anna";

fn phone(world: &mut World, account: &str) -> usize {
    let profile = world.profile(account);
    world.profiles[profile].platform = Platform::Mobile;
    profile
}

fn connection(world: &World, at: At) -> Connection {
    world.tab(at).engine.status().connection
}

/// Turns the switch, off or on.
fn turn_off(world: &mut World, off: bool) {
    world.server.set_sync_disabled(off);
    world.deliver();
}

/// How often a profile has tried to connect.
fn attempts(world: &World, at: At) -> usize {
    world.tab(at).attempts.len()
}

fn texts(world: &World, at: At, conversation: &str) -> Vec<Bytes> {
    world.page(at, conversation).messages.into_iter().map(|message| message.content).collect()
}

#[test]
fn two_phones_do_not_replace_each_other_for_ever() {
    let mut world = World::new(1);
    let profiles = [phone(&mut world, "anna"), phone(&mut world, "anna")];
    let first = world.open(profiles[0]);
    world.pass(1_000);
    let follower = world.open(profiles[0]);
    let second = world.open(profiles[1]);
    world.pass(1_000);
    for tab in [first, follower] {
        assert_eq!(connection(&world, tab), Connection::Polling);
        assert_eq!(world.tab(tab).limits.len(), 1, "it is told");
    }
    let tried = attempts(&world, second);
    world.pass(5 * SYNC_INTERVAL);
    assert_eq!(connection(&world, first), Connection::Polling);
    assert_eq!(connection(&world, second), Connection::Online);
    assert_eq!(attempts(&world, second), tried, "it was left alone");
    assert!(attempts(&world, first) > 4, "and asked for a place now and then");

    // Whoever leads next knows that another device has the place.
    world.close(first);
    world.pass(SYNC_INTERVAL);
    assert!(world.tab(follower).engine.status().leader);
    assert_eq!(connection(&world, follower), Connection::Polling);
    assert_eq!(attempts(&world, second), tried);

    // A network that is lost for a moment gives the place to whoever is there first, and to nobody else after.
    world.cut();
    world.pass(2 * SYNC_INTERVAL);
    let holders: Vec<At> =
        [follower, second].into_iter().filter(|at| connection(&world, *at) == Connection::Online).collect();
    assert_eq!(holders.len(), 1);
    let tried = attempts(&world, holders[0]);
    world.pass(5 * SYNC_INTERVAL);
    assert_eq!(attempts(&world, holders[0]), tried);

    // The place is free again.
    let waits = if holders[0] == second { follower } else { second };
    world.close(holders[0]);
    world.pass(SYNC_INTERVAL);
    assert_eq!(connection(&world, waits), Connection::Online);
}

#[test]
fn what_went_to_another_device_is_a_hole_and_nothing_is_lost_or_doubled_when_the_switch_is_turned() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        let (laptop, phone, ben) = (world.profile("anna"), phone(&mut world, "anna"), world.profile("ben"));
        let mut own = [world.open(laptop), world.open(phone)];
        let ben = world.open(ben);
        world.pass(1_000);
        let mut sent = Vec::new();
        for turn in 0..8_u64 {
            turn_off(&mut world, (turn ^ seed) & 1 == 0);
            for number in 0..3 {
                let text = format!("{turn}-{number}");
                world.send(ben, TO_ANNA, &text);
                sent.push(Bytes::from(format!("\"{text}\"")));
                match (seed + turn + number) % 5 {
                    0 => world.cut(),
                    // One that is killed finds again what was its own.
                    1 => {
                        let profile = (number % 2) as usize;
                        world.kill([laptop, phone][profile]);
                        own[profile] = world.open([laptop, phone][profile]);
                    }
                    2 => world.server.restart(),
                    _ => {}
                }
                world.pass(number * 700);
            }
            world.pass(60_000);
        }
        for at in own {
            assert_eq!(connection(&world, at), Connection::Online, "seed {seed}");
        }
        let pages = own.map(|at| world.page(at, TO_BEN));
        for (text, position) in sent.iter().zip((1..).map(Position)) {
            let has = |page: &tutti_engine::Page| {
                let found = page.messages.iter().filter(|message| message.content == *text).count();
                let hole = page.holes.iter().any(|hole| (hole.from..=hole.to).contains(&position));
                assert!(found == 1 && !hole || found == 0, "seed {seed}: {text:?}");
                found
            };
            let holders: usize = pages.iter().map(has).sum();
            assert!(holders > 0, "lost, seed {seed}: {text:?}");
        }
        assert_eq!(texts(&world, ben, TO_ANNA), sent, "seed {seed}");
        // All that is sent from now on is on both again.
        turn_off(&mut world, false);
        world.send(ben, TO_ANNA, "for both");
        world.pass(60_000);
        for at in own {
            assert!(!world.tab(at).engine.is_sync_disabled(), "seed {seed}: it was told");
            assert_eq!(texts(&world, at, TO_BEN).last().unwrap(), "\"for both\"", "seed {seed}");
            let added = world.tab(at).told.iter().map(|event| event.message.id);
            let mut added: Vec<_> = added.collect();
            added.sort_unstable();
            assert!(added.is_sorted_by(|a, b| a < b), "seed {seed}: told of once");
        }
    }
}

#[test]
fn all_tabs_of_a_profile_know_of_the_switch() {
    let mut world = World::new(1);
    let anna = world.profile("anna");
    let tabs = [world.open(anna), world.open(anna)];
    world.pass(1_000);
    for disabled in [true, false, true] {
        turn_off(&mut world, disabled);
        world.pass(1_000);
        for at in tabs {
            assert_eq!(world.tab(at).engine.is_sync_disabled(), disabled);
        }
    }
    // By post, too, and in a tab that comes later.
    world.server.set_places(0);
    turn_off(&mut world, false);
    world.server.set_places(0);
    world.pass(SYNC_INTERVAL + 1_000);
    let late = world.open(anna);
    world.pass(5_000);
    for at in [tabs[0], tabs[1], late] {
        assert_eq!(connection(&world, at), Connection::Polling);
        assert!(!world.tab(at).engine.is_sync_disabled());
    }
}
