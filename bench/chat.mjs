// The chat that benches are about: the same each time, in as many conversations, busy as Zipf has it.

import { Device } from "./wire.mjs";

/** Whose chat it is. */
export const ACCOUNT = "ann";
export const CONVERSATIONS = 200;
/** Messages that are written at once, from all sides: so many are mixed by chance. */
const AT_ONCE = 400;
/** Every so many messages the account has written itself, from somewhere else. */
const OWN = 8;

/**
 * Writes so many messages from and to the account. The last ones come one after another, each in a millisecond of its
 * own, so that it is known which conversation said something last.
 */
export async function fill(server, messages, progress = () => {}) {
  const random = generator(messages);
  const pick = zipf(random);
  const names = [ACCOUNT, ...Array.from({ length: CONVERSATIONS }, (_, at) => `peer-${at}`)];
  // A million take longer than a token usually lasts.
  const token = async (account) => (await server.call("POST", "/api/tokens", { account, ttl_seconds: 86_400 })).token;
  const connect = async (name) => [name, await Device.connect(server.url, name, await token(name))];
  const devices = new Map(await Promise.all(names.map(connect)));
  const next = (at) => {
    const peer = `peer-${at < CONVERSATIONS ? at : pick()}`;
    const content = { text: `message ${at}: ${filler(random)}` };
    return at % OWN === 0 ? [ACCOUNT, `direct:${peer}`, content] : [peer, `direct:${ACCOUNT}`, content];
  };
  const write = async (many) => {
    const bySender = new Map();
    for (const [sender, ...send] of many) bySender.set(sender, [...(bySender.get(sender) ?? []), send]);
    await Promise.all([...bySender].map(([sender, sends]) => devices.get(sender).submit(sends)));
  };
  const apart = Math.min(CONVERSATIONS, messages / 2);
  let written = 0;
  while (written < messages - apart) {
    const many = Math.min(AT_ONCE, messages - apart - written);
    await write(Array.from({ length: many }, (_, within) => next(written + within)));
    written += many;
    progress(written);
  }
  for (; written < messages; written += 1) {
    await write([next(written)]);
    const confirmed = Date.now();
    while (Date.now() === confirmed) await new Promise(setImmediate);
  }
  for (const device of devices.values()) device.close();
}

/** What a client needs to open the account. */
export async function clientOf(server) {
  return { url: server.url, account: ACCOUNT, token: await server.token(ACCOUNT) };
}

/** A conversation's number, from 0: of rank n it is one in n times as often as of rank 1. */
function zipf(random) {
  const sums = [];
  for (let rank = 1; rank <= CONVERSATIONS; rank += 1) sums.push((sums.at(-1) ?? 0) + 1 / rank);
  return () => {
    const at = random() * sums.at(-1);
    return sums.findIndex((sum) => at < sum);
  };
}

/** Text of about 120 characters that does not repeat itself. */
export function filler(random) {
  return Array.from({ length: 17 }, () => Math.floor(random() * 2 ** 32).toString(36)).join(" ");
}

/** Numbers in [0, 1), the same each time (mulberry32). */
export function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a client must say of an account's messages: the latest of a conversation, up to a thousand, and the list. */
export class Truth {
  messages = 0;
  /** By conversation, what came last, and how many messages came from others. */
  #conversations = new Map();

  /** In the order of the log, which in a conversation is that of positions. */
  add(message) {
    const { conversation, sender } = message;
    if (!this.#conversations.has(conversation)) this.#conversations.set(conversation, { latest: [], unread: 0 });
    const known = this.#conversations.get(conversation);
    known.latest.push(message);
    if (known.latest.length > 2_000) known.latest.splice(0, 1_000);
    if (sender !== ACCOUNT) known.unread += 1;
    this.messages += 1;
  }

  latest(conversation, limit) {
    return this.#conversations.get(conversation).latest.slice(-limit).map(plainMessage);
  }

  list(limit) {
    const all = [...this.#conversations].map(([id, { latest, unread }]) => {
      const last = latest.at(-1);
      return [id, unread, last.sentAt, plainMessage(last)];
    });
    return all.sort((a, b) => b[2] - a[2]).slice(0, limit);
  }

  last(conversation) {
    return this.#conversations.get(conversation).latest.at(-1);
  }
}

/** Messages that come after all that there is. */
export class News {
  #truth;
  #round;
  #number = 0;

  constructor(truth, round) {
    this.#truth = truth;
    this.#round = round;
  }

  messages(conversation, text, count) {
    const { position, type } = this.#truth.last(conversation);
    return Array.from({ length: count }, (_, at) => {
      const id = `news-${this.#round}-${(this.#number += 1)}`;
      const content = { text: `${text} ${at}: ${filler(generator(this.#number))}` };
      return { id, conversation, sender: "peer-0", type, content, position: position + 1 + at, sentAt: Date.now() };
    });
  }
}

function plainMessage({ id, position, sender, sentAt, content }) {
  return [id, position, sender, sentAt, content.text];
}
