//! A store of which something is damaged: each record in turn, in each way. The client opens, keeps what can be read
//! of the outbox and who the device is, and says what was lost. That all else comes again takes a server, and is for
//! the end-to-end tests.

#![cfg(target_arch = "wasm32")]

mod support;

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use futures_util::future::join;
use js_sys::{Array, Function};
use support::{ask, call, fresh_account, get, js, leads, len, number, open, text, until};
use tutti_engine::batch::{Batch, Claim, Durability, Key, Table, Write};
use tutti_protocol::{OperationId, Revision, codec, local, wire};
use tutti_sync::{
    WasmSyncClient,
    store::{IdbStore, Store, profile_name},
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

// A database as anyone in the origin can get at it.
#[wasm_bindgen(inline_js = r#"
    const answer = (request) => new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
    async function within(name, work) {
        const database = await answer(indexedDB.open(name));
        try {
            const transaction = database.transaction([...database.objectStoreNames], "readwrite");
            const done = new Promise((resolve) => (transaction.oncomplete = resolve));
            const [result] = await Promise.all([work(transaction), done]);
            return result;
        } finally {
            database.close();
        }
    }
    /** All of it: `{ table, key, value, sealed }`. */
    export const copy = (name) => within(name, async (transaction) => {
        const tables = await Promise.all([...transaction.objectStoreNames].map(async (table) => {
            const store = transaction.objectStore(table);
            const [keys, values] = await Promise.all([answer(store.getAllKeys()), answer(store.getAll())]);
            return keys.map((key, at) => ({ table, key, value: values[at], sealed: values[at] instanceof Uint8Array }));
        }));
        return tables.flat();
    });
    export const restore = (name, copy) => within(name, (transaction) => {
        for (const table of transaction.objectStoreNames) transaction.objectStore(table).clear();
        for (const { table, key, value } of copy) transaction.objectStore(table).put(value, key);
    });
    /** Damages one record; false: that makes no sense of what it holds. */
    export const damage = (name, copy, at, how) => within(name, (transaction) => {
        const { table, key, value, sealed } = copy[at];
        const store = transaction.objectStore(table);
        const others = copy.filter((it) => it.sealed && it !== copy[at]);
        switch (how) {
            case "flip": return sealed && (store.put(value.map((byte, at) => at === value.length >> 1 ? byte ^ 1 : byte), key), true);
            case "cut": return sealed && (store.put(value.slice(0, value.length >> 1), key), true);
            case "swap": return store.put(sealed ? others[at % others.length].value : "nonsense", key), true;
            case "delete": return store.delete(key), true;
        }
    });
    export const another_key = async (name) => {
        const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
        await within(name, (transaction) => transaction.objectStore("keys").put(key, "sealing"));
    };
    /** Makes it one of a later version, with which this code can work. */
    export const make_later = async (name) => {
        const request = indexedDB.open(name, 2);
        request.onupgradeneeded = () => request.result.createObjectStore("version-2-for-1");
        (await answer(request)).close();
    };
    /** Has transactions fail that write, or read too, what a client holds; returns what ends that. */
    export function fail_transactions(name, reading) {
        const sound = IDBDatabase.prototype.transaction;
        IDBDatabase.prototype.transaction = function (tables, mode, ...more) {
            const held = [...tables].includes("heads") && (reading || mode === "readwrite");
            if (this.name === name && held) throw new DOMException("sabotage", "UnknownError");
            return sound.call(this, tables, mode, ...more);
        };
        return () => { IDBDatabase.prototype.transaction = sound; };
    }
    /** Holds a lock until another takes it: `lost` says so. */
    export const hold_lock = (name) => new Promise((held) => {
        const it = { lost: false };
        const never = () => (held(it), new Promise(() => {}));
        navigator.locks.request(name, { steal: true }, never).catch(() => (it.lost = true));
    });
    /** Has another tab lead between two steps of the one that mends: once it has claimed, and before it writes. */
    export async function claim_between(name) {
        const other = await answer(indexedDB.open(name));
        const sound = IDBDatabase.prototype.transaction;
        let claims = 0;
        IDBDatabase.prototype.transaction = function (tables, mode, ...more) {
            const transaction = sound.call(this, tables, mode, ...more);
            if (this.name === name && this !== other && mode === "readwrite" && [...tables].join() === "meta" && (claims += 1) === 1) {
                const meta = sound.call(other, ["meta"], "readwrite").objectStore("meta");
                meta.get("epoch").onsuccess = ({ target: { result } }) => {
                    meta.put(true, `fence-${result}`);
                    meta.put(result + 1, "epoch");
                    other.close();
                    IDBDatabase.prototype.transaction = sound;
                };
            }
            return transaction;
        };
    }
"#)]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn copy(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn restore(name: &str, copy: &Array) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn damage(name: &str, copy: &Array, at: u32, how: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn another_key(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn make_later(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn hold_lock(name: &str) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(catch)]
    async fn claim_between(name: &str) -> Result<JsValue, JsValue>;
    fn fail_transactions(name: &str, reading: bool) -> Function;
}

