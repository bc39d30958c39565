//! Leading and following: leaders that freeze, hang, are robbed or go away, tabs that come back, browsers
//! without locks, stores that are erased, and accounts without a place for another connection.

use tutti_engine::{
    Connection, Input,
    batch::{StoreError, Table},
};
use tutti_protocol::{Code, DeviceId};
use tutti_simulator::world::{At, SYNC_INTERVAL, World};

const TEAM: &str = "group:team";

/// A profile of Anna's with so many tabs, the first of which leads.
fn tabs<const N: usize>(world: &mut World) -> [At; N] {
    world.set_group("team", &["anna", "ben"]);
    let anna = world.profile("anna");
    let tabs = std::array::from_fn(|_| {
        let tab = world.open(anna);
        world.pass(500);
        tab
    });
    assert!(leads(world, tabs[0]));
    tabs
}

fn leads(world: &World, at: At) -> bool {
    world.tab(at).engine.status().leader
}

fn arrived(world: &World) -> usize {
    world.server.views("anna")[TEAM].messages.len()
}

#[test]
fn a_frozen_leader_is_robbed_by_whoever_acts_and_follows_once_it_thaws() {
    let mut world = World::new(1);
    let [leader, second, third] = tabs(&mut world);
    world.send(leader, TEAM, "before");
    world.pass(200);
    let unwritten = world.send(leader, TEAM, "not even written");
    world.freeze(leader);
    world.send(second, TEAM, "after");
    world.pass(1_300);
    assert!(leads(&world, second) || leads(&world, third), "a frozen leader is noticed in about a second");
    world.pass(1_000);
    assert_eq!(arrived(&world), 2);
    world.thaw(leader);
    world.settle();
    assert!(world.tab(leader).replies[&unwritten].is_ok());
    assert_eq!(arrived(&world), 3);
    assert!(!leads(&world, leader));
}

#[test]
fn tabs_that_crashed_are_counted_until_another_tab_leads() {
    let mut world = World::new(24);
    let [leader, second, third, fourth] = tabs(&mut world);
    assert_eq!(world.tab(fourth).engine.status().tabs, 4);
    world.crash(leader);
    world.crash(second);
    world.pass(5_000);
    assert!(leads(&world, third) || leads(&world, fourth));
    for tab in [third, fourth] {
        assert_eq!(world.tab(tab).engine.status().tabs, 2);
    }
    world.settle();
}

#[test]
fn a_frozen_leader_is_noticed_by_whoever_only_looks() {
    let mut world = World::new(2);
    let [leader, second] = tabs(&mut world);
    world.freeze(leader);
    world.pass(3_500);
    assert!(leads(&world, second));
}

#[test]
fn nobody_is_robbed_for_a_tab_that_nobody_looks_at() {
    let mut world = World::new(3);
    world.visible = false;
    let [leader, second] = tabs(&mut world);
    world.freeze(leader);
    world.pass(60_000);
    assert!(!leads(&world, second));
    world.input(second, Input::VisibilityChanged(true));
    world.pass(1_300);
    assert!(leads(&world, second));
}

#[test]
fn a_leader_that_answers_keeps_its_place() {
    let mut world = World::new(4);
    let [leader, second, third] = tabs(&mut world);
    for number in 0..200 {
        world.send([second, third][number % 2], TEAM, &number.to_string());
        world.pass(317);
    }
    assert!(leads(&world, leader));
    assert_eq!(world.profiles[leader.0].leaderships.len(), 1);
}

#[test]
fn a_frozen_waiter_is_passed_over_when_the_leader_closes() {
    let mut world = World::new(5);
    let [leader, waiter, third] = tabs(&mut world);
    world.freeze(waiter);
    world.close(leader);
    world.send(third, TEAM, "hi");
    world.pass(1_500);
    assert!(leads(&world, third));
    // Its grant lies in its queue, followed by the news that it was robbed.
    world.thaw(waiter);
    world.settle();
    assert!(leads(&world, third));
    assert_eq!(arrived(&world), 1);
}

