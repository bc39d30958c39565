// What runs in the page, the same for all candidates: it calls them, and times that. The page finds `given`: `client`,
// for `open`, and perhaps `cold`, what is to be done from the navigation on, or `catchUp`, what is to be taken in.
import * as candidate from "./candidate.js";

// A server's pages may come as soon as it is open.
const brought = given.catchUp && Promise.all(given.catchUp.map(async (path) => (await fetch(path)).text()));
const opened = brought ? brought.then(() => candidate.open(given.client)) : candidate.open(given.client);
const caughtUp = brought && catchUp();

/** A page whose only purpose is to look at something: how long that took since the navigation began. */
async function cold([kind, ...what]) {
  await opened;
  const found = await candidate[kind](...what);
  touch(found);
  return { time: performance.now(), found: found.map(plain) };
}

/** So that nobody gets away with having made nothing yet of what was asked for. */
function touch(found) {
  let sum = 0;
  for (const { position, content, unread, lastMessage } of found) {
    sum += (position ?? unread) + (content ?? lastMessage.content).text.length;
  }
  if (!(sum > 0)) throw new Error("nothing was found");
}

/** What is compared: of a conversation, or of a message. */
function plain({ id, position, sender, sentAt, content, unread, lastActivity, lastMessage }) {
  return lastMessage ? [id, unread, lastActivity, plain(lastMessage)] : [id, position, sender, sentAt, content.text];
}

/** Takes in these pages, or what the server has; how long that took, and the longest tasks meanwhile. */
async function catchUp() {
  const pages = await brought;
  const tasks = [];
  const watching = new PerformanceObserver((list) => tasks.push(...list.getEntries()));
  watching.observe({ type: "longtask" });
  await opened;
  const start = performance.now();
  if (candidate.catchUp) await candidate.catchUp(pages);
  else for (const page of pages) await candidate.take(page);
  const time = performance.now() - start;
  await tick();
  tasks.push(...watching.takeRecords());
  watching.disconnect();
  return { time, longest: Math.max(0, ...tasks.map(({ duration }) => duration)), long: tasks.length };
}

/** One after another: how long each took, and what was found. */
async function look(questions) {
  await opened;
  const answers = [];
  for (const [kind, ...what] of questions) {
    const start = performance.now();
    const found = await candidate[kind](...what);
    touch(found);
    answers.push({ time: performance.now() - start, found: found.map(plain) });
    await tick();
  }
  return answers;
}

/** Who takes longer is asked less often: milliseconds. */
const PATIENCE = 4_000;

/** How long it takes to do this with each, one after another. */
async function each(list, work) {
  await opened;
  const begun = performance.now();
  const times = [];
  for (const item of list) {
    const start = performance.now();
    await work(item);
    times.push(performance.now() - start);
    if (performance.now() - begun > PATIENCE) break;
    await tick();
  }
  return times;
}

/** Each until it is durable. */
function receive(messages) {
  const take = candidate.take ?? ((page) => candidate.catchUp([page]));
  return each(messages.map((message) => JSON.stringify([message])), take);
}

function send(messages) {
  return each(messages, candidate.write);
}

/** Answers each message of another tab that has this text with one of these. */
async function answer([ping, answers]) {
  await opened;
  const left = answers.slice();
  await candidate.watch(({ content }) => content.text === ping && candidate.write(left.shift()), answers[0].conversation);
}

/** Sends these and waits each time for the answer with this text: how long it took there and back. */
async function ask([messages, pong]) {
  await opened;
  let heard;
  await candidate.watch(({ content }) => content.text === pong && heard(), messages[0].conversation);
  return each(messages, async (message) => {
    const answered = new Promise((done) => (heard = done));
    await candidate.write(message);
    await answered;
  });
}

/** Leadership by the bare lock, for those that leave it to the application. */
function lead() {
  return new Promise((granted) => void navigator.locks.request("leader", () => new Promise((end) => granted((release = end)))));
}
let [release, expected] = [];

globalThis.bench = {
  cold: given.cold && cold(given.cold),
  opened: () => opened.then(() => null),
  caughtUp,
  look,
  receive,
  expect: () => void (expected = candidate.next()),
  expected: () => expected,
  send,
  answer,
  ask,
  lead: async () => {
    await opened;
    await (candidate.lead ?? lead)();
    await led();
  },
  settled: async () => {
    await opened;
    await candidate.settled?.();
  },
  close: async () => {
    await opened;
    release?.();
    await candidate.close?.();
  },
  disk: async () => (await navigator.storage.estimate()).usage,
  memory: async () => ({ wasm: (await candidate.memory?.()) ?? 0, measured: await performance.measureUserAgentSpecificMemory() }),
};

/** Lets the page do what waits. */
function tick() {
  return new Promise((done) => setTimeout(done));
}
