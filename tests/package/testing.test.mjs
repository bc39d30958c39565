// The server in memory, used as an application's tests would use it: real clients in Node, no browser.
import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { SyncClient, SyncError } from "../../pkg/index.js";
import { createTestServer } from "../../pkg/testing.js";

const BEN = "direct:ben";
const ANN = "direct:ann";

let server;
let clients;
beforeEach(async () => {
  server = await createTestServer();
  clients = [];
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()));
  server.close();
});

async function open(account, more = {}) {
  const client = await SyncClient.open({ ...server.options(account), ...more });
  clients.push(client);
  return client;
}

/** Resolves once an event of the client's has been told for which it holds. */
function told(client, event, holds = () => true) {
  return new Promise((resolve) => {
    const off = client.on(event, (value) => {
      if (!holds(value)) return;
      off();
      resolve(value);
    });
  });
}

/** Resolves once the client's status is like that. */
async function status(client, holds) {
  return holds(client.status()) ? client.status() : told(client, "status", holds);
}

const isOnline = ({ connection }) => connection === "online";
const isSent = (changes) => changes.some(({ message }) => message.state === "sent");
const isRecalled = (changes) => changes.some(({ change }) => change === "recalled");
const shown = async (client, conversation) => {
  const { messages } = await client.history(conversation);
  return messages.map(({ content, state }) => [content, state]);
};

test("what one account sends the other receives, and who has read it", async () => {
  const [ann, ben] = [await open("ann"), await open("ben")];
  await Promise.all([status(ann, isOnline), status(ben, isOnline)]);
  const received = told(ben, "messages");
  const { id, state } = await ann.send(BEN, { text: "Hello" });
  assert.equal(state, "pending");
  const [{ message, origin }] = await received;
  assert.deepEqual([message.id, message.sender, message.content, origin], [id, "ann", { text: "Hello" }, "remote"]);
  assert.equal((await ben.conversation(ANN)).unread, 1);
  const read = told(ann, "conversations", ([{ readBy }]) => readBy.ben === 1);
  await ben.markRead(ANN);
  await read;
  assert.deepEqual(await shown(ann, BEN), [[{ text: "Hello" }, "sent"]]);
  assert.equal(ann.status().durable, false);
});

test("without a network what is sent waits, and goes when there is one", async () => {
  const [ann, ben] = [await open("ann"), await open("ben")];
  await Promise.all([status(ann, isOnline), status(ben, isOnline)]);
  server.network.offline();
  await status(ann, ({ connection }) => connection === "offline");
  await ann.send(BEN, "while offline");
  assert.deepEqual(await shown(ann, BEN), [["while offline", "pending"]]);
  await assert.rejects(ann.devices(), { code: "offline" });
  const late = await open("cid");
  assert.notEqual(late.status().connection, "online");
  const received = told(ben, "messages");
  server.network.online();
  await received;
  await Promise.all([ann.syncNow(), late.syncNow()]);
  assert.deepEqual(await shown(ann, BEN), [["while offline", "sent"]]);
  assert.deepEqual(await shown(ben, ANN), [["while offline", "sent"]]);
});

test("connections that break come back by themselves, with what was missed", async () => {
  const [ann, ben] = [await open("ann"), await open("ben")];
  await Promise.all([status(ann, isOnline), status(ben, isOnline)]);
  const broken = status(ann, ({ connection }) => connection !== "online");
  server.network.drop();
  await broken;
  server.post({ from: "ben", to: ANN, content: "missed" });
  await status(ann, isOnline);
  await ann.syncNow();
  assert.deepEqual(await shown(ann, BEN), [["missed", "sent"]]);
});

test("edits and recalls reach the other devices, and what is recalled is gone", async () => {
  const [phone, laptop, ben] = [await open("ann"), await open("ann"), await open("ben")];
  const { id } = await phone.send(BEN, "first");
  await phone.syncNow();
  await laptop.syncNow();
  await laptop.edit(id, "second");
  await laptop.syncNow();
  await ben.syncNow();
  assert.deepEqual(await shown(ben, ANN), [["second", "sent"]]);
  await assert.rejects(ben.recall(id), { code: "forbidden" });
  const gone = told(ben, "messages", isRecalled);
  await phone.recall(id);
  await gone;
  assert.deepEqual(await shown(ben, ANN), [[null, "recalled"]]);
});

