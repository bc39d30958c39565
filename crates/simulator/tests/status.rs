//! What the status says and when, and how a client waits.

use tutti_engine::{Connection, Input};
use tutti_protocol::{Code, OperationId};
use tutti_simulator::world::World;

const MINUTE: u64 = 60_000;

#[test]
fn the_status_tells_the_way_to_the_server_and_back() {
    let mut world = World::new(1);
    let anna = world.profile("anna");
    for number in 0..20 {
        let id = OperationId::from([number; 16]);
        world.server.post("anna", "direct:ben", id, "\"hi\"", world.clock());
    }
    let (leader, follower) = (world.open(anna), world.open(anna));
    world.pass(1_000);
    world.reachable = false;
    world.cut();
    world.pass(100);
    let seen = |world: &World, at| {
        let mut seen: Vec<_> = world
            .tab(at)
            .statuses
            .iter()
            .map(|status| (status.leader, status.connection, status.reason, status.catching_up.is_some()))
            .collect();
        seen.dedup();
        seen
    };
    assert_eq!(
        seen(&world, leader),
        [
            (false, Connection::Connecting, None, false),
            (true, Connection::Connecting, None, false),
            (true, Connection::Online, None, true),
            (true, Connection::Online, None, false),
            (true, Connection::Offline, Some(Code::Offline), false),
        ]
    );
    assert_eq!(
        seen(&world, follower),
        [
            (false, Connection::Connecting, None, false),
            (false, Connection::Online, None, true),
            (false, Connection::Online, None, false),
            (false, Connection::Offline, Some(Code::Offline), false),
        ]
    );
    world.settle();
    world.input(leader, Input::Close);
    let closed = world.tab(leader).engine.status();
    assert_eq!((closed.connection, closed.reason), (Connection::Closed, Some(Code::Closed)));
}

#[test]
fn pending_counts_from_the_call_to_the_confirmation() {
    let mut world = World::new(2);
    let anna = world.profile("anna");
    let (leader, follower) = (world.open(anna), world.open(anna));
    world.input(follower, Input::SetOffline(true));
    world.pass(1_000);
    for (sent, tab) in (1..).zip([leader, follower, leader]) {
        world.send(tab, "direct:ben", "hi");
        assert_eq!(world.tab(tab).engine.status().pending, sent);
        world.pass(100);
        for tab in [leader, follower] {
            assert_eq!(world.tab(tab).engine.status().pending, sent);
        }
    }
    world.input(leader, Input::SetOffline(false));
    world.settle();
}

#[test]
fn working_offline_holds_in_all_tabs_and_in_those_opened_later() {
    let mut world = World::new(3);
    let anna = world.profile("anna");
    let (leader, follower) = (world.open(anna), world.open(anna));
    world.pass(1_000);
    world.input(follower, Input::SetOffline(true));
    world.pass(1_000);
    let late = world.open(anna);
    world.pass(1_000);
    for tab in [leader, follower, late] {
        let status = world.tab(tab).engine.status();
        assert!(status.working_offline);
        assert_eq!((status.connection, status.reason), (Connection::Offline, Some(Code::Offline)));
    }
    // The next leader keeps to it.
    world.close(leader);
    world.pass(10 * MINUTE);
    assert!(world.alive().into_iter().all(|tab| world.tab(tab).attempts.is_empty()));
    world.input(late, Input::SetOffline(false));
    world.settle();
}

#[test]
fn a_catch_up_is_told_once_a_welcome_in_every_tab() {
    let mut world = World::new(4);
    let anna = world.profile("anna");
    let tabs = [world.open(anna), world.open(anna)];
    world.pass(1_000);
    world.reachable = false;
    world.cut();
    world.server.storage.set_page_events(4);
    for number in 0..10 {
        let id = OperationId::from([number; 16]);
        world.server.post("ben", "direct:anna", id, "\"hi\"", world.clock());
    }
    world.settle();
    for tab in tabs {
        assert_eq!(world.tab(tab).caught_up, [0, 10]);
        let told = world.tab(tab).statuses.iter().filter_map(|status| status.catching_up);
        let mut progress: Vec<_> = told.map(|it| (it.done, it.total)).collect();
        progress.dedup();
        // How much a new device gets, only the server knows at first.
        let new = [(0, None), (0, Some(0))];
        let missed = [0, 4, 8].map(|done| (done, Some(10)));
        assert_eq!(progress, [&new[..], &missed[..]].concat());
    }
}

#[test]
fn a_server_that_never_answers_is_given_up_and_tried_ever_less_often() {
    let mut world = World::new(5);
    let anna = world.profile("anna");
    world.swallows = true;
    let tab = world.open(anna);
    world.pass(30 * MINUTE);
    let status = world.tab(tab).engine.status();
    assert_eq!(status.reason, Some(Code::Timeout));
    let attempts = world.tab(tab).attempts.clone();
    let waits: Vec<u64> = attempts.windows(2).map(|pair| pair[1] - pair[0] - 15_000).collect();
    assert!((500..=1_500).contains(&waits[0]), "{waits:?}");
    assert!(waits[12..].iter().all(|wait| (30_000..=90_000).contains(wait)), "{waits:?}");
    assert!(waits[12..].windows(2).any(|pair| pair[0].abs_diff(pair[1]) > 1_000), "no jitter: {waits:?}");
    assert_eq!(world.tab(tab).failures, [], "the status tells");
    // Good reason to hope, between two attempts.
    while world.tab(tab).engine.status().connection != Connection::Offline {
        world.pass(1_000);
    }
    let last = world.tab(tab).attempts.len();
    world.swallows = false;
    world.sync_now(tab);
    world.pass(1_000);
    assert_eq!(world.tab(tab).attempts.len(), last + 1);
    assert_eq!(world.tab(tab).engine.status().connection, Connection::Online);
}

#[test]
fn a_client_waits_as_long_as_it_is_told() {
    let mut world = World::new(6);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.pass(1_000);
    let told = world.now;
    world.server.bye(7_000);
    world.deliver();
    world.pass(MINUTE);
    assert_eq!(world.tab(tab).attempts.last(), Some(&(told + 7_000)));
}

#[test]
fn the_network_coming_back_is_tried_at_once() {
    let mut world = World::new(7);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.pass(1_000);
    world.input(tab, Input::NetworkChanged(false));
    world.pass(60 * MINUTE);
    assert_eq!(world.tab(tab).attempts.len(), 1, "nothing is tried without a network");
    let back = world.now;
    world.input(tab, Input::NetworkChanged(true));
    assert_eq!(world.tab(tab).attempts.last(), Some(&back));
    world.settle();
}

#[test]
fn a_quiet_client_is_hardly_ever_woken() {
    let mut world = World::new(8);
    // Whoever looks at a tab wants to know that the leader lives.
    world.visible = false;
    let anna = world.profile("anna");
    let (leader, follower) = (world.open(anna), world.open(anna));
    world.send(follower, "direct:ben", "hi");
    world.settle();
    let tabs = [leader, follower];
    let before = tabs.map(|tab| world.tab(tab).ticks);
    world.pass(60 * MINUTE);
    let woken: Vec<u64> = tabs.into_iter().zip(before).map(|(tab, was)| world.tab(tab).ticks - was).collect();
    // A ping each 25 s, and the reconciliations.
    assert!(woken[0] <= 150, "{woken:?}");
    assert_eq!(woken[1], 0);
}
