// P4, fault 50: two accounts in one browser profile never meet, whether they are there side by side or one after the
// other. Whatever each of them does has marks in it, texts that are nowhere else, and the other never comes by them.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { leave } from "./support/cast.mjs";
import { inPage } from "./support/client.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

/** Whom all of them talk to, on another device. */
const FRIEND = "friend";
const TO_FRIEND = `direct:${FRIEND}`;

const stage = new Stage();
after(() => stage.clear());
let server, friend;

before(async () => {
  server = await stage.server();
  friend = await (await stage.profile(server)).client(FRIEND);
  await friend.online();
});

test("P4 two accounts side by side in one profile never see a byte of each other", async (t) => {
  const profile = await witnessedProfile();
  const [ann, bea] = [new Person("ann"), new Person("bea")];
  // Each has a page of its own, and both are in a third one.
  const shared = await profile.tab();
  await ann.open(profile);
  await bea.open(profile, shared);
  await ann.open(profile, shared);
  await bea.open(profile);
  const [annsPage, beasPage] = [ann.clients[0].page, bea.clients[1].page];

  await t.test("P4 they are two devices with one connection each", async () => {
    for (const { account, clients, marks } of [ann, bea]) {
      for (const client of clients) {
        assert.equal(client.deviceId, marks.device);
        await client.untilStatus("with its other tab", ({ tabs }) => tabs === 2);
      }
      const connections = await server.connections(account);
      assert.deepEqual(connections.map((it) => it.device_id), [marks.device]);
    }
    assert.notEqual(ann.marks.device, bea.marks.device);
    assert.equal(openSockets(annsPage, shared, beasPage).length, 2);
  });

  await t.test("P4 their databases, locks and channels have different names, which tell nothing", async () => {
    const [anns, both, beas] = await Promise.all([annsPage, shared, beasPage].map(witnessed));
    for (const kind of ["databases", "locks", "channels"]) {
      assert.deepEqual([anns[kind].length, beas[kind].length], [1, 1], kind);
      assert.notEqual(anns[kind][0], beas[kind][0], kind);
      assert.deepEqual(both[kind], [...anns[kind], ...beas[kind]].toSorted(), kind);
      for (const name of both[kind]) {
        for (const { account } of [ann, bea]) assert.ok(!tells(name, account), `${kind}: ${name}`);
      }
    }
    const { databases, held, waiting } = await inPage(shared, namesInUse);
    assert.deepEqual(databases, both.databases, "there is no other database");
    assert.deepEqual([held, waiting], [both.locks, both.locks], "one tab of each has its lock, the other waits for it");
  });

  await t.test("P4 what one does arrives in both of its tabs, and in none of the other's", async () => {
    await Promise.all([ann.live(), bea.live()]);
    await ann.clients[1].call("configure", { syncInterval: 7.25 });
    await ann.clients[0].setOffline(true);
    for (const client of ann.clients) {
      await until("it is configured", async () => (await client.call("config")).syncInterval === 7.25);
      await client.untilStatus("offline", ({ workingOffline }) => workingOffline);
    }
    for (const client of bea.clients) {
      await client.call("syncNow");
      assert.equal((await client.call("config")).syncInterval, 15);
      const { connection, workingOffline } = await client.status();
      assert.deepEqual({ connection, workingOffline }, { connection: "online", workingOffline: false });
    }
    await ann.clients[0].setOffline(false);
    for (const client of ann.clients) await client.online();
    for (const [one, other] of [
      [ann, bea],
      [bea, ann],
    ]) {
      for (const client of one.clients) {
        await client.call("syncNow");
        const said = await everything(client);
        assert.deepEqual(found(one.own, said), Object.keys(one.own), "it sees all that is its own");
        assert.deepEqual(found(other.marks, said), [], "and nothing of the other");
      }
    }
  });

  await t.test("P4 nor do their pages hear of each other, on the channel or from the server", async () => {
    const [anns, both, beas] = await Promise.all([annsPage, shared, beasPage].map(witnessed));
    for (const [one, other] of [
      [anns, beas],
      [beas, anns],
    ]) {
      assert.ok(one.heard.length > 0 && one.posted.length > 0);
      assert.deepEqual(one.heard.filter(({ channel }) => channel !== one.channels[0]), []);
      const posted = new Set(one.posted.map(({ frame }) => frame));
      assert.deepEqual(other.heard.filter(({ frame }) => posted.has(frame)), []);
      // In the page with both, it comes on the channel of its own account alone.
      const channels = both.heard.filter(({ frame }) => posted.has(frame)).map(({ channel }) => channel);
      assert.deepEqual([...new Set(channels)], one.channels);
    }
    for (const [one, other, channel] of [
      [ann, bea, anns.channels[0]],
      [bea, ann, beas.channels[0]],
    ]) {
      const frames = [anns, both, beas].flatMap(({ heard }) => heard.filter((it) => it.channel === channel));
      const bytes = frames.map(({ frame }) => frame).join(" ");
      for (const mark of ["tab0", "tab1", "sent"]) assert.deepEqual(foundInHex(pick(one.marks, mark), bytes), [mark]);
      assert.deepEqual(foundInHex(other.marks, bytes), []);
    }
    // Ann's page led first, so it has a connection; Bea's may never have had one.
    const [annsWire, beasWire] = [annsPage, beasPage].map(({ sockets }) => {
      const frames = sockets.flatMap(({ received, sent }) => [...received, ...sent]);
      return frames.map((frame) => frame.toString("hex")).join(" ");
    });
    const some = ["account", "sent", "waved"];
    for (const mark of some) assert.deepEqual(foundInHex(pick(ann.marks, mark), annsWire), [mark]);
    assert.deepEqual([foundInHex(bea.marks, annsWire), foundInHex(ann.marks, beasWire)], [[], []]);
  });

  await t.test("P4 asked for by name, what is one's is to the other as if it were not there", async () => {
    for (const [one, other] of [
      [ann, bea],
      [bea, ann],
    ]) {
      for (const client of one.clients) {
        await other.isUnknownTo(client);
        assert.deepEqual(found(other.marks, await everything(client)), []);
      }
    }
  });

  await t.test("P4 nothing is kept but the two databases", () => nothingElseIsKept(shared));

  await t.test("P4 what one really sends the other arrives, and nothing more", async () => {
    const text = `heron shared-${randomUUID()}`;
    const sent = await ann.clients[1].send(`direct:${bea.account}`, text);
    for (const client of bea.clients) {
      const [message] = await client.untilSent(`direct:${ann.account}`, 1);
      assert.deepEqual([message.id, message.sender, message.content], [sent.id, ann.account, text]);
    }
    // They know each other now; what is said to the friend is for the friend all the same.
    const heard = (await friend.log("custom-status")).length;
    await ann.clients[0].call("setTyping", TO_FRIEND, true);
    await ann.clients[0].call("sendStatus", TO_FRIEND, "wave", "to the friend");
    await until("the friend is told", async () => (await friend.log("custom-status")).length > heard);
    await ann.clients[0].call("sendStatus", `direct:${bea.account}`, "wave", text);
    const { account, ...others } = ann.marks;
    for (const client of bea.clients) {
      const waves = async () => (await client.log("custom-status")).map(({ event }) => event.content);
      await until("Bea is told", async () => (await waves()).includes(text));
      assert.deepEqual(await waves(), [bea.marks.waved, text]);
      const typists = (await client.log("typing")).map(({ event }) => event.account);
      assert.deepEqual([...new Set(typists)], [FRIEND]);
      const said = await everything(client);
      assert.deepEqual(found({ account }, said), ["account"]);
      assert.deepEqual(found(others, said), []);
    }
    const { account: name, ...beas } = bea.marks;
    for (const client of ann.clients) {
      const said = await everything(client);
      assert.deepEqual(found({ name }, said), ["name"]);
      assert.deepEqual(found(beas, said), []);
    }
  });

  await t.test("P4 when one goes, the other stays online", async () => {
    // First all that Ann has is in a page that Bea is in too.
    await annsPage.close();
    await ann.clients[1].untilStatus("leader", ({ role, connection }) => role === "leader" && connection === "online");
    assert.equal(openSockets(shared, beasPage).length, 2);
    assert.equal((await server.connections(ann.account)).length, 1);
    const [connection, ...others] = await server.connections(bea.account);
    assert.deepEqual(others, []);
    const before = await Promise.all(bea.clients.map(async (client) => (await client.log("status")).length));

    await ann.clients[1].close();
    await until("it is gone", async () => (await server.connections(ann.account)).length === 0);
    await until("its socket is", () => openSockets(shared, beasPage).length === 1);
    const { id } = await bea.clients[1].send(TO_FRIEND, "heron afterwards");
    await until("it has arrived", () => friend.call("message", id));
    assert.deepEqual(await server.connections(bea.account), [connection], "it is the same connection");
    for (const [at, client] of bea.clients.entries()) {
      const since = (await client.log("status")).slice(before[at]).map(({ event }) => event);
      assert.deepEqual(since.filter(({ connection, tabs }) => connection !== "online" || tabs !== 2), []);
      assert.deepEqual(await client.log("error"), []);
    }
    const [lock] = (await witnessed(beasPage)).locks;
    await until("only Bea's lock is left", async () => (await inPage(shared, namesInUse)).held.join() === lock);
  });
  assert.deepEqual(profile.pageErrors, []);
});

