// Faults 9 to 17: whatever the browser's storage does, nothing that was confirmed is lost, what cannot be
// kept is refused loudly, and everything is in step again once the storage works.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { Client, inPage } from "./support/client.mjs";
import { contents } from "./support/messages.mjs";
import { KEY } from "./support/server.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

/** Ways in which an operation fails. */
const KINDS = ["UnknownError", "InvalidStateError", "QuotaExceededError", "abort", "close"];
/** Cases at a time, each on an account of its own. */
const AT_ONCE = 10;

const stage = new Stage();
after(() => stage.clear());

let server;
let bob;
before(async () => {
  server = await stage.server();
  bob = await (await stage.profile(server)).client("bob");
});

/** A page whose database can be made to fail. */
async function failingPage() {
  const page = await (await stage.profile(server)).tab("/faults.html");
  await page.waitForFunction("window.harness?.faults");
  return page;
}

test("faults 9 and 13: whichever operation fails, and however, all is in step afterwards", async (t) => {
  const page = await failingPage();
  let cases = 0;
  let refused = 0;
  for (const kind of KINDS) {
    let last = Infinity;
    let operations = 0;
    for (let n = 1; n <= last; n += AT_ONCE) {
      const numbers = Array.from({ length: AT_ONCE }, (_, at) => n + at);
      const results = await Promise.all(numbers.map((n) => sweep(page, kind, n)));
      for (const result of results) {
        assert.deepEqual(result.wrong, [], `operation ${result.n} fails with ${kind}`);
        if (result.fired) cases += 1;
        else last = Math.min(last, result.n);
        refused += result.refused;
        operations = Math.max(operations, result.count);
      }
    }
    assert.ok(last > 20, `${kind}: only ${last} operations were met`);
    t.diagnostic(`${kind}: up to ${operations} operations`);
  }
  t.diagnostic(`${cases} failures, ${refused} calls refused, nothing lost, doubled or stuck`);
});

async function sweep(page, kind, n) {
  const account = `sweep ${kind} ${n}`;
  const token = await server.token(account);
  const argument = { account, options: { url: server.url, token }, key: KEY, n, kind };
  return inPage(page, (argument) => harness.faults.live(argument), argument);
}

test("fault 10: a database of a later version is left alone, and says so", async () => {
  const page = await failingPage();
  const make = async (account) => {
    const name = await harness.faults.databaseOf(account);
    const database = await new Promise((opened, failed) => {
      const request = indexedDB.open(name, 99);
      request.onupgradeneeded = () => request.result.createObjectStore("of a later version").put("kept", 1);
      request.onsuccess = () => opened(request.result);
      request.onerror = () => failed(request.error);
    });
    database.close();
    return name;
  };
  const name = await inPage(page, make, "later");
  const token = await server.token("later");
  const open = inPage(page, (options) => harness.open(options), { url: server.url, account: "later", token });
  await assert.rejects(open, { code: "version", isSyncError: true });
  const kept = await inPage(
    page,
    async (name) => {
      const { version } = (await indexedDB.databases()).find((it) => it.name === name);
      return new Promise((read) => {
        indexedDB.open(name).onsuccess = ({ target: { result } }) => {
          const request = result.transaction("of a later version").objectStore("of a later version").get(1);
          request.onsuccess = () => read([version, request.result]);
        };
      });
    },
    name,
  );
  assert.deepEqual(kept, [99, "kept"]);
});

test("fault 12: a full disk refuses loudly, keeps what is unsent, and is over when there is space", async () => {
  const page = await (await stage.profile(server)).tab();
  const session = await page.context().newCDPSession(page);
  const { origin } = server;
  // Before anything is stored: the browser remembers for a while how much there is.
  await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 400_000 });
  const client = await Client.open(page, { url: server.url, account: "full", token: await server.token("full") });
  await client.online();
  await client.setOffline(true);
  const kept = [];
  let refused;
  while (!refused && kept.length < 100) {
    const text = incompressible("x");
    await client.send("direct:bob", text).then(
      () => kept.push(text),
      (error) => (refused = error),
    );
  }
  const { code, isSyncError, retryable } = refused;
  assert.deepEqual({ code, isSyncError, retryable }, { code: "quota", isSyncError: true, retryable: true });
  assert.ok(kept.length > 0);
  assert.equal((await client.status()).pending, kept.length);
  assert.deepEqual(contents(await client.messages("direct:bob")), kept);
  await client.setOffline(false);
  // What comes in cannot be kept either, and comes again.
  const large = incompressible("y");
  await bob.send("direct:full", large);
  await until("the trouble is told", async () => (await errors(client)).some(({ code }) => code === "quota"));
  await session.send("Storage.overrideQuotaForOrigin", { origin });
  const list = await client.untilSent("direct:bob", kept.length + 1, { within: 90_000 });
  assert.deepEqual(contents(list).toSorted(), [...kept, large].toSorted());
  await client.send("direct:bob", incompressible("z"));
  await client.untilSent("direct:bob", kept.length + 2);
});

