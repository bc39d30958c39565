// A device that was away for long catches up smoothly, and only once.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Stage } from "./support/stage.mjs";
import { traceTasks } from "./support/trace.mjs";
import { until } from "./support/until.mjs";

const CONVERSATIONS = 200;
const ROUNDS = 50;
const MESSAGES = CONVERSATIONS * ROUNDS;
/** What a browser calls a long task, in milliseconds. */
const LONG_TASK = 50;

const stage = new Stage();
after(() => stage.clear());

test("M2 10,000 messages in 200 conversations are caught up in pages, and the page stays responsive", async (t) => {
  const server = await stage.server({ args: ["--rate-burst", "1000000", "--rate-per-second", "1000000"] });
  const device = await stage.profile(server);
  const before = await device.client("ann");
  await before.online();
  // Until it has once been in step it is a new device, which is not caught up but given a snapshot.
  await before.call("syncNow");
  await before.page.close();
  await until("the device is away", async () => (await server.connections("ann")).length === 0);

  const filled = await timed(() => fill(server));
  t.diagnostic(`filled with ${MESSAGES} messages in ${seconds(filled.time)}`);
  const expected = filled.value;

  const page = await device.tab();
  const trace = await traceTasks(page);
  let ann = await device.clientIn(page, "ann");
  const { events, time } = await untilCaughtUp(ann);
  await ann.call("syncNow");
  const tasks = await trace.stop();
  const frames = page.sockets.flatMap(({ received }) => received);
  const pages = frames.filter(([tag]) => tag === DELTA).length;
  t.diagnostic(
    `caught up ${events} events, ${(sum(frames) / 1e6).toFixed(1)} MB in ${pages} pages, in ${seconds(time)}`,
  );
  assert.equal(events, MESSAGES);
  assert.ok(pages > MESSAGES / 1000, "at most 1,000 events a page");
  assert.ok(frames.every(({ length }) => length <= 512 * 1024));

  await t.test("every message was told of once", async () => {
    const told = (await ann.added()).map(({ message }) => message.id);
    assert.equal(told.length, MESSAGES);
    // What is told in one task is bounded, so that the page can breathe.
    const batches = (await ann.log("messages")).map(({ event }) => event.length);
    assert.ok(Math.max(...batches) <= 1000, `${Math.max(...batches)} at once`);
    assert.deepEqual(new Set(told), new Set(expected.flatMap(({ messages }) => messages.map(({ id }) => id))));
  });

  await t.test("the list and the latest pages are right", () => checkList(ann, expected));

  await t.test("after a reload the same is there, with nothing fetched again", async () => {
    await page.reload();
    page.sockets.length = 0;
    ann = await device.clientIn(page, "ann");
    const { events, time } = await untilCaughtUp(ann);
    const [{ received }, ...more] = page.sockets;
    t.diagnostic(
      `in step again ${seconds(time)} after a reload; the server sent ${received.length} frames of ${sum(received)} bytes`,
    );
    assert.equal(events, 0);
    assert.deepEqual(
      received.map(([tag]) => tag),
      [WELCOME, DELTA],
    );
    assert.ok(sum(received) < 100);
    assert.deepEqual(more, []);
    assert.deepEqual(await ann.added(), []);
    await checkList(ann, expected);
  });

  await t.test("a whole conversation can be paged back, and old messages are found by id", async () => {
    for (const { id, messages } of [expected[0], expected[77]]) {
      const paged = await ann.messages(id, 7);
      assert.deepEqual(
        paged.map(({ id }) => id),
        messages.map(({ id }) => id),
      );
      assert.deepEqual(
        paged.map(({ content }) => content),
        messages.map(({ content }) => content),
      );
      assert.deepEqual(
        paged.map(({ position }) => position),
        messages.map((_, at) => at + 1),
      );
    }
    for (const [at, { id: conversation, messages }] of expected.entries()) {
      const wanted = messages[(at * 7) % 20];
      const found = await ann.call("message", wanted.id);
      assert.equal(found?.content, wanted.content);
      assert.equal(found.conversation, conversation);
    }
    assert.equal(await ann.call("message", "0190a000-0000-7000-8000-000000000000"), null);
  });

  await t.test("the page worked in tasks, whose lengths are told", () => {
    const byClock = Math.max(...tasks.map(({ wall }) => wall));
    const byProcessor = Math.max(...tasks.map(({ cpu }) => cpu));
    const long = tasks.filter(({ wall }) => wall > LONG_TASK);
    t.diagnostic(
      `of ${tasks.length} tasks the longest took ${byProcessor.toFixed(1)} ms of the processor, ${byClock.toFixed(1)} ms by the clock; ` +
        `${long.length} were over ${LONG_TASK} ms by the clock, ${Math.round(sum(long.map(({ wall }) => wall)))} ms in all`,
    );
    // How long they are depends on the machine and on what else it does.
    assert.ok(byProcessor > 1, "the work was seen");
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

/** Waits for the catch-up to end, in the page: questions from outside would be work for it. */
function untilCaughtUp(client) {
  return client.run(async ({ client, log, begun }) => {
    if (log["catch-up"].length === 0) await new Promise((done) => client.on("catch-up", done));
    const [{ at, event }] = log["catch-up"];
    return { events: event.events, time: at - begun };
  });
}

async function checkList(client, expected) {
  const list = await client.call("conversations");
  assert.equal(list.length, CONVERSATIONS);
  const activity = list.map(({ lastActivity }) => lastActivity);
  assert.deepEqual(
    activity,
    activity.toSorted((a, b) => b - a),
    "latest activity first",
  );
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
    assert.deepEqual(
      pages[at].messages.map(({ content }) => content),
      messages.slice(-20).map(({ content }) => content),
      id,
    );
    assert.deepEqual(pages[at].holes, []);
    assert.equal(pages[at].hasMore, true);
  }
}

async function timed(work) {
  const start = performance.now();
  const value = await work();
  return { value, time: performance.now() - start };
}

/** The sum of numbers, or of the lengths of frames. */
function sum(list) {
  return list.reduce((sum, item) => sum + (item.length ?? item), 0);
}

function seconds(time) {
  return `${(time / 1000).toFixed(2)} s`;
}
