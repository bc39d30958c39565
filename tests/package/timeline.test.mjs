// The store of a conversation's messages, and what may happen to it at a bad moment.
import assert from "node:assert/strict";
import { test } from "node:test";
import { timelineStore } from "../../pkg/stores/timeline.js";
import { FakeClient, SyncError, settled, watch } from "./support/fake-client.mjs";
import { BEN, news, page, pending, positions, sent } from "./support/messages.mjs";

/** A timeline that shows a first page. */
async function opened(first = page(1, 3), options = {}) {
  const client = new FakeClient();
  const timeline = timelineStore(client, BEN, options);
  const seen = watch(timeline);
  await client.answer("history", first);
  return { client, timeline, seen };
}

test("nothing is read before somebody looks", async () => {
  const client = new FakeClient();
  const timeline = timelineStore(client, BEN);
  assert.deepEqual([client.asked.length, client.listeners], [0, 0]);
  const { messages, holes, hasOlder, hasNewer, loading, error } = timeline.value;
  assert.deepEqual([messages, holes, hasOlder, hasNewer, loading, error], [[], [], false, false, "latest", null]);
  assert.equal(timeline.value, timeline.initial);
  await timeline.loadOlder();
  assert.equal(await timeline.loadAround("m1"), false);
  assert.deepEqual([client.asked.length, client.listeners], [0, 0]);
});

test("the first page is shown, and says whether there is more", async () => {
  const { client, seen } = await opened(page(51, 100));
  assert.deepEqual(seen.last.messages, page(51, 100).messages);
  assert.deepEqual([seen.last.loading, seen.last.hasOlder, seen.last.hasNewer], [null, true, false]);
  assert.equal(seen.values.length, 2, "once as it begins, once as it is there");
  assert.equal(client.asked.length, 0);
});

test("what is told between the reading of a page and its showing is not lost", async () => {
  const client = new FakeClient();
  const seen = watch(timelineStore(client, BEN));
  client.tell("messages", news("added", sent(4)));
  client.tell("messages", news("updated", sent(2, { content: "edited" })));
  client.tell("messages", news("removed", pending("given up")));
  client.tell("messages", news("added", pending("mine")));
  assert.deepEqual(positions(seen.last), [], "nothing is shown before there is a page");
  const { messages, ...rest } = page(1, 3);
  await client.answer("history", { messages: [...messages, pending("given up")], ...rest });
  assert.deepEqual(positions(seen.last), [1, 2, 3, 4, "mine"]);
  assert.equal(seen.last.messages[1].content, "edited");
  assert.equal(seen.values.length, 2, "all at once");
});

test("a message that is sent by the time it is read does not wait again", async () => {
  const client = new FakeClient();
  const seen = watch(timelineStore(client, BEN));
  client.tell("messages", news("added", pending("m3")));
  await client.answer("history", page(1, 3));
  assert.deepEqual(positions(seen.last), [1, 2, 3]);
});

test("what comes is put in order, replaced by id, and taken out", async () => {
  const { client, seen } = await opened();
  client.tell("messages", news("added", sent(5), sent(4)));
  assert.deepEqual(positions(seen.last), [1, 2, 3, 4, 5]);
  client.tell("messages", news("recalled", sent(2, { state: "recalled", content: null })));
  assert.equal(seen.last.messages[1].state, "recalled");
  client.tell("messages", news("added", pending("a", 9_000), pending("b", 8_000)));
  assert.deepEqual(positions(seen.last), [1, 2, 3, 4, 5, "b", "a"]);
  client.tell("messages", news("removed", pending("b", 8_000)));
  assert.deepEqual(positions(seen.last), [1, 2, 3, 4, 5, "a"]);
});

test("of what is written in one millisecond the first stays the first", async () => {
  const { client, seen } = await opened();
  client.tell("messages", news("added", pending("z"), pending("a")));
  client.tell("messages", news("added", pending("m")));
  client.tell("messages", news("updated", pending("z", 9_000, { content: "edited" })));
  assert.deepEqual(positions(seen.last), [1, 2, 3, "z", "a", "m"]);
});

