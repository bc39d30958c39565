// M7: the conversation list is the same on all devices, and says how far others have read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, away, back, begin, cast, complaints, leave } from "./support/cast.mjs";

const { server, browsers } = await begin();

const NONE = { draft: null, muted: false, pinned: false };

/** One after another: who sets what, and how the conversation is then on all devices. */
const STEPS = [
  { by: "laptop", set: { draft: "Half a sent" }, then: { draft: "Half a sent" } },
  { by: "phone", set: { draft: "Half a sentence — ½ 𝄞 \n" }, then: { draft: "Half a sentence — ½ 𝄞 \n" } },
  { by: "tab", set: { muted: true }, then: { draft: "Half a sentence — ½ 𝄞 \n", muted: true } },
  { by: "phone", set: { pinned: true, draft: null }, then: { muted: true, pinned: true } },
  { by: "tab", set: { muted: false, draft: "" }, then: { pinned: true } },
  { by: "laptop", set: { draft: "x".repeat(20_000) }, then: { draft: "x".repeat(20_000), pinned: true } },
  { by: "laptop", set: { draft: undefined, pinned: false }, then: { draft: "x".repeat(20_000) } },
  { by: "phone", set: { draft: null }, then: {} },
];

for (const network of ["online", "offline", "the other offline"]) {
  test(`M7 draft, mute and pin are the same on all devices: ${network}`, async () => {
    const scene = await cast(browsers, network);
    const { laptop, tab, phone, bob } = scene;
    const own = [laptop, tab, phone];
    await bob.send(scene.toAnn, "hello");
    for (const client of own) await client.untilSent(scene.toBob, 1);
    for (const { by, set, then } of STEPS) {
      const gone = { online: null, offline: scene[by], "the other offline": by === "phone" ? laptop : phone }[network];
      if (gone) await away(gone);
      // `undefined` does not survive the way into the page.
      const call = ({ client }, [conversation, entries]) =>
        client.setConversation(conversation, Object.fromEntries(entries.map(([name, value]) => [name, value?.[0]])));
      const entries = Object.entries(set).map(([name, value]) => [name, value === undefined ? null : [value]]);
      await scene[by].run(call, [scene.toBob, entries]);
      assert.deepEqual(await settings(scene.toBob)(scene[by]), { ...NONE, ...then }, "at once where it was done");
      if (gone) await back(gone);
      const wanted = JSON.stringify({ ...NONE, ...then });
      await agree("all have it", own, settings(scene.toBob), (now) => JSON.stringify(now) === wanted);
    }
    assert.deepEqual(await settings(scene.toAnn)(bob), NONE, "it is nobody else's business");
    for (const client of own) assert.deepEqual(await complaints(client), []);
    await leave(scene.all);
  });
}

test("M7 what two devices set at once merges field by field, and the later of two holds", async () => {
  const scene = await cast(browsers, "merge");
  const { laptop, tab, phone } = scene;
  const own = [laptop, tab, phone];
  for (const client of [laptop, phone]) await away(client);
  await laptop.call("setConversation", scene.toBob, { draft: "earlier", muted: true });
  await phone.call("setConversation", scene.toBob, { draft: "later", pinned: true });
  await back(phone);
  await back(laptop);
  const merged = { draft: "later", muted: true, pinned: true };
  await agree("all have both", own, settings(scene.toBob), (now) => JSON.stringify(now) === JSON.stringify(merged));
  await leave(scene.all);
});

test("M7 pinned conversations come first, the others by latest activity, on all devices", async () => {
  const scene = await cast(browsers, "pins");
  const { laptop, tab, phone } = scene;
  const own = [laptop, tab, phone];
  const order = async (client) => (await client.call("conversations")).map(({ id }) => id);
  const names = ["cid", "dan", "eve", "fay"].map((name) => `direct:${name}`);
  for (const name of names) {
    await laptop.send(name, "hello");
    await phone.untilSent(name, 1); // the next one in a later millisecond
  }
  const are = (wanted) => agree(`the order is ${wanted}`, own, order, (now) => now.join() === wanted.join());
  const [cid, dan, eve, fay] = names;
  await are([fay, eve, dan, cid]);
  await phone.call("setConversation", cid, { pinned: true });
  await are([cid, fay, eve, dan]);
  await tab.call("setConversation", eve, { pinned: true });
  await are([eve, cid, fay, dan]);
  await laptop.send(cid, "again");
  await phone.untilSent(cid, 2);
  await are([cid, eve, fay, dan]);
  await laptop.send(dan, "again");
  await phone.untilSent(dan, 2);
  await are([cid, eve, dan, fay]);
  await phone.call("setConversation", cid, { pinned: false });
  await are([eve, dan, cid, fay]);
  for (const client of own) {
    const first = await client.call("conversations", { limit: 1 });
    assert.deepEqual(first.map(({ id }) => id), [eve]);
  }
  await leave(scene.all);
});

for (const network of ["online", "offline"]) {
  test(`M7 the others learn how far somebody has read: ${network}`, async () => {
    const scene = await cast(browsers, `read, ${network}`);
    const { laptop, tab, phone, bob } = scene;
    const own = [laptop, tab, phone];
    await laptop.sendAll(scene.toBob, ["one", "two", "three"]);
    for (const client of own) await client.untilSent(scene.toBob, 3);
    await bob.untilSent(scene.toAnn, 3);
    const readBy = (conversation) => async (client) => (await client.call("conversation", conversation)).readBy;
    assert.deepEqual(await readBy(scene.toBob)(laptop), {});
    for (const position of [2, 3]) {
      const gone = network === "offline" ? [bob, phone] : [];
      for (const client of gone) await away(client);
      await bob.call("markRead", scene.toAnn, position);
      for (const client of gone) await back(client);
      await agree("all know", own, readBy(scene.toBob), (by) => by[scene.bobName] === position);
    }
    await bob.send(scene.toAnn, "four");
    for (const client of own) await client.untilSent(scene.toBob, 4);
    await phone.call("markRead", scene.toBob);
    const read = async (client) => {
      const { readPosition, unread } = await client.call("conversation", scene.toBob);
      return { readPosition, unread };
    };
    await agree("read on one is read on all", own, read, ({ readPosition, unread }) => readPosition === 4 && unread === 0);
    await agree("Bob knows", [bob], readBy(scene.toAnn), (by) => by[scene.ann] === 4);
    assert.deepEqual(Object.keys(await readBy(scene.toBob)(laptop)), [scene.bobName], "nobody is told of themselves");
    await leave(scene.all);
  });
}

test("M7 in a group each is told of all others", async () => {
  const scene = await cast(browsers, "choir");
  const { laptop, phone, bob, ann, bobName } = scene;
  await server.call("PUT", "/api/groups/choir", { members: [ann, bobName, "cid"] });
  await bob.call("syncNow");
  await bob.send("group:choir", "one");
  await bob.send("group:choir", "two");
  for (const client of [laptop, phone, bob]) await client.untilSent("group:choir", 2);
  await phone.call("markRead", "group:choir", 1);
  const readBy = async (client) => (await client.call("conversation", "group:choir")).readBy;
  await agree("Bob knows", [bob], readBy, (by) => by[ann] === 1);
  await bob.call("markRead", "group:choir", 2);
  await agree("Ann knows on all devices", [laptop, scene.tab, phone], readBy, (by) => by[bobName] === 2);
  await leave(scene.all);
});

function settings(conversation) {
  return async (client) => {
    const { draft, muted, pinned } = (await client.call("conversation", conversation)) ?? NONE;
    return { draft, muted, pinned };
  };
}
