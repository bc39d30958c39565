// Web Push from the server to the notification, with a push service of the test's own.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PushService, deliver, deliverWhole, running, subscribeTo } from "./support/push-service.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let service, server, phone, key;

before(async () => {
  service = await PushService.start();
  server = await stage.server({ args: ["--push-service", service.origin, "--presence-grace", "0"] });
  await server.call("PUT", "/api/settings", { message_notifications: true });
  ({ public_key: key } = await server.call("GET", "/api/push"));
  phone = await stage.profile(server);
});
after(() => service.end());

/** A tab of a profile with a client for which push is on. */
async function subscribed(profile, account, subscription = service.subscribe()) {
  const page = await profile.tab();
  await page.context().grantPermissions(["notifications"], { origin: server.origin });
  await subscribeTo(page, subscription);
  const client = await profile.clientIn(page, account, { config: { pushNotificationSenderId: key } });
  await client.online();
  await enablePush(client);
  return client;
}

/** With the package's own worker, as it is. */
async function enablePush(client) {
  await client.page.evaluate(async () => {
    globalThis.worker = await navigator.serviceWorker.register("./pkg/sw.js", { type: "module" });
  });
  await until("the worker is there", () => client.page.evaluate(() => worker.active?.state === "activated"));
  await client.run(({ client }) => client.enablePush(worker));
}

/** Closes all pages of a profile but an empty one, and waits until the server knows. */
async function leave(client) {
  const { page, account } = client;
  const empty = await page.context().newPage();
  await page.close();
  await until(`${account} is away`, async () => !(await isConnected(client)));
  return empty;
}

async function isConnected({ account, deviceId }) {
  return (await server.connections(account)).some(({ device_id }) => device_id === deviceId);
}

/** What the browser shows, asked in the service worker. */
async function shown(page) {
  const worker = await running(page, server.origin);
  return worker.evaluate(async () =>
    (await registration.getNotifications()).map(({ title, body, tag }) => ({ title, body, tag })),
  );
}

test("N2 a message is pushed, sealed and signed, to a device of an account of which nobody is there", async () => {
  const client = await subscribed(phone, "ann");
  const [asked] = await client.page.evaluate(() => pushing.asked);
  assert.deepEqual(asked, { userVisibleOnly: true, applicationServerKey: key });
  const [device] = await client.call("devices");
  assert.equal(device.push, true);
  await leave(client);
  await server.message("bob", "direct:ann", "hello from bob");
  const push = await service.push();
  assert.ok(push.signer.good, "the signature holds");
  assert.equal(push.signer.key, key);
  assert.equal(push.signer.claims.aud, service.origin);
  assert.ok(push.signer.claims.exp - Date.now() / 1000 <= 86_400);
  assert.equal(push.headers["content-encoding"], "aes128gcm");
  // A day, less the time since it was notified of.
  assert.ok(push.headers.ttl > 86_300 && push.headers.ttl <= 86_400, push.headers.ttl);
  assert.equal(push.headers.urgency, "high");
  assert.ok(push.length <= 4096);
  const { account, token, notification } = JSON.parse(push.text).tutti;
  assert.equal(account, "ann");
  assert.equal(notification.title, "bob");
  assert.equal(notification.body, "hello from bob");
  assert.equal(notification.conversation, "direct:bob");
  assert.equal(notification.message, notification.id);
  // The token in it is for this device alone.
  const other = await stage.profile(server);
  const thief = await other.client("ann", { token });
  await thief.untilStatus("refused", ({ reason }) => reason === "auth");
  assert.equal(await thief.call("devices").catch(({ code }) => code), "offline");
});

test("N2 with all tabs closed a push shows one notification, and leaves the message in the store", async () => {
  const device = await stage.profile(server);
  const client = await subscribed(device, "cora");
  const before = service.pushes.length;
  const empty = await leave(client);
  await server.message("bob", "direct:cora", "come in");
  const { text } = await service.push(before);
  await deliver(empty, server.origin, text);
  const alerts = await until("it is shown", async () => {
    const alerts = await shown(empty);
    return alerts.length > 0 && alerts;
  });
  const { id } = JSON.parse(text).tutti.notification;
  assert.deepEqual(alerts, [{ title: "bob", body: "come in", tag: `tutti-${id}` }]);
  await until("the worker has let go", async () => (await server.connections("cora")).length === 0);
  // The same once more is the same notification.
  await deliver(empty, server.origin, text);
  assert.equal((await shown(empty)).length, 1);
  // Nothing is fetched by the page that comes later.
  await until("the worker has let go again", async () => (await server.connections("cora")).length === 0);
  const later = await device.client("cora", { token: "one that is no good" });
  const { messages } = await later.history("direct:bob");
  assert.deepEqual(messages.map(({ content }) => content), ["come in"]);
});

