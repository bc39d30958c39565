// The databases of this origin as any of its pages can get at them: their keys, and records put where they do not
// belong.
import { TABLES, answer } from "./unseal.js";

/** What databases held before anything was put into them, by name. */
const kept = new Map();

export async function names() {
  return (await indexedDB.databases()).map(({ name }) => name).toSorted();
}

/** Whether what is sealed with the key of one database can be opened with that of another. */
export async function opens(one, other) {
  const [sealing, opening] = [await keyOf(one), await keyOf(other)];
  const algorithm = { name: "AES-GCM", iv: crypto.getRandomValues(new Uint8Array(12)) };
  const sealed = await crypto.subtle.encrypt(algorithm, sealing, new TextEncoder().encode("sealed"));
  return crypto.subtle.decrypt(algorithm, opening, sealed).then(
    (opened) => new TextDecoder().decode(opened) === "sealed",
    (error) => {
      if (error.name !== "OperationError") throw error;
      return false;
    },
  );
}

/** How many sealed records a database has in each table. */
export async function tally(name) {
  const content = await read(name, TABLES);
  return Object.fromEntries(content.map(({ table, records }) => [table, records.filter(isSealed).length]));
}

/** What a database holds, so that any two that differ in a byte differ here. Of a key that cannot be read: that it is. */
export async function fingerprint(name) {
  const content = await read(name, ["keys", ...TABLES]);
  let keys = 0;
  const readable = (value) => {
    if (value instanceof CryptoKey) return `key ${(keys += 1)}`;
    if (value instanceof ArrayBuffer) return [...new Uint8Array(value)].join();
    if (ArrayBuffer.isView(value)) return [...new Uint8Array(value.buffer, value.byteOffset, value.byteLength)].join();
    return value;
  };
  const records = content.flatMap(({ table, records }) => records.map(([key, value]) => [table, readable(key), readable(value)]));
  const bytes = new TextEncoder().encode(JSON.stringify(records));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return { records: records.length, bytes: bytes.length, keys, digest: [...digest].join() };
}

/** Puts the sealed records of some tables of one database into another, beside what is there or in its place. */
export async function copy(from, to, tables) {
  if (!kept.has(to)) kept.set(to, await read(to, ["keys", ...TABLES]));
  const content = await read(from, tables);
  await change(to, tables, (table, store) => {
    for (const [key, value] of recordsOf(content, table).filter(isSealed)) store.put(value, key);
  });
}

/** Puts the key of one database into another. */
export async function copyKey(from, to) {
  const key = await keyOf(from);
  await change(to, ["keys"], (_, store) => store.put(key, "sealing"));
}

/** Makes a database what it was before anything was put into it. */
export async function restore(name) {
  const content = kept.get(name);
  await change(name, ["keys", ...TABLES], (table, store) => {
    store.clear();
    for (const [key, value] of recordsOf(content, table)) store.put(value, key);
  });
}

/** Remembers what a database holds, to {@link restore} it. Returns where something is: `{ table, at, key, sealed }`. */
export async function keep(name) {
  const content = await read(name, ["keys", ...TABLES]);
  kept.set(name, content);
  const place = (table) => ([key, value], at) => ({ table, at, key: String(key), sealed: value instanceof Uint8Array });
  return content.flatMap(({ table, records }) => records.map(place(table)));
}

/** Damages a record of what was kept, in one of four ways: "flip" and "cut" are for what is sealed. */
export async function damage(name, { table, at }, way) {
  const content = kept.get(name);
  const [key, value] = recordsOf(content, table)[at];
  const sealed = content.flatMap(({ records }) => records.filter(isSealed)).map(([, it]) => it);
  const middle = value.length >> 1;
  const damaged = {
    flip: () => value.map((byte, at) => (at === middle ? byte ^ 1 : byte)),
    cut: () => value.slice(0, middle),
    swap: () => (sealed.includes(value) ? sealed.find((it) => it !== value) : "nonsense"),
  }[way]?.();
  await change(name, [table], (_, store) => (damaged === undefined ? store.delete(key) : store.put(damaged, key)));
}

/** The epoch, the revision and the fences have names, and are not sealed. */
function isSealed([key]) {
  return typeof key !== "string";
}

function recordsOf(content, table) {
  return content.find((it) => it.table === table).records;
}

async function keyOf(name) {
  const [{ records }] = await read(name, ["keys"]);
  return new Map(records).get("sealing");
}

/** The records of some tables: pairs of a key and a value. */
async function read(name, tables) {
  return within(name, tables, "readonly", (transaction) =>
    Promise.all(
      tables.map(async (table) => {
        const store = transaction.objectStore(table);
        const [keys, values] = await Promise.all([answer(store.getAllKeys()), answer(store.getAll())]);
        return { table, records: keys.map((key, at) => [key, values[at]]) };
      }),
    ),
  );
}

async function change(name, tables, write) {
  await within(name, tables, "readwrite", (transaction) => {
    for (const table of tables) write(table, transaction.objectStore(table));
  });
}

async function within(name, tables, mode, work) {
  const database = await answer(indexedDB.open(name));
  try {
    const transaction = database.transaction(tables, mode);
    const done = new Promise((done, failed) => {
      transaction.oncomplete = done;
      transaction.onabort = () => failed(transaction.error);
    });
    const [result] = await Promise.all([work(transaction), done]);
    return result;
  } finally {
    database.close();
  }
}
