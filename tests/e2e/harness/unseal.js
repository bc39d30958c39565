// Opens every record that this origin has in IndexedDB with the key that lies beside it, as only its own pages
// can, and looks for texts in what was sealed.

/** Tables by the number that is part of what is sealed. */
export const TABLES = ["meta", "journal", "blocks", "heads", "locators", "outbox"];
const FORMAT = 1;
const NONCE = 12;
const LZ4 = 1;

/** Which of the texts stand in which tables, and how many records of each table were looked into. */
export async function unsealed(texts) {
  const found = [];
  const looked = {};
  for (const { name } of await indexedDB.databases()) {
    const database = await answer(indexedDB.open(name));
    if (!database.objectStoreNames.contains("keys")) {
      database.close();
      continue;
    }
    // All of one moment.
    const transaction = database.transaction(["keys", ...TABLES]);
    const reading = TABLES.map((table) => {
      const records = transaction.objectStore(table);
      return Promise.all([answer(records.getAllKeys()), answer(records.getAll())]);
    });
    const key = await answer(transaction.objectStore("keys").get("sealing"));
    for (const [number, records] of (await Promise.all(reading)).entries()) {
      const table = TABLES[number];
      const [keys, values] = records;
      for (const [at, place] of keys.entries()) {
        if (typeof place === "string") continue; // the epoch, the revision, the fences: never sealed
        looked[table] = (looked[table] ?? 0) + 1;
        const content = new TextDecoder("latin1").decode(await open(key, name.replace("tutti-", ""), number, place, values[at]));
        for (const text of texts) if (content.includes(text)) found.push({ text, table });
      }
    }
    database.close();
  }
  return { found, looked };
}

async function open(key, profile, table, place, sealed) {
  const nonce = sealed.subarray(0, NONCE);
  const additionalData = new Uint8Array([FORMAT, ...new TextEncoder().encode(profile), table, ...placeBytes(place)]);
  const algorithm = { name: "AES-GCM", iv: nonce, additionalData };
  return unpack(new Uint8Array(await crypto.subtle.decrypt(algorithm, key, sealed.subarray(NONCE))));
}

function placeBytes(place) {
  if (typeof place !== "number") return [1, ...new Uint8Array(place)];
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, BigInt(place));
  return [0, ...new Uint8Array(bytes.buffer)];
}

/** What is sealed begins with a byte that says whether it is compressed: as an LZ4 block after its length. */
function unpack(packed) {
  if (packed[0] !== LZ4) return packed.subarray(1);
  const content = new Uint8Array(new DataView(packed.buffer).getUint32(1, true));
  let [at, to] = [5, 0];
  const length = (start) => {
    let sum = start;
    if (start === 15) {
      let more;
      do sum += more = packed[at++];
      while (more === 255);
    }
    return sum;
  };
  while (at < packed.length) {
    const token = packed[at++];
    const literals = length(token >> 4);
    content.set(packed.subarray(at, at + literals), to);
    at += literals;
    to += literals;
    if (at >= packed.length) break;
    const back = packed[at] | (packed[at + 1] << 8);
    at += 2;
    // Byte by byte: a match may reach into what it makes.
    for (const end = to + length(token & 15) + 4; to < end; to += 1) content[to] = content[to - back];
  }
  if (to !== content.length) throw new Error(`unpacked ${to} bytes of ${content.length}`);
  return content;
}

/** What a request of IndexedDB comes to. */
export function answer(request) {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
    request.onblocked = () => failed(new Error("blocked"));
  });
}
