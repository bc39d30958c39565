// Each call means the same in every tab, leader or follower, and what it promises holds on all devices.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { contents, ids, numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server, here, elsewhere;

before(async () => {
  server = await stage.server();
  [here, elsewhere] = await stage.profiles(server, 2);
});
after(() => {
  for (const { pageErrors } of [here, elsewhere]) assert.deepEqual(pageErrors, []);
});

/** A leader, a follower, and the account's other device. */
async function three(account) {
  const leader = await here.client(account);
  await leader.untilStatus("leader", ({ role, connection }) => role === "leader" && connection === "online");
  const follower = await here.client(account);
  await follower.untilStatus("follower", ({ role, connection }) => role === "follower" && connection === "online");
  const other = await elsewhere.client(account);
  await other.online();
  return { leader, follower, other, all: [leader, follower, other] };
}

async function leave(clients) {
  for (const { page } of clients) await page.close();
}

test("followers and leader have the same status, but for the role", async () => {
  const { leader, follower, all } = await three("status");
  const statuses = [await leader.status(), await follower.status()];
  assert.deepEqual({ ...statuses[0], role: "follower" }, statuses[1]);
  assert.deepEqual(
    { ...statuses[0], epoch: 0 },
    {
      role: "leader",
      connection: "online",
      reason: null,
      pending: 0,
      catchingUp: false,
      progress: null,
      tabs: 2,
      durable: true,
      epoch: 0,
      workingOffline: false,
    },
  );
  assert.equal(leader.deviceId, follower.deviceId);
  const tabIds = await Promise.all([leader, follower].map((client) => client.run(({ client }) => client.tabId)));
  assert.notEqual(tabIds[0], tabIds[1]);
  await leave(all);
});

test("read on one device is read on all, in all tabs", async () => {
  const { leader, follower, other, all } = await three("reader");
  for (const text of numbered("from Bob", 10)) await server.message("bob", "direct:reader", text);
  await leader.send("direct:bob", "mine does not count");
  for (const client of all) await client.untilSent("direct:bob", 11);
  const untilUnread = (count, readPosition) =>
    Promise.all(
      all.map((client) =>
        until(`${count} unread`, async () => {
          const conversation = await client.call("conversation", "direct:bob");
          return conversation.unread === count && conversation.readPosition === readPosition;
        }),
      ),
    );
  await untilUnread(10, 0);
  await follower.call("markRead", "direct:bob", 4);
  await untilUnread(6, 4);
  await other.call("markRead", "direct:bob", 2); // never goes back
  await leader.call("markRead", "direct:bob", 7);
  await untilUnread(3, 7);
  await other.call("markRead", "direct:bob");
  await untilUnread(0, 11);
  await server.message("bob", "direct:reader", "one more");
  await untilUnread(1, 11);
  const list = await follower.call("conversations");
  assert.deepEqual(
    list.map(({ id, unread }) => ({ id, unread })),
    [{ id: "direct:bob", unread: 1 }],
  );
  assert.deepEqual(await follower.call("conversations", { limit: 1 }), list);
  await leave(all);
});

