//! What every store promises, and what the one in IndexedDB promises besides.
#![cfg(target_arch = "wasm32")]

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use indexed_db_futures::{database::Database, prelude::*, transaction::TransactionMode};
use js_sys::{ArrayBuffer, Object, Reflect, Uint8Array};
use tutti_engine::batch::{Batch, Claim, Durability, Key, StoreError, Table, Write};
use tutti_protocol::{Epoch, Millis, OperationId, Revision};
use tutti_sync::store::{self, IdbStore, MemoryStore, Store, profile_name};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::*;
use web_sys::{Crypto, CryptoKey};

wasm_bindgen_test_configure!(run_in_browser);

// Breaks IndexedDB for one database. `end` repairs it, and tells how many failures were not met.
#[wasm_bindgen(inline_js = r#"
    class Sabotage {
        constructor(type, method, failures, broken) {
            const sound = type.prototype[method];
            this.left = failures;
            const it = this;
            type.prototype[method] = function (...given) {
                return broken(it, this, given) ?? sound.apply(this, given);
            };
            this.end = () => { type.prototype[method] = sound; return this.left; };
        }
    }
    export function break_transactions(name, error, times) {
        return new Sabotage(IDBDatabase, "transaction", times, (it, database, [tables]) => {
            // What is done to the keys alone is no call's work: whether the browser undoes is found out beside them.
            if (database.name === name && [...tables].join() !== "keys" && it.left > 0) {
                it.left -= 1;
                throw new DOMException("sabotage", error);
            }
        });
    }
    export function break_put(name, error, after) {
        return new Sabotage(IDBObjectStore, "put", 1, (it, store, [value, key]) => {
            if (store.transaction.db.name !== name || store.name === "keys" || it.left === 0 || after-- > 0) return;
            it.left -= 1;
            // Not at once, but by an error event: the same key twice.
            if (error === "ConstraintError") { store.add(value, key); return store.add(value, key); }
            throw new DOMException("sabotage", error);
        });
    }
    let sound;
    export function hide_indexed_db() {
        sound = Object.getOwnPropertyDescriptor(globalThis, "indexedDB");
        Object.defineProperty(globalThis, "indexedDB", { value: undefined, configurable: true });
    }
    export function show_indexed_db() {
        delete globalThis.indexedDB;
        // Own property of a window, inherited elsewhere.
        if (sound) Object.defineProperty(globalThis, "indexedDB", sound);
    }
"#)]
extern "C" {
    type Sabotage;
    fn break_transactions(name: &str, error: &str, times: u32) -> Sabotage;
    fn break_put(name: &str, error: &str, after: u32) -> Sabotage;
    #[wasm_bindgen(method)]
    fn end(this: &Sabotage) -> u32;

    fn hide_indexed_db();
    fn show_indexed_db();
}

