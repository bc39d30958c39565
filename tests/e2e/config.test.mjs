// F: what each option of the configuration does, in all tabs, at once.
import assert from "node:assert/strict";
import { createECDH } from "node:crypto";
import { test } from "node:test";
import { agree, away, back, begin, cast, leave } from "./support/cast.mjs";
import { idsStoredAt, idsStoredAtServer } from "./support/stored.mjs";
import { until } from "./support/until.mjs";
import { hellos } from "./support/wire.mjs";

const { server, browsers } = await begin();

const DEFAULTS = {
  enableMessageSync: true,
  enableNotificationSync: true,
  enableChatHistorySync: true,
  disableDeviceId: false,
  syncInterval: 15,
  compensationDays: 1,
  logLevel: "warning",
  pushNotificationSenderId: null,
  shareTyping: true,
  sharePresence: true,
  shareReadReceipts: true,
};

const config = (client) => client.call("config");

test("F configure holds in all tabs of the profile, in those that open later, and on no other device", async () => {
  const scene = await cast(browsers, "all tabs");
  const { laptop, tab, phone } = scene;
  assert.deepEqual(await config(phone), DEFAULTS);
  const changes = { syncInterval: 0.5, logLevel: "error", shareTyping: false };
  await tab.call("configure", changes);
  const set = (now) => Object.entries(changes).every(([name, value]) => now[name] === value);
  assert.deepEqual(await agree("both tabs have it", [laptop, tab], config, set), { ...DEFAULTS, ...changes });
  const later = await browsers.laptop.client(scene.ann);
  await agree("a tab that opens later has it", [later], config, set);
  assert.deepEqual(await config(phone), DEFAULTS);
  await leave([...scene.all, later]);
});

test("F enableMessageSync: without it nothing is sent or heard, and nothing is lost", async () => {
  const scene = await cast(browsers, "messages");
  const { laptop, tab, phone } = scene;
  await tab.call("configure", { enableMessageSync: false });
  for (const client of [laptop, tab]) await client.untilStatus("no connection", ({ connection }) => connection === "offline");
  await laptop.send(scene.toBob, "from the laptop");
  await phone.send(scene.toBob, "from the phone");
  await phone.untilSent(scene.toBob, 1);
  assert.deepEqual((await laptop.messages(scene.toBob)).map(({ state }) => state), ["pending"]);
  await laptop.call("configure", { enableMessageSync: true });
  for (const client of [laptop, tab, phone]) await client.untilSent(scene.toBob, 2);
  await leave(scene.all);
});

test("F syncInterval: so often a client makes sure that it has all, though nothing is to be heard", async () => {
  const scene = await cast(browsers, "interval");
  const { laptop, tab, phone } = scene;
  const frames = (clients) => clients.flatMap(({ page }) => page.sockets).flatMap(({ received }) => received);
  const heard = (...clients) => frames(clients).length;
  await tab.call("configure", { syncInterval: 0.01 });
  await agree("both tabs have it", [laptop, tab], config, (now) => now.syncInterval === 0.01);
  const before = [heard(laptop, tab), heard(phone)];
  await until("it has asked ten times", () => heard(laptop, tab) >= before[0] + 10);
  assert.ok(heard(phone) < before[1] + 5, "one that is to ask each quarter of an hour does not");
  await leave(scene.all);
});

test("F shareReadReceipts: what one has read nobody else is told, and then again", async () => {
  const scene = await cast(browsers, "receipts");
  const { laptop, tab, bob } = scene;
  await bob.sendAll(scene.toAnn, ["one", "two", "three"]);
  for (const client of [laptop, tab]) await client.untilSent(scene.toBob, 3);
  await tab.call("configure", { shareReadReceipts: false });
  await agree("both tabs have it", [laptop, tab], config, (now) => !now.shareReadReceipts);
  await laptop.call("markRead", scene.toBob, 2);
  await laptop.call("syncNow");
  await bob.call("syncNow");
  const readBy = async () => (await bob.call("conversation", scene.toAnn)).readBy;
  assert.deepEqual(await readBy(), {});
  await laptop.call("configure", { shareReadReceipts: true });
  await agree("both tabs have it", [laptop, tab], config, (now) => now.shareReadReceipts);
  await tab.call("markRead", scene.toBob, 3);
  await until("Bob is told", async () => (await readBy())[scene.ann] === 3);
  await leave(scene.all);
});

