// The page under test: it uses the package as any page would, and remembers what it is told.
import init, { SyncClient, SyncError } from "./pkg/index.js";
import * as audit from "./audit.js";
import * as databases from "./databases.js";
import { scan, plant } from "./scan.js";
import { unsealed } from "./unseal.js";

const clients = [];

/** Opens a client and records its events from the first on. Returns its number. Without a token the page's own function
 *  fetches them: `harness.token`. */
async function open(options) {
  await init();
  const begun = performance.now();
  const client = await SyncClient.open({ token: () => harness.token(), ...options });
  const log = {
    messages: [],
    conversations: [],
    session: [],
    notifications: [],
    typing: [],
    presence: [],
    "custom-status": [],
    status: [],
    "catch-up": [],
    "connection-limit": [],
    devices: [],
    removed: [],
    error: [],
  };
  for (const kind of Object.keys(log)) {
    client.on(kind, (event) => log[kind].push({ at: performance.now(), event }));
  }
  clients.push({ client, log, begun });
  return clients.length - 1;
}

/** What a call comes to, in a form that leaves the page. */
async function settle(call) {
  try {
    return { value: await call() };
  } catch (error) {
    const { name, message, stack, code, retryable } = Object(error);
    const isSyncError = error instanceof SyncError && error instanceof Error;
    return { failure: { name, message: message ?? String(error), stack, code, retryable, isSyncError } };
  }
}

/** A conversation from its beginning, page by page. */
async function readAll(client, conversation, limit = 100) {
  const messages = [];
  const holes = [];
  let before;
  for (;;) {
    const page = await client.history(conversation, before === undefined ? { limit } : { before, limit });
    messages.unshift(...page.messages);
    holes.unshift(...page.holes);
    if (!page.hasMore) return { messages, holes };
    const first =
      page.messages.find(({ position }) => position !== null)?.position ?? before ?? Number.MAX_SAFE_INTEGER;
    if (first === before) throw new Error(`paging back stands still before position ${before}`);
    before = first;
  }
}

globalThis.tutti = { init, SyncClient, SyncError };
globalThis.harness = { clients, open, settle, readAll, scan, plant, unsealed, audit, databases };
