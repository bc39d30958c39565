// A device that was away for long catches up smoothly, and only once.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Stage } from "./support/stage.mjs";
import { inPage } from "./support/client.mjs";
import { until } from "./support/until.mjs";

const CONVERSATIONS = 200;
const ROUNDS = 50;
const MESSAGES = CONVERSATIONS * ROUNDS;
/** What the browser calls a long task, in milliseconds. */
const LONG_TASK = 50;
/** A task that is too long is so every time; a machine that was busy elsewhere is so once. */
const ATTEMPTS = 3;

const stage = new Stage();
after(() => stage.clear());

test("10,000 messages in 200 conversations are caught up in pages, and the page stays responsive", async (t) => {
  const server = await stage.server({ args: ["--rate-burst", "1000000", "--rate-per-second", "1000000"] });
  const device = await stage.profile(server);
  const before = await device.client("ann");
  await before.online();
  await before.page.close();
  await until("the device is away", async () => (await server.connections("ann")).length === 0);

  const filled = await timed(() => fill(server));
  t.diagnostic(`filled with ${MESSAGES} messages in ${seconds(filled.time)}`);
  const expected = filled.value;

  let ann = await device.client("ann");
  let caughtUp = await untilCaughtUp(ann);
  t.diagnostic(`the device that was away: ${describe(caughtUp)}`);
  assert.equal(caughtUp.events, MESSAGES);
  // 150 characters a message are over 2 MB in pages of at most 256 KiB.
  assert.ok(caughtUp.pages >= 10, `${caughtUp.pages} pages`);
  assert.ok(caughtUp.largestFrame <= 512 * 1024);
  let attempts = [caughtUp];
  while (attempts.at(-1).longTasks.length > 0 && attempts.length < ATTEMPTS) {
    const fresh = await stage.profile(server);
    caughtUp = await untilCaughtUp(await fresh.client("ann"));
    attempts.push(caughtUp);
    t.diagnostic(`a new device: ${describe(caughtUp)}`);
    assert.equal(caughtUp.events, MESSAGES);
    await fresh.close();
  }

  await t.test("every message was told of once", async () => {
    const told = (await ann.added()).map(({ message }) => message.id);
    assert.equal(told.length, MESSAGES);
    assert.deepEqual(new Set(told), new Set(expected.flatMap(({ messages }) => messages.map(({ id }) => id))));
  });

  await t.test("the list and the latest pages are right", () => checkList(ann, expected));

  await t.test("after a reload the same is there, with nothing fetched again", async () => {
    const { page } = ann;
    await page.reload();
    page.sockets.length = 0;
    const reopened = await timed(() => device.clientIn(page, "ann"));
    ann = reopened.value;
    const { events } = await untilCaughtUp(ann);
    assert.equal(events, 0);
    assert.equal(page.sockets.length, 1);
    const [{ received }] = page.sockets;
    const bytes = received.reduce((sum, frame) => sum + frame.length, 0);
    t.diagnostic(`opened again in ${seconds(reopened.time)}; the server sent ${received.length} frames, ${bytes} bytes`);
    assert.deepEqual(received.map(([tag]) => tag), [WELCOME, DELTA]);
    assert.ok(bytes < 100, `${bytes} bytes`);
    assert.deepEqual(await ann.added(), []);
    await checkList(ann, expected);
  });

  await t.test("a whole conversation can be paged back, and old messages are found by id", async () => {
    for (const { id, messages } of [expected[0], expected[77]]) {
      const paged = await ann.messages(id, 7);
      assert.deepEqual(paged.map(({ id }) => id), messages.map(({ id }) => id));
      assert.deepEqual(paged.map(({ content }) => content), messages.map(({ content }) => content));
      assert.deepEqual(paged.map(({ position }) => position), messages.map((_, at) => at + 1));
    }
    for (const [at, { id: conversation, messages }] of expected.entries()) {
      const wanted = messages[(at * 7) % 20];
      const found = await ann.call("message", wanted.id);
      assert.equal(found?.content, wanted.content);
      assert.equal(found.conversation, conversation);
    }
    assert.equal(await ann.call("message", "0190a000-0000-7000-8000-000000000000"), null);
  });

  await t.test(`no task of the page took over ${LONG_TASK} ms`, () => {
    const best = attempts.toSorted((a, b) => a.longest - b.longest)[0];
    assert.ok(best.longest <= LONG_TASK, `the longest took ${Math.round(best.longest)} ms in the best of ${attempts.length}`);
  });
  assert.deepEqual(device.pageErrors, []);
});

