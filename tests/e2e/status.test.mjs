// What reaches only the devices that are online at that moment: typing, presence, and what the application says.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

/** Two accounts with two devices each; Ann's laptop and Bob's have two tabs. They know each other. */
async function scene() {
  const server = await stage.server();
  const profiles = await stage.profiles(server, 4);
  const [annLaptop, annPhone, bobLaptop, bobPhone] = profiles;
  const ann = [await annLaptop.client("ann"), await annLaptop.client("ann"), await annPhone.client("ann")];
  const bob = [await bobLaptop.client("bob"), await bobLaptop.client("bob"), await bobPhone.client("bob")];
  for (const client of [...ann, ...bob]) await client.online();
  await ann[0].send("direct:bob", "hi");
  for (const client of bob) await client.untilSent("direct:ann", 1);
  return { server, profiles, ann, bob };
}

/** What a client was told, without when. */
const told = async (client, kind) => (await client.log(kind)).map(({ event }) => event);

/** Waits until a client was told so much. */
const untilTold = (client, kind, count) =>
  until(`${client.account} is told ${kind} ${count} times`, async () => {
    const events = await told(client, kind);
    return events.length >= count && events;
  });

const untilPresence = (client, account, holds) =>
  until(`${client.account} sees how ${account} is`, async () => {
    const events = (await told(client, "presence")).filter((event) => event.account === account);
    return events.length > 0 && holds(events.at(-1)) && events.at(-1);
  });

test("S1 typing shows in every tab and device, mirrored and at the other member, and expires by itself", async () => {
  const { server, profiles, ann, bob } = await scene();
  const leads = await Promise.all(ann.map(async (client) => (await client.status()).role === "leader"));
  const follower = ann[leads[0] ? 1 : 0];
  await follower.call("setTyping", "direct:bob");
  const begins = { conversation: "direct:ann", account: "ann", typing: true };
  for (const client of bob) assert.deepEqual(await untilTold(client, "typing", 1), [begins]);
  const mirrored = { conversation: "direct:bob", account: "ann", typing: true };
  assert.deepEqual(await untilTold(ann[2], "typing", 1), [mirrored]);
  for (const client of bob) {
    assert.deepEqual((await untilTold(client, "typing", 2))[1], { ...begins, typing: false });
    const [first, last] = await client.log("typing");
    const lasted = last.at - first.at;
    assert.ok(lasted > 4_000 && lasted < 9_000, `it lasted ${lasted} ms`);
  }
  // While it goes on it does not end, and the message ends it.
  for (let step = 0; step < 16; step += 1) {
    await follower.call("setTyping", "direct:bob", true);
    await new Promise((resume) => setTimeout(resume, 500));
  }
  for (const client of bob) assert.deepEqual((await told(client, "typing")).slice(2), [begins]);
  await follower.send("direct:bob", "there");
  for (const client of bob) assert.deepEqual((await untilTold(client, "typing", 4))[3].typing, false);

  await server.call("PUT", "/api/groups/team", { members: ["ann", "bob"] });
  await bob[2].call("setTyping", "group:team", true);
  await bob[2].call("setTyping", "group:team", false);
  for (const client of ann.slice(0, 2)) {
    assert.deepEqual(await untilTold(client, "typing", 2), [
      { conversation: "group:team", account: "bob", typing: true },
      { conversation: "group:team", account: "bob", typing: false },
    ]);
  }
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
});

test("S2 presence of accounts and their devices follows what is set and who is connected", async () => {
  const { profiles, ann, bob } = await scene();
  const online = { account: "ann", presence: "online", lastSeen: null, platforms: ["web"] };
  for (const client of bob) assert.deepEqual(await client.call("presence", "ann"), online);
  await ann[1].call("setPresence", "busy");
  for (const client of bob) await untilPresence(client, "ann", ({ presence }) => presence === "busy");
  await ann[2].call("setPresence", "invisible");
  const hidden = await untilPresence(bob[1], "ann", ({ presence }) => presence === "offline");
  assert.deepEqual(hidden.platforms, []);
  const own = await untilPresence(ann[0], "ann", ({ invisible }) => invisible === true);
  assert.equal(own.presence, "offline");
  await ann[2].call("setPresence", "away");
  await untilPresence(bob[0], "ann", ({ presence }) => presence === "away");

  await profiles[0].kill();
  await profiles[1].kill();
  const gone = await untilPresence(bob[2], "ann", ({ presence }) => presence === "offline");
  assert.ok(Math.abs(gone.lastSeen - Date.now()) < 60_000, `${gone.lastSeen}`);
  assert.deepEqual(await bob[0].call("presence", "ann"), gone);
  const nobody = { account: "nobody", presence: "offline", lastSeen: null, platforms: [] };
  assert.deepEqual(await bob[0].call("presence", "nobody"), nobody);
  await bob[0].setOffline(true);
  await bob[0].untilStatus("offline", ({ connection }) => connection === "offline");
  await assert.rejects(bob[1].call("presence", "ann"), { code: "offline", retryable: true });
});

