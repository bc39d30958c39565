// Faults 20 and 21: the tabs agree whatever becomes of what they say to each other.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { contents, ids, numbered, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const SEEDS = [1, 2, 3];
const TABS = 4;

const stage = new Stage();
after(() => stage.clear());
let server;

before(async () => {
  server = await stage.server();
});

for (const seed of SEEDS) {
  test(`fault 20: the channel loses, doubles and reorders, seed ${seed}`, async (t) => {
    const [first, second] = await stage.profiles(server, 2);
    const [ann, bob] = [`ann, seed ${seed}`, `bob, seed ${seed}`];
    const bobs = await second.client(bob);
    const tabs = [];
    while (tabs.length < TABS) {
      const page = await first.tab(`/odd.html?channel=${seed * TABS + tabs.length}`);
      tabs.push(await first.clientIn(page, ann));
    }
    await bobs.online();
    for (const tab of tabs) await tab.online();

    // All write at once, and one of the tabs reads.
    const texts = tabs.map((_, at) => numbered(`from tab ${at + 1}`, 25));
    const fromBob = numbered("from Bob", 50);
    await Promise.all([
      ...tabs.map((tab, at) => tab.sendAll(`direct:${bob}`, texts[at])),
      bobs.sendAll(`direct:${ann}`, fromBob),
    ]);
    const total = texts.flat().length + fromBob.length;
    const expected = await bobs.untilSent(`direct:${ann}`, total);
    await tabs[0].untilSent(`direct:${bob}`, total);
    await tabs[0].call("markRead", `direct:${bob}`);
    for (const tab of tabs) {
      const messages = await tab.untilSent(`direct:${bob}`, total);
      assert.deepEqual(summary(messages), summary(expected));
      const told = (await tab.added()).map(({ message }) => message.id);
      assert.deepEqual(told.toSorted(), ids(expected).toSorted(), "told once");
      await tab.untilStatus("done", ({ pending }) => pending === 0);
    }
    for (const [at, written] of texts.entries()) {
      const fromTab = contents(expected).filter((text) => text.startsWith(`from tab ${at + 1} `));
      assert.deepEqual(fromTab, written, "in the order of sending");
    }
    for (const tab of tabs) {
      await until("read in one is read in all", async () => (await conversation(tab, bob)).unread === 0);
      assert.deepEqual(await conversation(tab, bob), await conversation(tabs[0], bob));
    }
    const faults = await Promise.all(tabs.map((tab) => inPage(tab.page, () => odd.faults)));
    for (const kind of ["lost", "doubled", "late"]) {
      const count = faults.reduce((sum, faults) => sum + faults[kind], 0);
      t.diagnostic(`${kind}: ${count} frames`);
      assert.ok(count > 0);
    }
    assert.equal((await leaders(tabs)).length, 1);
    assert.equal((await server.connections(ann)).length, 1);
    for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
  });
}

test("fault 21: garbage and unknown frames on the channel change nothing", async (t) => {
  const [first, second] = await stage.profiles(server, 2);
  const bob = await second.client("bob");
  const tabs = [];
  while (tabs.length < 3) tabs.push(await first.clientIn(await first.tab("/odd.html"), "ann"));
  for (const client of [bob, ...tabs]) await client.online();
  await tabs[1].send("direct:bob", "first");
  for (const tab of tabs) await tab.untilSent("direct:bob", 1);
  const before = await Promise.all(tabs.map((tab) => tab.status()));

  const stranger = await first.tab("/odd.html");
  const [names, frames] = await inPage(tabs[0].page, () => [
    [...odd.channels],
    odd.frames.filter((frame) => frame instanceof Uint8Array).map((frame) => [...frame]),
  ]);
  assert.equal(names.length, 1);
  assert.ok(frames.length > 0);
  const posted = await inPage(stranger, postGarbage, { names, frames });
  t.diagnostic(`${posted} frames of garbage`);

  // What is posted later comes later: once this is there, the garbage has been looked at.
  await tabs[1].send("direct:bob", "second");
  await tabs[0].send("direct:bob", "third");
  await bob.untilSent("direct:ann", 3);
  await bob.send("direct:ann", "fourth");
  for (const [at, tab] of tabs.entries()) {
    assert.deepEqual(contents(await tab.untilSent("direct:bob", 4)), ["first", "second", "third", "fourth"]);
    const { role, epoch, tabs: count } = await tab.status();
    assert.deepEqual({ role, epoch, tabs: count }, pick(before[at]), "nobody else leads, nobody has come or gone");
    assert.deepEqual(await tab.log("error"), []);
  }
  assert.equal((await server.connections("ann")).length, 1);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

/** In the page: posts what is no frame, half a frame, or a frame of a version to come. */
async function postGarbage({ names, frames }) {
  const channel = new BroadcastChannel(names[0]);
  let posted = 0;
  const post = (garbage) => {
    channel.postMessage(garbage);
    posted += 1;
  };
  for (const nothing of [null, undefined, true, 0, "", "a text", {}, [], [1, 2, 3], new Date(), new Map()]) post(nothing);
  for (const bytes of [new ArrayBuffer(8), new Uint16Array(8), new DataView(new ArrayBuffer(8)), new Blob(["a"])]) post(bytes);
  for (const length of [0, 1, 2, 16, 17, 1_000, 1_000_000]) {
    for (const byte of [0, 1, 0x0a, 0x7f, 0xff]) post(new Uint8Array(length).fill(byte));
  }
  // Each real frame, cut off everywhere.
  for (const frame of frames) {
    for (let length = 0; length < frame.length; length += 1) post(Uint8Array.from(frame.slice(0, length)));
  }
  // Frames of a tab that nobody knows: of no kind, of unknown kinds, and of a known kind with a later
  // version's demand that its reader know what it does not.
  const tab = [0x0a, 16, ...crypto.getRandomValues(new Uint8Array(16))];
  const [leave, needs] = [[0x32, 0], [0x70, 0xe7, 0x07]];
  for (const kind of [20, 99, 500]) {
    const [low, high] = [((kind << 3) & 0x7f) | 2 | 0x80, kind >> 4];
    post(Uint8Array.from([...tab, low, high, 3, 1, 2, 3]));
    post(Uint8Array.from([...tab, low, high, 3, 1, 2, 3, ...needs]));
  }
  post(Uint8Array.from(tab));
  post(Uint8Array.from([...tab, ...needs]));
  post(Uint8Array.from([...tab, 0x2a, 0, ...needs]));
  for (const frame of frames) {
    const [from, known] = [frame.slice(2, 18), frame.slice(18)];
    post(Uint8Array.from([0x0a, 16, ...from, ...leave, ...needs]));
    post(Uint8Array.from([0x0a, 15, ...from.slice(1), ...known]));
  }
  channel.close();
  return posted;
}

async function leaders(tabs) {
  const statuses = await Promise.all(tabs.map((tab) => tab.status()));
  return tabs.filter((_, at) => statuses[at].role === "leader");
}

function conversation(tab, other) {
  return tab.call("conversation", `direct:${other}`);
}

function pick({ role, epoch, tabs }) {
  return { role, epoch, tabs };
}
