// Fault 45: the server goes back to a backup, and devices have more of the log than it has.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { agree, away, back, complaints } from "./support/cast.mjs";
import { contents, numbered, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";

const STORAGES = { SQLite: 0, PostgreSQL: Number(process.env.TUTTI_INSTANCES) || 3 };
const [TO_BOB, TO_ANN] = ["direct:bob", "direct:ann"];
/** So many messages each says after the backup was made, which the server then lacks. */
const SINCE = 10;

const stage = new Stage();
after(() => stage.clear());

for (const [storage, instances] of Object.entries(STORAGES)) {
  test(`fault 45: ${storage} is restored; what it lacks and what waits is sent, and all are the same again`, async (t) => {
    const server = await stage.server({ instances });
    const [laptops, phones, tablets, bobs] = await stage.profiles(server, 4);
    const [laptop, tab] = [await laptops.client("ann"), await laptops.client("ann")];
    const [phone, tablet, bob] = [await phones.client("ann"), await tablets.client("ann"), await bobs.client("bob")];
    const anns = [laptop, tab, phone, tablet];
    const all = [...anns, bob];
    for (const client of all) await client.online();

    const kept = await laptop.sendAll(TO_BOB, numbered("kept", 5));
    await bob.untilSent(TO_ANN, kept.length);
    await bob.sendAll(TO_ANN, ["kept, too"]);
    await laptop.call("setSession", "article", { position: 1 });
    await agree("all have what is kept", all, conversation, (messages) => messages.length === 6 && areSent(messages));
    await server.backUp();

    // All this everybody knows to be confirmed, and the server will lack it.
    for (const client of all) await client.online();
    await laptop.sendAll(TO_BOB, numbered("since", SINCE));
    await bob.sendAll(TO_ANN, numbered("since, too", SINCE));
    await tab.call("edit", kept[1].id, "edited since");
    await agree("all have what was said since", all, conversation, (messages) => messages.length === 6 + 2 * SINCE && areSent(messages));
    await laptop.call("markRead", TO_BOB);
    await laptop.call("setSession", "article", { position: 2 });
    await agree("and how far is read", anns, whole, ({ unread, article }) => unread === 0 && article === 2);
    const ahead = (await tablet.call("inspect")).cursor;

    // These wait on two devices.
    for (const client of [phone, tablet]) await away(client);
    await phone.sendAll(TO_BOB, numbered("from the phone", 3));
    await phone.call("edit", kept[2].id, "edited on the phone");
    await tablet.sendAll(TO_BOB, ["from the tablet"]);
    await tablet.call("setSession", "article", { position: 3 });

    const start = performance.now();
    await server.restore();
    for (const client of [laptop, bob]) await client.online({ within: 60_000 });
    const there = 6 + 2 * SINCE;
    // What a new device knows is what the server has.
    const witness = await (await stage.profile(server)).client("ann");
    const again = await agree("the server has all again", [laptop, tab, bob, witness], conversation, (messages) => messages.length === there && areSent(messages));
    t.diagnostic(`${storage}: all was there again ${Math.round(performance.now() - start)} ms after its end`);
    const before = ["kept 1", "edited since", ...numbered("kept", 5).slice(2), "kept, too"];
    assert.deepEqual(contents(again).slice(0, 6), before);
    // Each has its own in their order, and whoever comes first is first.
    const since = contents(again).slice(6);
    for (const text of ["since", "since, too"]) {
      const own = numbered(text, SINCE);
      assert.deepEqual(since.filter((it) => own.includes(it)), own);
    }
    assert.equal(since.length, 2 * SINCE);
    await agree("and how far they were", [laptop, tab, witness], whole, ({ article, pending }) => article === 2 && pending === 0);

    // The log comes to be longer than it was: now a device's cursor alone says nothing any more.
    await bob.sendAll(TO_ANN, numbered("new", 4 * SINCE));
    await laptop.untilSent(TO_BOB, there + 4 * SINCE);
    assert.ok((await laptop.call("inspect")).cursor > ahead);
    assert.equal((await tablet.call("inspect")).cursor, ahead);
    await back(phone);
    await back(tablet);
    await tab.sendAll(TO_BOB, ["last"]);

    const fresh = await (await stage.profile(server)).client("ann");
    const expected = [
      ...before.with(2, "edited on the phone"),
      ...since,
      ...numbered("new", 4 * SINCE),
      ...[...numbered("from the phone", 3), "from the tablet", "last"],
    ];
    const count = expected.length;
    const messages = await agree("all have all", [...all, witness, fresh], conversation, (all) => all.length === count && areSent(all));
    assert.deepEqual(contents(messages), expected);
    const state = await agree("an account's devices are the same", [...anns, witness, fresh], whole, ({ pending }) => pending === 0);
    assert.equal(state.article, 3);
    for (const client of all) assert.deepEqual(await complaints(client), []);
    for (const { pageErrors } of [laptops, phones, tablets, bobs]) assert.deepEqual(pageErrors, []);
  });
}

/** What Ann and Bob see alike. */
async function conversation(client) {
  return summary(await client.messages(client.account === "ann" ? TO_BOB : TO_ANN));
}

/** What Ann's devices are to agree on besides. */
async function whole(client) {
  const { unread, readPosition, lastMessage } = await client.call("conversation", TO_BOB);
  const article = (await client.call("session", "article"))?.fields.position;
  return { unread, readPosition, last: lastMessage?.id, article, pending: (await client.status()).pending };
}

function areSent(messages) {
  return messages.every(({ state }) => state === "sent");
}