test("fault 14: what only this device has is written with strict durability", async () => {
  const page = await failingPage();
  const profileClient = await openIn(page, "strict");
  await profileClient.online();
  await profileClient.sendAll("direct:bob", ["1", "2", "3"]);
  const durabilities = await inPage(
    page,
    async () => harness.faults.durabilitiesOf(await harness.faults.databaseOf("strict")),
  );
  assert.ok(durabilities.length >= 3);
  assert.deepEqual(new Set(durabilities), new Set(["strict"]));
});

test("fault 5: transactions are issued whole, so that no frozen tab holds one open", async () => {
  const page = await failingPage();
  const client = await openIn(page, "whole");
  await client.online();
  await client.sendAll("direct:bob", ["it has found out what this browser can do"]);
  await client.untilSent("direct:bob", 1);
  const unfinished = () =>
    inPage(page, async () => harness.faults.unfinishedOf(await harness.faults.databaseOf("whole")));
  const opening = await unfinished();
  await client.sendAll("direct:bob", ["1", "2", "3"]);
  await bob.send("direct:whole", "4");
  await client.untilSent("direct:bob", 5);
  await client.call("markRead", "direct:bob");
  await client.call("syncNow");
  assert.equal(await unfinished(), opening);
});

test("fault 15: site data cleared while tabs run is noticed, told, and the device registers again", async () => {
  const profile = await stage.profile(server);
  const tabs = [await profile.client("cleared"), await profile.client("cleared")];
  for (const tab of tabs) await tab.online();
  await tabs[0].send("direct:bob", "sent before");
  await tabs[0].untilSent("direct:bob", 1);
  for (const tab of tabs) await tab.setOffline(true);
  await tabs[1].send("direct:bob", "unsent");
  const session = await tabs[0].page.context().newCDPSession(tabs[0].page);
  await session.send("Storage.clearDataForOrigin", { origin: server.origin, storageTypes: "indexeddb" });
  const device = (tab) => tab.run(({ client }) => client.deviceId);
  for (const tab of tabs) {
    await until("a tab has noticed", async () => (await device(tab)) !== tab.deviceId);
    const told = await errors(tab);
    assert.ok(told.some(({ code, message }) => code === "storage" && /cleared/.test(message)), JSON.stringify(told));
  }
  assert.equal(await device(tabs[0]), await device(tabs[1]));
  for (const tab of tabs) await tab.setOffline(false);
  await tabs[1].send("direct:bob", "sent afterwards");
  for (const tab of tabs) {
    const list = await tab.untilSent("direct:bob", 3);
    assert.deepEqual(contents(list), ["sent before", "unsent", "sent afterwards"]);
    assert.equal((await tab.status()).durable, true);
  }
  const there = await bob.messages("direct:cleared");
  assert.deepEqual(contents(there), ["sent before", "unsent", "sent afterwards"]);
  const [connection, ...others] = await server.connections("cleared");
  assert.deepEqual([connection.device_id, others.length], [await device(tabs[0]), 0]);
  assert.deepEqual(profile.pageErrors, []);
});

test("fault 16: storage that was evicted between visits makes a new device, and lasting storage is asked for", async () => {
  const profile = await stage.profile(server);
  const page = await profile.tab();
  await inPage(page, () => {
    const { persist } = StorageManager.prototype;
    window.asked = 0;
    StorageManager.prototype.persist = function () {
      window.asked += 1;
      return persist.call(this);
    };
  });
  const first = await profile.clientIn(page, "evicted");
  await first.online();
  await until("lasting storage is asked for", () => inPage(page, () => window.asked === 1));
  await first.send("direct:bob", "before");
  await first.untilSent("direct:bob", 1);
  await first.close();
  const session = await page.context().newCDPSession(page);
  await session.send("Storage.clearDataForOrigin", { origin: server.origin, storageTypes: "indexeddb" });
  const again = await profile.client("evicted");
  assert.notEqual(again.deviceId, first.deviceId);
  const list = await again.untilSent("direct:bob", 1);
  assert.deepEqual(contents(list), ["before"]);
});

test("fault 17: without IndexedDB all works, in memory, and says so", async () => {
  const profile = await stage.profile(server);
  const page = await profile.tab();
  await inPage(page, () => void Object.defineProperty(window, "indexedDB", { value: undefined }));
  const client = await profile.clientIn(page, "memory");
  const { durable } = await client.online();
  assert.equal(durable, false);
  await client.send("direct:bob", "hi");
  await client.untilSent("direct:bob", 1);
});

/** What an application was told of troubles that no call waited for. */
function errors(client) {
  return client.run(({ log }) => log.error.map(({ event: { code, message } }) => ({ code, message })));
}

/** A text that takes as much space as it is long. */
function incompressible(name) {
  return name + randomBytes(11_000).toString("base64");
}

/** A client in a page whose database can be made to fail. */
async function openIn(page, account) {
  return Client.open(page, { url: server.url, account, token: await server.token(account) });
}