test("F shareTyping, sharePresence: others learn nothing, the own devices do", async () => {
  const scene = await cast(browsers, "status");
  const { laptop, tab, phone, bob } = scene;
  await bob.send(scene.toAnn, "hello");
  for (const client of [laptop, tab, phone]) await client.untilSent(scene.toBob, 1);
  // The other device shares as little, or the account would be seen through it.
  for (const client of [tab, phone]) await client.call("configure", { shareTyping: false, sharePresence: false });
  await agree("both tabs have it", [laptop, tab], config, (now) => !now.sharePresence);
  await until("Bob sees nobody", async () => (await bob.call("presence", scene.ann)).presence === "offline");
  await laptop.call("setTyping", scene.toBob);
  const heard = async (client) => (await client.log("typing")).map(({ event }) => event.typing);
  await until("the phone sees it", async () => (await heard(phone))[0] === true);
  // What comes after it has come, so it would have.
  await laptop.send(scene.toBob, "sent");
  await bob.untilSent(scene.toAnn, 2);
  assert.deepEqual(await heard(bob), []);
  await leave(scene.all);
});

test("F logLevel: the console is told that and what is worse", async () => {
  const scene = await cast(browsers, "console");
  const { laptop, tab } = scene;
  const listen = () => {
    globalThis.said = [];
    for (const level of ["debug", "info", "warn", "error"]) {
      console[level] = (text) => globalThis.said.push([level, String(text)]);
    }
  };
  const said = () => tab.run(() => globalThis.said.filter(([, text]) => text.startsWith("tutti-sync")).map(([level]) => level));
  await tab.run(listen);
  await laptop.send(scene.toBob, "unsaid");
  await tab.untilSent(scene.toBob, 1);
  assert.deepEqual(await said(), []);
  await laptop.call("configure", { logLevel: "debug" });
  await agree("both tabs have it", [laptop, tab], config, (now) => now.logLevel === "debug");
  await laptop.send(scene.toBob, "said");
  await until("it is said", async () => (await said()).includes("debug"));
  await leave(scene.all);
});

test("F disableDeviceId: no lasting id is told, or kept on any disk, in all tabs and through a restart", async () => {
  const scene = await cast(browsers, "anonymous");
  const { laptop, tab, phone, bob } = scene;
  const idOf = (client) => client.run(({ client }) => client.deviceId);
  const [former, phones] = [laptop.deviceId, phone.deviceId];
  const registered = async () => {
    const { devices } = await server.call("GET", `/api/devices?user_id=${encodeURIComponent(scene.ann)}`);
    return devices.map(({ id }) => id).toSorted();
  };
  await laptop.send(scene.toBob, "by a device");
  await bob.untilSent(scene.toAnn, 1);
  await tab.call("configure", { disableDeviceId: true });
  await agree("no tab has an id", [laptop, tab], idOf, (id) => id === null);
  const identity = async () => (await idsStoredAt(laptop, [former])).filter(({ table }) => table === "meta");
  await until("the store names no device", async () => (await identity()).length === 0);
  await until("the server knows it otherwise", async () => {
    const connections = await server.connections(scene.ann);
    return connections.length === 2 && connections.every(({ device_id }) => device_id !== former);
  });

  await tab.send(scene.toBob, "by nobody");
  await bob.untilSent(scene.toAnn, 2);
  await away(laptop);
  const waits = await tab.send(scene.toBob, "made offline");
  await laptop.call("edit", waits.id, "edited offline");
  await laptop.call("setSession", "track", { time: 7 });
  await server.stop();
  await server.start();
  await back(laptop);
  await laptop.page.close();
  await tab.untilStatus("the leader", ({ role, connection }) => role === "leader" && connection === "online");
  await tab.send(scene.toBob, "by the next leader");
  const later = await browsers.laptop.client(scene.ann, { config: { disableDeviceId: true } });
  const sent = (client) => client.messages(scene.toBob).then((all) => all.map(({ content, device }) => [content, device]));
  const expected = [
    ["by a device", former],
    ["by nobody", null],
    ["edited offline", null],
    ["by the next leader", null],
  ];
  const complete = (messages) => JSON.stringify(messages) === JSON.stringify(expected);
  await agree("all see it", [tab, later, phone], sent, complete);
  const session = async (client) => (await client.call("session", "track"))?.device;
  await agree("nobody is told who is listening", [tab, later, phone], session, (device) => device === null);
  assert.equal(await idOf(later), null);

  const said = hellos([laptop.page, tab.page, later.page]);
  const passing = [...new Set(said.filter(({ passing }) => passing).map(({ device }) => device))];
  assert.equal(passing.length, 1, "the tabs share one, through the restart and from leader to leader");
  assert.deepEqual([...new Set(said.filter(({ passing }) => !passing).map(({ device }) => device))], [former]);
  for (const client of [tab, phone]) {
    assert.deepEqual(await idsStoredAt(client, passing), []);
    assert.ok((await idsStoredAt(client, [phones, former])).length > 0, "what lasts is found");
  }
  assert.deepEqual(await registered(), [former, phones].toSorted());
  await server.stop();
  assert.deepEqual(await idsStoredAtServer(passing, server), []);
  assert.ok((await idsStoredAtServer([phones], server)).length > 0, "what lasts is found");
  await server.start();

  // One that is wanted again is another one, and no tab remembers the one before.
  await later.call("configure", { disableDeviceId: false });
  const again = await agree("both have one again", [tab, later], idOf, (id) => id !== null);
  assert.ok(![former, ...passing].includes(again));
  await tab.send(scene.toBob, "by a device again");
  await until("it is known by that", async () => (await sent(tab)).at(-1)[1] === again);
  await leave([tab, later, phone, bob]);
});

