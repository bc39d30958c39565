//! The store in IndexedDB: one object store a table, each record sealed before the transaction opens.
//!
//! In a transaction nothing is awaited but its own requests: a transaction without one commits by
//! itself, and Safari ends it at the first microtask after it was opened.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    rc::Rc,
};

use bytes::Bytes;
use indexed_db_futures::{
    KeyRange,
    database::Database,
    error::{Error, JSError, OpenDbError},
    future::VoidRequest,
    internals::SystemRepr,
    object_store::ObjectStore,
    prelude::*,
    transaction::{Transaction, TransactionDurability, TransactionMode, TransactionOptions},
};
use js_sys::{ArrayBuffer, Number, Uint8Array};
use tutti_engine::batch::{Batch, Claim, Durability, Key, Snapshot, StoreError, Table, Write};
use tutti_protocol::{Epoch, OperationId, Revision};
use wasm_bindgen::prelude::*;
use web_sys::{CryptoKey, IdbTransaction};

use super::{
    Store,
    seal::{Sealer, generate_key, profile_name},
};

const VERSION: u32 = 1;

const KEYS: &str = "keys";
const SEALING_KEY: &str = "sealing";
const META: &str = name(Table::Meta);
const EPOCH: &str = "epoch";
const REVISION: &str = "revision";

/// Records in IndexedDB.
#[derive(Debug)]
pub struct IdbStore {
    profile: String,
    connection: RefCell<Option<Rc<Connection>>>,
    closed: Cell<bool>,
}

impl IdbStore {
    /// Opens the database of an account, or creates it.
    ///
    /// # Errors
    /// [`StoreError::Version`] when it is of a newer version; it is left as it is.
    pub async fn open(account: &str) -> Result<Self, StoreError> {
        let profile = profile_name(account).await?;
        let store = Self { profile, connection: RefCell::default(), closed: Cell::new(false) };
        store.transact(async |_| Ok(())).await?;
        Ok(store)
    }

    /// Does some work on the database. A handle that turns out to be lost is thrown away and the
    /// work done once more on a new one: a lost handle never recovers, and nothing was written.
    async fn transact<T>(
        &self,
        work: impl AsyncFn(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let result = match self.attempt(&work).await {
            Err(Fault::Lost(_)) => self.attempt(&work).await,
            result => result,
        };
        result.map_err(StoreError::from)
    }

    async fn attempt<T>(&self, work: impl AsyncFn(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let connection = self.connect().await?;
        let result = work(&connection).await;
        if let Err(Fault::Lost(_)) = result {
            self.connection.borrow_mut().take_if(|present| Rc::ptr_eq(present, &connection));
        }
        result
    }

    async fn connect(&self) -> Result<Rc<Connection>, Fault> {
        let present = self.connection.borrow().clone();
        let connection = match present {
            Some(connection) => connection,
            None if self.closed.get() => return Err(StoreError::Closed.into()),
            None => Rc::new(Connection::open(&self.profile).await?),
        };
        if self.closed.get() {
            return Err(StoreError::Closed.into());
        }
        // Another call may have opened one meanwhile.
        Ok(self.connection.borrow_mut().get_or_insert(connection).clone())
    }
}

impl Store for IdbStore {
    async fn load(&self, tables: &[Table]) -> Result<Snapshot, StoreError> {
        self.transact(async |connection| connection.load(tables).await).await
    }

    async fn read(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.transact(async |connection| connection.read(table, keys).await).await
    }

    async fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.transact(async |connection| connection.commit(&batch).await).await
    }

    async fn raise_epoch(&self, from: Epoch) -> Result<Claim, StoreError> {
        self.transact(async |connection| connection.raise_epoch(from).await).await
    }

    fn suspend(&self) {
        self.connection.take();
    }

    fn durable(&self) -> bool {
        true
    }

    fn close(&self) {
        self.closed.set(true);
        // Calls under way hold it too, and end first.
        self.connection.take();
    }
}

/// An open database and the key of its records, which belong together: a database that was erased
/// and made anew has another key.
#[derive(Debug)]
struct Connection {
    database: Database,
    sealer: Sealer,
    _on_version_change: Closure<dyn FnMut()>,
}

impl Connection {
    async fn open(profile: &str) -> Result<Self, Fault> {
        let database = Database::open(format!("tutti-{profile}"))
            .with_version(VERSION)
            .with_on_upgrade_needed(|_, database| {
                for table in Table::ALL {
                    database.create_object_store(name(table)).build()?;
                }
                database.create_object_store(KEYS).build()?;
                Ok(())
            })
            .await?;
        // A newer tab, or one that erases, waits until this handle is closed. The next call here
        // opens another, and then learns what has become of the database.
        let handle = database.clone();
        let on_version_change = Closure::new(move || handle.as_sys().close());
        database.as_sys().set_onversionchange(Some(on_version_change.as_ref().unchecked_ref()));
        let key = match stored_key(&database).await {
            Ok(key) => key,
            Err(fault) => {
                database.close();
                return Err(fault);
            }
        };
        let sealer = Sealer::new(profile, key)?;
        Ok(Self { database, sealer, _on_version_change: on_version_change })
    }

