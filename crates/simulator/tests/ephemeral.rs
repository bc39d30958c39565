//! What reaches only those who are there: who types, who is there, and what the application says.

use std::collections::BTreeSet;

use tutti_engine::{Input, Reply, RequestId};
use tutti_protocol::{
    Code,
    wire::{AccountPresence, Availability},
};
use tutti_simulator::world::{At, World};

/// Anna with two tabs in one profile and one in another, and Ben with two tabs. They know each other.
fn scene() -> (World, [At; 3], [At; 2]) {
    let mut world = World::new(1);
    let (here, there, ben) = (world.profile("anna"), world.profile("anna"), world.profile("ben"));
    let anna = [here, here, there].map(|profile| world.open(profile));
    let ben = [ben, ben].map(|profile| world.open(profile));
    world.pass(1_000);
    world.send(anna[0], "direct:ben", "hi");
    world.pass(1_000);
    (world, anna, ben)
}

fn typists(world: &World, at: At) -> Vec<(&str, &str)> {
    world.tab(at).typists.iter().map(|(conversation, account)| (&conversation[..], &account[..])).collect()
}

fn answer(world: &World, at: At, request: RequestId) -> Result<AccountPresence, Code> {
    match &world.tab(at).replies[&request] {
        Ok(Reply::Presence(presence)) => Ok((**presence).clone()),
        Ok(other) => panic!("{other:?}"),
        Err(failure) => Err(failure.code),
    }
}

#[test]
fn typing_in_any_tab_shows_in_all_of_the_others_and_ends_by_itself() {
    let (mut world, anna, ben) = scene();
    for from in [anna[0], anna[1]] {
        world.set_typing(from, "direct:ben", true);
        world.pass(100);
        for to in ben {
            assert_eq!(typists(&world, to), [("direct:anna", "anna")]);
        }
        assert_eq!(typists(&world, anna[2]), [("direct:ben", "anna")], "mirrored");
        assert_eq!(typists(&world, anna[0]), [], "its own tabs know");
        world.pass(5_800);
        assert_eq!(typists(&world, ben[0]).len(), 1);
        world.pass(200);
        for to in [ben[0], ben[1], anna[2]] {
            assert_eq!(typists(&world, to), []);
        }
    }
}

#[test]
fn typing_goes_on_as_long_as_it_is_said_and_ends_with_the_message() {
    let (mut world, anna, ben) = scene();
    let frames = world.frames.len();
    for _ in 0..100 {
        world.set_typing(anna[1], "direct:ben", true);
        world.pass(100);
        assert_eq!(typists(&world, ben[1]), [("direct:anna", "anna")]);
    }
    let said = world.frames.len() - frames;
    assert!(said <= 3 * 6, "every 2 s to the server, and to two devices: {said} frames");
    world.send(anna[1], "direct:ben", "there");
    world.pass(50);
    for to in [ben[0], ben[1], anna[2]] {
        assert_eq!(typists(&world, to), []);
    }
    world.pass(10_000);
    assert_eq!(typists(&world, ben[0]), [], "what was to be said again is not");
}

#[test]
fn nobody_types_where_there_is_no_connection() {
    let (mut world, anna, ben) = scene();
    world.set_typing(anna[0], "direct:ben", true);
    world.pass(100);
    world.reachable = false;
    world.cut();
    world.pass(100);
    for to in [ben[0], ben[1], anna[2]] {
        assert_eq!(typists(&world, to), []);
    }
    // What is said meanwhile is lost, and does not come later.
    world.set_typing(anna[0], "direct:ben", true);
    world.say(anna[1], "direct:ben");
    world.settle();
    assert_eq!(world.tab(ben[0]).custom.len(), 0);
    world.check_status(anna[1], "direct:ben", 100);
}

#[test]
fn a_custom_status_reaches_all_other_devices_and_no_group_that_one_is_not_in() {
    let (mut world, anna, ben) = scene();
    world.set_group("team", &["anna"]);
    world.say(ben[0], "group:team");
    world.say(ben[0], "group:nowhere");
    world.pass(100);
    assert!(anna.iter().all(|at| world.tab(*at).custom.is_empty()));
    let content = world.say(anna[1], "direct:ben");
    world.pass(100);
    let told: BTreeSet<At> =
        world.alive().into_iter().filter(|at| world.tab(*at).custom.contains(&content)).collect();
    assert_eq!(told, BTreeSet::from([anna[2], ben[0], ben[1]]));
    world.settle();
}

