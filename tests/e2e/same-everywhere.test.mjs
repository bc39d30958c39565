// A message typed in one tab shows in every tab and on every device.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { summary, numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

test("M1 every tab and device shows the same list, over one connection a profile", async (t) => {
  const server = await stage.server();
  const [first, second, third] = await stage.profiles(server, 3);
  const [ann, bob] = ["ann", "bob"];
  const firstTabs = [await first.client(ann), await first.client(ann), await first.client(ann)];
  const secondTabs = [await second.client(ann), await second.client(ann)];
  const annTabs = [...firstTabs, ...secondTabs];
  const bobTab = await third.client(bob);
  for (const client of [...annTabs, bobTab]) await client.online();

  // Ann answers while Bob is still writing.
  const start = performance.now();
  const written = bobTab.sendAll(`direct:${ann}`, numbered("from Bob", 50));
  const follower = await until("a follower is known", async () => {
    for (const client of firstTabs) if ((await client.status()).role === "follower") return client;
  });
  await until(
    "some of Bob's messages have arrived",
    async () => (await follower.messages(`direct:${bob}`)).length >= 10,
  );
  const answer = await follower.send(`direct:${bob}`, "from Ann");
  const sent = await written;

  const lists = await Promise.all(annTabs.map((client) => client.untilSent(`direct:${bob}`, 51)));
  const bobList = await bobTab.untilSent(`direct:${ann}`, 51);
  t.diagnostic(`51 messages were the same in 6 tabs after ${Math.round(performance.now() - start)} ms`);

  for (const list of lists) assert.deepEqual(list, lists[0]);
  assert.deepEqual(summary(bobList), summary(lists[0]), "Bob and Ann see the same");
  assert.deepEqual(
    lists[0].map(({ position }) => position),
    numbers(1, 51),
  );
  assert.deepEqual(
    bobList.map(({ position }) => position),
    numbers(1, 51),
  );
  assert.deepEqual(
    bobList.filter(({ sender }) => sender === bob).map(({ id }) => id),
    sent.map(({ id }) => id),
  );
  assert.deepEqual(
    bobList.filter(({ sender }) => sender === ann).map(({ id }) => id),
    [answer.id],
  );

  // What listeners were told comes to the same: each message once.
  for (const client of [...annTabs, bobTab]) {
    const told = (await client.added()).map(({ message }) => message.id);
    assert.deepEqual(told.toSorted(), bobList.map(({ id }) => id).toSorted());
  }
  const origins = async (client) =>
    (await client.added()).filter(({ message }) => message.id === answer.id).map(({ origin }) => origin);
  for (const client of firstTabs) assert.deepEqual(await origins(client), [client === follower ? "local" : "tab"]);
  for (const client of secondTabs) assert.deepEqual(await origins(client), ["remote"]);

  const connected = async (account) => (await server.connections(account)).map(({ device_id }) => device_id).toSorted();
  assert.deepEqual(await connected(ann), [firstTabs[0].deviceId, secondTabs[0].deviceId].toSorted());
  assert.deepEqual(await connected(bob), [bobTab.deviceId]);
  for (const tabs of [firstTabs, secondTabs, [bobTab]]) {
    const statuses = await Promise.all(tabs.map((client) => client.status()));
    assert.equal(statuses.filter(({ role }) => role === "leader").length, 1);
    for (const status of statuses) assert.equal(status.tabs, tabs.length);
    assert.equal(new Set(tabs.map(({ deviceId }) => deviceId)).size, 1);
    const sockets = tabs.flatMap(({ page }) => page.sockets);
    assert.equal(sockets.length, 1, "one tab has opened a connection, once");
  }
  for (const { pageErrors } of [first, second, third]) assert.deepEqual(pageErrors, []);
});

function numbers(from, to) {
  return Array.from({ length: to - from + 1 }, (_, at) => from + at);
}
