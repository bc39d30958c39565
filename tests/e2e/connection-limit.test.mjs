// Fault 37: an account has ten places for connections from the web. The eleventh profile is told, polls,
// and may take a place over; nobody is shut out and nobody loops.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { contents } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const PLACES = 10;
/** Minutes between polls: three seconds. */
const config = { syncInterval: 0.05 };
/** For how long the server keeps a place without a sign of life, in milliseconds. */
const LEASE = 45_000;

const stage = new Stage();
after(() => stage.clear());

test("fault 37: the eleventh profile polls, takes a place over, and the robbed one polls", async (t) => {
  const server = await stage.server();
  const profiles = await stage.profiles(server, PLACES + 1);
  const bob = await (await stage.profile(server)).client("bob");
  const clients = [];
  for (const [at, profile] of profiles.entries()) {
    clients.push(await profile.client("ann", { config, device: { name: `Browser ${at}` } }));
    if (at < PLACES) await clients[at].online();
  }
  const eleventh = clients[PLACES];
  const follower = await profiles[PLACES].client("ann", { config });

  const polls = ({ connection, reason }) => connection === "polling" && reason === "connection-limit";
  for (const tab of [eleventh, follower]) {
    await tab.untilStatus("polling", polls);
    const [{ event }] = await until("the limit is told", async () => {
      const told = await tab.log("connection-limit");
      return told.length > 0 && told;
    });
    assert.equal(event.limit, PLACES);
    assert.deepEqual(
      event.connections.map(({ deviceId }) => deviceId),
      clients.slice(0, PLACES).map(({ deviceId }) => deviceId),
    );
    for (const [at, { name, platform, since }] of event.connections.entries()) {
      assert.deepEqual([name, platform], [`Browser ${at}`, "web"]);
      assert.ok(Number.isSafeInteger(since) && since > 0);
    }
  }
  assert.equal((await server.connections("ann")).length, PLACES);

  await bob.send("direct:ann", "can you hear me?");
  for (const tab of [eleventh, follower]) await tab.untilSent("direct:bob", 1);
  await follower.send("direct:bob", "every three seconds");
  await eleventh.send("direct:bob", "all of it");
  const heard = await bob.untilSent("direct:ann", 3);
  assert.deepEqual(contents(heard), ["can you hear me?", "every three seconds", "all of it"]);
  await eleventh.call("syncNow");
  assert.ok(polls(await eleventh.status()));
  // A poll is a try for a place and, in vain, some posts; the sockets of both tabs tell how many tries.
  const tries = [eleventh, follower].flatMap(({ page }) => page.sockets).length;
  const seconds = await eleventh.run(({ begun }) => (performance.now() - begun) / 1_000);
  t.diagnostic(`the eleventh asked for a place ${tries} times in ${seconds.toFixed(0)} s`);
  assert.ok(tries <= seconds / 3 + 5, "no loop");

  await assert.rejects(eleventh.call("takeOver", eleventh.deviceId), { code: "connection-limit" });
  await assert.rejects(eleventh.call("takeOver", "nobody"), { code: "invalid" });
  const robbed = clients[3];
  await follower.call("takeOver", robbed.deviceId);
  for (const tab of [eleventh, follower]) await tab.online();
  await robbed.untilStatus("polling", polls);
  assert.equal((await robbed.log("connection-limit")).length, 1);
  const devices = (await server.connections("ann")).map(({ device_id }) => device_id);
  assert.ok(devices.includes(eleventh.deviceId) && !devices.includes(robbed.deviceId));
  await bob.send("direct:ann", "and now?");
  await robbed.untilSent("direct:bob", 4);
  assert.ok(polls(await robbed.status()), "it polls, and does not rob back");

  const start = performance.now();
  await profiles[7].kill();
  await robbed.online({ within: LEASE + 30_000 });
  t.diagnostic(`a killed profile's place was another's after ${Math.round(performance.now() - start)} ms`);
  const held = (await server.connections("ann")).map(({ device_id }) => device_id);
  assert.equal(held.length, PLACES);
  assert.ok(!held.includes(clients[7].deviceId));
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
});

test("however often a profile's leader changes, it holds one place", async () => {
  const server = await stage.server();
  const profile = await stage.profile(server);
  let tabs = await Promise.all([1, 2, 3].map(() => profile.client("ann")));
  const most = [];
  for (let round = 0; round < 5; round += 1) {
    for (const tab of tabs) await tab.online();
    const statuses = await Promise.all(tabs.map((tab) => tab.status()));
    const leader = tabs[statuses.findIndex(({ role }) => role === "leader")];
    const closing = leader.page.close();
    most.push((await server.connections("ann")).length);
    await closing;
    tabs = [...tabs.filter((tab) => tab !== leader), await profile.client("ann")];
    most.push((await server.connections("ann")).length);
  }
  assert.ok(Math.max(...most) <= 1, `${most}`);
});
