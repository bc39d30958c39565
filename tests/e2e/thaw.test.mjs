// Fault 5: a leader that is frozen in the middle of a commit, robbed, and thawed, writes nothing and follows.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { contents } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());

for (const [moment, outcome] of [
  // Its transaction begins after the next leadership has: the database refuses it.
  ["before", "abort"],
  // It was issued whole before that: it is done without the tab, and before the next leadership.
  ["issued", "complete"],
]) {
  test(`a leader frozen in mid-batch (${moment} its transaction) is fenced and follows`, async (t) => {
    const server = await stage.server();
    const bob = await (await stage.profile(server)).client("bob");
    const profile = await stage.profile(server);
    const leader = await profile.client("ann", {}, "/faults.html");
    await leader.online();
    const follower = await profile.client("ann");
    await follower.online();
    await leader.send("direct:bob", "before");
    await leader.untilSent("direct:bob", 1);

    const session = await leader.page.context().newCDPSession(leader.page);
    await session.send("Debugger.enable");
    const paused = new Promise((paused) => session.once("Debugger.paused", paused));
    const stop = async (moment) => {
      harness.faults.stopAt(await harness.faults.databaseOf("ann"), moment);
      return (await indexedDB.databases()).length;
    };
    await inPage(leader.page, stop, moment);
    const inbound = bob.sendAll("direct:ann", ["while it commits", "and after"]);
    await paused;
    const start = performance.now();
    await follower.send("direct:bob", "somebody acts");
    const status = await follower.untilStatus("leader and online", (it) => it.role === "leader" && it.connection === "online");
    t.diagnostic(`another tab led and was online ${Math.round(performance.now() - start)} ms after it acted`);
    assert.ok(status.epoch > 1);
    await inbound;
    const list = await follower.untilSent("direct:bob", 4);
    const revision = await inPage(follower.page, storedRevision);

    await session.send("Debugger.resume");
    await session.send("Debugger.disable");
    const thawed = async () => inPage(leader.page, async () => harness.faults.outcomeOf(await harness.faults.databaseOf("ann")));
    assert.equal(await until("its transaction has ended", thawed), outcome);
    await leader.untilStatus("a follower", (it) => it.role === "follower" && it.epoch === status.epoch);
    assert.deepEqual(await leader.untilSent("direct:bob", 4), list);
    assert.equal(await inPage(follower.page, storedRevision), revision, "it has written nothing");
    assert.equal((await follower.status()).epoch, status.epoch, "and has not robbed back");
    await leader.send("direct:bob", "as a follower");
    await follower.untilSent("direct:bob", 5);
    const there = await bob.untilSent("direct:ann", 5);
    assert.equal(new Set(contents(there)).size, 5);
    assert.equal((await server.connections("ann")).length, 1);
    assert.deepEqual(profile.pageErrors, []);
  });
}

/** How many commits the store of the page's only account has seen. */
async function storedRevision() {
  const [{ name }] = await indexedDB.databases();
  const database = await new Promise((opened) => {
    indexedDB.open(name).onsuccess = ({ target }) => opened(target.result);
  });
  const revision = await new Promise((read) => {
    const request = database.transaction("meta").objectStore("meta").get("revision");
    request.onsuccess = () => read(request.result);
  });
  database.close();
  return revision;
}
