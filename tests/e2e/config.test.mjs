// F: what each option of the configuration does, in all tabs, at once.
import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, begin, cast, leave } from "./support/cast.mjs";
import { until } from "./support/until.mjs";

const { browsers } = await begin();

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
