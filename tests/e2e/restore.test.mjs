// Fault 45: the server goes back to a backup, and devices have more of the log than it has.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { agree, away, back, complaints } from "./support/cast.mjs";
import { contents, numbered, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";

const STORAGES = { SQLite: 0, PostgreSQL: Number(process.env.TUTTI_INSTANCES) || 3 };
const [TO_BOB, TO_ANN] = ["direct:bob", "direct:ann"];
/** So much happens after the backup that is lost with it. */
const LOST = 10;

const stage = new Stage();
after(() => stage.clear());

for (const [storage, instances] of Object.entries(STORAGES)) {
  test(`fault 45: ${storage} is restored; what waits is sent, and all are the same again`, async (t) => {
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

    // All this everybody knows to be confirmed, and the server will not.
    for (const client of all) await client.online();
    await laptop.sendAll(TO_BOB, numbered("lost", LOST));
    await bob.sendAll(TO_ANN, numbered("lost, too", LOST));
    await tab.call("edit", kept[1].id, "an edit that is lost");
    await agree("all have what is lost", all, conversation, (messages) => messages.length === 6 + 2 * LOST && areSent(messages));
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
    await agree("those who are there have what the server has", [laptop, tab, bob], conversation, (messages) => messages.length === 6);
    t.diagnostic(`${storage}: those who were there were in step ${Math.round(performance.now() - start)} ms after its end`);
    assert.deepEqual(await conversation(laptop).then(contents), [...numbered("kept", 5), "kept, too"]);

    // The log comes to be longer than it was: now a device's cursor alone says nothing any more.
    await bob.sendAll(TO_ANN, numbered("new", 4 * LOST));
    await laptop.untilSent(TO_BOB, 6 + 4 * LOST);
    assert.ok((await laptop.call("inspect")).cursor > ahead);
    assert.equal((await tablet.call("inspect")).cursor, ahead);
    await back(phone);
    await back(tablet);
    await tab.sendAll(TO_BOB, ["last"]);

    const fresh = await (await stage.profile(server)).client("ann");
    const expected = [
      ...["kept 1", "kept 2", "edited on the phone", "kept 4", "kept 5", "kept, too"],
      ...numbered("new", 4 * LOST),
      ...[...numbered("from the phone", 3), "from the tablet", "last"],
    ];
    const count = expected.length;
    const messages = await agree("all have all", [...all, fresh], conversation, (all) => all.length === count && areSent(all));
    assert.deepEqual(contents(messages), expected);
    const state = await agree("an account's devices are the same", [...anns, fresh], whole, ({ pending }) => pending === 0);
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