test("a message that is sent moves to its place in one step, and the others stay what they are", async () => {
  const { client, seen } = await opened();
  client.tell("messages", news("added", pending("mine")));
  const before = seen.last.messages;
  const { length } = seen.values;
  client.tell("messages", [...news("added", sent(4)), ...news("updated", sent(5, { id: "mine", sender: "ann" }))]);
  assert.equal(seen.values.length, length + 1);
  assert.deepEqual(seen.last.messages.map(({ id }) => id), ["m1", "m2", "m3", "m4", "mine"]);
  assert.deepEqual(seen.last.messages.slice(0, 3).map((message, at) => message === before[at]), [true, true, true]);
});

test("what says the same as before tells nobody", async () => {
  const { client, seen } = await opened();
  client.tell("messages", news("updated", sent(1, { content: [] })));
  client.tell("messages", news("updated", sent(1, { content: {} })));
  assert.deepEqual(seen.last.messages[0].content, {}, "no list any more, though as empty");
  const { length } = seen.values;
  client.tell("messages", news("updated", sent(2), sent(3)));
  client.tell("messages", news("updated", sent(7, { conversation: "direct:cid" })));
  assert.equal(seen.values.length, length);
});

test("two who look at one conversation share it; with other options, or another client, they do not", async () => {
  const client = new FakeClient();
  const timeline = timelineStore(client, BEN);
  assert.equal(timelineStore(client, BEN), timeline);
  assert.notEqual(timelineStore(client, "direct:cid"), timeline);
  assert.notEqual(timelineStore(client, BEN, { at: "m7" }), timeline);
  assert.notEqual(timelineStore(client, BEN, { limit: 100 }), timeline);
  assert.notEqual(timelineStore(new FakeClient(), BEN), timeline);
  const first = watch(timeline);
  const second = watch(timelineStore(client, BEN));
  assert.equal(client.asked.length, 1);
  await client.answer("history", page(1, 3));
  assert.equal(first.last, second.last);
  const late = watch(timeline);
  assert.deepEqual(late.values, [first.last], "who comes later has all at once");
  assert.equal(client.asked.length, 0);
  first.off();
  client.tell("messages", news("added", sent(4)));
  assert.deepEqual(positions(second.last), [1, 2, 3, 4]);
  assert.deepEqual(positions(first.last), [1, 2, 3]);
});

test("the last who leaves takes everything along, and who comes back begins anew", async () => {
  const { client, timeline, seen } = await opened();
  seen.off();
  seen.off();
  await settled();
  assert.equal(client.listeners, 0);
  assert.equal(timeline.value, timeline.initial);
  const again = watch(timeline);
  assert.equal(again.last.loading, "latest");
  await client.answer("history", page(1, 4));
  assert.deepEqual(positions(again.last), [1, 2, 3, 4]);
});

test("who leaves and comes back in one task, as React does, reads once", async () => {
  const client = new FakeClient();
  const timeline = timelineStore(client, BEN);
  watch(timeline).off();
  const seen = watch(timeline);
  await settled();
  assert.equal(client.asked.length, 1);
  await client.answer("history", page(1, 3));
  assert.deepEqual(positions(seen.last), [1, 2, 3]);
  assert.ok(client.listeners > 0);
});

test("what is read for somebody who has left is shown to nobody", async () => {
  const client = new FakeClient();
  const timeline = timelineStore(client, BEN);
  const first = watch(timeline);
  const late = client.take("history");
  client.tell("catch-up", { events: 1, completeFrom: null });
  first.off();
  await settled();
  const second = watch(timeline);
  late.resolve(page(1, 9));
  await settled();
  assert.deepEqual([second.last.loading, client.asked.length], ["latest", 1]);
  await client.answer("history", page(1, 3));
  assert.deepEqual(positions(second.last), [1, 2, 3]);
  assert.equal(first.values.length, 1);
});

