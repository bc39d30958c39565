//! The store in IndexedDB: one object store a table, each record sealed before the transaction opens.
//!
//! A transaction is issued whole, its end included, before anything is awaited: a tab may be frozen at
//! any moment, and a transaction that then waits for it would hold up every other tab. So it is the
//! database itself that checks the fence, by a constraint: each leadership that is over has a record, and
//! a leader's transaction begins by adding that of its own.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::Poll,
};

use bytes::Bytes;
use futures_channel::oneshot;
use gloo_timers::future::TimeoutFuture;
use js_sys::{Array, ArrayBuffer, Function, Number, Uint8Array};
use tutti_engine::batch::{Batch, Claim, Durability, Key, Snapshot, StoreError, Table, Write};
use tutti_protocol::{Epoch, OperationId, Revision};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{CryptoKey, IdbKeyRange, IdbRequest, IdbTransaction, IdbVersionChangeEvent};

use super::{
    Pushed, Salvage, Store,
    database::{Database, Thrown, Transaction, delete, names, open, result},
    seal::{Sealer, generate_key, profile_name, random_name},
};
use crate::error::describe;

/// Version of the schema. Later ones only add to it.
const VERSION: u32 = if cfg!(feature = "next") { 2 } else { 1 };
/// The oldest version whose code can still work with this schema.
const OLDEST: u32 = if cfg!(feature = "breaking") { 2 } else { 1 };
/// What the next version will bring, for tests of two versions side by side.
#[cfg(feature = "next")]
const NEXT: &str = "next";

/// How long opening may take before somebody else is to blame, in milliseconds: a tab that does not let
/// go of a database that is to be upgraded, or erased.
const BLOCKED: u32 = 5_000;
/// Leaderships whose fences are kept. A transaction that a frozen tab was about to begin is fenced unless
/// there were more since.
const FENCES: u64 = 1_000;

/// Records that are compressed and sealed in one go, half a megabyte; the page has its turn in between.
const SEALED_AT_ONCE: usize = 8;

const KEYS: &str = "keys";
const SEALING_KEY: &str = "sealing";
/// Which database this is: one that was erased and made anew is another.
const GENERATION: &str = "generation";
/// Of which push subscription this account is the owner.
const PUSH: &str = "push";
const PROBE: &str = "probe";
const META: &str = name(Table::Meta);
const EPOCH: &str = "epoch";
const REVISION: &str = "revision";

/// Records in IndexedDB.
#[derive(Debug)]
pub struct IdbStore {
    profile: String,
    connection: RefCell<Option<Rc<Connection>>>,
    /// The database that this store knows.
    generation: RefCell<Option<String>>,
    /// How often another has taken its place.
    era: Cell<u64>,
    on_lost: Rc<RefCell<Option<Function>>>,
    closed: Cell<bool>,
}

impl IdbStore {
    /// Opens the database of an account, or creates it.
    ///
    /// # Errors
    /// [`StoreError::Version`] when it is of a newer version; it is left as it is.
    pub async fn open(account: &str) -> Result<Self, StoreError> {
        let profile = profile_name(account).await?;
        let store = Self {
            profile,
            connection: RefCell::default(),
            generation: RefCell::default(),
            era: Cell::default(),
            on_lost: Rc::default(),
            closed: Cell::new(false),
        };
        store.transact(async |_| Ok(())).await?;
        Ok(store)
    }

    /// Whether the database that is open is of a later version.
    pub(super) fn is_later(&self) -> bool {
        let connection = self.connection.borrow();
        connection.as_ref().is_some_and(|it| it.database.version() > f64::from(VERSION))
    }

    /// Calls this when the database is closed from without: by the browser, as when the site's data is
    /// cleared, or for another tab that changes its schema or erases it.
    pub fn on_lost(&self, listener: Function) {
        if let Some(connection) = &*self.connection.borrow() {
            connection.database.set_onclose(Some(&listener));
        }
        self.on_lost.replace(Some(listener));
    }

    pub(super) async fn push(&self) -> Result<Option<Pushed>, StoreError> {
        self.transact(async |connection| connection.push().await).await
    }