test("P4 two accounts one after the other in one profile never see a byte of each other", async () => {
  const profile = await witnessedProfile();
  const [ann, bea] = [new Person("ann"), new Person("bea")];
  const page = await profile.tab();
  await ann.open(profile, page);
  await ann.open(profile);
  await ann.live();
  await ann.leaveWithSomethingUnsent();
  await until("it has let go of everything", async () => (await inPage(page, namesInUse)).held.length === 0);

  const seesOnlyItsOwn = async () => {
    for (const client of bea.clients) {
      await client.call("syncNow");
      const { pending, workingOffline } = await client.status();
      assert.deepEqual({ pending, workingOffline }, { pending: 0, workingOffline: false });
      assert.deepEqual(found(ann.marks, await everything(client)), []);
      await ann.isUnknownTo(client);
      assert.deepEqual(found(ann.marks, await everything(client)), []);
    }
  };
  // The other one comes, in the very page in which the first one was, and in a new one.
  await bea.open(profile, page);
  await bea.open(profile);
  assert.deepEqual(await bea.clients[0].call("conversations"), [], "it begins with nothing");
  await seesOnlyItsOwn();
  await bea.live();
  await seesOnlyItsOwn();
  assert.notEqual(bea.marks.device, ann.marks.device);
  assert.deepEqual(await server.connections(ann.account), []);
  assert.equal(await friend.call("message", ann.marks.unsentId), null, "what was unsent stays so");
  await profile.close();

  // After a restart it is the same, and then the first one comes back.
  await profile.start();
  await witness(profile);
  const [beasDevice, annsDevice] = [bea.marks.device, ann.marks.device];
  bea.clients = [];
  await bea.open(profile);
  await seesOnlyItsOwn();
  const [again] = bea.clients;
  assert.deepEqual(found(bea.stored, await everything(again)), Object.keys(bea.stored));
  await nothingElseIsKept(again.page);
  await again.close();

  ann.clients = [];
  await ann.open(profile, again.page);
  const [back] = ann.clients;
  await back.call("syncNow");
  const said = await everything(back);
  assert.deepEqual(found(ann.stored, said), Object.keys(ann.stored), "it has all that it had");
  assert.deepEqual(found(bea.marks, said), []);
  await bea.isUnknownTo(back);
  const { sender, content } = await until("what was unsent is sent", () => friend.call("message", ann.marks.unsentId));
  assert.deepEqual([sender, content], [ann.account, ann.marks.unsent]);
  assert.deepEqual([bea.marks.device, ann.marks.device], [beasDevice, annsDevice], "each is the device that it was");
  assert.deepEqual(profile.pageErrors, []);
});

