//! What is in the store: its size, its damages, and reading it again.

use std::collections::BTreeMap;

use bytes::Bytes;
use rand_chacha::rand_core::RngCore as _;
use tutti_engine::{
    Block, Change, Located, Replica, SortedMap,
    batch::{Key, Snapshot, StoreError, Table},
    decode_block, decode_locators,
};
use tutti_protocol::{LogId, Millis, OperationId, Position, limits};
use tutti_simulator::world::{At, World};

const RESIDENT: [Table; 4] = [Table::Meta, Table::Journal, Table::Heads, Table::Outbox];

/// More messages than are left unfolded in a quiet hour.
const MANY: u32 = 2_100;

#[test]
fn no_record_reaches_60_kib() {
    let mut world = World::new(1);
    let anna = world.profile("anna");
    let groups = (0..4).map(|group| format!("{group:0>128}"));
    groups.clone().for_each(|group| world.set_group(&group, &["anna"]));
    let message = |number: u32| {
        let size = if number < 200 { limits::CONTENT - 2 } else { number as usize % 500 };
        let content = format!("\"{}\"", "x".repeat(size));
        (format!("group:{:0>128}", number % 4), id(number), content)
    };
    let messages: Vec<_> = (0..MANY).map(message).collect();
    let now = world.clock();
    world.server.post_all("anna", &messages, now);
    // A Members event with 500 names of the full 128 bytes is 64 KiB as it comes, and alone in its
    // record; compression takes care of that one. They come late, so that they need no copies.
    let names: Vec<String> = (0..499).map(|name| format!("{name:0>115}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).chain(["anna"]).collect();
    groups.for_each(|group| world.set_group(&group, &members));
    let tab = world.open(anna);
    // Looks at every record.
    world.settle();
    assert_eq!(world.profiles[anna].store.table(Table::Journal).count(), 0, "all was folded");
    let before: Vec<_> = (0..4).map(|group| shown(&mut world, tab, group)).collect();
    world.kill(anna);
    let tab = world.open(anna);
    world.settle();
    for (group, before) in (0..4).zip(before) {
        assert_eq!(shown(&mut world, tab, group), before);
        assert_eq!(before.0, 500);
    }
}

/// How many are in a group, and what was said there.
fn shown(world: &mut World, tab: At, group: usize) -> (usize, Vec<Bytes>) {
    let conversation = format!("group:{group:0>128}");
    let page = world.page(tab, &conversation);
    let head = world.tab(tab).engine.replica().conversation(&conversation).expect("a conversation");
    (head.members.len(), page.messages.into_iter().map(|message| message.content).collect())
}

#[test]
fn damaged_records_are_errors_and_never_panic() {
    let mut world = World::new(2);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    world.set_group("team", &["anna", "ben"]);
    for number in 0..MANY {
        let now = world.clock();
        world.server.post("ben", "direct:anna", id(number), "\"hi\"", now);
    }
    world.deliver();
    world.settle();
    world.send(tab, "direct:ben", "unfolded");
    world.send(tab, "group:closed", "refused");
    world.mark_read(tab, "direct:ben", None);
    world.pass(1_000);
    for table in Table::ALL {
        assert!(world.profiles[anna].store.table(table).count() > 0, "{table:?} is empty");
    }
    let whole = world.profiles[anna].store.records.clone();
    assert!(examine(&whole).is_ok());

    let mut damaged = 0;
    for key in whole.keys() {
        for _ in 0..60 {
            let mut records = whole.clone();
            let record = records.remove(key).expect("a record");
            let mut bytes = record.to_vec();
            let at = world.chance.next_u32() as usize % bytes.len().max(1);
            match world.chance.next_u32() % 4 {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << (world.chance.next_u32() % 8),
                2 => bytes.insert(at, world.chance.next_u32() as u8),
                _ => bytes[at..].iter_mut().take(9).for_each(|byte| *byte = 0xff),
            }
            records.insert(*key, bytes.into());
            damaged += u32::from(examine(&records).is_err());
        }
        let mut records = whole.clone();
        let record = records.remove(key).expect("a record");
        records.insert((key.0, Key::Number(u64::MAX)), record);
        // Any answer but a panic.
        let _ = examine(&records);
    }
    assert!(damaged > 200, "only {damaged} were noticed");
}

/// Does with records all that a tab does that opens on them.
fn examine(records: &BTreeMap<(Table, Key), Bytes>) -> Result<(), StoreError> {
    let of = |tables: &[Table]| {
        let some = records.iter().filter(|((table, _), _)| tables.contains(table));
        some.map(|((table, key), value)| (*table, *key, value.clone())).collect::<Vec<_>>()
    };
    let snapshot = Snapshot { records: of(&RESIDENT), ..Snapshot::default() };
    let replica = Replica::load("anna", &snapshot)?;
    let mut blocks = SortedMap::new();
    for (_, key, record) in of(&[Table::Blocks]) {
        if let Key::Number(number) = key {
            decode_block(record.clone())?;
            blocks.insert(number, Block::read(&record)?);
        }
    }
    for conversation in replica.conversations(100) {
        for before in [None, Some(Position(u64::MAX)), Some(conversation.read_position)] {
            let _ = replica.page_blocks(&conversation.id, before, 50);
            let _ = replica.page(&conversation.id, before, 50, &blocks);
        }
    }
    for (_, _, record) in of(&[Table::Locators]) {
        let locators = decode_locators(record)?;
        for number in 0..MANY {
            if let Located::Stored(_) = replica.locate(id(number)) {
                let _ = replica.position_in(&locators, id(number));
            }
        }
    }
    Ok(())
}

#[test]
fn a_tab_that_reads_the_store_again_tells_each_message_once() {
    let mut world = World::new(3);
    let (anna, ben) = (world.profile("anna"), world.profile("ben"));
    let (leader, follower, ben) = (world.open(anna), world.open(anna), world.open(ben));
    world.pass(1_000);
    world.weather.channel_loss = 100;
    world.send(ben, "direct:anna", "missed");
    world.pass(100);
    world.weather.channel_loss = 0;
    world.reads_slowly = true;
    world.send(ben, "direct:anna", "shows that something was missed");
    world.pass(100);
    // Announced, sent and confirmed, all after the follower has read the store.
    world.send(leader, "direct:ben", "from the leader, meanwhile");
    world.pass(100);
    world.send(follower, "direct:ben", "from the follower, meanwhile");
    world.pass(100);
    world.tell_loaded();
    world.settle();
    for tab in [leader, follower] {
        let added = world.tab(tab).told.iter().filter(|event| event.change == Change::Added).count();
        assert_eq!(added, 4, "each of them");
    }
}

#[test]
fn a_mark_that_is_refused_leaves_nothing_behind() {
    let mut world = World::new(4);
    let anna = world.profile("anna");
    let tab = world.open(anna);
    let before = world.server.storage.backup();
    world.set_group("team", &["anna", "ben"]);
    world.server.post("ben", "group:team", id(1), "\"hi\"", Millis(9));
    world.deliver();
    world.settle();
    world.reachable = false;
    world.cut();
    world.mark_read(tab, "group:team", None);
    world.pass(100);
    assert_eq!(world.profiles[anna].store.table(Table::Outbox).count(), 1);
    world.server.restore(&before, LogId::from([2; 16]));
    world.settle();
    assert_eq!(world.profiles[anna].store.table(Table::Outbox).count(), 0);
}

fn id(number: u32) -> OperationId {
    OperationId::mint(Millis(u64::from(number)), [4; 10])
}
