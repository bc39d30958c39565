// A profile's database: its records in IndexedDB, each sealed before the transaction opens.
//
// A transaction is issued whole, its end included, before anything is awaited: a tab may be frozen at any moment, and
// a transaction that then waits for it would hold up every other tab. So it is the database itself that checks the
// fence, by a constraint: each leadership that is over has a record, and a leader's transaction begins by adding that
// of its own.

/** By number, which is sealed with each record. */
const TABLES = ["meta", "journal", "blocks", "heads", "locators", "outbox"];
const META = "meta";
/**
 * Tables that are numbered from 0 without gaps. How many records there are is noted in meta under the table's name:
 * one that goes missing may leave nothing else that tells.
 */
const COUNTED = [1, 3, 4];
const KEYS = "keys";
const SEALING_KEY = "sealing";
/** Which database this is: one that was erased and made anew is another. */
const GENERATION = "generation";
/** Of which push subscription this account is the owner. */
const PUSH = "push";
/** What begins the keys of what probes try to leave behind. */
const PROBE = "probe";
/** What the probe found, and in which browser. */
const PROBED = "probed";
const EPOCH = "epoch";
const REVISION = "revision";

/**
 * How long opening may take before somebody else is to blame, in milliseconds: a tab that does not let go of a
 * database that is to be upgraded, or erased.
 */
const BLOCKED = 5_000;
/**
 * Leaderships whose fences are kept. A transaction that a frozen tab was about to begin is fenced unless there were
 * more since.
 */
const FENCES = 1_000;

const FORMAT = 1;
const NONCE = 12;

/** Kinds of writes, besides the one that clears a table. */
const PUT = 0;
const INSERT = 1;
const DELETE = 2;

/** Why a store did not do what it was asked. `kind` is what Rust knows it by. */
class Refusal extends Error {
  constructor(kind, message = "") {
    super(message);
    this.kind = kind;
  }
}

/** The records of a profile. */
export class Records {
  #profile;
  #schema;
  #connection = null;
  /** The database that this store knows. */
  #generation = null;
  /** How often another has taken its place. */
  #era = 0;
  #lost = null;
  #closed = false;

  /** `stores`: what a database of this version has besides the tables. The first says whose code can work with it. */
  constructor(profile, version, stores) {
    this.#profile = profile;
    this.#schema = { version, stores: [...TABLES, KEYS, ...stores] };
  }

  /** Opens the database, or creates it. */
  open() {
    return this.#transact(() => {});
  }

  /** Whether the database that is open is of a later version. */
  get later() {
    return this.#connection?.database.version > this.#schema.version;
  }

  /**
   * Calls this when the database is closed from without, and says whether that is to delete it: by the browser, as when
   * the site's data is cleared, or for another tab that changes its schema or erases it.
   */
  set lost(listener) {
    this.#lost = listener;
  }

