//! What is done about an account's devices, what is left of one that was removed, and tokens that expire.

use tutti_engine::{Connection, Input, Reply, RequestId, batch::Table};
use tutti_protocol::{Code, DeviceId, wire};
use tutti_simulator::world::{At, DEVICE_NAME, World};

const TEAM: &str = "group:team";
const TO_BEN: &str = "direct:ben";

/// A profile of anna's, with so many tabs, of which the first leads.
fn device<const N: usize>(world: &mut World) -> [At; N] {
    let profile = world.profile("anna");
    let tabs = std::array::from_fn(|_| {
        let at = world.open(profile);
        world.pass(100);
        at
    });
    world.pass(1_000);
    assert!(leads(world, tabs[0]));
    tabs
}

fn leads(world: &World, at: At) -> bool {
    world.tab(at).engine.status().leader
}

fn id(world: &World, at: At) -> DeviceId {
    world.tab(at).engine.device().expect("a lasting id")
}

fn out_of_reach(world: &mut World) {
    world.reachable = false;
    world.cut();
    world.deliver();
    world.pass(100);
}

/// How a call was answered.
fn answer(world: &World, at: At, request: RequestId) -> Option<Result<(), Code>> {
    let reply = world.tab(at).replies.get(&request)?;
    Some(reply.as_ref().map(drop).map_err(|failure| failure.code))
}

/// The devices that a call was answered with.
fn listed(world: &World, at: At, request: RequestId) -> Vec<wire::Device> {
    match &world.tab(at).replies[&request] {
        Ok(Reply::Devices(list)) => list.devices.clone(),
        reply => panic!("no list of devices: {reply:?}"),
    }
}

fn names(list: &[wire::Device]) -> Vec<&str> {
    list.iter().map(|device| device.name.as_str()).collect()
}

/// How many messages have come to the server.
fn arrived(world: &World, conversation: &str) -> usize {
    world.server.views("anna").get(conversation).map_or(0, |view| view.messages.len())
}

fn is_empty(world: &World, profile: usize) -> bool {
    world.profiles[profile].store.records.is_empty()
}

// ---- asking ----

#[test]
fn devices_are_listed_renamed_and_removed_in_any_tab() {
    for asking in [0, 1] {
        let mut world = World::new(1);
        let tabs = device::<2>(&mut world);
        let [other] = device(&mut world);
        let at = tabs[asking];
        let request = world.list_devices(at);
        world.pass(1_000);
        let list = listed(&world, at, request);
        assert_eq!(names(&list), [DEVICE_NAME, DEVICE_NAME]);
        assert!(list.iter().all(|device| device.online && !device.push && device.last_seen > 0));
        assert_eq!(list[0].id, id(&world, at).to_string(), "first registered first");

        let gone = id(&world, other);
        let renamed = world.rename_device(at, gone, "Kitchen");
        world.pass(1_000);
        assert_eq!(answer(&world, at, renamed), Some(Ok(())));
        for at in [tabs[0], tabs[1], other] {
            let told = world.tab(at).devices.clone().expect("all are told");
            assert_eq!(names(&told.devices), [DEVICE_NAME, "Kitchen"]);
        }

        let removed = world.remove_device(at, gone);
        world.pass(1_000);
        assert_eq!(answer(&world, at, removed), Some(Ok(())));
        for at in tabs {
            let told = world.tab(at).devices.clone().expect("all are told");
            assert_eq!(names(&told.devices), [DEVICE_NAME]);
        }
        let request = world.rename_device(at, gone, "Attic");
        world.pass(1_000);
        assert_eq!(answer(&world, at, request), Some(Err(Code::NotFound)));
    }
}

#[test]
fn each_question_gets_its_own_answer() {
    for asking in [0, 1] {
        let mut world = World::new(2);
        let at = device::<2>(&mut world)[asking];
        let own = id(&world, at);
        let nobody = DeviceId::from([9; 16]);
        world.weather.latency = 2_000;
        let requests: Vec<(RequestId, RequestId, RequestId)> = (0..5)
            .map(|number| {
                let list = world.list_devices(at);
                let failing = world.rename_device(at, nobody, "nobody's");
                (list, failing, world.rename_device(at, own, &number.to_string()))
            })
            .collect();
        world.pass(9_000);
        for (number, (list, failing, renamed)) in requests.into_iter().enumerate() {
            let before = number.checked_sub(1).map_or(DEVICE_NAME.to_owned(), |before| before.to_string());
            assert_eq!(names(&listed(&world, at, list)), [before]);
            assert_eq!(answer(&world, at, failing), Some(Err(Code::NotFound)));
            assert_eq!(answer(&world, at, renamed), Some(Ok(())));
        }
    }
}

