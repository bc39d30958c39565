// C1 and C2: what the user is doing here goes on there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, away, back, begin, cast, complaints, leave } from "./support/cast.mjs";
import { until } from "./support/until.mjs";

const { stage, server, browsers } = await begin();

/** What an application may keep of a task. */
const TASKS = {
  article: { key: "article:on-counterpoint", fields: { paragraph: "p-12", offset: 0.25 } },
  player: { key: "player", fields: { track: 3, position: 61.5, volume: 0.8, shuffle: true, playing: false } },
  chat: { key: "chat:direct:bob", fields: { message: "019a9f1e-0000-7000-8000-000000000001", offset: -12 } },
  odd: { key: "ä/ö 𝄞:" + "k".repeat(200), fields: { nested: { list: [1, [2, { three: "3" }]], no: false }, "𝄞": "" } },
};

for (const [what, { key, fields }] of Object.entries(TASKS)) {
  for (const network of ["live", "after being offline", "from a device that was offline"]) {
    test(`C1 ${what} goes on elsewhere: ${network}`, async (t) => {
      const scene = await cast(browsers, `${what}, ${network}`);
      const { laptop, tab, phone } = scene;
      const own = [laptop, tab, phone];
      const gone = { live: null, "after being offline": phone, "from a device that was offline": laptop }[network];
      for (const client of own) assert.equal(await client.call("session", key), null);
      if (gone) await away(gone);
      const start = performance.now();
      await tab.call("setSession", key, fields);
      const here = await tab.call("session", key);
      assert.deepEqual([here.key, here.fields, here.device], [key, fields, tab.deviceId], "at once where it was done");
      if (gone) await back(gone);
      const session = await agree("all have it", own, (client) => client.call("session", key), (it) => it !== null);
      t.diagnostic(`all have it after ${Math.round(performance.now() - start)} ms`);
      assert.deepEqual(session, { key, fields, updatedAt: session.updatedAt, device: laptop.deviceId });
      assert.ok(Math.abs(session.updatedAt - Date.now()) < 60_000);
      for (const [client, origin] of [
        [tab, "local"],
        [laptop, "tab"],
        [phone, "remote"],
      ]) {
        const last = await until("it is told", async () => (await told(client, key)).at(-1));
        assert.deepEqual(last.fields, fields);
        assert.equal((await told(client, key))[0].origin, origin);
      }
      assert.deepEqual(await scene.bob.call("sessions"), [], "it is nobody else's business");
      for (const client of own) assert.deepEqual(await complaints(client), []);
      await leave(scene.all);
    });
  }
}

test("C1 a device that is opened for the first time has it, and one that was closed", async () => {
  const scene = await cast(browsers, "later");
  const { laptop } = scene;
  await leave([scene.phone]);
  await laptop.call("setSession", "player", { track: 7, position: 12 });
  await laptop.call("syncNow");
  const reopened = await browsers.phone.client(scene.ann);
  const fresh = await (await stage.profile(server)).client(scene.ann);
  const clients = [laptop, scene.tab, reopened, fresh];
  await agree("all have it", clients, (client) => client.call("session", "player"), (it) => it?.fields.track === 7);
  await leave([laptop, scene.tab, scene.bob, reopened]);
});

test("C1 many steps in a row arrive, the last one last", async () => {
  const scene = await cast(browsers, "steps");
  const { laptop, tab, phone } = scene;
  const steps = async ({ client }, [from, to]) => {
    for (let position = from; position <= to; position += 1) await client.setSession("player", { position });
  };
  await tab.run(steps, [1, 50]);
  await agree("all are there", [laptop, tab, phone], position, (at) => at === 50);
  await phone.run(steps, [51, 60]);
  await agree("all are there", [laptop, tab, phone], position, (at) => at === 60);
  const heard = (await told(phone, "player")).map(({ fields }) => fields.position);
  assert.deepEqual(heard, heard.toSorted((a, b) => a - b), "no step back");
  await leave(scene.all);
});

/** What two devices set, offline or not, and what comes of it. `second` is the later one. */
const MERGES = [
  { what: "different fields", first: { volume: 0.5 }, second: { shuffle: true }, both: { volume: 0.5, shuffle: true } },
  { what: "the same field", first: { volume: 0.5 }, second: { volume: 0.7 }, both: { volume: 0.7 } },
  { what: "some of them", first: { track: 1, volume: 0.5 }, second: { track: 2 }, both: { track: 2, volume: 0.5 } },
  { what: "null removes what was there", given: { track: 1, position: 9 }, first: { track: 2 }, second: { position: null }, both: { track: 2 } },
  { what: "null holds against an earlier value", first: { track: 1, volume: 1 }, second: { track: null }, both: { volume: 1 } },
  { what: "a later value holds against null", given: { track: 1 }, first: { track: null }, second: { track: 3 }, both: { track: 3 } },
];
for (const { what, given, first, second, both } of MERGES) {
  for (const returning of ["online", "the later one returns first", "the later one returns last"]) {
    test(`C2 fields merge one by one: ${what}, ${returning}`, async () => {
      const scene = await cast(browsers, `${what}, ${returning}`);
      const { laptop, tab, phone } = scene;
      const own = [laptop, tab, phone];
      const fields = async (client) => sorted((await client.call("session", "player"))?.fields ?? {});
      const are = (wanted) =>
        agree("all are the same", own, fields, (now) => JSON.stringify(now) === JSON.stringify(withoutNulls(wanted)));
      if (given) {
        await laptop.call("setSession", "player", given);
        await are(given);
      }
      const order = {
        online: [],
        "the later one returns first": [phone, laptop],
        "the later one returns last": [laptop, phone],
      }[returning];
      for (const client of order) await away(client);
      await tab.call("setSession", "player", first);
      if (order.length === 0) await are({ ...given, ...first });
      else await passed();
      await phone.call("setSession", "player", second);
      for (const client of order) await back(client);
      await are(both);
      for (const client of own) assert.equal((await client.status()).pending, 0);
      await leave(scene.all);
    });
  }
}

