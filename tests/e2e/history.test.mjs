// M4: a new device lists every conversation, gets the last days by itself, asks for what is older when somebody looks
// at it, and shows what it lacks as missing.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { away, back } from "./support/cast.mjs";
import { contents } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { storedAt } from "./support/stored.mjs";
import { until } from "./support/until.mjs";

const DAY = 86_400_000;
const HOUR = 3_600_000;

const stage = new Stage();
after(() => stage.clear());

/** Who writes to Ann, how many days ago, and how much each time. */
const PAST = {
  "long ago": { 6: 30 },
  "now and then": { 6: 4, 2: 3, 0: 2 },
  "two days ago": { 2: 5 },
  today: { 0: 3 },
};
const TOTAL = { "long ago": 30, "now and then": 9, "two days ago": 5, today: 3 };

let server;
before(async () => {
  server = await stage.server();
  for (const days of [6, 2, 0]) {
    await server.travel(days);
    for (const [name, written] of Object.entries(PAST)) {
      for (let number = 1; number <= (written[days] ?? 0); number += 1) {
        await server.message(name, "direct:ann", `${days} days ago, ${number}`);
      }
    }
  }
});

const caughtUp = (client) =>
  until("it has caught up", async () => (await client.log("catch-up"))[0]?.event);

const from = (name) => `direct:${name}`;
const positions = ({ messages }) => messages.map(({ position }) => position);

/** A new device that has caught up, with everything that must be in its list. */
async function newDevice(config) {
  const profile = await stage.profile(server);
  const client = await profile.client("ann", { config });
  const told = await caughtUp(client);
  const list = await client.call("conversations");
  assert.deepEqual(
    Object.fromEntries(list.map(({ id, lastMessage, unread }) => [id, [lastMessage.position, unread]])),
    Object.fromEntries(Object.entries(TOTAL).map(([name, total]) => [from(name), [total, total]])),
  );
  return { profile, client, told };
}

/** What of each conversation is there without asking the server. */
async function here(client) {
  await away(client);
  const found = {};
  for (const name of Object.keys(PAST)) {
    const page = await client.history(from(name), { limit: 100 });
    found[name] = [positions(page).length, page.holes];
  }
  await back(client);
  return found;
}

const offline = (from, to) => ({ from, to, reason: "offline" });

