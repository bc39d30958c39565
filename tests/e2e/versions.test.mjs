// Fault 18: two versions of the package in two tabs of one profile. `next` is a version with a newer
// schema and newer frames that lives together with this one; `breaking` one whose store this one cannot read.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, inPage } from "./support/client.mjs";
import { contents, ids, numbered, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const PAGES = { current: "/", next: "/next.html", breaking: "/breaking.html" };

/** More than can be sent until a newer version has opened. */
const MANY = 2_000;

const stage = new Stage();
after(() => stage.clear());
let server;

before(async () => {
  server = await stage.server({ later: ["next", "breaking"] });
});

for (const [leading, following] of [
  ["current", "next"],
  ["next", "current"],
]) {
  test(`fault 18: ${leading} leads, ${following} follows: they work together both ways`, async () => {
    const [first, second] = await stage.profiles(server, 2);
    const [ann, bob] = [`ann, ${leading} leads`, `bob, ${leading} leads`];
    const bobs = await second.client(bob);
    const open = (version) => tabOf(first, version, ann);
    const told = [];
    let said = [];
    /** All write, and all see it. */
    const converse = async (tabs) => {
      const begin = said.length;
      for (const [name, tab] of Object.entries(tabs)) {
        for (const text of numbered(`after ${begin}, from ${name}`, 3)) said.push((await tab.send(`direct:${bob}`, text)).content);
      }
      for (const text of numbered(`after ${begin}, from Bob`, 3)) {
        await bobs.untilSent(`direct:${ann}`, said.length);
        said.push((await bobs.send(`direct:${ann}`, text)).content);
      }
      const expected = await bobs.untilSent(`direct:${ann}`, said.length);
      assert.deepEqual(contents(expected), said);
      for (const tab of Object.values(tabs)) {
        assert.deepEqual(summary(await tab.untilSent(`direct:${bob}`, said.length)), summary(expected));
        await tab.untilStatus("done", ({ pending }) => pending === 0);
        const added = (await tab.added()).map(({ message }) => message.id);
        const before = told.find(({ of }) => of === tab)?.before ?? 0;
        assert.deepEqual(added, ids(expected.slice(before)), "told once, in order");
      }
    };
    const opened = async (version) => {
      const tab = await open(version);
      told.push({ of: tab, before: said.length });
      await tab.online();
      return tab;
    };

    const leader = await opened(leading);
    await leads(leader);
    await converse({ [leading]: leader });
    const follower = await opened(following);
    assert.equal(follower.deviceId, leader.deviceId);
    await converse({ [leading]: leader, [following]: follower });
    assert.equal((await leader.status()).role, "leader");
    for (const tab of [leader, follower]) assert.equal((await tab.status()).tabs, 2, "each counts the other");
    assert.equal(await schema(follower), 2, "the schema is the later one's");

    // The other one takes over, and the first comes back to follow.
    await leader.page.close();
    await leads(follower);
    await converse({ [following]: follower });
    const again = await opened(leading);
    await converse({ [following]: follower, [leading]: again });
    assert.equal((await follower.status()).role, "leader");

    // What was written offline by either is sent by whichever leads.
    await again.setOffline(true);
    for (const tab of [again, follower]) await tab.untilStatus("offline", ({ connection }) => connection === "offline");
    for (const [name, tab] of Object.entries({ [following]: follower, [leading]: again })) {
      said.push((await tab.send(`direct:${bob}`, `written offline by ${name}`)).content);
    }
    await follower.page.close();
    await again.setOffline(false);
    await leads(again);
    await converse({ [leading]: again });
    assert.equal((await server.connections(ann)).length, 1);
    assert.deepEqual(await again.log("error"), []);
    for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
  });
}

test("fault 18: an older tab that cannot go on says `version`, and the newer sends what it had", async (t) => {
  const server = await stage.server({ later: ["breaking"] });
  const [first, second] = await stage.profiles(server, 2);
  const bob = await second.client("bob");
  const old = [await first.client("ann"), await first.client("ann")];
  for (const client of [bob, ...old]) await client.online();
  await old[0].send("direct:bob", "before");
  await bob.untilSent("direct:ann", 1);

  // The newer one's page is there before the server goes away.
  const page = await first.tab(PAGES.breaking);
  await inPage(page, () => tutti.init().then(() => true));
  const options = { url: server.url, account: "ann", token: await server.token("ann") };
  await server.kill();
  const written = numbered("written while the server was away", 10);
  for (const [at, text] of written.entries()) await old[at % 2].send("direct:bob", text);
  const busy = old[1].run(async ({ client }, many) => {
    const kept = [];
    try {
      for (let at = 1; at <= many; at += 1) {
        kept.push((await client.send("direct:bob", `written while the newer one opened ${at}`)).content);
      }
    } catch ({ code }) {
      return { kept, code };
    }
    return { kept, code: "none" };
  }, MANY);

  const newer = await Client.open(page, options);
  assert.equal(newer.deviceId, old[0].deviceId, "it is the same device");
  const { kept, code } = await busy;
  t.diagnostic(`${kept.length} sends had resolved when the older tab could not go on`);
  assert.equal(code, "version");
  for (const tab of old) {
    const errors = () => tab.run(({ log }) => [...new Set(log.error.map(({ event }) => event.code))]);
    await until("it says so", async () => (await errors()).length > 0);
    assert.deepEqual(await errors(), ["version"]);
    await assert.rejects(tab.send("direct:bob", "too late"), { code: "version" });
  }

  await server.start();
  const texts = ["before", ...written, ...kept];
  await leads(newer);
  await newer.call("syncNow");
  const list = await newer.untilSent("direct:bob", texts.length);
  assert.deepEqual(contents(list), texts, "nothing is lost or doubled");
  assert.deepEqual(summary(await bob.untilSent("direct:ann", texts.length)), summary(list));
  await newer.send("direct:bob", "it goes on");
  await bob.untilSent("direct:ann", texts.length + 1);
  assert.equal((await newer.status()).pending, 0);
  assert.equal((await server.connections("ann")).length, 1);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("fault 18: an older tab that leads and has nothing to do makes room for a newer one", async () => {
  const [first, second] = await stage.profiles(server, 2);
  const [ann, bob] = ["ann, nothing to do", "bob, nothing to do"];
  const bobs = await second.client(bob);
  const old = await first.client(ann);
  await leads(old);
  await old.send(`direct:${bob}`, "from the older one");
  await bobs.untilSent(`direct:${ann}`, 1);
  await old.untilStatus("done", ({ pending }) => pending === 0);

  const newer = await tabOf(first, "breaking", ann);
  await leads(newer);
  await old.untilStatus("over", ({ connection, reason }) => connection === "closed" && reason === "version");
  await newer.send(`direct:${bob}`, "from the newer one");
  assert.deepEqual(contents(await bobs.untilSent(`direct:${ann}`, 2)), ["from the older one", "from the newer one"]);
  assert.equal((await server.connections(ann)).length, 1);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

test("fault 18: an older tab that opens beside a newer store is refused with `version`, and nothing is deleted", async () => {
  const [first, second] = await stage.profiles(server, 2);
  const [ann, bob] = ["ann, newer first", "bob, newer first"];
  const bobs = await second.client(bob);
  const newer = await tabOf(first, "breaking", ann);
  await leads(newer);
  await newer.sendAll(`direct:${bob}`, numbered("newer", 5));
  const list = await newer.untilSent(`direct:${bob}`, 5);

  const refused = async () => {
    const page = await first.tab();
    await assert.rejects(first.clientIn(page, ann), { code: "version", isSyncError: true });
    await page.close();
  };
  await refused();
  await newer.send(`direct:${bob}`, "it goes on");
  await bobs.untilSent(`direct:${ann}`, 6);
  // When nobody is there any more, too.
  await newer.page.close();
  await refused();
  const again = await tabOf(first, "breaking", ann);
  assert.equal(again.deviceId, newer.deviceId, "it is the same device");
  assert.deepEqual((await again.messages(`direct:${bob}`)).slice(0, 5), list);
  for (const { pageErrors } of [first, second]) assert.deepEqual(pageErrors, []);
});

async function tabOf(profile, version, account) {
  return profile.clientIn(await profile.tab(PAGES[version]), account);
}

function leads(client) {
  return client.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");
}

/** The version of the store that holds the account's copy. */
async function schema(client) {
  const versions = await inPage(client.page, async () => (await indexedDB.databases()).map(({ version }) => version));
  assert.equal(versions.length, 1);
  return versions[0];
}
