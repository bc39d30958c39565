//! What the engine promises of a server that is restored from a backup: what came after that is sent again.

use bytes::Bytes;
use tutti_acceptance::storage::Storage as _;
use tutti_engine::{Input, batch::Table};
use tutti_protocol::{LogId, OperationId};
use tutti_simulator::world::{At, World};

const OTHER: [u8; 16] = [8; 16];

/// What the server has of a conversation of Anna's: contents, in order, those that were recalled as nothing.
fn at_server(world: &World, conversation: &str) -> Vec<String> {
    let views = world.server.views("anna");
    let messages = views.get(conversation).map(|view| &view.messages[..]).unwrap_or_default();
    messages.iter().map(|message| text(&message.content)).collect()
}

/// The same, as a tab shows it.
fn at(world: &World, tab: At, conversation: &str) -> Vec<String> {
    world.page(tab, conversation).messages.iter().map(|message| text(&message.content)).collect()
}

fn text(content: &Bytes) -> String {
    String::from_utf8_lossy(content).trim_matches('"').to_owned()
}

fn restore(world: &mut World, backup: &tutti_acceptance::storage::MemoryStorage) {
    world.restore(backup, LogId::from(OTHER));
    world.deliver();
}

fn value(json: &str) -> Bytes {
    Bytes::copy_from_slice(json.as_bytes())
}

#[test]
fn a_server_restored_from_an_older_backup_under_its_name_is_followed() {
    let mut world = World::new(17);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    let mut backups = Vec::new();
    for number in 0..5 {
        backups.push(world.server.storage.backup());
        world.send(tab, "direct:ben", &number.to_string());
        world.settle();
    }
    // Its log says that it is the same.
    let log = backups[3].log_id();
    world.server.restore(&backups[3], log);
    world.deliver();
    // What the server still has is told again: it may stand elsewhere now.
    world.profiles[anna].tabs.get_mut(&tab.1).expect("the tab").told.clear();
    world.settle();
    assert_eq!(at(&world, tab, "direct:ben"), ["0", "1", "2"]);
}

#[test]
fn all_that_came_after_the_backup_is_there_again_once_and_in_order() {
    for folded in [false, true] {
        let mut world = World::new(41);
        let (anna, other, ben) = (world.profile("anna"), world.profile("anna"), world.profile("ben"));
        let (tabs, other, ben) = ([world.open(anna), world.open(anna)], world.open(other), world.open(ben));
        world.send(tabs[0], "direct:ben", "kept");
        world.send(tabs[0], "direct:ben", "to be edited");
        world.send(tabs[0], "direct:ben", "to be recalled");
        world.set(tabs[0], "session:page", "at", value("1"));
        world.settle();
        let backup = world.server.storage.backup();
        world.pass(60_000);

        let before = world.page(tabs[0], "direct:ben").messages;
        world.edit(tabs[0], before[1].clone(), "edited");
        world.recall(tabs[1], before[2].clone());
        world.send(tabs[1], "direct:ben", "new");
        world.settle();
        world.send(ben, "direct:anna", "from ben");
        world.settle();
        world.send(other, "direct:ben", "from the other");
        world.send(tabs[0], "direct:ben", "new, and recalled");
        world.settle();
        let last = world.page(tabs[0], "direct:ben").messages.pop().expect("the last");
        world.recall(tabs[0], last);
        world.set(tabs[0], "session:page", "at", value("2"));
        world.set(tabs[1], "direct:ben", "muted", value("true"));
        world.mark_read(tabs[1], "direct:ben", None);
        world.settle();
        let had = at(&world, other, "direct:ben");
        assert_eq!(had, ["kept", "edited", "", "new", "from ben", "from the other", ""]);
        if folded {
            // Enough for blocks.
            for number in 0..2_100 {
                world.send(ben, "direct:carl", &number.to_string());
                world.send(tabs[0], "direct:carl", &number.to_string());
            }
            world.settle();
            world.pass(60_000);
            world.settle();
            let blocks = |profile: usize| world.profiles[profile].store.table(Table::Blocks).count();
            assert!(blocks(anna) > 0 && blocks(ben.0) > 0);
        }
        let carl = at_server(&world, "direct:carl");

        restore(&mut world, &backup);
        assert_eq!(at_server(&world, "direct:ben"), ["kept", "to be edited", "to be recalled"]);
        world.settle();
        let mut back = at_server(&world, "direct:ben");
        assert_eq!(back[..3], had[..3]);
        back.sort();
        let mut all = had.clone();
        all.sort();
        assert_eq!(back, all, "who comes back first is first");
        assert_eq!(at_server(&world, "direct:carl"), carl, "a device's own in its order");
        for tab in [tabs[0], tabs[1], other] {
            assert_eq!(at(&world, tab, "direct:ben"), at_server(&world, "direct:ben"));
            let replica = world.tab(tab).engine.replica();
            let session = replica.session("page").expect("the session");
            assert_eq!(session.fields.get("at"), Some(&value("2")));
            let conversation = replica.conversation("direct:ben").expect("the conversation");
            assert!(conversation.muted);
            assert!(conversation.read_position.0 >= 3, "as far as was read of what the backup has");
            assert_eq!(world.tab(tab).engine.status().pending, 0);
        }
    }
}

