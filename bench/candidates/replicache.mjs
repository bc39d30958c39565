// Messages come as its server would send them: as patches that it pulls.
import { ReplicacheImpl as Replicache } from "replicache/impl";
import { byId, latestFirst, padded, summaries } from "./chat.mjs";

const messageKey = ({ conversation, position }) => `m/${conversation}/${padded(position)}`;
const summaryKey = (conversation) => `c/${conversation}`;

let replicache;
/** What the next pull brings. */
let patch = [];

export async function open() {
  replicache = new Replicache({
    name: "chat",
    licenseKey: "l00000000000000000000000000000000",
    pullInterval: null,
    puller: async ({ cookie }) => {
      const brought = patch.splice(0);
      const next = (cookie ?? 0) + (brought.length > 0 ? 1 : 0);
      return {
        response: { cookie: next, lastMutationIDChanges: {}, patch: brought },
        httpRequestInfo: { httpStatusCode: 200, errorMessage: "" },
      };
    },
    pusher: async () => ({ httpRequestInfo: { httpStatusCode: 200, errorMessage: "" } }),
    mutators: {
      write: async (transaction, message) => {
        const known = await transaction.get(summaryKey(message.conversation));
        for (const { key, value } of entries([message], byId([known]))) await transaction.set(key, value);
      },
    },
  });
  await replicache.pull({ now: true });
}

/** It is written to the disk a second after things are quiet, or when that is asked for: so once, in the end. */
export async function catchUp(pages) {
  // It is the server that knows these.
  const known = byId(await replicache.query((transaction) => transaction.scan({ prefix: "c/" }).values().toArray()));
  for (const page of pages) {
    const messages = JSON.parse(page);
    const changes = entries(messages, known);
    for (const { value } of changes) known.set(value.id, value);
    patch = changes.map((entry) => ({ op: "put", ...entry }));
    // A pull may also be the end of one that was under way.
    do await replicache.pull({ now: true });
    while (!(await replicache.query((transaction) => transaction.has(changes[0].key))));
  }
  await persist();
}

async function persist() {
  for (;;) {
    try {
      return await replicache.persist();
    } catch (error) {
      // It does so by itself at times, and never twice at once.
      if (error.message !== "Assertion failed") throw error;
      await new Promise((done) => setTimeout(done));
    }
  }
}

function entries(messages, known) {
  return [
    ...messages.map((message) => ({ key: messageKey(message), value: message })),
    ...summaries(known, messages).map((summary) => ({ key: summaryKey(summary.id), value: summary })),
  ];
}

export function latest(conversation, limit) {
  return replicache.query(async (transaction) => {
    const { lastMessage } = await transaction.get(summaryKey(conversation));
    const position = Math.max(1, lastMessage.position - limit + 1);
    const start = { key: messageKey({ conversation, position }) };
    return transaction.scan({ prefix: `m/${conversation}/`, start }).values().toArray();
  });
}

export function list(limit) {
  return replicache.query(async (transaction) =>
    latestFirst(await transaction.scan({ prefix: "c/" }).values().toArray(), limit),
  );
}

export async function write(message) {
  await replicache.mutate.write(message);
  await persist();
}

export function watch(told, conversation) {
  const prefix = `m/${conversation}/`;
  replicache.experimentalWatch((changes) => changes.forEach(({ op, newValue }) => op === "add" && told(newValue)), { prefix });
}

export const close = () => replicache.close();