#[test]
fn a_tab_that_was_held_up_itself_asks_again_before_it_robs() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        let [leader, second] = tabs(&mut world);
        world.send(second, TEAM, "hi");
        world.freeze(second);
        world.pass(5_000);
        world.thaw(second);
        world.pass(5_000);
        assert!(leads(&world, leader), "seed {seed}");
    }
}

#[test]
fn many_that_wait_for_a_frozen_leader_do_not_rob_each_other_for_long() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let [leader, rest @ ..] = tabs::<10>(&mut world);
        world.freeze(leader);
        for tab in rest {
            world.send(tab, TEAM, "hi");
        }
        world.pass(2_000);
        let robberies = world.profiles[leader.0].leaderships.len() - 1;
        assert!((1..=4).contains(&robberies), "seed {seed}: {robberies}");
        let settled = world.profiles[leader.0].leaderships.clone();
        world.pass(20_000);
        assert_eq!(world.profiles[leader.0].leaderships, settled, "seed {seed}");
        assert_eq!(arrived(&world), 9);
    }
}

#[test]
fn a_page_that_goes_into_the_cache_lets_go_and_is_in_step_when_it_returns() {
    let mut world = World::new(6);
    let [leader, second] = tabs(&mut world);
    world.suspend(leader);
    assert!(!leads(&world, leader));
    world.pass(100);
    assert!(leads(&world, second));
    assert_eq!(world.tab(second).engine.status().connection, Connection::Online);
    assert_eq!(world.tab(second).engine.status().tabs, 1);
    world.send(second, TEAM, "meanwhile");
    world.pass(1_000);
    world.resume(leader);
    world.pass(500);
    assert_eq!(world.tab(leader).engine.replica().conversation(TEAM).map(|it| it.last.is_some()), Some(true));
    assert_eq!(world.tab(second).engine.status().tabs, 2);
    world.settle();
}

#[test]
fn a_page_that_may_be_left_waits_for_no_lock_until_it_turns_out_that_it_stays() {
    let mut world = World::new(23);
    let [leader, follower] = tabs(&mut world);
    world.input(leader, Input::Leaving);
    world.input(follower, Input::Leaving);
    assert!(leads(&world, leader), "whoever leads goes on");
    world.crash(leader);
    world.pass(5_000);
    assert!(!leads(&world, follower), "it is not in the queue");
    world.pass(6_000);
    assert!(leads(&world, follower), "it has stayed");
    world.send(follower, TEAM, "here");
    world.settle();
    assert_eq!(arrived(&world), 1);
}

#[test]
fn a_page_that_may_be_left_is_there_when_the_leader_goes() {
    let mut world = World::new(24);
    let [leader, follower] = tabs(&mut world);
    world.input(follower, Input::Leaving);
    world.close(leader);
    world.pass(500);
    assert!(leads(&world, follower));
}

#[test]
fn the_only_tab_returns_from_the_cache() {
    let mut world = World::new(7);
    let [tab] = tabs(&mut world);
    world.suspend(tab);
    world.pass(60 * 60_000);
    assert_eq!(world.server.sessions_of(&device(&world, tab).to_bytes()), 0);
    world.resume(tab);
    world.pass(1_000);
    assert!(leads(&world, tab));
    world.settle();
}

#[test]
fn without_locks_the_store_elects() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        world.locks = false;
        world.set_group("team", &["anna", "ben"]);
        let anna = world.profile("anna");
        let tabs: Vec<At> = (0..4).map(|_| world.open(anna)).collect();
        let leader = |world: &World| world.alive().into_iter().find(|at| leads(world, *at));
        world.pass(2_000);
        let first = leader(&world).expect("one leads");
        world.close(first);
        world.pass(100);
        let second = leader(&world).expect("a goodbye is heard at once");
        world.crash(second);
        world.pass(4_000);
        let third = leader(&world).expect("silence is noticed");
        world.freeze(third);
        world.pass(4_000);
        let fourth = *tabs.iter().find(|at| ![first, second, third].contains(at)).expect("four tabs");
        assert!(leads(&world, fourth));
        world.thaw(third);
        world.send(third, TEAM, "hi");
        world.settle();
        assert_eq!(arrived(&world), 1);
    }
}

