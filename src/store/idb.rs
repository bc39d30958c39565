//! The store in IndexedDB. What is done there is told in `database.js`: in the browser's own language it is shorter.

use bytes::Bytes;
use js_sys::{Array, ArrayBuffer, Function, Promise, Reflect, Uint8Array};
use tutti_engine::batch::{Batch, Claim, Durability, Key, StoreError, Table, Write};
use tutti_protocol::{Epoch, OperationId, Revision};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::{
    Salvage, Store,
    pack::{pack, unpack},
};
use crate::error::describe;

#[wasm_bindgen(module = "/src/store/database.js")]
extern "C" {
    #[derive(Debug)]
    type Records;
    #[wasm_bindgen(constructor)]
    fn new(profile: &str, version: u32, stores: Vec<String>) -> Records;
    #[wasm_bindgen(method)]
    fn open(this: &Records) -> Promise;
    #[wasm_bindgen(method, getter)]
    fn later(this: &Records) -> bool;
    #[wasm_bindgen(method, setter)]
    fn set_lost(this: &Records, listener: &Function);
    #[wasm_bindgen(method)]
    fn salvage(this: &Records, tables: &Array) -> Promise;
    #[wasm_bindgen(method)]
    fn read(this: &Records, table: u8, keys: &Array) -> Promise;
    #[wasm_bindgen(method)]
    fn commit(
        this: &Records,
        writes: &Array,
        fence: Option<f64>,
        revision: Option<f64>,
        durability: &str,
    ) -> Promise;
    #[wasm_bindgen(method, js_name = raiseEpoch)]
    fn raise_epoch(this: &Records, from: f64) -> Promise;
    #[wasm_bindgen(method)]
    fn push(this: &Records) -> Promise;
    #[wasm_bindgen(method, js_name = setPush)]
    fn set_push(this: &Records, push: Option<String>) -> Promise;
    #[wasm_bindgen(method)]
    fn erase(this: &Records) -> Promise;
    #[wasm_bindgen(method, js_name = beginAnew)]
    fn begin_anew(this: &Records);
    #[wasm_bindgen(method)]
    fn suspend(this: &Records);
    #[wasm_bindgen(method)]
    fn close(this: &Records);

    fn digest(text: &str) -> Promise;
}

/// Version of the schema. Later ones only add to it.
const VERSION: u32 = if cfg!(feature = "next") { 2 } else { 1 };
/// The oldest version whose code can still work with this schema.
const OLDEST: u32 = if cfg!(feature = "breaking") { 2 } else { 1 };

/// What an account's database, lock and channel are called, so that none of them shows its name:
/// 32 hexadecimal digits.
///
/// # Errors
/// [`StoreError::Failed`] on a page that is no secure context: browsers offer no cryptography there.
pub async fn profile_name(account: &str) -> Result<String, StoreError> {
    Ok(settled(digest(&format!("tutti:{account}"))).await?.as_string().unwrap_or_default())
}

/// Records in IndexedDB.
#[derive(Debug)]
pub struct IdbStore(Records);

impl IdbStore {
    /// Opens the database of an account, or creates it.
    ///
    /// # Errors
    /// [`StoreError::Version`] when it is of a newer version; it is left as it is.
    pub async fn open(account: &str) -> Result<Self, StoreError> {
        let profile = profile_name(account).await?;
        // The object store that says to older code from which version on it can work with which.
        let mut stores = vec![format!("version-{VERSION}-for-{OLDEST}")];
        if cfg!(feature = "next") {
            // What the next version will bring, for tests of two versions side by side.
            stores.push("next".to_owned());
        }
        let store = Self(Records::new(&profile, VERSION, stores));
        settled(store.0.open()).await?;
        Ok(store)
    }

    /// Whether the database that is open is of a later version.
    pub(super) fn is_later(&self) -> bool {
        self.0.later()
    }

    /// Calls this when the database is closed from without, by the browser or for another tab, and says whether that is
    /// to delete it.
    pub fn on_lost(&self, listener: &Function) {
        self.0.set_lost(listener);
    }

    pub(super) async fn push(&self) -> Result<Option<String>, StoreError> {
        Ok(settled(self.0.push()).await?.as_string())
    }

    pub(super) async fn set_push(&self, push: Option<String>) -> Result<(), StoreError> {
        settled(self.0.set_push(push)).await.map(drop)
    }
}

impl Store for IdbStore {
    async fn salvage(&self, tables: &[Table]) -> Result<Salvage, StoreError> {
        let tables = tables.iter().map(|table| JsValue::from(number(*table))).collect();
        let [epoch, revision, found, at] = items(&settled(self.0.salvage(&tables)).await?);
        let mut salvage = Salvage::default();
        salvage.snapshot.epoch = Epoch(counted(&epoch));
        salvage.snapshot.revision = Revision(counted(&revision));
        let place =
            |table: JsValue, key: JsValue| Some((Table::ALL[counted(&table) as usize], from_js(&key)?));
        for item in at.unchecked_into::<Array>().iter() {
            let [table, key] = items(&item);
            salvage.damaged.extend(place(table, key));
        }
        for item in found.unchecked_into::<Array>().iter() {
            let [table, key, packed] = items(&item);
            let Some((table, key)) = place(table, key) else { continue };
            match opened(&packed) {
                Some(record) => salvage.snapshot.records.push((table, key, record)),
                None => salvage.damaged.push((table, key)),
            }
        }
        Ok(salvage)
    }

