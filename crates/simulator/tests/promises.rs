//! What the engine promises, in virtual time, with everything that can go wrong between its steps.

use rand_chacha::rand_core::RngCore as _;
use tutti_engine::{Connection, Input, Located, Message, Page, Reply, State, batch::Table};
use tutti_protocol::{Code, LogId, Millis, OperationId, Position};
use tutti_simulator::world::{At, World, store_errors};

fn texts(page: &Page) -> Vec<String> {
    page.messages.iter().map(|message| String::from_utf8_lossy(&message.content).into_owned()).collect()
}

fn positions(page: &Page) -> Vec<Option<u64>> {
    page.messages.iter().map(|message| message.position.map(|position| position.0)).collect()
}

#[test]
fn a_message_sent_in_one_tab_shows_in_every_tab_and_on_every_device() {
    let mut world = World::new(1);
    let (laptop, desk, ben) = (world.profile("anna"), world.profile("anna"), world.profile("ben"));
    let tabs =
        [world.open(laptop), world.open(laptop), world.open(laptop), world.open(desk), world.open(desk)];
    let ben = world.open(ben);
    world.pass(5_000);
    for (number, tab) in tabs.into_iter().enumerate() {
        world.send(tab, "direct:ben", &format!("from tab {number}"));
        world.send(ben, "direct:anna", &format!("answer {number}"));
        world.pass(100);
    }
    world.settle();
    let all = world.page(tabs[0], "direct:ben");
    assert_eq!(all.messages.len(), 10);
    for tab in tabs {
        assert_eq!(world.page(tab, "direct:ben"), all);
    }
    assert_eq!(texts(&world.page(ben, "direct:anna")), texts(&all));
}

#[test]
fn a_send_is_answered_when_it_is_durable_and_not_before() {
    let mut world = World::new(2);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.reachable = false;
    world.pass(1_000);
    let request = world.send(tab, "direct:ben", "hi");
    while world.profiles[anna].store.table(Table::Outbox).count() == 0 {
        assert!(!world.tab(tab).replies.contains_key(&request), "nothing is answered before it is durable");
        world.step(u64::MAX);
    }
    world.pass(100);
    let Ok(Reply::Message(message)) = &world.tab(tab).replies[&request] else { panic!("no message") };
    assert_eq!((message.state.clone(), message.position), (State::Pending, None));
}

#[test]
fn what_was_sent_offline_arrives_once_and_in_order_after_a_kill() {
    let mut world = World::new(3);
    let (anna, ben) = (world.profile("anna"), world.profile("ben"));
    let ben = world.open(ben);
    let tabs = [world.open(anna), world.open(anna)];
    world.pass(5_000);
    world.input(tabs[0], Input::SetOffline(true));
    world.pass(100);
    assert!(world.tab(tabs[1]).engine.status().working_offline);
    for number in 0..20 {
        world.send(tabs[number % 2], "direct:ben", &number.to_string());
        world.pass(10);
        // A clock that is set back does not change what came after what.
        world.wall -= 60_000;
    }
    world.kill(anna);
    let again = world.open(anna);
    world.settle();
    let sent: Vec<String> = (0..20).map(|number| format!("\"{number}\"")).collect();
    assert_eq!(texts(&world.page(ben, "direct:anna")), sent);
    assert_eq!(texts(&world.page(again, "direct:ben")), sent);
}

#[test]
fn a_crash_after_any_effect_loses_and_doubles_nothing() {
    let mut deaths = 0;
    for after in 1.. {
        let mut world = World::new(4);
        let (anna, ben) = (world.profile("anna"), world.profile("ben"));
        let ben = world.open(ben);
        world.pass(1_000);
        world.kill_after(anna, after);
        let tabs = [world.open(anna), world.open(anna)];
        let mut answered = Vec::new();
        for number in 0..3 {
            for tab in tabs {
                let text = format!("{number} from {tab:?}");
                let request = world.send(tab, "direct:ben", &text);
                world.pass(50);
                let alive = world.profiles[anna].tabs.get(&tab.1);
                if alive.is_some_and(|tab| matches!(tab.replies.get(&request), Some(Ok(_)))) {
                    answered.push(format!("\"{text}\""));
                }
            }
            world.send(ben, "direct:anna", &format!("answer {number}"));
            world.pass(50);
        }
        let died = world.was_killed();
        deaths += u32::from(died);
        world.kill(anna);
        world.open(anna);
        world.settle();
        let arrived = texts(&world.page(ben, "direct:anna"));
        for text in &answered {
            assert_eq!(arrived.iter().filter(|it| *it == text).count(), 1, "{text}, killed after {after}");
        }
        if !died {
            break;
        }
    }
    assert!(deaths > 50, "{deaths}");
}

