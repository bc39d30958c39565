// How long a new device takes until its list is there, and until the last day is: `cargo xtask bench new-device`. The
// account has 300 conversations and 100,000 messages over 60 days, or as many as are asked for.
import { load, median, onStage, UNLIMITED } from "./support.mjs";

const MESSAGES = Number(process.argv[2] ?? 100_000);
const CONVERSATIONS = 300;
const DAYS = 60;
const ROUNDS = 5;
/** Messages that are sent at once. */
const AT_ONCE = 200;

await onStage(bench);

async function bench(stage) {
  const server = await stage.server(UNLIMITED);
  const start = performance.now();
  const last = await fill(server);
  console.log(`filled in ${((performance.now() - start) / 1000).toFixed(0)} s; ${load()}`);
  const rounds = [];
  for (let round = 0; round < ROUNDS; round += 1) rounds.push(await newDevice(stage, server, last));
  for (const what of Object.keys(rounds[0])) {
    const values = rounds.map((round) => round[what]);
    console.log(`${what.padEnd(56)} ${median(values).toFixed(0).padStart(7)} (${values.map(Math.round).join(" ")})`);
  }
  console.log(`\n${MESSAGES} messages in ${last.size} conversations over ${DAYS} days; ${load()}`);
}

/**
 * Writes to Ann, day by day, so that the last conversations have said nothing for long; what was said last in each
 * conversation.
 */
async function fill(server) {
  const last = new Map();
  const write = async (day, at) => {
    const peer = `peer-${at % peersOf(day)}`;
    const text = `${DAYS - 1 - day} days ago, ${at}: ${filler(day * 1e6 + at)}`;
    last.set(`direct:${peer}`, text);
    await server.message(peer, "direct:ann", { text });
  };
  const daily = Math.ceil(MESSAGES / DAYS);
  for (let day = 0; day < DAYS; day += 1) {
    await server.travel(DAYS - 1 - day);
    // Not two at once in one conversation, so that it is known which is the last.
    const peers = peersOf(day);
    for (let first = 0; first < daily; ) {
      const many = Math.min(AT_ONCE, daily - first, peers - (first % peers));
      await Promise.all(Array.from({ length: many }, (_, within) => write(day, first + within)));
      first += many;
    }
  }
  return last;
}

/** The later the day, the fewer conversations go on. */
function peersOf(day) {
  return Math.max(1, Math.round((CONVERSATIONS * (DAYS - day)) / DAYS));
}

/** Opens a browser that has nothing yet, and watches from within the page. */
async function newDevice(stage, server, last) {
  const profile = await stage.profile(server);
  const page = await profile.tab();
  const client = await profile.clientIn(page, "ann");
  const watch = async ({ client, log, begun }, conversations) => {
    const listed = async () => (await client.conversations()).filter(({ lastMessage }) => lastMessage !== null);
    const news = () => new Promise((told) => (client.on("conversations", told), client.on("catch-up", told)));
    let list = await listed();
    while (list.length < conversations) {
      await news();
      list = await listed();
    }
    const listAt = performance.now() - begun;
    if (log["catch-up"].length === 0) await new Promise((done) => client.on("catch-up", done));
    const [{ at, event }] = log["catch-up"];
    return { list, listAt, doneAt: at - begun, event };
  };
  const { list, listAt, doneAt, event } = await client.run(watch, last.size);
  await client.call("syncNow");
  await check(client, last);

  // Of those in which there is a page of older messages, the one that has said nothing for longest.
  const oldest = list.findLast(({ lastMessage }) => lastMessage.position > 50);
  const before = oldest.lastMessage.position;
  const look = async ({ client }, [conversation, before]) => {
    const start = performance.now();
    const page = await client.history(conversation, { before, limit: 50 });
    return { time: performance.now() - start, holes: page.holes.length, messages: page.messages.length };
  };
  await client.setOffline(true);
  await client.untilStatus("offline", ({ connection }) => connection === "offline");
  const missing = await client.run(look, [oldest.id, before]);
  if (missing.messages > 0 || missing.holes !== 1) throw new Error("what a new device lacks is not shown as missing");
  await client.setOffline(false);
  await client.online();
  const older = await client.run(look, [oldest.id, before]);
  if (older.holes > 0 || older.messages === 0) throw new Error("what is older did not come");
  await profile.close();
  return {
    "ms from open until all conversations are listed": listAt,
    "ms from open until the last day is there": doneAt,
    "events that came by themselves": event.events,
    "ms for a page of 50 older messages, asked of the server": older.time,
  };
}

/** What is listed is what was said last. */
async function check(client, last) {
  const list = await client.call("conversations");
  const wrong = list.filter(({ id, lastMessage }) => lastMessage.content.text !== last.get(id));
  if (list.length !== last.size || wrong.length > 0) {
    throw new Error(`listed ${list.length} of ${last.size}, ${wrong.length} of them with another last message`);
  }
}

/** Text of about 120 characters that does not repeat itself. */
function filler(seed) {
  let state = Math.imul(seed ^ 0x811c9dc5, 0x9e3779b1) >>> 0;
  const word = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0).toString(36);
  return Array.from({ length: 16 }, word).join(" ");
}
