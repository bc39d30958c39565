// tutti-sync/worker: a page whose client is in a worker is a tab like any other.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { contents, numbered } from "./support/messages.mjs";
import { PushService, subscribeTo } from "./support/push-service.mjs";
import { Stage } from "./support/stage.mjs";
import { traceTasks } from "./support/trace.mjs";
import { until } from "./support/until.mjs";

/** The page under test, with tutti-sync/worker in the place of tutti-sync. */
const IN_WORKER = "/in-worker.html";
/** Pages are kept for "back": Playwright turns that off. */
const KEEPS_PAGES = { ignoreDefaultArgs: ["--disable-back-forward-cache"] };
/** What an absent device has to catch up on. */
const MISSED = 3_000;

const stage = new Stage();
after(() => stage.clear());
let server;

before(async () => {
  server = await stage.server({ args: ["--rate-burst", "1000000", "--rate-per-second", "1000000"] });
});

for (const engine of ["chromium", "firefox", "webkit"]) {
  test(`${engine}: two pages send and receive, and the other leads when the one that led is closed`, async () => {
    const { profile, ann, bob, toAnn, toBob, end } = await cast(engine, { engine });
    const leader = await profile.client(ann, {}, IN_WORKER);
    await leads(leader);
    const other = await profile.client(ann, {}, IN_WORKER);
    await follows(other);
    assert.equal(other.deviceId, leader.deviceId);
    assert.equal((await server.connections(ann)).length, 1);
    const said = [];
    for (const [client, to] of [[leader, toBob], [other, toBob], [bob, toAnn]]) {
      said.push((await client.send(to, { text: `number ${said.length}` })).content);
      for (const each of [leader, other]) assert.deepEqual(contents(await each.untilSent(toBob, said.length)), said);
      assert.deepEqual(contents(await bob.untilSent(toAnn, said.length)), said);
    }
    for (const each of [leader, other]) {
      const told = (await each.added()).map(({ message }) => message.content);
      assert.deepEqual(told, said, "told once, in order");
    }

    await leader.page.close();
    await leads(other);
    assert.equal((await server.connections(ann)).length, 1);
    said.push((await other.send(toBob, "and when it leads")).content);
    assert.deepEqual(contents(await bob.untilSent(toAnn, said.length)), said);
    await other.close();
    await until("nobody is connected", async () => (await server.connections(ann)).length === 0);
    await end();
  });
}

for (const [how, crash] of Object.entries({
  "crashes with its page": async ({ page }) => {
    const session = await page.context().newCDPSession(page);
    const crashed = new Promise((crashed) => page.once("crash", crashed));
    session.send("Page.crash").catch(() => {}); // it is never answered: who would
    await crashed;
  },
  "is closed": (client) => client.close(),
  "is left with its page": ({ page }) => page.goto("about:blank"),
})) {
  test(`a leader in a worker ${how}, and a client in a page goes on`, async () => {
    const { profile, ann, bob, toAnn, toBob, end } = await cast(how);
    const leader = await profile.client(ann, {}, IN_WORKER);
    await leads(leader);
    const tab = await profile.client(ann);
    await follows(tab);
    for (const text of numbered("before", 3)) await leader.send(toBob, text);
    await crash(leader);
    await leads(tab);
    await tab.send(toBob, "after");
    assert.deepEqual(contents(await bob.untilSent(toAnn, 4)), [...numbered("before", 3), "after"]);
    assert.equal((await server.connections(ann)).length, 1);
    await end();
  });
}

test("a page that hangs leads on: its worker answers", async () => {
  const { profile, ann, bob, toAnn, toBob, end } = await cast("hangs");
  const leader = await profile.client(ann, {}, IN_WORKER);
  await leads(leader);
  const tab = await profile.client(ann);
  await follows(tab);
  const session = await leader.page.context().newCDPSession(leader.page);
  await session.send("Debugger.enable");
  const paused = new Promise((paused) => session.once("Debugger.paused", paused));
  await session.send("Runtime.evaluate", { expression: "setTimeout(() => { debugger; })" });
  await paused;
  await tab.send(toBob, "by way of a page that hangs");
  await bob.untilSent(toAnn, 1);
  assert.equal((await tab.status()).role, "follower");
  await session.send("Debugger.resume");
  assert.deepEqual(contents(await leader.untilSent(toBob, 1)), ["by way of a page that hangs"]);
  await end();
});

