// Any number of tabs of one profile use one connection and show the same at once (T1, T5; faults 5, 7 and 22).
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { contents, ids, numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const TABS = 30;
const SENT = 50;

const stage = new Stage();
after(() => stage.clear());

test("30 tabs use one connection, and what is sent in one shows in the others at once", async (t) => {
  const server = await stage.server();
  const [first, second] = await stage.profiles(server, 2);
  const bob = await second.client("bob");
  const tabs = [];
  while (tabs.length < TABS) tabs.push(await first.client("ann"));
  for (const tab of tabs) await tab.untilStatus(`one of ${TABS}`, ({ tabs }) => tabs === TABS);
  for (const client of [...tabs, bob]) await client.online();
  assert.equal((await leaders(tabs)).length, 1);
  assert.equal((await server.connections("ann")).length, 1);

  const [leader] = await leaders(tabs);
  const [follower, last] = [tabs.find((tab) => tab !== leader), tabs.at(-1)];
  assert.notEqual(last, leader);
  const ways = [
    ["a follower to the leader", last, leader],
    ["a follower to a follower", last, follower],
    ["the leader to a follower", leader, last],
  ];
  const texts = [];
  for (const [way, from, to] of ways) {
    const sending = numbered(`from ${way}`, SENT);
    texts.push(...sending);
    const times = (await timesToShow(from, to, sending)).toSorted((a, b) => a - b);
    const at = (part) => times[Math.min(Math.floor(times.length * part), times.length - 1)].toFixed(1);
    t.diagnostic(`${way}, ${SENT} times: median ${at(0.5)} ms, p99 ${at(0.99)} ms`);
  }

  const bobs = await bob.untilSent("direct:ann", texts.length);
  assert.deepEqual(contents(bobs), texts, "in the order of sending");
  for (const tab of tabs) {
    const messages = await tab.untilSent("direct:bob", texts.length);
    assert.deepEqual(ids(messages), ids(bobs));
    const told = (await tab.added()).map(({ message }) => message.id);
    assert.deepEqual(told.toSorted(), ids(bobs).toSorted(), "told once");
    assert.equal((await tab.status()).pending, 0);
  }
  const sockets = tabs.flatMap(({ page }) => page.sockets);
  assert.equal(sockets.length, 1, "one tab has opened a connection, once");
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("fault 22: a duplicated tab is a tab of its own", async () => {
  const server = await stage.server();
  const profile = await stage.profile(server);
  const original = await profile.client("ann");
  await original.online();
  await original.send("direct:bob", "before it was duplicated");

  // A window that a page opens starts with a copy of its session storage, as a duplicated tab does.
  const [page] = await Promise.all([
    original.page.context().waitForEvent("page"),
    inPage(original.page, () => {
      sessionStorage.setItem("of the page", "copied");
      window.open(location.href);
    }),
  ]);
  await page.waitForFunction("globalThis.harness !== undefined");
  assert.equal(await inPage(page, () => sessionStorage.getItem("of the page")), "copied");
  const copy = await profile.clientIn(page, "ann");

  const tabIds = await Promise.all([original, copy].map((tab) => tab.run(({ client }) => client.tabId)));
  assert.notEqual(tabIds[0], tabIds[1]);
  assert.equal(copy.deviceId, original.deviceId);
  for (const tab of [original, copy]) await tab.untilStatus("one of two", ({ tabs }) => tabs === 2);
  await copy.send("direct:bob", "from the copy");
  await original.send("direct:bob", "from the original");
  for (const tab of [original, copy]) {
    const messages = await tab.untilSent("direct:bob", 3);
    assert.deepEqual(contents(messages), ["before it was duplicated", "from the copy", "from the original"]);
  }
  assert.equal((await leaders([original, copy])).length, 1);
  assert.equal((await server.connections("ann")).length, 1);
  assert.deepEqual(profile.pageErrors, []);
});

test("fault 7: a leader whose timers run once a minute serves the other tabs as ever", async () => {
  const server = await stage.server();
  const [first, second] = await stage.profiles(server, 2);
  const bob = await second.client("bob");
  await bob.online();
  const hidden = await first.clientIn(await first.tab("/odd.html?timers=minute"), "ann");
  await hidden.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");
  const tabs = [await first.client("ann"), await first.client("ann")];
  for (const tab of tabs) await tab.online();
  const { epoch } = await hidden.status();

  const texts = [];
  for (const round of [1, 2, 3, 4, 5]) {
    for (const tab of tabs) {
      const text = `round ${round}, from ${tab === tabs[0] ? "one" : "the other"}`;
      await tab.send("direct:bob", text);
      await bob.untilSent("direct:ann", texts.push(text));
    }
    const answer = `Bob's answer ${round}`;
    await bob.send("direct:ann", answer);
    texts.push(answer);
    for (const tab of tabs) await tab.untilSent("direct:bob", texts.length);
    await tabs[round % 2].call("syncNow");
  }
  for (const client of [...tabs, hidden]) assert.deepEqual(contents(await client.messages("direct:bob")), texts);
  for (const tab of tabs) {
    const { role, pending, epoch: now } = await tab.status();
    assert.deepEqual({ role, pending, epoch: now }, { role: "follower", pending: 0, epoch }, "nobody had to take over");
  }
  assert.equal((await server.connections("ann")).length, 1);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("fault 5: a tab that comes into view takes over from a leader that is frozen", async () => {
  const server = await stage.server();
  const profile = await stage.profile(server);
  const leader = await profile.client("ann");
  await leader.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");
  const hidden = await profile.clientIn(await profile.tab("/odd.html?hidden"), "ann");
  await hidden.untilStatus("following", ({ role, connection }) => role === "follower" && connection === "online");

  const session = await leader.page.context().newCDPSession(leader.page);
  await session.send("Debugger.enable");
  const paused = new Promise((told) => session.once("Debugger.paused", told));
  await session.send("Debugger.pause");
  leader.page.evaluate("0").catch(() => {}); // pauses at the first script that runs
  await paused;
  await inPage(hidden.page, () => odd.show());
  await hidden.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");

  await session.send("Debugger.resume");
  await leader.untilStatus("following", ({ role, connection }) => role === "follower" && connection === "online");
  assert.equal((await server.connections("ann")).length, 1);
  assert.deepEqual(profile.pageErrors, []);
});

async function leaders(tabs) {
  const statuses = await Promise.all(tabs.map((tab) => tab.status()));
  return tabs.filter((_, at) => statuses[at].role === "leader");
}

/** Sends texts one after another; how long each took from the call to the listener in the other tab, in milliseconds. */
async function timesToShow(from, to, texts) {
  const begun = await to.run(() => performance.timeOrigin);
  const times = [];
  for (const text of texts) {
    const { id, at } = await from.run(async ({ client }, text) => {
      const at = performance.timeOrigin + performance.now();
      const { id } = await client.send("direct:bob", text);
      return { id, at };
    }, text);
    const shown = await until("the other tab shows it", () =>
      to.run(({ log }, id) => log.messages.find(({ event }) => event.some(({ message }) => message.id === id))?.at, id),
    );
    times.push(begun + shown - at);
  }
  return times;
}