macro_rules! every_store {
    ($($promise:ident,)*) => {
        mod memory {
            use super::*;
            $(#[wasm_bindgen_test] async fn $promise() { super::$promise(MemoryStore::default()).await; })*
        }
        mod idb {
            use super::*;
            $(#[wasm_bindgen_test] async fn $promise() { super::$promise(open(&account()).await).await; })*
        }
    };
}

every_store! {
    a_new_store_is_empty,
    what_is_put_is_read_and_loaded,
    records_load_by_table_then_key,
    a_put_replaces_and_an_insert_does_not,
    writes_happen_in_order,
    a_delete_removes_one_record,
    clearing_a_table_spares_the_others,
    clearing_meta_spares_epoch_and_revision,
    a_raised_epoch_fences_the_one_before,
    a_fenced_batch_writes_nothing,
    a_commit_without_fence_passes_any_epoch,
    a_revision_is_written_with_its_batch,
    an_empty_batch_is_done_at_once,
    an_empty_batch_is_fenced_too,
    reading_no_keys_gives_no_values,
    forty_records_of_fifty_kibibytes_are_one_batch,
    commits_at_the_same_time_all_happen,
    one_of_two_that_claim_at_the_same_time_leads,
    a_claim_from_another_epoch_changes_nothing,
    a_closed_store_refuses,
}

async fn a_new_store_is_empty(store: impl Store) {
    let snapshot = store.load(&Table::ALL).await.unwrap();
    assert_eq!((snapshot.epoch, snapshot.revision), (Epoch(0), Revision(0)));
    assert_eq!(snapshot.records, []);
    assert_eq!(store.read(Table::Blocks, &[Key::Number(1)]).await, Ok(vec![None]));
}

async fn what_is_put_is_read_and_loaded(store: impl Store) {
    let largest = Key::Number((1 << 53) - 1);
    let content = [&b""[..], b"a", &[0; 10_000], &noise(10_000, 1)].map(Bytes::copy_from_slice);
    let keys = [Key::Number(0), Key::Number(1), Key::Number(300), largest];
    let writes =
        keys.iter().zip(&content).map(|(key, content)| Write::Put(Table::Blocks, *key, content.clone()));
    store.commit(batch(writes)).await.unwrap();

    let asked = [largest, Key::Number(7), Key::Number(0), Key::Number(300), Key::Number(1)];
    let read = store.read(Table::Blocks, &asked).await.unwrap();
    let [empty, one, zeros, random] = content.clone().map(Some);
    assert_eq!(read, [random, None, empty, zeros, one]);
    assert_eq!(store.read(Table::Heads, &keys).await.unwrap(), [None, None, None, None]);
    let loaded = store.load(&[Table::Blocks]).await.unwrap().records;
    assert_eq!(loaded.into_iter().map(|(_, _, value)| value).collect::<Vec<_>>(), content);
}

async fn records_load_by_table_then_key(store: impl Store) {
    let keys = [
        (Table::Meta, Key::Number(0)),
        (Table::Meta, Key::Number(1)),
        (Table::Journal, Key::Number(9)),
        (Table::Journal, Key::Number(10)),
        (Table::Journal, Key::Number(1 << 40)),
        (Table::Heads, Key::Number(2)),
        (Table::Outbox, operation(1)),
        (Table::Outbox, operation(2)),
    ];
    let writes = keys.iter().rev().map(|(table, key)| Write::Put(*table, *key, "value".into()));
    store.commit(batch(writes)).await.unwrap();
    assert_eq!(loaded_keys(&store, &Table::ALL).await, keys);
    assert_eq!(loaded_keys(&store, &[Table::Heads, Table::Outbox]).await, keys[5..]);
    assert_eq!(loaded_keys(&store, &[]).await, []);
}

async fn a_put_replaces_and_an_insert_does_not(store: impl Store) {
    let (put, inserted) = (Key::Number(1), Key::Number(2));
    store.commit(batch([Write::Insert(Table::Meta, inserted, "first".into())])).await.unwrap();
    store
        .commit(batch([
            Write::Put(Table::Meta, put, "first".into()),
            Write::Insert(Table::Meta, inserted, "second".into()),
            Write::Put(Table::Meta, put, "second".into()),
        ]))
        .await
        .unwrap();
    let values = store.read(Table::Meta, &[put, inserted]).await.unwrap();
    assert_eq!(values, [Some("second".into()), Some("first".into())]);
}

async fn writes_happen_in_order(store: impl Store) {
    let key = |number| Key::Number(number);
    let put = |number, value: &'static str| Write::Put(Table::Journal, key(number), value.into());
    let insert = |number, value: &'static str| Write::Insert(Table::Journal, key(number), value.into());
    let writes = [
        put(1, "cleared"),
        Write::Clear(Table::Journal),
        insert(2, "deleted"),
        insert(2, "ignored"),
        Write::Delete(Table::Journal, key(2)),
        insert(2, "kept"),
        put(3, "replaced"),
        insert(3, "ignored"),
        put(3, "kept"),
        put(4, "kept"),
    ];
    store.commit(batch(writes)).await.unwrap();
    let values = store.read(Table::Journal, &[1, 2, 3, 4].map(key)).await.unwrap();
    let kept = || Some("kept".into());
    assert_eq!(values, [None, kept(), kept(), kept()]);
}

async fn a_delete_removes_one_record(store: impl Store) {
    fill(&store, Table::Outbox, [operation(1), operation(2)]).await;
    fill(&store, Table::Blocks, [Key::Number(1)]).await;
    let gone = [Write::Delete(Table::Outbox, operation(1)), Write::Delete(Table::Blocks, Key::Number(8))];
    store.commit(batch(gone)).await.unwrap();
    let left = [(Table::Blocks, Key::Number(1)), (Table::Outbox, operation(2))];
    assert_eq!(loaded_keys(&store, &Table::ALL).await, left);
}

async fn clearing_a_table_spares_the_others(store: impl Store) {
    fill(&store, Table::Outbox, [operation(1), operation(2)]).await;
    fill(&store, Table::Journal, [1, 2].map(Key::Number)).await;
    fill(&store, Table::Heads, [Key::Number(1)]).await;
    store.commit(batch([Write::Clear(Table::Outbox), Write::Clear(Table::Journal)])).await.unwrap();
    assert_eq!(loaded_keys(&store, &Table::ALL).await, [(Table::Heads, Key::Number(1))]);
}

async fn clearing_meta_spares_epoch_and_revision(store: impl Store) {
    lead(&store).await;
    let put = Write::Put(Table::Meta, Key::Number(0), "cursor".into());
    let with_revision = Batch { revision: Some(Revision(7)), ..batch([put]) };
    store.commit(with_revision).await.unwrap();
    store.commit(batch([Write::Clear(Table::Meta)])).await.unwrap();
    let snapshot = store.load(&[Table::Meta]).await.unwrap();
    assert_eq!((snapshot.epoch, snapshot.revision), (Epoch(1), Revision(7)));
    assert_eq!(snapshot.records, []);
}

async fn a_raised_epoch_fences_the_one_before(store: impl Store) {
    let first = Epoch(1);
    assert_eq!(store.raise_epoch(Epoch(0)).await, Ok(Claim::Won(Revision(0))));
    let leader = |fence| Batch { fence: Some(fence), revision: Some(Revision(4)), ..batch([]) };
    store.commit(leader(first)).await.unwrap();
    assert_eq!(store.raise_epoch(first).await, Ok(Claim::Won(Revision(4))));
    assert_eq!(store.commit(leader(first)).await, Err(StoreError::Fenced));
    store.commit(leader(Epoch(2))).await.unwrap();
}

async fn a_fenced_batch_writes_nothing(store: impl Store) {
    fill(&store, Table::Journal, [1, 2].map(Key::Number)).await;
    fill(&store, Table::Blocks, [Key::Number(1)]).await;
    lead(&store).await;
    lead(&store).await;
    let before = store.load(&Table::ALL).await.unwrap();
    let fenced = Batch {
        fence: Some(Epoch(1)),
        revision: Some(Revision(9)),
        ..batch([
            Write::Put(Table::Journal, Key::Number(1), "replaced".into()),
            Write::Put(Table::Heads, Key::Number(5), "new".into()),
            Write::Insert(Table::Outbox, operation(1), "new".into()),
            Write::Delete(Table::Journal, Key::Number(2)),
            Write::Clear(Table::Blocks),
        ])
    };
    assert_eq!(store.commit(fenced).await, Err(StoreError::Fenced));
    assert_eq!(store.load(&Table::ALL).await.unwrap(), before);
}

async fn a_commit_without_fence_passes_any_epoch(store: impl Store) {
    lead(&store).await;
    fill(&store, Table::Outbox, [operation(1)]).await;
    assert_eq!(loaded_keys(&store, &Table::ALL).await, [(Table::Outbox, operation(1))]);
}

async fn a_revision_is_written_with_its_batch(store: impl Store) {
    let first = Batch { revision: Some(Revision(1)), ..batch([]) };
    store.commit(first).await.unwrap();
    fill(&store, Table::Outbox, [operation(1)]).await;
    assert_eq!(store.load(&[]).await.unwrap().revision, Revision(1));
    let later = Batch { revision: Some(Revision(1 << 40)), ..batch([Write::Clear(Table::Outbox)]) };
    store.commit(later).await.unwrap();
    let snapshot = store.load(&[Table::Outbox]).await.unwrap();
    assert_eq!((snapshot.revision, snapshot.records), (Revision(1 << 40), vec![]));
}

async fn an_empty_batch_is_done_at_once(store: impl Store) {
    store.commit(batch([])).await.unwrap();
}

async fn an_empty_batch_is_fenced_too(store: impl Store) {
    let first = lead(&store).await;
    lead(&store).await;
    let fenced = Batch { fence: Some(first), ..batch([]) };
    assert_eq!(store.commit(fenced).await, Err(StoreError::Fenced));
}

async fn reading_no_keys_gives_no_values(store: impl Store) {
    assert_eq!(store.read(Table::Blocks, &[]).await, Ok(vec![]));
}

async fn forty_records_of_fifty_kibibytes_are_one_batch(store: impl Store) {
    let content = |number: u64| Bytes::from(noise(50 << 10, number));
    let writes = (0..40).map(|number| Write::Put(Table::Blocks, Key::Number(number), content(number)));
    let strict = Batch { durability: Durability::Strict, ..batch(writes) };
    store.commit(strict).await.unwrap();
    let records = store.load(&[Table::Blocks]).await.unwrap().records;
    assert_eq!(records.len(), 40);
    for (number, (table, key, value)) in (0..).zip(records) {
        assert_eq!((table, key), (Table::Blocks, Key::Number(number)));
        assert!(value == content(number), "record {number} came back changed");
    }
}

async fn commits_at_the_same_time_all_happen(store: impl Store) {
    let epoch = lead(&store).await;
    let value = |number| Bytes::from(noise(if number % 2 == 0 { 10 } else { 40_000 }, number));
    let commits = (0..20).map(|number| {
        let write = Write::Put(Table::Journal, Key::Number(number), value(number));
        store.commit(Batch { fence: (number % 3 == 0).then_some(epoch), ..batch([write]) })
    });
    assert!(join_all(commits).await.iter().all(Result::is_ok));
    let keys = Vec::from_iter((0..20).map(Key::Number));
    let reads = join_all(keys.iter().map(|key| store.read(Table::Journal, std::slice::from_ref(key)))).await;
    for (number, read) in (0..).zip(reads) {
        assert!(read == Ok(vec![Some(value(number))]), "record {number}");
    }
}

async fn one_of_two_that_claim_at_the_same_time_leads(store: impl Store) {
    let mut claims = join_all([store.raise_epoch(Epoch(0)), store.raise_epoch(Epoch(0))]).await;
    claims.sort_by_key(|claim| matches!(claim, Ok(Claim::Overtaken(_))));
    assert_eq!(claims, [Ok(Claim::Won(Revision(0))), Ok(Claim::Overtaken(Epoch(1)))]);
    let commits = [0, 1].map(|epoch| store.commit(Batch { fence: Some(Epoch(epoch)), ..batch([]) }));
    assert_eq!(join_all(commits).await, [Err(StoreError::Fenced), Ok(())]);
}

async fn a_claim_from_another_epoch_changes_nothing(store: impl Store) {
    let first = lead(&store).await;
    let second = lead(&store).await;
    for from in [Epoch(0), first, second.next(), Epoch(1 << 40)] {
        assert_eq!(store.raise_epoch(from).await, Ok(Claim::Overtaken(second)));
    }
    store.commit(Batch { fence: Some(second), ..batch([]) }).await.unwrap();
    assert_eq!(store.raise_epoch(second).await, Ok(Claim::Won(Revision(0))));
    assert_eq!(store.load(&[]).await.unwrap().epoch, second.next());
}

/// Begins the next leadership.
async fn lead(store: &impl Store) -> Epoch {
    let from = store.load(&[Table::Meta]).await.unwrap().epoch;
    assert!(matches!(store.raise_epoch(from).await, Ok(Claim::Won(_))));
    from.next()
}

async fn a_closed_store_refuses(store: impl Store) {
    fill(&store, Table::Journal, [Key::Number(1)]).await;
    store.close();
    store.close();
    assert!(matches!(store.load(&Table::ALL).await, Err(StoreError::Closed)));
    assert!(matches!(store.read(Table::Journal, &[Key::Number(1)]).await, Err(StoreError::Closed)));
    assert!(matches!(store.raise_epoch(Epoch(0)).await, Err(StoreError::Closed)));
    let put = Write::Put(Table::Journal, Key::Number(1), "late".into());
    assert!(matches!(store.commit(batch([put])).await, Err(StoreError::Closed)));
}

// ---- IndexedDB alone ----

#[wasm_bindgen_test]
async fn a_browser_with_indexed_db_keeps_records() {
    let account = account();
    let opened = store::open(&account).await.unwrap();
    assert!(opened.durable());
    assert!(!MemoryStore::default().durable());
    fill(&opened, Table::Outbox, [operation(1)]).await;
    opened.close();
    let again = store::open(&account).await.unwrap();
    assert_eq!(loaded_keys(&again, &Table::ALL).await, [(Table::Outbox, operation(1))]);
}

#[wasm_bindgen_test]
async fn a_reopened_store_holds_what_was_committed() {
    let account = account();
    let store = open(&account).await;
    let epoch = lead(&store).await;
    let writes = [
        Write::Put(Table::Meta, Key::Number(0), "cursor".into()),
        Write::Put(Table::Blocks, Key::Number(3), noise(40_000, 3).into()),
        Write::Put(Table::Outbox, operation(1), "unsent".into()),
    ];
    let committed = Batch { fence: Some(epoch), revision: Some(Revision(1)), ..batch(writes) };
    store.commit(committed).await.unwrap();
    let before = store.load(&Table::ALL).await.unwrap();
    store.close();
    assert_eq!(open(&account).await.load(&Table::ALL).await.unwrap(), before);
}

#[wasm_bindgen_test]
async fn two_handles_see_each_other() {
    let account = account();
    let (one, other) = (open(&account).await, open(&account).await);
    fill(&one, Table::Outbox, [operation(1)]).await;
    assert_eq!(loaded_keys(&other, &Table::ALL).await, [(Table::Outbox, operation(1))]);
    let epoch = lead(&one).await;
    let next = lead(&other).await;
    assert_eq!((epoch, next), (Epoch(1), Epoch(2)));
    let late = Batch { fence: Some(epoch), ..batch([Write::Clear(Table::Outbox)]) };
    assert_eq!(one.commit(late).await, Err(StoreError::Fenced));
    assert_eq!(loaded_keys(&one, &Table::ALL).await, [(Table::Outbox, operation(1))]);
}

#[wasm_bindgen_test]
async fn tabs_that_open_a_new_database_at_once_share_one_key() {
    let account = account();
    let stores = join_all((0..6).map(|_| open(&account))).await;
    for (number, store) in (0..).zip(&stores) {
        fill(store, Table::Outbox, [operation(number)]).await;
    }
    for store in &stores {
        assert_eq!(store.load(&Table::ALL).await.unwrap().records.len(), stores.len());
    }
}

#[wasm_bindgen_test]
async fn accounts_never_meet() {
    let (ada, bob) = (open(&account()).await, open(&account()).await);
    fill(&ada, Table::Outbox, [operation(1)]).await;
    assert_eq!(loaded_keys(&bob, &Table::ALL).await, []);
}

#[wasm_bindgen_test]
async fn a_profiles_name_is_a_hash() {
    // printf tutti:ada | sha256sum
    assert_eq!(profile_name("ada").await.unwrap(), "eb637a459eceaabd1ca5a65841e4b42f");
    assert_ne!(profile_name("ada").await, profile_name("Ada").await);
}

#[wasm_bindgen_test]
async fn the_raw_database_shows_no_plain_text() {
    let canary = "Kanarienvogel";
    let account = format!("{canary}-{}", account());
    let store = open(&account).await;
    let content = Bytes::from(format!("{{\"text\":\"{canary} im Bergwerk\"}} ").repeat(50));
    let writes = Table::ALL.into_iter().map(|table| match table {
        Table::Outbox => Write::Put(table, operation(1), content.clone()),
        table => Write::Put(table, Key::Number(1), content.clone()),
    });
    store.commit(Batch { revision: Some(Revision(1)), ..batch(writes) }).await.unwrap();
    store.commit(batch([Write::Put(Table::Journal, Key::Number(2), canary.into())])).await.unwrap();
    lead(&store).await;

    let raw = raw(&account).await;
    assert!(!raw.name().contains(canary));
    let utf16: Vec<u8> = canary.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut sealed = 0;
    for name in raw.object_store_names() {
        assert!(!name.contains(canary));
        let transaction = raw.transaction(&name).build().unwrap();
        let store = transaction.object_store(&name).unwrap();
        let keys = store.get_all_keys::<JsValue>().primitive().unwrap();
        let values = store.get_all::<JsValue>().primitive().unwrap();
        for stored in keys.await.unwrap().chain(values.await.unwrap()) {
            let stored = stored.unwrap();
            // A view of a larger buffer would be stored with all of that buffer.
            let buffer = match stored.dyn_ref::<Uint8Array>() {
                Some(view) => view.buffer().unchecked_into(),
                None => stored.clone(),
            };
            if buffer.is_instance_of::<ArrayBuffer>() {
                let bytes = Uint8Array::new(&buffer).to_vec();
                for text in [canary.as_bytes(), &utf16] {
                    assert!(!bytes.windows(text.len()).any(|window| window == text), "plain text in {name}");
                }
                sealed += 1;
            } else if let Some(text) = stored.as_string() {
                let names = [
                    "epoch",
                    "revision",
                    "sealing",
                    "generation",
                    "probed",
                    "fence-0",
                    "journal",
                    "heads",
                    "locators",
                ];
                let named = names.contains(&text.as_str());
                let id = text.strip_prefix("probe-").unwrap_or(&text);
                let random = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
                assert!(named || random, "a key or a value says {text}");
            } else if Reflect::has(&stored, &"agent".into()) == Ok(true) {
                // Which browser this is, and what it does.
                assert_eq!(Object::keys(stored.unchecked_ref::<Object>()).length(), 2, "{stored:?}");
            } else {
                let number = stored.as_f64().is_some() || stored.is_truthy() && stored.as_bool().is_some();
                assert!(number || stored.is_instance_of::<CryptoKey>(), "{stored:?}");
            }
        }
    }
    assert_eq!(sealed, Table::ALL.len() + 1 + 1, "the records, and the outbox's key");
}

#[wasm_bindgen_test]
async fn the_key_cannot_be_exported() {
    let account = account();
    let _store = open(&account).await;
    let key: CryptoKey = raw_get(&raw(&account).await, "keys", "sealing".into()).await.unchecked_into();
    assert!(!key.extractable());
    let crypto: Crypto = Reflect::get(&js_sys::global(), &"crypto".into()).unwrap().unchecked_into();
    for format in ["raw", "jwk"] {
        let export = crypto.subtle().export_key(format, &key).unwrap();
        let refused = JsFuture::from(export).await.unwrap_err();
        assert_eq!(refused.unchecked_into::<web_sys::DomException>().name(), "InvalidAccessError");
    }
}

#[wasm_bindgen_test]
async fn a_changed_byte_is_damage() {
    let account = account();
    let store = open(&account).await;
    fill(&store, Table::Blocks, [1, 2].map(Key::Number)).await;
    let raw = raw(&account).await;
    let good = Uint8Array::from(raw_get(&raw, "blocks", 1.into()).await).to_vec();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        raw_put(&raw, "blocks", 1.into(), Uint8Array::from(&bad[..]).into()).await;
        let read = store.read(Table::Blocks, &[Key::Number(1)]).await;
        assert!(matches!(read, Err(StoreError::Damaged(_))), "byte {at}: {read:?}");
    }
    assert!(matches!(store.load(&Table::ALL).await, Err(StoreError::Damaged(_))));
    assert!(store.read(Table::Blocks, &[Key::Number(2)]).await.is_ok());
}

#[wasm_bindgen_test]
async fn what_is_no_record_is_damage() {
    let account = account();
    let store = open(&account).await;
    let raw = raw(&account).await;
    let bytes = |len: usize| Uint8Array::from(&vec![0; len][..]).into();
    let nonsense =
        [bytes(0), bytes(11), bytes(12), bytes(28), bytes(29), bytes(70_000), "text".into(), 7.into()];
    for value in nonsense.into_iter().chain([JsValue::NULL, js_sys::Object::new().into()]) {
        let is_null = value.is_null();
        raw_put(&raw, "heads", 1.into(), value.clone()).await;
        let loaded = store.load(&[Table::Heads]).await;
        assert!(matches!(loaded, Err(StoreError::Damaged(_))), "{value:?}: {loaded:?}");
        if !is_null {
            let read = store.read(Table::Heads, &[Key::Number(1)]).await;
            assert!(matches!(read, Err(StoreError::Damaged(_))), "{value:?}: {read:?}");
        }
    }
}

#[wasm_bindgen_test]
async fn what_has_no_key_of_a_record_is_passed_over() {
    let account = account();
    let store = open(&account).await;
    fill(&store, Table::Blocks, [Key::Number(1)]).await;
    let raw = raw(&account).await;
    let bytes = |len: usize| Uint8Array::from(&vec![0; len][..]).into();
    for key in [JsValue::from(-1), 0.5.into(), f64::INFINITY.into(), bytes(15), "text".into()] {
        raw_put(&raw, "blocks", key, bytes(40)).await;
    }
    assert_eq!(loaded_keys(&store, &[Table::Blocks]).await, [(Table::Blocks, Key::Number(1))]);
}

#[wasm_bindgen_test]
async fn a_record_that_is_gone_is_damage_in_tables_without_gaps() {
    for (table, name) in [(Table::Journal, "journal"), (Table::Heads, "heads"), (Table::Locators, "locators")]
    {
        let account = account();
        let store = open(&account).await;
        let commit = async |revision, writes: Vec<Write>| {
            store.commit(Batch { revision: Some(Revision(revision)), ..batch(writes) }).await.unwrap();
        };
        let put = |number| Write::Put(table, Key::Number(number), "value".into());
        commit(1, [7, 8].map(put).into()).await;
        commit(
            2,
            vec![Write::Clear(table), put(0), put(1), Write::Put(Table::Meta, Key::Number(0), "x".into())],
        )
        .await;
        commit(3, vec![put(2)]).await;
        let raw = raw(&account).await;
        for gone in [0, 1, 2] {
            let record = raw_get(&raw, name, gone.into()).await;
            raw_delete(&raw, name, gone.into()).await;
            let loaded = store.load(&[table]).await;
            assert!(matches!(loaded, Err(StoreError::Damaged(_))), "{table:?} {gone}: {loaded:?}");
            raw_put(&raw, name, gone.into(), record).await;
            assert_eq!(loaded_keys(&store, &[table]).await.len(), 3);
        }
        commit(4, vec![Write::Clear(table)]).await;
        assert_eq!(loaded_keys(&store, &Table::ALL).await, [(Table::Meta, Key::Number(0))]);
    }
}

#[wasm_bindgen_test]
async fn a_record_moved_to_another_place_is_damage() {
    let account = account();
    let store = open(&account).await;
    fill(&store, Table::Blocks, [1, 2].map(Key::Number)).await;
    let raw = raw(&account).await;
    let record = raw_get(&raw, "blocks", 1.into()).await;
    raw_put(&raw, "blocks", 2.into(), record.clone()).await;
    raw_put(&raw, "heads", 1.into(), record.clone()).await;
    for (table, number) in [(Table::Blocks, 2), (Table::Heads, 1)] {
        let read = store.read(table, &[Key::Number(number)]).await;
        assert!(matches!(read, Err(StoreError::Damaged(_))), "{table:?} {number}: {read:?}");
    }
    assert!(store.read(Table::Blocks, &[Key::Number(1)]).await.is_ok());
}

#[wasm_bindgen_test]
async fn a_record_moved_to_another_account_is_damage() {
    let (ada, bob) = (account(), account());
    fill(&open(&ada).await, Table::Blocks, [Key::Number(1)]).await;
    open(&bob).await.close();
    let (from, to) = (raw(&ada).await, raw(&bob).await);
    // Even with the key that it was sealed with.
    raw_put(&to, "keys", "sealing".into(), raw_get(&from, "keys", "sealing".into()).await).await;
    raw_put(&to, "blocks", 1.into(), raw_get(&from, "blocks", 1.into()).await).await;
    let read = open(&bob).await.read(Table::Blocks, &[Key::Number(1)]).await;
    assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}");
}

