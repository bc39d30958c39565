//! M4: what a new device gets by itself, what it asks for, and what it shows as missing.

use tutti_engine::{Change, Config, Failure, Hole, Input, Missing, Reply, batch::StoreError};
use tutti_protocol::{Code, LogId, Millis, OperationId, Position, limits};
use tutti_simulator::world::{At, World};

const BEN: &str = "direct:ben";
const DAY: u64 = 24 * 60 * 60 * 1_000;

/// A world in which Ben has sent Anna so many messages, one a day.
fn past(seed: u64, days: u64) -> World {
    let mut world = World::new(seed);
    for day in 0..days {
        send(&mut world, day, days - day);
    }
    world
}

/// A message from Ben to Anna, so many days ago.
fn send(world: &mut World, number: u64, days_ago: u64) {
    send_text(world, number, days_ago, &number.to_string());
}

fn send_text(world: &mut World, number: u64, days_ago: u64, text: &str) {
    let id = OperationId::mint(Millis(number), [7; 10]);
    let sent_at = Millis(world.clock().0 - days_ago * DAY + 1_000_000);
    world.server.post_all("ben", &[("direct:anna".into(), id, format!("\"{text}\""))], sent_at);
    world.deliver();
}

fn positions(world: &World, at: At) -> Vec<u64> {
    world.page(at, BEN).messages.iter().filter_map(|message| Some(message.position?.0)).collect()
}

fn hole(from: u64, to: u64) -> Hole {
    Hole { from: Position(from), to: Position(to), reason: Missing::Offline }
}

/// Looks at the last messages, and says what the answer was.
fn look(world: &mut World, at: At, limit: usize) -> Result<u64, Code> {
    let request = world.fetch(at, BEN, limit).expect("something is missing");
    world.pass(60_000);
    match &world.tab(at).replies[&request] {
        Ok(Reply::Fetched(expired)) => Ok(expired.0),
        Ok(other) => panic!("{other:?}"),
        Err(Failure { code, .. }) => Err(*code),
    }
}

#[test]
fn a_new_device_gets_the_lesser_of_the_days_that_are_wanted_and_given() {
    for (wanted, given, first) in [(1, 7, 20), (7, 3, 18), (7, 7, 14)] {
        let mut world = past(1, 20);
        let anna = world.profile("anna");
        world.profiles[anna].days = wanted;
        world.server.compensation_days = given;
        let tab = world.open(anna);
        world.settle();
        assert_eq!(positions(&world, tab), (first..=20).collect::<Vec<_>>(), "{wanted} of {given}");
        assert_eq!(world.page(tab, BEN).holes, [hole(1, first - 1)]);
        let unread = world.tab(tab).engine.replica().conversation(BEN).unwrap().unread;
        assert_eq!(unread, 20, "those that are not here are unread, too");
    }
}

#[test]
fn what_is_looked_at_is_fetched_by_every_tab_and_is_no_news() {
    let mut world = past(2, 20);
    let anna = world.profile("anna");
    let tabs = [world.open(anna), world.open(anna)];
    world.settle();
    let told = |world: &World| tabs.map(|at| world.tab(at).told.len());
    let before = told(&world);
    // The leader, then a follower.
    assert_eq!(look(&mut world, tabs[0], 5), Ok(0));
    assert_eq!(look(&mut world, tabs[1], 10), Ok(0));
    for at in tabs {
        assert_eq!(positions(&world, at), (11..=20).collect::<Vec<_>>());
        assert_eq!(world.page(at, BEN).holes, [hole(1, 10)]);
    }
    assert_eq!(told(&world), before);
    world.settle();
    world.kill(anna);
    let again = world.open(anna);
    assert_eq!(positions(&world, again), (11..=20).collect::<Vec<_>>(), "it is kept");
}

#[test]
fn a_wish_ends_also_when_the_server_cannot_be_reached() {
    let mut world = past(3, 20);
    let anna = world.profile("anna");
    let tabs = [world.open(anna), world.open(anna)];
    world.settle();
    world.input(tabs[0], Input::SetOffline(true));
    world.pass(1_000);
    for at in tabs {
        assert_eq!(look(&mut world, at, 20), Err(Code::Offline));
    }
    world.input(tabs[0], Input::SetOffline(false));
    world.settle();
    world.swallows = true;
    for at in tabs {
        assert!(matches!(look(&mut world, at, 20), Err(Code::Timeout | Code::Offline)));
    }
}

#[test]
fn more_than_a_frame_takes_is_asked_for_in_parts() {
    let mut world = World::new(8);
    for number in 0..20 {
        send_text(&mut world, number, 10, &"x".repeat(limits::PAGE_BYTES / 16));
    }
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.settle();
    assert_eq!(look(&mut world, tab, 20), Ok(0));
    assert_eq!(positions(&world, tab), (1..=20).collect::<Vec<_>>());
}