#[test]
fn a_failure_of_any_storage_operation_is_got_over() {
    for error in store_errors() {
        for number in 4..40 {
            let mut world = World::new(number);
            let (anna, ben) = (world.profile("anna"), world.profile("ben"));
            let ben = world.open(ben);
            let tabs = [world.open(anna), world.open(anna)];
            world.profiles[anna].store.fail = Some((number, error.clone()));
            let mut sent = 0;
            for round in 0..5 {
                for tab in tabs {
                    let request = world.send(tab, "direct:ben", &format!("{round} {tab:?}"));
                    world.pass(2_000);
                    sent += usize::from(world.tab(tab).replies[&request].is_ok());
                }
                world.send(ben, "direct:anna", &round.to_string());
            }
            world.settle();
            assert!(sent >= 9, "at most the one that failed was refused");
            assert_eq!(world.page(ben, "direct:anna").messages.len(), sent + 5, "{error} at {number}");
        }
    }
}

#[test]
fn a_connection_cut_at_any_step_loses_nothing() {
    for cut in 0..120 {
        let mut world = World::new(cut);
        let (anna, ben) = (world.profile("anna"), world.profile("ben"));
        let (anna, ben) = (world.open(anna), world.open(ben));
        for number in 0..4 {
            world.send(anna, "direct:ben", &number.to_string());
            world.send(ben, "direct:anna", &number.to_string());
        }
        for _ in 0..cut {
            world.step(u64::MAX);
        }
        world.cut();
        world.settle();
        assert_eq!(world.page(anna, "direct:ben").messages.len(), 8, "cut at {cut}");
    }
}

#[test]
fn every_frame_cut_after_any_byte_loses_and_doubles_nothing() {
    // What is cut; without a cut, how long each frame is.
    let play = |places: usize, cut: Option<(usize, usize)>| {
        let mut world = World::new(5);
        world.server.set_places(places);
        let (anna, ben) = (world.profile("anna"), world.profile("ben"));
        let tabs = [world.open(anna), world.open(anna)];
        let ben = world.open(ben);
        if let Some((number, bytes)) = cut {
            world.cut_frame(number, bytes);
        }
        for number in 0..2 {
            for tab in tabs {
                world.send(tab, "direct:ben", &format!("{number} {tab:?}"));
            }
            world.send(ben, "direct:anna", &number.to_string());
            world.pass(1_000);
        }
        world.mark_read(tabs[1], "direct:ben", None);
        // Long enough for a ping.
        world.pass(30_000);
        let frames = world.frames.clone();
        world.server.set_places(10);
        for at in world.alive() {
            world.sync_now(at);
        }
        world.settle();
        world.model.check(&world.server);
        for (at, other) in [(tabs[0], "direct:ben"), (tabs[1], "direct:ben"), (ben, "direct:anna")] {
            assert_eq!(world.page(at, other).messages.len(), 6, "{places} places, cut {cut:?}");
        }
        frames
    };
    // Over sockets, and by post.
    for places in [10, 0] {
        let frames = play(places, None);
        assert!(frames.len() > 20, "{frames:?}");
        for (number, length) in frames.iter().enumerate() {
            for bytes in 0..=*length {
                play(places, Some((number, bytes)));
            }
        }
    }
}

#[test]
fn frames_lost_between_tabs_cost_time_only() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        world.weather.channel_loss = 50;
        let (anna, ben) = (world.profile("anna"), world.profile("ben"));
        let tabs = [world.open(anna), world.open(anna), world.open(anna)];
        let ben = world.open(ben);
        for number in 0..10 {
            world.send(tabs[number % 3], "direct:ben", &number.to_string());
            world.send(ben, "direct:anna", &number.to_string());
            world.pass(300);
        }
        world.weather.channel_loss = 0;
        world.send(ben, "direct:anna", "and one more");
        world.settle();
        assert_eq!(world.page(tabs[2], "direct:ben").messages.len(), 21, "seed {seed}");
    }
}

