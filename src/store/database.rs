//! IndexedDB as the store uses it: transactions whose requests are issued at once and looked at in the end.

use js_sys::{Array, Object, Promise, Reflect};
use tutti_engine::batch::Durability;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DomException, Event, IdbDatabase, IdbFactory, IdbObjectStore, IdbOpenDbRequest, IdbRequest,
    IdbRequestReadyState, IdbTransaction,
};

#[wasm_bindgen]
extern "C" {
    /// An open database.
    #[wasm_bindgen(extends = IdbDatabase, js_name = IDBDatabase)]
    #[derive(Clone, Debug)]
    pub(super) type Database;

    // web-sys has it without options.
    #[wasm_bindgen(method, catch, js_class = "IDBDatabase", js_name = transaction)]
    fn begin(this: &Database, names: &Array, mode: &str, options: &Object) -> Result<Handle, JsValue>;

    #[wasm_bindgen(extends = IdbTransaction, js_name = IDBTransaction)]
    type Handle;

    // web-sys calls it deprecated, which it is not.
    #[wasm_bindgen(method, catch, js_class = "IDBTransaction")]
    fn commit(this: &Handle) -> Result<(), JsValue>;
}

/// What was thrown; nothing by an abort that nobody asked for and the browser does not explain.
#[derive(Debug)]
pub(super) struct Thrown(pub(super) Option<JsValue>);

impl From<JsValue> for Thrown {
    fn from(thrown: JsValue) -> Self {
        Self(Some(thrown))
    }
}

impl From<DomException> for Thrown {
    fn from(thrown: DomException) -> Self {
        Self(Some(thrown.into()))
    }
}

/// Opens a database. `upgrade` is called when it is new, or of an older version.
pub(super) async fn open(
    name: &str,
    version: Option<u32>,
    upgrade: impl FnOnce(&Database, &IdbTransaction) -> Result<(), JsValue> + 'static,
) -> Result<Database, Thrown> {
    let opening = match version {
        Some(version) => factory()?.open_with_u32(name, version)?,
        None => factory()?.open(name)?,
    };
    let request = opening.clone();
    let upgrade = Closure::once(move || match request.transaction() {
        Some(transaction) => upgrade(request.result()?.unchecked_ref(), &transaction),
        None => Ok(()),
    });
    opening.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    Ok(result(opening.into()).await?.unchecked_into())
}

/// Deletes one, once all who have it open have closed it.
pub(super) async fn delete(name: &str) -> Result<(), Thrown> {
    let deleting: IdbOpenDbRequest = factory()?.delete_database(name)?;
    result(deleting.into()).await.map(drop)
}

fn factory() -> Result<IdbFactory, JsValue> {
    let factory = Reflect::get(&js_sys::global(), &"indexedDB".into())?;
    factory.dyn_into().map_err(|_| js_sys::Error::new("this browser has no IndexedDB").into())
}

/// The names of a database's object stores.
pub(super) fn names(database: &Database) -> Vec<String> {
    let names = database.object_store_names();
    (0..names.length()).filter_map(|at| names.item(at)).collect()
}

/// What comes of a request.
pub(super) async fn result(request: IdbRequest) -> Result<JsValue, Thrown> {
    if request.ready_state() == IdbRequestReadyState::Pending {
        let done = Promise::new(&mut |resolve, reject| {
            request.set_onsuccess(Some(&resolve));
            request.set_onerror(Some(&reject));
        });
        // Which of the two it was, the request knows.
        let _ = JsFuture::from(done).await;
    }
    match request.error()? {
        Some(error) => Err(error.into()),
        None => Ok(request.result()?),
    }
}

/// A transaction. One that is not finished is undone.
pub(super) struct Transaction {
    handle: Handle,
    ended: Option<JsFuture>,
}

impl Transaction {
    /// Begins to read from these object stores.
    pub(super) fn reading(database: &Database, names: &[&str]) -> Result<Self, Thrown> {
        Self::begin(database, names, "readonly", &Object::new())
    }

    /// Begins to write to these object stores.
    pub(super) fn writing(
        database: &Database,
        names: &[&str],
        durability: Durability,
    ) -> Result<Self, Thrown> {
        let options = Object::new();
        let durability = match durability {
            Durability::Relaxed => "relaxed",
            Durability::Strict => "strict",
        };
        // Setting a field of a fresh object cannot fail.
        let _ = Reflect::set(&options, &"durability".into(), &durability.into());
        Self::begin(database, names, "readwrite", &options)
    }

    fn begin(database: &Database, names: &[&str], mode: &str, options: &Object) -> Result<Self, Thrown> {
        let names: Array = names.iter().map(|name| JsValue::from(*name)).collect();
        let handle = database.begin(&names, mode, options)?;
        let ended = Promise::new(&mut |resolve, reject| {
            handle.set_oncomplete(Some(&resolve));
            handle.set_onabort(Some(&reject));
            // WebKit calls one complete that it has undone, since a write failed after `commit`.
            handle.set_onerror(Some(&reject));
        });
        Ok(Self { handle, ended: Some(ended.into()) })
    }

    /// One of its object stores.
    pub(super) fn store(&self, name: &str) -> Result<IdbObjectStore, JsValue> {
        self.handle.object_store(name)
    }

    /// Commits.
    pub(super) async fn finish(mut self) -> Result<(), Thrown> {
        let ended = self.ended.take();
        self.handle.commit().map_err(|thrown| self.reason(thrown.into()))?;
        match ended {
            Some(ended) => ended.await.map(drop).map_err(|event| self.reason(told(event))),
            None => Ok(()),
        }
    }

    /// Why it was aborted. What its requests say is only that it was; the transaction itself knows of the
    /// full disk.
    pub(super) fn reason(&self, thrown: Thrown) -> Thrown {
        self.handle.error().map_or(thrown, Thrown::from)
    }
}

/// What an event tells of its request, or of its transaction.
fn told(event: JsValue) -> Thrown {
    let target = event.unchecked_into::<Event>().target();
    let error = target.and_then(|target| Reflect::get(&target, &"error".into()).ok());
    Thrown(error.filter(|error| !error.is_null()))
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.ended.is_some() {
            // One that is over cannot be undone.
            let _ = self.handle.abort();
        }
    }
}
