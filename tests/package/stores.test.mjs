// The stores of what an account has and of who is there, and what may happen to them at a bad moment.
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  allTypingStore,
  conversationsStore,
  conversationStore,
  devicesStore,
  notificationsStore,
  presenceStore,
  sessionStore,
  statusStore,
  timelineStore,
  typingStore,
} from "../../pkg/stores.js";
import { FakeClient, SyncError, settled, watch } from "./support/fake-client.mjs";
import { BEN, sent } from "./support/messages.mjs";

function conversation(id, lastActivity, more = {}) {
  return { id, members: ["ann", id], lastMessage: sent(1), lastActivity, unread: 0, pinned: false, ...more };
}

const ids = ({ conversations }) => conversations.map(({ id }) => id);
const catchUp = { events: 0, completeFrom: null };

test("conversations are read once, and kept in order as they change", async () => {
  const client = new FakeClient();
  const seen = watch(conversationsStore(client));
  assert.deepEqual(seen.last, { conversations: [], loading: true, error: null });
  await client.answer("conversations", [conversation("b", 2), conversation("a", 1)]);
  const [, a] = seen.last.conversations;
  assert.deepEqual([ids(seen.last), seen.last.loading], [["b", "a"], false]);
  client.tell("conversations", [conversation("b", 2, { unread: 1 }), conversation("c", 1)]);
  assert.deepEqual(ids(seen.last), ["b", "a", "c"]);
  assert.equal(seen.last.conversations[1], a, "one that has not changed is the same");
  client.tell("conversations", [conversation("c", 1, { pinned: true })]);
  assert.deepEqual(ids(seen.last), ["c", "b", "a"]);
  const before = seen.last;
  const { length } = seen.values;
  client.tell("conversations", [conversation("a", 1)]);
  assert.deepEqual([seen.values.length, seen.last === before], [length, true]);
  assert.equal(client.asked.length, 0);
});

test("conversations that change while they are read are read once more", async () => {
  const client = new FakeClient();
  const seen = watch(conversationsStore(client));
  client.tell("conversations", [conversation("a", 3)]);
  const [older, newer] = [client.take("conversations"), client.take("conversations")];
  newer.resolve([conversation("a", 3), conversation("b", 2)]);
  await settled();
  older.resolve([conversation("b", 2), conversation("a", 1)]);
  await settled();
  assert.deepEqual(ids(seen.last), ["a", "b"]);
});

test("conversations that went with a log are gone after the catch-up", async () => {
  const client = new FakeClient();
  const [list, one] = [watch(conversationsStore(client)), watch(conversationStore(client, "a"))];
  await client.answer("conversations", [conversation("b", 2), conversation("a", 1)]);
  await client.answer("conversation", conversation("a", 1));
  assert.equal(one.last.conversation.id, "a");
  client.tell("catch-up", catchUp);
  client.tell("conversations", [conversation("b", 3)]);
  await client.answer("conversations", [conversation("b", 2)]);
  await client.answer("conversations", [conversation("b", 3)]);
  await client.answer("conversation", null);
  assert.deepEqual([ids(list.last), list.last.conversations[0].lastActivity], [["b"], 3]);
  assert.equal(one.last.conversation, null);
});

test("after an error the list is not taken for all there is", async () => {
  const client = new FakeClient();
  const seen = watch(conversationsStore(client));
  const error = new SyncError("storage", true);
  await client.fail("conversations", error);
  assert.deepEqual(seen.last, { conversations: [], loading: false, error });
  client.tell("conversations", [conversation("a", 1)]);
  await client.answer("conversations", [conversation("b", 2), conversation("a", 1)]);
  assert.deepEqual([ids(seen.last), seen.last.error], [["b", "a"], null]);
});

test("one conversation hears of itself alone", async () => {
  const client = new FakeClient();
  const seen = watch(conversationStore(client, "a"));
  client.tell("conversations", [conversation("b", 1), conversation("a", 5)]);
  await client.answer("conversation", conversation("a", 1));
  assert.equal(seen.last.conversation.lastActivity, 5, "what was told is newer than what was being read");
  const { length } = seen.values;
  client.tell("conversations", [conversation("b", 2)]);
  assert.equal(seen.values.length, length);
});