#[test]
fn what_is_no_name_is_refused_at_once() {
    let mut world = World::new(3);
    let tabs = device::<2>(&mut world);
    let own = id(&world, tabs[0]);
    for (at, name) in [(tabs[0], ""), (tabs[1], "a\nb")] {
        let request = world.rename_device(at, own, name);
        assert_eq!(answer(&world, at, request), Some(Err(Code::Invalid)));
    }
}

#[test]
fn out_of_reach_nothing_is_done_about_devices() {
    let mut world = World::new(4);
    let tabs = device::<2>(&mut world);
    out_of_reach(&mut world);
    let own = id(&world, tabs[0]);
    for at in tabs {
        let requests =
            [world.list_devices(at), world.rename_device(at, own, "later"), world.remove_device(at, own)];
        world.pass(1_000);
        for request in requests {
            assert_eq!(answer(&world, at, request), Some(Err(Code::Offline)));
        }
    }
    world.settle();
    assert_eq!(world.server.devices("anna").devices[0].name, DEVICE_NAME);
}

#[test]
fn a_server_that_says_nothing_is_waited_for_ten_seconds() {
    let mut world = World::new(5);
    let tabs = device::<2>(&mut world);
    world.swallows = true;
    let requests = tabs.map(|at| (at, world.list_devices(at)));
    world.pass(9_900);
    assert!(requests.iter().all(|(at, request)| answer(&world, *at, *request).is_none()));
    world.pass(200);
    for (at, request) in requests {
        assert_eq!(answer(&world, at, request), Some(Err(Code::Timeout)));
    }
    world.swallows = false;
    world.settle();
}

/// Wherever the question or its answer is by then.
#[test]
fn a_question_that_is_on_its_way_when_the_leader_goes_is_put_to_the_next() {
    for steps in 0..25 {
        for others in [false, true] {
            let mut world = World::new(6);
            let [leader, at] = device(&mut world);
            if others {
                world.open(leader.0);
                world.pass(1_000);
            }
            let renamed = world.rename_device(at, id(&world, at), "Kitchen");
            let list = world.list_devices(at);
            for _ in 0..steps {
                world.step(world.now);
            }
            world.crash(leader);
            world.pass(9_000);
            assert_eq!(answer(&world, at, renamed), Some(Ok(())), "after {steps} steps");
            assert_eq!(names(&listed(&world, at, list)), ["Kitchen"], "after {steps} steps");
        }
    }
}

// ---- removed ----

#[test]
fn a_device_that_is_removed_while_it_is_there_ends_and_leaves_nothing() {
    for by_the_back_end in [false, true] {
        let mut world = World::new(10);
        world.set_group("team", &["anna", "ben"]);
        let [other] = device(&mut world);
        let [leader, follower, frozen, suspended] = device(&mut world);
        world.send(follower, TEAM, "came");
        world.pass(1_000);
        world.freeze(frozen);
        world.suspend(suspended);
        let removed = id(&world, leader);
        let asked = by_the_back_end.then(|| world.remove_from_without(leader.0));
        let request = (!by_the_back_end).then(|| world.remove_device(other, removed));
        assert_ne!(asked, Some(false));
        world.pass(1_000);
        request.into_iter().for_each(|it| assert_eq!(answer(&world, other, it), Some(Ok(()))));
        assert!(is_empty(&world, leader.0));
        let by = (!by_the_back_end).then(|| id(&world, other).to_string());
        world.thaw(frozen);
        world.resume(suspended);
        world.pass(10_000);
        for at in [leader, follower, frozen] {
            let tab = world.tab(at);
            assert!(tab.ended, "{at:?}");
            assert_eq!(tab.removed, Some(by.clone()), "{at:?}");
            assert_eq!(tab.engine.status().reason, Some(Code::Revoked));
        }
        assert!(world.tab(suspended).ended, "it has heard nothing, but finds nothing");
        let late = world.send(follower, TEAM, "late");
        assert_eq!(answer(&world, follower, late), Some(Err(Code::Revoked)));
        let late = world.list_devices(follower);
        assert_eq!(answer(&world, follower, late), Some(Err(Code::Revoked)));
        assert!(is_empty(&world, leader.0), "and nothing comes back");
        assert_eq!(world.server.sessions_of(removed.as_bytes()), 0);
        assert_eq!(world.tab(other).engine.status().connection, Connection::Online);
    }
}

