// What was sent offline survives the death of the whole browser.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { contents, ids, numbered, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

test("M3 messages sent offline arrive once and in order after the browser was killed", async (t) => {
  const server = await stage.server();
  const [first, second, third] = await stage.profiles(server, 3);
  const tabs = [await first.client("ann"), await first.client("ann")];
  const other = await second.client("ann");
  const bob = await third.client("bob");
  for (const client of [...tabs, other, bob]) await client.online();
  await bob.send("direct:ann", "before");
  for (const client of [...tabs, other]) await client.untilSent("direct:bob", 1);

  await tabs[0].setOffline(true);
  for (const tab of tabs) await tab.untilStatus("offline", ({ connection }) => connection === "offline");
  await until("the server sees one connection less", async () => (await server.connections("ann")).length === 1);

  const texts = numbered("written offline", 20);
  const sent = [];
  for (const [at, text] of texts.entries()) sent.push(await tabs[at % 2].send("direct:bob", text));
  assert.ok(sent.every(({ state, position }) => state === "pending" && position === null));
  for (const tab of tabs) {
    await tab.untilStatus("holding 20 messages", ({ pending }) => pending === 20);
    assert.deepEqual(contents(await tab.messages("direct:bob")), ["before", ...texts]);
  }
  const { deviceId } = tabs[0];

  await first.kill();
  assert.equal((await bob.messages("direct:ann")).length, 1, "nothing has left the device");

  await first.start();
  const start = performance.now();
  const again = await first.client("ann");
  await again.setOffline(false);
  assert.equal(again.deviceId, deviceId, "it is the same device");
  await again.call("syncNow");
  t.diagnostic(`20 messages were sent ${Math.round(performance.now() - start)} ms after the page was opened again`);

  const everywhere = await Promise.all([
    again.untilSent("direct:bob", 21),
    other.untilSent("direct:bob", 21),
    bob.untilSent("direct:ann", 21),
  ]);
  for (const list of everywhere) {
    assert.deepEqual(contents(list), ["before", ...texts]);
    assert.deepEqual(ids(list.slice(1)), ids(sent));
    assert.deepEqual(summary(list), summary(everywhere[0]));
    assert.deepEqual(
      list.map(({ position }) => position),
      list.map((_, at) => at + 1),
    );
  }
  assert.equal((await again.status()).pending, 0);

  // The outbox is empty on the disk, too.
  await again.page.close();
  const reopened = await first.client("ann");
  assert.equal((await reopened.status()).pending, 0);
  assert.deepEqual(await reopened.messages("direct:bob"), everywhere[0]);
  for (const { pageErrors } of [first, second, third]) assert.deepEqual(pageErrors, []);
});