#[test]
fn what_was_recalled_is_not_brought_back_by_a_device_that_was_away() {
    for first in [true, false] {
        let mut world = World::new(43);
        let (anna, away) = (world.profile("anna"), world.profile("anna"));
        let (tab, away) = (world.open(anna), world.open(away));
        world.settle();
        let backup = world.server.storage.backup();
        world.pass(60_000);
        world.send(tab, "direct:ben", "a secret");
        world.settle();
        assert_eq!(at(&world, away, "direct:ben"), ["a secret"]);
        world.input(away, Input::SetOffline(true));
        world.pass(1_000);
        let secret = world.page(tab, "direct:ben").messages.remove(0);
        world.recall(tab, secret);
        world.pass(60_000);
        let order = if first { [tab, away] } else { [away, tab] };
        world.input(tab, Input::SetOffline(true));
        world.pass(1_000);
        restore(&mut world, &backup);
        for tab in order {
            world.input(tab, Input::SetOffline(false));
            world.pass(30_000);
        }
        world.settle();
        assert_eq!(at_server(&world, "direct:ben"), [""], "{first}");
        for tab in [tab, away] {
            assert_eq!(at(&world, tab, "direct:ben"), [""], "{first}");
            assert_eq!(world.tab(tab).engine.status().pending, 0);
        }
    }
}

#[test]
fn what_was_edited_is_not_shown_as_failed_where_a_device_had_it_as_it_was() {
    let mut world = World::new(47);
    let (anna, away) = (world.profile("anna"), world.profile("anna"));
    let (tab, away) = (world.open(anna), world.open(away));
    world.settle();
    let backup = world.server.storage.backup();
    world.pass(60_000);
    world.send(tab, "direct:ben", "first words");
    world.settle();
    world.input(away, Input::SetOffline(true));
    world.pass(1_000);
    let message = world.page(tab, "direct:ben").messages.remove(0);
    world.edit(tab, message, "last words");
    world.pass(60_000);
    restore(&mut world, &backup);
    world.pass(30_000);
    world.input(away, Input::SetOffline(false));
    world.settle();
    for tab in [tab, away] {
        assert_eq!(at(&world, tab, "direct:ben"), ["last words"]);
        assert_eq!(world.page(tab, "direct:ben").messages[0].state, tutti_engine::State::Sent);
        assert_eq!(world.tab(tab).engine.status().pending, 0);
    }
}

#[test]
fn what_was_set_since_the_restore_holds_against_what_was_set_before() {
    let mut world = World::new(53);
    let (anna, away) = (world.profile("anna"), world.profile("anna"));
    let (tab, away) = (world.open(anna), world.open(away));
    world.settle();
    let backup = world.server.storage.backup();
    world.pass(60_000);
    world.set(tab, "session:page", "at", value("\"before\""));
    world.settle();
    world.input(away, Input::SetOffline(true));
    world.pass(1_000);
    restore(&mut world, &backup);
    world.pass(60_000);
    world.set(tab, "session:page", "at", value("\"since\""));
    world.pass(60_000);
    world.input(away, Input::SetOffline(false));
    world.settle();
    for tab in [tab, away] {
        let fields = world.tab(tab).engine.replica().session("page").expect("the session").fields;
        assert_eq!(fields.get("at"), Some(&value("\"since\"")));
    }
}

