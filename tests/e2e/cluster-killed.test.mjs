// X2, faults 46, 48, 49: servers, PostgreSQL and Redis end without a word while everybody writes. What `send` has
// resolved is everywhere in the end, once, in one order; what was confirmed stays where it stands.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { ids, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

/** So many instances are killed, and a fifth as often PostgreSQL and Redis. */
const KILLS = Number(process.env.TUTTI_KILLS ?? 3);
const INSTANCES = Number(process.env.TUTTI_INSTANCES) || 3;
const ACCOUNTS = Array.from({ length: 8 }, (_, at) => `account-${at}`);
const GROUP = "group:everybody";
const PAGES = 4;
/** Milliseconds from one message of a client to its next. What a long run writes is all read in the end, too. */
const PACE = KILLS > 10 ? 1_000 : 250;
const PATIENT = { within: 120_000, every: 50 };

const stage = new Stage();
after(() => stage.clear());

test("X2 whatever is killed of a cluster, nothing is lost and nothing is there twice", async (t) => {
  const server = await stage.server({ instances: INSTANCES, level: "info" });
  await server.call("PUT", "/api/groups/everybody", { members: ACCOUNTS });
  const [laptops, phones, fresh] = await stage.profiles(server, 3);
  const clients = [...(await openAll(laptops)), ...(await openAll(phones)), await laptops.client(ACCOUNTS[0])];
  for (const client of clients) await client.online();
  const writing = clients.map(write);

  const times = new Map();
  const probes = clients.map(() => []);
  for (const { what, end, revive } of deaths(server)) {
    const start = performance.now();
    await end();
    const probe = await Promise.all(clients.map((client) => client.send(GROUP, `since ${what} was gone`)));
    probe.forEach((message, at) => probes[at].push(message));
    await until(`what everybody writes after ${what} is everywhere`, () => haveAll(clients, ids(probe)), PATIENT);
    times.set(what, [...(times.get(what) ?? []), Math.round(performance.now() - start)]);
    await revive?.();
  }
  for (const [what, list] of times) {
    const median = list.toSorted((a, b) => a - b)[list.length >> 1];
    t.diagnostic(`${what}, ${list.length} times: all in step after ${median} ms, at most ${Math.max(...list)} ms`);
  }

  await Promise.all(clients.map(({ page }) => inPage(page, () => (globalThis.enough = true))));
  const texts = await Promise.all(writing);
  for (const client of clients) await client.untilStatus("done", ({ pending }) => pending === 0, PATIENT);
  const devices = [...clients, ...(await openAll(fresh))];
  for (const device of devices) await device.call("syncNow");

  const everything = [...texts, ...probes].flat();
  const groups = await Promise.all(devices.map((device) => device.messages(GROUP)));
  const directs = everything.filter(({ conversation }) => conversation !== GROUP);
  t.diagnostic(`${clients.length} clients, ${everything.length} messages, ${directs.length} of them to one recipient`);
  once(groups[0], everything.filter(({ conversation }) => conversation === GROUP));
  for (const [at, device] of devices.entries()) {
    const { account } = device;
    assert.deepEqual(summary(groups[at]), summary(groups[0]), `${account}: the same in the same order`);
    const [sent, received] = [await device.messages(talk(account, 1)), await device.messages(talk(account, -1))];
    once(sent, directs.filter(({ sender }) => sender === account));
    once(received, directs.filter(({ conversation }) => conversation === `direct:${account}`));
    const places = new Map([...groups[at], ...sent, ...received].map(({ id, position }) => [id, position]));
    for (const [id, position] of await confirmed(device)) {
      assert.equal(places.get(id), position, "what was confirmed stands where it stood");
    }
    for (const conversation of [groups[at], sent]) {
      for (const own of [texts[at], probes[at]]) inOrder(conversation, own ?? []);
    }
  }
  for (const { pageErrors } of [laptops, phones, fresh]) assert.deepEqual(pageErrors, []);
});

/** Who is killed, one after another. What is not revived at once is so when all have done without it. */
function* deaths({ instances, postgres, redis }) {
  for (let turn = 1; turn <= KILLS; turn += 1) {
    const instance = instances[randomInt(instances.length)];
    const [end, revive] = [() => instance.kill(), () => instance.start()];
    yield { what: "an instance", end, revive };
    if (turn % 5 !== 3) continue;
    const crashes = randomInt(2) === 0 || KILLS < 10;
    const restart = () => postgres.stop(crashes ? "immediate" : "fast").then(() => postgres.start());
    yield { what: crashes ? "PostgreSQL, crashed" : "PostgreSQL, restarted", end: restart };
    const absent = KILLS < 10 || randomInt(2) === 0;
    if (absent) yield { what: "Redis, still away", end: () => redis.kill(), revive: () => redis.start() };
    else yield { what: "Redis, restarted", end: () => redis.kill().then(() => redis.start()) };
  }
}

/** One client for each account, a few to a page. */
async function openAll(profile) {
  const pages = await Promise.all(Array.from({ length: PAGES }, () => profile.tab()));
  return Promise.all(ACCOUNTS.map((account, at) => profile.clientIn(pages[at % PAGES], account)));
}

/** The conversation with the next account, or the one before. */
function talk(account, step) {
  const at = ACCOUNTS.indexOf(account) + ACCOUNTS.length + step;
  return `direct:${ACCOUNTS[at % ACCOUNTS.length]}`;
}

/** Writes until the page has enough, to the group and to the next account in turn; resolves with the messages. */
function write(client) {
  const body = async ({ client }, [conversations, pace]) => {
    const sent = [];
    while (!globalThis.enough) {
      const number = sent.length;
      sent.push(await client.send(conversations[number % conversations.length], `message ${number}`));
      await new Promise((resume) => setTimeout(resume, pace));
    }
    return sent;
  };
  return client.run(body, [[GROUP, talk(client.account, 1)], PACE]);
}

/** Whether these messages are at all of the clients, and sent. */
async function haveAll(clients, ids) {
  const body = async ({ client }, ids) => {
    const messages = await Promise.all(ids.map((id) => client.message(id)));
    return messages.every((message) => message?.state === "sent");
  };
  const have = await Promise.all(clients.map((client) => client.run(body, ids)));
  return have.every(Boolean);
}

/** These messages, and no others, are all of a conversation, each once. */
function once(conversation, messages) {
  assert.deepEqual(ids(conversation).toSorted(), ids(messages).toSorted());
  assert.ok(conversation.every(({ position, state }, at) => position === at + 1 && state === "sent"));
}

/** Those of one writer stand in the order in which they were written. */
function inOrder(conversation, written) {
  const [here, own] = [new Set(ids(conversation)), new Set(ids(written))];
  assert.deepEqual(ids(conversation).filter((id) => own.has(id)), ids(written).filter((id) => here.has(id)));
}

/** Where messages stood whenever this client was told that they are sent: id and position. */
function confirmed(client) {
  return client.run(({ log }) => {
    const messages = log.messages.flatMap(({ event }) => event).map(({ message }) => message);
    return messages.filter(({ state }) => state === "sent").map(({ id, position }) => [id, position]);
  });
}