test("an error is shown, with what there was before, and gone when it works", async () => {
  const client = new FakeClient();
  const timeline = timelineStore(client, BEN);
  const seen = watch(timeline);
  const closed = new SyncError("closed");
  await client.fail("history", closed);
  assert.equal(seen.last.error, closed);
  assert.equal(seen.last.loading, null);
  // News of a conversation of which nothing could be read would be shown with a gap before it.
  client.tell("messages", news("added", sent(4)));
  assert.deepEqual(positions(seen.last), []);
  const loading = timeline.loadLatest();
  assert.equal(seen.last.error, null);
  await client.answer("history", page(51, 60));
  await loading;
  assert.equal(seen.last.error, null);

  const older = timeline.loadOlder();
  const broken = new SyncError("storage", true);
  await client.fail("history", broken);
  await older;
  assert.equal(seen.last.error, broken);
  assert.equal(seen.last.messages.length, 10);
  const again = timeline.loadOlder();
  await client.answer("history", page(1, 50));
  await again;
  assert.deepEqual([seen.last.error, seen.last.messages.length], [null, 60]);
});

test("older pages are read one at a time, and what comes meanwhile is shown at once", async () => {
  const { client, timeline, seen } = await opened(page(101, 150));
  const { messages } = seen.last;
  const both = Promise.all([timeline.loadOlder(), timeline.loadOlder()]);
  assert.deepEqual(client.asked.map(({ args }) => args), [[BEN, { before: 101, limit: 50 }]]);
  assert.equal(seen.last.loading, "older");
  assert.equal(seen.last.messages, messages, "there are no others yet");
  client.tell("messages", news("added", sent(151)));
  assert.equal(seen.last.messages.at(-1).position, 151);
  client.tell("messages", news("updated", sent(57, { content: "edited" })));
  await client.answer("history", page(51, 100));
  await both;
  assert.deepEqual([client.asked.length, seen.last.hasOlder], [0, true]);
  assert.equal(seen.last.messages[6].content, "edited");
  const last = timeline.loadOlder();
  await client.answer("history", page(1, 50));
  await last;
  assert.deepEqual(positions(seen.last), Array.from({ length: 151 }, (_, at) => at + 1));
  assert.equal(seen.last.hasOlder, false);
  await timeline.loadOlder();
  assert.equal(client.asked.length, 0, "there is nothing before the first");
});

test("after a catch-up it is read again, and only what has changed is another", async () => {
  const { client, seen } = await opened();
  const before = seen.last;
  client.tell("catch-up", { events: 0, completeFrom: null });
  assert.equal(seen.last.loading, null, "nobody has to wait");
  await client.answer("history", page(1, 3));
  assert.equal(seen.last, before);
  // The server's log is another one.
  client.tell("catch-up", { events: 2, completeFrom: null });
  await client.answer("history", { messages: [sent(1), sent(2, { id: "other" })], holes: [], hasMore: false });
  assert.deepEqual(seen.last.messages.map(({ id }) => id), ["m1", "other"]);
  assert.equal(seen.last.messages[0], before.messages[0]);
});

test("what may have changed without a word is read again", async () => {
  const { client, seen } = await opened();
  client.tell("messages", []);
  const messages = [sent(1), sent(2, { state: "recalled", content: null })];
  await client.answer("history", { messages, holes: [], hasMore: false });
  assert.deepEqual(seen.last.messages.map(({ state }) => state), ["sent", "recalled"]);
});

test("a catch-up that ends while a page is read has all of it read again", async () => {
  const { client, timeline, seen } = await opened(page(51, 60));
  const older = timeline.loadOlder();
  client.tell("catch-up", { events: 1, completeFrom: null });
  assert.equal(client.asked.length, 1);
  await client.answer("history", page(1, 50));
  await older;
  assert.deepEqual(client.asked[0].args, [BEN, { before: undefined, limit: 60 }]);
  await client.answer("history", page(1, 61));
  assert.equal(seen.last.messages.length, 61);
});