for (const [clocks, ahead] of Object.entries({ right: 0, "an hour ahead": 3_600_000, "an hour behind": -3_600_000 })) {
  for (const by of ["laptop", "tab"]) {
    test(`C2 of several steps made without a network the last one holds: ${by}, clocks ${clocks}`, async () => {
      const path = `/odd.html?clock=${ahead}`;
      const scene = await cast(browsers, `steps, ${by}, ${clocks}`, { laptop: path, tab: path });
      const { laptop, tab, phone } = scene;
      const own = [laptop, tab, phone];
      await away(laptop);
      for (const position of [5, 9, 1]) await scene[by].call("setSession", "player", { position });
      await back(laptop);
      await agree("the last one holds", own, position, (at) => at === 1);
      await phone.call("setSession", "player", { position: 7 });
      await agree("that of the other device, too", own, position, (at) => at === 7);
      await scene[by].call("setSession", "player", { position: 3 });
      await agree("and of this one again", own, position, (at) => at === 3);
      await leave(scene.all);
    });
  }
}

test("C2 what has no fields left is no more, and is told so", async () => {
  const scene = await cast(browsers, "nothing left");
  const { laptop, tab, phone } = scene;
  const own = [laptop, tab, phone];
  await laptop.call("setSession", "player", { track: 1 });
  await agree("all have it", own, (client) => client.call("session", "player"), (it) => it !== null);
  await phone.call("setSession", "player", { track: null });
  await agree("it is gone", own, (client) => client.call("session", "player"), (it) => it === null);
  for (const client of own) {
    assert.deepEqual(await client.call("sessions"), []);
    assert.deepEqual((await told(client, "player")).at(-1).fields, {});
  }
  await leave(scene.all);
});

test("C2 sessions(prefix) lists those whose keys begin so, by key, on all devices", async () => {
  const scene = await cast(browsers, "prefix");
  const { laptop, tab, phone } = scene;
  const own = [laptop, tab, phone];
  const keys = ["article:b", "article:a", "articles", "player", "chat:direct:bob", "article:ä"];
  for (const [at, key] of keys.entries()) await own[at % 3].call("setSession", key, { at });
  const list = (prefix) => async (client) => (await client.call("sessions", ...prefix)).map(({ key }) => key);
  await agree("all have all", own, list([]), (all) => all.length === keys.length);
  const PREFIXES = [
    [[], ["article:a", "article:b", "article:ä", "articles", "chat:direct:bob", "player"]],
    [[""], ["article:a", "article:b", "article:ä", "articles", "chat:direct:bob", "player"]],
    [["article:"], ["article:a", "article:b", "article:ä"]],
    [["article"], ["article:a", "article:b", "article:ä", "articles"]],
    [["player"], ["player"]],
    [["players"], []],
  ];
  for (const [prefix, wanted] of PREFIXES) {
    for (const client of own) assert.deepEqual(await list(prefix)(client), wanted);
  }
  await leave(scene.all);
});

test("C2 what is no session is refused before anything is stored", async () => {
  const scene = await cast(browsers, "refused");
  const { laptop } = scene;
  const many = Object.fromEntries(Array.from({ length: 33 }, (_, at) => [`field ${at}`, at]));
  const CALLS = [
    ["", { a: 1 }, "invalid"],
    ["k".repeat(257), { a: 1 }, "invalid"],
    ["line\nbreak", { a: 1 }, "invalid"],
    ["key", {}, "invalid"],
    ["key", { "": 1 }, "invalid"],
    ["key", { ["n".repeat(65)]: 1 }, "invalid"],
    ["key", many, "too-large"],
    ["key", { a: "x".repeat(33_000) }, "too-large"],
  ];
  for (const [key, fields, code] of CALLS) {
    await assert.rejects(laptop.call("setSession", key, fields), { code, isSyncError: true });
  }
  assert.equal((await laptop.status()).pending, 0);
  assert.deepEqual(await laptop.call("sessions"), []);
  await leave(scene.all);
});

/** Waits until what comes is later than what was, by more than what devices can tell of the server's time. */
async function passed() {
  const now = Date.now();
  await until("time passes", () => Date.now() > now + 1_000);
}

/** What a client was told under a key, in order. */
async function told(client, key) {
  return (await client.log("session")).map(({ event }) => event).filter((session) => session.key === key);
}

async function position(client) {
  return (await client.call("session", "player"))?.fields.position;
}

function withoutNulls(fields) {
  return sorted(Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)));
}

function sorted(fields) {
  return Object.fromEntries(Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