test("F disableDeviceId: a browser that opens with it has never had an id, and has another one each time", async () => {
  const account = "nobody, at open";
  const open = async () => {
    const client = await browsers.phone.client(account, { config: { disableDeviceId: true } });
    await client.online();
    assert.equal(client.deviceId, null);
    await client.send(`direct:${account}`, "a note");
    await client.call("syncNow");
    const [{ device }] = hellos([client.page]);
    assert.deepEqual(await idsStoredAt(client, [device]), []);
    assert.deepEqual((await client.messages(`direct:${account}`)).map(({ device }) => device).filter(Boolean), []);
    await client.page.close();
    return device;
  };
  assert.notEqual(await open(), await open());
  const { devices } = await server.call("GET", `/api/devices?user_id=${encodeURIComponent(account)}`);
  assert.deepEqual(devices, []);
});

test("F pushNotificationSenderId: who sends the push is known in all tabs, from opening on or later", async () => {
  const scene = await cast(browsers, "the sender of pushes");
  const { laptop, tab, phone } = scene;
  const key = () => createECDH("prime256v1").generateKeys("base64url");
  const [first, second] = [key(), key()];
  const sender = async (client) => (await config(client)).pushNotificationSenderId;
  const is = (wanted) => (held) => held === wanted;
  await tab.call("configure", { pushNotificationSenderId: first });
  await agree("both tabs know who sends", [laptop, tab], sender, is(first));
  await laptop.call("configure", { pushNotificationSenderId: second });
  const later = await browsers.laptop.client(scene.ann);
  await agree("and who sends instead", [laptop, tab, later], sender, is(second));
  await later.call("configure", { pushNotificationSenderId: null });
  await agree("and that nobody does", [laptop, tab, later], sender, is(null));
  const opened = await browsers.phone.client(`${scene.ann}-2`, { config: { pushNotificationSenderId: first } });
  assert.equal(await sender(opened), first);
  assert.equal(await sender(phone), null);
  await leave([...scene.all, later, opened]);
});

const WRONG = [
  ["syncInterval", 0],
  ["syncInterval", -1],
  ["syncInterval", "15"],
  ["syncInterval", 35_001],
  ["enableMessageSync", 1],
  ["enableNotificationSync", "yes"],
  ["enableChatHistorySync", null],
  ["disableDeviceId", "no"],
  ["compensationDays", 0],
  ["compensationDays", 8],
  ["compensationDays", 1.5],
  ["logLevel", "loud"],
  ["shareTyping", "true"],
  ["sharePresence", 0],
  ["shareReadReceipts", {}],
  ["pushNotificationSenderId", 7],
  ["pushNotificationSenderId", ""],
  ["pushNotificationSenderId", "no key"],
  ["pushNotificationSenderId", Buffer.alloc(64, 4).toString("base64url")],
  ["pushNotificationSenderId", Buffer.alloc(65, 2).toString("base64url")],
  ["pushNotificationSenderId", Buffer.alloc(65, 4).toString("base64")],
  ["colour", "blue"],
];

test("F values that make no sense are refused by name, by configure and at open, and change nothing", async () => {
  const scene = await cast(browsers, "nonsense");
  const { laptop } = scene;
  for (const [name, value] of WRONG) {
    const refused = (error) => error.code === "invalid" && error.message.includes(`config.${name}`);
    await assert.rejects(laptop.call("configure", { shareTyping: false, [name]: value }), refused, `${name}: ${value}`);
    await assert.rejects(browsers.phone.client(scene.ann, { config: { [name]: value } }), refused, `${name}: ${value}`);
  }
  assert.deepEqual(await config(laptop), DEFAULTS);
  await leave(scene.all);
});