#[test]
fn the_next_tab_leads_when_the_leader_goes() {
    for seed in 0..60 {
        let mut world = World::new(seed);
        let (anna, ben) = (world.profile("anna"), world.profile("ben"));
        let ben = world.open(ben);
        let mut tabs = vec![world.open(anna), world.open(anna), world.open(anna)];
        let mut sent = 0;
        for round in 0..6_u64 {
            let sender = *tabs.last().expect("tabs");
            for number in 0..5 {
                world.send(sender, "direct:ben", &format!("{round}/{number}"));
                world.send(ben, "direct:anna", &format!("{round}/{number}"));
                sent += 2;
            }
            for _ in 0..world.chance.next_u32() % 60 {
                world.step(u64::MAX);
            }
            let waits = |world: &World| world.tab(sender).engine.status().pending < 5;
            while waits(&world) && world.tab(sender).replies.len() < 5 * (round as usize + 1) {
                world.step(u64::MAX);
            }
            // What the sender was not told yet goes with it, so somebody else closes.
            let closes = tabs.remove(0);
            if round % 2 == 0 {
                world.close(closes)
            } else {
                world.crash(closes)
            }
            tabs.insert(0, world.open(anna));
            tabs.swap(0, 1);
            if !tabs.contains(&sender) {
                sent -= 5;
            }
        }
        world.settle();
        assert_eq!(world.page(ben, "direct:anna").messages.len(), sent, "seed {seed}");
    }
}

#[test]
fn a_long_absence_is_caught_up_in_pages_and_stays_after_a_reload() {
    let mut world = World::new(5);
    let anna = world.profile("anna");
    let ids: Vec<OperationId> = (0..10_000).map(|n| OperationId::mint(Millis(n), [1; 10])).collect();
    let message = |(number, id): (usize, &OperationId)| {
        (format!("direct:friend {}", number % 200), *id, format!("\"{}\"", "x".repeat(number % 300)))
    };
    let messages: Vec<_> = ids.iter().enumerate().map(message).collect();
    let now = world.clock();
    world.server.post_all("anna", &messages, now);
    let tab = world.open(anna);
    world.settle();
    assert_eq!(world.tab(tab).caught_up, [10_000]);
    assert!(world.profiles[anna].store.table(Table::Blocks).count() > 10, "it was folded");
    let before: Vec<Page> = (0..200).map(|n| world.page(tab, &format!("direct:friend {n}"))).collect();
    let pulled = world.server.pulled;

    world.kill(anna);
    let tab = world.open(anna);
    world.settle();
    assert_eq!(world.server.pulled, pulled, "nothing was fetched again");
    assert_eq!(world.tab(tab).caught_up, [0]);
    for (number, page) in before.iter().enumerate() {
        assert_eq!(world.page(tab, &format!("direct:friend {number}")), *page);
        assert_eq!(positions(page), (1..=50).map(Some).collect::<Vec<_>>());
    }
    for (number, id) in ids.iter().enumerate() {
        let found = world.locate(tab, *id);
        assert_eq!(
            found,
            Some((format!("direct:friend {}", number % 200), Position(number as u64 / 200 + 1)))
        );
    }
    let stranger = OperationId::mint(Millis(5), [9; 10]);
    assert_eq!(world.locate(tab, stranger), None);
}