#[test]
fn what_was_answered_and_could_not_be_stored_is_asked_for_again() {
    for operations in 1..6 {
        let mut world = past(7, 20);
        let anna = world.profile("anna");
        let tab = world.open(anna);
        world.settle();
        let store = &mut world.profiles[anna].store;
        store.fail = Some((store.operations + operations, StoreError::Quota));
        // The connection is given up with what could not be stored.
        let first = look(&mut world, tab, 20);
        assert!(matches!(first, Ok(0) | Err(Code::Offline)), "{first:?}: nothing is gone");
        if first.is_err() {
            assert_eq!(look(&mut world, tab, 20), Ok(0), "after a failure of the {operations}th operation");
        }
        assert_eq!(positions(&world, tab), (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn past_messages_that_are_not_wanted_are_not_fetched() {
    let mut world = past(4, 20);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.settle();
    let config = Config { history: false, ..world.tab(tab).engine.config() };
    world.input(tab, Input::Configure(config));
    assert_eq!(look(&mut world, tab, 20), Err(Code::Unsupported));
}

#[test]
fn what_is_no_longer_kept_is_told_to_be_gone() {
    let mut world = past(5, 20);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.settle();
    let before = Millis(world.clock().0 - 10 * DAY);
    assert!(world.trim(before));
    let expired = look(&mut world, tab, 20).expect("an answer");
    assert!((9..=11).contains(&expired), "{expired}");
    assert_eq!(world.page(tab, BEN).holes, [hole(1, expired)]);
    assert_eq!(positions(&world, tab), (expired + 1..=20).collect::<Vec<_>>());
}

#[test]
fn an_old_message_that_changes_before_it_is_looked_at_comes_as_it_is_then() {
    let mut world = past(6, 20);
    let (anna, ben) = (world.profile("anna"), world.profile("ben"));
    let (anna, ben) = (world.open(anna), world.open(ben));
    world.settle();
    assert_eq!(look_at(&mut world, ben, "direct:anna"), Ok(()));
    let messages = world.page(ben, "direct:anna").messages;
    world.edit(ben, messages[3].clone(), "edited");
    world.recall(ben, messages[4].clone());
    world.pass(1_000);
    let changes = world.tab(anna).told.iter().filter(|event| event.change != Change::Added).count();
    assert_eq!(changes, 0, "what was never here is no news");
    assert_eq!(look(&mut world, anna, 20), Ok(0));
    let messages = world.page(anna, BEN).messages;
    assert_eq!(&messages[3].content[..], b"\"edited\"");
    assert_eq!(messages[4].state, tutti_engine::State::Recalled);
    world.settle();
}

fn look_at(world: &mut World, at: At, conversation: &str) -> Result<(), Code> {
    let request = world.fetch(at, conversation, 1_000).expect("something is missing");
    world.pass(1_000);
    world.tab(at).replies[&request].as_ref().map(drop).map_err(|failure| failure.code)
}

#[test]
fn a_device_that_was_away_for_longer_than_is_kept_begins_anew_and_keeps_what_it_has_not_sent() {
    let mut world = past(7, 20);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.settle();
    world.reachable = false;
    world.cut();
    world.send(tab, BEN, "kept");
    for number in 20..30 {
        send(&mut world, number, 5);
    }
    send(&mut world, 30, 0);
    let now = world.clock();
    assert!(world.trim(now));
    world.settle();
    assert_eq!(positions(&world, tab), [31, 32]);
    assert_eq!(&world.page(tab, BEN).messages[1].content[..], b"\"kept\"");
    assert_eq!(look(&mut world, tab, 32), Ok(30));
}

#[test]
fn a_snapshot_that_is_interrupted_goes_on_where_it_was() {
    // Many pages, and the browser dies ever later in the middle of them.
    for effects in (5..80).step_by(5) {
        let mut world = World::new(8);
        let now = world.clock();
        let text = "x".repeat(20_000);
        for number in 0..60 {
            let id = OperationId::mint(Millis(number), [9; 10]);
            let to = format!("direct:friend {}", number % 3);
            world.server.post_all("anna", &[(to, id, format!("\"{text}\""))], now);
        }
        let anna = world.profile("anna");
        world.open(anna);
        world.kill_after(anna, effects);
        world.pass(2_000);
        world.was_killed();
        world.kill(anna);
        let tab = world.open(anna);
        world.settle();
        for friend in 0..3 {
            let page = world.page(tab, &format!("direct:friend {friend}"));
            assert_eq!((page.messages.len(), page.holes), (20, vec![]), "killed after {effects} effects");
        }
        assert_eq!(world.server.storage.log("anna").len(), 60);
    }
}

#[test]
fn the_log_that_is_set_up_anew_leaves_no_list_of_before() {
    let mut world = past(9, 5);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.settle();
    world.server.forget_all(LogId::from([2; 16]), &[]);
    world.deliver();
    world.settle();
    assert_eq!(world.tab(tab).engine.replica().conversations(10).len(), 0);
}
