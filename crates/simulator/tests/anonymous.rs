//! Devices without a lasting id: they do all that others do, and leave none behind.

use bytes::Bytes;
use tutti_engine::{Connection, Input, Origin, State};
use tutti_protocol::{DeviceId, wire::Platform};
use tutti_simulator::world::{At, World};

const TEAM: &str = "group:team";
const TO_BEN: &str = "direct:ben";

fn team(world: &mut World) {
    world.set_group("team", &["anna", "ben"]);
}

/// Profiles of an account, each with a tab, that have no lasting id from the beginning.
fn anonymous<const N: usize>(world: &mut World, account: &str) -> [At; N] {
    let tabs = std::array::from_fn(|_| {
        let profile = world.profile(account);
        world.profiles[profile].anonymous = true;
        world.open(profile)
    });
    world.pass(1_000);
    tabs
}

fn leads(world: &World, at: At) -> bool {
    world.tab(at).engine.status().leader
}

/// What was sent to a conversation, and from which device.
fn told(world: &World, at: At, conversation: &str) -> Vec<(Bytes, Option<DeviceId>)> {
    let messages = world.page(at, conversation).messages.into_iter();
    messages.map(|message| (message.content, message.device)).collect()
}

#[test]
fn tabs_share_an_id_that_passes_and_nobody_keeps_it() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        team(&mut world);
        let [first] = anonymous(&mut world, "anna");
        let second = world.open(first.0);
        let id = world.known_as(first);
        world.send(first, TEAM, "one");
        world.send(second, TEAM, "two");
        world.pass(1_000);
        world.crash(first);
        world.pass(5_000);
        assert!(leads(&world, second));
        assert_eq!(world.known_as(second), id, "the server takes the next leader for the same device");
        assert_eq!(world.server.passing.len(), 1);
        world.close(second);
        let later = world.open(first.0);
        world.pass(1_000);
        assert_ne!(world.known_as(later), id, "it is gone with the last of them");
        world.send(later, TEAM, "three");
        world.settle();
        assert_eq!(world.tab(later).engine.device(), None);
        assert!(told(&world, later, TEAM).iter().all(|(_, device)| device.is_none()));
        assert_eq!(told(&world, later, TEAM).len(), 3);
    }
}

#[test]
fn what_a_tab_sends_is_a_tabs_in_the_others_and_a_strangers_elsewhere() {
    let mut world = World::new(1);
    team(&mut world);
    let [first, elsewhere] = anonymous(&mut world, "anna");
    let second = world.open(first.0);
    world.pass(1_000);
    world.send(first, TEAM, "hi");
    world.set(first, "session:track", "time", Bytes::from_static(b"1"));
    world.pass(1_000);
    for (at, expected) in [(first, Origin::Local), (second, Origin::Tab), (elsewhere, Origin::Remote)] {
        let events = &world.tab(at).told;
        assert!(events.iter().any(|event| event.message.state == State::Sent));
        assert!(events.iter().all(|event| event.origin == expected), "{at:?}: {events:?}");
    }
    world.settle();
}

#[test]
fn an_id_is_erased_when_none_is_wanted_and_another_one_minted_when_one_is() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        team(&mut world);
        let profile = world.profile("anna");
        let [first, second] = std::array::from_fn(|_| world.open(profile));
        world.pass(1_000);
        let before = world.tab(first).engine.device().expect("a lasting id");
        world.send(first, TEAM, "by the one");
        world.pass(1_000);
        // In any tab, out of reach of the server or not.
        world.input(second, Input::SetOffline(seed % 2 == 0));
        world.set_anonymous(second, true);
        assert_eq!(world.tab(second).engine.device(), None, "at once");
        world.send(second, TEAM, "by nobody");
        world.pass(1_000);
        world.input(second, Input::SetOffline(false));
        world.settle();
        for tab in [first, second] {
            assert_eq!(world.tab(tab).engine.device(), None);
            assert_eq!(told(&world, tab, TEAM)[1].1, None);
            assert_eq!(world.tab(tab).engine.status().connection, Connection::Online);
        }
        world.set_anonymous(first, false);
        world.pass(1_000);
        world.send(first, TEAM, "by the other");
        world.settle();
        let after = world.tab(second).engine.device().expect("a lasting id");
        assert_ne!(after, before);
        assert_eq!(told(&world, second, TEAM)[2].1, Some(after));
    }
}

#[test]
fn where_there_is_one_place_it_is_kept_under_another_id() {
    for (platform, places) in [(Platform::Mobile, 10), (Platform::Web, 1)] {
        let mut world = World::new(3);
        team(&mut world);
        let profile = world.profile("anna");
        world.profiles[profile].platform = platform;
        world.server.set_places(places);
        let at = world.open(profile);
        world.pass(1_000);
        for anonymous in [true, false, true] {
            // The server has not heard that the connection before is none.
            world.half_open(at, true, true);
            world.set_anonymous(at, anonymous);
            world.pass(2_000);
            assert_eq!(world.tab(at).engine.status().connection, Connection::Online, "{platform:?}");
        }
        assert!(world.tab(at).limits.is_empty());
        world.settle();
    }
}

#[test]
fn clocks_decide_between_devices_without_ids_and_of_one_the_last_holds() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        team(&mut world);
        let [early, late] = anonymous(&mut world, "anna");
        let set = |world: &mut World, at: At, value: &'static [u8]| {
            world.set(at, TEAM, "draft", Bytes::from_static(value));
        };
        world.input(late, Input::SetOffline(true));
        set(&mut world, early, b"\"first\"");
        world.pass(1_000);
        set(&mut world, late, b"\"latest\"");
        world.pass(1_000);
        world.input(early, Input::SetOffline(true));
        world.input(late, Input::SetOffline(false));
        world.pass(1_000);
        assert_eq!(draft(&world, late), "\"latest\"", "whoever comes first");
        // Its clock is set back, but it is the same device.
        world.profiles[late.0].skew = -3_600_000;
        set(&mut world, late, b"\"last\"");
        world.input(early, Input::SetOffline(false));
        world.settle();
        for at in [early, late] {
            assert_eq!(draft(&world, at), "\"last\"");
        }
    }
}

fn draft(world: &World, at: At) -> Bytes {
    let conversation = world.tab(at).engine.replica().conversation(TEAM).expect("a conversation");
    conversation.draft.expect("a draft")
}

#[test]
fn with_the_switch_off_nothing_is_lost_for_a_device_that_comes_back_under_another_id() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let [at] = anonymous(&mut world, "anna");
        let ben = world.profile("ben");
        let ben = world.open(ben);
        world.server.set_sync_disabled(true);
        world.deliver();
        world.pass(1_000);
        world.send(ben, "direct:anna", "got");
        world.pass(1_000);
        // The server believes that it is there, and it is not.
        world.half_open(at, true, true);
        world.send(ben, "direct:anna", "missed");
        world.pass(1_000);
        world.crash(at);
        let recalled = world.newest(ben, "direct:anna").remove(0);
        world.recall(ben, recalled);
        world.pass(1_000);
        let back = world.open(at.0);
        world.pass(1_000);
        let messages = world.page(back, TO_BEN).messages;
        let told: Vec<_> = messages.iter().map(|it| (it.content.clone(), it.state.clone())).collect();
        let expected = [(Bytes::new(), State::Recalled), (Bytes::from_static(b"\"missed\""), State::Sent)];
        assert_eq!(told, expected, "seed {seed}");
        world.server.set_sync_disabled(false);
        world.deliver();
        world.settle();
    }
}