test("N3 with a tab in view nothing is shown, and what is dismissed elsewhere is closed", async () => {
  const device = await stage.profile(server);
  const subscription = service.subscribe();
  let client = await subscribed(device, "dora", subscription);
  const before = service.pushes.length;
  const empty = await leave(client);
  await server.message("bob", "direct:dora", "first");
  const first = await service.push(before);
  await deliver(empty, server.origin, first.text);
  await until("the first is shown", async () => (await shown(empty)).length === 1);
  const { id } = JSON.parse(first.text).tutti.notification;

  const other = await stage.profile(server);
  const laptop = await other.client("dora");
  await laptop.online();
  const page = await device.tab();
  await subscribeTo(page, subscription, { subscribed: true });
  await page.bringToFront();
  client = await device.clientIn(page, "dora", { config: { pushNotificationSenderId: key } });
  await client.online();
  // A push that was on its way when the tab was opened.
  const data = JSON.parse(first.text);
  await server.message("bob", "direct:dora", "second");
  const second = await until("it is told", async () =>
    (await client.call("notifications")).find(({ body }) => body === "second"),
  );
  data.tutti.notification = { ...data.tutti.notification, id: second.id, message: second.id, body: "second" };
  await deliverWhole(empty, server.origin, JSON.stringify(data));
  assert.deepEqual((await shown(page)).map(({ body }) => body), ["first"]);
  await laptop.call("markNotification", id, "dismissed");
  // By itself the browser closes what nobody looks at after some twenty seconds.
  await until("it is closed here", async () => (await shown(page)).length === 0, { within: 10_000 });
  assert.equal(service.pushes.length, before + 1, "no push while the account is active");
});

test("N3 what was read elsewhere while its push was on the way is not shown", async () => {
  const device = await stage.profile(server);
  const client = await subscribed(device, "ida");
  const before = service.pushes.length;
  const empty = await leave(client);
  await server.message("bob", "direct:ida", "read on the laptop");
  const { text } = await service.push(before);
  const { id } = JSON.parse(text).tutti.notification;
  const laptop = await (await stage.profile(server)).client("ida");
  await until("the laptop has it", async () => (await laptop.call("notifications")).some((one) => one.id === id));
  await laptop.call("markNotification", id, "read");
  await laptop.call("syncNow");
  await deliverWhole(empty, server.origin, text);
  assert.deepEqual(await shown(empty), []);
});

test("N3 nothing is pushed for what is muted, while somebody is there, or to a device that was removed", async () => {
  const device = await stage.profile(server);
  const client = await subscribed(device, "eve");
  const laptop = await (await stage.profile(server)).client("eve");
  await laptop.online();
  await laptop.call("setConversation", "direct:bob", { muted: true });
  await laptop.call("syncNow");
  const before = service.pushes.length;
  await leave(client);
  await server.message("bob", "direct:eve", "muted, and somebody is there");
  await server.message("carl", "direct:eve", "somebody is there");
  await until("both are here", async () => (await laptop.call("conversations")).length === 2);
  await laptop.page.close();
  await until("eve is away", async () => (await server.connections("eve")).length === 0);
  await server.message("bob", "direct:eve", "muted");
  await server.message("carl", "direct:eve", "to be pushed");
  const push = await service.push(before);
  assert.equal(JSON.parse(push.text).tutti.notification.body, "to be pushed");
  await server.call("DELETE", `/api/devices/${client.deviceId}?user_id=eve`);
  await server.message("carl", "direct:eve", "after the removal");
  const fay = await subscribed(await stage.profile(server), "fay");
  await leave(fay);
  await server.message("carl", "direct:fay", "the next push of all");
  const next = await service.push(before + 1);
  assert.equal(JSON.parse(next.text).tutti.account, "fay");
});