for (const [name, options] of [
  ["Chromium", { launch: KEEPS_PAGES }],
  ["Firefox", { engine: "firefox" }],
]) {
  test(`${name}: a page goes away and comes back with its worker, and is in step`, async (t) => {
    const { profile, ann, bob, toAnn, toBob, end } = await cast(`back in ${name}`, options);
    const client = await profile.client(ann, {}, IN_WORKER);
    const { page } = client;
    await leads(client);
    await client.send(toBob, "before");
    await bob.untilSent(toAnn, 1);
    await inPage(page, () => {
      addEventListener("pageshow", ({ persisted }) => (globalThis.restored = persisted));
    });
    await page.goto(`${server.origin}/away.html`);
    await until("nobody is connected", async () => (await server.connections(ann)).length === 0);
    await bob.send(toAnn, "meanwhile");
    await page.goBack({ waitUntil: "commit" });
    const state = "globalThis.harness && { client: harness.clients.length > 0, restored: globalThis.restored }";
    const back = await until("the page is back", async () => {
      const there = await page.evaluate(state);
      return there && (!there.client || there.restored) && there;
    });
    t.diagnostic(back.client ? "it was restored" : "it was loaded anew");
    const now = back.client ? client : await profile.clientIn(page, ann);
    await leads(now);
    assert.deepEqual(contents(await now.untilSent(toBob, 2)), ["before", "meanwhile"]);
    await now.send(toBob, "after");
    assert.deepEqual(contents(await bob.untilSent(toAnn, 3)), ["before", "meanwhile", "after"]);
    await end();
  });
}

test("what is wrong is said as everywhere, by errors that are SyncErrors", async () => {
  const { profile, ann, toBob, end } = await cast("errors");
  const client = await profile.client(ann, {}, IN_WORKER);
  const refused = async (code, method, ...args) => {
    const error = await client.call(method, ...args).then(() => null, (error) => error);
    assert.equal(error?.code, code, method);
    assert.ok(error.isSyncError);
  };
  await refused("invalid", "send", "nobody", "text");
  await refused("too-large", "send", toBob, "x".repeat(33_000));
  await refused("invalid", "on", "no-such-event");
  await refused("invalid", "enablePush", {});
  const functions = ({ client }, to) => client.send(to, () => {});
  await assert.rejects(client.run(functions, toBob), { code: "invalid", isSyncError: true });
  const says = ({ client }, to) => client.send(to, { at: new Date(0), own: new (class { toJSON = () => "its JSON"; })() });
  assert.deepEqual((await client.run(says, toBob)).content, { at: "1970-01-01T00:00:00.000Z", own: "its JSON" });

  // What nobody waits for is refused where it cannot get across, and else told by an event.
  const circular = ({ client }, to) => {
    const ring = {};
    ring.ring = ring;
    client.sendStatus(to, "ring", ring);
  };
  await assert.rejects(client.run(circular, toBob), { code: "invalid", isSyncError: true });
  await client.call("setTyping", "nobody");
  const [told] = await until("it is told", () =>
    client.run(({ log }) => log.error.length > 0 && log.error.map(({ event }) => [event.code, event instanceof tutti.SyncError])),
  );
  assert.deepEqual(told, ["invalid", true]);

  // A token that is fetched by the page, and a token function that fails.
  const failing = await profile.clientIn(client.page, "eve");
  assert.equal(failing.account, "eve");
  const open = ({ url }) =>
    tutti.SyncClient.open({ url, account: "eve too", token: () => Promise.reject(new Error("the back end is down")) }).then(
      (client) => new Promise((heard) => client.on("error", ({ code, message }) => heard({ code, message }))),
    );
  const { code, message } = await inPage(client.page, open, { url: server.url });
  assert.equal(code, "auth");
  assert.match(message, /the back end is down/);

  await client.close();
  await client.close();
  await refused("closed", "send", toBob, "too late");
  assert.equal((await client.status()).connection, "closed");
  await end();
});

test("where no worker can start, init says so, and can be tried again", async () => {
  const { profile, end } = await cast("no worker");
  const page = await profile.tab(IN_WORKER);
  await page.route("**/worker-thread.js", (route) => route.abort());
  const init = () => inPage(page, () => tutti.init().then(() => true));
  await assert.rejects(init(), { code: "unsupported", retryable: true, isSyncError: true });
  await page.unroute("**/worker-thread.js");
  assert.equal(await init(), true);
  await end();
});

