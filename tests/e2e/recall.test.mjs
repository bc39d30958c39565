// M5: what its sender takes back is gone everywhere, for good.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { agree, away, back, begin, cast, complaints, devices, leave, told } from "./support/cast.mjs";
import { inPage } from "./support/client.mjs";
import { idsStoredAtServer, storedAt, storedAtServer } from "./support/stored.mjs";
import { until } from "./support/until.mjs";

const { stage, server, browsers } = await begin();

/** `by`: who takes it back; `away`: whose network is gone meanwhile, and in which order they return. */
const RECALLS = [
  { what: "all are online", by: "laptop" },
  { what: "all are online, from a tab that follows", by: "tab" },
  { what: "all are online, from another device", by: "phone" },
  { what: "the receiver is offline", by: "laptop", away: ["bob"] },
  { what: "the sender's other device is offline", by: "laptop", away: ["phone"] },
  { what: "made offline", by: "laptop", away: ["laptop"] },
  { what: "made offline in a tab that follows", by: "tab", away: ["laptop"] },
  { what: "made while all are offline", by: "laptop", away: ["bob", "laptop", "phone"] },
  { what: "an edited message", by: "laptop", edited: true },
  { what: "an edit and the recall, both made offline", by: "laptop", away: ["laptop"], editedAway: true },
  { what: "a message that was still on its way", by: "laptop", away: ["laptop"], pending: true },
];

for (const { what, by, away: gone = [], edited, editedAway, pending } of RECALLS) {
  test(`M5 recall: ${what}`, async () => {
    const scene = await cast(browsers, what);
    const { laptop, all } = scene;
    const secrets = [`secret-${randomUUID()}`];
    const edit = async (id) => {
      secrets.push(`secret-${randomUUID()}`);
      await laptop.call("edit", id, secrets.at(-1));
    };
    await laptop.send(scene.toBob, "before");
    let sent;
    if (!pending) {
      sent = await laptop.send(scene.toBob, secrets[0]);
      await agree("all have it", all, contentOf(sent.id), (content) => content === secrets[0]);
      if (edited) {
        await edit(sent.id);
        await agree("all have the edit", all, contentOf(sent.id), (content) => content === secrets[1]);
      }
      // It can be found as long as it is there: on every device. On the server it is sealed, and only its id is found;
      // that its sealed bytes go with the recall is for the server's own tests.
      const newest = [secrets.at(-1)];
      for (const client of [laptop, scene.phone, scene.bob]) {
        assert.ok((await storedAt(client, newest)).length > 0, "stored on the device");
      }
      assert.deepEqual(await storedAtServer(newest, server), [], "sealed on the server");
      assert.ok((await idsStoredAtServer([sent.id], server)).length > 0, "stored on the server");
    }
    for (const name of gone) await away(scene[name]);
    if (pending) sent = await laptop.send(scene.toBob, secrets[0]);
    if (editedAway) await edit(sent.id);

    await scene[by].call("recall", sent.id);
    const without = new Set(gone.map((name) => scene[name]));
    if (gone.includes("laptop")) {
      // Whoever takes it back sees it gone at once, without a network.
      for (const client of [laptop, scene.tab]) await isGone(client, sent.id);
    } else {
      for (const client of all) if (!without.has(client)) await isGone(client, sent.id);
    }
    for (const name of gone) await back(scene[name]);
    for (const client of all) await isGone(client, sent.id);

    const [first] = await Promise.all(all.map((client) => client.call("message", sent.id)));
    assert.equal(first.position, 2, "it keeps its place");
    for (const client of all) {
      const { message, change } = (await told(client, sent.id)).at(-1);
      assert.deepEqual([message.state, message.content], ["recalled", null]);
      if (!pending) assert.equal(change, "recalled");
    }
    const conversation = (client) => (client === scene.bob ? scene.toAnn : scene.toBob);
    const after = await laptop.send(scene.toBob, "after");
    await agree("they go on", all, contentOf(after.id), (content) => content === "after");
    await nowhere(all, secrets, conversation);
    // Nor for a tab that reads it all from the disk.
    const reader = await browsers.laptop.client(scene.ann);
    await isGone(reader, sent.id);
    await nowhere([reader], secrets, conversation);
    for (const client of all) assert.deepEqual(await complaints(client), []);
    await leave([...all, reader]);
  });
}