test("P4 the key and the records of one account's database are no good for the other's", async (t) => {
  const profile = await witnessedProfile();
  const [ann, bea] = [new Person("ann"), new Person("bea")];
  for (const person of [ann, bea]) {
    await person.open(profile);
    await person.open(profile);
    await person.live();
    [person.database] = (await witnessed(person.clients[0].page)).databases;
    // What is recalled goes at once, and all that lies beside it in the journal goes into blocks.
    const { id } = await person.clients[0].send(TO_FRIEND, "not meant");
    await person.clients[0].call("syncNow");
    await person.clients[0].call("recall", id);
    await person.clients[0].call("syncNow");
    const { id: late } = await person.clients[0].send(TO_FRIEND, "heron late");
    await person.clients[0].call("syncNow");
    person.mark("late", late, person.stored);
    await person.leaveWithSomethingUnsent();
  }
  const page = await profile.tab();
  const inDatabases = (call, ...args) =>
    inPage(page, ([call, args]) => harness.databases[call](...args), [call, args]);

  for (const [one, other] of [
    [ann, bea],
    [bea, ann],
  ]) {
    assert.equal(await inDatabases("opens", one.database, one.database), true);
    assert.equal(await inDatabases("opens", one.database, other.database), false);
  }

  // Table by table, all together, and with the key: it is not for this database, and shows nothing in it.
  const tally = await inDatabases("tally", ann.database);
  const all = Object.keys(tally);
  for (const table of all) assert.ok(tally[table] > 0, `there is something in ${table}`);
  // That a record is no good is told with its key, which was put there with it: of an operation, the id.
  const { unsentId, ...marks } = ann.marks;
  const ways = [...all.map((table) => ({ tables: [table] })), { tables: all }, { tables: all, key: true }];
  for (const { tables, key } of ways) {
    const way = `${tables.join(", ")}${key ? " and the key" : ""}`;
    await inDatabases("copy", ann.database, bea.database, tables);
    if (key) await inDatabases("copyKey", ann.database, bea.database);
    const { said, failures } = await reopened(profile, bea);
    t.diagnostic(`${way}: ${[...new Set(failures)].join("; ") || "as if it were not there"}`);
    assert.deepEqual(found(marks, said), [], way);
    for (const failure of failures) assert.match(failure, /^storage: ./, way);
    // A store that got over it would have to be whole.
    if (failures.length === 0) assert.deepEqual(found(bea.stored, said), Object.keys(bea.stored), way);
    await inDatabases("restore", bea.database);
  }
  assert.deepEqual(await server.connections(ann.account), []);
  assert.equal(await friend.call("message", unsentId), null, "nor was it sent as somebody else's");

  // Nothing was lost by that, of either.
  for (const [one, other] of [
    [bea, ann],
    [ann, bea],
  ]) {
    const { said, failures } = await reopened(profile, one);
    assert.deepEqual(failures, []);
    assert.deepEqual(found(one.stored, said), Object.keys(one.stored));
    assert.deepEqual(found(other.marks, said), []);
  }
  assert.deepEqual(profile.pageErrors, []);
});

