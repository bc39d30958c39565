// Fault 25: in a browser without Web Locks a lease in the store decides who leads.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { contents, ids, numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const ENDS = ["close()", "close()", "the tab is closed", "the tab is closed", "the tab crashes", "the tab crashes"];
const TABS = 3;
/** Messages of each side between one end and the next. */
const BURST = 20;

const stage = new Stage();
after(() => stage.clear());

test("fault 25: without Web Locks one tab leads, and another takes over when it ends", async (t) => {
  const server = await stage.server();
  const [first, second] = await stage.profiles(server, 2);
  const bob = await second.client("bob");
  await bob.online();
  // All at once: the lease has one winner.
  let tabs = await Promise.all(Array.from({ length: TABS }, () => openTab(first)));
  const [led, said, bobSaid] = [[], [], []];
  let epoch = 0;
  for (const end of [...ENDS, null]) {
    for (const tab of tabs) {
      await tab.online();
      await tab.untilStatus(`one of ${TABS}`, ({ tabs }) => tabs === TABS);
    }
    const statuses = await Promise.all(tabs.map((tab) => tab.status()));
    assert.equal(statuses.filter(({ role }) => role === "leader").length, 1);
    assert.equal((await server.connections("ann")).length, 1);
    assert.ok(statuses[0].epoch > epoch, "epochs grow");
    epoch = statuses[0].epoch;
    const leader = tabs[statuses.findIndex(({ role }) => role === "leader")];
    const [sender, witness] = tabs.filter((tab) => tab !== leader);

    const texts = numbered("Ann's", BURST, said.length + 1);
    const bobTexts = numbered("Bob's", BURST, bobSaid.length + 1);
    said.push(...texts);
    bobSaid.push(...bobTexts);
    const sent = Promise.all([sender.sendAll("direct:bob", texts), bob.sendAll("direct:ann", bobTexts)]);
    const total = said.length + bobSaid.length;
    await until("messages flow", async () => (await bob.messages("direct:ann")).length > total - 2 * BURST);
    if (end === null) {
      await sent;
      led.push(...(await Promise.all(tabs.map(epochsLed))));
      break;
    }
    led.push(await epochsLed(leader));
    const start = performance.now();
    if (end === "close()") await leader.close();
    else if (end === "the tab is closed") await leader.page.close();
    else await crash(leader.page);
    await until(
      "another tab leads and is online",
      async () => {
        const statuses = await Promise.all([sender.status(), witness.status()]);
        return statuses.some(({ role, connection }) => role === "leader" && connection === "online");
      },
      { every: 5 },
    );
    t.diagnostic(`${end}: another tab led and was online after ${Math.round(performance.now() - start)} ms`);
    await sent;
    if (end === "close()") await leader.page.close();
    tabs = [sender, witness, await openTab(first)];
  }

  const total = said.length + bobSaid.length;
  const list = await bob.untilSent("direct:ann", total);
  assert.equal(new Set(ids(list)).size, total);
  const by = (account) => contents(list.filter(({ sender }) => sender === account));
  assert.deepEqual(by("ann"), said, "Ann's, in order");
  assert.deepEqual(by("bob"), bobSaid, "Bob's, in order");
  for (const tab of tabs) {
    assert.deepEqual(ids(await tab.untilSent("direct:bob", total)), ids(list));
    await tab.untilStatus("done", ({ pending }) => pending === 0);
    const told = (await tab.added()).map(({ message }) => message.id);
    assert.equal(new Set(told).size, told.length, "told once");
  }
  const epochs = led.flat();
  assert.equal(new Set(epochs).size, epochs.length, `no epoch has two leaders: ${epochs}`);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

async function openTab(profile) {
  const tab = await profile.clientIn(await profile.tab("/odd.html?locks=none"), "ann");
  assert.equal(await inPage(tab.page, () => navigator.locks === undefined), true);
  return tab;
}

/** The epochs in which a tab was the leader, as it told its listeners. */
async function epochsLed(tab) {
  const events = (await tab.log("status")).map(({ event }) => event);
  return [...new Set(events.filter(({ role }) => role === "leader").map(({ epoch }) => epoch))];
}

async function crash(page) {
  const session = await page.context().newCDPSession(page);
  const crashed = page.waitForEvent("crash");
  session.send("Page.crash").catch(() => {}); // nobody is left to answer
  await crashed;
}
