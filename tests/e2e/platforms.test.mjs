// Who may be online at once: by platform, as the operator has set.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { leave } from "./support/cast.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server, browsers;

/** Minutes between polls: three seconds. */
const config = { syncInterval: 0.05 };
const polls = ({ connection, reason }) => connection === "polling" && reason === "connection-limit";

before(async () => {
  server = await stage.server();
  browsers = await stage.profiles(server, 3);
});
after(() => {
  for (const { pageErrors } of browsers) assert.deepEqual(pageErrors, []);
});

for (const platform of ["mobile", "desktop", "miniprogram"]) {
  test(`D4 a second ${platform} replaces the first, which does not fight back`, async () => {
    const account = `ann with two of ${platform}`;
    const come = (at, kind = platform) => open(at, account, kind);
    const bystander = await come(2, "web");
    const first = await come(0);
    const follower = await browsers[0].client(account, { config, device: { name: "Browser 0", platform } });
    await follower.online();
    const second = await come(1);
    for (const tab of [first, follower]) {
      await tab.untilStatus("polling", polls);
      const [{ event }] = await until("the limit is told", async () => {
        const limits = await tab.log("connection-limit");
        return limits.length > 0 && limits;
      });
      assert.equal(event.limit, 1);
      const [holder, ...others] = event.connections;
      assert.deepEqual([holder.deviceId, holder.name, holder.platform], [second.deviceId, "Browser 1", platform]);
      assert.deepEqual(others, []);
    }

    // It asks for a place again and again, each time in vain, and hears and says all meanwhile.
    const asked = first.page.sockets.length + follower.page.sockets.length;
    const asks = () => first.page.sockets.length + follower.page.sockets.length;
    await until("it has asked three times more", () => asks() >= asked + 3);
    await second.send("direct:bob", "from the second");
    await first.send("direct:bob", "from the first");
    for (const client of [first, follower, second, bystander]) await client.untilSent("direct:bob", 2);
    assert.ok(polls(await first.status()));
    assert.equal(second.page.sockets.length, 1, "the second was never disturbed");
    assert.equal(bystander.page.sockets.length, 1, "nor was another platform");

    // Whoever leads the profile next knows that it had to give way.
    const [leader, other] = (await first.status()).role === "leader" ? [first, follower] : [follower, first];
    await leader.page.close();
    await other.untilStatus("leader", ({ role }) => role === "leader");
    await other.untilStatus("polling", polls);
    await other.call("syncNow");
    assert.equal(second.page.sockets.length, 1);

    // Its user may want it all the same; then it is the second that waits, until there is a place.
    await other.call("takeOver", second.deviceId);
    await other.online();
    await second.untilStatus("polling", polls);
    await leave([other]);
    await second.online();
    assert.equal((await server.connections(account)).length, 2);
    await leave([second, bystander]);
  });
}

test("D4 the limits are the operator's: more of a platform, and fewer again at once", async () => {
  const account = "ann with a tablet";
  const [phone, tablet] = await within({ mobile: 2 }, async () => {
    const phone = await open(0, account, "mobile");
    const tablet = await open(1, account, "mobile");
    assert.equal((await server.connections(account)).length, 2);
    // The third replaces the oldest.
    const third = await open(2, account, "mobile");
    await phone.untilStatus("polling", polls);
    const [{ event }] = await phone.log("connection-limit");
    assert.deepEqual(event.connections.map(({ deviceId }) => deviceId), [tablet.deviceId, third.deviceId]);
    await leave([third]);
    await phone.online();
    return [phone, tablet];
  });
  // Back to one: who came first goes, and comes back when more are allowed.
  await tablet.untilStatus("polling", polls);
  assert.equal((await phone.status()).connection, "online");
  await within({ mobile: 2 }, () => tablet.online());
  await leave([phone, tablet]);
});

test("D4 each platform has places of its own", async () => {
  const account = "ann with one of each";
  const kinds = ["mobile", "desktop", "miniprogram"];
  const clients = [];
  for (const [at, platform] of kinds.entries()) clients.push(await open(at, account, platform));
  const web = await browsers[0].client(`${account}, on the web`, { config, device: { platform: "web" } });
  await web.online();
  const platforms = (await server.connections(account)).map(({ platform }) => platform);
  assert.deepEqual(platforms, kinds);
  for (const client of clients) assert.deepEqual(await client.log("connection-limit"), []);
  await leave([...clients, web]);
});

/** Comes with a browser that says what it is. */
async function open(at, account, platform) {
  const client = await browsers[at].client(account, { config, device: { name: `Browser ${at}`, platform } });
  await client.online();
  return client;
}

/** Does something while the limits are these. */
async function within(limits, body) {
  const set = (limits) => server.call("PUT", "/api/settings", { limits });
  await set(limits);
  try {
    return await body();
  } finally {
    await set({ mobile: 1, desktop: 1, miniprogram: 1, web: 10 });
  }
}
