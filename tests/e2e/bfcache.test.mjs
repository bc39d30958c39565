// Fault 6: a page that is put aside for "back" lets go of everything at once, and joins again when it is restored.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { contents, ids, numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const BROWSERS = {
  // Playwright turns the cache off; here it is the point.
  Chromium: { engine: "chromium", launch: { ignoreDefaultArgs: ["--disable-back-forward-cache"] } },
  Firefox: { engine: "firefox" },
};

const stage = new Stage();
after(() => stage.clear());
let server;

before(async () => {
  server = await stage.server();
});

for (const name of Object.keys(BROWSERS)) {
  test(`fault 6, ${name}: a page that follows goes away and comes back, and is in step`, async (t) => {
    const { ann, bob, toAnn, toBob, profile, end } = await cast(name, "following");
    const leader = await profile.client(ann);
    await leads(leader);
    const tab = await profile.client(ann);
    await follows(tab);
    const said = ["before"];
    await tab.send(toBob, said[0]);
    await bob.untilSent(toAnn, 1);
    await tab.untilSent(toBob, 1);

    await goAway(tab.page);
    await leader.untilStatus("alone", ({ tabs }) => tabs === 1);
    for (const text of numbered("meanwhile", 50)) said.push((await leader.send(toBob, text)).content);
    await bob.untilSent(toAnn, said.length);

    const shown = await comeBack(tab.page);
    assert.deepEqual(contents(await tab.untilSent(toBob, said.length)), said);
    t.diagnostic(`the restored page was in step after ${await timeToBeInStep(tab, shown, said.length)} ms`);
    await follows(tab);
    await leader.untilStatus("one of two", ({ tabs }) => tabs === 2);
    said.push((await tab.send(toBob, "after it came back")).content);
    await bob.untilSent(toAnn, said.length);
    // It takes part again: in leading, too.
    await leader.page.close();
    await leads(tab);
    said.push((await tab.send(toBob, "and when it leads")).content);
    assert.deepEqual(contents(await bob.untilSent(toAnn, said.length)), said);
    const told = (await tab.added()).map(({ message }) => message.content);
    assert.deepEqual(told.toSorted(), said.toSorted(), "told once");
    assert.equal((await server.connections(ann)).length, 1);
    await end();
  });

  test(`fault 6, ${name}: a page that goes away while it writes loses nothing`, async (t) => {
    const { ann, bob, toAnn, toBob, profile, end } = await cast(name, "in mid-write");
    const tab = await profile.client(ann);
    await leads(tab);
    const other = await profile.client(ann);
    await follows(other);
    // The other tab hears of each send that has resolved: the browser may not keep a page that is just writing.
    await inPage(other.page, () => {
      globalThis.kept = [];
      new BroadcastChannel("kept").onmessage = ({ data }) => kept.push(data);
    });
    const texts = numbered("one after another", 200);
    await tab.run(
      ({ client }, [conversation, texts]) => {
        const kept = new BroadcastChannel("kept");
        const send = async () => {
          for (const text of texts) kept.postMessage((await client.send(conversation, text)).id);
        };
        globalThis.sending = send().finally(() => (globalThis.sent = true));
        return true;
      },
      [toBob, texts],
    );
    await until("it writes", () => inPage(other.page, () => kept.length >= 20));
    const left = await goAway(tab.page);
    t.diagnostic(`another tab led and was online after ${await timeToTakeOver(other, left)} ms`);
    const restored = await comeBack(tab.page, { loadedWillDo: true });
    if (restored) await until("it has gone on", () => inPage(tab.page, () => globalThis.sent));
    const back = restored ? tab : await profile.clientIn(tab.page, ann);
    await follows(back);

    const kept = await inPage(other.page, () => kept);
    t.diagnostic(`${kept.length} sends had resolved, ${restored ? "and the page was restored" : "the page was loaded anew"}`);
    await until("all that was promised has arrived", async () => {
      const there = new Set(ids(await bob.messages(toAnn)));
      return kept.every((id) => there.has(id));
    });
    for (const client of [back, other]) await client.untilStatus("done", ({ pending }) => pending === 0);
    const list = await back.messages(toBob);
    assert.deepEqual(contents(list), texts.slice(0, list.length), "once, in order, without a gap");
    assert.deepEqual(ids(await other.untilSent(toBob, list.length)), ids(list));
    assert.deepEqual(ids(await bob.untilSent(toAnn, list.length)), ids(list));
    await end();
  });
}