    pub(super) async fn set_push(&self, push: Option<Pushed>) -> Result<(), StoreError> {
        self.transact(async |connection| connection.set_push(push.as_ref()).await).await
    }

    /// Does some work on the database. A handle that turns out to be lost is thrown away and the
    /// work done once more on a new one: a lost handle never recovers, and nothing was written.
    async fn transact<T>(
        &self,
        work: impl AsyncFn(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let era = self.era.get();
        let result = match self.attempt(era, &work).await {
            Err(Fault::Lost(_)) => self.attempt(era, &work).await,
            result => result,
        };
        result.map_err(StoreError::from)
    }

    async fn attempt<T>(
        &self,
        era: u64,
        work: impl AsyncFn(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let connection = self.connect().await?;
        let known = self.generation.borrow_mut().get_or_insert_with(|| connection.generation.clone()).clone();
        if era != self.era.get() || known != connection.generation {
            // This was meant for the one before.
            return Err(StoreError::Erased.into());
        }
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
            None => self.open_connection().await?,
        };
        if self.closed.get() {
            return Err(StoreError::Closed.into());
        }
        // Another call may have opened one meanwhile.
        Ok(self.connection.borrow_mut().get_or_insert(connection).clone())
    }

    async fn open_connection(&self) -> Result<Rc<Connection>, Fault> {
        // Whoever looks after what it knows must not make another in its place.
        let known = self.generation.borrow().is_some();
        if known && !exists(database_name(&self.profile)).await? {
            return Err(StoreError::Erased.into());
        }
        let connection = Rc::new(Connection::open(&self.profile, self.on_lost.clone()).await?);
        connection.database.set_onclose(self.on_lost.borrow().as_ref());
        Ok(connection)
    }
}

impl Store for IdbStore {
    async fn salvage(&self, tables: &[Table]) -> Result<Salvage, StoreError> {
        self.transact(async |connection| connection.salvage(tables).await).await
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

    async fn erase(&self) -> Result<(), StoreError> {
        match self.transact(async |connection| connection.clear().await).await {
            Ok(()) => {}
            // It is gone already, and another may stand in its place, which is not this store's to erase.
            Err(StoreError::Erased) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.close();
        delete_database(&database_name(&self.profile)).await
    }

    fn begin_anew(&self) {
        self.generation.take();
        self.era.update(|era| era + 1);
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
    generation: String,
    /// Whether this browser undoes a transaction in which something fails after `commit` was called.
    undoes: Rc<Cell<bool>>,
    sealer: Sealer,
    _on_version_change: Closure<dyn FnMut(IdbVersionChangeEvent)>,
}

impl Connection {
    async fn open(profile: &str, on_lost: Rc<RefCell<Option<Function>>>) -> Result<Self, Fault> {
        let database = open_database(database_name(profile)).await?;
        // A newer tab, or one that erases, waits until this handle is closed. The next call here
        // opens another, and then learns what has become of the database.
        let handle = database.clone();
        let on_version_change = Closure::new(move |event: IdbVersionChangeEvent| {
            handle.close();
            if let Some(listener) = &*on_lost.borrow() {
                // It is our own, and throws nothing.
                let _ = listener.call1(&JsValue::UNDEFINED, &event);
            }
        });
        database.set_onversionchange(Some(on_version_change.as_ref().unchecked_ref()));
        let (key, generation) = match stored_key(&database).await {
            Ok(stored) => stored,
            Err(fault) => {
                database.close();
                return Err(fault);
            }
        };
        let sealer = Sealer::new(profile, key)?;
        let undoes = Rc::<Cell<bool>>::default();
        spawn_local(probe(database.clone(), undoes.clone()));
        Ok(Self { database, generation, undoes, sealer, _on_version_change: on_version_change })
    }

    async fn salvage(&self, tables: &[Table]) -> Result<Salvage, Fault> {
        // Naming one twice is naming it once.
        let names: Vec<_> = tables.iter().map(|table| name(*table)).chain([META]).collect();
        let transaction = Transaction::reading(&self.database, &names)?;
        let meta = transaction.store(META)?;
        let get = |key: &str| meta.get(&key.into());
        let (epoch, revision) = (get(EPOCH)?, get(REVISION)?);
        let mut columns = Vec::with_capacity(tables.len());
        for table in tables {
            let store = transaction.store(name(*table))?;
            columns.push((*table, store.get_all_keys()?, store.get_all()?, get(name(*table))?));
        }
        transaction.finish().await?;

        let (epoch, revision) = (Epoch(number(epoch).await?), Revision(number(revision).await?));
        let mut opening = Vec::new();
        let mut damaged = Vec::new();
        for (table, keys, values, count) in columns {
            let before = opening.len();
            let keys: Array = result(keys).await?.unchecked_into();
            let values: Array = result(values).await?.unchecked_into();
            for (key, value) in keys.iter().zip(values.iter()) {
                // What has another key is no record: the epoch, the revision and the fences.
                if let Some(key) = from_js(&key) {
                    opening.push((table, key, self.sealer.open(table, key, value)));
                }
            }
            let found = (opening.len() - before) as u64;
            if found < number(count).await? {
                damaged.push((table, Key::Number(found)));
            }
        }
        let mut records = Vec::with_capacity(opening.len());
        for (table, key, value) in opening {
            match value.await {
                Ok(value) => records.push((table, key, value.into())),
                Err(StoreError::Damaged(_)) => damaged.push((table, key)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Salvage { snapshot: Snapshot { epoch, revision, records }, damaged })
    }

    async fn read(&self, table: Table, keys: &[Key]) -> Result<Vec<Option<Bytes>>, Fault> {
        let transaction = Transaction::reading(&self.database, &[name(table)])?;
        let store = transaction.store(name(table))?;
        let mut requests = Vec::with_capacity(keys.len());
        for key in keys {
            requests.push((*key, store.get(&to_js(*key))?));
        }
        transaction.finish().await?;

        let mut opening = Vec::with_capacity(keys.len());
        for (key, request) in requests {
            let value = Some(result(request).await?).filter(|value| !value.is_undefined());
            opening.push(value.map(|value| self.sealer.open(table, key, value)));
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
        let leads = batch.fence.is_some() || batch.revision.is_some();
        let is_written = |table: &Table| {
            *table == Table::Meta && leads || batch.writes.iter().any(|write| write_table(write) == *table)
        };
        let names: Vec<_> = Table::ALL.into_iter().filter(is_written).map(name).collect();
        if names.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::with_capacity(batch.writes.len());
        for at_once in batch.writes.chunks(SEALED_AT_ONCE) {
            let sealing: Vec<_> = at_once.iter().map(|write| self.seal(write)).collect();
            for (write, value) in at_once.iter().zip(sealing) {
                let value = match value {
                    Some(value) => value.await?.into(),
                    None => JsValue::UNDEFINED,
                };
                writes.push((write, value));
            }
        }
        loop {
            let transaction = Transaction::writing(&self.database, &names, batch.durability)?;
            let mut fenced = None;
            if let Some(fence) = batch.fence {
                let meta = transaction.store(META)?;
                fenced = Some(meta.add_with_key(&JsValue::TRUE, &fence_key(fence))?);
                meta.delete(&fence_key(fence))?;
            }
            let mut last = None;
            let mut inserts = Vec::new();
            for (at, (write, value)) in writes.iter().enumerate() {
                let store = transaction.store(name(write_table(write)))?;
                last = match write {
                    Write::Put(_, key, _) => Some(store.put_with_key(value, &to_js(*key))?),
                    // That it is there already aborts the transaction.
                    Write::Insert(_, key, _) => {
                        inserts.push((at, store.add_with_key(value, &to_js(*key))?));
                        None
                    }
                    Write::Delete(_, key) => Some(store.delete(&to_js(*key))?),
                    // Not `clear`: the epoch, the revision and the fences are no records.
                    Write::Clear(Table::Meta) => Some(store.delete(&all_numbers()?.into())?),
                    Write::Clear(_) => Some(store.clear()?),
                };
            }
            if let Some(revision) = batch.revision {
                let meta = transaction.store(META)?;
                for table in COUNTED {
                    if let Some(count) = count(table, &batch.writes) {
                        meta.put_with_key(&(count as f64).into(), &name(table).into())?;
                    }
                }
                last = Some(meta.put_with_key(&(revision.0 as f64).into(), &REVISION.into())?);
            }
            if last.is_none() {
                // Something to wait for, where the browser needs it: a record that is there or is not.
                let store = transaction.store(names.first().copied().unwrap_or(META))?;
                last = Some(store.delete(&PROBE.into())?);
            }
            let Err(fault) = self.finish_writing(transaction, last).await else {
                return Ok(());
            };
            if fenced.is_some_and(|request| is_present(&request)) {
                return Err(StoreError::Fenced.into());
            }
            // What was to be inserted and is there already stays as it is: all but that. To let the
            // transaction go on without it is no way: one that was told to commit before the error was
            // handled is undone by Chromium.
            match inserts.iter().find(|(_, request)| is_present(request)) {
                Some((present, _)) => drop(writes.remove(*present)),
                None => return Err(fault),
            }
        }
    }

    async fn raise_epoch(&self, from: Epoch) -> Result<Claim, Fault> {
        // A power cut ends every leadership, so none need outlive it.
        let transaction = Transaction::writing(&self.database, &[META], Durability::Relaxed)?;
        let meta = transaction.store(META)?;
        let revision = meta.get(&REVISION.into())?;
        // Awaited in the transaction, unlike anything else: a constraint would let a claim from an epoch
        // that is yet to come pass, and a second transaction would wait behind all that other tabs write.
        let epoch = Epoch(number(meta.get(&EPOCH.into())?).await?);
        if epoch != from {
            return Ok(Claim::Overtaken(epoch));
        }
        meta.put_with_key(&JsValue::TRUE, &fence_key(from))?;
        if let Some(old) = from.0.checked_sub(FENCES) {
            meta.delete(&fence_key(Epoch(old)))?;
        }
        let write = meta.put_with_key(&(from.next().0 as f64).into(), &EPOCH.into())?;
        self.finish_writing(transaction, Some(write)).await?;
        Ok(Claim::Won(Revision(number(revision).await?)))
    }

    async fn push(&self) -> Result<Option<Pushed>, Fault> {
        let transaction = Transaction::reading(&self.database, &[KEYS])?;
        let push = transaction.store(KEYS)?.get(&PUSH.into())?;
        transaction.finish().await?;
        Ok(result(push).await?.as_string().and_then(|push| {
            let (digest, scope) = push.split_once(' ')?;
            Some(Pushed { digest: digest.to_owned(), scope: scope.to_owned() })
        }))
    }

    async fn set_push(&self, push: Option<&Pushed>) -> Result<(), Fault> {
        let transaction = Transaction::writing(&self.database, &[KEYS], Durability::Relaxed)?;
        let keys = transaction.store(KEYS)?;
        match push {
            Some(Pushed { digest, scope }) => {
                keys.put_with_key(&format!("{digest} {scope}").into(), &PUSH.into())?
            }
            None => keys.delete(&PUSH.into())?,
        };
        Ok(transaction.finish().await?)
    }

    /// Removes all that is in it, the key first of all: a tab that stands still may keep the database itself.
    async fn clear(&self) -> Result<(), Fault> {
        let names = names(&self.database);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let transaction = Transaction::writing(&self.database, &names, Durability::Strict)?;
        for name in names {
            transaction.store(name)?.clear()?;
        }
        Ok(transaction.finish().await?)
    }

    /// Commits. Where a browser commits the rest when a write fails after it was told to, it is told once
    /// the last write has happened, and with it all before it.
    async fn finish_writing(&self, transaction: Transaction, last: Option<IdbRequest>) -> Result<(), Fault> {
        if let Some(last) = last.filter(|_| !self.undoes.get()) {
            result(last).await.map_err(|thrown| transaction.reason(thrown))?;
        }
        Ok(transaction.finish().await?)
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
        self.database.set_onversionchange(None);
        self.database.close();
    }
}

/// Opens a database, creates it, or makes it one of this version.
async fn open_database(name: String) -> Result<Database, Fault> {
    let (tell, opened) = oneshot::channel();
    let current = name.clone();
    spawn_local(async move {
        if let Err(Ok(late)) = tell.send(open(&current, Some(VERSION), upgrade).await) {
            late.close();
        }
    });
    match unless_blocked(opened).await.and_then(Result::ok) {
        None => Err(StoreError::Blocked.into()),
        Some(Ok(database)) => Ok(database),
        Some(Err(error)) => match Fault::from(error) {
            Fault::Final(StoreError::Version) => open_later(name).await,
            fault => Err(fault),
        },
    }
}

/// Whether there is such a database, of whichever version. None is made.
async fn exists(name: String) -> Result<bool, Fault> {
    let (tell, told) = oneshot::channel();
    spawn_local(async move { drop(tell.send(look_for(&name).await)) });
    match unless_blocked(told).await.and_then(Result::ok) {
        None => Err(StoreError::Blocked.into()),
        Some(found) => Ok(found?),
    }
}

async fn look_for(name: &str) -> Result<bool, Thrown> {
    let is_missing = Rc::<Cell<bool>>::default();
    let missing = is_missing.clone();
    let leave_it = move |_: &Database, transaction: &IdbTransaction| {
        missing.set(true);
        // With this the one that would be made is not. It has just begun, so it can be aborted.
        transaction.abort()
    };
    match open(name, None, leave_it).await {
        Ok(database) => {
            database.close();
            Ok(true)
        }
        Err(_) if is_missing.get() => Ok(false),
        Err(thrown) => Err(thrown),
    }
}

/// Deletes a database. A tab that stands still and has it open holds that up until it goes on.
async fn delete_database(name: &str) -> Result<(), StoreError> {
    match unless_blocked(delete(name)).await {
        Some(Err(thrown)) => Err(Fault::from(thrown).into()),
        Some(Ok(())) | None => Ok(()),
    }
}

/// What comes of it, unless somebody else holds it up.
async fn unless_blocked<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut patience = pin!(TimeoutFuture::new(BLOCKED));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending => patience.as_mut().poll(context).map(|()| None),
    })
    .await
}

fn database_name(profile: &str) -> String {
    format!("tutti-{profile}")
}

/// Opens a database of a later version as it is, if that version says that this code can work with it.
async fn open_later(name: String) -> Result<Database, Fault> {
    let database = open(&name, None, |_, _| Ok(())).await?;
    let version = database.version() as u32;
    let readable = (1..=VERSION).map(|oldest| readable(version, oldest));
    let names = names(&database);
    if !readable.into_iter().any(|name| names.contains(&name)) {
        database.close();
        return Err(StoreError::Version.into());
    }
    Ok(database)
}

/// The object store that says to older code from which version on it can work with which.
fn readable(version: u32, oldest: u32) -> String {
    format!("version-{version}-for-{oldest}")
}

fn upgrade(database: &Database, _: &IdbTransaction) -> Result<(), JsValue> {
    let present = names(database);
    let readable = readable(VERSION, OLDEST);
    let wanted = Table::ALL.map(name).into_iter().chain([KEYS, &readable]);
    #[cfg(feature = "next")]
    let wanted = wanted.chain([NEXT]);
    for store in wanted.filter(|store| !present.iter().any(|name| name == store)) {
        database.create_object_store(store)?;
    }
    Ok(())
}

/// Finds out whether this browser undoes a transaction in which something fails after `commit` was
/// called, as it should; Firefox does not. Until that is known, nothing relies on it.
async fn probe(database: Database, undoes: Rc<Cell<bool>>) {
    let is_undone = async || -> Result<bool, Thrown> {
        let transaction = Transaction::writing(&database, &[KEYS], Durability::Relaxed)?;
        let keys = transaction.store(KEYS)?;
        for _ in 0..2 {
            keys.add_with_key(&JsValue::TRUE, &PROBE.into())?;
        }
        // Firefox minds when it is the last that fails.
        keys.put_with_key(&JsValue::TRUE, &PROBE.into())?;
        // That something failed is told either way.
        let _ = transaction.finish().await;
        let transaction = Transaction::writing(&database, &[KEYS], Durability::Relaxed)?;
        let keys = transaction.store(KEYS)?;
        let found = keys.get_key(&PROBE.into())?;
        keys.delete(&PROBE.into())?;
        transaction.finish().await?;
        Ok(result(found).await?.is_undefined())
    };
    undoes.set(is_undone().await.unwrap_or(false));
}

/// The profile's key, and which database this is. Tabs that open a new database side by side all make
/// them; the first to be stored are everyone's. Without its key a database is another one.
async fn stored_key(database: &Database) -> Result<(CryptoKey, String), Fault> {
    let (present, generation) = read_key(database).await?;
    let present = match present.dyn_into() {
        Ok(key) => return Ok((key, generation)),
        Err(none) => none,
    };
    let made = generate_key().await?;
    let generation = random_name()?;
    let transaction = Transaction::writing(database, &[KEYS], Durability::Strict)?;
    let keys = transaction.store(KEYS)?;
    keys.put_with_key(&generation.into(), &GENERATION.into())?;
    if !present.is_undefined() {
        keys.delete(&SEALING_KEY.into())?;
    }
    // Last, since that is how Firefox undoes the rest.
    keys.add_with_key(&made, &SEALING_KEY.into())?;
    let stored = transaction.finish().await;
    let (first, generation) = read_key(database).await?;
    let gone = |_| stored.map_or_else(Fault::from, |()| StoreError::Damaged("the key is gone".into()).into());
    Ok((first.dyn_into().map_err(gone)?, generation))
}

/// Whatever is there as the key, and which database this is.
async fn read_key(database: &Database) -> Result<(JsValue, String), Fault> {
    let transaction = Transaction::reading(database, &[KEYS])?;
    let keys = transaction.store(KEYS)?;
    let (key, generation) = (keys.get(&SEALING_KEY.into())?, keys.get(&GENERATION.into())?);
    transaction.finish().await?;
    let generation = result(generation).await?.as_string();
    Ok((result(key).await?, generation.unwrap_or_default()))
}

/// Whether a record was to be added that is there already.
fn is_present(request: &IdbRequest) -> bool {
    request.error().ok().flatten().is_some_and(|error| error.name() == "ConstraintError")
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
fn all_numbers() -> Result<IdbKeyRange, JsValue> {
    IdbKeyRange::upper_bound_with_open(&f64::INFINITY.into(), true)
}

/// The key of the record that says that a leadership is over.
fn fence_key(epoch: Epoch) -> JsValue {
    format!("fence-{}", epoch.0).into()
}

/// The epoch, the revision and counts begin at 0.
async fn number(stored: IdbRequest) -> Result<u64, Thrown> {
    Ok(result(stored).await?.as_f64().unwrap_or_default() as u64)
}

/// Tables that are numbered from 0 without gaps. How many records there are is noted in meta under the table's name:
/// one that goes missing may leave nothing else that tells.
const COUNTED: [Table; 3] = [Table::Journal, Table::Heads, Table::Locators];

/// How many records a counted table has after these writes, if they say.
fn count(of: Table, writes: &[Write]) -> Option<u64> {
    let last = writes.iter().rfind(|write| write_table(write) == of)?;
    Some(if let Write::Put(_, Key::Number(number), _) = last { number + 1 } else { 0 })
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

impl From<Thrown> for Fault {
    fn from(thrown: Thrown) -> Self {
        let Thrown(Some(thrown)) = thrown else {
            return Self::Lost("a transaction ended without a reason".into());
        };
        let kind = thrown.dyn_ref().map(js_sys::Error::name).map(String::from).unwrap_or_default();
        let message = format!("{kind}: {}", describe(&thrown));
        match kind.as_str() {
            "QuotaExceededError" => Self::Final(StoreError::Quota),
            "VersionError" => Self::Final(StoreError::Version),
            "InvalidStateError" | "UnknownError" | "AbortError" => Self::Lost(message),
            _ => Self::Final(StoreError::Failed(message)),
        }
    }
}

impl From<JsValue> for Fault {
    fn from(thrown: JsValue) -> Self {
        Thrown::from(thrown).into()
    }
}
