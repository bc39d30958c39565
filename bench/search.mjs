// How long a search takes in Chromium, beside the plainest scans that a page could write itself, over the
// same messages in the same page: `cargo xtask bench search`.
//
// Candidates take turns, since the machine is never quite as fast twice; what counts are the ratios.
import { inPage } from "../tests/e2e/support/client.mjs";
import { until } from "../tests/e2e/support/until.mjs";
import { load, median, onStage, UNLIMITED } from "./support.mjs";

const MESSAGES = Number(process.argv[2] ?? 100_000);
const CONVERSATIONS = 200;
const ROUNDS = 7;
const QUERIES = {
  "a word of ten messages": { text: "Heron" },
  "a word of none": { text: "albatross" },
  "a word of all messages": { text: "message" },
  "two words of ten messages": { text: "blue heron" },
};

await onStage(bench);

async function bench(stage) {
  const server = await stage.server(UNLIMITED);
  const device = await stage.profile(server);
  const before = await device.client("ann");
  await before.online();
  await before.page.close();
  tell("writing", await timed(() => fill(server)));

  const page = await device.tab();
  let client = await device.clientIn(page, "ann");
  tell("catching up", await timed(() => client.call("syncNow")));
  const folded = async () => {
    const { blocks, journal } = (await inPage(page, () => harness.scan([]))).seen.records;
    return blocks > 0 && journal === 0;
  };
  await until("all messages are folded", folded, { within: 300_000, every: 1_000 });

  console.log("\ncold: the page is loaded again, its client is open, and nothing was searched yet");
  await page.reload();
  client = await device.clientIn(page, "ann");
  console.log(`  ${ms(await first(client, "Heron"))}`);

  console.log("\nsetting up the peers");
  await inPage(page, setUpPeers, { conversations: names() });
  for (const [name, query] of Object.entries(QUERIES)) {
    const { found, times } = await inPage(page, compare, { query, rounds: ROUNDS });
    report(name, found, times);
  }
  const query = { text: "message", conversation: "direct:peer-77" };
  const { found, times } = await inPage(page, compare, { query, rounds: ROUNDS });
  report("a word of all messages of one conversation", found, times);
  console.log(`\n${MESSAGES} messages in ${CONVERSATIONS} conversations; ${load()}`);
}

function names() {
  return Array.from({ length: CONVERSATIONS }, (_, at) => `direct:peer-${at}`);
}

/** Writes to Ann from all conversations by turns, texts of about 150 characters. */
async function fill(server) {
  for (let at = 0; at < MESSAGES; at += CONVERSATIONS) {
    const write = (_, within) => {
      const bird = (at + within) % (MESSAGES / 10) === 77 ? "a blue HERON" : "nothing";
      const content = { text: `message ${at + within}, ${bird}: ${filler(at + within)}` };
      return server.message(`peer-${within}`, "direct:ann", content);
    };
    await Promise.all(Array.from({ length: CONVERSATIONS }, write));
  }
}

/** Text of about 120 characters that does not repeat itself. */
function filler(seed) {
  let state = Math.imul(seed ^ 0x811c9dc5, 0x9e3779b1) >>> 0;
  const word = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0).toString(36);
  return Array.from({ length: 16 }, word).join(" ");
}

function first(client, text) {
  const body = async ({ client }, text) => {
    const start = performance.now();
    await client.search(text);
    return performance.now() - start;
  };
  return client.run(body, text);
}

// ---- in the page ----

/** Makes of the client's messages what the peers search: objects in memory, and sealed records in IndexedDB. */
async function setUpPeers({ conversations }) {
  const { client } = harness.clients.at(-1);
  const objects = [];
  for (const conversation of conversations) {
    objects.push(...(await harness.readAll(client, conversation, 1_000)).messages);
  }
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
  const database = await new Promise((done, failed) => {
    const opening = indexedDB.open("peer");
    opening.onupgradeneeded = () => opening.result.createObjectStore("records");
    opening.onsuccess = () => done(opening.result);
    opening.onerror = () => failed(opening.error);
  });
  // So many to a record stay under the 64 KiB from which on Chromium moves values to files.
  const AT_ONCE = 128;
  for (let at = 0; at < objects.length; at += AT_ONCE) {
    const iv = crypto.getRandomValues(new Uint8Array(12));
    const text = new TextEncoder().encode(JSON.stringify(objects.slice(at, at + AT_ONCE)));
    const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, text);
    const transaction = database.transaction("records", "readwrite");
    transaction.objectStore("records").put({ iv, sealed }, at);
    await new Promise((done) => (transaction.oncomplete = done));
  }

  const matching = ({ text, conversation }) => {
    const words = text.toLowerCase().split(/\s+/);
    return (message) =>
      (conversation === undefined || message.conversation === conversation) &&
      words.every((word) => message.content.text.toLowerCase().includes(word));
  };
  const newest = (found) => found.sort((a, b) => b.sentAt - a.sentAt).slice(0, 50);
  globalThis.peers = {
    client: ({ text, conversation }) => client.search(text, { conversation }),
    array: async (query) => newest(objects.filter(matching(query))),
    // As fast as it is still plain: all records at once, all of them unsealed side by side.
    sealed: async (query) => {
      const all = database.transaction("records").objectStore("records").getAll();
      const records = await new Promise((done) => (all.onsuccess = () => done(all.result)));
      const open = async ({ iv, sealed }) => {
        const text = await crypto.subtle.decrypt({ name: "AES-GCM", iv }, key, sealed);
        return JSON.parse(new TextDecoder().decode(text)).filter(matching(query));
      };
      return newest((await Promise.all(records.map(open))).flat());
    },
  };
}

/** Lets all search for the same, by turns. */
async function compare({ query, rounds }) {
  const times = {};
  const found = {};
  for (let round = 0; round < rounds; round += 1) {
    for (const [name, search] of Object.entries(peers)) {
      const start = performance.now();
      const messages = await search(query);
      (times[name] ??= []).push(performance.now() - start);
      found[name] = messages.map(({ sentAt }) => sentAt).join();
    }
  }
  if (new Set(Object.values(found)).size > 1) throw new Error(`they do not find the same: ${JSON.stringify(found)}`);
  return { found: found.client === "" ? 0 : found.client.split(",").length, times };
}

// ---- what is printed ----

function report(name, found, times) {
  const [client, array, sealed] = [times.client, times.array, times.sealed].map(median);
  console.log(`\n${name}: ${found} found`);
  console.log(`  client.search           ${ms(client)} (${times.client.map(Math.round).join(" ")})`);
  console.log(`  sealed records, plainly ${ms(sealed)}, ${(sealed / client).toFixed(2)} times as long`);
  console.log(`  array in memory         ${ms(array)}, ${(array / client).toFixed(2)} times as long`);
}

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function tell(what, time) {
  console.log(`${what}: ${(time / 1000).toFixed(1)} s; ${load()}`);
}

function ms(time) {
  return `${time.toFixed(0).padStart(5)} ms`;
}