/** First bytes of the server's frames: the tags of their fields. */
const WELCOME = 0x0a;
const DELTA = 0x12;

/**
 * Writes to Ann from 200 accounts, by turns; what is written in each conversation, oldest first. In
 * every tenth conversation she has the last word, from somewhere else.
 */
async function fill(server) {
  const peers = Array.from({ length: CONVERSATIONS }, (_, at) => ({ name: `peer-${at}`, messages: [] }));
  for (let round = 0; round < ROUNDS; round += 1) {
    const write = async ({ name, messages }, at) => {
      const content = `${name}, message ${round}: ${filler(at, round)}`;
      const own = round === ROUNDS - 1 && at % 10 === 0;
      const { id } = own
        ? await server.message("ann", `direct:${name}`, content, { isIncludeSender: true })
        : await server.message(name, "direct:ann", content);
      messages.push({ id, content, own });
    };
    await Promise.all(peers.map(write));
  }
  return peers.map(({ name, messages }) => ({ id: `direct:${name}`, messages }));
}

/** Text of about 120 characters that does not repeat itself. */
function filler(...seed) {
  let state = seed.reduce((hash, number) => Math.imul(hash ^ number, 0x9e3779b1) >>> 0, 0x811c9dc5);
  const word = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0).toString(36);
  return Array.from({ length: 17 }, word).join(" ");
}

/** Waits for the catch-up to end and for what follows it; says how it went. */
async function untilCaughtUp(client) {
  // Waited for in the page: questions from outside would be tasks of it.
  const { events, begun, ended, batches } = await client.run(async ({ client, log, begun }) => {
    if (log["catch-up"].length === 0) await new Promise((done) => client.on("catch-up", done));
    await client.syncNow();
    const [{ at: ended, event }] = log["catch-up"];
    const batches = log.messages.map(({ event }) => event.length);
    return { events: event.events, begun, ended, batches };
  });
  const longTasks = await inPage(client.page, (begun) => {
    // An observer is told of a task some time after it.
    return new Promise((done) => requestIdleCallback(() => done(harness.longTasks.filter(({ startTime, duration }) => startTime + duration > begun))));
  }, begun);
  const frames = client.page.sockets.flatMap(({ received }) => received);
  return {
    events,
    time: ended - begun,
    pages: frames.filter(([tag]) => tag === DELTA).length,
    bytes: frames.reduce((sum, frame) => sum + frame.length, 0),
    largestFrame: Math.max(...frames.map((frame) => frame.length)),
    batches: batches.length,
    longTasks,
    longest: Math.max(0, ...longTasks.map(({ duration }) => duration)),
  };
}

function describe({ events, time, pages, bytes, longTasks, longest }) {
  const tasks = longTasks.length === 0 ? "no task over 50 ms" : `${longTasks.length} tasks over 50 ms, the longest ${Math.round(longest)} ms`;
  return `${events} events, ${(bytes / 1e6).toFixed(1)} MB in ${pages} pages, took ${seconds(time)}; ${tasks}`;
}

async function checkList(client, expected) {
  const list = await client.call("conversations");
  assert.equal(list.length, CONVERSATIONS);
  const activity = list.map(({ lastActivity }) => lastActivity);
  assert.deepEqual(activity, activity.toSorted((a, b) => b - a), "latest activity first");
  const byId = new Map(list.map((conversation) => [conversation.id, conversation]));
  for (const { id, messages } of expected) {
    const conversation = byId.get(id);
    const last = messages.at(-1);
    assert.equal(conversation?.lastMessage?.id, last.id, id);
    assert.equal(conversation.lastMessage.content, last.content);
    assert.equal(conversation.unread, messages.filter(({ own }) => !own).length, id);
    assert.deepEqual(conversation.members.toSorted(), ["ann", id.slice("direct:".length)].toSorted());
  }
  const pages = await client.run(
    async ({ client }, ids) => {
      const pages = [];
      for (const id of ids) pages.push(await client.history(id, { limit: 20 }));
      return pages;
    },
    expected.map(({ id }) => id),
  );
  for (const [at, { id, messages }] of expected.entries()) {
    assert.deepEqual(pages[at].messages.map(({ content }) => content), messages.slice(-20).map(({ content }) => content), id);
    assert.deepEqual(pages[at].holes, []);
    assert.equal(pages[at].hasMore, true);
  }
}

async function timed(work) {
  const start = performance.now();
  const value = await work();
  return { value, time: performance.now() - start };
}

function seconds(time) {
  return `${(time / 1000).toFixed(2)} s`;
}