test("N2 a subscription that is no more is dropped, and push can be turned off", async () => {
  const device = await stage.profile(server);
  let client = await subscribed(device, "gina");
  const laptop = await (await stage.profile(server)).client("gina");
  const pushes = async () => (await laptop.call("devices")).map(({ push }) => push);
  assert.deepEqual((await pushes()).sort(), [false, true]);
  await laptop.call("setPresence", "away");
  await until("gina is away", async () => (await laptop.call("presence", "gina")).presence === "away");
  await client.call("disablePush");
  assert.deepEqual(await pushes(), [false, false]);
  assert.equal(await client.page.evaluate(() => pushing.subscribed), null);
  await client.page.close();
  client = await subscribed(device, "gina");
  assert.deepEqual((await pushes()).sort(), [false, true]);
  await client.call("setPresence", "away");
  await until("both are away", async () => (await laptop.call("presence", "gina")).presence === "away");
  const before = service.pushes.length;
  service.status = 410;
  const empty = await client.page.context().newPage();
  await client.page.close();
  await until("one is there", async () => (await server.connections("gina")).length === 1);
  await server.message("bob", "direct:gina", "gone");
  await service.push(before);
  await until("it is dropped", async () => (await pushes()).every((push) => !push));
  service.status = 201;
  await empty.close();
});

test("N2 a subscription that the browser has ended is followed by another, in a page that is open or in the next one", async () => {
  const device = await stage.profile(server);
  let client = await subscribed(device, "jill");
  const account = client.account;
  /** To which subscription a message is pushed. */
  const pushedTo = async () => {
    const before = service.pushes.length;
    await leave(client);
    await server.message("bob", `direct:${account}`, "hello");
    await service.push(before);
    return service.origin + service.pushes[before].path;
  };
  const open = async (subscription, is) => {
    const page = await device.tab();
    await subscribeTo(page, subscription, is);
    client = await device.clientIn(page, account, { config: { pushNotificationSenderId: key } });
    await client.online();
  };
  const renewed = (client) => until("push goes on", () => client.page.evaluate(() => pushing.subscribed !== null));

  const second = service.subscribe();
  await subscribeTo(client.page, second);
  const worker = await running(client.page, server.origin);
  await worker.evaluate(() => {
    // As the browser does it, which alone may keep a worker for it.
    const event = Object.assign(new ExtendableEvent("pushsubscriptionchange"), { waitUntil: () => {} });
    dispatchEvent(event);
  });
  await renewed(client);
  await client.call("syncNow");
  assert.equal(await pushedTo(), second.endpoint);

  const third = service.subscribe();
  await open(third);
  await renewed(client);
  await client.call("syncNow");
  assert.equal(await pushedTo(), third.endpoint);

  // What is there is told to the server again, which may have lost it.
  service.status = 410;
  await open(third, { subscribed: true });
  const laptop = await (await stage.profile(server)).client(account);
  const isPushed = async () => (await laptop.call("devices")).some(({ push }) => push);
  await leave(client);
  await laptop.call("setPresence", "away");
  await until("nobody is there", async () => (await laptop.call("presence", account)).presence === "away");
  await server.message("bob", `direct:${account}`, "gone");
  await until("it is dropped", async () => !(await isPushed()));
  service.status = 201;
  await open(third, { subscribed: true });
  await until("it is known again", isPushed);

  // Whoever has taken their leave back is not asked again.
  await client.page.context().clearPermissions();
  await subscribeTo(client.page, service.subscribe());
  await client.run(({ client }) => client.renewPush());
  assert.deepEqual(await client.page.evaluate(() => pushing.asked), []);
});

test("N2 what cannot be is refused with a reason", async () => {
  const page = await phone.tab();
  await subscribeTo(page, { ...service.subscribe(), endpoint: "https://127.0.0.1/inward" });
  const client = await phone.clientIn(page, "hugo");
  await client.online();
  const enable = () =>
    enablePush(client).then(
      () => "enabled",
      ({ code }) => code,
    );
  assert.equal(await enable(), "invalid", "no key is set");
  await client.call("configure", { pushNotificationSenderId: key });
  assert.equal(await enable(), "forbidden", "the server does not push there");
  await page.evaluate(() => {
    PushManager.prototype.getSubscription = async () => null;
    PushManager.prototype.subscribe = () => Promise.reject(new DOMException("no", "NotAllowedError"));
  });
  assert.equal(await enable(), "forbidden", "the user does not want it");
  assert.equal(await client.run(({ client }) => client.enablePush({})).catch(({ code }) => code), "invalid");
});