#[test]
fn a_message_refused_for_good_fails_and_holds_nobody_up() {
    let mut world = World::new(6);
    let anna = world.profile("anna");
    world.set_group("team", &["anna", "ben"]);
    let (leader, follower) = (world.open(anna), world.open(anna));
    world.pass(1_000);
    world.set_group("team", &["ben"]);
    for tab in [leader, follower] {
        world.send(tab, "group:team", "refuse me");
        world.model.may_be_refused(b"\"refuse me\"");
        world.send(tab, "direct:ben", "take me");
    }
    world.settle();
    let failed =
        |message: &&Message| matches!(&message.state, State::Failed(why) if why.code == Code::NotFound);
    for tab in [leader, follower] {
        let team = world.page(tab, "group:team").messages;
        assert_eq!((team.len(), team.iter().filter(failed).count()), (2, 2));
        let ben = world.page(tab, "direct:ben").messages;
        assert!(ben.len() == 2 && ben.iter().all(|message| message.state == State::Sent));
    }
    world.set_group("team", &["anna", "ben"]);
    world.server.post("ben", "group:team", OperationId::from([7; 16]), "\"newer\"", Millis(u64::MAX >> 20));
    world.deliver();
    world.settle();
    let head = world.tab(follower).engine.replica().conversation("group:team").expect("a conversation");
    assert_eq!(
        head.last.expect("a message").content,
        &b"\"newer\""[..],
        "a failed message is not the newest for ever"
    );
}

#[test]
fn without_a_network_a_message_can_be_given_up_or_tried_again() {
    let mut world = World::new(23);
    let anna = world.profile("anna");
    world.set_group("team", &["anna", "ben"]);
    let tabs = [world.open(anna), world.open(anna)];
    world.pass(1_000);
    world.set_group("team", &["ben"]);
    world.send(tabs[0], "group:team", "refuse me");
    world.model.may_be_refused(b"\"refuse me\"");
    world.settle();
    world.input(tabs[0], Input::SetOffline(true));
    world.pass(1_000);
    for tab in tabs {
        world.send(tab, "direct:ben", "better not");
        world.pass(1_000);
        let message = world.page(tab, "direct:ben").messages.remove(0);
        world.withdraw(tab, &message, false);
        let message = world.page(tab, "group:team").messages.remove(0);
        world.withdraw(tab, &message, true);
        world.pass(1_000);
        for tab in tabs {
            assert_eq!(texts(&world.page(tab, "direct:ben")), Vec::<String>::new());
            assert_eq!(world.page(tab, "group:team").messages[0].state, State::Pending);
        }
    }
    world.set_group("team", &["anna", "ben"]);
    world.input(tabs[0], Input::SetOffline(false));
    world.settle();
    for tab in tabs {
        assert_eq!(world.page(tab, "group:team").messages[0].state, State::Sent);
    }
    world.check();
}

#[test]
fn rate_limited_operations_are_sent_again_in_order() {
    let mut world = World::new(7);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.pass(1_000);
    world.server.refill(Some(3));
    for number in 0..10 {
        world.send(tab, "direct:ben", &number.to_string());
    }
    world.pass(500);
    assert_eq!(world.page(tab, "direct:ben").messages.iter().filter(|it| it.state == State::Sent).count(), 3);
    assert!(world.server.submits.len() < 10, "the server is not asked again before its time");
    world.server.refill(None);
    world.settle();
    let sent: Vec<String> = (0..10).map(|number| format!("\"{number}\"")).collect();
    assert_eq!(texts(&world.page(tab, "direct:ben")), sent);
}

#[test]
fn a_burst_of_sends_keeps_to_the_frames_a_connection_may_send() {
    let mut world = World::new(8);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.pass(1_000);
    for number in 0..2_000 {
        world.send(tab, "direct:ben", &number.to_string());
        world.pass(5);
    }
    let minute = world.server.submits.len();
    assert!((100..=400).contains(&minute), "{minute} submits in 10 s");
    world.settle();
    assert_eq!(world.page(tab, "direct:ben").messages.len(), 2_000);
}

#[test]
fn the_same_id_is_one_message() {
    let mut world = World::new(9);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    let id = Some(OperationId::from([3; 16]));
    let first = world.send_with(tab, "direct:ben", "once", id);
    world.pass(1_000);
    let (again, other) =
        (world.send_with(tab, "direct:ben", "once", id), world.send_with(tab, "direct:ben", "other", id));
    world.settle();
    assert_eq!(texts(&world.page(tab, "direct:ben")), ["\"once\""]);
    let replies = &world.tab(tab).replies;
    assert!(replies[&first].is_ok() && replies[&again].is_ok());
    assert_eq!(replies[&other].as_ref().expect_err("a conflict").code, Code::Conflict);
}