#[test]
fn a_device_that_was_removed_while_it_was_away_ends_at_its_next_hello_and_sends_nothing() {
    let mut world = World::new(11);
    world.set_group("team", &["anna", "ben"]);
    let [other] = device(&mut world);
    let [leader, follower] = device(&mut world);
    for at in [leader, follower] {
        world.input(at, Input::SetOffline(true));
    }
    let sent = [leader, follower].map(|at| (at, world.send(at, TEAM, "never")));
    world.pass(1_000);
    assert!(sent.iter().all(|(at, request)| answer(&world, *at, *request) == Some(Ok(()))));
    let removed = id(&world, leader);
    world.remove_device(other, removed);
    world.pass(1_000);
    assert!(!is_empty(&world, leader.0));
    world.input(follower, Input::SetOffline(false));
    world.pass(1_000);
    assert!([leader, follower].iter().all(|at| world.tab(*at).ended));
    assert!(is_empty(&world, leader.0));
    assert_eq!(arrived(&world, TEAM), 0);

    // The profile may be another device from now on, with another token.
    world.close_ended();
    let new = world.open(leader.0);
    world.pass(5_000);
    assert_ne!(id(&world, new), removed);
    assert_eq!(world.server.barred.len(), 1, "the one before is good no more");
    assert_eq!(world.tab(new).engine.status().connection, Connection::Online);
    world.send(new, TEAM, "by another");
    world.pass(1_000);
    assert_eq!(arrived(&world, TEAM), 1);
    world.settle();
}

/// Whatever has just been done when the device is cut off.
#[test]
fn calls_of_a_device_that_is_removed_are_answered() {
    for steps in 0..40 {
        let mut world = World::new(12);
        world.set_group("team", &["anna", "ben"]);
        let [leader, follower] = device(&mut world);
        let calls = [leader, follower].map(|at| {
            let text = world.text();
            (at, [world.send(at, TEAM, &text), world.list_devices(at), world.sync_now(at)])
        });
        for _ in 0..steps {
            world.step(world.now);
        }
        world.remove_from_without(leader.0);
        world.pass(1_000);
        for (at, requests) in calls {
            assert!(world.tab(at).ended);
            for request in requests {
                let answer = answer(&world, at, request).expect("an answer");
                assert!(matches!(answer, Ok(()) | Err(Code::Revoked)), "after {steps} steps: {answer:?}");
            }
        }
        assert!(is_empty(&world, leader.0));
        world.close_ended();
    }
}

// ---- erased ----

#[test]
fn nothing_is_left_of_what_is_erased_in_any_tab() {
    for (asking, revoke) in [(0, false), (0, true), (1, false), (1, true)] {
        let mut world = World::new(20);
        world.set_group("team", &["anna", "ben"]);
        let tabs = device::<3>(&mut world);
        world.send(tabs[2], TEAM, "came");
        world.pass(1_000);
        let before = id(&world, tabs[0]);
        let at = tabs[asking];
        let request = world.erase_for_good(at, revoke);
        world.pass(5_000);
        assert_eq!(answer(&world, at, request), Some(Ok(())), "{asking} {revoke}");
        assert!(is_empty(&world, at.0));
        let why = if revoke { Code::Revoked } else { Code::Closed };
        for at in tabs {
            assert!(world.tab(at).ended);
            assert_eq!(world.tab(at).engine.status().reason, Some(why));
            assert_eq!(world.tab(at).removed, revoke.then(|| Some(before.to_string())));
        }
        let removal = world.server.removal("anna", before);
        assert_eq!(removal, revoke.then(|| Some(before.to_string())));
        world.close_ended();
        let new = world.open(at.0);
        world.settle();
        assert_ne!(id(&world, new), before);
        assert_eq!(world.page(new, TEAM).messages.len(), 1, "the server has it");
    }
}