    async fn read(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let wanted = keys.iter().map(|key| to_js(*key)).collect();
        let found: Array = settled(self.0.read(number(table), &wanted)).await?.unchecked_into();
        let damaged = |key| StoreError::Damaged(format!("{table:?} {key:?}"));
        let record = |(key, packed): (&Key, JsValue)| match packed.is_undefined() {
            true => Ok(None),
            false => opened(&packed).map(Some).ok_or_else(|| damaged(*key)),
        };
        keys.iter().zip(found.iter()).map(record).collect()
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let Batch { fence, revision, writes, durability } = batch;
        let writes = writes.into_iter().map(write).collect();
        let durability = match durability {
            Durability::Relaxed => "relaxed",
            Durability::Strict => "strict",
        };
        let (fence, revision) =
            (fence.map(|epoch| epoch.0 as f64), revision.map(|revision| revision.0 as f64));
        settled(self.0.commit(&writes, fence, revision, durability)).await.map(drop)
    }

    async fn raise_epoch(&self, from: Epoch) -> Result<Claim, StoreError> {
        let [epoch, revision] = items(&settled(self.0.raise_epoch(from.0 as f64)).await?);
        Ok(match Epoch(counted(&epoch)) {
            epoch if epoch == from => Claim::Won(Revision(counted(&revision))),
            epoch => Claim::Overtaken(epoch),
        })
    }

    async fn erase(&self) -> Result<(), StoreError> {
        settled(self.0.erase()).await.map(drop)
    }

    fn begin_anew(&self) {
        self.0.begin_anew();
    }

    fn suspend(&self) {
        self.0.suspend();
    }

    fn durable(&self) -> bool {
        true
    }

    fn close(&self) {
        self.0.close();
    }
}

/// Of a store that nobody has any more nothing stays open.
impl Drop for IdbStore {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What comes of it, or why nothing does.
async fn settled(promise: Promise) -> Result<JsValue, StoreError> {
    JsFuture::from(promise).await.map_err(|refusal| {
        let kind = Reflect::get(&refusal, &"kind".into()).ok().and_then(|kind| kind.as_string());
        match kind.as_deref() {
            Some("fenced") => StoreError::Fenced,
            Some("quota") => StoreError::Quota,
            Some("closed") => StoreError::Closed,
            Some("version") => StoreError::Version,
            Some("blocked") => StoreError::Blocked,
            Some("erased") => StoreError::Erased,
            Some("damaged") => StoreError::Damaged(describe(&refusal)),
            _ => StoreError::Failed(describe(&refusal)),
        }
    })
}

/// So many items of a list.
fn items<const N: usize>(list: &JsValue) -> [JsValue; N] {
    let list: &Array = list.unchecked_ref();
    std::array::from_fn(|at| list.get(at as u32))
}

/// The epoch, the revision, counts and the numbers of tables.
fn counted(number: &JsValue) -> u64 {
    number.as_f64().unwrap_or_default() as u64
}

/// A record that was sealed, if it opens.
fn opened(packed: &JsValue) -> Option<Bytes> {
    unpack(&packed.dyn_ref::<Uint8Array>()?.to_vec()).map(Bytes::from)
}

fn write(write: Write) -> JsValue {
    let (what, table, key, value) = match write {
        Write::Put(table, key, value) => (0, table, to_js(key), Some(value)),
        Write::Insert(table, key, value) => (1, table, to_js(key), Some(value)),
        Write::Delete(table, key) => (2, table, to_js(key), None),
        Write::Clear(table) => (3, table, JsValue::UNDEFINED, None),
    };
    let value = value.map_or(JsValue::UNDEFINED, |value| Uint8Array::from(&pack(&value)[..]).into());
    Array::of4(&what.into(), &number(table).into(), &key, &value).into()
}

/// Part of what is sealed: these never change.
fn number(table: Table) -> u8 {
    match table {
        Table::Meta => 0,
        Table::Journal => 1,
        Table::Blocks => 2,
        Table::Heads => 3,
        Table::Locators => 4,
        Table::Outbox => 5,
    }
}

fn to_js(key: Key) -> JsValue {
    match key {
        Key::Number(number) => (number as f64).into(),
        Key::Operation(id) => Uint8Array::from(&id.as_bytes()[..]).into(),
    }
}

fn from_js(key: &JsValue) -> Option<Key> {
    match key.as_f64() {
        Some(number) => Some(Key::Number(number as u64)),
        None => {
            let bytes = Uint8Array::new(key.dyn_ref::<ArrayBuffer>()?);
            OperationId::try_from(&bytes.to_vec()[..]).ok().map(Key::Operation)
        }
    }
}
