// Tutti beside what one would use otherwise: `cargo xtask bench`, or `cargo xtask bench peers --quick --only tutti,dexie`,
// `--messages N` for another number of them.
// `docs/benchmarks.md` tells what is measured, and what is unfair to whom.
//
// One browser, one run; the candidates take turns, since the machine is never quite as fast twice. What counts
// are the ratios.
import { cp, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT } from "../tests/e2e/support/stage.mjs";
import { bundle } from "./bundle.mjs";
import { ACCOUNT, clientOf, fill, News, Truth } from "./chat.mjs";
import { Site } from "./site.mjs";
import { Stub } from "./stub.mjs";
import { load, median, onStage, UNLIMITED } from "./support.mjs";
import { table } from "./table.mjs";
import { check, expect, Visit } from "./visit.mjs";
import { Device } from "./wire.mjs";

const PAGE = 500;
/** Messages of a conversation that are looked at, and conversations of the list. */
const [LATEST, LISTED] = [50, 30];
/** How often what is short is measured in a round. */
const [COLD, WARM, LIVE, TAKEOVERS] = [4, 30, 12, 4];
/** The client folds when nothing has happened for five seconds, and shows nobody when it has: milliseconds. */
const IDLE = 6_500;
/** How long somebody looks at a list before a conversation of it is opened: milliseconds. */
const GLANCE = 500;

/**
 * `code`: the file of candidates/, if it is another; `server`: whether messages come from a server, the "real" one or
 * a "stub"; `does`: what it is measured at, beyond the catch-up.
 */
const CANDIDATES = {
  tutti: { title: "Tutti", server: "real", does: ["looks", "receives", "sends", "tabs", "leads"] },
  stubbed: { title: "Tutti, from a stub server", code: "tutti", server: "stub", does: [] },
  journal: { title: "limit: sealed journal, from a stub server", server: "stub", does: [] },
  raw: { title: "limit: bare IndexedDB", does: ["looks", "receives", "sends", "tabs", "leads"] },
  idb: { title: "idb", does: ["looks", "receives", "sends", "tabs"] },
  dexie: { title: "Dexie", does: ["looks", "receives", "sends", "tabs"] },
  rxdb: { title: "RxDB", does: ["looks", "receives", "sends", "tabs", "leads"] },
  pouchdb: { title: "PouchDB", does: ["looks", "receives", "sends", "tabs"] },
  replicache: { title: "Replicache", does: ["looks", "receives", "sends", "tabs"] },
  yjs: { title: "Yjs, y-indexeddb", does: ["looks", "receives", "sends", "tabs"] },
  tinybase: { title: "TinyBase", does: ["looks", "receives", "sends", "tabs"] },
  sqlite: { title: "SQLite-wasm on OPFS", does: ["looks", "receives", "sends"] },
};

const { values: options } = parseArgs({
  options: { only: { type: "string" }, quick: { type: "boolean" }, messages: { type: "string" } },
});
const names = options.only?.split(",") ?? Object.keys(CANDIDATES);
for (const name of names) if (!CANDIDATES[name]) throw new Error(`there is no ${name}: ${Object.keys(CANDIDATES).join(", ")}`);
/** How many rounds with how many messages; what is not a catch-up is measured at the last of these. */
const SIZES = options.quick || options.messages
  ? [{ messages: Number(options.messages ?? 10_000), rounds: options.quick ? 1 : 3 }]
  : [
      { messages: 10_000, rounds: 3 },
      // Minutes for some; all but the catch-up is measured many times in it.
      { messages: 100_000, rounds: 1 },
    ];

const OUT = process.env.TUTTI_BENCH_OUT ?? join(ROOT, "target/bench");
const begun = performance.now();
/** By candidate and column, what each round gave. */
const figures = Object.fromEntries(names.map((name) => [name, {}]));

await onStage(bench);

async function bench(stage) {
  const folders = join(OUT, "pages");
  for (const left of [folders, ...SIZES.map(pristine)]) await rm(left, { recursive: true, force: true });
  for (const name of names) {
    note(name, "shipped", await bundle(name, CANDIDATES[name].code ?? name, join(folders, name)));
  }
  const site = await Site.start(folders, import.meta.dirname);
  const recorded = new Map();
  const stub = await Stub.start(recorded);
  try {
    await run(stage, site, stub, recorded);
  } finally {
    await stub.stop();
    await site.stop();
    for (const size of SIZES) await rm(pristine(size), { recursive: true, force: true });
  }
}