#[wasm_bindgen_test]
async fn a_key_that_is_gone_or_none_is_made_anew_and_what_it_has_sealed_is_damage() {
    // Tabs that find none at the same time agree on one.
    for (present, tabs) in [(JsValue::UNDEFINED, 4), ("nonsense".into(), 1)] {
        let account = account();
        let before = open(&account).await;
        fill(&before, Table::Outbox, [operation(1)]).await;
        let raw = raw(&account).await;
        if present.is_undefined() {
            raw_delete(&raw, "keys", "sealing".into()).await;
        } else {
            raw_put(&raw, "keys", "sealing".into(), present).await;
        }
        raw.close();
        let stores = join_all((0..tabs).map(|_| open(&account))).await;
        let store = &stores[0];
        assert!(matches!(store.load(&Table::ALL).await, Err(StoreError::Damaged(_))));
        fill(store, Table::Heads, [Key::Number(0)]).await;
        for store in &stores {
            assert!(store.read(Table::Heads, &[Key::Number(0)]).await.is_ok());
        }
        // It is another database to those that have the old key.
        close_handles(&account).await;
        assert_eq!(before.load(&[]).await, Err(StoreError::Erased));
    }
}

#[wasm_bindgen_test]
async fn a_newer_database_is_left_alone() {
    let account = account();
    let store = open(&account).await;
    fill(&store, Table::Outbox, [operation(1)]).await;

    // The older tab is in nobody's way, and says so afterwards.
    let newer = Database::open(database_name(&account).await)
        .with_version(2u32)
        .with_on_blocked(|_| panic!("the older tab holds on to the database"))
        .with_on_upgrade_needed(|_, database| database.create_object_store("later").build().map(drop))
        .await
        .unwrap();
    assert_eq!(store.load(&Table::ALL).await, Err(StoreError::Version));
    let put = Write::Put(Table::Outbox, operation(2), "late".into());
    assert_eq!(store.commit(batch([put])).await, Err(StoreError::Version));
    assert_eq!(store::open(&account).await.map(drop), Err(StoreError::Version));

    let transaction = newer.transaction("outbox").build().unwrap();
    let outbox = transaction.object_store("outbox").unwrap();
    assert_eq!(outbox.count().primitive().unwrap().await, Ok(1));
}

