import { IndexeddbPersistence } from "y-indexeddb";
import * as Y from "yjs";
import { byId, conversationsOf, latestFirst, summaries } from "./chat.mjs";

const HEARD = "heard";
const channel = new BroadcastChannel("yjs");
const chat = new Y.Doc();
const conversations = chat.getMap("conversations");
const messagesOf = (conversation) => chat.getArray(`messages of ${conversation}`);
let persistence;

export async function open() {
  persistence = new IndexeddbPersistence("chat", chat);
  await persistence.whenSynced;
  chat.on("update", (update, origin) => {
    if (origin !== HEARD && origin !== persistence) channel.postMessage(update);
  });
  channel.onmessage = ({ data }) => Y.applyUpdate(chat, data, HEARD);
}

export async function take(page) {
  await store(JSON.parse(page));
}

async function store(list) {
  const ids = conversationsOf(list);
  chat.transact(() => {
    const pieces = new Map(ids.map((id) => [id, []]));
    for (const message of list) pieces.get(message.conversation).push(message);
    for (const [id, piece] of pieces) messagesOf(id).push(piece);
    const known = byId(ids.map((id) => conversations.get(id)));
    for (const summary of summaries(known, list)) conversations.set(summary.id, summary);
  });
  // It does not say when an update is stored. Transactions on one store are in order, so one that
  // comes after it ends after it.
  const after = persistence.db.transaction("updates").objectStore("updates").count();
  await new Promise((done) => (after.onsuccess = done));
}

export function latest(conversation, limit) {
  const messages = messagesOf(conversation);
  return messages.slice(Math.max(0, messages.length - limit));
}

export const list = (limit) => latestFirst([...conversations.values()], limit);

export const write = (message) => store([message]);

export function watch(told, conversation) {
  messagesOf(conversation).observe(({ transaction, changes }) => {
    if (transaction.origin !== HEARD) return;
    for (const { insert } of changes.delta) if (insert) insert.forEach(told);
  });
}

export const close = () => persistence.destroy();