test("one conversation of a list that is on screen is there at once", async () => {
  const client = new FakeClient();
  const list = watch(conversationsStore(client));
  await client.answer("conversations", [conversation("a", 1)]);
  const one = conversationStore(client, "a");
  assert.equal(one.value.conversation, list.last.conversations[0]);
  assert.equal(one.value, one.value);
  const seen = watch(one);
  await client.answer("conversation", conversation("a", 1));
  assert.equal(seen.values.length, 1);
  assert.equal(conversationStore(client, "b").value.loading, true);
});

test("a session is what was stored, until something newer is told", async () => {
  const client = new FakeClient();
  const session = (fields) => ({ key: "player", fields, updatedAt: 1, device: null });
  const seen = watch(sessionStore(client, "player"));
  client.tell("session", { ...session({ at: 2 }), origin: "remote" });
  await client.answer("session", session({ at: 1 }));
  assert.deepEqual(seen.last, { session: session({ at: 2 }), origin: "remote", loading: false, error: null });
  client.tell("session", { ...session({ at: 3 }), key: "other", origin: "tab" });
  assert.deepEqual(seen.last.session.fields, { at: 2 });
  client.tell("session", { ...session({}), origin: "local" });
  assert.deepEqual([seen.last.session, seen.last.origin], [null, "local"]);

  const stored = watch(sessionStore(client, "other"));
  await client.answer("session", null);
  assert.deepEqual(stored.last, { session: null, origin: null, loading: false, error: null });
});

test("notifications are read anew when some change, and those that have not are the same", async () => {
  const client = new FakeClient();
  const seen = watch(notificationsStore(client, { includeDismissed: true }));
  assert.deepEqual(client.asked[0].args, [{ includeDismissed: true }]);
  const [first, second] = [{ id: "1", state: "unread" }, { id: "2", state: "unread" }];
  await client.answer("notifications", [second, first]);
  const { notifications } = seen.last;
  client.tell("notifications", [{ id: "2", state: "read" }]);
  await client.answer("notifications", [{ id: "2", state: "read" }, first]);
  assert.deepEqual(seen.last.notifications.map(({ state }) => state), ["read", "unread"]);
  assert.equal(seen.last.notifications[1], notifications[1]);
  client.tell("notifications", []);
  await client.answer("notifications", []);
  assert.deepEqual(seen.last.notifications, []);
});

test("devices are asked for on each connection, and are what they were without one", async () => {
  const client = new FakeClient({ connection: "connecting" });
  const seen = watch(devicesStore(client));
  assert.deepEqual([client.asked.length, seen.last.devices, seen.last.loading], [0, null, true]);
  client.connect("online");
  client.connect("online");
  assert.equal(client.asked.length, 1);
  client.tell("devices", [{ id: "d", name: "told" }]);
  await client.answer("devices", [{ id: "d", name: "asked before" }]);
  assert.deepEqual(seen.last.devices, [{ id: "d", name: "told" }]);
  client.connect("offline");
  assert.deepEqual([seen.last.devices.length, client.asked.length], [1, 0]);
  client.connect("online");
  const error = new SyncError("timeout", true);
  await client.fail("devices", error);
  assert.deepEqual([seen.last.devices.length, seen.last.error], [1, error]);
});

test("the status is there before anybody subscribes, always the same while it says the same", async () => {
  const client = new FakeClient();
  const status = statusStore(client);
  assert.deepEqual(status.value, { connection: "online" });
  assert.equal(status.value, status.value);
  assert.equal(client.listeners, 0);
  const before = status.value;
  // Nobody hears of it, since nobody listens; and who comes then must not miss it.
  client.connect("offline");
  const seen = watch(status);
  assert.deepEqual(seen.values, [{ connection: "offline" }]);
  client.connect("offline");
  assert.equal(seen.values.length, 1);
  assert.notEqual(seen.last, before);
  assert.equal(statusStore(null).value, null);
});

test("who types is known by conversation, but for oneself", async () => {
  const client = new FakeClient();
  const all = watch(allTypingStore(client));
  client.tell("typing", { conversation: BEN, account: "ben", typing: true });
  const seen = watch(typingStore(client, BEN));
  assert.deepEqual(seen.last, ["ben"], "also what began before");
  client.tell("typing", { conversation: "direct:cid", account: "cid", typing: true });
  client.tell("typing", { conversation: BEN, account: "ann", typing: true });
  client.tell("typing", { conversation: BEN, account: "ben", typing: true });
  assert.equal(seen.values.length, 1);
  client.tell("typing", { conversation: BEN, account: "ben", typing: false });
  assert.deepEqual(seen.last, []);
  seen.off();
  all.off();
  await settled();
  await settled();
  assert.equal(client.listeners, 0);
});

