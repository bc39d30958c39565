// What is on the device can be searched without a network, over the sealed store.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Client, inPage } from "./support/client.mjs";
import { ids } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

/** So many messages are folded into blocks when nothing else happens. */
const FOLDED = 2_100;

test("M9 messages are found offline, over the encrypted store, after a reload", async (t) => {
  const server = await stage.server({ args: ["--rate-burst", "1000000", "--rate-per-second", "1000000"] });
  const profile = await stage.profile(server);
  const page = await profile.tab();
  const online = await profile.clientIn(page, "ann");
  await online.online();

  // In order, but by hundreds: the numbers are what is looked for.
  const herons = [];
  for (let at = 0; at < FOLDED; at += 100) {
    const write = async (_, within) => {
      const number = at + within;
      const isHeron = number % 700 === 50;
      const text = isHeron ? `The Blue HÉRON, number ${number}` : `a message like many, number ${number}`;
      const { id } = await server.message(number % 2 ? "ben" : "bob", "direct:ann", { text, heron: [number] });
      if (isHeron) herons.unshift(id);
    };
    await Promise.all(Array.from({ length: 100 }, write));
  }
  const own = await online.send("direct:ben", "a bird that is edited");
  const taken = await online.send("direct:ben", "a héron that is recalled");
  await online.call("syncNow");
  const records = async () => (await inPage(page, () => harness.scan([]))).seen.records;
  const folded = async () => {
    const { blocks, journal } = await records();
    return blocks > 0 && journal === 0;
  };
  await until("all messages are folded into blocks", folded, { every: 200 });
  await online.close();

  const ann = await offline(page);
  await ann.call("edit", own.id, "an edited Héron");
  await ann.call("recall", taken.id);
  const sent = await ann.send("direct:bob", { text: "pending", reply: ["to the héron"] });
  await ann.close();

  await page.reload();
  const again = await offline(page);
  assert.equal((await again.status()).connection === "online", false);
  await t.test("newest first, folded and on their way, as they are shown", async () => {
    const start = performance.now();
    const found = await again.call("search", "héron");
    t.diagnostic(`found ${found.length} of ${FOLDED} in ${Math.round(performance.now() - start)} ms`);
    assert.deepEqual(ids(found), [sent.id, own.id, ...herons]);
    assert.equal(found[1].content, "an edited Héron");
    assert.deepEqual(
      found.map(({ state }) => state),
      ["pending", "sent", "sent", "sent", "sent"],
    );
  });
  await t.test("by several words, in one conversation, as many as asked for", async () => {
    assert.deepEqual(ids(await again.call("search", "750 BLUE")), [herons[1]]);
    assert.deepEqual(await again.call("search", "750 green"), []);
    // 50, 750 and 1,450 are even.
    assert.deepEqual(ids(await again.call("search", "blue héron", { conversation: "direct:ben" })), []);
    assert.deepEqual(ids(await again.call("search", "blue héron", { conversation: "direct:bob" })), herons);
    assert.deepEqual(ids(await again.call("search", "blue héron", { limit: 2 })), herons.slice(0, 2));
    assert.equal((await again.call("search", "message")).length, 50);
    assert.equal((await again.call("search", "MANY", { limit: 1_000 })).length, 1_000);
  });
  await t.test("a follower finds the same", async () => {
    const follower = await offline(page);
    assert.deepEqual(await follower.call("search", "héron"), await again.call("search", "héron"));
  });
  assert.deepEqual(profile.pageErrors, []);

  /** A client that cannot reach anybody. */
  function offline(page) {
    return Client.open(page, { url: "ws://127.0.0.1:9/sync", account: "ann", token: "not asked for" });
  }
});