test("M5 recall: a message that was folded into a block long ago", async () => {
  const server = await stage.server({ args: ["--rate-burst", "1000000", "--rate-per-second", "1000000"] });
  const profile = await stage.profile(server);
  const secret = `secret-${randomUUID()}`;
  const ann = await profile.client("ann");
  await ann.online();
  const sent = await ann.send("direct:bob", secret);
  await ann.untilSent("direct:bob", 1);
  const texts = Array.from({ length: 2_100 }, (_, at) => `${at} ${randomUUID()}`);
  for (let at = 0; at < texts.length; at += 100) {
    await Promise.all(texts.slice(at, at + 100).map((text) => server.message("bob", "direct:ann", text)));
  }
  await ann.call("syncNow");
  const tables = async () => (await inPage(ann.page, (texts) => harness.unsealed(texts), [secret])).found;
  await until("it is folded", async () => (await tables()).some(({ table }) => table === "blocks"), { every: 200 });
  await ann.call("recall", sent.id);
  await isGone(ann, sent.id);
  await until("it is in no block", async () => (await tables()).length === 0);
  assert.deepEqual(await storedAtServer([secret], server), []);
  const reader = await profile.client("ann");
  for (const client of [ann, reader]) {
    const messages = await client.messages("direct:bob", 1_000);
    assert.deepEqual(
      messages.map(({ content }) => content).toSorted(),
      [null, ...texts].toSorted(),
      "and all others are as they were",
    );
    assert.equal(messages[0].state, "recalled");
  }
  assert.deepEqual(profile.pageErrors, []);
});

/** `edit`: who edits; `when`: before or after the recall, which it does not know of. */
const LATE = [
  { what: "an edit that was made before", when: "before" },
  { what: "an edit that was made after, by who had not heard", when: "after" },
];
for (const { what, when } of LATE) {
  test(`M5 recall is for good: ${what}`, async () => {
    const scene = await cast(browsers, `for good, ${when}`);
    const { laptop, phone, all } = scene;
    const secrets = [`secret-${randomUUID()}`, `secret-${randomUUID()}`];
    const sent = await laptop.send(scene.toBob, secrets[0]);
    await agree("all have it", all, contentOf(sent.id), (content) => content === secrets[0]);
    await away(phone);
    if (when === "before") await phone.call("edit", sent.id, secrets[1]);
    await laptop.call("recall", sent.id);
    for (const client of [laptop, scene.tab, scene.bob]) await isGone(client, sent.id);
    if (when === "after") await phone.call("edit", sent.id, secrets[1]);
    assert.equal((await phone.call("message", sent.id)).content, secrets[1]);
    await back(phone);
    for (const client of all) await isGone(client, sent.id);
    // Those who know of it are told at once.
    for (const client of [laptop, scene.tab, phone]) {
      await assert.rejects(client.call("edit", sent.id, "again"), { code: "conflict" });
      await client.call("recall", sent.id);
    }
    await nowhere(all, [...secrets, "again"], (client) => (client === scene.bob ? scene.toAnn : scene.toBob));
    await leave(all);
  });
}

test("M5 recall: only the sender may", async () => {
  const scene = await cast(browsers, "only the sender");
  const { laptop, bob, all } = scene;
  const sent = await laptop.send(scene.toBob, "mine");
  await agree("all have it", all, stateOf(sent.id), (state) => state === "sent");
  const calls = { recall: [], edit: ["not yours"] };
  for (const [method, more] of Object.entries(calls)) {
    await assert.rejects(bob.call(method, sent.id, ...more), { code: "forbidden", isSyncError: true });
    await assert.rejects(laptop.call(method, randomUUID(), ...more), { code: "not-found", isSyncError: true });
  }
  await bob.call("syncNow");
  assert.equal((await bob.status()).pending, 0);
  for (const client of all) {
    const { state, content, editedAt } = await client.call("message", sent.id);
    assert.deepEqual({ state, content, editedAt }, { state: "sent", content: "mine", editedAt: null });
  }
  await leave(all);
});

