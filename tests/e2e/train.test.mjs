// C3: interrupted networks are the expected case. Ann is on a train, with two tabs; Bob is at home.
import assert from "node:assert/strict";
import { test } from "node:test";
import { agree, begin, complaints, leave } from "./support/cast.mjs";
import { contents, ids, summary } from "./support/messages.mjs";
import { until } from "./support/until.mjs";

const { stage, server, browsers } = await begin();

/** Longer than it takes to find out that nobody answers any more. */
const HALF_OPEN = { within: 90_000 };
/** How often long conversations are read to see whether all is there. */
const UNHURRIED = { every: 200 };
/** So many connections break in the midst of something. */
const CUTS = 12;

test("C3 a train in tunnels: cut, slow and half-open in turn, and all that was done is everywhere", async (t) => {
  const scene = await board("in turn");
  const { tunnel, tab, other, bob, ann, everybody } = scene;
  await everybody();

  const stretches = {
    async cut() {
      tunnel.cut();
      await isOffline([tab, other]);
      await seen(bob, ann, "offline");
      await everybody();
      for (const client of [tab, other]) await client.untilStatus("waiting", ({ pending }) => pending >= 6);
      tunnel.open();
      await isOnline([tab, other]);
      await seen(bob, ann, "online");
    },
    async slow() {
      const changes = async () => (await tab.log("status")).map(({ event }) => event.connection);
      const before = await changes();
      tunnel.slow();
      await everybody();
      await settled(scene);
      tunnel.open();
      const during = (await changes()).slice(before.length);
      assert.deepEqual(new Set(during), new Set(during.length > 0 ? ["online"] : []), "slow is not offline");
    },
    async "half-open"() {
      tunnel.swallow();
      await everybody();
      assert.equal((await tab.status()).connection, "online", "nobody can know yet");
      tunnel.open();
      await isOffline([tab, other], HALF_OPEN);
      await isOnline([tab, other]);
    },
  };
  for (const stretch of ["cut", "slow", "half-open", "slow", "cut", "cut", "half-open"]) {
    const start = performance.now();
    await stretches[stretch]();
    await settled(scene);
    t.diagnostic(`${stretch}: in step after ${Math.round(performance.now() - start)} ms`);
  }
  await arrive(scene);
});

test("C3 a train in tunnels: whatever a break cuts in two, nothing is lost and nothing there twice", async (t) => {
  const scene = await board("in two");
  const { tunnel, tab, other, everybody } = scene;
  await everybody();
  await settled(scene);
  for (let cut = 1; cut <= CUTS; cut += 1) {
    // From within the handshake to some submits and deltas later.
    tunnel.cutAfter(300 + ((cut * 1_103) % 2_600));
    while (!tunnel.isCut) {
      await everybody();
      await until("it is sent, or the connection broken", async () => {
        return tunnel.isCut || (await tab.status()).pending === 0;
      });
    }
    await everybody();
    tunnel.open();
    await isOnline([tab, other]);
  }
  t.diagnostic(`${scene.said()} messages in ${CUTS} connections`);
  await arrive(scene);
});

/** Ann boards the train; `everybody` does what they do all the time, and nothing of that fails. */
async function board(name) {
  const tunnel = await stage.tunnel(server);
  const [ann, bobName] = [`ann, ${name}`, `bob, ${name}`];
  const onTrain = { url: tunnel.url };
  const tab = await browsers.laptop.client(ann, onTrain);
  const other = await browsers.laptop.client(ann, onTrain);
  const bob = await browsers.bobs.client(bobName);
  const all = [tab, other, bob];
  await isOnline(all);
  const [toBob, toAnn] = [`direct:${bobName}`, `direct:${ann}`];
  const passengers = [
    { who: "tab", client: tab, to: toBob },
    { who: "other", client: other, to: toBob },
    { who: "Bob", client: bob, to: toAnn },
  ];
  let rounds = 0;
  const everybody = async () => {
    rounds += 1;
    await Promise.all(passengers.map(({ who, client, to }) => act(client, to, textsOf(who, rounds))));
  };
  /** What one of them has said so far, as it is to be read in the end. */
  const saidBy = (who) => {
    const each = Array.from({ length: rounds }, (_, at) => textsOf(who, at + 1));
    return each.flatMap(([first, second]) => [edited(first), second]);
  };
  const said = () => rounds * passengers.length * 2;
  return { tunnel, tab, other, bob, all, ann, bobName, toBob, toAnn, passengers, everybody, saidBy, said };
}