#[test]
fn read_marks_only_grow_and_unread_counts_follow() {
    let mut world = World::new(10);
    let (laptop, phone, ben) = (world.profile("anna"), world.profile("anna"), world.profile("ben"));
    let (laptop, phone, ben) = (world.open(laptop), world.open(phone), world.open(ben));
    for number in 0..6 {
        world.send(ben, "direct:anna", &number.to_string());
    }
    world.settle();
    let unread =
        |world: &World, tab| world.tab(tab).engine.replica().conversation("direct:ben").unwrap().unread;
    assert_eq!((unread(&world, laptop), unread(&world, phone), unread_of_ben(&world, ben)), (6, 6, 0));
    world.mark_read(laptop, "direct:ben", Some(4));
    world.pass(0);
    world.settle();
    assert_eq!((unread(&world, laptop), unread(&world, phone)), (2, 2));
    world.mark_read(phone, "direct:ben", Some(2));
    world.settle();
    assert_eq!((unread(&world, laptop), unread(&world, phone)), (2, 2));
    world.reachable = false;
    world.cut();
    world.mark_read(phone, "direct:ben", None);
    world.pass(100);
    assert_eq!((unread(&world, laptop), unread(&world, phone)), (2, 0), "at once here, later there");
    world.settle();
    assert_eq!(unread(&world, laptop), 0);
}

fn unread_of_ben(world: &World, ben: At) -> u64 {
    world.tab(ben).engine.replica().conversation("direct:anna").unwrap().unread
}

#[test]
fn a_tab_reads_again_only_if_something_was_folded_that_it_has_not_heard_of() {
    let mut world = World::new(57);
    let (anna, ben) = (world.profile("anna"), world.profile("ben"));
    let (ben, leader, follower) = (world.open(ben), world.open(anna), world.open(anna));
    for number in 0..20 {
        world.send([leader, follower][number % 2], "direct:ben", &format!("anna's {number}."));
        world.send(ben, "direct:anna", &format!("ben's {number}."));
    }
    world.settle();
    let messages = world.page(leader, "direct:ben").messages.into_iter();
    let own: Vec<_> = messages.filter(|message| message.sender == "anna").collect();
    world.recall(follower, own[0].clone());
    world.settle();
    assert!(world.profiles[anna].store.table(Table::Blocks).count() > 0, "it was folded");
    world.edit(follower, own[1].clone(), "edited once it was folded");
    world.settle();
    world.cut();
    world.send(follower, "direct:ben", "while there is no connection");
    let late = world.open(anna);
    world.close(leader);
    world.settle();
    // What nothing has happened to while it stood still is as it was.
    world.suspend(follower);
    world.pass(1_000);
    world.resume(follower);
    world.settle();
    let unsaid = [follower, late, ben].map(|tab| world.tab(tab).unsaid);
    assert_eq!(unsaid, [0, 0, 0], "all was told one by one");

    world.suspend(follower);
    world.recall(late, own[2].clone());
    world.pass(60_000);
    world.resume(follower);
    world.settle();
    let unsaid = [follower, late, ben].map(|tab| world.tab(tab).unsaid);
    assert_eq!(unsaid, [1, 0, 0], "only who stood still has missed it");
}

#[test]
fn another_log_is_pulled_anew_and_the_outbox_is_kept() {
    let mut world = World::new(11);
    let anna = world.profile("anna");
    let tabs = [world.open(anna), world.open(anna)];
    for number in 0..5 {
        world.send(tabs[0], "direct:ben", &number.to_string());
    }
    world.settle();
    world.input(tabs[0], Input::SetOffline(true));
    world.pass(1_000);
    world.send(tabs[1], "direct:ben", "kept");
    world.pass(1_000);
    world.server.forget_all(LogId::from([2; 16]), &[]);
    world.deliver();
    let unsaid = tabs.map(|tab| world.tab(tab).unsaid);
    world.input(tabs[1], Input::SetOffline(false));
    world.settle();
    for (tab, unsaid) in tabs.into_iter().zip(unsaid) {
        assert_eq!(texts(&world.page(tab, "direct:ben")), ["\"kept\""]);
        assert_eq!(world.tab(tab).unsaid, unsaid + 1, "nobody tells of each that is gone");
    }
}