    async fn load(&self, tables: &[Table]) -> Result<Snapshot, Fault> {
        let names: BTreeSet<_> = tables.iter().map(|table| name(*table)).chain([META]).collect();
        let transaction = self.reading(&names)?;
        let meta = transaction.object_store(META)?;
        let epoch = meta.get::<f64, _, _>(EPOCH).primitive()?;
        let revision = meta.get::<f64, _, _>(REVISION).primitive()?;
        let mut columns = Vec::with_capacity(tables.len());
        for table in tables {
            let store = transaction.object_store(name(*table))?;
            let keys = store.get_all_keys::<JsValue>().primitive()?;
            let values = store.get_all::<JsValue>().primitive()?;
            columns.push((*table, keys, values));
        }
        drop(meta);
        finish(transaction).await?;

        let (epoch, revision) = (number(epoch.await?), number(revision.await?));
        let mut opening = Vec::new();
        for (table, keys, values) in columns {
            for (key, value) in keys.await?.zip(values.await?) {
                let key = key?;
                if key.is_string() {
                    continue; // the epoch and the revision
                }
                let key = from_js(&key)
                    .ok_or_else(|| StoreError::Damaged(format!("{table:?} has the key {key:?}")))?;
                opening.push((table, key, self.sealer.open(table, key, value?)));
            }
        }
        let mut records = Vec::with_capacity(opening.len());
        for (table, key, value) in opening {
            records.push((table, key, value.await?.into()));
        }
        Ok(Snapshot { epoch: Epoch(epoch), revision: Revision(revision), records })
    }

