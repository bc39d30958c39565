// Where Tutti's time goes in each column of the peers' tables: `cargo xtask bench profile`.
//
// The page's own functions are watched, as the browser has them: how long they take, and what is left, which is the
// package's. What they do side by side counts for each.
import { join } from "node:path";
import { ROOT } from "../tests/e2e/support/stage.mjs";
import { bundle } from "./bundle.mjs";
import { ACCOUNT, clientOf, fill, News, Truth } from "./chat.mjs";
import { Site } from "./site.mjs";
import { load, median, onStage, UNLIMITED } from "./support.mjs";
import { Visit } from "./visit.mjs";
import { Device } from "./wire.mjs";

const MESSAGES = 10_000;
const [TIMES, LATEST, LISTED] = [24, 50, 30];
const FOLDERS = join(process.env.TUTTI_BENCH_OUT ?? join(ROOT, "target/bench"), "pages");

await onStage(async (stage) => {
  await bundle("tutti", "tutti", join(FOLDERS, "tutti"));
  const site = await Site.start(FOLDERS, import.meta.dirname);
  try {
    await profile(stage, site);
  } finally {
    await site.stop();
  }
});

async function profile(stage, site) {
  const args = [...UNLIMITED.args, "--allow-origin", "none", "--allow-origin", site.origin("tutti", "profile")];
  const server = await stage.server({ ...UNLIMITED, args });
  const browser = (await (await stage.profile(server, { launch: { args: Visit.LAUNCH } })).tab("/healthz")).context();
  await browser.addInitScript(watch);
  const client = await clientOf(server);
  const visit = (more) => Visit.to(browser, site, { name: "tutti", run: "profile", client, ...more });

  // Who has never been in step is no device that was away: it is given a snapshot instead.
  let page = await visit();
  await page.call("settled");
  await page.close();
  await fill(server, MESSAGES);
  const truth = new Truth();
  const device = await Device.connect(server.url, ACCOUNT, client.token);
  for await (const { messages } of device.pages()) messages.forEach((message) => truth.add(message));
  device.close();

  page = await visit({ catchUp: [] });
  const { time } = await page.evaluate(() => bench.caughtUp);
  tell("catch-up", [[time, await page.evaluate(() => spans)]]);
  await new Promise((done) => setTimeout(done, 6_500));
  await page.close();

  const cold = [];
  for (let at = 0; at < TIMES / 2; at += 1) {
    page = await visit({ cold: ["list", LISTED] });
    cold.push([(await page.evaluate(() => bench.cold)).time, await page.evaluate(() => spans)]);
    await page.close();
  }
  tell("list, cold", cold.slice(1));

  page = await visit();
  await page.call("opened");
  const looks = async (what) => {
    const runs = [];
    for (let rank = 0; rank < TIMES; rank += 1) {
      runs.push(await watched(page, "look", [what(`direct:peer-${rank}`)], ([{ time }]) => time));
    }
    return runs;
  };
  tell("conversation, first time", await looks((id) => ["latest", id, LATEST]));
  tell("conversation, again", await looks((id) => ["latest", id, LATEST]));
  tell("list, warm", await looks(() => ["list", LISTED]));

  const news = new News(truth, 0);
  const received = [];
  for (const { conversation, content } of news.messages("direct:peer-5", "from afar", TIMES)) {
    await page.call("expect");
    await page.evaluate(() => void (spans.length = 0));
    await server.message(conversation.slice("direct:".length), `direct:${ACCOUNT}`, content);
    const time = await page.call("expected");
    received.push([time, await page.evaluate(() => spans)]);
  }
  tell("received, durable", received);
  const sent = [];
  for (const message of news.messages("direct:peer-6", "said", TIMES)) {
    sent.push(await watched(page, "send", [message], ([time]) => time));
  }
  tell("sent, durable", sent);
  await page.close();

  const closed = [];
  for (let at = 0; at < TIMES / 2; at += 1) {
    const leader = await visit();
    await leader.call("lead");
    const next = await visit();
    const led = new Promise((led) => (next.led = () => led(performance.now())));
    const leading = next.call("lead");
    await next.call("opened");
    await next.evaluate(() => void (spans.length = 0));
    const start = performance.now();
    const ending = leader.call("close");
    closed.push([(await led) - start, await next.evaluate(() => spans)]);
    await Promise.all([ending, leading]);
    await leader.close();
    await next.close();
  }
  tell("leader closed", closed);
  console.log(load());
}

/** Does something in a page: how long that took, and what the browser did meanwhile. */
async function watched(page, what, argument, timeOf) {
  await page.evaluate(() => void (spans.length = 0));
  const answer = await page.call(what, argument);
  return [timeOf(answer), await page.evaluate(() => spans)];
}

/** Medians: of all of it, and of each thing that the browser did, how often and how long. */
function tell(column, runs) {
  console.log(`\n${column}: ${median(runs.map(([time]) => time)).toFixed(2)} ms`);
  const names = new Set(runs.flatMap(([, spans]) => spans.map(({ name }) => name)));
  for (const name of names) {
    const each = runs.map(([, spans]) => spans.filter((span) => span.name === name));
    const count = median(each.map((spans) => spans.length));
    if (count === 0) continue;
    const sum = median(each.map((spans) => spans.reduce((sum, { start, end }) => sum + end - start, 0)));
    const begins = median(each.filter((spans) => spans.length > 0).map(([{ start }]) => start));
    const since = column.endsWith("cold") ? `, from ${begins.toFixed(1)} on` : "";
    console.log(`  ${sum.toFixed(2).padStart(8)} ms  ${name}${count > 1 ? `, ${count} times` : ""}${since}`);
  }
}

/** Runs in each page, before anything else: notes when the browser is asked for something, and when it has done it. */
function watch() {
  globalThis.spans = [];
  const begin = (name) => {
    const start = performance.now();
    return () => globalThis.spans.push({ name, start, end: performance.now() });
  };
  const promised = (owner, method, name) => {
    const before = owner[method];
    owner[method] = function (...given) {
      const end = begin(name);
      const promise = before.apply(this, given);
      promise.then(end, end);
      return promise;
    };
  };
  promised(SubtleCrypto.prototype, "encrypt", "sealing");
  promised(SubtleCrypto.prototype, "decrypt", "opening what is sealed");
  promised(SubtleCrypto.prototype, "digest", "digest");
  promised(WebAssembly, "instantiateStreaming", "loading the WebAssembly");
  const { open } = IDBFactory.prototype;
  IDBFactory.prototype.open = function (...given) {
    const opening = open.apply(this, given);
    const end = begin("opening the database");
    opening.addEventListener("success", end);
    opening.addEventListener("error", end);
    return opening;
  };
  const { transaction } = IDBDatabase.prototype;
  IDBDatabase.prototype.transaction = function (names, mode = "readonly", options) {
    const made = transaction.call(this, names, mode, options);
    const strict = options?.durability === "strict" ? ", strict" : "";
    const end = begin(`transaction, ${mode}${strict} (${[names].flat().join(", ")})`);
    made.addEventListener("complete", end);
    made.addEventListener("abort", end);
    return made;
  };
  const { request } = LockManager.prototype;
  LockManager.prototype.request = function (name, ...rest) {
    const end = begin("waiting for the lock");
    const work = rest.pop();
    return request.call(this, name, ...rest, (lock) => {
      end();
      return work(lock);
    });
  };
  const { parse } = JSON;
  JSON.parse = (text, ...rest) => {
    const end = begin("JSON.parse");
    const value = parse(text, ...rest);
    end();
    return value;
  };
}