#[test]
fn a_store_that_was_erased_makes_a_new_device_and_loses_nothing_that_a_tab_remembers() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        let [leader, second] = tabs(&mut world);
        world.send(leader, TEAM, "sent");
        world.pass(1_000);
        world.reachable = false;
        world.cut();
        world.deliver();
        world.send(second, TEAM, "waits");
        world.pass(1_000);
        let before = device(&world, leader);
        world.erase(leader.0);
        world.send(second, TEAM, "also waits");
        world.pass(5_000);
        assert_ne!(device(&world, leader), before);
        let devices = [leader, second].map(|at| device(&world, at));
        assert_eq!(devices[0], devices[1]);
        assert!(world.tab(leader).failures.iter().any(|failure| failure.code == Code::Storage));
        world.reachable = true;
        world.pass(120_000);
        assert_eq!(arrived(&world), 3, "seed {seed}");
        for at in [leader, second] {
            assert_eq!(world.tab(at).engine.status().pending, 0);
        }
    }
}

#[test]
fn an_edit_of_what_another_tab_has_just_sent_comes_after_it() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let [leader, second, third] = tabs(&mut world);
        // What it has missed it hears in any order.
        world.freeze(leader);
        world.send(second, TEAM, "sent");
        world.pass(100);
        let message = world.newest(third, TEAM).pop().unwrap();
        let edited = world.edit(third, message, "edited");
        world.pass(100);
        world.thaw(leader);
        world.settle();
        world.check_last(TEAM, &edited);
    }
}

#[test]
fn what_a_tab_wrote_and_could_not_announce_is_sent_when_it_has_closed() {
    let mut world = World::new(26);
    let [leader, closing] = tabs(&mut world);
    world.send(closing, TEAM, "on the disk, and the tab does not know it yet");
    let until = world.now + 1_000;
    while world.profiles[closing.0].store.table(Table::Outbox).next().is_none() {
        assert!(world.step(until));
    }
    world.close(closing);
    world.pass(5_000);
    assert!(leads(&world, leader));
    assert_eq!(arrived(&world), 1);
}

#[test]
fn a_tab_whose_store_is_of_a_later_version_says_so_and_leaves_its_outbox_to_the_later_one() {
    let mut world = World::new(9);
    let [leader] = tabs(&mut world);
    world.reachable = false;
    world.cut();
    world.deliver();
    world.send(leader, TEAM, "waits");
    world.pass(1_000);
    let operations = world.profiles[leader.0].store.operations;
    world.profiles[leader.0].store.fail = Some((operations + 1, StoreError::Version));
    let request = world.send(leader, TEAM, "too late");
    world.pass(100);
    let tab = world.tab(leader);
    assert!(tab.ended);
    assert_eq!(tab.replies[&request].as_ref().map_err(|failure| failure.code).err(), Some(Code::Version));
    assert_eq!(tab.failures.last().map(|failure| failure.code), Some(Code::Version));
    let status = tab.engine.status();
    assert_eq!((status.connection, status.reason), (Connection::Closed, Some(Code::Version)));
    let again = world.send(leader, TEAM, "later still");
    let reply = &world.tab(leader).replies[&again];
    assert_eq!(reply.as_ref().map_err(|failure| failure.code).err(), Some(Code::Version));
    assert_eq!(world.profiles[leader.0].store.table(Table::Outbox).count(), 1);
    let later = world.open(leader.0);
    world.crash(leader);
    world.reachable = true;
    world.pass(60_000);
    assert!(leads(&world, later));
    assert_eq!(arrived(&world), 1);
}

/// So many devices of Anna's, with a place for all but the last.
fn crowd(world: &mut World, devices: usize) -> Vec<At> {
    world.set_group("team", &["anna", "ben"]);
    world.server.places = devices - 1;
    (0..devices)
        .map(|_| {
            let profile = world.profile("anna");
            let tab = world.open(profile);
            world.pass(1_000);
            tab
        })
        .collect()
}