#[wasm_bindgen_test]
async fn a_newer_database_that_older_code_can_read_is_used_as_it_is() {
    let account = account();
    let store = open(&account).await;
    fill(&store, Table::Outbox, [operation(1)]).await;
    let newer = Database::open(database_name(&account).await)
        .with_version(2u32)
        .with_on_upgrade_needed(|_, database| {
            for name in ["later", "version-2-for-1"] {
                database.create_object_store(name).build()?;
            }
            Ok(())
        })
        .await
        .unwrap();
    fill(&store, Table::Outbox, [operation(2)]).await;
    newer.close();
    let again = open(&account).await;
    let both = [1, 2].map(|number| (Table::Outbox, operation(number)));
    assert_eq!(loaded_keys(&again, &Table::ALL).await, both);
}

#[wasm_bindgen_test]
async fn a_tab_that_does_not_let_go_of_an_older_database_is_told_of() {
    let account = account();
    let name = database_name(&account).await;
    // As an older version might have made it: it ignores that somebody waits.
    let older = Database::open(&name).with_version(1u32).await.unwrap();
    older.close();
    Database::delete_by_name(&name).unwrap().await.unwrap();
    let stubborn = Database::open(&name).with_version(1u32).await.unwrap();
    let deleting = Database::delete_by_name(&name).unwrap();
    let opening = IdbStore::open(&account);
    assert!(matches!(opening.await, Err(StoreError::Blocked)));
    stubborn.close();
    deleting.await.unwrap();
    open(&account).await;
}

