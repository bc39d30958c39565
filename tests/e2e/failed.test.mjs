// A message that the server refuses is kept and shown, until its sender tries again or gives it up.
import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, away, back, begin, cast, leave, told } from "./support/cast.mjs";
import { until } from "./support/until.mjs";

const { server, browsers } = await begin();

for (const by of ["laptop", "tab"]) {
  test(`a message to a group that one is not in fails, and is sent by retry from the ${by} once one is`, async () => {
    const { [by]: sender, laptop, tab, phone, bob, all, ann, bobName } = await cast(browsers, `retry, ${by}`);
    const group = `retry-${by}`;
    await server.call("PUT", `/api/groups/${group}`, { members: [bobName] });
    const sent = await tab.send(`group:${group}`, "let me in");
    const failed = (it) => it?.state === "failed" && it.error.code === "not-found" && it.position === null;
    const look = (client) => client.call("message", sent.id);
    await agree("both tabs show it as failed", [laptop, tab], look, failed);
    assert.equal(await look(phone), null, "it never left this device");
    assert.equal((await laptop.status()).pending, 0, "it waits for its sender, not for the network");

    await sender.call("retry", sent.id);
    await until("it was refused once more", async () => {
      const states = (await told(sender, sent.id)).map(({ message }) => message.state);
      return states.lastIndexOf("pending") > states.indexOf("failed") && states.at(-1) === "failed";
    });
    await agree("both tabs show it as failed", [laptop, tab], look, failed);

    await server.call("PUT", `/api/groups/${group}`, { members: [bobName, ann] });
    await sender.call("retry", sent.id);
    for (const client of all) await client.untilSent(`group:${group}`, 1);
    const message = await look(laptop);
    assert.deepEqual([message.id, message.state, message.error], [sent.id, "sent", null]);
    await assert.rejects(sender.call("discard", sent.id), { code: "conflict" });
    await sender.call("retry", sent.id); // sent already: there is nothing to do
    assert.equal((await bob.messages(`group:${group}`)).length, 1, "once");
    await leave(all);
  });

  test(`a message that failed, and one that is on its way, can be given up, from the ${by}`, async () => {
    const scene = await cast(browsers, `discard, ${by}`);
    const { laptop, tab, phone, all } = scene;
    const refused = await laptop.send("group:nowhere", "nobody hears");
    const look = (id) => (client) => client.call("message", id);
    await agree("it failed", [laptop, tab], look(refused.id), (it) => it?.state === "failed");
    await scene[by].call("discard", refused.id);
    await away(laptop);
    const pending = await laptop.send(scene.toBob, "better not");
    await agree("it is on its way", [laptop, tab], look(pending.id), (it) => it?.state === "pending");
    await scene[by].call("discard", pending.id);
    for (const [id, conversation] of [
      [refused.id, "group:nowhere"],
      [pending.id, scene.toBob],
    ]) {
      await agree("it is gone", [laptop, tab], look(id), (it) => it === null);
      for (const client of [laptop, tab]) {
        assert.deepEqual((await client.history(conversation)).messages, []);
        assert.equal((await told(client, id)).at(-1).change, "removed");
      }
    }
    await back(laptop);
    const last = await laptop.send(scene.toBob, "well then");
    await scene.bob.untilSent(scene.toAnn, 1);
    for (const client of [laptop, tab, phone]) {
      const messages = await client.untilSent(scene.toBob, 1);
      assert.deepEqual(
        messages.map(({ id }) => id),
        [last.id],
      );
    }
    assert.equal((await laptop.status()).pending, 0);
    const reader = await browsers.laptop.client(scene.ann);
    assert.equal(await reader.call("message", pending.id), null);
    assert.equal(await reader.call("message", refused.id), null);
    await leave([...all, reader]);
  });
}