#[test]
fn what_waits_comes_after_what_is_sent_again() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let anna = world.profile("anna");
        let tab = world.open(anna);
        world.settle();
        let backup = world.server.storage.backup();
        world.pass(60_000);
        world.set(tab, "session:page", "at", value("\"before\""));
        world.send(tab, "direct:ben", "before");
        world.settle();
        world.input(tab, Input::SetOffline(true));
        world.pass(1_000);
        restore(&mut world, &backup);
        world.set(tab, "session:page", "at", value("\"since\""));
        world.send(tab, "direct:ben", "since");
        world.pass(1_000);
        world.input(tab, Input::SetOffline(false));
        world.settle();
        let fields = world.tab(tab).engine.replica().session("page").expect("the session").fields;
        assert_eq!(fields.get("at"), Some(&value("\"since\"")), "seed {seed}");
        assert_eq!(at_server(&world, "direct:ben"), ["before", "since"], "seed {seed}");
    }
}

#[test]
fn nothing_is_lost_when_a_tab_ends_while_it_looks_for_what_is_to_be_sent_again() {
    for effects in (0..40).step_by(4) {
        let mut world = World::new(59);
        let anna = world.profile("anna");
        let tab = world.open(anna);
        world.settle();
        let backup = world.server.storage.backup();
        world.pass(60_000);
        let sent: Vec<String> = (0..2_100).map(|number| number.to_string()).collect();
        for text in &sent {
            world.send(tab, "direct:ben", text);
        }
        world.settle();
        world.pass(60_000);
        assert!(world.profiles[anna].store.table(Table::Blocks).count() > 0);
        world.restore(&backup, LogId::from(OTHER));
        world.kill_after(anna, effects);
        world.deliver();
        world.pass(60_000);
        let tab = world.open(anna);
        world.settle();
        assert!(at_server(&world, "direct:ben") == sent, "after {effects} effects");
        assert_eq!(world.tab(tab).engine.status().pending, 0);
    }
}

#[test]
fn a_device_that_missed_one_of_two_restores_sends_what_both_have_lost() {
    let mut world = World::new(61);
    let (anna, away) = (world.profile("anna"), world.profile("anna"));
    let (tab, away) = (world.open(anna), world.open(away));
    world.settle();
    let first = world.server.storage.backup();
    world.pass(60_000);
    world.send(away, "direct:ben", "after the first backup");
    world.settle();
    world.input(away, Input::SetOffline(true));
    world.input(tab, Input::SetOffline(true));
    world.pass(60_000);
    restore(&mut world, &first);
    world.pass(60_000);
    let second = world.server.storage.backup();
    world.restore(&second, LogId::from([9; 16]));
    world.deliver();
    world.input(away, Input::SetOffline(false));
    world.pass(60_000);
    assert_eq!(at_server(&world, "direct:ben"), ["after the first backup"]);
    world.input(tab, Input::SetOffline(false));
    world.settle();
    assert_eq!(at(&world, tab, "direct:ben"), ["after the first backup"]);
}

#[test]
fn a_server_that_is_set_up_anew_gets_nothing_that_another_had() {
    let mut world = World::new(67);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.send(tab, "direct:ben", "in the log before");
    world.settle();
    world.server.forget_all(LogId::from([2; 16]), &[]);
    world.deliver();
    world.settle();
    assert_eq!(at_server(&world, "direct:ben"), Vec::<String>::new());
    assert_eq!(at(&world, tab, "direct:ben"), Vec::<String>::new());
}

#[test]
fn who_sends_again_what_is_sent_again_has_it_there_once() {
    let mut world = World::new(31);
    let profile = world.profile("anna");
    let tab = world.open(profile);
    world.pass(500);
    let backup = world.server.storage.backup();
    let id = OperationId::mint(world.clock_of(profile), [7; 10]);
    world.send_with(tab, "direct:anna", "twice, if need be", Some(id));
    world.pass(1_000);
    restore(&mut world, &backup);
    let again = world.send_with(tab, "direct:anna", "twice, if need be", Some(id));
    world.settle();
    assert!(world.tab(tab).replies[&again].is_ok(), "{:?}", world.tab(tab).replies[&again]);
    let later = world.send_with(tab, "direct:anna", "twice, if need be", Some(id));
    world.settle();
    assert!(world.tab(tab).replies[&later].is_ok(), "{:?}", world.tab(tab).replies[&later]);
    assert_eq!(at_server(&world, "direct:anna"), ["twice, if need be"]);
}