#[wasm_bindgen_test]
async fn a_suspended_store_holds_up_nobody_and_goes_on_afterwards() {
    let account = account();
    let store = open(&account).await;
    fill(&store, Table::Outbox, [operation(1)]).await;
    store.suspend();
    // A tab that is put aside could not answer, so it must not be asked to let go. It may still be
    // waited for, until a transaction under way is over.
    let asked = Rc::<Cell<bool>>::default();
    let flag = asked.clone();
    let listener = Closure::<dyn Fn()>::new(move || flag.set(true));
    store.on_lost(listener.as_ref().unchecked_ref());
    let newer = Database::open(database_name(&account).await).with_version(2u32).with_on_upgrade_needed(
        |_, database| database.create_object_store("version-2-for-1").build().map(drop),
    );
    newer.await.unwrap().close();
    assert!(!asked.get());
    assert_eq!(loaded_keys(&store, &Table::ALL).await, [(Table::Outbox, operation(1))]);
}

#[wasm_bindgen_test]
async fn a_closed_handle_is_opened_again() {
    let account = account();
    let store = open(&account).await;
    fill(&store, Table::Outbox, [operation(1)]).await;
    for round in 2..5 {
        close_handles(&account).await;
        // Several calls find out at the same time.
        let puts = [round, round + 10, round + 20].map(|number| {
            store.commit(batch([Write::Put(Table::Outbox, operation(number), "value".into())]))
        });
        assert!(join_all(puts).await.iter().all(Result::is_ok));
    }
    close_handles(&account).await;
    assert_eq!(store.load(&Table::ALL).await.unwrap().records.len(), 10);
    close_handles(&account).await;
    assert!(matches!(&store.read(Table::Outbox, &[operation(1)]).await.unwrap()[..], [Some(_)]));
    close_handles(&account).await;
    assert_eq!(store.raise_epoch(Epoch(0)).await, Ok(Claim::Won(Revision(0))));
}

