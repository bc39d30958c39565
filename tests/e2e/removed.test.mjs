// D3, faults 61 and 62: a device that was removed is cut off at once, or as soon as it is heard of again. Nothing of the
// account is left on it then, and its old token lets nobody in.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { away, leave } from "./support/cast.mjs";
import { contents } from "./support/messages.mjs";
import { Eavesdropper, remains, untilNothingRemains } from "./support/remains.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

/** Within how many milliseconds a device that is online has to be cut off. */
const AT_ONCE = 1_000;

const stage = new Stage();
after(() => stage.clear());
let server, phones, bobs, strangers;

before(async () => {
  server = await stage.server();
  phones = await stage.profile(server);
  bobs = await stage.profile(server);
  strangers = await stage.profile(server);
});
after(() => {
  for (const { pageErrors } of [phones, bobs, strangers]) assert.deepEqual(pageErrors, []);
});

for (const engine of ["chromium", "firefox", "webkit"]) {
  test(`D3 ${engine}: a device that is removed while it is online is cut off at once, and keeps nothing`, async (t) => {
    const scene = await cast(engine, "online");
    const { laptops, tabs, phone, bob, ann, toBob, toAnn, token } = scene;
    const [{ page: probe }, ...others] = tabs;
    const stranger = await laptops.tab("/odd.html");
    const pages = tabs.map(({ page }) => page);
    const eavesdropper = await Eavesdropper.among(ann, pages, probe, stranger);
    const [{ deviceId }] = tabs;
    assert.equal(others.length, 2);
    assert.deepEqual(await remains(stranger, ann), { databases: 1, locks: 3 });

    const asked = Date.now();
    await phone.call("removeDevice", deviceId);
    const answered = Date.now();
    await until("its connection is closed", () => isGone(ann, deviceId), { every: 5 });
    const closed = Date.now();
    const told = await Promise.all(tabs.map((tab) => removal(tab)));
    for (const { by } of told) assert.equal(by, phone.deviceId, "all tabs are told, and by which device");
    const last = Math.round(Math.max(...told.map(({ at }) => at)));
    t.diagnostic(
      `answered after ${answered - asked} ms, cut off after ${closed - asked} ms, and all three tabs told after ${last - asked} ms`,
    );
    assert.ok(closed - asked < AT_ONCE, "it is cut off at once");

    await untilNothingRemains(stranger, ann);
    await eavesdropper.isAlone();
    for (const tab of tabs) {
      const { connection, reason } = await tab.status();
      assert.deepEqual([connection, reason], ["closed", "revoked"]);
      await everyCallIsRefused(tab, { toBob, deviceId: phone.deviceId });
      assert.equal((await tab.log("removed")).length, 1, "it is told once");
    }
    // It is gone from the list, and what it has sent stays.
    assert.deepEqual((await phone.call("devices")).map(({ id }) => id), [phone.deviceId]);
    assert.deepEqual(contents(await phone.untilSent(toBob, 3)), scene.said);

    // Its token is good for nothing: not here, nor in another profile, nor for a device without a lasting id.
    for (const [profile, config] of [[laptops], [strangers], [strangers, { disableDeviceId: true }]]) {
      const visitor = await profile.client(ann, { token, config });
      await visitor.untilStatus("refused", ({ connection, reason }) => connection === "offline" && reason === "revoked");
      assert.notEqual(visitor.deviceId, deviceId);
      assert.deepEqual(await visitor.call("conversations"), []);
      assert.deepEqual(await visitor.log("removed"), [], "it was never let in, and so was not removed");
      await visitor.call("erase");
      await leave([visitor]);
    }
    assert.equal(await httpStatus(ann, token), 401);
    assert.deepEqual((await server.connections(ann)).map(({ device_id }) => device_id), [phone.deviceId]);
    assert.deepEqual((await phone.call("devices")).map(({ id }) => id), [phone.deviceId]);

    // Whoever signs in again has a new device, with all that the account has.
    const again = await laptops.client(ann);
    await again.online();
    assert.notEqual(again.deviceId, deviceId);
    assert.deepEqual(contents(await again.untilSent(toBob, 3)), scene.said);
    await again.send(toBob, "from the new device");
    await bob.untilSent(toAnn, 4);
    assert.deepEqual((await phone.call("devices")).map(({ id }) => id), [phone.deviceId, again.deviceId]);
    await end(scene, [again]);
  });

  test(`D3 ${engine}: a device that is removed while it is offline erases itself when it comes again`, async () => {
    const scene = await cast(engine, "offline");
    const { laptops, tabs, phone, bob, ann, toBob, toAnn } = scene;
    const [{ deviceId }] = tabs;
    const stranger = await laptops.tab();
    await away(tabs[0]);
    for (const [at, tab] of tabs.entries()) {
      await tab.untilStatus("offline", ({ workingOffline }) => workingOffline);
      await tab.send(toBob, `never sent ${at}`);
    }
    await until("it is away", () => isGone(ann, deviceId));
    await phone.call("removeDevice", deviceId);
    for (const tab of tabs) {
      // Nobody can know of it yet: what is here can be used.
      assert.equal((await tab.messages(toBob)).length, 3 + tabs.length);
      assert.deepEqual(await tab.log("removed"), []);
    }
    await tabs[1].setOffline(false);
    for (const tab of tabs) assert.equal((await removal(tab)).by, phone.deviceId);
    await untilNothingRemains(stranger, ann);
    for (const tab of tabs) {
      assert.equal((await tab.status()).reason, "revoked");
      await everyCallIsRefused(tab, { toBob, deviceId });
    }
    const again = await laptops.client(ann);
    await again.online();
    assert.notEqual(again.deviceId, deviceId);
    await again.send(toBob, "the end");
    // What was on its way when it was removed is sent by nobody.
    for (const client of [again, phone]) assert.deepEqual(contents(await client.untilSent(toBob, 4)), [...scene.said, "the end"]);
    assert.deepEqual(contents(await bob.untilSent(toAnn, 4)), [...scene.said, "the end"]);
    await end(scene, [again]);
  });
}

