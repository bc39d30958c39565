// The service switch: each cell of what it means that an account's devices are kept in step, or not.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { leave, told } from "./support/cast.mjs";
import { contents, ids } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server, browsers;

/** Minutes between polls: three seconds. */
const config = { syncInterval: 0.05 };
/** Bob's devices, each a browser of its own. */
const PLATFORMS = { laptop: "web", phone: "mobile", desktop: "desktop" };

before(async () => {
  server = await stage.server();
  const [ann, laptop, desktop] = await stage.profiles(server, 3);
  const phone = await stage.profile(server, { engine: "firefox" });
  browsers = { ann, laptop, phone, desktop };
});
after(() => {
  for (const { pageErrors } of Object.values(browsers)) assert.deepEqual(pageErrors, []);
});

for (const enabled of [true, false]) {
  const to = enabled ? "all of the account's devices" : "the device on which its user did something last";
  test(`O a new message goes to ${to}`, async () => {
    const scene = await open(`message, ${enabled}`, enabled, ["laptop", "phone", "desktop"]);
    const { ann, laptop, phone, desktop, toAnn, toBob } = scene;
    const tab = await scene.again("laptop");
    const devices = { laptop, phone, desktop };
    const expected = { laptop: [], phone: [], desktop: [] };
    for (const [round, [name, device]] of Object.entries(devices).entries()) {
      await device.call("setSession", "at", { device: name });
      await device.call("syncNow");
      await ann.send(toBob, `for the ${name}`);
      for (const other of enabled ? Object.keys(devices) : [name]) expected[other].push(`for the ${name}`);
      await device.send(toAnn, `from the ${name}`);
      await ann.untilSent(toBob, 2 * (round + 1));
      for (const other of enabled ? Object.keys(devices) : [name]) expected[other].push(`from the ${name}`);
    }
    await holds(laptop, toAnn, expected.laptop);
    await holds(tab, toAnn, expected.laptop);
    await holds(phone, toAnn, expected.phone);
    await holds(desktop, toAnn, expected.desktop);
    // Each was told of what it has, once.
    for (const [name, device] of Object.entries(devices)) {
      const messages = (await device.added()).map(({ message }) => message.content);
      assert.deepEqual(messages.sort(), [...expected[name]].sort(), name);
    }
    const { holes } = await desktop.history(toAnn);
    assert.deepEqual(holes, enabled ? [] : [{ from: 1, to: 4, reason: "disabled" }], "what is elsewhere is said to be");
    await leave(scene.all);
  });

  test(`O ${enabled ? "with" : "without"} sync a new device gets ${enabled ? "what was there" : "nothing of what was there"}`, async () => {
    const scene = await open(`compensation, ${enabled}`, enabled, ["laptop"]);
    const { ann, laptop, toAnn, toBob } = scene;
    const before = ["one", "two", "three"];
    await ann.sendAll(toBob, before);
    await laptop.untilSent(toAnn, 3);
    const phone = await scene.come("phone");
    await holds(phone, toAnn, enabled ? before : []);
    if (!enabled) assert.deepEqual(await phone.call("conversations"), []);
    await phone.call("setSession", "at", { device: "phone" });
    await phone.call("syncNow");
    await ann.send(toBob, "four");
    await until("the phone has it", async () => (await seen(phone, toAnn)).includes("four"));
    await holds(phone, toAnn, enabled ? [...before, "four"] : ["four"]);
    await holds(laptop, toAnn, enabled ? [...before, "four"] : before);
    const { holes } = await phone.history(toAnn, { limit: 100 });
    assert.deepEqual(holes, enabled ? [] : [{ from: 1, to: 3, reason: "disabled" }], "older history");
    await leave([...scene.all, phone]);
  });

  test(`O ${enabled ? "with" : "without"} sync a recall reaches ${enabled ? "all devices" : "the device that got the message"}`, async () => {
    const scene = await open(`recall, ${enabled}`, enabled, ["laptop", "phone"]);
    const { ann, laptop, phone, toAnn, toBob } = scene;
    const { id } = await ann.send(toBob, "never mind");
    await until("the phone, which came last, has it", async () => (await seen(phone, toAnn)).length === 1);
    await laptop.call("syncNow");
    await phone.setOffline(true);
    await ann.call("recall", id);
    await ann.call("syncNow");
    await laptop.call("syncNow");
    await phone.setOffline(false);
    const state = async (client) => (await client.call("message", id))?.state ?? null;
    await until("the phone knows", async () => (await state(phone)) === "recalled");
    assert.equal(await state(laptop), enabled ? "recalled" : null);
    const changes = (await told(laptop, id)).map(({ change }) => change);
    assert.deepEqual(changes, enabled ? ["added", "recalled"] : [], "not even that there was one");
    await leave(scene.all);
  });
}