test("how somebody is, is asked once a connection, and unknown without one", async () => {
  const client = new FakeClient();
  const presence = (presence) => ({ account: "ben", presence, lastSeen: null, platforms: [] });
  const [seen, other] = [watch(presenceStore(client, "ben")), watch(presenceStore(client, "ben", { ask: false }))];
  assert.equal(client.asked.length, 1);
  client.tell("presence", presence("away"));
  await client.answer("presence", presence("online"));
  assert.deepEqual(seen.last, { presence: presence("away"), error: null }, "what was told meanwhile is newer");
  assert.deepEqual(other.last, seen.last);
  client.connect("offline");
  assert.deepEqual([seen.last.presence, other.last.presence], [null, null]);
  client.connect("online");
  const error = new SyncError("timeout", true);
  await client.fail("presence", error);
  assert.deepEqual(seen.last, { presence: null, error });
  client.connect("offline");
  client.connect("online");
  await client.answer("presence", presence("online"));
  assert.deepEqual(seen.last, { presence: presence("online"), error: null });
  seen.off();
  await settled();
  const again = watch(presenceStore(client, "ben"));
  assert.deepEqual([again.last.presence, client.asked.length], [presence("online"), 0], "it is known");
  again.off();
  await settled();
  client.connect("offline");
  client.connect("online");
  assert.equal(client.asked.length, 0, "nobody wants to know any more");
  other.off();
  await settled();
  await settled();
  assert.equal(client.listeners, 0);
});

test("how somebody is, is not asked of those who are only listed", () => {
  const client = new FakeClient();
  watch(presenceStore(client, "ben", { ask: false }));
  assert.equal(client.asked.length, 0);
});

test("no store leaves a listener behind, nor reads more than once for many", async () => {
  const client = new FakeClient();
  const stores = () => [
    statusStore(client),
    conversationsStore(client),
    conversationStore(client, BEN),
    sessionStore(client, "player"),
    notificationsStore(client),
    devicesStore(client),
    timelineStore(client, BEN),
    typingStore(client, BEN),
    presenceStore(client, "ben"),
  ];
  const seen = [...stores(), ...stores()].map(watch);
  assert.equal(client.asked.length, 7);
  for (const { off } of seen) off();
  for (let depth = 0; depth < 3; depth += 1) await settled();
  assert.equal(client.listeners, 0);
  for (const question of client.asked.splice(0)) question.reject(new SyncError("closed"));
  await settled();
  for (const store of stores().slice(1)) assert.equal(store.value, store.initial);
});

test("a store is forgotten when nobody holds it, and kept as long as somebody subscribes", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  const client = new FakeClient();
  const create = (id) => new WeakRef(conversationStore(client, id));
  const [held, idle] = [create("held"), create("idle")];
  let heard = 0;
  held.deref().subscribe(() => (heard += 1));
  // What is looked at in one task stays for its length.
  await settled();
  collect();
  assert.equal(idle.deref(), undefined);
  assert.equal(conversationStore(client, "held"), held.deref());
  client.tell("conversations", [conversation("held", 1)]);
  assert.equal(heard, 2);
});

test("a client that is closed is an error to see, not one to stumble over", async () => {
  const client = new FakeClient();
  const makers = [conversationsStore, notificationsStore, devicesStore, (client) => timelineStore(client, BEN)];
  const seen = makers.map((make) => watch(make(client)));
  const closed = new SyncError("closed");
  for (const method of ["conversations", "notifications", "devices", "history"]) await client.fail(method, closed);
  for (const { last } of seen) assert.deepEqual([last.error, Boolean(last.loading)], [closed, false]);
});

test("a listener that throws keeps nothing from the others, and one that leaves hears no more", async (context) => {
  const told = context.mock.method(console, "error", () => {});
  const client = new FakeClient();
  const status = statusStore(client);
  const heard = [];
  const mistake = new Error("a listener's own");
  status.subscribe(() => {
    throw mistake;
  });
  const offs = [];
  offs.push(status.subscribe((value) => value.connection === "offline" && offs[1]()));
  offs.push(status.subscribe((value) => heard.push(["second", value.connection])));
  status.subscribe((value) => heard.push(["third", value.connection]));
  client.connect("offline");
  assert.deepEqual(heard, [["second", "online"], ["third", "online"], ["third", "offline"]]);
  assert.deepEqual(told.mock.calls.map(({ arguments: [error] }) => error), [mistake, mistake]);
});