test("S3 a custom status comes from clients and from the back end, one-to-one and in groups", async () => {
  const { server, ann, bob } = await scene();
  await server.call("PUT", "/api/groups/team", { members: ["ann", "bob"] });
  await ann[1].call("sendStatus", "direct:bob", "wave", { with: ["both", "hands"] });
  const wave = { account: "ann", type: "wave", content: { with: ["both", "hands"] } };
  for (const client of bob) {
    assert.deepEqual(await untilTold(client, "custom-status", 1), [{ conversation: "direct:ann", ...wave }]);
  }
  assert.deepEqual(await untilTold(ann[2], "custom-status", 1), [{ conversation: "direct:bob", ...wave }]);

  const call = (body) => server.call("POST", "/api/status", { from: "ann", type: "note", content: 1, ...body });
  await call({ to: "direct:bob" });
  await call({ to: "group:team" });
  for (const client of bob) {
    const events = await untilTold(client, "custom-status", 3);
    assert.deepEqual(
      events.slice(1).map(({ conversation }) => conversation),
      ["direct:ann", "group:team"],
    );
  }
  assert.equal((await told(ann[2], "custom-status")).length, 1, "the sender is not included");
  await call({ to: "group:team", isIncludeSender: true });
  const note = { conversation: "group:team", account: "ann", type: "note", content: 1 };
  for (const client of [ann[0], ann[1], ann[2]]) {
    assert.deepEqual((await untilTold(client, "custom-status", 1)).at(-1), note);
    await until("all tabs of the sender are told", async () => {
      const events = await told(client, "custom-status");
      return events.at(-1)?.type === "note";
    });
  }

  const wrong = [
    ["setTyping", "nobody"],
    ["setTyping", "direct:bob", "yes"],
    ["setPresence", "offline"],
    ["setPresence"],
    ["sendStatus", "direct:bob", "", 1],
    ["sendStatus", "bob", "wave", 1],
    ["sendStatus", "direct:bob", "wave"],
    ["presence", ""],
    ["presence", 7],
  ];
  for (const [method, ...args] of wrong) {
    await assert.rejects(ann[0].call(method, ...args), { code: "invalid", isSyncError: true }, `${method} ${args}`);
  }
  await assert.rejects(ann[0].call("sendStatus", "direct:bob", "wave", "x".repeat(32 * 1024)), { code: "too-large" });
});

test("S4 whoever is offline misses all of it, for good", async () => {
  const { profiles, ann, bob } = await scene();
  await bob[2].setOffline(true);
  await bob[2].untilStatus("offline", ({ connection }) => connection === "offline");
  await ann[0].call("setTyping", "direct:bob");
  await ann[0].call("sendStatus", "direct:bob", "wave", "missed");
  await untilTold(bob[0], "custom-status", 1);
  await bob[2].setOffline(false);
  await bob[2].online();
  await bob[2].call("syncNow");
  // Nor does what is said offline come later.
  await ann[2].setOffline(true);
  await ann[2].untilStatus("offline", ({ connection }) => connection === "offline");
  await ann[2].call("sendStatus", "direct:bob", "wave", "never said");
  await ann[2].setOffline(false);
  await ann[2].online();
  await ann[2].call("syncNow");
  await ann[2].call("sendStatus", "direct:bob", "wave", "said");
  assert.deepEqual(
    (await untilTold(bob[2], "custom-status", 1)).map(({ content }) => content),
    ["said"],
  );
  const later = await profiles[3].client("bob");
  await later.online();
  await later.call("syncNow");
  assert.deepEqual([await told(later, "custom-status"), await told(later, "typing")], [[], []]);
  const { messages } = await later.history("direct:ann");
  assert.deepEqual(
    messages.map(({ content }) => content),
    ["hi"],
  );
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
});
