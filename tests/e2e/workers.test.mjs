// A client in a dedicated worker or in a service worker is one more tab (faults 23 and 24).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { contents, ids, numbered } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

/** More than is sent until a worker is ended. */
const MANY = 1_000;
/** When a worker is ended: once so many sends have resolved. */
const ENOUGH = 20;

const stage = new Stage();
after(() => stage.clear());
let server;

before(async () => {
  server = await stage.server();
});

test("a dedicated worker leads, sends and receives, and a tab goes on when it is terminated", async (t) => {
  const { profile, ann, bob, toAnn, toBob, end } = await cast("a worker leads");
  const page = await profile.tab();
  const inWorker = await profile.clientIn(await dedicatedWorker(page), ann);
  await leads(inWorker);
  const tab = await profile.client(ann);
  await follows(tab);
  assert.equal(tab.deviceId, inWorker.deviceId);
  assert.equal((await server.connections(ann)).length, 1);
  assert.equal(tab.page.sockets.length, 0, "the connection is the worker's");

  const said = ["from the worker", "from the tab", "from Bob"];
  await inWorker.send(toBob, said[0]);
  await tab.untilSent(toBob, 1);
  await tab.send(toBob, said[1]);
  await bob.untilSent(toAnn, 2);
  await bob.send(toAnn, said[2]);
  for (const client of [inWorker, tab]) assert.deepEqual(contents(await client.untilSent(toBob, 3)), said);

  const kept = await sendUntilEnded(inWorker, toBob, page, () => page.evaluate("worker.terminate()"));
  await leads(tab);
  await arrived({ t, kept, said, bob, toAnn, toBob, others: [tab] });
  await end();
});

test("a dedicated worker follows, and leads when the tab is closed", async () => {
  const { profile, ann, bob, toAnn, toBob, end } = await cast("a worker follows");
  const tab = await profile.client(ann);
  await leads(tab);
  const page = await profile.tab();
  const inWorker = await profile.clientIn(await dedicatedWorker(page), ann);
  await follows(inWorker);
  await inWorker.send(toBob, "first");
  await tab.untilSent(toBob, 1);

  await tab.page.close();
  await leads(inWorker);
  await inWorker.send(toBob, "second");
  await bob.untilSent(toAnn, 2);
  await bob.send(toAnn, "third");
  assert.deepEqual(contents(await inWorker.untilSent(toBob, 3)), ["first", "second", "third"]);
  assert.equal((await server.connections(ann)).length, 1);
  await inWorker.close();
  await until("nobody is connected", async () => (await server.connections(ann)).length === 0);
  await end();
});

test("fault 23: a service worker and a tab that open at the same time have one leader", async () => {
  const { profile, ann, bob, toAnn, toBob, end } = await cast("both at once");
  const page = await profile.tab();
  const worker = await serviceWorker(page);
  const clients = await Promise.all([profile.clientIn(worker, ann), profile.clientIn(page, ann)]);
  const [inWorker, tab] = clients;
  for (const client of clients) {
    await client.online();
    await client.untilStatus("one of two", ({ tabs }) => tabs === 2);
  }
  const statuses = await Promise.all(clients.map((client) => client.status()));
  assert.equal(statuses.filter(({ role }) => role === "leader").length, 1);
  assert.equal(statuses[0].epoch, statuses[1].epoch);
  assert.equal(inWorker.deviceId, tab.deviceId, "one device");
  assert.equal((await server.connections(ann)).length, 1);

  const sent = await Promise.all(
    clients.map((client, at) => client.sendAll(toBob, numbered(["of the worker", "of the tab"][at], 20))),
  );
  const expected = await bob.untilSent(toAnn, 40);
  assert.deepEqual(ids(expected).toSorted(), ids(sent.flat()).toSorted());
  for (const client of clients) {
    assert.deepEqual(ids(await client.untilSent(toBob, 40)), ids(expected));
    const told = (await client.added()).map(({ message }) => message.id);
    assert.deepEqual(told.toSorted(), ids(expected).toSorted(), "told once");
  }

  // Either goes on without the other.
  const leader = clients[statuses.findIndex(({ role }) => role === "leader")];
  const other = clients.find((client) => client !== leader);
  await leader.close();
  await leads(other);
  await other.send(toBob, "after the other was closed");
  await bob.untilSent(toAnn, 41);
  await end();
});

test("fault 24: a service worker that is stopped in the middle leaves nothing that the next sync does not repair", async (t) => {
  const { profile, ann, bob, toAnn, toBob, end } = await cast("stopped");
  const page = await profile.tab();
  // Nobody else of this profile is there.
  const worker = await serviceWorker(page);
  const first = await profile.clientIn(worker, ann);
  await leads(first);
  const fromBob = numbered("from Bob", 100);
  const bobsSending = bob.sendAll(toAnn, fromBob);
  const kept = await sendUntilEnded(first, toBob, page, () => stopServiceWorkers(page));
  await bobsSending;
  await until("nobody is connected", async () => (await server.connections(ann)).length === 0);

  const second = await profile.clientIn(worker, ann);
  assert.equal(second.deviceId, first.deviceId, "it is the same device");
  await second.call("syncNow");
  assert.equal((await second.status()).pending, 0);
  const tab = await profile.client(ann);
  await arrived({ t, kept, said: [], fromBob, bob, toAnn, toBob, others: [second, tab] });
  await end();
});

