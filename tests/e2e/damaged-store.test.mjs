// A store of which something is damaged: the client opens, what was not sent is sent, all else comes from the server
// again, and the application is told.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { away } from "./support/cast.mjs";
import { inPage } from "./support/client.mjs";
import { contents, ids, numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const WAYS = ["flip", "cut", "swap", "delete"];

const stage = new Stage();
after(() => stage.clear());

let server;
let tunnel;
let bob;
before(async () => {
  server = await stage.server();
  tunnel = await stage.tunnel(server);
  bob = await (await stage.profile(server)).client("bob");
});

/** Fills a new client's store: with messages that are folded, and some that are not. Returns what Bob sees of it. */
async function fill(ann) {
  const toAnn = `direct:${ann.account}`;
  await ann.online();
  const sent = await bob.sendAll(toAnn, numbered("folded", 6));
  await ann.untilSent("direct:bob", 6);
  // What is taken back is folded at once, and all with it.
  await bob.call("recall", sent[2].id);
  await until("all is folded", async () => {
    const { blocks, journal } = await tally(ann);
    return blocks > 0 && journal === 0;
  });
  await ann.call("setConversation", "direct:bob", { draft: "a draft" });
  await bob.sendAll(toAnn, numbered("not folded", 3));
  await ann.send("direct:bob", "from Ann");
  await until("it is sent", async () => (await ann.status()).pending === 0 && (await bob.messages(toAnn)).length === 10);
  return bob.messages(toAnn);
}

for (const engine of ["chromium", "firefox", "webkit"]) {
  test(`what was not sent outlives a damaged store, and all else comes again: ${engine}`, async () => {
    const profile = await stage.profile(server, { engine });
    const account = `ann, ${engine}`;
    const ann = await profile.client(account);
    await fill(ann);
    await away(ann);
    const unsent = await ann.sendAll("direct:bob", ["unsent 1", "unsent 2"]);
    await ann.close();
    const name = await databaseOf(ann);
    const places = await keep(ann, name);
    const at = places.find(({ table }) => table === "journal");
    await inPage(ann.page, ([name, at]) => harness.databases.damage(name, at, "flip"), [name, at]);
    await ann.page.close();

    const page = await profile.tab();
    const warnings = [];
    page.on?.("console", (line) => line.type() === "warning" && warnings.push(line.text()));
    const again = await profile.clientIn(page, account);
    assert.equal(again.deviceId, ann.deviceId);
    await until("all is sent", async () => {
      const { connection, pending } = await again.status();
      return connection === "online" && pending === 0;
    });
    await again.call("syncNow");
    const list = await again.messages("direct:bob");
    assert.deepEqual(ids(list), ids(await bob.messages(`direct:${account}`)));
    assert.deepEqual([list.length, ...ids(list.slice(-2))], [12, ...ids(unsent)]);
    const told = await damages(again);
    assert.deepEqual([told.length, told[0].code, told[0].retryable], [1, "storage", true]);
    assert.doesNotMatch(told[0].message, /lost/);
    if (page.on) assert.ok(warnings.some((text) => text.startsWith("tutti-sync: storage: what is stored here was damaged")));
    const { draft } = await again.call("conversation", "direct:bob");
    assert.equal(draft, "a draft");
    await page.close();
  });
}

test("whichever record is damaged, and however, the client opens and all that can be is there again", async (t) => {
  const profile = await stage.profile(server);
  const account = "ann, record by record";
  const page = await profile.tab();
  const open = () => profile.clientIn(page, account, { url: tunnel.url });
  const ann = await open();
  const expected = contents(await fill(ann));
  await away(ann);
  const unsent = ids(await ann.sendAll("direct:bob", ["unsent 1", "unsent 2"]));
  const [folded] = await ann.messages("direct:bob");
  await ann.close();
  const name = await databaseOf(ann);
  const places = await keep(ann, name);
  for (const table of ["keys", "meta", "journal", "blocks", "heads", "locators", "outbox"]) {
    assert.ok(places.some((place) => place.table === table), `${table} holds something`);
  }
  let cases = 0;
  for (const place of places) {
    for (const way of place.sealed ? WAYS : ["swap", "delete"]) {
      const what = `${way}: ${place.table} ${place.key}`;
      await inPage(page, (name) => harness.databases.restore(name), name);
      await inPage(page, ([name, place, way]) => harness.databases.damage(name, place, way), [name, place, way]);
      tunnel.cut();
      const client = await open();
      const isKey = place.key === "sealing";
      const kept = isKey ? 0 : place.table === "outbox" ? 1 : 2;
      assert.equal((await client.status()).pending, kept, what);
      const isNamed = place.table === "meta" && place.key === "1";
      assert.equal(client.deviceId === ann.deviceId, !isKey && !isNamed, what);

      tunnel.open();
      // It need not wait until it tries again.
      await away(client);
      await client.setOffline(false);
      // What was sent in another case is on the server, and comes back from there. What only one of the cases has lost
      // is in this device's copy all the same.
      let last;
      const isWhole = async () => {
        last = await client.messages("direct:bob").catch((error) => error);
        const found = await client.call("message", folded.id).catch((error) => error);
        if (last instanceof Error || found?.content !== folded.content) return false;
        const said = last.filter(({ id }) => !unsent.includes(id));
        const ends = last.filter(({ id, state }) => unsent.includes(id) && state === "sent");
        return said.length === expected.length && ends.length >= kept && (await client.status()).pending === 0;
      };
      await until(`all is there again: ${what}`, isWhole).catch((error) => {
        throw new Error(`${error.message}: ${last instanceof Error ? last.message : contents(last)}`);
      });
      assert.deepEqual(contents(last.filter(({ id }) => !unsent.includes(id))), expected, what);
      const { draft } = await client.call("conversation", "direct:bob");
      assert.equal(draft, "a draft", what);
      const told = await damages(client);
      // Nothing else tells of an operation that is gone.
      const isNoticed = isKey || (place.sealed && !(place.table === "outbox" && way === "delete"));
      assert.equal(told.length, isNoticed ? 1 : 0, what);
      if (isNoticed) assert.equal(told[0].message.match(/lost: (\d)$/)?.[1] ?? "0", String(2 - kept), what);
      await client.close();
      cases += 1;
    }
  }
  t.diagnostic(`${cases} damages of ${places.length} records, all mended`);
  await page.close();
  assert.deepEqual(profile.pageErrors, []);
});

for (const [locks, path] of [
  ["with", "/"],
  ["without", "/odd.html?locks=none"],
]) {
  test(`a record that is damaged while tabs are open is mended for all of them, by one leader, ${locks} Web Locks`, async () => {
    const profile = await stage.profile(server);
    const account = `ann, ${locks} locks`;
    const open = () => profile.client(account, {}, path);
    const first = await open();
    const expected = await fill(first);
    const present = [first];
    // Without locks a leader that has nothing to write does not find out that another tab has mended the store.
    if (path === "/") present.push(await open());
    const name = await databaseOf(first);
    for (const [table, look] of [
      ["blocks", true],
      ["heads", false],
      ["locators", true],
    ]) {
      await until(`there is something in ${table}`, async () => {
        if ((await tally(first))[table] > 0) return true;
        // It was mended: what comes again is folded when something is taken back.
        const { id } = await bob.send(`direct:${account}`, "taken back");
        await until("it has come", () => first.call("message", id));
        await bob.call("recall", id);
        expected.push({ content: null });
        await until("it is folded", async () => (await tally(first))[table] > 0);
        return true;
      });
      const place = (await keep(first, name)).find((it) => it.table === table);
      await inPage(first.page, ([name, place]) => harness.databases.damage(name, place, "flip"), [name, place]);
      const tabs = [...present];
      if (!look) tabs.push(await open());
      for (const tab of tabs) await whole(tab, expected);
      let told = 0;
      for (const tab of tabs) told += (await damages(tab, true)).length;
      assert.equal(told, 1, `${table}: who mends it tells of it`);
      await until("one leads, and is connected", async () => {
        const statuses = await Promise.all(tabs.map((tab) => tab.status()));
        const leaders = statuses.filter(({ role }) => role === "leader");
        return leaders.length === 1 && (await server.connections(account)).length === 1;
      });
      if (!look) await tabs.at(-1).page.close();
      await first.send("direct:bob", `after ${table}`);
      expected.push({ content: `after ${table}` });
      for (const tab of present) await whole(tab, expected);
    }
    assert.deepEqual(profile.pageErrors, []);
  });
}

/** Waits until a client shows all of these, and finds each by its id. */
async function whole(client, expected) {
  let last;
  const isWhole = async () => {
    last = await client.messages("direct:bob").catch((error) => error);
    if (last instanceof Error || last.length !== expected.length) return false;
    const found = [];
    for (const { id } of last) found.push(await client.call("message", id).catch(() => null));
    return found.every((it) => it !== null && it.state !== "pending");
  };
  await until(`${client.account} has all`, isWhole).catch((error) => {
    throw new Error(`${error.message}: ${last instanceof Error ? last.message : contents(last)}`);
  });
  assert.deepEqual(
    contents(last),
    expected.map(({ content }) => content),
  );
}

function databaseOf(client) {
  return inPage(client.page, async () => {
    const names = await harness.databases.names();
    if (names.length !== 1) throw new Error(`there are ${names.length} databases`);
    return names[0];
  });
}

function keep(client, name) {
  return inPage(client.page, (name) => harness.databases.keep(name), name);
}

async function tally(client) {
  return inPage(client.page, (name) => harness.databases.tally(name), await databaseOf(client));
}

/** What a client has told of damage; `anew`: and has not before. */
async function damages(client, anew = false) {
  const body = ({ log }, anew) => {
    const isDamage = ({ event: { message } }) => message.startsWith("what is stored here was damaged");
    const told = log.error.filter(isDamage).map(({ event: { code, message, retryable } }) => ({ code, message, retryable }));
    if (anew) log.error.length = 0;
    return told;
  };
  return client.run(body, anew);
}
