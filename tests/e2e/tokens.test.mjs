// Fault 36: tokens expire in mid-stream. Who can fetch another is not interrupted; who cannot is told, and loses nothing.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { leave } from "./support/cast.mjs";
import { Client, inPage } from "./support/client.mjs";
import { contents, numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

/** How long a connection has to stand while its tokens last a second each. */
const FOR = 10_000;

const stage = new Stage();
after(() => stage.clear());
let server, profile, bobs;

before(async () => {
  server = await stage.server();
  [profile, bobs] = await stage.profiles(server, 2);
});
after(() => {
  for (const { pageErrors } of [profile, bobs]) assert.deepEqual(pageErrors, []);
});

test("fault 36: tokens that last a second keep one connection, in which nothing is interrupted", async (t) => {
  const [tab, follower] = [await fetching("ann", 1), await fetching("ann", 1)];
  const bob = await bobs.client("bob");
  for (const client of [tab, follower, bob]) await client.online();
  const [{ since }] = await server.connections("ann");
  const began = Date.now();
  const texts = [];
  await until("ten seconds are over", async () => {
    texts.push(`text ${texts.length + 1}`);
    await follower.send("direct:bob", texts.at(-1));
    return Date.now() - began > FOR;
  }, { every: 250 });
  assert.deepEqual(contents(await bob.untilSent("direct:ann", texts.length)), texts);
  for (const client of [tab, follower]) {
    assert.deepEqual(contents(await client.untilSent("direct:bob", texts.length)), texts);
    const statuses = (await client.log("status")).map(({ event }) => event);
    const first = statuses.findIndex(({ connection }) => connection === "online");
    const interrupted = statuses.slice(first).filter(({ connection }) => connection !== "online");
    assert.deepEqual(interrupted, [], "it was online all the time");
    assert.deepEqual(await client.log("error"), []);
  }
  const [connection, ...others] = await server.connections("ann");
  assert.deepEqual([connection.since, others], [since, []], "it is the same connection");
  const sockets = [tab, follower].flatMap(({ page }) => page.sockets);
  assert.equal(sockets.length, 1, "there was only one");
  const fetched = (await Promise.all([tab, follower].map(({ page }) => inPage(page, () => harness.fetched)))).reduce((sum, it) => sum + it, 0);
  t.diagnostic(`${fetched} tokens in ${Math.round((Date.now() - began) / 1_000)} s, ${texts.length} messages`);
  assert.ok(fetched >= 5, "and tokens were fetched in the meantime");
  assert.ok(fetched <= 60, "but not all the time");
  await leave([tab, follower, bob]);
});

test("fault 36: a leader that is closed hands its token's end on: the next fetches its own", async () => {
  const [tab, follower] = [await fetching("cyn", 1), await fetching("cyn", 1)];
  for (const client of [tab, follower]) await client.online();
  const [leader, other] = (await tab.status()).role === "leader" ? [tab, follower] : [follower, tab];
  await leader.page.close();
  await other.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");
  const [{ since }] = await server.connections("cyn");
  const before = await inPage(other.page, () => harness.fetched);
  await until("it has fetched three more", async () => (await inPage(other.page, () => harness.fetched)) >= before + 3);
  assert.equal((await server.connections("cyn"))[0].since, since);
  await leave([other]);
});

test("fault 36: a token that is the only one ends its connection as auth, and what is written meanwhile waits for another", async () => {
  const bob = await bobs.client("bob of dan");
  await bob.online();
  // Long enough for what is to be done with it, on a machine that has other things to do.
  const { token } = await server.call("POST", "/api/tokens", { account: "dan", ttl_seconds: 8 });
  const [tab, follower] = [await profile.client("dan", { token }), await profile.client("dan", { token })];
  await tab.send("direct:bob of dan", "while it lasts");
  await bob.untilSent("direct:dan", 1);
  for (const client of [tab, follower]) {
    await client.untilStatus("without a token", ({ connection, reason }) => connection === "offline" && reason === "auth");
    assert.deepEqual(await client.log("removed"), []);
  }
  await until("nobody is connected", async () => (await server.connections("dan")).length === 0);
  const later = numbered("later", 5);
  for (const text of later) await follower.send("direct:bob of dan", text);
  assert.equal((await tab.untilStatus("full", ({ pending }) => pending === later.length)).reason, "auth");
  const refused = await tab.call("devices").catch((error) => error);
  assert.ok(["offline", "auth"].includes(refused.code), `${refused.code}`);
  const { deviceId } = tab;
  await leave([tab, follower]);

  // With another token it is the same device, and sends what it has.
  const again = await profile.client("dan");
  await again.online();
  assert.equal(again.deviceId, deviceId);
  const said = ["while it lasts", ...later];
  assert.deepEqual(contents(await bob.untilSent("direct:dan", said.length)), said);
  assert.deepEqual(contents(await again.untilSent("direct:bob of dan", said.length)), said);
  await leave([again, bob]);
});

test("fault 36: while no token can be had the connection ends with the old one, and comes back with the next", async () => {
  const tab = await fetching("eve", 1);
  const bob = await bobs.client("bob of eve");
  for (const client of [tab, bob]) await client.online();
  await inPage(tab.page, () => void (harness.withhold = true));
  await tab.untilStatus("without a token", ({ connection }) => connection === "offline");
  await until("nobody is connected", async () => (await server.connections("eve")).length === 0);
  await tab.send("direct:bob of eve", "in the meantime");
  await inPage(tab.page, () => void (harness.withhold = false));
  await tab.online({ within: 60_000 });
  await bob.untilSent("direct:eve", 1);
  assert.deepEqual(contents(await tab.untilSent("direct:bob of eve", 1)), ["in the meantime"]);
  await leave([tab, bob]);
});

test("fault 36: a token for one device lets in no other", async () => {
  const first = await profile.client("fay");
  await first.online();
  const bound = { account: "fay", device_id: first.deviceId };
  const { token } = await server.call("POST", "/api/tokens", bound);
  await first.page.close();
  const again = await profile.client("fay", { token });
  await again.online();
  const other = await bobs.client("fay", { token });
  await other.untilStatus("refused", ({ connection, reason }) => connection === "offline" && reason === "auth");
  assert.deepEqual((await server.connections("fay")).map(({ device_id }) => device_id), [first.deviceId]);
  await leave([again, other]);
});

/** A client in a page of its own that fetches tokens of so many seconds, as an application does. */
async function fetching(account, seconds) {
  const page = await profile.tab();
  await inPage(page, ([account, seconds]) => {
    harness.fetched = 0;
    harness.token = async () => {
      if (harness.withhold) throw new Error("no token today");
      harness.fetched += 1;
      const body = JSON.stringify({ account, ttl_seconds: seconds });
      const headers = { "content-type": "application/json" };
      const response = await fetch("/api/tokens", { method: "POST", headers, body });
      return (await response.json()).token;
    };
  }, [account, seconds]);
  return Client.open(page, { url: server.url, account });
}
