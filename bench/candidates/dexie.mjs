import { Dexie, liveQuery } from "dexie";
import { byId, conversationsOf, summaries } from "./chat.mjs";

const database = new Dexie("chat", { chromeTransactionDurability: "relaxed" });
database.version(1).stores({ messages: "[conversation+position], &id", conversations: "id, lastActivity" });
const { messages, conversations } = database;

export const open = () => database.open();

export async function take(page) {
  await store(JSON.parse(page));
}

async function store(list) {
  await database.transaction("rw", messages, conversations, async () => {
    const known = await conversations.bulkGet(conversationsOf(list));
    await Promise.all([messages.bulkPut(list), conversations.bulkPut(summaries(byId(known), list))]);
  });
}

export async function latest(conversation, limit) {
  const all = messages.where("[conversation+position]").between([conversation, Dexie.minKey], [conversation, Dexie.maxKey]);
  return (await all.reverse().limit(limit).toArray()).reverse();
}

export const list = (limit) => conversations.orderBy("lastActivity").reverse().limit(limit).toArray();

export const write = (message) => store([message]);

export function watch(told, conversation) {
  let seen = null;
  liveQuery(() => latest(conversation, 1)).subscribe(([message]) => {
    if (seen !== null && message.id !== seen) told(message);
    seen = message?.id;
  });
}
