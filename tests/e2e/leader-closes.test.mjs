// Whichever tab goes, the others go on.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { contents, ids, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const CLOSES = 10;
/** Messages of each side between one close and the next. */
const BURST = 30;

const stage = new Stage();
after(() => stage.clear());

test("10 leaders close while messages flow: nothing is lost or doubled", async (t) => {
  const server = await stage.server();
  const [first, second] = await stage.profiles(server, 2);
  const bob = await second.client("bob");
  let tabs = [await first.client("ann"), await first.client("ann"), await first.client("ann")];
  for (const client of [bob, ...tabs]) await client.online();

  const takeovers = [];
  const epochs = [];
  const outstanding = [];
  const annTexts = [];
  const bobTexts = [];
  for (let close = 1; close <= CLOSES; close += 1) {
    const statuses = await Promise.all(tabs.map((tab) => tab.status()));
    const leader = tabs[statuses.findIndex(({ role }) => role === "leader")];
    const [sender, witness] = tabs.filter((tab) => tab !== leader);
    epochs.push(statuses[0].epoch);

    const fromAnn = burst("Ann", annTexts.length);
    const fromBob = burst("Bob", bobTexts.length);
    annTexts.push(...fromAnn);
    bobTexts.push(...fromBob);
    const sent = Promise.all([sender.sendAll("direct:bob", fromAnn), bob.sendAll("direct:ann", fromBob)]);
    const total = annTexts.length + bobTexts.length;
    const arrived = await until("messages flow", async () => {
      const { length } = await bob.messages("direct:ann");
      return length > total - 2 * BURST && length;
    });
    outstanding.push(total - arrived);

    const start = performance.now();
    // Half of them with the tab, half of them properly.
    if (close % 2 === 0) await leader.page.close();
    else await leader.close();
    const successor = await until(
      "another tab leads and is online",
      async () => {
        for (const tab of [sender, witness]) {
          const { role, connection } = await tab.status();
          if (role === "leader" && connection === "online") return tab;
        }
      },
      { every: 2 },
    );
    takeovers.push(performance.now() - start);
    await sent;
    if (close % 2 === 1) await leader.page.close();
    tabs = [successor, successor === sender ? witness : sender, await first.client("ann")];
    for (const tab of tabs) await tab.untilStatus("one of three", ({ tabs }) => tabs === 3);
  }
  const sorted = takeovers.map(Math.round).toSorted((a, b) => a - b);
  t.diagnostic(`another tab was leader and online after ${sorted.join(", ")} ms (median ${sorted[CLOSES / 2]})`);
  t.diagnostic(`when the leaders closed, ${outstanding.join(", ")} messages had not arrived yet`);
  assert.ok(outstanding.filter((count) => count > 0).length >= CLOSES / 2, "messages were on their way");

  const total = annTexts.length + bobTexts.length;
  const lists = await Promise.all(tabs.map((tab) => tab.untilSent("direct:bob", total)));
  const bobList = await bob.untilSent("direct:ann", total);
  for (const list of lists) assert.deepEqual(list, lists[0]);
  assert.deepEqual(summary(bobList), summary(lists[0]));
  assert.equal(new Set(ids(bobList)).size, total);
  const by = (account) => contents(bobList.filter(({ sender }) => sender === account));
  assert.deepEqual(by("bob"), bobTexts, "Bob's, in order");
  assert.deepEqual(by("ann"), annTexts, "Ann's, in order, each from a follower");
  assert.deepEqual(
    (await bob.added()).map(({ message }) => message.id).toSorted(),
    ids(bobList).toSorted(),
    "told once",
  );
  for (const tab of tabs) {
    assert.equal((await tab.status()).pending, 0);
    const told = (await tab.added()).map(({ message }) => message.id);
    assert.equal(new Set(told).size, told.length, "told once");
  }
  assert.ok(
    epochs.every((epoch, at) => at === 0 || epoch > epochs[at - 1]),
    `epochs grow: ${epochs}`,
  );
  assert.equal((await server.connections("ann")).length, 1);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

function burst(name, done) {
  return Array.from({ length: BURST }, (_, at) => `${name} ${done + at + 1}`);
}
