export const BEN = "direct:ben";

/** A message that has its place. */
export function sent(position, more = {}) {
  return {
    id: `m${position}`,
    conversation: BEN,
    sender: "ben",
    device: null,
    type: "text",
    content: { text: `number ${position}` },
    position,
    sentAt: 1_000 + position,
    editedAt: null,
    state: "sent",
    error: null,
    ...more,
  };
}

/** One on its way. */
export function pending(id, sentAt = 9_000, more = {}) {
  return { ...sent(0), id, sender: "ann", position: null, sentAt, state: "pending", ...more };
}

/** A page of history, from one position to another. */
export function page(from, to, more = {}) {
  const messages = Array.from({ length: to - from + 1 }, (_, at) => sent(from + at));
  return { messages, holes: [], hasMore: from > 1, ...more };
}

/** News of messages. */
export function news(change, ...messages) {
  return messages.map((message) => ({ change, message, origin: "remote" }));
}

export const positions = ({ messages }) => messages.map(({ position, id }) => position ?? id);