// Firefox never keeps a page that has a WebSocket when it is left; Chromium does, if it is closed then.
test("fault 6, Chromium: the page that leads goes away and comes back: another leads meanwhile, and it follows", async (t) => {
  const { ann, bob, toAnn, toBob, profile, end } = await cast("Chromium", "beside another tab");
  const tab = await profile.client(ann);
  await leads(tab);
  const other = await profile.client(ann);
  await follows(other);
  const said = ["before"];
  await tab.send(toBob, said[0]);
  await bob.untilSent(toAnn, 1);

  const left = await goAway(tab.page);
  t.diagnostic(`another tab led and was online after ${await timeToTakeOver(other, left)} ms`);
  assert.equal((await other.status()).tabs, 1);
  assert.equal((await server.connections(ann)).length, 1);
  for (const text of numbered("from the other tab, meanwhile", 3)) said.push((await other.send(toBob, text)).content);
  await bob.untilSent(toAnn, said.length);
  for (const text of numbered("from Bob, meanwhile", 50)) said.push((await bob.send(toAnn, text)).content);
  await other.untilSent(toBob, said.length);

  const shown = await comeBack(tab.page);
  await follows(tab);
  assert.deepEqual(contents(await tab.untilSent(toBob, said.length)), said);
  t.diagnostic(`the restored page was in step after ${await timeToBeInStep(tab, shown, said.length)} ms`);
  for (const client of [tab, other]) await client.untilStatus("one of two", ({ tabs }) => tabs === 2);
  assert.equal((await other.status()).role, "leader", "it stays with the one that leads");
  assert.equal((await server.connections(ann)).length, 1);
  for (const [at, client] of [tab, other, bob].entries()) {
    said.push((await client.send(at < 2 ? toBob : toAnn, `after it came back, ${at}`)).content);
    for (const [client, to] of [
      [tab, toBob],
      [other, toBob],
      [bob, toAnn],
    ]) {
      assert.deepEqual(contents(await client.untilSent(to, said.length)), said);
    }
  }
  const told = (await tab.added()).map(({ message }) => message.content);
  assert.deepEqual(told.toSorted(), said.toSorted(), "told once");
  await end();
});

test("fault 6, Chromium: the only page goes away and comes back, again and again", async (t) => {
  const { ann, bob, toAnn, toBob, profile, end } = await cast("Chromium", "alone");
  const tab = await profile.client(ann);
  await leads(tab);
  const said = [];
  const times = [];
  for (const round of [1, 2, 3]) {
    said.push((await tab.send(toBob, `round ${round}, before it goes`)).content);
    await bob.untilSent(toAnn, said.length);
    await goAway(tab.page);
    await until("nobody is connected", async () => (await server.connections(ann)).length === 0);
    for (const text of numbered(`round ${round}, while it is away`, 10)) said.push((await bob.send(toAnn, text)).content);
    await bob.untilSent(toAnn, said.length);

    const shown = await comeBack(tab.page);
    await leads(tab);
    assert.deepEqual(contents(await tab.untilSent(toBob, said.length)), said);
    times.push(await timeToBeInStep(tab, shown, said.length));
    assert.equal((await server.connections(ann)).length, 1);
  }
  t.diagnostic(`the restored page was in step after ${times.join(", ")} ms`);
  const told = (await tab.added()).map(({ message }) => message.content);
  assert.deepEqual(told.toSorted(), said.toSorted(), "told once");
  assert.deepEqual(await tab.log("error"), []);
  await end();
});

/** Two browsers: Ann's, which keeps pages for "back", and Bob's. */
async function cast(name, scene) {
  const [profile, other] = [await stage.profile(server, BROWSERS[name]), await stage.profile(server)];
  const [ann, bobs] = [`ann, ${name}, ${scene}`, `bob, ${name}, ${scene}`];
  const bob = await other.client(bobs);
  await bob.online();
  const end = async () => {
    for (const { pageErrors } of [profile, other]) assert.deepEqual(pageErrors, []);
    for (const ended of [profile, other]) await ended.close();
  };
  return { profile, ann, bob, toBob: `direct:${bobs}`, toAnn: `direct:${ann}`, end };
}

function leads(client) {
  return client.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");
}

function follows(client) {
  return client.untilStatus("following", ({ role, connection }) => role === "follower" && connection === "online");
}

/** Waits until a tab leads; how long that was after a moment, in milliseconds. */
async function timeToTakeOver(tab, since) {
  await leads(tab);
  const leading = ({ event }) => event.role === "leader" && event.connection === "online";
  const { at } = await until("it has said so", async () => (await tab.log("status")).find(leading));
  return Math.round((await tab.run(() => performance.timeOrigin)) + at - since);
}

/** Goes on to another page of the site, as a link does; when the page was left, in absolute time. */
async function goAway(page) {
  await inPage(page, () => {
    delete globalThis.shown;
    const now = () => performance.timeOrigin + performance.now();
    addEventListener("pagehide", () => sessionStorage.setItem("left", now()), { once: true });
    addEventListener("pageshow", ({ persisted }) => (globalThis.shown = { persisted, at: performance.now() }), { once: true });
  });
  await page.goto(`${server.origin}/away.html`);
  return page.evaluate('Number(sessionStorage.getItem("left"))');
}

/** Back in the history; when the restored page was shown, in its own time. Null for one that was loaded anew. */
async function comeBack(page, { loadedWillDo = false } = {}) {
  await page.goBack({ waitUntil: "commit" });
  const state = "globalThis.harness && { client: harness.clients.length > 0, shown: globalThis.shown }";
  const { client, shown } = await until("the page is back", async () => {
    const there = await page.evaluate(state);
    return there && (!there.client || there.shown) && there;
  });
  if (!client && loadedWillDo) return null;
  assert.equal(shown?.persisted, true, "it was restored, not loaded");
  return shown.at;
}

/** How long after it was shown a page was online and knew of so many messages. */
async function timeToBeInStep(tab, shown, count) {
  const { messages, status } = await tab.run(({ log }) => log);
  let known = 0;
  const all = messages.find(({ event }) => (known += event.filter(({ change }) => change === "added").length) >= count);
  const online = status.find(({ at, event }) => at >= shown && event.connection === "online");
  return Math.round(Math.max(all.at, online?.at ?? shown) - shown);
}