    async fn read(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, Fault> {
        let transaction = self.reading(&[name(table)].into())?;
        let store = transaction.object_store(name(table))?;
        let mut requests = Vec::with_capacity(keys.len());
        for key in keys {
            requests.push((*key, store.get::<JsValue, _, _>(to_js(*key)).primitive()?));
        }
        drop(store);
        finish(transaction).await?;

        let mut opening = Vec::with_capacity(keys.len());
        for (key, request) in requests {
            opening.push(request.await?.map(|value| self.sealer.open(table, key, value)));
        }
        let mut values = Vec::with_capacity(keys.len());
        for value in opening {
            values.push(match value {
                Some(value) => Some(value.await?.into()),
                None => None,
            });
        }
        Ok(values)
    }

    async fn commit(&self, batch: &Batch) -> Result<(), Fault> {
        let mut names: BTreeSet<_> = batch.writes.iter().map(|write| name(write_table(write))).collect();
        if batch.fence.is_some() || batch.revision.is_some() {
            names.insert(META);
        }
        if names.is_empty() {
            return Ok(());
        }
        let sealing: Vec<_> = batch.writes.iter().map(|write| self.seal(write)).collect();
        let mut values = Vec::with_capacity(sealing.len());
        for value in sealing {
            values.push(match value {
                Some(value) => value.await?.into(),
                None => JsValue::UNDEFINED,
            });
        }

        let transaction = self.writing(&names, durability(batch.durability))?;
        let mut epoch = None;
        if batch.fence.is_some() {
            let meta = transaction.object_store(META)?;
            epoch = Some(meta.get::<f64, _, _>(EPOCH).primitive()?);
        }
        let mut last = None;
        for (write, value) in batch.writes.iter().zip(values) {
            let store = transaction.object_store(name(write_table(write)))?;
            last = Some(match write {
                Write::Put(_, key, _) => put(&store, to_js(*key), value)?,
                Write::Insert(_, key, _) => {
                    if store.get_key::<JsValue, _>(to_js(*key)).primitive()?.await?.is_some() {
                        continue;
                    }
                    put(&store, to_js(*key), value)?
                }
                Write::Delete(_, key) => remove(&store, KeyRange::Only(to_js(*key)))?,
                // Not `clear`: the epoch and the revision are no records.
                Write::Clear(Table::Meta) => remove(&store, all_numbers())?,
                Write::Clear(_) => store.clear()?,
            });
        }
        if let Some(revision) = batch.revision {
            let meta = transaction.object_store(META)?;
            last = Some(put(&meta, REVISION.into(), (revision.0 as f64).into())?);
        }
        // The writes are under way already, which saves a round trip, and are undone if they must be.
        if let (Some(fence), Some(epoch)) = (batch.fence, epoch)
            && Epoch(number(epoch.await?)) != fence
        {
            transaction.abort().await?;
            return Err(StoreError::Fenced.into());
        }
        finish_writing(transaction, last).await
    }

    async fn raise_epoch(&self, from: Epoch) -> Result<Claim, Fault> {
        // A power cut ends every leadership, so none need outlive it.
        let transaction = self.writing(&[META].into(), TransactionDurability::Relaxed)?;
        let meta = transaction.object_store(META)?;
        let revision = meta.get::<f64, _, _>(REVISION).primitive()?;
        let epoch = Epoch(number(meta.get::<f64, _, _>(EPOCH).primitive()?.await?));
        if epoch != from {
            return Ok(Claim::Overtaken(epoch));
        }
        let write = put(&meta, EPOCH.into(), (epoch.next().0 as f64).into())?;
        drop(meta);
        finish_writing(transaction, Some(write)).await?;
        Ok(Claim::Won(Revision(number(revision.await?))))
    }

    fn reading(&self, names: &BTreeSet<&str>) -> Result<Transaction<'_>, Error> {
        self.database.transaction(Vec::from_iter(names)).build()
    }

    fn writing(
        &self,
        names: &BTreeSet<&str>,
        durability: TransactionDurability,
    ) -> Result<Transaction<'_>, Error> {
        writing(&self.database, names, durability)
    }

    fn seal(&self, write: &Write) -> Option<impl Future<Output = Result<Uint8Array, StoreError>> + use<>> {
        match write {
            Write::Put(table, key, value) | Write::Insert(table, key, value) => {
                Some(self.sealer.seal(*table, *key, value))
            }
            Write::Delete(..) | Write::Clear(_) => None,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let handle = self.database.as_sys();
        handle.set_onversionchange(None);
        handle.close();
    }
}

/// The profile's key. Tabs that open a new database side by side all make one; the first to be
/// stored is everyone's.
async fn stored_key(database: &Database) -> Result<CryptoKey, Fault> {
    let transaction = database.transaction(KEYS).build()?;
    let request = transaction.object_store(KEYS)?.get::<JsValue, _, _>(SEALING_KEY).primitive()?;
    finish(transaction).await?;
    let key = match request.await? {
        Some(key) => key,
        None => {
            let made = generate_key().await?;
            let transaction = writing(database, &[KEYS].into(), TransactionDurability::Strict)?;
            let store = transaction.object_store(KEYS)?;
            let (key, write) = match store.get::<JsValue, _, _>(SEALING_KEY).primitive()?.await? {
                Some(first) => (first, None),
                None => (made.clone().into(), Some(put(&store, SEALING_KEY.into(), made.into())?)),
            };
            drop(store);
            finish_writing(transaction, write).await?;
            key
        }
    };
    Ok(key.dyn_into().map_err(|_| StoreError::Damaged("the key is none".into()))?)
}

fn writing<'a>(
    database: &'a Database,
    names: &BTreeSet<&str>,
    durability: TransactionDurability,
) -> Result<Transaction<'a>, Error> {
    database
        .transaction(Vec::from_iter(names))
        .with_mode(TransactionMode::Readwrite)
        .with_options(TransactionOptions::new().with_durability(durability))
        .build()
}