#[wasm_bindgen_test]
async fn an_erased_database_is_a_new_one() {
    let account = account();
    let store = open(&account).await;
    let epoch = lead(&store).await;
    fill(&store, Table::Outbox, [operation(1)]).await;
    Database::delete_by_name(&database_name(&account).await).unwrap().await.unwrap();
    // That is told until it is understood: what was meant for the one before must not be written here.
    for _ in 0..2 {
        assert_eq!(store.commit(Batch { fence: Some(epoch), ..batch([]) }).await, Err(StoreError::Erased));
    }
    let late = store.commit(Batch { fence: Some(epoch), ..batch([]) });
    let (late, ()) = join(late, async { store.begin_anew() }).await;
    assert_eq!(late, Err(StoreError::Erased));
    fill(&store, Table::Outbox, [operation(2)]).await;
    assert_eq!(loaded_keys(&store, &Table::ALL).await, [(Table::Outbox, operation(2))]);
}

#[wasm_bindgen_test]
async fn a_lost_database_is_tried_once_more_and_then_reported() {
    for error in ["UnknownError", "InvalidStateError", "AbortError"] {
        let account = account();
        let store = open(&account).await;
        let name = database_name(&account).await;
        let once = break_transactions(&name, error, 1);
        fill(&store, Table::Outbox, [operation(1)]).await;
        assert_eq!(once.end(), 0, "the failure was not met");

        let twice = break_transactions(&name, error, 2);
        assert!(matches!(store.load(&Table::ALL).await, Err(StoreError::Failed(_))), "{error}");
        assert_eq!(twice.end(), 0, "the failure was not met twice");
        assert_eq!(loaded_keys(&store, &Table::ALL).await, [(Table::Outbox, operation(1))]);
    }
}