const HOWS: [&str; 4] = ["flip", "cut", "swap", "delete"];
const BOB: &str = "direct:bob";
/// Messages that are folded, and all that there are.
const FOLDED: u64 = 2;
const MESSAGES: u64 = 6;

#[wasm_bindgen_test]
async fn whatever_record_is_damaged_the_client_opens_with_what_can_be_read_of_the_outbox() {
    let filled = Filled::new().await;
    let mut noticed = 0;
    for at in 0..filled.content.length() {
        for how in HOWS {
            restore(&filled.name, &filled.content).await.expect("restored");
            if damage(&filled.name, &filled.content, at, how).await.expect("damaged").is_falsy() {
                continue;
            }
            let record = filled.content.get(at);
            let (table, sealed) = (text(&record, "table"), get(&record, "sealed").is_truthy());
            let what = format!("{how}: {table} {:?}", get(&record, "key"));
            let is_key = get(&record, "key").as_string().is_some_and(|key| key == "sealing");
            let is_identity = table == "meta" && get(&record, "key") == 1;
            let kept = if is_key { 0 } else { 2 - u32::from(table == "outbox") };

            let client = open(&filled.account).await;
            // Nothing else tells of an operation that is there no more.
            if is_key || sealed && (&table[..], how) != ("outbox", "delete") {
                noticed += 1;
                let told = filled.told(&client).await;
                let lost = kept < 2;
                assert_eq!(told.contains("lost"), lost, "{what}: {told}");
                assert!(!lost || told.ends_with(&format!(": {}", 2 - kept)), "{what}: {told}");
                assert_eq!(filled.left(&client).await, [0, kept], "{what}");
            } else {
                assert_eq!(number(&ask(&client, "status", &[]).await, "pending"), f64::from(kept), "{what}");
                ask(&client, "close", &[]).await;
            }
            let is_same = text(&client, "deviceId") == filled.device;
            assert_eq!(is_same, !(is_key || is_identity && sealed), "{what}");

            // That was it.
            let client = open(&filled.account).await;
            let troubles = errors(&client);
            leads(&client).await;
            let page = ask(&client, "history", &[BOB.into()]).await;
            let unsent = (0..len(&get(&page, "messages")))
                .filter(|at| text(&page, &format!("messages.{at}.state")) == "pending");
            assert_eq!(unsent.count(), kept as usize, "{what}");
            assert_eq!(troubles.get(), 0, "{what}");
            ask(&client, "close", &[]).await;
        }
    }
    // Ten sealed records in four ways each and the key in two, but for the two of the outbox that are gone.
    assert_eq!(noticed, 10 * 4 + 2 - 2);
}

#[wasm_bindgen_test]
async fn a_key_that_opens_nothing_makes_a_store_of_a_new_device() {
    let filled = Filled::new().await;
    another_key(&filled.name).await.expect("another key");
    let client = open(&filled.account).await;
    assert!(filled.told(&client).await.ends_with(": 2"));
    assert_ne!(text(&client, "deviceId"), filled.device);
    assert_eq!(filled.left(&client).await, [0, 0]);
}

#[wasm_bindgen_test]
async fn a_tab_that_has_the_key_of_before_goes_on_with_the_new_one_and_saves_what_it_has_in_memory() {
    let filled = Filled::new().await;
    let old = open(&filled.account).await;
    leads(&old).await;
    let at = filled.content.iter().position(|it| get(&it, "key") == "sealing").expect("a key") as u32;
    damage(&filled.name, &filled.content, at, "delete").await.expect("damaged");
    // To that tab it is another database.
    let noticed = until(&old, "error", |error| text(error, "message").contains("cleared"));
    let opened = async {
        let new = open(&filled.account).await;
        assert!(filled.told(&new).await.ends_with("lost: 2"));
        new
    };
    let (_, new) = join(noticed, opened).await;
    for tab in [&old, &new] {
        while number(&ask(tab, "status", &[]).await, "pending") != 2.0 {
            until(tab, "status", |_| true).await;
        }
    }
    assert_eq!(text(&old, "deviceId"), text(&new, "deviceId"));
    ask(&old, "close", &[]).await;
    assert_eq!(filled.left(&new).await, [0, 2]);
}