for (const [way, remove, by] of [
  ["itself, from the tab that leads", ({ leader }) => leader.call("removeDevice", leader.deviceId), "itself"],
  ["itself, from a tab that follows", ({ follower }) => follower.call("removeDevice", follower.deviceId), "itself"],
  ["the back end, over HTTP", ({ leader, ann }) => server.call("DELETE", path(leader, ann)), null],
  ["the user, over HTTP", ({ leader, ann }) => asUser(leader, ann), null],
]) {
  test(`D3 fault 61: a device is removed by ${way}`, async (t) => {
    const scene = await cast("chromium", `by ${way}`);
    const { tabs, ann, phone, laptops } = scene;
    const roles = await Promise.all(tabs.map((tab) => tab.status()));
    const [leader, follower] = ["leader", "follower"].map((role) => tabs[roles.findIndex((it) => it.role === role)]);
    const { deviceId } = leader;
    const asked = Date.now();
    await remove({ leader, follower, ann });
    await until("its connection is closed", () => isGone(ann, deviceId), { every: 5 });
    t.diagnostic(`cut off after ${Date.now() - asked} ms`);
    assert.ok(Date.now() - asked < AT_ONCE);
    for (const tab of tabs) assert.equal((await removal(tab)).by, by === "itself" ? deviceId : null);
    await untilNothingRemains(tabs[0].page, ann);
    const again = await laptops.client(ann);
    await again.online();
    assert.notEqual(again.deviceId, deviceId);
    assert.deepEqual(contents(await again.untilSent(scene.toBob, 3)), scene.said);
    assert.deepEqual((await phone.call("devices")).map(({ id }) => id), [phone.deviceId, again.deviceId]);
    await end(scene, [again]);
  });
}

test("D3 fault 62: a browser that was closed when it was removed erases what it has once it is opened again", async () => {
  const scene = await cast("chromium", "closed");
  const { laptops, tabs, phone, bob, ann, toBob, toAnn } = scene;
  const [{ deviceId }] = tabs;
  await away(tabs[0]);
  await tabs[0].send(toBob, "never sent");
  await laptops.close();
  await until("it is away", () => isGone(ann, deviceId));
  await server.call("DELETE", path({ deviceId }, ann));
  await laptops.start();

  // Its token has expired meanwhile. That is no way to keep what it has.
  const expired = await server.call("POST", "/api/tokens", { account: ann, ttl_seconds: 1 });
  await until("the token has expired", () => Date.now() > expired.expires_at);
  const back = await laptops.client(ann, { token: expired.token });
  assert.equal((await removal(back)).by, null);
  await untilNothingRemains(back.page, ann);
  const again = await laptops.client(ann);
  await again.online();
  assert.notEqual(again.deviceId, deviceId);
  await again.send(toBob, "the end");
  for (const client of [again, phone]) assert.deepEqual(contents(await client.untilSent(toBob, 4)), [...scene.said, "the end"]);
  assert.deepEqual(contents(await bob.untilSent(toAnn, 4)), [...scene.said, "the end"]);
  await leave([again, phone, bob, back]);
  assert.deepEqual(laptops.pageErrors, []);
});