#[wasm_bindgen_test]
async fn any_failing_write_undoes_its_batch() {
    let account = account();
    let store = open(&account).await;
    let name = database_name(&account).await;
    let writes = || [1, 2, 3].map(|number| Write::Put(Table::Journal, Key::Number(number), "value".into()));
    let errors = ["QuotaExceededError", "DataError", "ConstraintError"];
    for (failing, error) in (0..4).flat_map(|at| errors.map(|error| (at, error))) {
        let sabotage = break_put(&name, error, failing);
        let committed = store.commit(Batch { revision: Some(Revision(1)), ..batch(writes()) }).await;
        assert_eq!(sabotage.end(), 0, "write {failing} was not met");
        match error {
            "QuotaExceededError" => assert_eq!(committed, Err(StoreError::Quota)),
            _ => assert!(matches!(committed, Err(StoreError::Failed(_))), "{error}: {committed:?}"),
        }
        let snapshot = store.load(&Table::ALL).await.unwrap();
        assert_eq!((snapshot.revision, snapshot.records), (Revision(0), vec![]), "write {failing}: {error}");
    }
    fill(&store, Table::Journal, [Key::Number(1)]).await;
    assert_eq!(loaded_keys(&store, &Table::ALL).await, [(Table::Journal, Key::Number(1))]);
}

