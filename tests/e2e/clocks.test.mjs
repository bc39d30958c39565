// Fault 19: whatever the device's clock says, nothing is refused for it, and messages keep their order.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, inPage } from "./support/client.mjs";
import { contents, numbered, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const YEARS = 365 * 24 * 60 * 60 * 1000;
const WRONG = { "ten years ahead": 10 * YEARS, "ten years behind": -10 * YEARS, "an hour ahead": YEARS / 365 / 24 };

const stage = new Stage();
after(() => stage.clear());
let server;

before(async () => {
  server = await stage.server();
});

for (const [what, offset] of Object.entries(WRONG)) {
  test(`fault 19: a clock that is ${what} before the client opens`, async () => {
    const [first, second] = await stage.profiles(server, 2);
    const [ann, bob] = [`ann, ${what}`, `bob, ${what}`];
    const begun = Date.now();
    const right = await second.client(bob);
    const wrong = await oddTab(first, ann, offset);
    await assertSkewed(wrong, offset);
    const texts = [];
    for (const turn of [1, 2, 3]) {
      for (const [from, to] of [
        [wrong, bob],
        [right, ann],
      ]) {
        const said = numbered(`turn ${turn}, from ${from.account}`, 3);
        await from.sendAll(`direct:${to}`, said);
        texts.push(...said);
        for (const [client, other] of [
          [wrong, bob],
          [right, ann],
        ]) {
          await client.untilSent(`direct:${other}`, texts.length);
        }
      }
    }
    await inOrder([wrong, right], [bob, ann], texts, begun);
    await noComplaints([first, second], [wrong, right]);
  });

  test(`fault 19: a clock that is set to ${what} and back while the client is open`, async () => {
    const [first, second] = await stage.profiles(server, 2);
    const [ann, bob] = [`ann, for a while ${what}`, `bob, for a while ${what}`];
    const begun = Date.now();
    const right = await second.client(bob);
    const tabs = [await oddTab(first, ann, 0), await oddTab(first, ann, 0)];
    for (const client of [right, ...tabs]) await client.online();
    const texts = [];
    const send = async (text, tab) => {
      await tab.send(`direct:${bob}`, text);
      texts.push(text);
    };
    // Online, and offline: then what was written under the wrong clock waits in the outbox.
    for (const state of ["online", "offline"]) {
      await tabs[0].setOffline(state === "offline");
      for (const tab of tabs) await tab.untilStatus(state, ({ connection }) => connection === state);
      for (const ahead of [0, offset, 0, offset, 0]) {
        for (const tab of tabs) await inPage(tab.page, (ahead) => odd.setClock(ahead), ahead);
        await assertSkewed(tabs[0], ahead);
        for (const tab of tabs) {
          await send(`${state}, clock ${ahead} ms ahead, message ${texts.length + 1}`, tab);
          // The other tab's next message follows this one.
          for (const other of tabs) {
            await until("it is there", async () => (await other.messages(`direct:${bob}`)).length >= texts.length);
          }
        }
      }
    }
    for (const tab of tabs) assert.deepEqual(contents(await tab.messages(`direct:${bob}`)), texts, "while they wait");
    await tabs[0].setOffline(false);
    for (const tab of tabs) await tab.untilSent(`direct:${bob}`, texts.length);
    await right.untilSent(`direct:${ann}`, texts.length);
    await inOrder([...tabs, right], [bob, bob, ann], texts, begun);
    await noComplaints([first, second], [...tabs, right]);
  });
}

test("fault 19: a clock that was wrong before the server was first reached", async () => {
  const server = await stage.server();
  const [first, second] = await stage.profiles(server, 2);
  const bob = await second.client("bob");
  await bob.online();
  const [page, begun] = [await first.tab("/odd.html?clock=0"), Date.now()];
  await inPage(page, () => tutti.init().then(() => true));
  const options = { url: server.url, account: "ann", token: await server.token("ann") };
  await server.stop();
  const ann = await Client.open(page, options);
  const texts = [];
  for (const ahead of [10 * YEARS, -10 * YEARS, 0]) {
    await inPage(page, (ahead) => odd.setClock(ahead), ahead);
    const written = numbered(`clock ${ahead} ms ahead`, 3);
    await ann.sendAll("direct:bob", written);
    texts.push(...written);
  }
  assert.deepEqual(contents(await ann.messages("direct:bob")), texts, "while they wait");
  await server.start();
  await ann.untilSent("direct:bob", texts.length);
  await bob.untilSent("direct:ann", texts.length);
  await inOrder([ann, bob], ["bob", "ann"], texts, begun);
  // A tab that reads all of it from the disk sees it so, too.
  const reader = await first.client("ann");
  assert.deepEqual(contents(await reader.messages("direct:bob")), texts);
  for (const client of [ann, bob, reader]) assert.equal((await client.status()).pending, 0);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

async function oddTab(profile, account, offset) {
  return profile.clientIn(await profile.tab(`/odd.html?clock=${offset}`), account);
}

async function assertSkewed(client, offset) {
  const ahead = (await inPage(client.page, () => Date.now())) - Date.now();
  assert.ok(Math.abs(ahead - offset) < 60_000, `the page's clock is ${ahead} ms ahead`);
}

/** All see the same, in the order of sending, with the server's times. */
async function inOrder(clients, others, texts, begun) {
  const lists = await Promise.all(clients.map((client, at) => client.messages(`direct:${others[at]}`)));
  for (const list of lists) {
    assert.deepEqual(summary(list), summary(lists[0]));
    assert.deepEqual(contents(list), texts);
    const times = [begun, ...list.map(({ sentAt }) => sentAt), Date.now()];
    assert.deepEqual(times, times.toSorted((a, b) => a - b), "the server's times");
  }
}

async function noComplaints(profiles, clients) {
  for (const client of clients) {
    assert.equal((await client.status()).pending, 0);
    assert.deepEqual(await client.log("error"), []);
  }
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
}
