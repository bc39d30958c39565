import init, { SyncClient } from "../../pkg/index.js";

let [client, given] = [];
/** When the last frame came in. */
let arrived = 0;

/** Says when a frame comes in, before the client hears of it. */
globalThis.WebSocket = class extends WebSocket {
  constructor(...address) {
    super(...address);
    this.addEventListener("message", () => (arrived = performance.now()));
  }
};

export async function open(options) {
  given = options;
  await init();
  client = await SyncClient.open(given);
}

/** The pages come from the server. */
export async function catchUp() {
  await new Promise((done) => client.on("catch-up", done));
}

/** How long it takes until the next message is told of, from when its frame comes in; told is what is durable. */
export function next() {
  return new Promise((done) => {
    const end = client.on("messages", () => {
      end();
      done(performance.now() - arrived);
    });
  });
}

export async function latest(conversation, limit) {
  const { messages, holes } = await client.history(conversation, { limit });
  if (holes.length > 0) throw new Error(`not here: ${JSON.stringify(holes)}`);
  return messages;
}

export const list = (limit) => client.conversations({ limit });
export const write = ({ conversation, content }) => client.send(conversation, content);
export const settled = () => client.syncNow();

export function watch(told) {
  client.on("messages", (changes) => {
    for (const { change, origin, message } of changes) if (change === "added" && origin === "tab") told(message);
  });
}

export async function lead() {
  const leads = ({ role }) => role === "leader";
  if (!leads(client.status())) await new Promise((done) => client.on("status", (status) => leads(status) && done()));
}

export const close = () => client.close();
export const memory = async () => (await init()).memory.buffer.byteLength;