test("a long stretch is read again in as many pages as it takes", async () => {
  const { client, timeline, seen } = await opened(page(2_001, 2_050));
  for (let first = 1_001; first > 0; first -= 1_000) {
    const older = timeline.loadOlder();
    await client.answer("history", page(first, first + 999));
    await older;
  }
  client.tell("catch-up", { events: 1, completeFrom: null });
  assert.deepEqual(client.asked[0].args, [BEN, { before: undefined, limit: 1_000 }]);
  await client.answer("history", page(1_151, 2_150));
  assert.deepEqual(client.asked[0].args, [BEN, { before: 1_151, limit: 1_000 }]);
  await client.answer("history", page(151, 1_150));
  assert.deepEqual(client.asked[0].args, [BEN, { before: 151, limit: 150 }]);
  await client.answer("history", page(1, 150));
  assert.deepEqual(positions(seen.last), Array.from({ length: 2_150 }, (_, at) => at + 1));
});

test("where something is missing before what comes, it is read", async () => {
  const { client, seen } = await opened();
  client.tell("messages", news("added", sent(6)));
  assert.deepEqual(positions(seen.last), [1, 2, 3]);
  await client.answer("history", page(1, 6));
  assert.deepEqual(positions(seen.last), [1, 2, 3, 4, 5, 6]);
});

test("what comes to a place that is taken, or said to be missing, has all read again", async () => {
  const holes = [{ from: 4, to: 6, reason: "disabled" }];
  const { client, seen } = await opened(page(1, 3, { holes }));
  for (const message of [sent(4), sent(2, { id: "of another log" })]) {
    client.tell("messages", news("added", message));
    assert.equal(seen.last.messages.length, 3);
    await client.answer("history", page(1, 3, { holes }));
  }
});

test("holes are shown with their reason, and read again with a connection", async () => {
  const holes = [{ from: 4, to: 9, reason: "offline" }];
  const { messages, hasMore } = page(10, 20);
  const { client, seen } = await opened({ messages: [sent(2), sent(3), ...messages], holes, hasMore: true });
  assert.deepEqual(seen.last.holes, holes);
  // It is in the hole, and nobody knows what is around it.
  client.tell("messages", news("added", sent(5)));
  assert.equal(client.asked.length, 1);
  await client.answer("history", { messages: [sent(2), sent(3), ...messages], holes, hasMore: true });
  assert.deepEqual([seen.last.holes, seen.last.messages.length], [holes, 13]);
  client.tell("catch-up", { events: 0, completeFrom: null });
  assert.deepEqual(client.asked[0].args, [BEN, { before: undefined, limit: 50 }]);
  await client.answer("history", page(2, 20, { hasMore }));
  assert.deepEqual([seen.last.holes, seen.last.messages.length], [[], 19]);
});

test("a hole at the top is where the page before ends", async () => {
  const holes = [{ from: 41, to: 50, reason: "expired" }];
  const { client, timeline } = await opened(page(51, 60, { holes }));
  void timeline.loadOlder();
  assert.deepEqual(client.asked[0].args, [BEN, { before: 41, limit: 50 }]);
});

test("a view with a limit slides: what it lets go of can be read again", async () => {
  const { client, timeline, seen } = await opened(page(951, 1_000), { limit: 100 });
  timeline.follow(false);
  for (let before = 951; before > 801; before -= 50) {
    const older = timeline.loadOlder();
    await client.answer("history", page(before - 50, before - 1));
    await older;
  }
  assert.deepEqual([positions(seen.last)[0], positions(seen.last).at(-1)], [801, 900]);
  assert.equal(seen.last.hasNewer, true);
  client.tell("messages", news("added", sent(1_001), pending("far below")));
  assert.equal(seen.last.messages.at(-1).position, 900, "it is out of view");
  const newer = timeline.loadNewer();
  assert.deepEqual(client.asked[0].args, [BEN, { before: 951, limit: 50 }]);
  await client.answer("history", page(901, 950));
  await newer;
  assert.deepEqual([positions(seen.last)[0], positions(seen.last).at(-1)], [851, 950]);
  const newest = timeline.loadNewer();
  await client.answer("history", page(951, 1_000));
  await newest;
  assert.equal(seen.last.hasNewer, true, "there may be one more");
  const end = timeline.loadNewer();
  await client.answer("history", page(952, 1_001));
  const { messages, ...rest } = page(952, 1_001);
  await client.answer("history", { messages: [...messages, pending("far below")], ...rest });
  await end;
  assert.deepEqual(positions(seen.last).slice(-2), [1_001, "far below"]);
  assert.deepEqual([seen.last.hasNewer, seen.last.hasOlder, seen.last.messages.length], [false, true, 100]);
});

