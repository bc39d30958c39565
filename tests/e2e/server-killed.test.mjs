// A server that dies loses nothing that it has confirmed, and nothing shows twice.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { contents, ids, numbered, summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const CLIENTS = 20;
const PAGES = 4;
const MESSAGES = 60;
const KILLS = 3;

const stage = new Stage();
after(() => stage.clear());

test("a server killed while 20 clients send loses no confirmed message and doubles none", async (t) => {
  const server = await stage.server();
  const [sending, fresh] = await stage.profiles(server, 2);
  const clients = await openAll(sending);
  for (const client of clients) await client.online();

  // Everyone writes to the next one, in a circle, until all is written.
  const to = (at) => `direct:${name((at + 1) % CLIENTS)}`;
  const from = (at) => `direct:${name((at + CLIENTS - 1) % CLIENTS)}`;
  const texts = (at) => numbered(`from ${name(at)}`, MESSAGES);
  const writing = clients.map((client, at) => paced(client, to(at), texts(at)));

  const confirmedBefore = [];
  for (let kill = 1; kill <= KILLS; kill += 1) {
    const enough = (CLIENTS * MESSAGES * kill) / (KILLS + 1);
    await until(`${enough} messages are confirmed`, async () => (await confirmed(clients)).size >= enough, {
      within: 60_000,
    });
    await server.kill();
    // What clients know to be confirmed now was so when the server died.
    const known = await confirmed(clients);
    confirmedBefore.push(...known);
    await until("the clients have noticed", async () => {
      const statuses = await Promise.all(clients.map((client) => client.status()));
      return statuses.every(({ connection }) => connection !== "online");
    });
    const start = performance.now();
    await server.start();
    await Promise.all(clients.map((client) => client.online({ within: 60_000 })));
    t.diagnostic(
      `kill ${kill} after ${known.size} confirmed messages; all 20 online again ${Math.round(performance.now() - start)} ms after the start`,
    );
  }
  const sent = await Promise.all(writing);
  const start = performance.now();
  for (const client of clients) await client.untilStatus("done", ({ pending }) => pending === 0, { within: 60_000 });
  t.diagnostic(
    `${CLIENTS * MESSAGES} messages; the last was confirmed ${Math.round(performance.now() - start)} ms after it was written`,
  );

  const devices = await openAll(fresh);
  for (const device of devices) await device.call("syncNow");
  for (const [at, client] of clients.entries()) {
    const own = await client.untilSent(to(at), MESSAGES);
    assert.deepEqual(contents(own), texts(at), "once each, in order, for the sender");
    assert.deepEqual(ids(own), ids(sent[at]));
    const received = await clients[(at + 1) % CLIENTS].untilSent(from((at + 1) % CLIENTS), MESSAGES);
    assert.deepEqual(summary(received), summary(own), "the same for the recipient");
    assert.deepEqual(await devices[at].messages(to(at)), own, "and for a device that is new");
    assert.deepEqual(
      own.map(({ position }) => position),
      own.map((_, at) => at + 1),
    );
    for (const [id, position] of confirmedBefore) {
      const message = own.find((message) => message.id === id);
      if (message) assert.equal(message.position, position, "what was confirmed stands where it stood");
    }
  }
  const everything = new Set(sent.flatMap(ids));
  assert.ok(confirmedBefore.every(([id]) => everything.has(id)));
  for (const { pageErrors } of [sending, fresh]) assert.deepEqual(pageErrors, []);
});

/** One client for each account, a few to a page. */
async function openAll(profile) {
  const pages = await Promise.all(Array.from({ length: PAGES }, () => profile.tab()));
  return Promise.all(Array.from({ length: CLIENTS }, (_, at) => profile.clientIn(pages[at % PAGES], name(at))));
}

function name(at) {
  return `account-${at}`;
}

/** Sends texts one by one; each next one when at most two are not confirmed yet or some time has gone by. */
function paced(client, conversation, texts) {
  const body = async ({ client }, [conversation, texts]) => {
    const sent = [];
    for (const text of texts) {
      sent.push(await client.send(conversation, text));
      if (client.status().pending > 2) {
        await new Promise((resume) => {
          const off = client.on("status", resume);
          setTimeout(() => (off(), resume()), 200);
        });
      }
    }
    return sent;
  };
  return client.run(body, [conversation, texts]);
}

/** The own messages that clients hold to be sent: id and position. */
async function confirmed(clients) {
  const lists = clients.map((client) =>
    client.run(({ client, log }) => {
      const messages = log.messages.flatMap(({ event }) => event).map(({ message }) => message);
      const own = messages.filter(({ sender, state }) => sender === client.account && state === "sent");
      return own.map(({ id, position }) => [id, position]);
    }),
  );
  return new Map((await Promise.all(lists)).flat());
}
