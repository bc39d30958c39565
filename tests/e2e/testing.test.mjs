// tutti-sync/testing in a browser: the page has the server in it, and nothing of what it says leaves the page.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Stage } from "./support/stage.mjs";

const stage = new Stage();
after(() => stage.clear());
const server = await stage.server();

for (const engine of ["chromium", "firefox"]) {
  test(`in ${engine} two clients talk over a server in their page, with a store that lasts`, async () => {
    const profile = await stage.profile(server, { engine });
    const page = await profile.tab("/away.html");
    const seen = await page.evaluate(`(${talk})()`);
    assert.deepEqual(seen, {
      durable: true,
      one: true,
      network: false,
      before: [],
      origin: "remote",
      after: [["written offline", "sent"]],
      title: "Build",
      kept: [[null, "recalled"]],
      elsewhere: true,
    });
    assert.deepEqual(profile.pageErrors, []);
  });
}

/** What is done in the page, and what is seen there. */
async function talk() {
  const { SyncClient } = await import("/pkg/index.js");
  const { createTestServer } = await import("/pkg/testing.js");
  const told = (client, event, holds) =>
    new Promise((resolve) => {
      const off = client.on(event, (value) => {
        if (!holds(value)) return;
        off();
        resolve(value);
      });
    });
  const contents = async (client, conversation) => {
    const { messages } = await client.history(conversation);
    return messages.map(({ content, state }) => [content, state]);
  };

  const server = await createTestServer();
  server.setGroup("team", ["ann", "ben"]);
  const open = (account) => SyncClient.open(server.options(account));
  const [ann, tab, ben] = [await open("ann"), await open("ann"), await open("ben")];
  await Promise.all([ann, tab, ben].map((client) => client.syncNow()));
  const seen = { durable: ann.status().durable, one: ann.deviceId === tab.deviceId };

  const offline = told(tab, "status", ({ connection }) => connection === "offline");
  server.network.offline();
  await offline;
  const { id } = await tab.send("group:team", "written offline");
  seen.network = navigator.onLine;
  seen.before = await contents(ben, "group:team");
  const received = told(ben, "messages", (changes) => changes.length > 0);
  server.network.online();
  seen.origin = (await received)[0].origin;
  await Promise.all([ann.syncNow(), tab.syncNow()]);
  seen.after = await contents(ann, "group:team");

  const recalled = told(ben, "messages", (changes) => changes.some(({ change }) => change === "recalled"));
  await ann.recall(id);
  await recalled;
  const notified = told(tab, "notifications", ([{ state }]) => state === "unread");
  server.notify({ accounts: ["ann"], title: "Build", body: "green" });
  seen.title = (await notified)[0].title;

  await Promise.all([tab.close(), ben.close()]);
  const again = await open("ann");
  seen.kept = await contents(again, "group:team");
  await Promise.all([again.erase(), ann.close()]);
  server.close();
  seen.elsewhere = (await fetch("/healthz")).ok;
  return seen;
}