#[wasm_bindgen_test]
async fn what_opens_and_is_not_what_this_code_writes_is_damage_too() {
    let filled = Filled::new().await;
    let outbox = {
        let store = IdbStore::open(&filled.account).await.expect("a store");
        let records = store.load(&[Table::Outbox]).await.expect("a snapshot").records;
        store.close();
        records[0].1
    };
    for table in Table::ALL {
        restore(&filled.name, &filled.content).await.expect("restored");
        let store = IdbStore::open(&filled.account).await.expect("a store");
        let key = if table == Table::Outbox { outbox } else { Key::Number(0) };
        let nonsense = Write::Put(table, key, vec![0xff; 9].into());
        let batch =
            Batch { fence: None, revision: None, writes: vec![nonsense], durability: Durability::Relaxed };
        store.commit(batch).await.expect("committed");
        store.close();
        let client = open(&filled.account).await;
        assert_eq!(filled.told(&client).await.ends_with("lost: 1"), table == Table::Outbox, "{table:?}");
        assert_eq!(text(&client, "deviceId"), filled.device, "{table:?}");
        assert_eq!(filled.left(&client).await, [0, if table == Table::Outbox { 1 } else { 2 }], "{table:?}");
    }
}

#[wasm_bindgen_test]
async fn whoever_finds_damage_leads_and_mends_and_all_tabs_go_on_with_what_is_left() {
    let filled = Filled::new().await;
    let (old, other) = (open(&filled.account).await, open(&filled.account).await);
    leads(&old).await;
    let at = filled.position_of("journal");
    damage(&filled.name, &filled.content, at, "flip").await.expect("damaged");
    let new = open(&filled.account).await;
    assert!(!filled.told(&new).await.contains("lost"));
    // Those that have it all in memory let go of it: they would add to what is no more.
    for tab in [&old, &other, &new] {
        let is_empty = |page: &JsValue| len(&get(page, "messages")) == 2;
        while !is_empty(&ask(tab, "history", &[BOB.into()]).await) {
            until(tab, "status", |_| true).await;
        }
    }
    let sent = ask(&old, "send", &[BOB.into(), "after it".into()]).await;
    for tab in [&other, &new] {
        let id = text(&sent, "id");
        if ask(tab, "message", &[id.clone().into()]).await.is_null() {
            until(tab, "messages", move |events| text(events, "0.message.id") == id).await;
        }
    }
    let mut leaders = 0;
    for tab in [&old, &other, &new] {
        leaders += u32::from(text(&ask(tab, "status", &[]).await, "role") == "leader");
    }
    assert_eq!(leaders, 1);
    for tab in [&old, &other] {
        ask(tab, "close", &[]).await;
    }
    assert_eq!(filled.left(&new).await, [0, 3]);
}

#[wasm_bindgen_test]
async fn whoever_mends_takes_the_lock_and_whoever_finds_nothing_damaged_leaves_it() {
    let filled = Filled::new().await;
    let lock = hold_lock(&filled.name).await.expect("the lock");
    ask(&open(&filled.account).await, "close", &[]).await;
    assert_eq!(get(&lock, "lost").as_bool(), Some(false));
    damage(&filled.name, &filled.content, filled.position_of("heads"), "flip").await.expect("damaged");
    let client = open(&filled.account).await;
    assert_eq!(get(&lock, "lost").as_bool(), Some(true));
    ask(&client, "close", &[]).await;
}

#[wasm_bindgen_test]
async fn an_operation_that_is_damaged_while_tabs_are_open_does_not_keep_another_from_leading() {
    let filled = Filled::new().await;
    let (old, other) = (open(&filled.account).await, open(&filled.account).await);
    leads(&old).await;
    damage(&filled.name, &filled.content, filled.position_of("outbox"), "flip").await.expect("damaged");
    ask(&old, "close", &[]).await;
    assert!(filled.told(&other).await.ends_with("lost: 1"));
    while number(&ask(&other, "status", &[]).await, "pending") != 1.0 {
        until(&other, "status", |_| true).await;
    }
    leads(&other).await;
    assert_eq!(filled.left(&other).await, [0, 1]);
}

