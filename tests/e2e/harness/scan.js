// Reads everything that this origin has in IndexedDB, down to the bytes, as an intruder with the
// disk would, and looks for texts that must not be readable in it.
import { answer } from "./unseal.js";

/** Where the needles are found, and what was looked at. */
export async function scan(needles) {
  const wanted = needles.flatMap((needle) => encodings(needle).map((bytes) => ({ needle, pattern: latin1(bytes) })));
  const found = [];
  const seen = { databases: 0, records: {}, bytes: 0, cryptoKeys: [] };
  const look = (bytes, where) => {
    seen.bytes += bytes.length;
    const haystack = latin1(bytes);
    for (const { needle, pattern } of wanted) {
      if (haystack.includes(pattern)) found.push({ needle, where });
    }
  };
  for (const { name } of await indexedDB.databases()) {
    seen.databases += 1;
    look(utf8(name), "the name of a database");
    const database = await answer(indexedDB.open(name));
    for (const store of database.objectStoreNames) {
      look(utf8(store), `${name}: the name of a store`);
      const records = database.transaction(store).objectStore(store);
      const [keys, values] = await Promise.all([answer(records.getAllKeys()), answer(records.getAll())]);
      seen.records[store] = (seen.records[store] ?? 0) + keys.length;
      for (const [at, key] of keys.entries()) {
        await walk(key, `${name}/${store}: a key`, look, seen);
        await walk(values[at], `${name}/${store}: a value`, look, seen);
      }
    }
    database.close();
  }
  return { found, seen };
}

/** Leaves texts in the open, one in every form that a record can have. Returns the texts. */
export async function plant(text) {
  const opening = indexedDB.open("planted", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("records");
  const database = await answer(opening);
  const forms = {
    string: (text) => text,
    nested: (text) => ({ list: [new Map([["key", { text }]])] }),
    field: (text) => ({ [text]: true }),
    bytes: (text) => utf8(text).buffer,
    wide: (text) => utf16(text),
    blob: (text) => new Blob([`<<${text}>>`]),
  };
  const planted = Object.entries(forms).map(([form, make]) => ({ text: `${text}-${form}`, make }));
  const transaction = database.transaction("records", "readwrite", { durability: "strict" });
  const records = transaction.objectStore("records");
  for (const [at, { text, make }] of planted.entries()) records.put(make(text), at);
  records.put(0, `${text}-key`);
  await new Promise((done, failed) => {
    transaction.oncomplete = done;
    transaction.onabort = () => failed(transaction.error);
  });
  database.close();
  return [...planted.map(({ text }) => text), `${text}-key`];
}

async function walk(value, where, look, seen) {
  if (value === null || ["undefined", "boolean", "number", "bigint"].includes(typeof value)) return;
  if (typeof value === "string") {
    look(utf8(value), where);
    look(utf16(value), where);
  } else if (value instanceof ArrayBuffer) {
    look(new Uint8Array(value), where);
  } else if (ArrayBuffer.isView(value)) {
    look(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), where);
  } else if (value instanceof Blob) {
    look(new Uint8Array(await value.arrayBuffer()), where);
  } else if (value instanceof CryptoKey) {
    seen.cryptoKeys.push(await describeKey(value));
  } else if (value instanceof Map || value instanceof Set || Array.isArray(value)) {
    for (const part of value instanceof Map ? [...value].flat() : value) await walk(part, where, look, seen);
  } else if ([Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    for (const part of Object.entries(value).flat()) await walk(part, where, look, seen);
  } else {
    // Nothing may pass unseen.
    throw new Error(`${where}: cannot look into ${Object.prototype.toString.call(value)}`);
  }
}

async function describeKey(key) {
  const exported = await Promise.allSettled(["raw", "jwk"].map((format) => crypto.subtle.exportKey(format, key)));
  return {
    algorithm: key.algorithm.name,
    length: key.algorithm.length,
    extractable: key.extractable,
    exports: exported.filter(({ status }) => status === "fulfilled").length,
  };
}

function encodings(text) {
  const wide = utf16(text);
  return [utf8(text), wide, wide.map((_, at) => wide[at ^ 1])];
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function utf16(text) {
  return Uint8Array.from([...text].flatMap((_, at) => [text.charCodeAt(at) & 255, text.charCodeAt(at) >> 8]));
}

/** Bytes as a text of as many characters, which can be searched quickly. */
function latin1(bytes) {
  return new TextDecoder("latin1").decode(bytes);
}