for (const by of ["laptop", "tab"]) {
  test(`M5 recall: too late, from the ${by}`, async () => {
    const server = await stage.server();
    const scene = await cast(await devices(stage, server), `too late, ${by}`);
    const { laptop, tab, all } = scene;
    await server.call("PUT", "/api/settings", { recall_window_seconds: 1 });
    const sent = await laptop.send(scene.toBob, "stays");
    await agree("all have it", all, stateOf(sent.id), (state) => state === "sent");
    const was = await laptop.call("message", sent.id);
    await until("the time is over", () => Date.now() > was.sentAt + 1_000);
    await scene[by].call("recall", sent.id);
    await until("it is told", async () => (await complaints(scene[by])).length > 0);
    assert.deepEqual(await complaints(scene[by]), ["forbidden"]);
    for (const client of [laptop, tab]) {
      await until("it is back", async () => (await client.call("message", sent.id)).state === "sent");
      assert.deepEqual(await client.call("message", sent.id), was);
      assert.deepEqual((await told(client, sent.id)).at(-1).message, was, "as listeners are told");
      assert.equal((await client.status()).pending, 0);
    }
    assert.equal((await scene.bob.call("message", sent.id)).content, "stays");
    // Once there is no such limit any more, it can be.
    await server.call("PUT", "/api/settings", { recall_window_seconds: 0 });
    await scene[by].call("recall", sent.id);
    for (const client of all) await isGone(client, sent.id);
  });
}

test("M5 recall: a draft that quotes the message goes with it", async () => {
  const scene = await cast(browsers, "a draft");
  const { laptop, bob, all } = scene;
  const sent = await laptop.send(scene.toBob, "quotable");
  await agree("all have it", all, contentOf(sent.id), (content) => content === "quotable");
  await bob.call("setConversation", scene.toAnn, { draft: `> ${sent.id} quotable` });
  await bob.call("syncNow");
  await laptop.call("recall", sent.id);
  await isGone(bob, sent.id);
  await until("the draft is gone", async () => (await bob.call("conversation", scene.toAnn)).draft === null);
  await nowhere(all, ["quotable"], (client) => (client === bob ? scene.toAnn : scene.toBob));
  await leave(all);
});

function contentOf(id) {
  return async (client) => (await client.call("message", id))?.content;
}

function stateOf(id) {
  return async (client) => (await client.call("message", id))?.state;
}

/** Waits until a client shows a message as recalled, without its content. */
async function isGone(client, id) {
  let message;
  await until(`${client.account} has dropped it`, async () => {
    message = await client.call("message", id);
    // One that was still on its way may not be here yet.
    return message?.state === "recalled";
  });
  assert.equal(message.content, null);
}

/** These texts are in no answer of any client, on none of their disks, and not on the server's. */
async function nowhere(clients, texts, conversation) {
  for (const client of clients) {
    const answers = await client.run(
      async ({ client }, conversation) => [
        await client.history(conversation),
        await client.conversations(),
        await client.conversation(conversation),
      ],
      conversation(client),
    );
    for (const text of texts) assert.ok(!JSON.stringify(answers).includes(text), `${client.account} still says it`);
  }
  for (const client of clients) await untilNone("no record has it", () => storedAt(client, texts));
  assert.deepEqual(await storedAtServer(texts, server), [], "the server's files do not have it");
}

async function untilNone(what, look) {
  let found;
  await until(what, async () => (found = await look()).length === 0).catch((error) => {
    throw new Error(`${error.message}; ${JSON.stringify(found)}`);
  });
}