test("D3 fault 62: a device that polls, for want of a place, learns of it at its next poll", async () => {
  const ann = "ann, polling";
  const [first, second] = await stage.profiles(server, 2);
  // Three seconds.
  const config = { syncInterval: 0.05 };
  const holder = await first.client(ann, { config, device: { platform: "mobile" } });
  await holder.online();
  const phone = await second.client(ann, { config, device: { platform: "mobile" } });
  await phone.online();
  await holder.untilStatus("polling", ({ connection }) => connection === "polling");
  assert.deepEqual((await phone.call("devices")).map(({ id }) => id), [holder.deviceId, phone.deviceId]);
  await phone.call("removeDevice", holder.deviceId);
  assert.equal((await removal(holder)).by, phone.deviceId);
  await untilNothingRemains(holder.page, ann);
  await leave([holder, phone]);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("D3 devices that share a token do not fall together, and a removed one does not come back with it", async () => {
  const ann = "ann, one token";
  const token = await server.token(ann);
  const [laptop, phone] = [await strangers.client(ann, { token }), await phones.client(ann, { token })];
  for (const client of [laptop, phone]) await client.online();
  await phone.call("removeDevice", laptop.deviceId);
  await removal(laptop);
  // It goes on with its token, and comes back with it.
  await phone.setOffline(true);
  await phone.untilStatus("offline", ({ connection }) => connection === "offline");
  await phone.setOffline(false);
  await phone.online();
  const again = await strangers.client(ann, { token });
  await again.untilStatus("refused", ({ connection, reason }) => connection === "offline" && reason === "revoked");
  // One whose back end gives it another is let in by itself.
  const fresh = await server.token(ann);
  await again.call("erase");
  const third = await strangers.client(ann, { token: fresh });
  await third.online();
  assert.equal((await server.connections(ann)).length, 2);
  await leave([laptop, phone, again, third]);
});

/** Ann’s device that is to go, with three tabs, and another of hers; all have said something to Bob, or he to them. */
async function cast(engine, name) {
  const laptops = await stage.profile(server, { engine });
  const [ann, bobName] = [`ann, ${engine}, ${name}`, `bob, ${engine}, ${name}`];
  const bob = await bobs.client(bobName);
  const phone = await phones.client(ann);
  const [toBob, toAnn] = [`direct:${bobName}`, `direct:${ann}`];
  for (const client of [bob, phone]) await client.online();
  const token = await server.token(ann);
  const tabs = [];
  for (const at of ["/odd.html", "/", "/"]) tabs.push(await laptops.client(ann, { token }, at));
  for (const tab of tabs) await tab.online();
  await tabs[1].send(toBob, "from the laptop");
  await tabs[1].untilSent(toBob, 1);
  await phone.send(toBob, "from the phone");
  await phone.untilSent(toBob, 2);
  await bob.untilSent(toAnn, 2);
  await bob.send(toAnn, "from Bob");
  const said = ["from the laptop", "from the phone", "from Bob"];
  for (const client of [...tabs, phone, bob]) await client.untilSent(client === bob ? toAnn : toBob, 3);
  return { laptops, tabs, phone, bob, ann, bobName, toBob, toAnn, token, said };
}

/** Waits until a tab is told that its device was removed: by which, and when, in absolute time. */
async function removal(tab) {
  const [{ at, event }] = await until("it is told that it was removed", async () => {
    const told = await tab.log("removed");
    return told.length > 0 && told;
  });
  return { by: event.by, at: (await tab.run(() => performance.timeOrigin)) + at };
}

function path({ deviceId }, account) {
  return `/api/devices/${encodeURIComponent(deviceId)}?user_id=${encodeURIComponent(account)}`;
}

async function asUser(device, account) {
  const headers = { authorization: `Bearer ${await server.token(account)}` };
  const response = await fetch(server.origin + path(device, account), { method: "DELETE", headers });
  assert.equal(response.status, 204);
}

async function isGone(account, deviceId) {
  return (await server.connections(account)).every(({ device_id }) => device_id !== deviceId);
}

/** What the HTTP API answers to a user's token. */
async function httpStatus(account, token) {
  const path = `/api/devices?user_id=${encodeURIComponent(account)}`;
  const { status } = await fetch(server.origin + path, { headers: { authorization: `Bearer ${token}` } });
  return status;
}

async function everyCallIsRefused(tab, { toBob, deviceId }) {
  const id = "01890a5d-ac96-774b-bcce-b302099a8057";
  const calls = [
    ...[["send", toBob, "x"], ["edit", id, "x"], ["recall", id], ["retry", id], ["discard", id], ["message", id]],
    ...[["history", toBob], ["search", "laptop"], ["conversations"], ["conversation", toBob], ["markRead", toBob]],
    ...[["setConversation", toBob, { pinned: true }], ["setSession", "key", { a: 1 }], ["session", "key"], ["sessions"]],
    ...[["notifications"], ["markNotification", id, "read"], ["pushRegistration"], ["renewPush"], ["disablePush"], ["presence", "bob"]],
    ...[["devices"], ["renameDevice", deviceId, "x"], ["removeDevice", deviceId], ["takeOver", id], ["syncNow"]],
    ...[["configure", { shareTyping: false }], ["erase"], ["erase", { revoke: true }]],
  ];
  const answers = await tab.run(async ({ client }, calls) => {
    const answer = ([method, ...given]) =>
      client[method](...given).then(
        () => `${method}: done`,
        (error) => `${method}: ${error instanceof tutti.SyncError && error.code}, ${error.retryable}`,
      );
    return Promise.all(calls.map(answer));
  }, calls);
  assert.deepEqual(answers, calls.map(([method]) => `${method}: revoked, false`));
  await tab.close();
}

async function end({ laptops, tabs, phone, bob }, more) {
  await leave([...more, ...tabs, phone, bob]);
  assert.deepEqual(laptops.pageErrors, []);
  await laptops.close();
}
