// Fault 26: what becomes of a tab whose WebAssembly has trapped, and of the others.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { contents } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server;

before(async () => {
  server = await stage.server();
});

for (const role of ["leader", "follower"]) {
  test(`fault 26: a ${role} whose WebAssembly has trapped says so, and the others go on`, async () => {
    const [first, second] = await stage.profiles(server, 2);
    const [ann, bob] = [`ann, ${role}`, `bob, ${role}`];
    const [toAnn, toBob] = [`direct:${ann}`, `direct:${bob}`];
    const bobs = await second.client(bob);
    const tabs = [await first.client(ann), await first.client(ann)];
    for (const client of [bobs, ...tabs]) await client.online();
    const statuses = await Promise.all(tabs.map((tab) => tab.status()));
    const broken = tabs[statuses.findIndex((status) => status.role === role)];
    const other = tabs.find((tab) => tab !== broken);
    const said = ["before"];
    await broken.send(toBob, said[0]);
    await other.untilSent(toBob, 1);

    await trap(broken);
    const errors = () => broken.run(({ log }) => log.error.map(({ event }) => event.code));
    await until("it says so", async () => (await errors()).length > 0);
    assert.deepEqual(await errors(), ["internal"]);
    await assert.rejects(broken.send(toBob, "too late"), { code: "internal", isSyncError: true });
    await assert.rejects(broken.messages(toBob), { code: "internal", isSyncError: true });
    assert.equal((await broken.status()).connection, "closed");
    await assert.rejects(first.clientIn(broken.page, ann), { code: "internal", isSyncError: true });

    await leads(other);
    said.push((await other.send(toBob, "from the other tab")).content);
    await bobs.untilSent(toAnn, 2);
    said.push((await bobs.send(toAnn, "from Bob")).content);
    assert.deepEqual(contents(await other.untilSent(toBob, 3)), said);

    // A page loaded anew has it all.
    await broken.page.reload();
    const fresh = await first.clientIn(broken.page, ann);
    assert.deepEqual(contents(await fresh.untilSent(toBob, 3)), said);
    said.push((await fresh.send(toBob, "from the fresh one")).content);
    assert.deepEqual(contents(await bobs.untilSent(toAnn, 4)), said);
    assert.equal((await server.connections(ann)).length, 1);
    assert.deepEqual(second.pageErrors, []);
    assert.ok(first.pageErrors.length > 0, "the console tells what it was");
  });
}

/** Makes the package call itself from within, where it expects nobody. */
async function trap(client) {
  await client.run(({ client }) => {
    const now = Date.now;
    Date.now = () => {
      Date.now = now;
      client.status();
      return now();
    };
    client.send("direct:bob", "the last straw").catch(() => {}); // its promise is broken, too
  });
}

function leads(client) {
  return client.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");
}