test("history comes in pages, oldest to newest, with what is pending on top of the newest", async () => {
  const { leader, follower, other, all } = await three("pager");
  const texts = numbered("sent", 25);
  await follower.sendAll("direct:bob", texts);
  for (const client of all) await client.untilSent("direct:bob", 25);
  await leader.setOffline(true);
  const pending = numbered("pending", 5);
  for (const [at, text] of pending.entries()) await [leader, follower][at % 2].send("direct:bob", text);
  for (const client of [leader, follower]) {
    await client.untilStatus("holding 5", ({ pending }) => pending === 5);
    const newest = await client.history("direct:bob", { limit: 10 });
    assert.deepEqual(contents(newest.messages), [...texts.slice(15), ...pending]);
    assert.deepEqual(
      newest.messages.map(({ position }) => position),
      [16, 17, 18, 19, 20, 21, 22, 23, 24, 25, null, null, null, null, null],
    );
    assert.equal(newest.hasMore, true);
    const older = await client.history("direct:bob", { before: 16, limit: 10 });
    assert.deepEqual([contents(older.messages), older.hasMore], [texts.slice(5, 15), true]);
    const oldest = await client.history("direct:bob", { before: 6, limit: 10 });
    assert.deepEqual([contents(oldest.messages), oldest.hasMore], [texts.slice(0, 5), false]);
    const beyond = await client.history("direct:bob", { before: Number.MAX_SAFE_INTEGER, limit: 10 });
    assert.deepEqual(contents(beyond.messages), texts.slice(15));
    assert.deepEqual(await client.history("direct:bob", { before: 1 }), { messages: [], holes: [], hasMore: false });
    for (const limit of [1, 3, 7, 30]) {
      assert.deepEqual(contents(await client.messages("direct:bob", limit)), [...texts, ...pending], `by ${limit}`);
    }
  }
  assert.equal((await other.messages("direct:bob")).length, 25);
  await follower.setOffline(false);
  for (const client of all)
    assert.deepEqual(contents(await client.untilSent("direct:bob", 30)), [...texts, ...pending]);
  await leave(all);
});

test("working offline by choice holds for all tabs of the profile and for no other", async () => {
  const { leader, follower, other, all } = await three("switch");
  await follower.setOffline(true);
  for (const client of [leader, follower]) {
    const { reason, workingOffline } = await client.untilStatus(
      "offline",
      ({ connection }) => connection === "offline",
    );
    assert.deepEqual({ reason, workingOffline }, { reason: "offline", workingOffline: true });
  }
  await assert.rejects(leader.call("syncNow"), { code: "offline", retryable: true, isSyncError: true });
  await assert.rejects(follower.call("syncNow"), { code: "offline", retryable: true, isSyncError: true });
  const untouched = await other.status();
  assert.deepEqual([untouched.connection, untouched.workingOffline], ["online", false]);
  const late = await here.client("switch");
  await late.untilStatus("offline too", ({ connection, workingOffline }) => connection === "offline" && workingOffline);
  await late.send("direct:bob", "written meanwhile");
  await leader.setOffline(false);
  for (const client of [leader, follower, late]) await client.online();
  for (const client of [...all, late]) await client.untilSent("direct:bob", 1);
  await leave([...all, late]);
});

test("the same id sent twice is one message; with other content it is a conflict", async () => {
  const { leader, follower, other, all } = await three("twice");
  const id = "01890a5d-ac96-774b-bcce-b302099a8057";
  const [first, again] = await Promise.all([
    leader.send("direct:bob", "once", { id }),
    leader.send("direct:bob", "once", { id }),
  ]);
  assert.equal(first.id, id);
  assert.equal(again.id, id);
  for (const client of all) await client.untilSent("direct:bob", 1);
  // From another tab and another device, when it is long confirmed.
  for (const client of [follower, other]) {
    const { state } = await client.send("direct:bob", "once", { id });
    assert.equal(state, "sent");
    await assert.rejects(client.send("direct:bob", "something else", { id }), { code: "conflict", isSyncError: true });
  }
  for (const client of all) {
    await client.call("syncNow");
    assert.deepEqual(ids(await client.messages("direct:bob")), [id]);
  }
  await leave(all);
});

test("listeners: one that throws is reported and the others still run; one that left is not called", async () => {
  const { leader, follower, all } = await three("listener");
  const outcome = await leader.run(async ({ client }) => {
    const calls = [];
    const reported = [];
    const { error } = console;
    console.error = (...what) => reported.push(what.map(String).join(" "));
    client.on("messages", () => {
      calls.push("throws");
      throw new Error("a listener's own fault");
    });
    const off = client.on("messages", () => calls.push("left"));
    client.on("messages", (events) => calls.push(`stays ${events[0].change}`));
    off();
    off();
    await client.send("direct:bob", "hello");
    // Listeners run after the work, never inside it.
    const during = calls.length;
    while (!calls.includes("stays updated")) await new Promise((resume) => client.on("messages", resume));
    console.error = error;
    return { during, calls, reported };
  });
  assert.ok(outcome.calls.includes("throws"));
  assert.ok(outcome.calls.includes("stays added"));
  assert.ok(!outcome.calls.includes("left"));
  assert.ok(outcome.reported.some((line) => line.includes("a listener's own fault")));
  // And everything goes on.
  await follower.untilSent("direct:bob", 1);
  await leave(all);
});

