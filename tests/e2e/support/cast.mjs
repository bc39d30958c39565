// Who takes part: Ann on two devices, one of them with two tabs, and Bob.
import assert from "node:assert/strict";
import { after } from "node:test";
import { Stage } from "./stage.mjs";
import { until } from "./until.mjs";

/** A server, and the browsers on which all tests of a file play; afterwards nothing has gone wrong in their pages. */
export async function begin() {
  const stage = new Stage();
  after(() => stage.clear());
  const server = await stage.server();
  const browsers = await devices(stage, server);
  after(() => {
    for (const { pageErrors } of Object.values(browsers)) assert.deepEqual(pageErrors, []);
  });
  return { stage, server, browsers };
}

/** The devices, each a browser of its own; Bob's is a Firefox, so that nothing holds in one engine alone. */
export async function devices(stage, server) {
  const [laptop, phone] = await stage.profiles(server, 2);
  const bobs = await stage.profile(server, { engine: "firefox" });
  return { laptop, phone, bobs };
}

/** Clients of accounts that nobody else has; `path` by name, where a page is to be odd. */
export async function cast({ laptop, phone, bobs }, scene, path = {}) {
  const [ann, bob] = [`ann, ${scene}`, `bob, ${scene}`];
  const open = (name, profile, account) => profile.client(account, {}, path[name] ?? "/");
  const players = {
    laptop: await open("laptop", laptop, ann),
    tab: await open("tab", laptop, ann),
    phone: await open("phone", phone, ann),
    bob: await open("bob", bobs, bob),
  };
  const all = Object.values(players);
  await Promise.all(all.map((client) => client.online()));
  return { ...players, all, ann, bobName: bob, toBob: `direct:${bob}`, toAnn: `direct:${ann}` };
}

/** Goes off the network with this client's profile. */
export async function away(client) {
  await client.setOffline(true);
  await client.untilStatus("offline", ({ connection }) => connection === "offline");
}

/** Comes back, and has sent and heard all. */
export async function back(client) {
  await client.setOffline(false);
  await client.call("syncNow");
}

/** What all of these clients come to say: the same, and such that it `holds`. */
export async function agree(what, clients, ask, holds = () => true) {
  let said = [];
  const check = async () => {
    said = await Promise.all(clients.map(ask));
    const texts = new Set(said.map((answer) => JSON.stringify(answer, sorted)));
    return texts.size === 1 && holds(said[0]);
  };
  await until(what, check).catch((error) => {
    throw new Error(`${error.message}; they say ${JSON.stringify(said, null, 1)}`);
  });
  return said[0];
}

/** For `JSON.stringify`: the order of keys is the driver's, not the client's. */
function sorted(_, value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** What a client was told of a message, in order. */
export async function told(client, id) {
  const batches = await client.log("messages");
  return batches.flatMap(({ event }) => event).filter(({ message }) => message.id === id);
}

/** What went wrong with what a client did, as it was told: codes. */
export function complaints(client) {
  return client.run(({ log }) => log.error.map(({ event }) => event.code));
}

/** Closes the tabs of a scene. */
export async function leave(clients) {
  for (const { page } of clients) await page.close();
}
