// IndexedDB itself, one record a message, with all that makes it fast: the limit for those that keep such records.
import { announce, byId, conversationsOf, hear, summaries, CONVERSATIONS, MESSAGES } from "./chat.mjs";

let database;

export async function open() {
  const opening = indexedDB.open("chat");
  opening.onupgradeneeded = () => {
    const { result } = opening;
    result.createObjectStore(MESSAGES, { keyPath: ["conversation", "position"] }).createIndex("id", "id", { unique: true });
    result.createObjectStore(CONVERSATIONS, { keyPath: "id" }).createIndex("lastActivity", "lastActivity");
  };
  database = await done(opening);
}

export async function take(page) {
  await store(JSON.parse(page));
}

async function store(list) {
  const transaction = database.transaction([MESSAGES, CONVERSATIONS], "readwrite", { durability: "relaxed" });
  const [messages, conversations] = [MESSAGES, CONVERSATIONS].map((name) => transaction.objectStore(name));
  for (const message of list) messages.put(message);
  const known = await Promise.all(conversationsOf(list).map((id) => done(conversations.get(id))));
  for (const summary of summaries(byId(known), list)) conversations.put(summary);
  transaction.commit();
  await new Promise((complete, failed) => {
    transaction.oncomplete = complete;
    transaction.onabort = () => failed(transaction.error);
  });
}

export async function latest(conversation, limit) {
  const query = IDBKeyRange.bound([conversation], [conversation, []]);
  const messages = database.transaction(MESSAGES).objectStore(MESSAGES);
  return (await done(messages.getAll({ query, count: limit, direction: "prev" }))).reverse();
}

export function list(limit) {
  const index = database.transaction(CONVERSATIONS).objectStore(CONVERSATIONS).index("lastActivity");
  return done(index.getAll({ count: limit, direction: "prev" }));
}

export async function write(message) {
  await store([message]);
  announce(message);
}

export const watch = hear;

function done(request) {
  return new Promise((done, failed) => {
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });
}
