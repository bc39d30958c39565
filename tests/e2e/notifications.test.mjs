// N1: what the back end notifies an account of is the same list on all devices, and what is read or dismissed on one
// is so on all. F enableNotificationSync: only where it is wanted.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { agree, away, back, begin, cast, complaints, leave } from "./support/cast.mjs";
import { SITE, screenshots, shows, signIn } from "./support/demo.mjs";
import { idsStoredAtServer, storedAt, storedAtServer } from "./support/stored.mjs";
import { until } from "./support/until.mjs";

const { stage, server, browsers } = await begin();

const notify = (accounts, title, more = {}, of = server) =>
  of.call("POST", "/api/notifications", { accounts, title, body: `${title}, in full`, ...more });
const listed = (client) => client.call("notifications");
const all = (client) => client.call("notifications", { includeDismissed: true });
const titles = async (client) => (await listed(client)).map(({ title }) => title);
const states = async (client) => Object.fromEntries((await all(client)).map(({ title, state }) => [title, state]));
const are = (expected) => (now) => JSON.stringify(now) === JSON.stringify(expected);
/** What a client was told of a notification, in order. */
async function told(client, id) {
  const batches = await client.log("notifications");
  return batches.flatMap(({ event }) => event).filter((notification) => notification.id === id);
}

test("N1 a notification appears on all devices of those it is for, as it was given", async () => {
  const scene = await cast(browsers, "appears");
  const { laptop, tab, phone, bob, ann } = scene;
  const sent = await laptop.send(scene.toBob, "what it is about");
  const more = { data: { open: ["call", { id: 7 }] }, conversation: scene.toBob, message: sent.id };
  const { id, created_at: createdAt } = await notify([ann], "“Grüße” 𝄞", more);
  const own = [laptop, tab, phone];
  const [notification] = await agree("all have it", own, listed, (list) => list.length === 1);
  const { data, conversation, message } = more;
  const body = "“Grüße” 𝄞, in full";
  const expected = { id, title: "“Grüße” 𝄞", body, data, conversation, message, createdAt, state: "unread" };
  assert.deepEqual(notification, expected);
  for (const client of own) {
    await until("it is told", async () => (await told(client, id)).length > 0);
    assert.deepEqual(await told(client, id), [expected], "once");
  }
  const plain = await notify([ann, scene.bobName], "to both");
  await agree("both have it", [...own, bob], async (client) => (await titles(client))[0], are("to both"));
  assert.deepEqual(await titles(bob), ["to both"], "the other one is nobody else's business");
  const [{ title, ...rest }] = await listed(bob);
  const { id: plainId, created_at: then } = plain;
  const nothing = { data: null, conversation: null, message: null };
  assert.deepEqual(rest, { id: plainId, body: "to both, in full", createdAt: then, state: "unread", ...nothing }, title);
  for (const client of scene.all) assert.deepEqual(await complaints(client), []);
  await leave(scene.all);
});

/** `by`: who marks it; `away`: whose network is gone meanwhile. */
const MARKS = [
  { by: "laptop", away: [] },
  { by: "tab", away: [] },
  { by: "phone", away: [] },
  { by: "laptop", away: ["phone"] },
  { by: "laptop", away: ["laptop"] },
  { by: "tab", away: ["laptop"] },
  { by: "phone", away: ["phone", "laptop"] },
];
for (const state of ["read", "dismissed"]) {
  for (const { by, away: gone } of MARKS) {
    const where = gone.length > 0 ? `, without a network: ${gone.join(" and ")}` : "";
    test(`N1 ${state} on one is ${state} on all: by the ${by}${where}`, async () => {
      const scene = await cast(browsers, `${state}, ${by}, ${gone}`);
      const own = [scene.laptop, scene.tab, scene.phone];
      const { id } = await notify([scene.ann], "to be marked");
      await notify([scene.ann], "to stay");
      await agree("all have both", own, titles, are(["to stay", "to be marked"]));
      for (const name of gone) await away(scene[name]);
      await scene[by].call("markNotification", id, state);
      const expected = { "to stay": "unread", "to be marked": state };
      assert.deepEqual(await states(scene[by]), expected, "at once where it was done");
      for (const name of gone) await back(scene[name]);
      await agree("all are the same", own, states, are(expected));
      const shown = state === "read" ? ["to stay", "to be marked"] : ["to stay"];
      for (const client of own) {
        assert.deepEqual(await titles(client), shown);
        assert.deepEqual((await told(client, id)).map((it) => it.state), ["unread", state], "told once");
        assert.equal((await client.status()).pending, 0);
        assert.deepEqual(await complaints(client), []);
      }
      // Again, and back, changes nothing.
      await scene[by].call("markNotification", id, state);
      await scene[by].call("markNotification", id, "read");
      assert.deepEqual(await states(scene[by]), expected);
      await leave(scene.all);
    });
  }
}