test("O a change of the switch takes effect on live connections: one from the web without sync, more with it", async (t) => {
  const scene = await open("connections", true, ["laptop", "phone"]);
  const { laptop, phone, bob, ann, toAnn, toBob } = scene;
  const web = { config, device: { name: "Another", platform: "web" } };
  const second = await browsers.desktop.client(bob, web);
  await second.online();
  const third = await browsers.ann.client(bob, web);
  await third.online();
  const polls = ({ connection, reason }) => connection === "polling" && reason === "connection-limit";
  const devices = async () => (await server.connections(bob)).map(({ device_id }) => device_id);

  const begun = performance.now();
  await enable(false);
  for (const client of [second, third]) await client.untilStatus("polling", polls);
  t.diagnostic(`two tabs of three saw the switch after ${Math.round(performance.now() - begun)} ms`);
  for (const client of [second, third]) {
    const [{ event }] = await client.log("connection-limit");
    assert.equal(event.limit, 1);
    assert.deepEqual(event.connections.map(({ deviceId }) => deviceId), [laptop.deviceId]);
  }
  assert.deepEqual(await devices(), [laptop.deviceId, phone.deviceId]);
  await laptop.call("setSession", "at", { device: "laptop" });
  await laptop.call("syncNow");
  await ann.send(toBob, "alone");
  await until("the laptop has it", async () => (await seen(laptop, toAnn)).length === 1);
  for (const client of [second, third, phone]) await holds(client, toAnn, []);

  await enable(true);
  for (const client of [second, third]) await client.online();
  await ann.send(toBob, "together");
  for (const client of [second, third, phone]) {
    await until("each has it", async () => (await seen(client, toAnn)).length === 1);
  }
  await holds(laptop, toAnn, ["alone", "together"]);
  for (const client of [second, third, phone]) await holds(client, toAnn, ["together"]);
  const polled = ids((await second.history(toAnn)).messages);
  assert.equal(new Set(polled).size, polled.length);
  await leave([...scene.all, second, third]);
});

test("O without sync what arrives while no device is there waits for the first, though it is killed at once", async () => {
  const scene = await open("first", false, ["laptop", "phone"]);
  const { ann, bob, laptop, phone, toAnn, toBob } = scene;
  await leave([laptop, phone]);
  await until("nobody is there", async () => (await server.connections(bob)).length === 0);
  await ann.sendAll(toBob, ["one", "two"]);
  await ann.call("syncNow");
  const first = await scene.come("laptop");
  await until("it has come for them", async () => (await seen(first, toAnn)).length === 2);
  await browsers.laptop.kill();
  await browsers.laptop.start();
  const second = await scene.come("phone");
  await holds(second, toAnn, []);
  const again = await scene.come("laptop");
  await holds(again, toAnn, ["one", "two"]);
  // The switch does not hand out anew what has found its device.
  await enable(true);
  await holds(second, toAnn, []);
  await ann.send(toBob, "three");
  await until("all have it", async () => (await seen(second, toAnn)).length === 1);
  await holds(again, toAnn, ["one", "two", "three"]);
  await leave([ann, second, again]);
});

function enable(enabled) {
  return server.call("PUT", "/api/settings", { sync_enabled: enabled });
}

/** Ann, and some of Bob's devices, in the order in which they come; nobody else has these accounts. */
async function open(scene, enabled, devices) {
  await enable(enabled);
  const [annName, bob] = [`ann, ${scene}`, `bob, ${scene}`];
  const come = async (name) => {
    const client = await browsers[name].client(bob, { config, device: { name, platform: PLATFORMS[name] } });
    await client.online();
    await client.call("syncNow");
    return client;
  };
  const ann = await browsers.ann.client(annName, { config });
  await ann.online();
  const players = { ann };
  const all = [ann];
  for (const name of devices) all.push((players[name] = await come(name)));
  const again = async (name) => {
    const client = await come(name);
    all.push(client);
    return client;
  };
  return { ...players, all, come, again, bob, toAnn: `direct:${annName}`, toBob: `direct:${bob}` };
}

/** Contents of what a device has of a conversation. */
async function seen(client, conversation) {
  return contents((await client.history(conversation, { limit: 100 })).messages);
}

/** A device that knows all that there is has this and no more. */
async function holds(client, conversation, expected) {
  await client.call("syncNow");
  assert.deepEqual(await seen(client, conversation), expected);
}