#[wasm_bindgen_test]
async fn who_is_no_leader_any_more_mends_nothing() {
    let filled = Filled::new().await;
    let epoch = async || {
        let store = IdbStore::open(&filled.account).await.expect("a store");
        let epoch = store.salvage(&[]).await.expect("a snapshot").snapshot.epoch.0;
        store.close();
        epoch
    };
    let before = epoch().await;
    damage(&filled.name, &filled.content, filled.position_of("heads"), "flip").await.expect("damaged");
    claim_between(&filled.name).await.expect("a hook");
    let client = open(&filled.account).await;
    assert!(!filled.told(&client).await.contains("lost"));
    leads(&client).await;
    ask(&client, "close", &[]).await;
    // It claims, another does, it claims again to mend, and once more to lead.
    assert_eq!(epoch().await, before + 4);
}

#[wasm_bindgen_test]
async fn a_store_that_fails_is_not_taken_for_a_damaged_one() {
    let filled = Filled::new().await;
    for (reading, how) in [(true, None), (false, Some("flip"))] {
        if let Some(how) = how {
            // It is damaged, too; what cannot be mended now stays for the next time.
            damage(&filled.name, &filled.content, filled.position_of("heads"), how).await.expect("damaged");
        }
        let works = fail_transactions(&filled.name, reading);
        let refused = try_open(&filled.account).await.expect_err("a store that fails");
        works.call0(&JsValue::UNDEFINED).expect("works again");
        assert_eq!(text(&refused, "code"), "storage");
        assert_eq!(filled.records().await, filled.content.iter().filter(is_sealed).count());
    }
    let client = open(&filled.account).await;
    assert!(!filled.told(&client).await.contains("lost"));
    assert_eq!(filled.left(&client).await, [0, 2]);
}

#[wasm_bindgen_test]
async fn a_later_versions_store_is_not_this_ones_to_mend() {
    let filled = Filled::new().await;
    damage(&filled.name, &filled.content, filled.position_of("heads"), "flip").await.expect("damaged");
    make_later(&filled.name).await.expect("a later version");
    let refused = try_open(&filled.account).await.expect_err("a damaged store");
    assert_eq!(text(&refused, "code"), "storage");
    assert_eq!(filled.records().await, filled.content.iter().filter(is_sealed).count());
}

/// A store in which there is something of each kind, and what it held then.
struct Filled {
    account: String,
    name: String,
    device: String,
    content: Array,
    folded: String,
}

impl Filled {
    async fn new() -> Self {
        let account = fresh_account();
        let client = open(&account).await;
        let device = text(&client, "deviceId");
        for content in ["unsent 1", "unsent 2"] {
            ask(&client, "send", &[BOB.into(), content.into()]).await;
        }
        leads(&client).await;
        ask(&client, "close", &[]).await;

        let store = IdbStore::open(&account).await.expect("a store");
        let epoch = store.load(&[Table::Meta]).await.expect("a snapshot").epoch;
        assert!(matches!(store.raise_epoch(epoch).await, Ok(Claim::Won(_))));
        let commit = async |revision, writes: Vec<(Table, u64, Bytes)>| {
            let put = |(table, number, record)| Write::Put(table, Key::Number(number), record);
            let batch = Batch {
                fence: Some(epoch.next()),
                revision: Some(Revision(revision)),
                writes: writes.into_iter().map(put).collect(),
                durability: Durability::Relaxed,
            };
            store.commit(batch).await.expect("committed");
        };
        // As the engine would.
        let meta = local::Meta { log: vec![7; 16].into(), cursor: MESSAGES, ..local::Meta::default() };
        commit(
            1,
            vec![
                (Table::Meta, 0, codec::encode(&meta)),
                (
                    Table::Blocks,
                    0,
                    codec::encode(&local::Block { messages: (1..=FOLDED).map(message).collect() }),
                ),
                (
                    Table::Heads,
                    0,
                    codec::encode(&local::HeadPage { heads: vec![head()], ..Default::default() }),
                ),
                (
                    Table::Heads,
                    1,
                    codec::encode(&local::HeadPage { locators: vec![span()], ..Default::default() }),
                ),
                (Table::Locators, 0, codec::encode(&locators())),
            ],
        )
        .await;
        let journal = |from: u64, to: u64| {
            let events = (from..=to).map(|number| wire::Event {
                seq: number,
                operation: id(number).to_bytes(),
                body: Some(wire::event::Body::Message(message(number))),
            });
            codec::encode(&local::Journal { events: events.collect() })
        };
        commit(2, vec![(Table::Journal, 0, journal(FOLDED + 1, 4))]).await;
        commit(3, vec![(Table::Journal, 1, journal(5, MESSAGES))]).await;
        store.close();

        let name = format!("tutti-{}", profile_name(&account).await.expect("a name"));
        let content = copy(&name).await.expect("a copy").unchecked_into();
        let filled = Self { account, name, device, content, folded: id(1).to_string() };
        let client = open(&filled.account).await;
        let page = ask(&client, "history", &[BOB.into()]).await;
        assert_eq!((len(&get(&page, "messages")), len(&get(&page, "holes"))), (MESSAGES as u32 + 2, 0));
        assert!(ask(&client, "message", &[filled.folded.clone().into()]).await.is_object());
        ask(&client, "close", &[]).await;
        filled
    }