async function run(stage, site, stub, recorded) {
  const args = (origins) => [...UNLIMITED.args, "--allow-origin", "none", ...origins.flatMap((it) => ["--allow-origin", it])];
  for (const size of SIZES) {
    size.runs = Array.from({ length: size.rounds }, (_, round) => `${size.messages}-${round + 1}`);
    const origins = names.flatMap((name) => size.runs.map((run) => site.origin(name, run)));
    size.server = await stage.server({ ...UNLIMITED, args: args(origins) });
  }
  const profile = await stage.profile(SIZES[0].server, {
    launch: { args: Visit.LAUNCH },
  });
  const browser = (await profile.tab("/healthz")).context();
  const version = browser.browser()?.version() ?? "?";
  const visit = (run, more) => Visit.to(browser, site, run, more);

  for (const size of SIZES) {
    // Who has never been in step is no device that was away: it is given a snapshot instead.
    const client = await clientOf(size.server);
    for (const name of names.filter((name) => CANDIDATES[name].code === "tutti" || name === "tutti")) {
      for (const run of size.runs) {
        const page = await visit({ name, run, client });
        await page.call("settled");
        await page.close();
      }
    }
    tell(`${size.messages.toLocaleString("en")} messages are written`);
    await fill(size.server, size.messages, (so) => progress(`${so.toLocaleString("en")} written`));
    tell("they are read");
    const device = await Device.connect(size.server.url, ACCOUNT, client.token);
    const frames = new Map();
    const messages = [];
    size.truth = new Truth();
    for await (const page of device.pages()) {
      frames.set(page.after, page.frame);
      messages.push(...page.messages);
      page.messages.forEach((message) => size.truth.add(message));
    }
    if (size.truth.messages !== size.messages) throw new Error(`${size.truth.messages} messages are there`);
    recorded.set(String(size.messages), { welcome: device.welcome, pages: frames });
    device.close();
    size.pages = [];
    for (let at = 0; at < size.messages; at += PAGE) {
      const path = `/pages/${size.messages}/${at}.json`;
      site.texts.set(path, JSON.stringify(messages.slice(at, at + PAGE)));
      size.pages.push(path);
    }
    size.stored = () => bytesIn(profile.directory);
    await size.server.stop();
    await cp(size.server.data, pristine(size), { recursive: true });
    await size.server.start();
  }

  for (const size of SIZES) {
    for (const [round, run] of size.runs.entries()) {
      // Nobody is always the first.
      const order = names.map((_, at) => names[(at + round) % names.length]);
      for (const name of order) {
        const start = performance.now();
        progress(`${size.messages.toLocaleString("en")}, round ${round + 1} of ${size.rounds}: ${name}`);
        await measure({ name, run, size, round, visit, stub });
        if (CANDIDATES[name].server === "real") await restore(size);
        tell(`${size.messages.toLocaleString("en")}, round ${round + 1} of ${size.rounds}: ${name} ${seconds(start)}`);
      }
    }
  }

  await mkdir(OUT, { recursive: true });
  await writeFile(join(OUT, "peers.json"), JSON.stringify(figures, null, 1));
  const text = `${table(figures, CANDIDATES, SIZES.map(({ messages }) => messages))}\nChromium ${version}; ${load()}; ${seconds(begun)} in all.\n`;
  await writeFile(join(OUT, "peers.md"), text);
  console.log(`\n${text}`);
}

/** Where a server's data lie as they were when all was written. */
function pristine({ messages }) {
  return join(OUT, `data-${messages}`);
}

/** What was said while it was measured, the next round knows nothing of. */
async function restore(size) {
  const { server } = size;
  await server.stop();
  await rm(server.data, { recursive: true });
  await cp(pristine(size), server.data, { recursive: true });
  await server.start();
}