test("the back end sends, notifies, makes groups and removes devices", async () => {
  const [ann, ben] = [await open("ann"), await open("ben")];
  await Promise.all([status(ann, isOnline), status(ben, isOnline)]);
  server.setGroup("team", ["ann", "ben"]);
  const received = told(ann, "messages");
  const id = server.post({ from: "ben", to: "group:team", content: ["to", "all"] });
  assert.equal((await received)[0].message.id, id);
  await ben.syncNow();
  assert.deepEqual(await shown(ben, "group:team"), [], "its sender has it already");
  const recalled = told(ann, "messages", isRecalled);
  server.recall({ from: "ben", message: id });
  await recalled;

  const notified = told(ann, "notifications");
  const about = server.notify({ accounts: ["ann"], title: "Build", body: "It is green.", data: { build: 7 } });
  const [notification] = await notified;
  assert.deepEqual([notification.id, notification.data, notification.state], [about, { build: 7 }, "unread"]);
  await ann.markNotification(about, "read");
  await ann.syncNow();
  assert.equal((await ann.notifications())[0].state, "read");

  const removed = told(ann, "removed");
  server.removeDevice("ann", ann.deviceId);
  assert.deepEqual(await removed, { by: null });
  await assert.rejects(ann.send(BEN, "too late"), { code: "revoked" });
});

test("what the server would refuse it refuses", async () => {
  server.setGroup("team", ["ann"]);
  assert.throws(() => server.post({ from: "ben", to: "group:team", content: "not a member" }), /forbidden|not-found/);
  assert.throws(() => server.post({ from: "ben", to: "nowhere", content: "hello" }));
  assert.throws(() => server.post({ from: "ben", to: ANN, content: "a".repeat(40_000) }));
  assert.throws(() => server.removeDevice("ann", crypto.randomUUID()));
  const stranger = await open("ann", { token: server.token("ben") });
  const { reason } = await status(stranger, (now) => now.reason === "auth");
  assert.equal(reason, "auth");
});

test("who types and who is there is told to those who are there", async () => {
  const [ann, ben] = [await open("ann"), await open("ben")];
  await ann.send(BEN, "so that they know each other");
  await Promise.all([ann.syncNow(), ben.syncNow()]);
  const typing = told(ann, "typing");
  ben.setTyping(ANN);
  assert.deepEqual(await typing, { conversation: BEN, account: "ben", typing: true });
  assert.equal((await ann.presence("ben")).presence, "online");
});

test("a client without a place polls, and gets all the same", async () => {
  for (let place = 0; place < 10; place++) await status(await open("ann"), isOnline);
  const eleventh = await open("ann");
  await status(eleventh, ({ connection }) => connection === "polling");
  server.post({ from: "ben", to: ANN, content: "by post" });
  await eleventh.syncNow();
  assert.deepEqual(await shown(eleventh, BEN), [["by post", "sent"]]);
});

test("frames are as long on their way as is said, and stay in order", async () => {
  const [ann, ben] = [await open("ann"), await open("ben")];
  await Promise.all([status(ann, isOnline), status(ben, isOnline)]);
  const timers = mock.method(globalThis, "setTimeout");
  server.network.latency(7);
  for (let number = 0; number < 20; number++) await ann.send(BEN, number);
  await ann.syncNow();
  await ben.syncNow();
  timers.mock.restore();
  assert.ok(timers.mock.calls.some(({ arguments: [, delay] }) => delay === 7));
  assert.deepEqual((await shown(ben, ANN)).map(([content]) => content), [...Array(20).keys()]);
});

test("the server's clock is the application's to set", async () => {
  server.close();
  let now = Date.UTC(2030, 0, 1);
  server = await createTestServer({ clock: () => now });
  const ann = await open("ann");
  const first = told(ann, "messages", isSent);
  server.post({ from: "ben", to: ANN, content: "new year" });
  assert.equal((await first)[0].message.sentAt, now);
  now += 60_000;
  const second = told(ann, "messages", isSent);
  server.post({ from: "ben", to: ANN, content: "a minute later" });
  assert.equal((await second)[0].message.sentAt, now);
});

test("two servers know nothing of each other", async () => {
  const other = await createTestServer();
  assert.notEqual(other.url, server.url);
  const ann = await open("ann");
  other.post({ from: "ben", to: ANN, content: "elsewhere" });
  server.post({ from: "ben", to: ANN, content: "here" });
  await ann.syncNow();
  other.close();
  assert.deepEqual(await shown(ann, BEN), [["here", "sent"]]);
  assert.equal(ann.status().connection, "online");
});

test("where cryptography is not the page's own, as in jsdom, Node's is", async () => {
  server.close();
  globalThis.Crypto = class Crypto {};
  server = await createTestServer();
  const ann = await open("ann");
  await ann.send(BEN, "hello");
  await ann.syncNow();
  assert.deepEqual(await shown(ann, BEN), [["hello", "sent"]]);
});

test("what goes elsewhere goes there, and in the end all is as it was", async () => {
  const answer = await fetch("data:text/plain,hello");
  assert.equal(await answer.text(), "hello");
  const during = [globalThis.fetch, globalThis.WebSocket];
  server.close();
  const after = [globalThis.fetch, globalThis.WebSocket];
  assert.notDeepEqual(during, after);
  await assert.rejects(fetch(server.url.replace("wss", "https"), { method: "POST", body: "" }), TypeError);
  await assert.rejects(SyncClient.open({ ...server.options("ann"), url: "http://elsewhere" }), SyncError);
});
