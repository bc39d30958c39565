// M6, M7, C2: whatever six devices do at once, with wrong clocks and without a network, they end up the same.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { agree, away, leave } from "./support/cast.mjs";
import { summary } from "./support/messages.mjs";
import { Stage } from "./support/stage.mjs";

const HOUR = 3_600_000;
/** How far the clocks of an account's devices are off. */
const CLOCKS = [0, HOUR, -HOUR];
/** What each device does before it comes back. */
const DEEDS = 40;
const GROUP = "group:all six";

const stage = new Stage();
after(() => stage.clear());
const server = await stage.server();
const accounts = ["ann", "bob"];
const profiles = {
  ann: await stage.profiles(server, CLOCKS.length),
  bob: [...(await stage.profiles(server, CLOCKS.length - 1)), await stage.profile(server, { engine: "firefox" })],
};

/** How devices are cut off while they do what they do, and who comes back first. */
const NETWORKS = {
  "all online": () => false,
  "all offline": () => true,
  "half of them offline": (number) => number % 2 === 0,
};

let seed = Number(process.env.TUTTI_SEED ?? 1);
for (const [network, isAway] of Object.entries(NETWORKS)) {
  const own = seed++;
  test(`M6 M7 C2 two accounts with three devices each end up the same: ${network}, seed ${own}`, async (t) => {
    const chance = random(own);
    const named = Object.fromEntries(accounts.map((account) => [account, `${account}, ${network}`]));
    const members = Object.values(named);
    await server.call("PUT", `/api/groups/all%20six`, { members });
    const devices = [];
    for (const account of accounts) {
      for (const [number, profile] of profiles[account].entries()) {
        const path = `/odd.html?clock=${CLOCKS[number]}`;
        const client = await profile.client(named[account], {}, path);
        devices.push(client);
        client.talks = [GROUP, `direct:${named[account === "ann" ? "bob" : "ann"]}`];
      }
    }
    for (const client of devices) await client.online();
    for (const client of devices) await client.sendAll(client.talks[0], [`first of ${client.deviceId}`, "and second"]);
    await agree("all have the same to begin with", devices, shared, (all) => all.length === 2 * devices.length);

    const gone = devices.filter((_, number) => isAway(number));
    for (const client of gone) await away(client);
    const done = await Promise.all(devices.map((client) => client.run(act, [client.talks, chance(2 ** 31), DEEDS])));
    t.diagnostic(`${done.flat().length} deeds: ${tally(done.flat())}`);
    for (const client of shuffled(gone, chance)) await client.setOffline(false);
    await Promise.all(devices.map((client) => client.call("syncNow")));

    for (const account of accounts) {
      // One that has never seen any of it knows what the server holds.
      const fresh = await (await stage.profile(server)).client(named[account]);
      const all = [...devices.filter((client) => client.account === named[account]), fresh];
      fresh.talks = all[0].talks;
      const state = await agree("an account's devices and the server are the same", all, whole, settled);
      assert.ok(state.talks.every(({ messages }) => messages.length > 0));
      devices.push(fresh);
    }
    const messages = await agree("both accounts see the same in the group", devices, shared, () => true);
    t.diagnostic(`messages in the group: ${tally(messages.map(({ state }) => state))}`);
    for (const client of devices) {
      const complaints = await client.run(({ log }) => log.error.map(({ event }) => event.code));
      assert.deepEqual(complaints, []);
    }
    await leave(devices);
    for (const { pageErrors } of Object.values(profiles).flat()) assert.deepEqual(pageErrors, []);
  });
}

/** In the page: does so many things, one after another and some at once; tells which. */
async function act({ client }, [talks, seed, count]) {
  let state = seed;
  // Marsaglia's xorshift, with his triple 13, 17, 5.
  const below = (most) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % most;
  };
  const one = (list) => list[below(list.length)];
  const text = () => `${client.deviceId.slice(-4)} ${below(1_000_000)}`;
  const own = async (talk) => {
    const { messages } = await client.history(talk, { limit: 50 });
    return one(messages.filter(({ sender, state }) => sender === client.account && state !== "recalled"));
  };
  // What was recalled elsewhere, or just now, cannot be changed any more.
  const unlessRecalled = (error) => {
    if (!["not-found", "conflict"].includes(error.code)) throw error;
  };
  const DEEDS = {
    send: (talk) => client.send(talk, text()),
    edit: async (talk) => {
      const message = await own(talk);
      if (message) await client.edit(message.id, text()).catch(unlessRecalled);
    },
    recall: async (talk) => {
      const message = below(3) === 0 && (await own(talk));
      if (message) await client.recall(message.id).catch(unlessRecalled);
    },
    read: async (talk) => {
      const { messages } = await client.history(talk, { limit: 50 });
      const position = one(messages)?.position;
      if (position) await client.markRead(talk, position);
    },
    mute: (talk) => client.setConversation(talk, { muted: below(2) === 0 }),
    pin: (talk) => client.setConversation(talk, { pinned: below(2) === 0 }),
    draft: (talk) => client.setConversation(talk, { draft: below(4) === 0 ? null : text() }),
    session: () =>
      client.setSession(one(["player", "article"]), {
        [one(["position", "volume", "track"])]: below(5) === 0 ? null : below(100),
      }),
  };
  const done = [];
  while (done.length < count) {
    const names = Array.from({ length: 1 + below(3) }, () => one(Object.keys(DEEDS)));
    await Promise.all(names.map((name) => DEEDS[name](one(talks))));
    done.push(...names);
  }
  return done;
}

/** All that an account's devices must agree on. */
async function whole(client) {
  const talks = [];
  for (const talk of client.talks) {
    talks.push({ ...(await client.call("conversation", talk)), messages: await client.messages(talk) });
  }
  const list = (await client.call("conversations")).map(({ id }) => id);
  return { list, talks, sessions: await client.call("sessions"), pending: (await client.status()).pending };
}

/** What both accounts see alike. */
async function shared(client) {
  const messages = await client.messages(client.talks[0], 200);
  return summary(messages).map(({ sentAt, ...message }) => message);
}

function settled({ pending, talks }) {
  const done = ({ state }) => state === "sent" || state === "recalled";
  return pending === 0 && talks.every(({ messages }) => messages.every(done));
}

/** Numbers below what is asked for, the same for a seed each time. */
function random(seed) {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * most) + 1;
  };
}

function shuffled(list, chance) {
  const keyed = list.map((item) => [chance(2 ** 30), item]);
  return keyed.toSorted(([a], [b]) => a - b).map(([, item]) => item);
}

function tally(names) {
  const count = (name) => names.filter((other) => other === name).length;
  return [...new Set(names)].map((name) => `${name} ${count(name)}`).join(", ");
}
