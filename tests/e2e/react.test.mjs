// The hooks, in a browser, with real clients and a real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { away, back, leave } from "./support/cast.mjs";
import { inPage } from "./support/client.mjs";
import { numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { storedAt } from "./support/stored.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server, laptop, phone;

before(async () => {
  server = await stage.server({ react: 19 });
  [laptop, phone] = await stage.profiles(server, 2);
});
after(() => {
  for (const { pageErrors } of [laptop, phone]) assert.deepEqual(pageErrors, []);
});

const PAGE = "/react.html";

/** Ann in two tabs and Ben on another device, each with a page that can show components. */
async function cast(scene) {
  const [ann, ben] = [`ann, ${scene}`, `ben, ${scene}`];
  const players = {
    tab: await laptop.client(ann, {}, PAGE),
    other: await laptop.client(ann, {}, PAGE),
    ben: await phone.client(ben, {}, PAGE),
  };
  const all = Object.values(players);
  await Promise.all(all.map((client) => client.online()));
  return { ...players, all, ann, benName: ben, toBen: `direct:${ben}`, toAnn: `direct:${ann}` };
}

/** Shows components of these kinds, `[kind, props]`. */
function mount(client, elements, options = {}) {
  const body = ({ client }, [elements, options]) => harness.mount("page", client, elements, options);
  return client.run(body, [elements, options]);
}

/** Each value with which a component was rendered, in order. */
function rendered(client, name) {
  return client.run((_, name) => harness.rendered[name] ?? [], name);
}

/** The last of them. */
function shown(client, name) {
  return client.run((_, name) => harness.rendered[name]?.at(-1), name);
}

async function untilShown(client, name, holds) {
  let last;
  const check = async () => {
    last = await shown(client, name);
    return last !== undefined && holds(last);
  };
  await until(`${client.account} is shown this ${name}`, check).catch((error) => {
    throw new Error(`${error.message}; it is ${JSON.stringify(last)?.slice(0, 2_000)}`);
  });
  return last;
}

/** Nothing more is rendered under these names by what is done. */
async function rendersNothing(client, names, action) {
  const count = () => client.run((_, names) => names.map((name) => harness.rendered[name].length), names);
  const before = await count();
  await action();
  assert.deepEqual(await count(), before, `renders of ${names}`);
}

const contents = ({ messages }) => messages.map(({ content }) => content);
const part = (use, id) => ["part", { name: use, use, id }];
const timeline = (id, options) => ["timeline", { name: "timeline", id, options }];

test("each hook shows what there is, and how it changes", async () => {
  const { tab, other, ben, all, ann, benName, toBen, toAnn } = await cast("each hook");
  const elements = [
    timeline(toBen),
    part("status"),
    part("client"),
    part("conversations"),
    part("conversation", toBen),
    part("typing", toBen),
    part("session", "article"),
    part("notifications"),
    part("devices"),
  ];
  await mount(tab, elements);
  await untilShown(tab, "timeline", ({ loading, messages }) => loading === null && messages.length === 0);
  await untilShown(tab, "conversations", ({ loading, conversations }) => !loading && conversations.length === 0);
  await untilShown(tab, "conversation", ({ loading, conversation }) => !loading && conversation === null);
  await untilShown(tab, "session", ({ loading, session }) => !loading && session === null);
  await untilShown(tab, "devices", ({ devices }) => devices?.length === 1);
  assert.equal(await shown(tab, "client"), await tab.run(({ client }) => client.tabId));

  await ben.send(toAnn, "Good evening");
  await other.send(toBen, "So it is");
  await untilShown(tab, "timeline", (view) => contents(view).join() === "Good evening,So it is");
  await untilShown(tab, "conversations", ({ conversations: [it] }) => it?.lastMessage.content === "So it is");
  await untilShown(tab, "conversation", ({ conversation }) => conversation?.unread === 1);
  // Only those who share a conversation learn how the other is.
  await mount(tab, [...elements, part("presence", benName)]);
  await untilShown(tab, "presence", ({ presence }) => presence?.presence === "online");
  await ben.call("setPresence", "busy");
  await untilShown(tab, "presence", ({ presence }) => presence.presence === "busy");
  await ben.call("setTyping", toAnn);
  await untilShown(tab, "typing", (typing) => typing.join() === benName);
  await ben.call("setTyping", toAnn, false);
  await untilShown(tab, "typing", (typing) => typing.length === 0);
  await other.call("setSession", "article", { paragraph: 7 });
  await untilShown(tab, "session", ({ session, origin }) => session?.fields.paragraph === 7 && origin === "tab");
  await server.call("POST", "/api/notifications", { accounts: [ann], title: "News", body: "Good ones" });
  await untilShown(tab, "notifications", ({ notifications: [it] }) => it?.title === "News");
  const [device] = (await shown(tab, "devices")).devices;
  await other.call("renameDevice", device.id, "Another name");
  await untilShown(tab, "devices", ({ devices: [it] }) => it.name === "Another name");
  await away(tab);
  await untilShown(tab, "status", ({ connection }) => connection === "offline");
  await untilShown(tab, "presence", ({ presence }) => presence === null);
  await back(tab);
  await untilShown(tab, "presence", ({ presence }) => presence?.presence === "busy");
  await leave(all);
});

test("nothing is rendered that has not changed", async () => {
  const { tab, ben, all, ann, toBen, toAnn } = await cast("renders");
  for (const text of numbered("old", 5)) await ben.send(toAnn, text);
  await tab.untilSent(toBen, 5);
  const elsewhere = "direct:somebody else";
  const third = ["part", { name: "elsewhere", use: "conversation", id: elsewhere }];
  await mount(tab, [timeline(toBen), part("conversation", toBen), third]);
  await untilShown(tab, "timeline", (view) => contents(view).length === 5);
  await untilShown(tab, "elsewhere", ({ loading }) => !loading);
  assert.equal((await rendered(tab, "timeline")).length, 2, "at first, and with its messages");

  await rendersNothing(tab, ["timeline", "conversation"], async () => {
    await server.message("somebody else", `direct:${ann}`, "Elsewhere");
    await untilShown(tab, "elsewhere", ({ conversation }) => conversation?.unread === 1);
  });
  // Nor do the messages that were there when others come, or the list when a draft is kept.
  await ben.send(toAnn, "new");
  await untilShown(tab, "timeline", (view) => contents(view).at(-1) === "new");
  assert.deepEqual(Object.values(await tab.run(() => harness.rows)), [1, 1, 1, 1, 1, 1]);
  await rendersNothing(tab, ["timeline", "elsewhere"], async () => {
    await tab.call("setConversation", toBen, { draft: "To be written" });
    await untilShown(tab, "conversation", ({ conversation }) => conversation.draft === "To be written");
  });
  // A reconnection has all read again, and it is as it was.
  await rendersNothing(tab, ["timeline", "elsewhere"], async () => {
    await away(tab);
    const { length } = await tab.log("catch-up");
    await back(tab);
    await until("it has caught up", async () => (await tab.log("catch-up")).length > length);
  });
  await leave(all);
});

for (const strict of [false, true]) {
  test(`a message on its way is there at once, and sent in its place${strict ? ", in StrictMode" : ""}`, async () => {
    const { tab, other, all, toBen } = await cast(strict ? "strictly on its way" : "on its way");
    for (const client of [tab, other]) await mount(client, [timeline(toBen)], { strict });
    await tab.send(toBen, "before");
    await tab.untilSent(toBen, 1);
    await away(tab);
    // At once, and by turns.
    const ids = await tab.run(
      async ({ client }, to) => Promise.all(["a", "b", "c"].map((text) => client.send(to, text).then(({ id }) => id))),
      toBen,
    );
    ids.push((await other.send(toBen, "d")).id, (await tab.send(toBen, "e")).id);
    for (const client of [tab, other]) {
      await untilShown(client, "timeline", (view) => contents(view).join() === "before,a,b,c,d,e");
      await client.run((_, ids) => {
        harness.elements = ids.map((id) => document.querySelector(`[data-id="${id}"]`));
      }, ids);
    }
    await back(tab);
    for (const client of [tab, other]) {
      await untilShown(client, "timeline", ({ messages }) => messages.every(({ state }) => state === "sent"));
      const views = (await rendered(client, "timeline")).filter(({ messages }) => messages.length > 1);
      const written = ["before", "a", "b", "c", "d", "e"];
      for (const view of views) assert.deepEqual(contents(view), written.slice(0, view.messages.length));
      for (const id of ids) {
        const states = views.flatMap(({ messages }) => messages.filter((it) => it.id === id)).map(({ state }) => state);
        assert.match(states.join(" "), /^(pending ?)+(sent ?)+$/, "it never goes back");
      }
      const isSame = await client.run(
        (_, ids) => ids.every((id, at) => harness.elements[at] === document.querySelector(`[data-id="${id}"]`)),
        ids,
      );
      assert.ok(isSame, "what is on screen is the same element all the time");
      if (!strict) {
        const rows = await client.run(() => harness.rows);
        assert.deepEqual(ids.map((id) => rows[id]), [2, 2, 2, 2, 2], "once on its way, once sent");
      }
    }
    await leave(all);
  });
}

test("a thousand messages are paged through, each once and in order, while more come", async () => {
  const { tab, ben, all, ann, benName } = await cast("thousand");
  // Several, since the server has each account wait after 500.
  const singers = [benName, "cid", "dan", "eve"];
  const choir = "group:a thousand";
  await server.call("PUT", "/api/groups/a%20thousand", { members: [ann, ...singers] });
  for (let number = 1; number <= 1_000; number += 1) await server.message(singers[number % 4], choir, number);
  const last = async () => (await tab.history(choir, { limit: 1 })).messages[0]?.position;
  await until("all is there", async () => (await last()) === 1_000);
  await mount(tab, [timeline(choir), ["timeline", { name: "sliding", id: choir, options: { limit: 200 } }]]);
  await untilShown(tab, "timeline", ({ messages }) => messages.length === 50);
  await tab.run(() => harness.timelines.sliding.follow(false));
  await tab.page.bringToFront(); // others have few frames
  await ben.send(choir, "and one more");
  const pages = await tab.run(async (_, names) => {
    const pages = {};
    for (const name of names) {
      pages[name] = 0;
      // Several times at once, as a scroll listener would.
      while (harness.timelines[name].hasOlder) {
        await Promise.all([1, 2, 3].map(() => harness.timelines[name].loadOlder()));
        await new Promise(requestAnimationFrame);
        pages[name] += 1;
      }
    }
    return pages;
  }, ["timeline", "sliding"]);
  assert.deepEqual(pages, { timeline: 19, sliding: 19 });
  const view = await untilShown(tab, "timeline", ({ messages }) => messages.length === 1_001);
  assert.deepEqual(contents(view), [...Array.from({ length: 1_000 }, (_, at) => at + 1), "and one more"]);
  assert.deepEqual([view.hasOlder, view.hasNewer, view.holes, view.error], [false, false, [], null]);
  const slid = await shown(tab, "sliding");
  assert.deepEqual(contents(slid), Array.from({ length: 200 }, (_, at) => at + 1));
  assert.equal(slid.hasNewer, true);
  const most = await tab.run(() => Math.max(...harness.rendered.sliding.map(({ messages }) => messages.length)));
  assert.equal(most, 200, "never more than its limit");

  const { id } = view.messages[499];
  assert.equal(await tab.run((_, id) => harness.timelines.sliding.loadAround(id), id), true);
  const around = await untilShown(tab, "sliding", ({ loading }) => loading === null);
  assert.deepEqual([around.messages.some((it) => it.id === id), around.hasOlder, around.hasNewer], [true, true, true]);
  await tab.run(() => harness.timelines.sliding.loadLatest());
  await untilShown(tab, "sliding", (view) => contents(view).at(-1) === "and one more" && !view.hasNewer);
  await leave(all);
});

test("components that look at one conversation are never on screen with two versions of it", async () => {
  const { tab, ben, all, toBen, toAnn } = await cast("tearing");
  await mount(tab, [["torn", { id: toBen, readers: 12 }]]);
  await tab.run(() => harness.torn.begin());
  const torn = () => tab.run(() => harness.torn);
  for (let number = 1; (await torn()).mixed < 5; number += 1) {
    const { shown } = await torn();
    await ben.send(toAnn, `message ${number}`);
    await until("they are on screen again", async () => (await torn()).shown > shown);
  }
  await tab.run(() => void (harness.torn.running = false));
  assert.equal((await torn()).times, 0);
  await leave(all);
});

test("what is not looked at any more leaves no listener behind", async () => {
  const { tab, all, benName, toBen } = await cast("listeners");
  await tab.run(({ client }) => void (harness.listeners = harness.countListeners(client)));
  const listeners = () => tab.run(() => harness.listeners());
  const everything = [
    timeline(toBen),
    part("status"),
    part("conversations"),
    part("conversation", toBen),
    part("typing", toBen),
    part("presence", benName),
    part("session", "article"),
    part("notifications"),
    part("devices"),
  ];
  for (const strict of [false, true]) {
    await mount(tab, everything, { strict });
    await untilShown(tab, "timeline", ({ loading }) => loading === null);
    await untilShown(tab, "devices", ({ devices }) => devices !== null);
    const before = await listeners();
    assert.ok(before > 8, `${before} listeners`);
    // Another component that looks at the same adds none.
    await mount(tab, [...everything, ["timeline", { name: "another", id: toBen }]], { strict });
    await untilShown(tab, "another", ({ loading }) => loading === null);
    assert.equal(await listeners(), before);
    await tab.run(() => harness.unmount("page"));
    await until("nobody listens", async () => (await listeners()) === 0);
  }
  await leave(all);
});

test("typing that began before a conversation is on screen is shown", async () => {
  const { tab, ben, all, benName, toBen, toAnn } = await cast("typing");
  await ben.send(toAnn, "I am about to write");
  await mount(tab, [part("status")]);
  await tab.untilSent(toBen, 1);
  await ben.call("setTyping", toAnn);
  await until("it is told", async () => (await tab.log("typing")).length > 0);
  await mount(tab, [part("typing", toBen)]);
  await untilShown(tab, "typing", (typing) => typing.join() === benName);
  await leave(all);
});

test("a client is opened once, hooks wait for it, and it is closed with the component", async () => {
  const page = await laptop.tab(PAGE);
  const account = "ann, opener";
  const options = { url: server.url, account, token: await server.token(account) };
  await inPage(page, (options) => {
    harness.openings = harness.countOpened();
    // Another object each time, as components make them.
    harness.show = (options) => harness.mount("page", null, [["opener", { options }]], { strict: true });
    harness.show(options);
  }, options);
  const rendered = (name) => inPage(page, (name) => harness.rendered[name], name);
  await until("it is online", async () => (await rendered("opened status"))?.at(-1)?.connection === "online");
  assert.equal((await rendered("opened status"))[0], null, "there is no client at first");
  assert.equal(await inPage(page, () => harness.openings()), 1);
  await inPage(page, (options) => harness.show({ ...options, device: { name: "Another object" } }), options);
  await inPage(page, () => void (harness.first = harness.opened));
  assert.equal(await inPage(page, () => harness.openings()), 1);

  // Another account: the one before is closed.
  const bert = { ...options, account: "bert, opener", token: await server.token("bert, opener") };
  await inPage(page, (options) => harness.show(options), bert);
  await until("the other is open", () => inPage(page, () => harness.opened?.account === "bert, opener"));
  await until("the first is closed", () => inPage(page, () => harness.first.status().connection === "closed"));
  await inPage(page, () => {
    harness.second = harness.opened;
    harness.unmount("page");
  });
  await until("the second is closed", () => inPage(page, () => harness.second.status().connection === "closed"));

  // What cannot be opened says why.
  await inPage(page, (options) => harness.show({ ...options, url: "ws://chat.example/sync" }), options);
  await until("it says why", async () => (await rendered("opener")).at(-1).code === "invalid");
  await inPage(page, () => harness.show(null));
  await until("nothing is wrong any more", async () => (await rendered("opener")).at(-1).code === null);
  await page.close();
});

test("what could not be read without a connection is read when there is one, in all tabs", async () => {
  const [ann, ben] = ["ann, holes", "ben, holes"];
  await server.travel(5);
  for (const text of numbered("long ago", 3)) await server.message(ben, `direct:${ann}`, text);
  await server.travel(0);
  await server.message(ben, `direct:${ann}`, "today");
  const tabs = [await laptop.client(ann, {}, PAGE), await laptop.client(ann, {}, PAGE)];
  const last = async (tab) => (await tab.call("conversations"))[0]?.lastMessage?.content;
  for (const tab of tabs) await until("today is there", async () => (await last(tab)) === "today");
  await away(tabs[0]);
  for (const tab of tabs) {
    await mount(tab, [timeline(`direct:${ben}`)]);
    const { holes } = await untilShown(tab, "timeline", ({ messages }) => messages.length === 1);
    assert.deepEqual(holes, [{ from: 1, to: 3, reason: "offline" }]);
  }
  await back(tabs[0]);
  for (const tab of tabs) {
    const { holes } = await untilShown(tab, "timeline", ({ messages }) => messages.length === 4);
    assert.deepEqual(holes, []);
  }
  await leave(tabs);
});

test("a page that was put aside for \"back\" shows what has changed, though nobody has told it", async () => {
  // Playwright turns the cache off; here it is the point.
  const profile = await stage.profile(server, { launch: { ignoreDefaultArgs: ["--disable-back-forward-cache"] } });
  const [ann, toBen] = ["ann, put aside", "direct:ben, put aside"];
  const leader = await profile.client(ann, {}, PAGE);
  await leader.online();
  const [first, second] = await leader.sendAll(toBen, ["to be edited", "to be recalled"]);
  await leader.untilSent(toBen, 2);
  const tab = await profile.client(ann, {}, PAGE);
  await tab.untilStatus("one that follows", ({ role, connection }) => role === "follower" && connection === "online");
  await mount(tab, [timeline(toBen)]);
  await untilShown(tab, "timeline", ({ messages }) => messages.length === 2);
  await tab.page.goto(`${server.origin}/away.html`);
  await leader.untilStatus("alone", ({ tabs }) => tabs === 1);
  await leader.call("edit", first.id, "edited");
  await leader.call("recall", second.id);
  // Once that is folded, the messages are in the store as if they had never been anything else.
  await until("it is folded", async () => (await storedAt(leader, ["to be edited", "to be recalled"])).length === 0);

  await tab.page.goBack({ waitUntil: "commit" });
  await until("it was restored", () => tab.page.evaluate("globalThis.harness?.clients.length > 0"));
  const changed = ({ messages: [one, other] }) => one.content === "edited" && other.state === "recalled";
  await untilShown(tab, "timeline", changed);
  assert.deepEqual(profile.pageErrors, []);
});

test("with React 18 it is the same", async () => {
  const older = await stage.server({ react: 18 });
  const profile = await stage.profile(older);
  const ann = await profile.client("ann", {}, PAGE);
  assert.match(await ann.run(() => harness.version), /^18\./);
  await ann.online();
  await mount(ann, [timeline("direct:ben"), part("status"), part("conversations")], { strict: true });
  await untilShown(ann, "timeline", ({ loading }) => loading === null);
  await ann.send("direct:ben", "with an older React");
  await untilShown(ann, "timeline", ({ messages: [it] }) => it?.state === "sent");
  await untilShown(ann, "conversations", ({ conversations: [it] }) => it?.lastMessage.state === "sent");
  await untilShown(ann, "status", ({ pending }) => pending === 0);
  assert.deepEqual(profile.pageErrors, []);
});
