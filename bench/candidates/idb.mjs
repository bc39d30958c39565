import { openDB } from "idb";
import { announce, byId, conversationsOf, hear, summaries, CONVERSATIONS, MESSAGES } from "./chat.mjs";

let database;

export async function open() {
  database = await openDB("chat", 1, {
    upgrade(database) {
      const messages = database.createObjectStore(MESSAGES, { keyPath: ["conversation", "position"] });
      messages.createIndex("id", "id", { unique: true });
      database.createObjectStore(CONVERSATIONS, { keyPath: "id" }).createIndex("lastActivity", "lastActivity");
    },
  });
}

export async function take(page) {
  await store(JSON.parse(page));
}

async function store(list) {
  const transaction = database.transaction([MESSAGES, CONVERSATIONS], "readwrite", { durability: "relaxed" });
  const [messages, conversations] = [MESSAGES, CONVERSATIONS].map((name) => transaction.objectStore(name));
  const puts = list.map((message) => messages.put(message));
  const known = byId(await Promise.all(conversationsOf(list).map((id) => conversations.get(id))));
  puts.push(...summaries(known, list).map((summary) => conversations.put(summary)));
  await Promise.all([...puts, transaction.done]);
}

export async function latest(conversation, limit) {
  const found = [];
  const range = IDBKeyRange.bound([conversation], [conversation, []]);
  const last = await database.transaction(MESSAGES).store.openKeyCursor(range, "prev");
  if (last === null) return found;
  // Positions have no gaps, so the first one is known; a cursor would cost an event for each message.
  const first = [conversation, last.key[1] - limit + 1];
  return database.getAll(MESSAGES, IDBKeyRange.bound(first, last.key));
}

export async function list(limit) {
  const found = [];
  const index = database.transaction(CONVERSATIONS).store.index("lastActivity");
  for (let cursor = await index.openCursor(null, "prev"); cursor && found.length < limit; cursor = await cursor.continue()) {
    found.push(cursor.value);
  }
  return found;
}

export async function write(message) {
  await store([message]);
  announce(message);
}

export const watch = hear;