for (const [way, go, why] of [
  ["is removed by another device", (ann, phone) => phone.call("removeDevice", ann.marks.device), "revoked"],
  ["erases", (ann) => ann.clients[1].call("erase"), "closed"],
  ["erases, and tells the server", (ann) => ann.clients[1].call("erase", { revoke: true }), "revoked"],
]) {
  test(`P4 when one of two accounts in a profile ${way}, every byte of the other stays where it is`, async () => {
    const profile = await witnessedProfile();
    const [ann, bea] = [new Person("ann"), new Person("bea")];
    const shared = await profile.tab();
    await ann.open(profile);
    await bea.open(profile, shared);
    await ann.open(profile, shared);
    await bea.open(profile);
    for (const person of [ann, bea]) await person.live();
    for (const client of [...ann.clients, ...bea.clients]) await client.call("syncNow");
    const phone = await (await stage.profile(server)).client(ann.account);
    await phone.online();
    [ann.database] = (await witnessed(ann.clients[0].page)).databases;
    [bea.database] = (await witnessed(bea.clients[1].page)).databases;
    const fingerprint = (name) => inPage(shared, (name) => harness.databases.fingerprint(name), name);
    const before = await fingerprint(bea.database);
    assert.ok(before.records > 5 && before.keys === 1);
    assert.notDeepEqual(await fingerprint(ann.database), before);
    const [connection] = await server.connections(bea.account);
    // That somebody stops to type is told some time later.
    const toldOf = (client) => client.run(({ log: { typing, presence, ...others } }) => JSON.stringify(others));
    const told = await Promise.all(bea.clients.map(toldOf));

    await go(ann, phone);
    for (const client of ann.clients) {
      await client.untilStatus("at its end", ({ connection, reason }) => connection === "closed" && reason === why);
      await assert.rejects(client.call("conversations"), { code: why });
    }
    const names = async () => (await inPage(shared, namesInUse)).databases.join();
    await until("only Bea's database is left", async () => (await names()) === bea.database);
    const { held, waiting } = await inPage(shared, namesInUse);
    const { locks } = await witnessed(bea.clients[1].page);
    assert.deepEqual([held, waiting], [locks, locks], "her tabs have and wait for their lock as before");
    assert.deepEqual(await fingerprint(bea.database), before, "not a byte of it has changed");
    assert.deepEqual(await server.connections(bea.account), [connection], "nor has her connection");
    for (const [at, client] of bea.clients.entries()) {
      assert.equal(await toldOf(client), told[at], "she was told nothing");
      assert.equal((await client.status()).connection, "online");
      const said = await everything(client);
      assert.deepEqual(found(bea.own, said), Object.keys(bea.own));
      assert.deepEqual(found(ann.marks, said), []);
    }
    // She goes on, and Ann begins anew beside her.
    const { id } = await bea.clients[0].send(TO_FRIEND, "heron afterwards");
    await until("it has arrived", () => friend.call("message", id));
    const again = await profile.client(ann.account);
    await again.online();
    assert.notEqual(again.deviceId, ann.marks.device);
    assert.deepEqual(found(bea.marks, await everything(again)), []);
    await leave([again, phone]);
    assert.deepEqual(profile.pageErrors, []);
    await profile.close();
  });
}