/** Writes, takes a word back, reads and types, as fast as the device takes it. */
function act(client, to, texts) {
  const body = async ({ client }, [to, texts, better]) => {
    client.setTyping(to);
    const sent = [];
    for (const text of texts) sent.push(await client.send(to, text));
    await client.edit(sent[0].id, better);
    await client.markRead(to);
  };
  return client.run(body, [to, texts, edited(texts[0])]);
}

function textsOf(who, round) {
  return [`${who}, round ${round}`, `${who}, round ${round}, and more`];
}

function edited(text) {
  return `${text}, in other words`;
}

/** All that was done has arrived everywhere. */
async function settled({ all, tab, other, bob, toBob, toAnn, said }) {
  for (const client of all) await client.untilStatus("done", ({ pending }) => pending === 0, HALF_OPEN);
  for (const client of [tab, other]) await client.untilSent(toBob, said(), UNHURRIED);
  await bob.untilSent(toAnn, said(), UNHURRIED);
}

/** At the end of the journey: everything is everywhere once, in order, and goes on as ever. */
async function arrive(scene) {
  const { all, tab, other, bob, ann, bobName, toBob, toAnn, passengers, saidBy, said } = scene;
  await settled(scene);
  const device = await browsers.phone.client(ann);
  await device.call("syncNow");

  const look = (client) => client.messages(client === bob ? toAnn : toBob);
  const everyone = [...all, device];
  const list = await agree("all see the same", everyone, async (client) => summary(await look(client)), isEdited);
  assert.equal(list.length, said());
  assert.equal(new Set(contents(list)).size, said(), "nothing twice");
  for (const client of everyone) {
    const positions = (await look(client)).map(({ position }) => position);
    assert.deepEqual(positions, Array.from(positions, (_, at) => at + 1));
  }
  for (const { who } of passengers) {
    const own = contents(list).filter((content) => content.startsWith(`${who},`));
    assert.deepEqual(own, saidBy(who), "in the order in which it was said");
  }
  for (const client of all) {
    const told = (await client.added()).map(({ message }) => message.id);
    assert.deepEqual(told.toSorted(), ids(list).toSorted(), "told once");
    assert.deepEqual(await complaints(client), [], "what was interrupted is no error");
  }

  // Who reads and types now, is seen to.
  for (const { client, to } of passengers) await client.call("markRead", to);
  const read = (client) => client.call("conversation", client === bob ? toAnn : toBob);
  await agree("Ann has read all, and Bob, too", [tab, other, device], read, ({ unread, readBy }) => {
    return unread === 0 && readBy[bobName] === said();
  });
  await agree("so it is for Bob", [bob], read, ({ unread, readBy }) => unread === 0 && readBy[ann] === said());
  const typing = async () => (await bob.log("typing")).at(-1)?.event.typing ?? false;
  await until("nobody types any more", async () => !(await typing()));
  await other.call("setTyping", toBob);
  await until("Ann types", typing);
  await leave(everyone);
}

function isEdited(list) {
  return contents(list).every((content) => content.endsWith(", in other words") || content.endsWith(", and more"));
}

async function isOffline(clients, options) {
  for (const client of clients) await client.untilStatus("offline", (status) => status.connection !== "online", options);
}

async function isOnline(clients) {
  for (const client of clients) await client.online({ within: 60_000 });
}

/** What one is told of how another is. */
function seen(client, account, presence) {
  return until(`${account} is seen ${presence}`, async () => {
    const told = (await client.log("presence")).filter(({ event }) => event.account === account);
    return told.at(-1)?.event.presence === presence;
  });
}
