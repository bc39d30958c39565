// What the candidates that are no chat clients themselves have in common: what a conversation's summary is, and how
// pages change it.

/** The account whose chat this is. */
export const ME = "ann";

/** Names of what is stored. */
export const [MESSAGES, CONVERSATIONS] = ["messages", "conversations"];

/** The ids of the conversations that these messages are of. */
export function conversationsOf(messages) {
  return [...new Set(messages.map(({ conversation }) => conversation))];
}

/**
 * The summaries of the conversations that these messages are of, as they are with them. `known`: the ones so far,
 * by conversation.
 */
export function summaries(known, messages) {
  const changed = new Map();
  for (const message of messages) {
    const { conversation: id, sentAt: lastActivity, sender } = message;
    const { unread } = changed.get(id) ?? known.get(id) ?? { unread: 0 };
    changed.set(id, { id, lastActivity, unread: unread + (sender === ME ? 0 : 1), lastMessage: message });
  }
  return [...changed.values()];
}

/** By id, without those that are not there. */
export function byId(list) {
  return new Map(list.filter(Boolean).map((summary) => [summary.id, summary]));
}

/** The latest first. */
export function latestFirst(list, count) {
  return list.sort((a, b) => b.lastActivity - a.lastActivity).slice(0, count);
}

/** Tells other tabs what was stored, for candidates that do not do so themselves. */
const channel = new BroadcastChannel("chat");

export function announce(message) {
  channel.postMessage(message);
}

export function hear(told) {
  channel.onmessage = ({ data }) => told(data);
}

/** Keys that sort as their numbers do. */
export function padded(number) {
  return String(number).padStart(9, "0");
}