for (const order of [
  ["laptop", "phone"],
  ["phone", "laptop"],
]) {
  test(`N1 read on one and dismissed on another, both offline, is dismissed: ${order[0]} returns first`, async () => {
    const scene = await cast(browsers, `both, ${order[0]}`);
    const own = [scene.laptop, scene.tab, scene.phone];
    const { id } = await notify([scene.ann], "contended");
    await agree("all have it", own, titles, are(["contended"]));
    for (const name of order) await away(scene[name]);
    await scene.laptop.call("markNotification", id, "dismissed");
    await scene.phone.call("markNotification", id, "read");
    for (const name of order) await back(scene[name]);
    await agree("all are the same", own, states, are({ contended: "dismissed" }));
    for (const client of own) assert.deepEqual(await complaints(client), []);
    await leave(scene.all);
  });
}

test("N1 a device that was away, a new one, and one that reads its disk have the same list", async () => {
  const scene = await cast(browsers, "later");
  const { laptop, tab, phone, ann } = scene;
  const first = await notify([ann], "first");
  await agree("all have it", [laptop, tab, phone], titles, are(["first"]));
  await leave([phone]);
  await laptop.call("markNotification", first.id, "read");
  const second = await notify([ann], "second");
  await notify([ann], "third");
  await agree("both have all", [laptop, tab], titles, are(["third", "second", "first"]));
  await tab.call("markNotification", second.id, "dismissed");
  await tab.call("syncNow");
  const returned = await browsers.phone.client(ann);
  const fresh = await (await stage.profile(server)).client(ann);
  await agree("all are the same", [laptop, tab, returned, fresh], all, (list) => list.length === 3);
  assert.deepEqual(await states(fresh), { third: "unread", second: "dismissed", first: "read" });
  assert.deepEqual((await fresh.call("notifications", { limit: 1 })).map(({ title }) => title), ["third"]);
  // What is on the disk is enough for one that keeps to itself.
  await leave([laptop, tab]);
  const reader = await browsers.laptop.client(ann, { config: { enableMessageSync: false } });
  assert.deepEqual(await states(reader), { third: "unread", second: "dismissed", first: "read" });
  await leave([reader, returned, fresh, scene.bob]);
});

test("N1 the newest two hundred are kept, and of old ones that were dismissed no words", async () => {
  const scene = await cast(browsers, "many");
  const { laptop, phone, ann } = scene;
  const old = `secret-${randomUUID()}`;
  const given = [await notify([ann], old), await notify([ann], "old, and read")];
  await agree("both have them", [laptop, phone], titles, are(["old, and read", old]));
  await laptop.call("markNotification", given[0].id, "dismissed");
  await phone.call("markNotification", given[1].id, "read");
  const more = Array.from({ length: 60 }, (_, number) => `number ${number}`);
  for (const title of more) await notify([ann], title);
  const expected = [...more.toReversed(), "old, and read"];
  await agree("all are there but the one that was dismissed", [laptop, phone], titles, are(expected));
  const erased = (await all(phone)).find(({ id }) => id === given[0].id);
  assert.deepEqual([erased.title, erased.body, erased.data, erased.state], ["", "", null, "dismissed"]);
  assert.deepEqual(await storedAtServer([old], server), []);
  for (let number = 60; number < 210; number += 1) await notify([ann], `number ${number}`);
  const fresh = await (await stage.profile(server)).client(ann);
  const last = await agree("all have as many", [laptop, phone, fresh], all, (list) => list.length === 200);
  assert.deepEqual([last[0].title, last.at(-1).title], ["number 209", "number 10"]);
  await leave([...scene.all, fresh]);
});