test("close can be called twice, and nothing else afterwards", async () => {
  const { leader, follower, other, all } = await three("closer");
  const statuses = await leader.run(({ client, log }) => {
    const closing = [client.close(), client.close()];
    return Promise.all(closing)
      .then(() => client.close())
      .then(() => [client.status(), log.status.at(-1)?.event]);
  });
  assert.equal(statuses[0].connection, "closed");
  const calls = [
    ["send", "direct:bob", "too late"],
    ["message", "01890a5d-ac96-774b-bcce-b302099a8057"],
    ["history", "direct:bob"],
    ["conversations"],
    ["conversation", "direct:bob"],
    ["markRead", "direct:bob"],
    ["notifications"],
    ["markNotification", "01890a5d-ac96-774b-bcce-b302099a8057", "read"],
    ["syncNow"],
  ];
  for (const [method, ...args] of calls) {
    await assert.rejects(leader.call(method, ...args), { code: "closed", retryable: false, isSyncError: true }, method);
  }
  // The other tab leads now, alone, and still knows everything.
  await follower.untilStatus(
    "leader",
    ({ role, connection, tabs }) => role === "leader" && connection === "online" && tabs === 1,
  );
  await follower.send("direct:bob", "still here");
  await other.untilSent("direct:bob", 1);
  // What was closed can be opened again, on the same page.
  const again = await here.clientIn(leader.page, "closer");
  assert.equal(again.deviceId, leader.deviceId);
  await again.untilSent("direct:bob", 1);
  await leave(all);
});

test("two accounts on one page do not meet", async () => {
  const page = await here.tab();
  const [one, two] = [await here.clientIn(page, "one"), await here.clientIn(page, "two")];
  await one.online();
  await two.online();
  assert.notEqual(one.deviceId, two.deviceId);
  await one.send("direct:two", "hello");
  await two.untilSent("direct:one", 1);
  assert.equal((await one.status()).tabs, 1);
  assert.deepEqual(
    (await one.call("conversations")).map(({ id }) => id),
    ["direct:two"],
  );
  assert.deepEqual(
    (await two.call("conversations")).map(({ id }) => id),
    ["direct:one"],
  );
  assert.equal((await one.call("conversations"))[0].unread, 0);
  assert.equal((await two.call("conversations"))[0].unread, 1);
  await page.close();
});

test("a group's messages reach all members, and its members are known", async () => {
  await server.call("PUT", "/api/groups/choir", { members: ["alto", "bass"] });
  const [alto, bass] = [await here.client("alto"), await elsewhere.client("bass")];
  const sent = await alto.send("group:choir", { text: "la" }, { type: "song" });
  assert.equal(sent.type, "song");
  const [message] = await bass.untilSent("group:choir", 1);
  assert.deepEqual(
    { id: message.id, type: message.type, content: message.content },
    { id: sent.id, type: "song", content: { text: "la" } },
  );
  const { members } = await bass.call("conversation", "group:choir");
  assert.deepEqual(members.toSorted(), ["alto", "bass"]);
  // Who is not in it is told so, and keeps what could not be sent.
  const outsider = await here.client("outsider");
  const refused = await outsider.send("group:choir", "may I?");
  const failed = await until("it has failed", async () => {
    const message = await outsider.call("message", refused.id);
    return message.state === "failed" && message;
  });
  assert.equal(failed.error.code, "not-found");
  assert.equal((await outsider.status()).pending, 0);
  await leave([alto, bass, outsider]);
});
