import { addRxPlugin, createRxDatabase } from "rxdb/plugins/core";
import { RxDBLeaderElectionPlugin } from "rxdb/plugins/leader-election";
import { getRxStorageDexie } from "rxdb/plugins/storage-dexie";
import { byId, conversationsOf, summaries } from "./chat.mjs";

addRxPlugin(RxDBLeaderElectionPlugin);

const text = { type: "string", maxLength: 200 };
const number = { type: "number", minimum: 0, maximum: 1e15, multipleOf: 1 };
const content = { type: "object" };
const schemas = {
  messages: {
    version: 0,
    primaryKey: "id",
    type: "object",
    properties: { id: text, conversation: text, sender: text, type: text, content, position: number, sentAt: number },
    required: ["id", "conversation", "position"],
    indexes: [["conversation", "position"]],
  },
  conversations: {
    version: 0,
    primaryKey: "id",
    type: "object",
    properties: { id: text, lastActivity: number, unread: number, lastMessage: content },
    required: ["id", "lastActivity"],
    indexes: ["lastActivity"],
  },
};

let database;

export async function open() {
  database = await createRxDatabase({ name: "chat", storage: getRxStorageDexie({ chromeTransactionDurability: "relaxed" }) });
  const collection = (schema) => ({ schema });
  await database.addCollections({
    messages: collection(schemas.messages),
    conversations: collection(schemas.conversations),
  });
}

export async function take(page) {
  await store(JSON.parse(page));
}

// There are no transactions over two collections.
async function store(list) {
  const { messages, conversations } = database;
  const known = await conversations.findByIds(conversationsOf(list)).exec();
  const old = byId([...known.values()].map((found) => found.toJSON()));
  const results = await Promise.all([
    messages.bulkInsert(list),
    conversations.bulkUpsert(summaries(old, list)),
  ]);
  if (results.some(({ error }) => error.length > 0)) throw new Error("not all was stored");
}

export async function latest(conversation, limit) {
  const summary = await database.conversations.findOne(conversation).exec();
  if (summary === null) return [];
  // Indexes are read upwards only; positions have no gaps, so the first one is known.
  const position = { $gt: summary.lastMessage.position - limit };
  const query = { selector: { conversation, position }, sort: [{ conversation: "asc" }, { position: "asc" }] };
  return (await database.messages.find(query).exec()).map((found) => found.toJSON());
}

export async function list(limit) {
  const found = await database.conversations.find({ sort: [{ lastActivity: "desc" }], limit }).exec();
  return found.map((summary) => summary.toJSON());
}

export const write = (message) => store([message]);

export function watch(told) {
  database.messages.$.subscribe(({ operation, documentData, isLocal }) => {
    if (operation === "INSERT" && !isLocal) told(documentData);
  });
}

export const lead = () => database.waitForLeadership();
export const close = () => database.close();
