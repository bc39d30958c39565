// M6: whoever edits a message when and where, all end with the same, decided by when it was done.
import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, away, back, begin, cast, complaints, leave } from "./support/cast.mjs";
import { Client, inPage } from "./support/client.mjs";
import { until } from "./support/until.mjs";

const HOUR = 60 * 60 * 1000;

const { stage, browsers } = await begin();

/** Clocks of the phone's page, in milliseconds ahead: when it opens, and from when it is online. */
const CLOCKS = {
  "clocks that are right": [0, 0],
  "one clock an hour ahead": [HOUR, HOUR],
  "one clock an hour behind": [-HOUR, -HOUR],
  "one clock set an hour ahead while online": [0, HOUR],
};

/** Who is offline while both edit, in the order in which they return. */
const NETWORKS = {
  "both online": [],
  "one offline": ["phone"],
  "the other offline": ["laptop"],
  "both offline": ["laptop", "phone"],
  "both offline, returning the other way round": ["phone", "laptop"],
};

for (const [clocks, [opening, online]] of Object.entries(CLOCKS)) {
  for (const [network, gone] of Object.entries(NETWORKS)) {
    test(`M6 edits of two devices at once: ${network}, ${clocks}`, async () => {
      const scene = await cast(browsers, `${network}, ${clocks}`, { phone: `/odd.html?clock=${opening}` });
      const { laptop, tab, phone, all } = scene;
      await inPage(phone.page, (ahead) => odd.setClock(ahead), online);
      const { id } = await laptop.send(scene.toBob, "first");
      await agree("all have it", all, look(id), ([content]) => content === "first");

      // At once: whichever it is, all end with one of them.
      for (const name of gone) await away(scene[name]);
      await Promise.all([tab.call("edit", id, "of the laptop"), phone.call("edit", id, "of the phone")]);
      for (const client of [laptop, tab]) {
        await until("it is shown here", async () => (await client.call("message", id)).content !== "first");
      }
      for (const name of gone) await back(scene[name]);
      for (const client of [laptop, phone]) await client.call("syncNow");
      const both = await agree("all have an edit", all, look(id), ([content]) => content?.startsWith("of the "));
      assert.ok(Math.abs(both[1] - Date.now()) < HOUR / 2, "editedAt is the server's time");

      // One after the other: the later one, whoever has the odd clock and whoever comes first.
      for (const [early, late] of [
        [phone, laptop],
        [laptop, phone],
      ]) {
        const text = `later, of ${late === phone ? "the phone" : "the laptop"}, ${network}`;
        for (const name of gone) await away(scene[name]);
        await early.call("edit", id, `earlier, ${text}`);
        if (gone.length > 0) await passed();
        else await agree("it is seen", [late], look(id), ([content]) => content === `earlier, ${text}`);
        await late.call("edit", id, text);
        for (const name of gone) await back(scene[name]);
        for (const client of [laptop, phone]) await client.call("syncNow");
        const [content, editedAt] = await agree("all have the later one", all, look(id), ([content]) => content === text);
        assert.equal(content, text);
        assert.ok(editedAt >= both[1] && editedAt <= Date.now());
      }
      for (const client of all) {
        const { messages } = await client.history(client === scene.bob ? scene.toAnn : scene.toBob);
        assert.equal(messages.length, 1);
        assert.deepEqual(await complaints(client), []);
        assert.equal((await client.status()).pending, 0);
      }
      await leave(all);
    });
  }
}

for (const [clocks, ahead] of Object.entries({ "an hour ahead": HOUR, "an hour behind": -HOUR })) {
  test(`M6 edits in a tab that follows, with a clock that is ${clocks}`, async () => {
    const path = `/odd.html?clock=${ahead}`;
    const scene = await cast(browsers, `a tab with a clock ${clocks}`, { laptop: path, tab: path });
    const { laptop, tab, phone, all } = scene;
    const { id } = await laptop.send(scene.toBob, "first");
    await agree("all have it", all, look(id), ([content]) => content === "first");
    for (const turn of [1, 2]) {
      for (const [name, client] of Object.entries({ phone, tab, laptop })) {
        const text = `turn ${turn}, of the ${name}`;
        await client.call("edit", id, text);
        await agree("all have it", all, look(id), ([content]) => content === text);
      }
    }
    // Of several in a row, made without a network, the last one.
    await away(laptop);
    for (const text of ["b", "c", "a"]) await tab.call("edit", id, text);
    await back(laptop);
    await agree("all have the last one", all, look(id), ([content]) => content === "a");
    // And of those made while others went on, the later one.
    await away(laptop);
    await phone.call("edit", id, "earlier");
    await passed();
    await tab.call("edit", id, "later");
    await back(laptop);
    await agree("all have the later one", all, look(id), ([content]) => content === "later");
    for (const client of all) assert.deepEqual(await complaints(client), []);
    await leave(all);
  });
}

test("M6 edits before the server was ever reached: a clock far ahead does not win for ever", async () => {
  const server = await stage.server();
  const [first, second] = await stage.profiles(server, 2);
  const laptop = await first.client("ann");
  await laptop.online();
  // Registered, then opened anew without a network: it knows no time but that of its clock.
  const registering = await second.client("ann", {}, `/odd.html?clock=${HOUR}`);
  const { id } = await laptop.send("direct:bob", "first");
  await registering.untilSent("direct:bob", 1);
  const token = await server.token("ann");
  await registering.page.close();
  const page = await second.tab(`/odd.html?clock=${HOUR}`);
  await inPage(page, () => tutti.init().then(() => true));
  await server.stop();
  const phone = await Client.open(page, { url: server.url, account: "ann", token });
  await phone.call("edit", id, "from an hour ahead");
  await passed();
  await laptop.call("edit", id, "later");
  await server.start();
  for (const client of [phone, laptop]) await client.call("syncNow");
  await agree("both have the same", [laptop, phone], look(id));
  await laptop.call("edit", id, "in the end");
  await laptop.call("syncNow");
  await agree("the last one holds", [laptop, phone], look(id), ([content]) => content === "in the end");
  for (const client of [phone, laptop]) assert.equal((await client.status()).pending, 0);
});

/** What all must see alike. */
function look(id) {
  return async (client) => {
    const { content, editedAt, state } = (await client.call("message", id)) ?? {};
    return [content, editedAt, state];
  };
}

/** Waits until what comes is later than what was, by more than what devices can tell of the server's time. */
async function passed() {
  const now = Date.now();
  await until("time passes", () => Date.now() > now + 1_000);
}