test("who follows keeps the newest, however much comes", async () => {
  const { client, seen } = await opened(page(1, 50), { limit: 100 });
  client.tell("messages", news("added", ...page(51, 120).messages));
  assert.deepEqual([positions(seen.last)[0], positions(seen.last).at(-1)], [21, 120]);
  assert.equal(seen.last.hasOlder, true);
});

test("it begins around a message, and goes to others, and to the end", async () => {
  const client = new FakeClient();
  const timeline = timelineStore(client, BEN, { at: "m500" });
  const seen = watch(timeline);
  await client.answer("message", sent(500));
  assert.deepEqual(client.asked[0].args, [BEN, { before: 525, limit: 50 }]);
  await client.answer("history", page(475, 524));
  assert.deepEqual([seen.last.hasOlder, seen.last.hasNewer, seen.last.messages.length], [true, true, 50]);

  const found = timeline.loadAround("m20");
  assert.equal(seen.last.loading, "around");
  await client.answer("message", sent(20));
  await client.answer("history", page(1, 44));
  assert.equal(await found, true);
  assert.equal(positions(seen.last)[0], 1);

  const elsewhere = sent(5, { conversation: "direct:cid" });
  for (const said of [null, elsewhere, new SyncError("invalid")]) {
    const lost = timeline.loadAround("nowhere");
    await client[said instanceof SyncError ? "fail" : "answer"]("message", said);
    await client.answer("history", page(951, 1_000));
    assert.equal(await lost, false);
    assert.deepEqual([seen.last.messages.length, seen.last.hasNewer, seen.last.error], [50, false, null]);
  }
  await timeline.loadLatest();
  assert.equal(client.asked.length, 0, "it is there already");
});

test("who reads on from a message keeps the place, however much comes", async () => {
  const { client, timeline, seen } = await opened(page(951, 1_000), { limit: 100 });
  const found = timeline.loadAround("m990");
  await client.answer("message", sent(990));
  await client.answer("history", page(951, 1_000));
  await client.answer("history", page(951, 1_000));
  await found;
  assert.equal(seen.last.hasNewer, false);
  client.tell("messages", news("added", ...page(1_001, 1_100).messages));
  assert.deepEqual([positions(seen.last)[0], positions(seen.last).at(-1), seen.last.hasNewer], [951, 1_050, true]);
});

test("of two destinations the later one holds, whichever is found first", async () => {
  const { client, timeline, seen } = await opened(page(951, 1_000), { limit: 100 });
  const overtaken = timeline.loadAround("m500");
  const latest = timeline.loadLatest();
  await client.answer("history", page(951, 1_000));
  await latest;
  await client.answer("message", sent(500));
  await client.answer("history", page(475, 524));
  assert.equal(await overtaken, false);
  assert.equal(positions(seen.last).at(-1), 1_000);
  // Nor does it keep the view from following.
  client.tell("messages", news("added", ...page(1_001, 1_100).messages));
  assert.equal(positions(seen.last).at(-1), 1_100);
});

test("without a client, or a conversation, there is nothing, and nothing breaks", async () => {
  const client = new FakeClient();
  for (const timeline of [timelineStore(null, BEN), timelineStore(client, null)]) {
    const seen = watch(timeline);
    await timeline.loadOlder();
    await timeline.loadLatest();
    timeline.follow(true);
    assert.equal(await timeline.loadAround("m1"), false);
    seen.off();
    assert.deepEqual(seen.values, [timeline.initial]);
  }
  assert.deepEqual([client.asked.length, client.listeners], [0, 0]);
});