    fn position_of(&self, table: &str) -> u32 {
        let found = self.content.iter().position(|it| text(&it, "table") == table);
        found.expect("a record of each table") as u32
    }

    /// How many sealed records there are now.
    async fn records(&self) -> usize {
        let content: Array = copy(&self.name).await.expect("a copy").unchecked_into();
        content.iter().filter(is_sealed).count()
    }

    /// What a client says of the damage, at once or when what is damaged is looked at.
    async fn told(&self, client: &JsValue) -> String {
        let look = async {
            // They fail with `storage`, or find nothing.
            let _ = call(client, "history", &[BOB.into()]).await;
            let _ = call(client, "message", &[self.folded.clone().into()]).await;
        };
        let is_told = |error: &JsValue| {
            text(error, "code") == "storage" && text(error, "message").contains("damaged, and comes")
        };
        let (error, ()) = join(until(client, "error", is_told), look).await;
        text(&error, "message")
    }

    /// How many records of the copy and of the outbox are left, once the client is closed.
    async fn left(&self, client: &JsValue) -> [u32; 2] {
        ask(client, "close", &[]).await;
        let store = IdbStore::open(&self.account).await.expect("a store");
        let records = store.load(&Table::ALL).await.expect("a sound store").records;
        let count =
            |wanted: fn(&Table) -> bool| records.iter().filter(|(table, ..)| wanted(table)).count() as u32;
        assert_eq!(count(|table| *table == Table::Meta), 1, "who the device is");
        [count(|table| !matches!(table, Table::Meta | Table::Outbox)), count(|table| *table == Table::Outbox)]
    }
}

fn is_sealed(record: &JsValue) -> bool {
    get(record, "sealed").is_truthy()
}

async fn try_open(account: &str) -> Result<JsValue, JsValue> {
    let options = format!(r#"{{"url":"ws://localhost:9/sync","account":"{account}","token":"token"}}"#);
    JsFuture::from(WasmSyncClient::open(&js(&options))).await
}

/// How many errors a client tells of from now on.
fn errors(client: &JsValue) -> Rc<Cell<u32>> {
    let told = Rc::<Cell<u32>>::default();
    let counting = told.clone();
    let listener = Closure::<dyn FnMut()>::new(move || counting.set(counting.get() + 1));
    let on: Function = get(client, "on").unchecked_into();
    on.call2(client, &"error".into(), &listener.into_js_value()).expect("on");
    told
}

fn id(number: u64) -> OperationId {
    OperationId::mint(tutti_protocol::Millis(number), [number as u8; 10])
}

fn message(position: u64) -> wire::Message {
    wire::Message {
        id: id(position).to_bytes(),
        conversation: BOB.into(),
        sender: "bob".into(),
        r#type: "text".into(),
        content: "\"hi\"".into(),
        position,
        inbound: position,
        sent_at: position,
        ..wire::Message::default()
    }
}

fn head() -> local::Head {
    let piece = local::Piece { first: 1, count: FOLDED as u32, ..local::Piece::default() };
    local::Head {
        number: 1,
        conversation: BOB.into(),
        last: Some(message(FOLDED)),
        pieces: vec![piece],
        ..local::Head::default()
    }
}

fn span() -> local::LocatorSpan {
    local::LocatorSpan { number: 0, first: id(1).to_bytes(), last: id(FOLDED).to_bytes() }
}

fn locators() -> local::Locators {
    let ids: Vec<u8> = (1..=FOLDED).flat_map(|number| *id(number).as_bytes()).collect();
    local::Locators {
        ids: ids.into(),
        conversations: vec![1; FOLDED as usize],
        positions: (1..=FOLDED).collect(),
    }
}
