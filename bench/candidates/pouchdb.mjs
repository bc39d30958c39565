import PouchDB from "pouchdb-core";
import adapter from "pouchdb-adapter-idb";
import { announce, byId, conversationsOf, hear, latestFirst, padded, summaries } from "./chat.mjs";

// The older of its adapters: several tabs that write through the newer one fail each other.
PouchDB.plugin(adapter);

// Ids sort by conversation and position: the one index that costs nothing.
const messageId = ({ conversation, position }) => `m/${conversation}/${padded(position)}`;
const summaryId = (conversation) => `c/${conversation}`;
const END = "\uffff";

let database;

export async function open() {
  database = new PouchDB("chat", { adapter: "idb", auto_compaction: true, revs_limit: 1 });
  await database.info();
}

export async function take(page) {
  await store(JSON.parse(page));
}

async function store(list) {
  const keys = conversationsOf(list).map(summaryId);
  const { rows } = await database.allDocs({ keys, include_docs: true });
  const found = byId(rows.map(({ doc }) => doc));
  const changed = summaries(found, list).map((summary) => ({
    ...summary,
    _id: summaryId(summary.id),
    _rev: found.get(summary.id)?._rev,
  }));
  const documents = [...list.map((message) => ({ ...message, _id: messageId(message) })), ...changed];
  const results = await database.bulkDocs(documents);
  const failed = results.find(({ error }) => error);
  if (failed) throw new Error(`not stored: ${failed.message}`);
}

export async function latest(conversation, limit) {
  const range = { startkey: `m/${conversation}/${END}`, endkey: `m/${conversation}/`, descending: true };
  const { rows } = await database.allDocs({ ...range, limit, include_docs: true });
  return rows.map(({ doc }) => doc).reverse();
}

export async function list(limit) {
  const { rows } = await database.allDocs({ startkey: "c/", endkey: `c/${END}`, include_docs: true });
  return latestFirst(rows.map(({ doc }) => doc), limit);
}

export async function write(message) {
  await store([message]);
  announce(message);
}

export const watch = hear;
