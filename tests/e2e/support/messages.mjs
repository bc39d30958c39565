/** What a conversation's members must see alike. */
export function summary(messages) {
  return messages.map(({ id, sender, type, content, sentAt, state }) => ({ id, sender, type, content, sentAt, state }));
}

export function contents(messages) {
  return messages.map(({ content }) => content);
}

export function ids(messages) {
  return messages.map(({ id }) => id);
}

/** So many texts that tell themselves apart. */
export function numbered(text, count, from = 1) {
  return Array.from({ length: count }, (_, at) => `${text} ${from + at}`);
}