#[wasm_bindgen_test]
async fn a_browser_without_indexed_db_gets_memory() {
    hide_indexed_db();
    let opened = store::open(&account()).await;
    show_indexed_db();
    let opened = opened.unwrap();
    assert!(!opened.durable());
    fill(&opened, Table::Outbox, [operation(1)]).await;
    assert_eq!(loaded_keys(&opened, &Table::ALL).await, [(Table::Outbox, operation(1))]);
}

// ---- helpers ----

fn account() -> String {
    format!("account {}", js_sys::Math::random())
}

async fn open(account: &str) -> IdbStore {
    IdbStore::open(account).await.unwrap()
}

fn batch(writes: impl IntoIterator<Item = Write>) -> Batch {
    let writes = writes.into_iter().collect();
    Batch { fence: None, revision: None, writes, durability: Durability::Relaxed }
}

fn operation(number: u64) -> Key {
    Key::Operation(OperationId::mint(Millis(number), [number as u8; 10]))
}

async fn fill(store: &impl Store, table: Table, keys: impl IntoIterator<Item = Key>) {
    let writes = keys.into_iter().map(|key| Write::Put(table, key, "value".into()));
    store.commit(batch(writes)).await.unwrap();
}

async fn loaded_keys(store: &impl Store, tables: &[Table]) -> Vec<(Table, Key)> {
    let records = store.load(tables).await.unwrap().records;
    records.into_iter().map(|(table, key, _)| (table, key)).collect()
}

/// Bytes that do not compress, always the same for a seed (xorshift64).
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

async fn database_name(account: &str) -> String {
    format!("tutti-{}", profile_name(account).await.unwrap())
}

/// The database as anyone in the origin can open it.
async fn raw(account: &str) -> Database {
    Database::open(database_name(account).await).await.unwrap()
}

async fn raw_get(raw: &Database, store: &str, key: JsValue) -> JsValue {
    let transaction = raw.transaction(store).build().unwrap();
    let request = transaction.object_store(store).unwrap().get::<JsValue, _, _>(key).primitive().unwrap();
    request.await.unwrap().expect("a record")
}

async fn raw_put(raw: &Database, store: &str, key: JsValue, value: JsValue) {
    let transaction = raw.transaction(store).with_mode(TransactionMode::Readwrite).build().unwrap();
    let put =
        transaction.object_store(store).unwrap().put(value).with_key(key).without_key_type().primitive();
    put.unwrap().await.unwrap();
    transaction.commit().await.unwrap();
}

async fn raw_delete(raw: &Database, store: &str, key: JsValue) {
    let transaction = raw.transaction(store).with_mode(TransactionMode::Readwrite).build().unwrap();
    transaction.object_store(store).unwrap().delete(key).primitive().unwrap().await.unwrap();
    transaction.commit().await.unwrap();
}

/// Makes every open handle of the database close, by an upgrade that then does not happen.
async fn close_handles(account: &str) {
    let upgrade = Database::open(database_name(account).await)
        .with_version(2u32)
        .with_on_upgrade_needed(|_, database| database.delete_object_store("none such"));
    assert!(upgrade.await.is_err());
}