#[test]
fn a_robbed_leader_changes_nothing_any_more() {
    for seed in 0..80 {
        let mut world = World::new(seed);
        let (anna, ben) = (world.profile("anna"), world.profile("ben"));
        let ben = world.open(ben);
        let tabs = [world.open(anna), world.open(anna)];
        world.pass(1_000);
        for round in 0..6 {
            for number in 0..3 {
                world.send(ben, "direct:anna", &format!("{round}/{number}"));
                world.send(tabs[number % 2], "direct:ben", &format!("{round}/{number}"));
            }
            for _ in 0..world.chance.next_u32() % 40 {
                world.step(u64::MAX);
            }
            world.steal(tabs[(round + 1) % 2]);
        }
        world.settle();
        assert_eq!(world.page(tabs[0], "direct:ben").messages.len(), 36, "seed {seed}");
    }
}

#[test]
fn sync_now_answers_in_every_tab() {
    let mut world = World::new(12);
    let anna = world.profile("anna");
    let (leader, follower) = (world.open(anna), world.open(anna));
    world.pass(1_000);
    for tab in [leader, follower] {
        world.send(tab, "direct:ben", "hi");
        let request = world.sync_now(tab);
        world.pass(5_000);
        assert!(world.tab(tab).replies[&request].is_ok());
        assert_eq!(world.tab(tab).engine.status().pending, 0);
    }
    world.input(follower, Input::SetOffline(true));
    world.pass(100);
    for tab in [leader, follower] {
        let request = world.sync_now(tab);
        world.pass(5_000);
        assert_eq!(world.tab(tab).replies[&request].as_ref().expect_err("offline").code, Code::Offline);
    }
    world.input(follower, Input::SetOffline(false));
    world.reachable = false;
    world.cut();
    let request = world.sync_now(leader);
    world.pass(40_000);
    assert_eq!(world.tab(leader).replies[&request].as_ref().expect_err("offline").code, Code::Offline);
    world.settle();
}

#[test]
fn a_silent_server_is_found_out_within_35_seconds() {
    let mut world = World::new(13);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.pass(1_000);
    let wire_gone = world.now;
    // The server forgets the connection; the client's frames go nowhere and nothing comes back.
    world.server.fall_silent();
    while world.tab(tab).engine.status().connection == Connection::Online {
        assert!(world.step(u64::MAX));
    }
    assert!(world.now - wire_gone <= 35_100, "{}", world.now - wire_gone);
    world.settle();
}

#[test]
fn garbage_never_panics() {
    let mut world = World::new(14);
    let anna = world.profile("anna");
    let (leader, follower) = (world.open(anna), world.open(anna));
    world.send(leader, "direct:ben", "hi");
    world.settle();
    for _ in 0..20_000 {
        let mut bytes = vec![0; (world.chance.next_u32() % 60) as usize];
        world.chance.fill_bytes(&mut bytes);
        for tab in [leader, follower] {
            world.input(tab, Input::ChannelFrame(bytes.clone().into()));
        }
        if world.chance.next_u32().is_multiple_of(100) {
            let newest = (0..200).map(tutti_engine::ConnectionId);
            newest.for_each(|id| world.input(leader, Input::FrameReceived(id, bytes.clone().into())));
        }
    }
    // Presence of tabs that never were is all that may have stuck.
    world.settle();
}

#[test]
fn what_a_closed_client_is_asked_is_answered() {
    let mut world = World::new(15);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    let before = world.send(tab, "direct:ben", "in time");
    let waits = world.send(tab, "direct:ben", "too late for the disk");
    world.input(tab, Input::Close);
    let after = world.sync_now(tab);
    world.pass(1_000);
    let replies = &world.tab(tab).replies;
    assert!(replies[&before].is_ok(), "it was on its way to the disk");
    for request in [waits, after] {
        assert_eq!(replies[&request].as_ref().expect_err("closed").code, Code::Closed);
    }
}

#[test]
fn an_unknown_message_is_unknown() {
    let mut world = World::new(16);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    let replica = world.tab(tab).engine.replica();
    assert!(matches!(replica.locate(OperationId::from([1; 16])), Located::Unknown));
    assert_eq!(replica.page("direct:nobody", None, 50, &Default::default()), Page::default());
}
