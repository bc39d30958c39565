import { createStore } from "tinybase";
import { createIndexedDbPersister } from "tinybase/persisters/persister-indexed-db";
import { announce, byId, conversationsOf, hear, latestFirst, summaries, CONVERSATIONS, MESSAGES } from "./chat.mjs";

const chat = createStore();
const persister = createIndexedDbPersister(chat, "chat");
const rowId = (conversation, position) => `${conversation}/${position}`;

export const open = () => persister.load();

/** It writes all that there is, each time: so once, in the end. */
export async function catchUp(pages) {
  for (const page of pages) add(JSON.parse(page));
  await persister.save();
}

function add(list) {
  chat.transaction(() => {
    for (const { content, ...message } of list) {
      const row = { ...message, content: JSON.stringify(content) };
      chat.setRow(MESSAGES, rowId(message.conversation, message.position), row);
    }
    const known = byId(conversationsOf(list).map(summary));
    for (const { lastMessage, ...changed } of summaries(known, list)) {
      chat.setRow(CONVERSATIONS, changed.id, { ...changed, last: lastMessage.position });
    }
  });
}

export function latest(conversation, limit) {
  const { last } = chat.getRow(CONVERSATIONS, conversation);
  const first = Math.max(1, last - limit + 1);
  return Array.from({ length: last - first + 1 }, (_, at) => message(conversation, first + at));
}

export const list = (limit) => latestFirst(chat.getRowIds(CONVERSATIONS).map(summary), limit);

export async function write(message) {
  add([message]);
  await persister.save();
  announce(message);
}

export const watch = hear;

function summary(id) {
  if (!chat.hasRow(CONVERSATIONS, id)) return null;
  const { last, ...summary } = chat.getRow(CONVERSATIONS, id);
  return { ...summary, lastMessage: message(id, last) };
}

function message(conversation, position) {
  const row = chat.getRow(MESSAGES, rowId(conversation, position));
  return { ...row, content: JSON.parse(row.content) };
}