fn put(store: &ObjectStore<'_>, key: JsValue, value: JsValue) -> Result<VoidRequest, Error> {
    store.put(value).with_key(key).without_key_type().primitive()
}

fn remove(store: &ObjectStore<'_>, keys: KeyRange<JsValue>) -> Result<VoidRequest, Error> {
    store.delete::<JsValue, _>(keys).primitive()
}

/// Commits once the last write has happened, and with it all before it: Firefox commits the rest when
/// a write fails after the transaction was told to commit.
async fn finish_writing(transaction: Transaction<'_>, last: Option<VoidRequest>) -> Result<(), Fault> {
    if let Some(last) = last {
        last.await.map_err(|error| reason(transaction.as_sys(), error))?;
    }
    finish(transaction).await
}

async fn finish(transaction: Transaction<'_>) -> Result<(), Fault> {
    let handle = transaction.as_sys().clone();
    transaction.commit().await.map_err(|error| reason(&handle, error))
}

/// Why a transaction was aborted. What its requests and the library say is only that it was; the
/// transaction itself knows of the full disk.
fn reason(transaction: &IdbTransaction, error: Error) -> Fault {
    transaction.error().map_or(error, Error::from).into()
}

fn durability(of: Durability) -> TransactionDurability {
    match of {
        Durability::Relaxed => TransactionDurability::Relaxed,
        Durability::Strict => TransactionDurability::Strict,
    }
}

fn write_table(write: &Write) -> Table {
    match write {
        Write::Put(table, ..) | Write::Insert(table, ..) | Write::Delete(table, _) | Write::Clear(table) => {
            *table
        }
    }
}

const fn name(table: Table) -> &'static str {
    match table {
        Table::Meta => "meta",
        Table::Journal => "journal",
        Table::Blocks => "blocks",
        Table::Heads => "heads",
        Table::Locators => "locators",
        Table::Outbox => "outbox",
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
        Some(number) => (number >= 0.0 && Number::is_safe_integer(key)).then_some(Key::Number(number as u64)),
        None => {
            let bytes = Uint8Array::new(key.dyn_ref::<ArrayBuffer>()?);
            OperationId::try_from(&bytes.to_vec()[..]).ok().map(Key::Operation)
        }
    }
}

/// Numbers come first among the keys of IndexedDB, so an upper bound is enough.
fn all_numbers() -> KeyRange<JsValue> {
    KeyRange::UpperBound(f64::INFINITY.into(), true)
}

/// The epoch and the revision begin at 0.
fn number(stored: Option<f64>) -> u64 {
    stored.unwrap_or_default() as u64
}

/// Why a transaction did not happen.
#[derive(Debug)]
enum Fault {
    /// The handle is closed, or the browser has lost what is behind it.
    Lost(String),
    /// Anything that another handle would not change.
    Final(StoreError),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(why) => Self::Failed(why),
            Fault::Final(error) => error,
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Final(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let kind = match error {
            Error::DomException(error) => web_sys::DomException::from(error).name(),
            Error::Unknown(JSError::Error(error)) => error.name().into(),
            // An abort that nobody asked for and the browser does not explain.
            Error::MissingData(_) => return Self::Lost(message),
            Error::Serialisation(_) | Error::Unknown(_) => String::new(),
        };
        match kind.as_str() {
            "QuotaExceededError" => Self::Final(StoreError::Quota),
            "VersionError" => Self::Final(StoreError::Version),
            "InvalidStateError" | "UnknownError" | "AbortError" => Self::Lost(message),
            _ => Self::Final(StoreError::Failed(message)),
        }
    }
}

impl From<OpenDbError> for Fault {
    fn from(error: OpenDbError) -> Self {
        match error {
            OpenDbError::Base(error) => error.into(),
            error => Self::Final(StoreError::Failed(error.to_string())),
        }
    }
}
