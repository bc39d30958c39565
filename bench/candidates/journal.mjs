// What nobody can do without who takes the same frames from a WebSocket and keeps them sealed: each sealed as it
// came, in pieces that stay under what Chromium moves to files, one transaction a frame. It can answer nothing.
const PIECE = 56 * 1024;

let [database, key, url] = [];
let next = 0;

export async function open(given) {
  url = given.url;
  key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt"]);
  const opening = indexedDB.open("journal");
  opening.onupgradeneeded = () => opening.result.createObjectStore("journal");
  await new Promise((done) => (opening.onsuccess = done));
  database = opening.result;
}

export async function catchUp() {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const stored = [];
  await new Promise((done, failed) => {
    socket.onopen = () => socket.send("next");
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") return done();
      socket.send("next");
      stored.push(store(data).catch(failed));
    };
    socket.onerror = failed;
  });
  await Promise.all(stored);
}

async function store(frame) {
  const pieces = [];
  for (let at = 0; at < frame.byteLength; at += PIECE) {
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const piece = new Uint8Array(frame, at, Math.min(PIECE, frame.byteLength - at));
    pieces.push(crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, piece).then((sealed) => ({ iv, sealed })));
  }
  const records = await Promise.all(pieces);
  const transaction = database.transaction("journal", "readwrite", { durability: "relaxed" });
  const journal = transaction.objectStore("journal");
  for (const record of records) journal.put(record, next++);
  transaction.commit();
  await new Promise((complete, failed) => {
    transaction.oncomplete = complete;
    transaction.onabort = () => failed(transaction.error);
  });
}