/** One candidate, from an empty store on. */
async function measure({ name, run, size, round, visit, stub }) {
  const { server: kind, does } = CANDIDATES[name];
  const client = kind === "stub" ? { ...(await clientOf(size.server)), url: stub.url(size.messages) }
    : kind === "real" ? await clientOf(size.server) : {};
  const at = { name, run, client };
  const before = await size.stored();
  let page = await visit({ ...at, catchUp: kind ? [] : size.pages });
  const { time, longest } = await page.evaluate(() => bench.caughtUp);
  note(name, `catch-up ${size.messages}`, time);
  note(name, `longest task ${size.messages}`, longest);
  if (kind) await new Promise((done) => setTimeout(done, IDLE));
  await page.close();
  if (name === "journal") return;

  page = await visit(at);
  await check(page, size.truth);
  await page.close();
  if (size !== SIZES.at(-1)) return;
  note(name, "on disk", (await size.stored()) - before);
  if (!does.includes("looks")) return;

  const { truth } = size;
  const busy = (rank) => `direct:peer-${rank}`;
  for (let time = 0; time < COLD; time += 1) {
    const rank = 3 + time * 7;
    const opened = await cold(visit, at, ["latest", busy(rank), LATEST]);
    expect(opened.found, truth.latest(busy(rank), LATEST), `${name}: the latest of a conversation, cold`);
    const listed = await cold(visit, at, ["list", LISTED]);
    expect(listed.found, truth.list(LISTED), `${name}: the list, cold`);
    // The first of them compiles what the browser then keeps.
    if (time === 0) continue;
    note(name, "conversation, cold", opened.time);
    note(name, "list, cold", listed.time);
  }
  page = await visit(at);
  await page.call("opened");
  const first = truth.list(LISTED).map(([conversation]) => ["latest", conversation, LATEST]);
  const lists = Array.from({ length: WARM }, () => ["list", LISTED]);
  // An application shows its list first, and nobody opens a conversation in the moment when it is there.
  note(name, "list, warm", median((await page.call("look", lists)).map(({ time }) => time)));
  await new Promise((done) => setTimeout(done, GLANCE));
  note(name, "conversation, first time", median((await page.call("look", first)).map(({ time }) => time)));
  note(name, "conversation, again", median((await page.call("look", first)).map(({ time }) => time)));
  note(name, "memory", await page.memory());
  await page.close();

  const news = new News(truth, round);
  if (does.includes("receives")) {
    page = await visit(at);
    await page.call("opened");
    const conversation = busy(5);
    const messages = news.messages(conversation, "from afar", LIVE);
    const received = kind ? deliver(size.server, page, messages) : page.call("receive", messages);
    note(name, "received, durable", median(await received));
    note(name, "sent, durable", median(await page.call("send", news.messages(busy(6), "said", LIVE))));
    await page.close();
  }
  if (does.includes("tabs")) {
    const [one, other] = [await visit(at), await visit(at)];
    await Promise.all([one.call("opened"), other.call("opened")]);
    const conversation = busy(7);
    const [pings, pongs] = [[], []];
    for (const message of news.messages(conversation, "ping", 2 * LIVE)) {
      const list = pings.length > pongs.length ? pongs : pings;
      list.push({ ...message, content: { text: list === pings ? "ping" : "pong" } });
    }
    await other.call("answer", ["ping", pongs]);
    const times = await one.call("ask", [pings, "pong"]);
    note(name, "tab to tab", median(times.map((time) => time / 2)));
    await one.close();
    await other.close();
  }
  if (does.includes("leads")) {
    for (const [how, end] of Object.entries({ closed: (page) => page.call("close"), crashed: (page) => page.crash() })) {
      for (let time = 0; time < TAKEOVERS; time += 1) note(name, `leader ${how}`, await takeover(visit, at, end));
    }
  }
}

async function cold(visit, at, what) {
  const page = await visit({ ...at, cold: what });
  const answer = await page.evaluate(() => bench.cold);
  await page.close();
  return answer;
}

/** Until the other of two tabs leads. */
async function takeover(visit, at, end) {
  const leader = await visit(at);
  await leader.call("lead");
  const next = await visit(at);
  const led = new Promise((led) => (next.led = () => led(performance.now())));
  const leading = next.call("lead");
  await next.call("opened");
  const start = performance.now();
  const ending = end(leader);
  const time = (await led) - start;
  await Promise.all([ending, leading]);
  await leader.close();
  await next.close();
  return time;
}

/** Writes one message after another, each when the one before it was told of; how long that took each time. */
async function deliver(server, page, messages) {
  const times = [];
  for (const { conversation, content } of messages) {
    await page.call("expect");
    await server.message(conversation.slice("direct:".length), `direct:${ACCOUNT}`, content);
    times.push(await page.call("expected"));
  }
  return times;
}

function note(name, column, value) {
  (figures[name][column] ??= []).push(value);
}

/** Bytes of all files in a browser's profile that hold what pages store. */
async function bytesIn(profile) {
  const places = ["IndexedDB", "File System", "WebStorage"].map((place) => join(profile, "Default", place));
  const sizes = await Promise.all(places.map(sizeOf));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function sizeOf(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  // What the browser has just removed has no size.
  const sizes = await Promise.all(files.map(({ parentPath, name }) => stat(join(parentPath, name)).then(({ size }) => size, () => 0)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

function tell(what) {
  console.log(`${seconds(begun).padStart(8)}  ${what}`);
}

function progress(what) {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${seconds(begun).padStart(8)}  ${what} …\r`);
}

function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}
