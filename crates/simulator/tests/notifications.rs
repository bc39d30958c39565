//! What devices make of being notified, where they want that and where they do not.

use std::collections::BTreeSet;

use tutti_engine::{
    Config, Connection, Input,
    batch::{Key, Table},
};
use tutti_protocol::{
    Code, OperationId, codec, limits, local,
    wire::{Notification, NotificationState},
};
use tutti_simulator::world::{At, World};

fn notify(world: &mut World, account: &str) -> String {
    world.notify(&BTreeSet::from([account.to_owned()]), None, 1)
}

fn shown(world: &World, at: At) -> Vec<Notification> {
    world.tab(at).engine.replica().notifications(true, usize::MAX)
}

fn titles(world: &World, at: At) -> Vec<String> {
    shown(world, at).into_iter().map(|notification| notification.title).collect()
}

fn id(notification: &Notification) -> OperationId {
    OperationId::try_from(&notification.id).unwrap()
}

fn want(world: &mut World, at: At, notifications: bool) {
    let config = Config { notifications, ..world.tab(at).engine.config() };
    world.input(at, Input::Configure(config));
}

#[test]
fn what_was_missed_while_it_was_not_wanted_comes_when_it_is() {
    let mut world = World::new(1);
    let (profile, other) = (world.profile("anna"), world.profile("anna"));
    let tabs = [world.open(profile), world.open(profile)];
    let other = world.open(other);
    world.pass(1_000);
    let first = notify(&mut world, "anna");
    world.pass(1_000);
    let complete_from = world.tab(tabs[0]).engine.replica().complete_from();
    want(&mut world, tabs[1], false);
    world.pass(1_000);
    let second = notify(&mut world, "anna");
    let marked = id(&shown(&world, other)[0]);
    world.mark_notification(other, marked, NotificationState::Read);
    world.pass(1_000);
    for at in tabs {
        assert_eq!(world.tab(at).engine.status().connection, Connection::Online);
        assert_eq!(titles(&world, at), [first.as_str()], "nothing new came");
        assert_eq!(world.tab(at).shown.notifications.len(), 1, "nor is anything told");
    }
    // One that is opened meanwhile, and closed again, changes nothing.
    world.close(tabs[0]);
    world.pass(5_000);
    want(&mut world, tabs[1], true);
    world.pass(1_000);
    assert_eq!(titles(&world, tabs[1]), [second, first]);
    assert_eq!(shown(&world, tabs[1]), shown(&world, other));
    assert_eq!(world.tab(tabs[1]).engine.replica().complete_from(), complete_from);
    world.check();
}

#[test]
fn a_profile_that_polls_has_them_as_soon_as_it_wants_them() {
    let mut world = World::new(2);
    let (first, second) = (world.profile("anna"), world.profile("anna"));
    world.server.set_places(1);
    let _holder = world.open(first);
    world.pass(1_000);
    let polling = world.open(second);
    world.pass(1_000);
    assert_eq!(world.tab(polling).engine.status().connection, Connection::Polling);
    want(&mut world, polling, false);
    let title = notify(&mut world, "anna");
    world.sync_now(polling);
    world.pass(5_000);
    assert_eq!(titles(&world, polling), [""; 0]);
    want(&mut world, polling, true);
    world.pass(5_000);
    assert_eq!(titles(&world, polling), [title]);
    assert_eq!(world.tab(polling).engine.status().connection, Connection::Polling);
}

#[test]
fn one_that_is_kept_no_longer_cannot_be_marked() {
    let mut world = World::new(3);
    let profile = world.profile("anna");
    let tab = world.open(profile);
    notify(&mut world, "anna");
    world.pass(1_000);
    world.input(tab, Input::SetOffline(true));
    let old = id(&shown(&world, tab)[0]);
    world.mark_notification(tab, old, NotificationState::Dismissed);
    world.pass(1_000);
    assert_eq!(shown(&world, tab)[0].state(), NotificationState::Dismissed, "at once");
    for _ in 0..limits::NOTIFICATIONS {
        world.pass(1);
        notify(&mut world, "anna");
    }
    world.input(tab, Input::SetOffline(false));
    world.pass(5_000);
    assert_eq!(shown(&world, tab).len(), limits::NOTIFICATIONS);
    assert_eq!(shown(&world, tab), world.server.notifications("anna"));
    let status = world.tab(tab).engine.status();
    assert_eq!((status.connection, status.pending), (Connection::Online, 0));
    let failures: Vec<Code> = world.tab(tab).failures.iter().map(|failure| failure.code).collect();
    assert_eq!(failures, [Code::NotFound]);
}

#[test]
fn a_copy_of_code_that_knew_nothing_of_them_is_completed() {
    let mut world = World::new(4);
    let profile = world.profile("anna");
    let tab = world.open(profile);
    world.pass(1_000);
    let title = notify(&mut world, "anna");
    world.pass(1_000);
    world.close(tab);
    // As that code leaves its store.
    let meta = (Table::Meta, Key::Number(0));
    let records = &mut world.profiles[profile].store.records;
    let mut known: local::Meta = codec::decode_local(records[&meta].clone()).unwrap();
    assert!(known.notifications);
    known.notifications = false;
    records.insert(meta, codec::encode(&known));
    records.retain(|(table, _), _| *table != Table::Journal);
    let tab = world.open(profile);
    assert_eq!(titles(&world, tab), [""; 0]);
    world.pass(1_000);
    assert_eq!(titles(&world, tab), [title]);
    let known: local::Meta =
        codec::decode_local(world.profiles[profile].store.records[&meta].clone()).unwrap();
    assert!(known.notifications);
}