/** Somebody who has an account, and does things. */
class Person {
  #name;
  account;
  /** What its database is called. */
  database;
  clients = [];
  /** What no other account may come by: texts and ids. */
  marks = {};
  /** Of that, what its own clients come by. */
  own = {};
  /** Of that, what they still have when they are opened anew. */
  stored = {};

  constructor(name) {
    this.#name = name;
    this.account = this.#secret("account", this.own, this.stored);
    this.#secret("deviceName");
  }

  /** In one more tab, or in one that is there. */
  async open(profile, page) {
    const device = { name: this.marks.deviceName };
    const client = await profile.clientIn(page ?? (await profile.tab()), this.account, { device });
    await client.online();
    this.mark(`tab${this.clients.length}`, await client.run(({ client }) => client.tabId));
    this.mark("device", client.deviceId, this.own, this.stored);
    this.clients.push(client);
  }

  /** Does all that one can do, in two tabs, and is answered. Resolves once everybody has all of it. */
  async live() {
    const [one, two] = this.clients;
    const lasting = (what) => this.#secret(what, this.own, this.stored);
    const passing = (what) => this.#secret(what, this.own);
    const toThis = `direct:${this.account}`;

    const group = lasting("group");
    await server.call("PUT", `/api/groups/${group}`, { members: [this.account, FRIEND] });
    const { id: sent } = await one.send(TO_FRIEND, `heron ${lasting("sent")}`, { type: lasting("type") });
    const { id: written } = await two.send(TO_FRIEND, passing("written"));
    await two.call("edit", written, `heron ${lasting("edited")}`);
    await two.send(`group:${group}`, { [lasting("key")]: [lasting("inGroup")] });
    await one.call("setConversation", TO_FRIEND, { draft: lasting("draft") });
    await two.call("setSession", lasting("session"), { [lasting("field")]: lasting("value") });
    const notification = { title: lasting("title"), body: lasting("body"), data: [lasting("datum")] };
    const noted = await server.call("POST", "/api/notifications", { accounts: [this.account], ...notification });
    for (const [what, id] of Object.entries({ sentId: sent, writtenId: written, notedId: noted.id })) {
      this.mark(what, id, this.own, this.stored);
    }
    const isEdited = async () => (await friend.call("message", written))?.content.endsWith(this.marks.edited);
    await until("the friend has it all", isEdited);

    await one.call("setPresence", "busy");
    await two.call("setTyping", TO_FRIEND, true);
    await two.call("sendStatus", TO_FRIEND, this.#secret("statusType"), this.#secret("status"));
    for (const kind of ["presence", "typing", "custom-status"]) {
      const told = async () => (await friend.log(kind)).some(({ event }) => event.account === this.account);
      await until(`the friend is told of ${kind}`, told);
    }
    await friend.send(toThis, `heron ${lasting("answer")}`);
    await friend.call("setTyping", toThis, true);
    await friend.call("sendStatus", toThis, "wave", passing("waved"));
    for (const client of this.clients) {
      let missing;
      const hasAll = async () => {
        const present = found(this.own, await everything(client));
        missing = Object.keys(this.own).filter((what) => !present.includes(what));
        return missing.length === 0 && (await client.log("typing")).length > 0;
      };
      await until(`${this.#name} has it all`, hasAll).catch((error) => {
        throw new Error(`${error.message}; it misses ${missing}`);
      });
    }
    await one.call("markRead", TO_FRIEND);
    await one.call("syncNow");
  }

  async leaveWithSomethingUnsent() {
    const [one, two] = this.clients;
    await one.setOffline(true);
    await two.untilStatus("offline", ({ workingOffline }) => workingOffline);
    const { id } = await two.send(TO_FRIEND, this.#secret("unsent", this.stored));
    this.mark("unsentId", id, this.stored);
    await one.close();
    await leave([two]);
  }

  /** Asked for by name, what this one has is to another client as if it were not there. */
  async isUnknownTo(client) {
    const { sentId, notedId, group, session, sent } = this.marks;
    for (const conversation of [`group:${group}`, `direct:${this.account}`]) {
      assert.equal(await client.call("conversation", conversation), null);
      assert.deepEqual(await client.history(conversation), { messages: [], holes: [], hasMore: false });
    }
    assert.equal(await client.call("message", sentId), null);
    assert.equal(await client.call("session", session), null);
    assert.deepEqual(await client.call("search", sent), []);
    for (const call of [
      ["edit", sentId, "not mine"],
      ["recall", sentId],
      ["retry", sentId],
      ["discard", sentId],
      ["markRead", `group:${group}`],
      ["markNotification", notedId, "dismissed"],
      ["renameDevice", this.marks.device, "not mine"],
      ["removeDevice", this.marks.device],
    ]) {
      await assert.rejects(client.call(...call), { code: "not-found", isSyncError: true }, call[0]);
    }
  }

  /** Notes what nobody else may come by. */
  mark(what, text, ...kinds) {
    for (const marks of [this.marks, ...kinds]) marks[what] = text;
    return text;
  }

  #secret(what, ...kinds) {
    return this.mark(what, `${what}-of-${this.#name}-${randomUUID()}`, ...kinds);
  }
}

/** A profile whose pages note what they have in common with others of their origin. */
async function witnessedProfile() {
  const profile = await stage.profile(server);
  await witness(profile);
  return profile;
}

async function witness(profile) {
  const page = await profile.tab("/away.html");
  await page.context().addInitScript(noteNames);
  await page.close();
}

/** In a page, before the package is loaded: notes the names that it uses, and what goes over channels. */
function noteNames() {
  const noted = { databases: new Set(), locks: new Set(), channels: new Set(), posted: [], heard: [] };
  globalThis.noted = noted;
  const around = (prototype, method, note) => {
    const original = prototype[method];
    prototype[method] = function (...given) {
      note.apply(this, given);
      return original.apply(this, given);
    };
  };
  const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  around(IDBFactory.prototype, "open", (name) => noted.databases.add(name));
  // Pages that are blank have none.
  if (isSecureContext) around(LockManager.prototype, "request", (name) => noted.locks.add(name));
  around(BroadcastChannel.prototype, "postMessage", function (data) {
    noted.posted.push({ channel: this.name, frame: hex(data) });
  });
  globalThis.BroadcastChannel = class extends BroadcastChannel {
    constructor(name) {
      super(name);
      noted.channels.add(name);
      this.addEventListener("message", ({ data }) => noted.heard.push({ channel: name, frame: hex(data) }));
    }
  };
}

/** What a page has noted. */
function witnessed(page) {
  return inPage(page, () => {
    const { databases, locks, channels, posted, heard } = noted;
    const [names, ...others] = [databases, locks, channels].map((names) => [...names].sort());
    return { databases: names, locks: others[0], channels: others[1], posted, heard };
  });
}

/** In a page: the databases of its origin, and the locks that its pages have or wait for. */
async function namesInUse() {
  const { held, pending } = await navigator.locks.query();
  const names = (locks) => locks.map(({ name }) => name).sort();
  return { databases: await harness.databases.names(), held: names(held), waiting: names(pending) };
}

/** Whether an account can be read from a name. */
function tells(name, account) {
  const bytes = Buffer.from(account);
  const forms = [account, bytes.toString("hex"), bytes.toString("base64"), bytes.toString("base64url")];
  return forms.some((form) => name.toLowerCase().includes(form.toLowerCase()));
}

async function nothingElseIsKept(page) {
  const kept = await inPage(page, async () => ({
    databases: (await harness.databases.names()).length,
    local: localStorage.length,
    session: sessionStorage.length,
    cookies: document.cookie,
    caches: await caches.keys(),
    files: await Array.fromAsync((await navigator.storage.getDirectory()).keys()),
    workers: (await navigator.serviceWorker.getRegistrations()).length,
  }));
  const nothing = { local: 0, session: 0, cookies: "", caches: [], files: [], workers: 0 };
  assert.deepEqual(kept, { databases: 2, ...nothing });
}

function openSockets(...pages) {
  return pages.flatMap(({ sockets }) => sockets).filter(({ socket }) => !socket.isClosed());
}

/** All that a client answers, and all that its listeners were told. */
async function everything(client) {
  const { said, failures } = await ask(client);
  assert.deepEqual(failures, []);
  return said;
}

/** The same, as far as it answers, and why it does not. */
function ask(client) {
  return client.run(async ({ client, log }) => {
    const failures = [];
    const answer = async (call, ...given) => {
      try {
        return await call(...given);
      } catch ({ code, message }) {
        failures.push(`${code}: ${message}`);
        return null;
      }
    };
    const { account, deviceId, tabId } = client;
    const conversations = (await answer(() => client.conversations())) ?? [];
    const whole = async ({ id }) => [
      await answer(() => client.conversation(id)),
      await answer(() => harness.readAll(client, id)),
    ];
    const histories = await Promise.all(conversations.map(whole));
    const ids = histories.flatMap(([, history]) => history?.messages ?? []).map(({ id }) => id);
    const answers = {
      ...{ account, deviceId, tabId, conversations, histories },
      status: client.status(),
      config: client.config(),
      messages: await Promise.all(ids.map((id) => answer(() => client.message(id)))),
      search: await answer(() => client.search("heron")),
      sessions: await answer(() => client.sessions()),
      notifications: await answer(() => client.notifications({ includeDismissed: true })),
      devices: await answer(() => client.devices?.()),
    };
    const errors = log.error.map(({ event: { code, message } }) => `${code}: ${message}`);
    return { said: JSON.stringify([answers, log, errors, failures]), failures };
  });
}

/** What somebody's client says when it is opened anew, and what it cannot do. */
async function reopened(profile, { account }) {
  const page = await profile.tab();
  try {
    const client = await profile.clientIn(page, account);
    const synced = await client.call("syncNow").then(() => [], ({ message }) => [message]);
    const { said, failures } = await ask(client);
    return { said, failures: [...synced, ...failures] };
  } catch ({ message }) {
    return { said: message, failures: [message] };
  } finally {
    await page.close();
  }
}

/** Which of these marks are in a text. */
function found(marks, text) {
  return Object.keys(marks).filter((what) => text.includes(marks[what]));
}

/** Which of them are in bytes that are written as hexadecimal numbers: texts, and ids also as their bytes. */
function foundInHex(marks, bytes) {
  const isId = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
  return Object.keys(marks).filter((what) => {
    const forms = [Buffer.from(marks[what]).toString("hex")];
    if (isId.test(marks[what])) forms.push(marks[what].replaceAll("-", ""));
    return forms.some((form) => bytes.includes(form));
  });
}

function pick(marks, what) {
  return { [what]: marks[what] };
}