test("fault 24: a tab goes on when the service worker that led is stopped", async (t) => {
  const { profile, ann, bob, toAnn, toBob, end } = await cast("stopped beside a tab");
  const page = await profile.tab();
  const inWorker = await profile.clientIn(await serviceWorker(page), ann);
  await leads(inWorker);
  const tab = await profile.clientIn(page, ann);
  await follows(tab);
  const fromBob = numbered("from Bob", 100);
  const bobsSending = bob.sendAll(toAnn, fromBob);
  const kept = await sendUntilEnded(inWorker, toBob, page, () => stopServiceWorkers(page));
  await leads(tab);
  await bobsSending;
  await arrived({ t, kept, said: [], fromBob, bob, toAnn, toBob, others: [tab] });
  assert.equal((await server.connections(ann)).length, 1);
  await end();
});

/** Two browsers: Ann's, in which a scene is played, and Bob's. */
async function cast(scene) {
  const profiles = await stage.profiles(server, 2);
  const [ann, bobs] = [`ann, ${scene}`, `bob, ${scene}`];
  const bob = await profiles[1].client(bobs);
  await bob.online();
  const end = async () => {
    for (const profile of profiles) {
      assert.deepEqual(profile.pageErrors, []);
      await profile.close();
    }
  };
  return { profile: profiles[0], ann, bob, toBob: `direct:${bobs}`, toAnn: `direct:${ann}`, end };
}

function leads(client) {
  return client.untilStatus("leading", ({ role, connection }) => role === "leader" && connection === "online");
}

function follows(client) {
  return client.untilStatus("following", ({ role, connection }) => role === "follower" && connection === "online");
}

/** Starts `worker.js`; it is the page's `worker`. */
async function dedicatedWorker(page) {
  const started = page.waitForEvent("worker");
  await page.evaluate(() => {
    globalThis.worker = new Worker("./worker.js", { type: "module" });
    return new Promise((ready, failed) => Object.assign(worker, { onmessage: ready, onerror: failed }));
  });
  return started;
}

/** Registers `service-worker.js`; a page has to pass on what it is to do, which starts it whenever it is stopped. */
async function serviceWorker(page) {
  await page.evaluate(async () => {
    await navigator.serviceWorker.register("./service-worker.js", { type: "module" });
    await navigator.serviceWorker.ready;
  });
  const tell = async (source) => {
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    return new Promise((told) => {
      port1.onmessage = ({ data }) => told(data);
      active.postMessage(source, [port2]);
    });
  };
  return { evaluate: (source) => page.evaluate(tell, source) };
}

async function stopServiceWorkers(page) {
  const session = await page.context().newCDPSession(page);
  const stopped = new Promise((told) => {
    session.on("ServiceWorker.workerVersionUpdated", ({ versions }) => {
      if (versions.length > 0 && versions.every(({ runningStatus }) => runningStatus === "stopped")) told();
    });
  });
  await session.send("ServiceWorker.enable");
  await session.send("ServiceWorker.stopAllWorkers");
  await stopped;
  await session.detach();
}

/** Sends until the worker is ended in the middle of it; the ids of the messages whose `send` had resolved. */
async function sendUntilEnded(client, conversation, witness, end) {
  await inPage(witness, () => {
    globalThis.kept = [];
    new BroadcastChannel("kept").onmessage = ({ data }) => kept.push(data);
  });
  const sending = client.run(
    async ({ client }, [conversation, count]) => {
      const kept = new BroadcastChannel("kept");
      for (let at = 1; at <= count; at += 1) {
        const { id } = await client.send(conversation, `from the worker ${at}`);
        kept.postMessage(id);
      }
    },
    [conversation, MANY],
  );
  sending.catch(() => {}); // there is nobody left to answer
  await until("it sends", () => inPage(witness, (enough) => kept.length >= enough, ENOUGH));
  await end();
  const kept = await inPage(witness, () => kept);
  assert.ok(kept.length < MANY, "it was ended in the middle");
  return kept;
}

/** Whatever `send` had resolved has arrived, everything once and in order, and all see the same. */
async function arrived({ t, kept, said, fromBob = [], bob, toAnn, toBob, others }) {
  const holdsAll = (messages) => {
    const there = new Set(ids(messages));
    return kept.every((id) => there.has(id)) && messages.filter(({ state }) => state !== "sent").length === 0;
  };
  let list;
  await until("all that was promised has arrived", async () => {
    list = await bob.messages(toAnn);
    return holdsAll(list) && list.filter(({ content }) => fromBob.includes(content)).length === fromBob.length;
  });
  for (const client of others) {
    await until("all see the same", async () => (await client.messages(toBob)).length >= list.length);
    await client.untilStatus("done", ({ pending }) => pending === 0);
  }
  // What was durable without its promise being kept may have come meanwhile.
  list = await bob.untilSent(toAnn, (await others[0].messages(toBob)).length);
  for (const client of others) assert.deepEqual(ids(await client.messages(toBob)), ids(list));
  const byWorker = contents(list).filter((text) => text.startsWith("from the worker "));
  assert.deepEqual(byWorker, numbered("from the worker", byWorker.length), "each once, in order");
  assert.deepEqual(contents(list).filter((text) => fromBob.includes(text)), fromBob);
  assert.deepEqual(contents(list.slice(0, said.length)), said);
  assert.equal(list.length, said.length + byWorker.length + fromBob.length);
  t.diagnostic(`${kept.length} sends had resolved when the worker ended, ${byWorker.length} arrived`);
}