  /** What can be read of some tables: epoch, revision, records by table and key, and where something is damaged. */
  salvage(tables) {
    return this.#transact(async ({ database, sealer }) => {
      // Naming one twice is naming it once.
      const names = [META, ...tables.map((table) => TABLES[table])];
      let epoch, revision, columns;
      await transact(database, names, { mode: "readonly" }, (of) => {
        const meta = of(META);
        [epoch, revision] = [meta.get(EPOCH), meta.get(REVISION)];
        columns = tables.map((table) => {
          const store = of(TABLES[table]);
          return [table, store.getAllKeys(), store.getAll(), meta.get(TABLES[table])];
        });
      });
      const opening = [];
      const damaged = [];
      for (const [table, keys, values, count] of columns) {
        // What has another key is no record: the epoch, the revision and the fences.
        const found = keys.result.map((key, at) => [table, key, values.result[at]]).filter(([, key]) => isKey(key));
        if (found.length < (count.result ?? 0)) damaged.push([table, found.length]);
        opening.push(...found.map(([table, key, value]) => [table, key, sealer.open(table, key, value)]));
      }
      const records = [];
      for (const [table, key, value] of opening) records.push([table, key, await value]);
      return [epoch.result ?? 0, revision.result ?? 0, records, damaged];
    });
  }

  /** Some records of a table: undefined is none, and null is one that does not open. */
  read(table, keys) {
    return this.#transact(async ({ database, sealer }) => {
      const found = await look(database, TABLES[table], keys);
      return Promise.all(
        found.map((value, at) => (value === undefined ? undefined : sealer.open(table, keys[at], value))),
      );
    });
  }

  /** Writes `[what, table, key, value]`, all of it or nothing. */
  commit(writes, fence, revision, durability) {
    return this.#transact(async ({ database, sealer, undoes }) => {
      const leads = fence !== undefined || revision !== undefined;
      const names = TABLES.filter(
        (name, table) => (name === META && leads) || writes.some(([, of]) => of === table),
      );
      if (names.length === 0) return;
      let left = await Promise.all(
        writes.map(async ([what, table, key, value]) => {
          return [what, table, key, value && (await sealer.seal(table, key, value))];
        }),
      );
      for (;;) {
        let fenced;
        const inserts = [];
        const issue = (of) => {
          if (fence !== undefined) {
            fenced = of(META).add(true, fenceKey(fence));
            of(META).delete(fenceKey(fence));
          }
          let last;
          for (const write of left) {
            const [what, table, key, value] = write;
            const store = of(TABLES[table]);
            if (what === INSERT) {
              // That it is there already aborts the transaction.
              inserts.push([write, store.add(value, key)]);
              last = undefined;
            } else if (what === PUT) last = store.put(value, key);
            else if (what === DELETE) last = store.delete(key);
            // Not `clear`: the epoch, the revision and the fences are no records.
            else last = table === 0 ? store.delete(allNumbers()) : store.clear();
          }
          if (revision !== undefined) {
            for (const table of COUNTED) {
              const written = writes.findLast(([, of]) => of === table);
              if (written) of(META).put(written[0] === PUT ? written[2] + 1 : 0, TABLES[table]);
            }
            last = of(META).put(revision, REVISION);
          }
          // Something to wait for, where the browser needs it: a record that is there or is not.
          last ??= of(names[0]).delete(PROBE);
          return undoes ? undefined : result(last);
        };
        try {
          return await transact(database, names, { mode: "readwrite", durability }, issue);
        } catch (thrown) {
          if (fenced && isPresent(fenced)) throw new Refusal("fenced");
          // What was to be inserted and is there already stays as it is: all but that. To let the transaction go on
          // without it is no way: one that was told to commit before the error was handled is undone by Chromium.
          const present = inserts.find(([, request]) => isPresent(request));
          if (!present) throw thrown;
          left = left.filter((write) => write !== present[0]);
        }
      }
    });
  }

  /** Begins the leadership after this one. Says the epoch that was found, and the revision. */
  raiseEpoch(from) {
    return this.#transact(async ({ database, undoes }) => {
      let revision, epoch;
      // A power cut ends every leadership, so none need outlive it.
      await transact(database, [META], { mode: "readwrite", durability: "relaxed" }, async (of) => {
        const meta = of(META);
        revision = meta.get(REVISION);
        // Awaited in the transaction, unlike anything else: a constraint would let a claim from an epoch that is yet to
        // come pass, and a second transaction would wait behind all that other tabs write.
        epoch = (await result(meta.get(EPOCH))) ?? 0;
        if (epoch !== from) return;
        meta.put(true, fenceKey(from));
        if (from >= FENCES) meta.delete(fenceKey(from - FENCES));
        const last = meta.put(from + 1, EPOCH);
        if (!undoes) await result(last);
      });
      return [epoch, revision.result ?? 0];
    });
  }

  /** What is kept of a push subscription, if there is one. */
  push() {
    return this.#transact(async ({ database }) => (await look(database, KEYS, [PUSH]))[0]);
  }

  /** Keeps that, or nothing. */
  setPush(push) {
    return this.#transact(({ database }) =>
      transact(database, [KEYS], { mode: "readwrite", durability: "relaxed" }, (of) => {
        if (push === undefined) of(KEYS).delete(PUSH);
        else of(KEYS).put(push, PUSH);
      }),
    );
  }

  /** Leaves nothing of it, whoever else has it open, and closes it. */
  async erase() {
    try {
      // A tab that stands still may keep the database itself.
      await this.#transact(({ database }) => {
        const names = [...database.objectStoreNames];
        return transact(database, names, { mode: "readwrite", durability: "strict" }, (of) => {
          for (const name of names) of(name).clear();
        });
      });
    } catch (thrown) {
      // It is gone already, and another may stand in its place, which is not this store's to erase.
      if (thrown.kind === "erased") return;
      throw thrown;
    }
    this.close();
    try {
      // A tab that stands still and has it open holds that up until it goes on.
      await unlessBlocked(result(factory().deleteDatabase(databaseName(this.#profile))));
    } catch (thrown) {
      throw refusal(thrown);
    }
  }

  /** From now on the store is what it is now. */
  beginAnew() {
    this.#generation = null;
    this.#era += 1;
  }

  /** Lets go of the database until the next call. */
  suspend() {
    this.#connection?.drop();
    this.#connection = null;
  }

  /** Lets go of everything. Calls under way end first. */
  close() {
    this.#closed = true;
    this.suspend();
  }

  /**
   * Does some work on the database. A handle that turns out to be lost is thrown away and the work done once more on a
   * new one: a lost handle never recovers, and nothing was written.
   */
  async #transact(work) {
    const era = this.#era;
    try {
      try {
        return await this.#attempt(era, work);
      } catch (thrown) {
        if (!isLost(thrown)) throw thrown;
        return await this.#attempt(era, work);
      }
    } catch (thrown) {
      throw refusal(thrown);
    }
  }

  async #attempt(era, work) {
    // Another call may let go of it as soon as it is there.
    while (!this.#connection) await this.#connect();
    const connection = this.#connection;
    this.#generation ??= connection.generation;
    if (era !== this.#era || this.#generation !== connection.generation) {
      // This was meant for the one before.
      throw new Refusal("erased");
    }
    connection.users += 1;
    try {
      return await work(connection);
    } catch (thrown) {
      if (isLost(thrown) && this.#connection === connection) this.suspend();
      throw thrown;
    } finally {
      connection.users -= 1;
      connection.closeUnused();
    }
  }

  async #connect() {
    if (this.#closed) throw new Refusal("closed");
    const opened = await this.#openConnection();
    // Another call may have opened one meanwhile.
    if (this.#connection || this.#closed) opened.drop();
    else this.#connection = opened;
  }

  async #openConnection() {
    const name = databaseName(this.#profile);
    // Whoever looks after what it knows must not make another in its place.
    const database = await openDatabase(name, this.#schema, this.#generation !== null);
    const tell = (deleted) => this.#lost?.(deleted);
    // A newer tab, or one that erases, waits until this handle is closed. The next call here opens another, and then
    // learns what has become of the database.
    database.onversionchange = ({ newVersion }) => {
      database.close();
      tell(newVersion === null);
    };
    database.onclose = () => tell(false);
    try {
      const [key, generation, probed] = await storedKey(database);
      return new Connection(database, generation, new Sealer(this.#profile, key), probed);
    } catch (thrown) {
      database.close();
      throw thrown;
    }
  }
}

/**
 * An open database and the key of its records, which belong together: a database that was erased and made anew has
 * another key.
 */
class Connection {
  /** Calls under way. */
  users = 0;
  /** Whether this browser undoes a transaction in which something fails after `commit` was called. */
  undoes = false;
  #dropped = false;

  constructor(database, generation, sealer, probed) {
    this.database = database;
    this.generation = generation;
    this.sealer = sealer;
    if (probed?.agent === navigator.userAgent) this.undoes = probed.undoes === true;
    else {
      probe(database).then(
        (undoes) => (this.undoes = undoes),
        () => {},
      );
    }
  }

  drop() {
    this.#dropped = true;
    this.closeUnused();
  }

  closeUnused() {
    if (!this.#dropped || this.users > 0) return;
    this.database.onversionchange = null;
    this.database.close();
  }
}

/** Seals and opens the records of one profile: AES-256-GCM under a key that scripts cannot read. */
class Sealer {
  #place;
  #key;
  #subtle;

  constructor(profile, key) {
    this.#place = new TextEncoder().encode(profile);
    this.#key = key;
    this.#subtle = subtle();
  }

  /** A random nonce and what AES-GCM makes of the content. */
  async seal(table, key, content) {
    const iv = crypto.getRandomValues(new Uint8Array(NONCE));
    const ciphertext = await this.#subtle.encrypt(this.#parameters(table, key, iv), this.#key, content);
    const sealed = new Uint8Array(NONCE + ciphertext.byteLength);
    sealed.set(iv);
    sealed.set(new Uint8Array(ciphertext), NONCE);
    return sealed;
  }

  /** What was sealed; null, if it does not open. */
  async open(table, key, sealed) {
    if (!(sealed instanceof Uint8Array)) return null;
    try {
      const parameters = this.#parameters(table, key, sealed.subarray(0, NONCE));
      return new Uint8Array(await this.#subtle.decrypt(parameters, this.#key, sealed.subarray(NONCE)));
    } catch {
      return null;
    }
  }

  /** The additional data ties a record to its place: the format, the profile, the table and the key. */
  #parameters(table, key, iv) {
    const number = typeof key === "number";
    const additionalData = new Uint8Array(1 + this.#place.length + 2 + (number ? 8 : 16));
    additionalData[0] = FORMAT;
    additionalData.set(this.#place, 1);
    const at = 1 + this.#place.length;
    additionalData[at] = table;
    additionalData[at + 1] = number ? 0 : 1;
    if (number) new DataView(additionalData.buffer).setBigUint64(at + 2, BigInt(key));
    else additionalData.set(new Uint8Array(key), at + 2);
    return { name: "AES-GCM", iv, additionalData };
  }
}

/** The first half of a text's SHA-256: 32 hexadecimal digits. */
export async function digest(text) {
  try {
    const digest = await subtle().digest("SHA-256", new TextEncoder().encode(text));
    return hex(new Uint8Array(digest, 0, 16));
  } catch (thrown) {
    throw refusal(thrown);
  }
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

function subtle() {
  const crypto = globalThis.crypto;
  if (!crypto) throw new Refusal("failed", "this browser has no cryptography");
  if (!crypto.subtle) throw new Refusal("failed", "cryptography needs a secure page: https, or localhost");
  return crypto.subtle;
}

/**
 * Does something in one transaction. `issue` gets at object stores, and can give a promise for which the transaction is
 * held open. Where a browser commits the rest when a write fails after it was told to commit, that is the last write:
 * when it has happened, so has all before it.
 */
async function transact(database, names, { mode, durability }, issue) {
  const transaction = database.transaction(names, mode, durability && { durability });
  const ended = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = reject;
    // WebKit calls one complete that it has undone, since a write failed after `commit`.
    transaction.onerror = reject;
  });
  // What is thrown below may be thrown before anybody waits for that.
  ended.catch(() => {});
  try {
    const held = issue((name) => transaction.objectStore(name));
    if (held) await held;
    transaction.commit();
    await ended;
  } catch (thrown) {
    // What requests say is only that it was undone; the transaction itself knows of the full disk. Some browsers end
    // one without saying why.
    const why = transaction.error ?? (thrown instanceof Event ? thrown.target.error : thrown);
    try {
      transaction.abort();
    } catch {
      // It is over.
    }
    throw why;
  }
}

/** What comes of a request. */
async function result(request) {
  if (request.readyState === "pending") {
    await new Promise((done) => (request.onsuccess = request.onerror = done));
  }
  if (request.error) throw request.error;
  return request.result;
}

function factory() {
  if (!globalThis.indexedDB) throw new Refusal("failed", "this browser has no IndexedDB");
  return globalThis.indexedDB;
}

const databaseName = (profile) => `tutti-${profile}`;

/** Opens a database, creates it, or makes it one of this version. `known`: it has to be there, and is not created. */
async function openDatabase(name, schema, known) {
  const opening = factory().open(name, schema.version);
  let missing = false;
  opening.onupgradeneeded = ({ oldVersion }) => {
    missing = known && oldVersion === 0;
    // With this the one that would be made is not. It has just begun, so it can be aborted.
    if (missing) return opening.transaction.abort();
    const present = [...opening.result.objectStoreNames];
    for (const store of schema.stores) if (!present.includes(store)) opening.result.createObjectStore(store);
  };
  const opened = result(opening);
  try {
    const database = await unlessBlocked(opened);
    if (database) return database;
  } catch (thrown) {
    if (missing) throw new Refusal("erased");
    if (thrown.name === "VersionError") return openLater(name, schema);
    throw thrown;
  }
  // It may still come, for nobody.
  opened.then((late) => late.close()).catch(() => {});
  throw new Refusal("blocked");
}

/** Opens a database of a later version as it is, if that version says that this code can work with it. */
async function openLater(name, { version }) {
  const database = await result(factory().open(name));
  for (let oldest = 1; oldest <= version; oldest += 1) {
    if (database.objectStoreNames.contains(`version-${database.version}-for-${oldest}`)) return database;
  }
  database.close();
  throw new Refusal("version");
}

/** What comes of it; undefined, if somebody else holds it up. */
async function unlessBlocked(work) {
  let timer;
  const patience = new Promise((resolve) => (timer = setTimeout(resolve, BLOCKED)));
  try {
    return await Promise.race([work, patience]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Finds out whether this browser undoes a transaction in which something fails after `commit` was called, as it should;
 * Firefox does not. Until that is known, nothing relies on it. The answer is kept for as long as the browser calls itself
 * the same.
 */
async function probe(database) {
  const relaxed = { mode: "readwrite", durability: "relaxed" };
  // Other tabs may probe at the same time.
  const key = `${PROBE}-${hex(crypto.getRandomValues(new Uint8Array(16)))}`;
  const sabotaged = transact(database, [KEYS], relaxed, (of) => {
    of(KEYS).add(true, key);
    of(KEYS).add(true, key);
    // Firefox minds when it is the last that fails.
    of(KEYS).put(true, key);
  });
  // That something failed is told either way.
  await sabotaged.catch(() => {});
  let found;
  await transact(database, [KEYS], relaxed, (of) => {
    found = of(KEYS).getKey(key);
    of(KEYS).delete(key);
  });
  const undoes = found.result === undefined;
  await transact(database, [KEYS], relaxed, (of) => {
    of(KEYS).put({ agent: navigator.userAgent, undoes }, PROBED);
  });
  return undoes;
}

/**
 * The profile's key, and which database this is. Tabs that open a new database side by side all make them; the first to
 * be stored are everyone's. Without its key a database is another one.
 */
async function storedKey(database) {
  const stored = await look(database, KEYS, [SEALING_KEY, GENERATION, PROBED]);
  if (stored[0] instanceof CryptoKey) return stored;
  const made = await subtle().generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  let failed = new Refusal("damaged", "the key is gone");
  try {
    await transact(database, [KEYS], { mode: "readwrite", durability: "strict" }, (of) => {
      of(KEYS).put(hex(crypto.getRandomValues(new Uint8Array(16))), GENERATION);
      if (stored[0] !== undefined) of(KEYS).delete(SEALING_KEY);
      // Last, since that is how Firefox undoes the rest.
      of(KEYS).add(made, SEALING_KEY);
    });
  } catch (thrown) {
    failed = thrown;
  }
  const first = await look(database, KEYS, [SEALING_KEY, GENERATION, PROBED]);
  if (first[0] instanceof CryptoKey) return first;
  throw failed;
}

/** What is under these keys of an object store. */
async function look(database, name, keys) {
  let requests;
  await transact(database, [name], { mode: "readonly" }, (of) => {
    requests = keys.map((key) => of(name).get(key));
  });
  return requests.map(({ result }) => result);
}

/** Whether a record was to be added that is there already. */
const isPresent = (request) => request.readyState === "done" && request.error?.name === "ConstraintError";

/** Numbers come first among the keys of IndexedDB, so an upper bound is enough. */
const allNumbers = () => IDBKeyRange.upperBound(Infinity, true);

/** The key of the record that says that a leadership is over. */
const fenceKey = (epoch) => `fence-${epoch}`;

const isKey = (key) =>
  typeof key === "number" ? key >= 0 && Number.isSafeInteger(key) : key instanceof ArrayBuffer && key.byteLength === 16;

/** Whether the handle is closed, or the browser has lost what is behind it: another may help. */
const isLost = (thrown) => !thrown || ["InvalidStateError", "UnknownError", "AbortError"].includes(thrown.name);

/** What was thrown, as Rust knows it. */
function refusal(thrown) {
  if (thrown instanceof Refusal) return thrown;
  if (!thrown) return new Refusal("failed", "a transaction ended without a reason");
  const kind = { QuotaExceededError: "quota", VersionError: "version" }[thrown.name] ?? "failed";
  return new Refusal(kind, `${thrown.name}: ${thrown.message}`);
}
