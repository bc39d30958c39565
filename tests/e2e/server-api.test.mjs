// Messages that the application's back end sends in somebody's name, and whether the sender's own devices get them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { leave } from "./support/cast.mjs";
import { contents } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server, browsers;

before(async () => {
  server = await stage.server();
  const [laptop, bob] = await stage.profiles(server, 2);
  browsers = { laptop, phone: await stage.profile(server, { engine: "firefox" }), bob };
});
after(() => {
  for (const { pageErrors } of Object.values(browsers)) assert.deepEqual(pageErrors, []);
});

/** Who gets it, in the end, of the sender's laptop, which was there or not, and phone, which was not. */
const CASES = [
  { sync: true, online: true, include: true, laptop: true, phone: true },
  { sync: true, online: false, include: true, laptop: true, phone: true },
  { sync: false, online: true, include: true, laptop: true, phone: false },
  { sync: false, online: false, include: true, laptop: false, phone: false },
  { sync: true, online: true, include: false, laptop: false, phone: false },
  { sync: false, online: true, include: undefined, laptop: false, phone: false },
];

for (const [number, { sync, online, include, ...expected }] of CASES.entries()) {
  const scene = `sync ${sync ? "on" : "off"}, sender ${online ? "online" : "offline"}, included: ${include ?? "not said"}`;
  test(`M8 a message by the server's API, ${scene}`, async () => {
    await server.call("PUT", "/api/settings", { sync_enabled: sync });
    const [ann, bob, toBob] = [`ann, ${scene}`, `bob, ${scene}`, `direct:bob, ${scene}`];
    // Both devices are known, so it is no question of what was there before them.
    let phone = await come("phone", ann, "mobile");
    await leave([phone]);
    let laptop = await come("laptop", ann, "web");
    const receiver = await come("bob", bob, "web");
    if (!online) await leave([laptop]);
    const there = online ? 1 : 0;
    await until("those are there who should be", async () => (await server.connections(ann)).length === there);

    const more = { id: `018bcfe5-6801-7000-8000-00000000000${number}`, isIncludeSender: include };
    const answer = await server.message(ann, toBob, { text: "by the back end" }, more);
    assert.equal(answer.id, more.id);
    const [arrived] = await receiver.untilSent(`direct:${ann}`, 1);
    assert.deepEqual([arrived.id, arrived.sender, arrived.device, arrived.sentAt], [more.id, ann, null, answer.sent_at]);
    if (online && expected.laptop) {
      await until("at once", async () => (await seen(laptop, toBob)).length === 1);
    }
    if (!online) laptop = await come("laptop", ann, "web");
    phone = await come("phone", ann, "mobile");
    // Once, however often it is sent, and whoever is there by then.
    assert.deepEqual(await server.message(ann, toBob, { text: "by the back end" }, more), answer);
    const other = server.message(ann, toBob, { text: "another" }, more);
    await assert.rejects(other, /409/);
    for (const [client, expects] of [[laptop, expected.laptop], [phone, expected.phone]]) {
      await client.call("syncNow");
      assert.deepEqual(await seen(client, toBob), expects ? [{ text: "by the back end" }] : [], client.deviceId);
    }
    await receiver.call("syncNow");
    assert.equal((await seen(receiver, `direct:${ann}`)).length, 1);

    await server.call("POST", `/api/messages/${more.id}/recall`, { from: ann });
    for (const client of [receiver, laptop, phone]) await client.call("syncNow");
    assert.equal((await receiver.call("message", more.id)).state, "recalled");
    for (const [client, expects] of [[laptop, expected.laptop], [phone, expected.phone]]) {
      assert.equal((await client.call("message", more.id))?.state ?? null, expects ? "recalled" : null);
    }
    await leave([laptop, phone, receiver]);
  });
}

test("M8 a message to a group reaches each member, and the sender if that is wanted", async () => {
  await server.call("PUT", "/api/settings", { sync_enabled: true });
  const [ann, bob] = ["ann of the choir", "bob of the choir"];
  await server.call("PUT", "/api/groups/choir", { members: [ann, bob] });
  const laptop = await come("laptop", ann, "web");
  const receiver = await come("bob", bob, "web");
  for (const isIncludeSender of [true, false]) {
    await server.message(ann, "group:choir", `included: ${isIncludeSender}`, { isIncludeSender });
  }
  await receiver.untilSent("group:choir", 2);
  await laptop.call("syncNow");
  assert.deepEqual(await seen(laptop, "group:choir"), ["included: true"]);
  await assert.rejects(server.message("nobody of it", "group:choir", "hello"), /404/);
  await assert.rejects(server.message(ann, "group:choir", "hello", { isIncludeSender: 1 }), /422.*isIncludeSender/);
  await leave([laptop, receiver]);
});

async function come(name, account, platform) {
  const client = await browsers[name].client(account, { device: { name, platform } });
  await client.online();
  await client.call("syncNow");
  return client;
}

async function seen(client, conversation) {
  return contents((await client.history(conversation, { limit: 100 })).messages);
}