test("what another tab sets is known, and listeners that left are not called", async () => {
  const { profile, ann, bob, toAnn, toBob, end } = await cast("settings");
  const [client, tab] = [await profile.client(ann, {}, IN_WORKER), await profile.client(ann)];
  await client.online();
  await tab.call("configure", { shareTyping: false });
  await until("it is known", async () => (await client.call("config")).shareTyping === false);
  await client.call("configure", { shareTyping: true });
  assert.equal((await client.call("config")).shareTyping, true);
  await client.run(({ client }) => {
    globalThis.heard = [];
    globalThis.off = client.on("messages", (changes) => heard.push(...changes));
  });
  await bob.send(toAnn, "heard");
  await until("it is heard", () => inPage(client.page, () => heard.length > 0));
  await inPage(client.page, () => off());
  await bob.send(toAnn, "not heard");
  await client.untilSent(toBob, 2);
  assert.deepEqual(await inPage(client.page, () => heard.map(({ message }) => message.content)), ["heard"]);
  await end();
});

test("push is enabled, renewed and disabled: the page subscribes for its worker", async () => {
  const service = await PushService.start();
  const pushing = await stage.server({ args: ["--push-service", service.origin] });
  const { public_key: key } = await pushing.call("GET", "/api/push");
  const profile = await stage.profile(pushing);
  const page = await profile.tab(IN_WORKER);
  await page.context().grantPermissions(["notifications"], { origin: pushing.origin });
  await subscribeTo(page, service.subscribe());
  const client = await profile.clientIn(page, "ann", { config: { pushNotificationSenderId: key } });
  await client.online();
  assert.equal(await client.call("pushRegistration"), null);
  await client.run(async ({ client }) => {
    await client.enablePush(await navigator.serviceWorker.register("./pkg/sw.js", { type: "module" }));
  });
  const isPushedTo = async () => (await client.call("devices"))[0].push;
  assert.equal(await isPushedTo(), true);
  const own = async ({ client }) => (await client.pushRegistration()) === (await navigator.serviceWorker.getRegistration("./pkg/"));
  assert.equal(await client.run(own), true, "the page's own registration");
  await client.call("renewPush");
  await client.call("disablePush");
  assert.equal(await isPushedTo(), false);
  assert.equal(await client.call("pushRegistration"), null);
  assert.deepEqual(profile.pageErrors, []);
  await profile.close();
  await service.end();
});

test("a catch-up keeps the page's main thread free", async (t) => {
  const ann = "ann, away";
  const device = await stage.profile(server);
  const known = await device.client(ann);
  await known.call("syncNow");
  await known.page.close();
  for (let from = 0; from < MISSED; from += 100) {
    const write = (_, at) => server.message(`peer ${at}`, `direct:${ann}`, `message ${from + at}`);
    await Promise.all(Array.from({ length: 100 }, write));
  }
  for (const [where, path] of [["in a worker", IN_WORKER], ["in the page", "/"]]) {
    const again = await stage.profile(server);
    const page = await again.tab(path);
    await inPage(page, () => tutti.init().then(() => true));
    const trace = await traceTasks(page);
    const client = await again.clientIn(page, ann);
    await client.call("syncNow");
    assert.equal((await client.call("conversations")).length, 100);
    const tasks = await trace.stop();
    const sum = tasks.reduce((sum, { cpu }) => sum + cpu, 0);
    const longest = Math.max(...tasks.map(({ cpu }) => cpu));
    t.diagnostic(`${where}: ${sum.toFixed(0)} ms of the main thread, the longest task ${longest.toFixed(1)} ms`);
    await again.close();
  }
});

/** Two browsers: Ann's, in which a scene is played, and Bob's. */
async function cast(scene, options) {
  const profiles = [await stage.profile(server, options), await stage.profile(server)];
  const [ann, bobs] = [`ann, ${scene}`, `bob, ${scene}`];
  const bob = await profiles[1].client(bobs);
  await bob.online();
  const end = async () => {
    for (const profile of profiles) {
      assert.deepEqual(profile.pageErrors, []);
      await profile.close();
    }
  };
  return { profile: profiles[0], ann, bob, toBob: `direct:${bobs}`, toAnn: `direct:${ann}`, end };
}

function leads(client) {
  return client.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");
}

function follows(client) {
  return client.untilStatus("following", ({ role, connection }) => role === "follower" && connection === "online");
}