test("N1 a message that is recalled takes along what tells of it, for good", async () => {
  const scene = await cast(browsers, "recalled");
  const { laptop, tab, phone, bob, ann, bobName } = scene;
  const everyone = [laptop, tab, phone, bob];
  const words = { body: `secret-${randomUUID()}`, data: { secret: `secret-${randomUUID()}` } };
  const secrets = [`secret-${randomUUID()}`, words.body, words.data.secret];
  const sent = await laptop.send(scene.toBob, "to be taken back");
  const { id } = await notify([ann, bobName], secrets[0], { ...words, message: sent.id });
  await agree("all have it", everyone, titles, are([secrets[0]]));
  assert.ok((await storedAt(phone, secrets)).length > 0, "stored on the device");
  assert.deepEqual(await storedAtServer(secrets, server), [], "sealed on the server");
  assert.ok((await idsStoredAtServer([id], server)).length > 0, "stored on the server");
  await away(phone);
  await laptop.call("recall", sent.id);
  await agree("it is gone", [laptop, tab, bob], titles, are([]));
  await back(phone);
  const [erased] = await agree("it is gone everywhere", everyone, all, (list) => list[0]?.state === "dismissed");
  assert.deepEqual([erased.id, erased.title, erased.body, erased.data], [id, "", "", null]);
  for (const client of [laptop, phone, bob]) {
    await until("no record has it", async () => (await storedAt(client, secrets)).length === 0);
  }
  assert.deepEqual(await storedAtServer(secrets, server), []);
  // Nor does it come back.
  await notify([ann], `late-${secrets[0]}`, { message: sent.id });
  await notify([ann], "the end");
  await agree("they go on", [laptop, tab, phone], titles, are(["the end"]));
  await leave(scene.all);
});