#[test]
fn what_waits_goes_with_the_copy() {
    for asking in [0, 1] {
        let mut world = World::new(21);
        world.set_group("team", &["anna", "ben"]);
        let tabs = device::<2>(&mut world);
        out_of_reach(&mut world);
        for at in tabs {
            world.send(at, TEAM, "never");
        }
        world.pass(1_000);
        let request = world.erase_for_good(tabs[asking], false);
        world.pass(1_000);
        assert_eq!(answer(&world, tabs[asking], request), Some(Ok(())));
        assert!(is_empty(&world, tabs[0].0));
        world.close_ended();
        world.reachable = true;
        world.open(tabs[0].0);
        world.settle();
        assert_eq!(arrived(&world, TEAM), 0);
    }
}

#[test]
fn a_device_that_cannot_be_removed_keeps_its_copy() {
    for asking in [0, 1] {
        let mut world = World::new(22);
        world.set_group("team", &["anna", "ben"]);
        let tabs = device::<2>(&mut world);
        let before = id(&world, tabs[0]);
        out_of_reach(&mut world);
        world.send(tabs[1], TEAM, "waits");
        let request = world.erase_for_good(tabs[asking], true);
        world.pass(15_000);
        assert_eq!(answer(&world, tabs[asking], request), Some(Err(Code::Offline)));
        assert!(tabs.iter().all(|at| !world.tab(*at).ended));
        world.settle();
        assert_eq!((arrived(&world, TEAM), id(&world, tabs[0])), (1, before));

        world.set_anonymous(tabs[0], true);
        world.pass(1_000);
        let request = world.erase_for_good(tabs[asking], true);
        assert_eq!(answer(&world, tabs[asking], request), Some(Err(Code::Unsupported)));
    }
}

#[test]
fn a_store_that_cannot_be_erased_is_said_to_be_there() {
    let mut world = World::new(23);
    let tabs = device::<2>(&mut world);
    let operations = world.profiles[tabs[0].0].store.operations;
    let request = world.erase_for_good(tabs[0], false);
    world.profiles[tabs[0].0].store.fail =
        Some((operations + 1, tutti_engine::batch::StoreError::Failed("x".into())));
    world.pass(1_000);
    assert_eq!(answer(&world, tabs[0], request), Some(Err(Code::Storage)));
    assert!(tabs.iter().all(|at| world.tab(*at).ended));
}

/// It does not take the store for one that was lost, and begins none with what it has in memory.
#[test]
fn who_was_away_while_the_copy_was_erased_does_not_bring_it_back() {
    for revoke in [false, true] {
        let mut world = World::new(24);
        world.set_group("team", &["anna", "ben"]);
        let [leader, follower, frozen, suspended] = device(&mut world);
        if revoke {
            // Durable, but not on its way.
            world.server.refill(Some(0));
        } else {
            out_of_reach(&mut world);
        }
        for at in [leader, follower, frozen, suspended] {
            world.send(at, TEAM, "never");
        }
        world.pass(500);
        world.freeze(frozen);
        world.suspend(suspended);
        world.pass(1_000);
        world.erase_for_good(follower, revoke);
        world.pass(5_000);
        (world.reachable, world.server.budget) = (true, None);
        world.thaw(frozen);
        world.resume(suspended);
        world.pass(60_000);
        assert!([leader, follower, frozen, suspended].iter().all(|at| world.tab(*at).ended));
        assert!(is_empty(&world, leader.0));
        assert_eq!(arrived(&world, TEAM), 0);
    }
}

/// Whoever opens a tab just then has read what is no more a moment later.
#[test]
fn a_tab_that_is_opened_while_the_copy_is_erased_ends_or_begins_anew() {
    for steps in 0..12 {
        for pending in [false, true] {
            let mut world = World::new(25);
            world.set_group("team", &["anna", "ben"]);
            let [leader, follower] = device(&mut world);
            if pending {
                out_of_reach(&mut world);
                world.send(leader, TEAM, "never");
                world.pass(1_000);
            }
            world.weather.store_latency = 64;
            world.erase_for_good(follower, false);
            for _ in 0..steps {
                world.step(world.now + 10);
            }
            let late = world.open(leader.0);
            world.reachable = true;
            world.pass(10_000);
            let store = &world.profiles[late.0].store;
            assert_eq!(store.table(Table::Outbox).count(), 0, "after {steps} steps");
            assert_eq!(arrived(&world, TEAM), 0, "after {steps} steps");
            assert!(store.records.is_empty() == world.tab(late).ended, "after {steps} steps");
        }
    }
}