#[test]
fn any_tab_may_ask_who_is_there() {
    let (mut world, anna, ben) = scene();
    for at in [ben[0], ben[1]] {
        let (known, own, nobody) = (world.ask(at, "anna"), world.ask(at, "ben"), world.ask(at, "nobody"));
        world.pass(100);
        assert_eq!(answer(&world, at, known).unwrap().availability(), Availability::Online);
        assert_eq!(answer(&world, at, own).unwrap().availability(), Availability::Online);
        let nothing = AccountPresence { account: "nobody".into(), ..AccountPresence::default() };
        assert_eq!(answer(&world, at, nobody), Ok(nothing));
        let invalid = world.ask(at, "");
        assert_eq!(answer(&world, at, invalid), Err(Code::Invalid));
    }
    for at in anna {
        world.half_open(at, true, true);
    }
    let unanswered = [world.ask(anna[0], "ben"), world.ask(anna[1], "ben")];
    world.pass(9_000);
    assert!(!world.tab(anna[0]).replies.contains_key(&unanswered[0]));
    world.pass(2_000);
    assert_eq!(answer(&world, anna[0], unanswered[0]), Err(Code::Timeout));
    assert_eq!(answer(&world, anna[1], unanswered[1]), Err(Code::Timeout));
    world.input(anna[0], Input::SetOffline(true));
    world.pass(100);
    for at in [anna[0], anna[1]] {
        let request = world.ask(at, "ben");
        world.pass(100);
        assert_eq!(answer(&world, at, request), Err(Code::Offline));
    }
    let request = world.ask(anna[1], "ben");
    world.input(anna[1], Input::Close);
    assert_eq!(answer(&world, anna[1], request), Err(Code::Closed));
}

#[test]
fn many_questions_at_once_do_not_cost_the_connection() {
    let (mut world, anna, _) = scene();
    let requests: Vec<_> = (0..700).map(|number| world.ask(anna[1], &format!("account {number}"))).collect();
    let frames = world.frames.len();
    world.pass(11_000);
    assert!(world.frames.len() - frames < 300, "{} frames", world.frames.len() - frames);
    let answered = requests.iter().filter(|request| answer(&world, anna[1], **request).is_ok()).count();
    assert!((100..=112).contains(&answered), "{answered}");
    world.settle();
}

#[test]
fn what_others_are_to_see_is_kept_by_the_tabs_and_said_on_each_connection() {
    let (mut world, anna, ben) = scene();
    world.input(anna[1], Input::SetPresence(Availability::Busy));
    world.pass(100);
    let shown = |world: &World| world.tab(ben[1]).presences["anna"].availability();
    assert_eq!(shown(&world), Availability::Busy);
    assert_eq!(world.tab(anna[2]).presences["anna"].availability(), Availability::Busy);
    // The other device goes, and the connection breaks: the server forgets.
    world.close(anna[2]);
    world.cut_one(anna[0]);
    world.pass(5_000);
    assert_eq!(shown(&world), Availability::Busy);
    // The leader closes. The next one knows from the channel.
    world.close(anna[0]);
    world.pass(5_000);
    assert_eq!(shown(&world), Availability::Busy);
    // A tab that came later has been told, too, and survives both.
    let later = world.open(0);
    world.pass(100);
    world.close(anna[1]);
    world.pass(5_000);
    assert_eq!(shown(&world), Availability::Busy);
    world.input(later, Input::SetPresence(Availability::Invisible));
    world.pass(100);
    assert_eq!(shown(&world), Availability::Offline);
    assert_eq!(world.tab(later).presences["anna"].availability(), Availability::Invisible);
    // With the last tab it is forgotten.
    world.close(later);
    world.deliver();
    world.open(0);
    world.pass(1_000);
    assert_eq!(shown(&world), Availability::Online);
    world.settle();
}
