//! A tab that reads what is hostile, on a store that may be.

use std::sync::LazyLock;

use bytes::Bytes;
use tutti_engine::{
    Block, Config, Effect, Engine, Identity, Input, Located, Next, Now, Query, Replica, Search, Setup,
    SortedMap,
    batch::{Claim, Key, Snapshot, StoreError, Table, Write},
};
use tutti_protocol::{
    Epoch, Millis, OperationId, Position, Revision, TabId, codec, local,
    wire::{self, Platform, event},
};

use crate::{promises, valid::TAB};

/// The account whose tab it is.
const ACCOUNT: &str = "anna";
pub(crate) const STORE: [u8; 16] = [5; 16];
/// How often something that is due is waited for: long enough for a leader to fold.
const TICKS: usize = 4;

/// A store at revision 1 and epoch 1: with this record, and with others unless they are in its place.
pub(crate) fn store(table: Table, key: Key, record: Bytes) -> Snapshot {
    static OTHERS: LazyLock<[(Table, Key, Bytes); 2]> = LazyLock::new(|| {
        let identity =
            local::Identity { device: Bytes::from_static(&[6; 16]), store: Bytes::from_static(&STORE) };
        [
            (Table::Meta, Key::Number(1), codec::encode(&identity)),
            (Table::Journal, Key::Number(7), codec::encode(&journal())),
        ]
    });
    let others = OTHERS.iter().filter(|(of, at, _)| *of != table || of == &Table::Meta && *at != key);
    let records = others.cloned().chain([(table, key, record)]).collect();
    Snapshot { epoch: Epoch(1), revision: Revision(1), records }
}

/// What goes on where heads may end.
fn journal() -> local::Journal {
    let conversation = || "group:1".to_owned();
    let message = wire::Message {
        id: Bytes::from_static(&[6; 16]),
        conversation: conversation(),
        sender: "ben".into(),
        r#type: "text".into(),
        content: Bytes::from_static(b"1"),
        position: 7,
        inbound: 7,
        ..wire::Message::default()
    };
    let bodies = [
        event::Body::Message(message),
        event::Body::Read(wire::Read { conversation: conversation(), position: 3, inbound: 3 }),
    ];
    let event = |(seq, body)| wire::Event { seq, operation: Bytes::new(), body: Some(body) };
    local::Journal { events: (1..).zip(bodies).map(event).collect() }
}

/// Reads a copy of the account, as a tab does that opens.
pub(crate) fn load(store: &Snapshot) -> Result<Replica, StoreError> {
    Replica::load(ACCOUNT, store)
}

/// Does with a copy what an application may ask for.
pub(crate) fn use_all(replica: &Replica, records: &SortedMap<u64, Bytes>) {
    let read = |(number, record): (&u64, &Bytes)| (*number, Block::read(record).expect("a block"));
    let blocks = records.iter().map(read).collect();
    for conversation in replica.conversations(5) {
        for before in [None, Some(Position(u64::MAX)), Some(conversation.read_position)] {
            let _ = replica.page_blocks(&conversation.id, before, 20);
            let _ = replica.page(&conversation.id, before, 20, &blocks);
        }
        conversation.draft.iter().for_each(|draft| promises::of_content(draft));
        if let Some(last) = conversation.last {
            let _ = replica.locate(last.id);
        }
    }
    for session in replica.sessions("") {
        assert_eq!(replica.session(&session.key).as_ref(), Some(&session));
    }
    replica.notifications(true, 5).iter().for_each(promises::of_notification);
    let _ = replica.locate(OperationId::from([6; 16]));
    search(replica, records);
}

/// Looks through a block before anything has checked it. Says whether that could be done.
pub(crate) fn search_block(record: &[u8]) -> bool {
    let query = Query::parse("e").expect("a word to look for");
    Search::new(query, None, 3).look_through(0, record).is_ok()
}

/// Looks for what many messages hold.
fn search(replica: &Replica, records: &SortedMap<u64, Bytes>) {
    for text in ["e", "1 é"] {
        let query = Query::parse(text).expect("words to look for");
        let mut search = Search::new(query, None, 3);
        while let Next::Blocks(named) = search.next(replica, 8) {
            for block in named {
                let record = records.get(&block).map_or(&[][..], |record| record);
                search.look_through(block, record).expect("a block that was read");
            }
        }
    }
}

/// Where the copy says that these messages are.
pub(crate) fn find(replica: &Replica, locators: &local::Locators) {
    let (ids, _) = locators.ids.as_chunks::<16>();
    for id in ids.iter().take(20) {
        if let Located::Stored(_) = replica.locate(OperationId::from(*id)) {
            let _ = replica.position_in(locators, OperationId::from(*id));
        }
    }
}

/// A tab with an engine.
pub(crate) struct Tab {
    engine: Engine,
    store: Snapshot,
    /// Whether it gets the lock, and so leads.
    leads: bool,
    /// Whether it has folded the journal.
    folds: bool,
    now: Now,
}

impl Tab {
    /// A tab on a store that reads well. None if that does not.
    pub(crate) fn open(store: Snapshot, leads: bool) -> Option<Self> {
        let now = Now { monotonic: Millis(1_000), wall: Millis(1_700_000_000_000) };
        let identity = Identity {
            account: ACCOUNT.into(),
            device_name: String::new(),
            platform: Platform::Web,
            tab: TabId::try_from(&TAB).ok()?,
        };
        let setup = Setup {
            identity,
            seed: [1; 32],
            epoch: store.epoch,
            network: true,
            visible: true,
            config: Config { sync_interval: 60_000, ..Config::default() },
        };
        let engine = Engine::new(setup, load(&store).ok()?, now);
        let mut tab = Self { engine, store, leads, folds: false, now };
        tab.carry_out();
        Some(tab)
    }

    /// Takes in a frame.
    pub(crate) fn hear(&mut self, frame: Bytes) {
        self.engine.handle(Input::ChannelFrame(frame), self.now);
    }

    /// Carries out what follows from it, lets some time pass, and uses what is there then.
    pub(crate) fn go_on(&mut self) {
        self.carry_out();
        for _ in 0..TICKS {
            let Some(deadline) = self.engine.deadline() else {
                break;
            };
            self.now.monotonic = self.now.monotonic.max(deadline);
            self.engine.handle(Input::Tick, self.now);
            self.carry_out();
        }
        let _ = self.engine.status();
        use_all(self.engine.replica(), &SortedMap::new());
    }

    fn carry_out(&mut self) {
        // What follows from an effect has effects too, but they come to rest.
        for _ in 0..100 {
            while self.engine.poll_event().is_some() {}
            let Some(effect) = self.engine.poll_effect() else {
                return;
            };
            let input = match effect {
                Effect::Lock(id) if self.leads => Input::LockGranted(id),
                Effect::Claim(id, _) => Input::Claimed(id, Ok(Claim::Won(self.store.revision))),
                Effect::Load(id, _) => Input::Loaded(id, Ok(self.store.clone())),
                Effect::Persist(id, batch) => {
                    self.folds |= batch.writes.contains(&Write::Clear(Table::Journal));
                    Input::Persisted(id)
                }
                _ => continue,
            };
            self.engine.handle(input, self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_leads_folds_and_one_that_follows_does_not() {
        for leads in [true, false] {
            let store = store(Table::Journal, Key::Number(300), codec::encode(&journal()));
            let mut tab = Tab::open(store, leads).expect("a store that reads well");
            tab.go_on();
            assert_eq!(tab.engine.status().leader, leads);
            assert_eq!(tab.folds, leads);
            assert_eq!(tab.engine.replica().conversations(5).len(), 1);
        }
    }
}