#[test]
fn site_data_that_is_cleared_is_no_erasure() {
    let mut world = World::new(26);
    world.set_group("team", &["anna", "ben"]);
    let [leader, follower] = device(&mut world);
    let before = id(&world, leader);
    out_of_reach(&mut world);
    world.send(leader, TEAM, "one");
    world.send(follower, TEAM, "two");
    world.pass(1_000);
    world.erase(leader.0);
    world.pass(5_000);
    world.settle();
    assert_ne!(id(&world, leader), before);
    assert_eq!(arrived(&world, TEAM), 2);
    assert_eq!(world.server.removal("anna", before), None);
}

// ---- tokens ----

const TOKEN: u64 = 60_000;

#[test]
fn a_token_is_replaced_before_it_expires() {
    let mut world = World::new(30);
    world.tokens_last = Some(TOKEN);
    let [leader, _] = device(&mut world);
    world.pass(20 * TOKEN);
    assert_eq!(world.tab(leader).attempts.len(), 1, "on one connection");
    assert!((20..30).contains(&world.server.refreshed), "{}", world.server.refreshed);
    world.settle();
}

#[test]
fn a_token_that_cannot_be_fetched_is_fetched_a_little_later() {
    let mut world = World::new(31);
    world.tokens_last = Some(TOKEN);
    let [leader] = device(&mut world);
    world.profiles[leader.0].missing_tokens = 2;
    world.pass(TOKEN - 2_000);
    assert_eq!((world.server.refreshed, world.profiles[leader.0].missing_tokens), (1, 0));
    assert_eq!(world.tab(leader).attempts.len(), 1);
    world.profiles[leader.0].missing_tokens = 100;
    world.pass(2 * TOKEN);
    assert_ne!(world.tab(leader).engine.status().connection, Connection::Online, "that one has expired");
    world.profiles[leader.0].missing_tokens = 0;
    world.settle();
}

#[test]
fn a_token_that_is_no_good_ends_the_connection_and_another_one_begins() {
    let mut world = World::new(32);
    world.set_group("team", &["anna", "ben"]);
    world.tokens_last = Some(TOKEN);
    let [leader, follower] = device(&mut world);
    world.profiles[leader.0].expired_tokens = 1;
    world.server.refill(Some(0));
    world.send(follower, TEAM, "kept");
    world.pass(TOKEN);
    assert_eq!(world.tab(leader).attempts.len(), 2);
    assert_eq!(world.profiles[leader.0].expired_tokens, 0);
    assert_eq!(world.tab(follower).engine.status().connection, Connection::Online);
    world.server.refill(None);
    world.settle();
    assert_eq!(arrived(&world, TEAM), 1);
}

#[test]
fn an_expired_token_does_not_keep_a_removed_device_from_learning_that() {
    let mut world = World::new(33);
    let [other] = device(&mut world);
    let [leader] = device(&mut world);
    out_of_reach(&mut world);
    let removed = id(&world, leader);
    world.reachable = true;
    world.profiles[leader.0].expired_tokens = 10;
    world.remove_from_without(leader.0);
    world.pass(10_000);
    assert!(world.tab(leader).ended && is_empty(&world, leader.0));
    assert_eq!(world.tab(leader).removed, Some(None));
    assert_eq!(world.server.removal("anna", removed), Some(None));
    assert_eq!(world.tab(other).engine.status().connection, Connection::Online);
}

#[test]
fn a_message_to_ben_goes_on_while_tokens_are_replaced() {
    let mut world = World::new(34);
    world.tokens_last = Some(2_000);
    let [leader, follower] = device(&mut world);
    for _ in 0..60 {
        for at in [leader, follower] {
            let text = world.text();
            world.send(at, TO_BEN, &text);
        }
        world.pass(1_000);
    }
    assert_eq!(world.tab(leader).attempts.len(), 1);
    assert_eq!(arrived(&world, TO_BEN), 120);
    world.settle();
}