fn device(world: &World, at: At) -> DeviceId {
    world.tab(at).engine.device().expect("a lasting id")
}

fn connection(world: &World, at: At) -> (Connection, Option<Code>) {
    let status = world.tab(at).engine.status();
    (status.connection, status.reason)
}

const POLLS: (Connection, Option<Code>) = (Connection::Polling, Some(Code::ConnectionLimit));

#[test]
fn whoever_has_no_place_is_told_by_whom_and_polls() {
    let mut world = World::new(10);
    let all = crowd(&mut world, 11);
    let last = all[10];
    let follower = world.open(last.0);
    world.pass(1_000);
    for at in [last, follower] {
        assert_eq!(connection(&world, at), POLLS);
        assert_eq!(world.tab(at).limits.len(), 1, "told once");
        assert_eq!(world.tab(at).limits[0].connections.len(), 10);
    }
    // What it has to say goes at once, what others say comes with the next poll.
    let sent = world.send(follower, TEAM, "from the eleventh");
    world.pass(3_000);
    assert!(world.tab(follower).replies[&sent].is_ok());
    assert_eq!(arrived(&world), 1);
    world.send(all[0], TEAM, "from the first");
    world.pass(SYNC_INTERVAL + 1_000);
    let head = world.tab(follower).engine.replica().conversation(TEAM).expect("a conversation");
    assert_eq!(head.last.expect("a message").position.map(|position| position.0), Some(2));
    assert_eq!(connection(&world, last), POLLS);
    assert!(world.tab(last).attempts.len() <= 8, "no loop: {:?}", world.tab(last).attempts);
    // A place that has come free is taken.
    world.crash(all[3]);
    world.pass(SYNC_INTERVAL + 1_000);
    assert_eq!(connection(&world, last), (Connection::Online, None));
    assert_eq!(connection(&world, follower), (Connection::Online, None));
}

#[test]
fn a_place_is_taken_over_and_whoever_had_it_polls() {
    for by_follower in [false, true] {
        let mut world = World::new(11);
        let all = crowd(&mut world, 4);
        let last = all[3];
        let asks = if by_follower { world.open(last.0) } else { last };
        world.pass(1_000);
        let robbed = device(&world, all[1]);
        let request = world.take_over(asks, robbed);
        world.pass(1_000);
        assert!(world.tab(asks).replies[&request].is_ok());
        assert_eq!(connection(&world, asks), (Connection::Online, None));
        assert_eq!(connection(&world, all[1]), POLLS);
        assert_eq!(world.tab(all[1]).limits.len(), 1);
        world.pass(SYNC_INTERVAL * 2);
        assert_eq!(connection(&world, all[1]), POLLS, "it does not rob back");
        assert_eq!(connection(&world, asks), (Connection::Online, None));
    }
}

#[test]
fn a_device_without_a_connection_has_no_place_to_take() {
    let mut world = World::new(12);
    let all = crowd(&mut world, 3);
    let nobody = device(&world, all[2]);
    let request = world.take_over(all[2], nobody);
    world.pass(1_000);
    let reply = world.tab(all[2]).replies[&request].as_ref();
    assert_eq!(reply.map_err(|failure| failure.code).err(), Some(Code::ConnectionLimit));
    assert_eq!(connection(&world, all[2]), POLLS);
}

#[test]
fn who_polls_catches_up_over_many_pages_and_sends_much() {
    let mut world = World::new(13);
    world.server.storage.set_page_events(7);
    let all = crowd(&mut world, 3);
    world.reachable = false;
    world.cut();
    world.deliver();
    for number in 0..250 {
        world.send(all[2], TEAM, &format!("own {number}"));
    }
    world.pass(5_000);
    world.reachable = true;
    for number in 0..100 {
        world.send(all[0], TEAM, &format!("other {number}"));
    }
    world.pass(180_000);
    world.sync_now(all[2]);
    world.pass(30_000);
    assert_eq!(arrived(&world), 350);
    assert_eq!(world.tab(all[2]).engine.replica().last_position(TEAM).0, 350);
    assert_eq!(world.tab(all[2]).engine.status().pending, 0);
}