test("M4 a new device lists all conversations, has the days that it wants, and asks for what is older", async () => {
  await server.call("PUT", "/api/settings", { compensation_days: 7 });
  const { profile, client, told } = await newDevice({ compensationDays: 3 });
  const days = (Date.now() - told.completeFrom) / DAY;
  assert.ok(Math.abs(days - 3) < HOUR / DAY, `complete since ${days} days ago`);
  // The last message of each conversation, and those of the days.
  assert.deepEqual(await here(client), {
    "long ago": [1, [offline(1, 29)]],
    "now and then": [5, [offline(1, 4)]],
    "two days ago": [5, []],
    today: [3, []],
  });
  const tab = await profile.client("ann");
  await tab.online();
  const before = (await client.added()).length;

  const newest = await client.history(from("long ago"), { limit: 10 });
  assert.deepEqual(positions(newest), [21, 22, 23, 24, 25, 26, 27, 28, 29, 30]);
  assert.deepEqual([newest.holes, newest.hasMore], [[], true]);
  const older = await tab.history(from("long ago"), { before: 21, limit: 15 });
  assert.deepEqual(positions(older), [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
  assert.deepEqual([older.holes, older.hasMore], [[], true]);
  assert.deepEqual(contents(older.messages.slice(0, 2)), ["6 days ago, 6", "6 days ago, 7"]);

  // Nobody is told of it as of something new, and it is there from now on, in all tabs and after a reload.
  assert.equal((await client.added()).length, before);
  assert.equal((await client.call("conversation", from("long ago"))).unread, 30);
  assert.equal((await tab.call("message", older.messages[0].id)).position, 6);
  await tab.page.close();
  await client.page.close();
  const again = await profile.client("ann");
  await again.online();
  const found = await here(again);
  assert.deepEqual(found["long ago"], [25, [offline(1, 5)]]);
  assert.deepEqual(profile.pageErrors, []);
});

test("M4 what a list shows is read before it is opened", async () => {
  const profile = await stage.profile(server);
  const bob = await (await stage.profile(server)).client("bob");
  const first = await profile.client("lister");
  await first.online();
  const sent = [];
  for (const text of ["one", "two", "three"]) sent.push(await bob.send("direct:lister", text));
  await first.untilSent("direct:bob", 3);
  // What is taken back is folded into a block at once, and all with it.
  await bob.call("recall", sent[0].id);
  await until("it is folded", async () => (await storedAt(first, ["two", "three"])).some(({ table }) => table === "blocks"));
  await first.call("close");

  const again = await profile.client("lister");
  // Nothing else is read any more.
  await again.online();
  const opened = () => again.page.evaluate("opened");
  await again.page.evaluate(() => {
    globalThis.opened = 0;
    const { decrypt } = SubtleCrypto.prototype;
    SubtleCrypto.prototype.decrypt = async function (...given) {
      const record = await decrypt.apply(this, given);
      globalThis.opened += 1;
      return record;
    };
  });
  await again.call("conversations");
  await until("its block is read", async () => (await opened()) === 1);
  assert.deepEqual(contents(await again.messages("direct:bob")), [null, "two", "three"]);
  await again.call("conversations");
  assert.deepEqual(contents(await again.messages("direct:bob")), [null, "two", "three"]);
  assert.equal(await opened(), 1, "and not once more");
});

test("M4 the server gives no more days than its operator has set", async () => {
  await server.call("PUT", "/api/settings", { compensation_days: 1 });
  const { client, told } = await newDevice({ compensationDays: 7 });
  const days = (Date.now() - told.completeFrom) / DAY;
  assert.ok(Math.abs(days - 1) < HOUR / DAY, `complete since ${days} days ago`);
  assert.deepEqual((await here(client))["two days ago"], [1, [offline(1, 4)]]);
  for (const compensation_days of [0, 8, "1"]) {
    const refused = server.call("PUT", "/api/settings", { compensation_days });
    await assert.rejects(refused, /422.*compensation_days/);
  }
});

test("F enableChatHistorySync: without it a new device has the list and what comes, until it is wanted", async () => {
  const { client, told } = await newDevice({ enableChatHistorySync: false });
  assert.ok(Math.abs(Date.now() - told.completeFrom) < HOUR);
  const page = await client.history(from("today"));
  assert.deepEqual(positions(page), [3]);
  assert.deepEqual(page.holes, [{ from: 1, to: 2, reason: "disabled" }]);
  await client.call("configure", { enableChatHistorySync: true });
  assert.deepEqual(positions(await client.history(from("today"))), [1, 2, 3]);
});

test("F compensationDays and enableChatHistorySync are set, read and refused by name", async () => {
  const profile = await stage.profile(server);
  const client = await profile.client("carl", { config: { compensationDays: 7 } });
  assert.equal((await client.call("config")).compensationDays, 7);
  await client.call("configure", { compensationDays: 2, enableChatHistorySync: false });
  const { compensationDays, enableChatHistorySync } = await client.call("config");
  assert.deepEqual([compensationDays, enableChatHistorySync], [2, false]);
});

test("M4 older messages come by post, too, where there is no place for a connection", async () => {
  // The devices of the tests before have all the places there are.
  const { length } = await server.connections("ann");
  await server.call("PUT", "/api/settings", { limits: { web: length } });
  try {
    const { client } = await newDevice();
    assert.equal((await client.status()).connection, "polling");
    assert.deepEqual((await client.history(from("long ago"), { limit: 50 })).holes, []);
    assert.equal((await client.status()).connection, "polling");
  } finally {
    await server.call("PUT", "/api/settings", { limits: { web: 10 } });
  }
});

test("M4 an old message that is recalled before it is looked at comes as recalled", async () => {
  const { client } = await newDevice();
  const { id } = await server.message("two days ago", "direct:ann", "take this back");
  await server.call("POST", `/api/messages/${id}/recall`, { from: "two days ago" });
  const { client: later } = await newDeviceOf("two days ago", 6);
  for (const reader of [client, later]) {
    const page = await until("it is recalled", async () => {
      const page = await reader.history(from("two days ago"));
      return page.messages.at(-1).state === "recalled" && page;
    });
    assert.deepEqual(positions(page), [1, 2, 3, 4, 5, 6]);
    assert.equal(page.messages[5].content, null);
  }
});

/** A new device, after so many messages in one conversation. */
async function newDeviceOf(name, total) {
  TOTAL[name] = total;
  return newDevice();
}

test("M4 fault 44: what the server keeps no longer is shown as gone; a device that was away for longer begins anew", async () => {
  const old = await stage.server();
  await old.travel(20);
  const profile = await stage.profile(old);
  const before = await profile.client("ann");
  await before.online();
  const first = await old.message("ann", "direct:bob", "twenty days ago", { isIncludeSender: true });
  await before.untilSent("direct:bob", 1);
  await before.setOffline(true);
  await before.send("direct:bob", "written while away");
  await before.page.close();

  await old.travel(10);
  for (let number = 1; number <= 3; number += 1) await old.message("bob", "direct:ann", `ten days ago, ${number}`);
  await old.message("carl", "direct:ann", "ten days ago");
  await old.travel(1);
  await old.message("bob", "direct:ann", "yesterday");
  await old.travel(0);
  await old.call("PUT", "/api/settings", { history_days: 5 });
  // Bob may not recall it while it is there, and finds nothing once it is gone, from Ann's log first of all.
  const recalled = () => old.call("POST", `/api/messages/${first.id}/recall`, { from: "bob" }).catch(String);
  await until("what is too old is gone", async () => /: 404 /.test(await recalled()));

  const client = await profile.client("ann");
  await client.call("syncNow");
  const page = await client.history("direct:bob");
  assert.deepEqual(page.holes, [{ from: 1, to: 4, reason: "expired" }]);
  assert.deepEqual(contents(page.messages), ["yesterday", "written while away"]);
  assert.deepEqual(
    page.messages.map(({ position, state }) => [position, state]),
    [
      [5, "sent"],
      [6, "sent"],
    ],
  );
  const list = await client.call("conversations");
  assert.deepEqual(
    list.map(({ id, lastMessage }) => [id, lastMessage.content]),
    [
      ["direct:bob", "written while away"],
      ["direct:carl", "ten days ago"],
    ],
  );
  assert.deepEqual(profile.pageErrors, []);
});