test("N1 the same again is the same, another one under its id is refused, and so is what makes no sense", async () => {
  const scene = await cast(browsers, "api");
  const { laptop, phone, ann, bobName } = scene;
  const given = { id: randomUUID(), data: [1] };
  const answer = await notify([ann], "once", given);
  assert.equal(answer.id, given.id);
  assert.deepEqual(await notify([ann], "once", given), answer);
  assert.deepEqual(await notify([ann, bobName], "once", given), answer, "to others, too");
  await assert.rejects(notify([ann], "another", given), /409.*conflict/);
  await assert.rejects(notify([ann, "nobody"], "once", { ...given, data: [2] }), /409.*conflict/);
  await agree("all have it", [laptop, phone, scene.bob], titles, are(["once"]));
  const wrong = {
    accounts: [undefined, [], "ann", [""], [7], Array.from({ length: 501 }, (_, number) => `${number}`)],
    title: [undefined, "", 7, "x".repeat(5_000)],
    body: [undefined, null, "x".repeat(5_000)],
    id: ["nonsense", 7],
    conversation: ["nobody", 7],
    message: ["nonsense"],
    colour: ["blue"],
  };
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) {
      const asked = { accounts: [ann], title: "t", body: "b", [field]: value };
      const refused = await server.call("POST", "/api/notifications", asked).catch((error) => error.message);
      assert.match(String(refused), /: 422 .*"invalid"/, `${field}: ${value}`);
      if (value?.length !== 5_000) assert.match(refused, new RegExp(`"field":"${field}"`), `${field}: ${value}`);
    }
  }
  const asUser = await fetch(`${server.origin}/api/notifications`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${await server.token(ann)}` },
    body: JSON.stringify({ accounts: [ann], title: "t", body: "b" }),
  });
  assert.equal(asUser.status, 401, "it is the back end's to notify");
  assert.deepEqual(await titles(laptop), ["once"]);
  await leave(scene.all);
});

test("N1 marks that make no sense are refused by name", async () => {
  const scene = await cast(browsers, "marks");
  const { laptop, bob } = scene;
  const { id } = await notify([scene.ann], "mine");
  await agree("it is there", [laptop, scene.tab], titles, are(["mine"]));
  const refused = (what, code, name) =>
    assert.rejects(what, (error) => error.code === code && error.isSyncError && error.message.includes(name), name);
  for (const wrong of ["nonsense", 7, null]) await refused(laptop.call("markNotification", wrong, "read"), "invalid", "id:");
  for (const wrong of ["unread", "gone", 7, null]) {
    await refused(laptop.call("markNotification", id, wrong), "invalid", "state:");
  }
  await refused(laptop.call("notifications", { includeDismissed: "yes" }), "invalid", "includeDismissed:");
  for (const wrong of [0, -1, 1.5, "3"]) await refused(laptop.call("notifications", { limit: wrong }), "invalid", "limit:");
  await refused(laptop.call("markNotification", randomUUID(), "read"), "not-found", "notification");
  await refused(bob.call("markNotification", id, "read"), "not-found", "notification");
  assert.deepEqual(await states(laptop), { mine: "unread" });
  await leave(scene.all);
});

test("N1 where devices are not kept in step, notifications reach all of them all the same", async () => {
  const server = await stage.server();
  await server.call("PUT", "/api/settings", { sync_enabled: false });
  const [laptops, phones] = await stage.profiles(server, 2);
  const laptop = await laptops.client("ann");
  const phone = await phones.client("ann", { device: { platform: "mobile" } });
  for (const client of [laptop, phone]) await client.online();
  const { id } = await notify(["ann"], "to both", {}, server);
  await agree("both have it", [laptop, phone], titles, are(["to both"]));
  await phone.call("markNotification", id, "read");
  await agree("read on both", [laptop, phone], states, are({ "to both": "read" }));
  for (const { pageErrors } of [laptops, phones]) assert.deepEqual(pageErrors, []);
});

test("F enableNotificationSync: without it none is fetched or shown, and with it again all that was missed comes", async () => {
  const scene = await cast(browsers, "not wanted");
  const { laptop, tab, phone, ann } = scene;
  const first = await notify([ann], "first");
  await agree("all have it", [laptop, tab, phone], titles, are(["first"]));
  await tab.call("configure", { enableNotificationSync: false });
  await agree("none is shown", [laptop, tab], titles, are([]));
  for (const client of [laptop, tab]) {
    assert.deepEqual((await client.log("notifications")).at(-1).event, [], "as listeners are told");
    await client.online();
  }
  const secret = `secret-${randomUUID()}`;
  const unwanted = await notify([ann], secret);
  await agree("who wants it has it", [phone], titles, are([secret, "first"]));
  await phone.call("markNotification", first.id, "read");
  await phone.send(scene.toBob, "later than that");
  for (const client of [phone, laptop, tab]) await client.untilSent(scene.toBob, 1);
  const received = [laptop, tab].flatMap(({ page }) => page.sockets).flatMap((socket) => socket.received);
  assert.ok(received.length > 0 && !received.some((frame) => frame.includes(secret)), "not a byte of it was sent");
  for (const client of [laptop, tab]) {
    assert.deepEqual(await all(client), []);
    assert.equal((await told(client, unwanted.id)).length, 0);
    await assert.rejects(client.call("markNotification", first.id, "dismissed"), { code: "not-found" });
  }
  await laptop.call("configure", { enableNotificationSync: true });
  const expected = { [secret]: "unread", first: "read" };
  await agree("all are the same", [laptop, tab, phone], states, are(expected));
  for (const client of [laptop, tab]) await until("it is told", async () => (await told(client, unwanted.id)).length > 0);
  await leave(scene.all);
});

test("F enableNotificationSync: off at open and on at the next, the messages that are here stay", async () => {
  const scene = await cast(browsers, "at open");
  const { laptop, ann } = scene;
  await laptop.sendAll(scene.toBob, ["one", "two"]);
  await laptop.untilSent(scene.toBob, 2);
  await leave([scene.laptop, scene.tab]);
  const without = await browsers.laptop.client(ann, { config: { enableNotificationSync: false } });
  assert.equal((await without.call("config")).enableNotificationSync, false);
  await notify([ann], "meanwhile");
  await agree("who wants it has it", [scene.phone], titles, are(["meanwhile"]));
  await without.call("syncNow");
  assert.deepEqual(await all(without), []);
  await leave([without]);
  const again = await browsers.laptop.client(ann);
  await agree("it comes", [again], titles, are(["meanwhile"]));
  assert.deepEqual((await again.messages(scene.toBob)).map(({ content }) => content), ["one", "two"]);
  await notify([ann], "live");
  await agree("and what follows", [again, scene.phone], titles, are(["live", "meanwhile"]));
  await leave([again, scene.phone, scene.bob]);
});

test("the demo lists them with a badge, on both devices the same", async () => {
  const server = await stage.server(SITE);
  const profiles = await stage.profiles(server, 2);
  const [desk, couch] = await Promise.all(profiles.map((profile) => profile.tab()));
  await signIn(desk, "ann", "Desk");
  await signIn(couch, "ann", "Couch");
  for (const page of [desk, couch]) await shows(page, "status-connection", "online");
  await notify(["ann"], "Rehearsal moved", { body: "To seven", conversation: "direct:bob" }, server);
  await notify(["ann"], "Parking", {}, server);
  const badge = (page) => page.getByTestId("notices-badge");
  const notice = (page, title) => page.getByTestId("notice").filter({ hasText: title });
  for (const page of [desk, couch]) {
    await badge(page).filter({ hasText: /^2$/ }).waitFor();
    await page.getByTestId("notices-open").click();
  }
  await screenshots(desk, "notifications");
  await notice(desk, "Rehearsal").getByText("To seven").click();
  await until("it opens what it is about", () => desk.url().endsWith(`#${encodeURIComponent("direct:bob")}`));
  for (const page of [desk, couch]) await badge(page).filter({ hasText: /^1$/ }).waitFor();
  await notice(couch, "Parking").getByRole("button", { name: "Dismiss" }).click();
  for (const page of [desk, couch]) {
    await notice(page, "Parking").waitFor({ state: "detached" });
    await badge(page).waitFor({ state: "detached" });
    assert.equal(await notice(page, "Rehearsal").getAttribute("data-state"), "read");
  }
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
});
