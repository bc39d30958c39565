// Leaders end while messages flow both ways: five tabs of one account, which a sixth one audits, and
// another account on another device.
import { inPage } from "./client.mjs";
import { contents, ids, numbered, summary } from "./messages.mjs";
import { until } from "./until.mjs";

const TABS = 5;
/** Messages of each tab, and of the other side, in a round. */
const BURST = 6;
/** How many of a round's messages are on their way when the leader ends. */
const UNDER_WAY = 3;

/** Ends so many leaders; returns what it measured and found. */
export async function takeovers(stage, { engine, kind, rounds }) {
  const churn = new Churn();
  await churn.begin(stage, engine);
  for (let round = 1; round <= rounds; round += 1) await churn.round(WAYS[kind][round % WAYS[kind].length]);
  return churn.judge();
}

/** The ways in which a leader ends. Each gives the time of the end, and how the rest of the tab is dealt with. */
const WAYS = {
  close: [closePage, closeClient],
  crash: [crash],
  freeze: [freeze],
};

/** From the order on: what a page tells while it goes, Firefox does not deliver. */
async function closePage({ leader }) {
  const at = now();
  await leader.page.close();
  return { way: "its page closes", at };
}

async function closeClient({ audit, leader, name }) {
  const at = await audit((auditor, name) => {
    auditor.order("close", null, name);
    return auditor.end(name);
  }, name);
  return { way: "its client is closed", at, after: () => leader.page.close() };
}

async function crash({ leader }) {
  const session = await leader.page.context().newCDPSession(leader.page);
  const crashed = new Promise((crashed) => leader.page.once("crash", crashed));
  const at = now();
  // It is never answered: who would.
  session.send("Page.crash").catch(() => {});
  await crashed;
  return { way: "its renderer crashes", at, after: () => leader.page.close() };
}

/**
 * The tab keeps its lock, and answers nothing until it is thawed. It stops between two tasks, as browsers
 * freeze tabs: a debugger alone could stop it within one, with a transaction half issued.
 */
async function freeze({ audit, leader, name, burst }) {
  const session = await leader.page.context().newCDPSession(leader.page);
  await session.send("Debugger.enable");
  const paused = new Promise((paused) => session.once("Debugger.paused", paused));
  const at = now();
  await session.send("Runtime.evaluate", { expression: "setTimeout(() => { debugger; })" });
  await paused;
  await burst();
  const after = async () => {
    const thawed = now();
    await session.send("Debugger.resume");
    await session.detach();
    await audit((auditor, [name, thawed]) => auditor.follows(name, thawed), [name, thawed]);
  };
  return { way: "it freezes", at, after, survives: true };
}

class Churn {
  #server;
  #profile;
  #auditor;
  #bob;
  /** Ann's tabs that live, by name. */
  #tabs = new Map();
  #opened = 0;
  /** Texts that a tab was asked to send, and texts that must arrive. */
  #asked = [];
  #bobTexts = [];
  #measured = [];
  #doubleConnections = 0;

  async begin(stage, engine) {
    this.#server = await stage.server();
    this.#profile = await stage.profile(this.#server, { engine });
    this.#bob = await (await stage.profile(this.#server)).client("bob");
    this.#auditor = await this.#page();
    await inPage(this.#auditor, () => void (harness.auditor = new harness.audit.Audit()));
    for (let tab = 1; tab <= TABS; tab += 1) await this.#openTab();
    for (const client of [this.#bob, ...this.#tabs.values()]) await client.online();
  }

  /** WebKit's driver says that a page is there before its modules are. */
  async #page() {
    const page = await this.#profile.tab();
    await until("the page is ready", () => page.evaluate("typeof harness === 'object'"));
    return page;
  }

  async #openTab() {
    this.#opened += 1;
    const name = `tab ${this.#opened}`;
    const page = await this.#page();
    await inPage(page, (name) => harness.audit.testify(name), name);
    const client = await this.#profile.clientIn(page, "ann");
    await client.run(({ client }) => harness.audit.testifyOf(client));
    this.#tabs.set(name, client);
  }

  /** All tabs and the other side send, the leader ends in the middle of it, another one takes over. */
  async round(end) {
    const { tab: name, epoch } = await this.#audit((auditor) => auditor.leader());
    const leader = this.#tabs.get(name);
    const bobTexts = numbered("Bob", BURST, this.#bobTexts.length + 1);
    this.#bobTexts.push(...bobTexts);
    const bobSends = this.#bob.sendAll("direct:ann", bobTexts);
    let texts = await this.#burst();

    const audit = (body, argument) => this.#audit(body, argument);
    const burst = async () => (texts = [...texts, ...(await this.#burst(name))]);
    const ended = await end({ audit, leader, name, burst });
    if (!ended.survives) this.#tabs.delete(name);
    const takenOver = this.#audit((auditor, epoch) => auditor.successor(epoch), epoch);
    await this.#watchConnections(takenOver);
    const { ledAt, onlineAt } = await takenOver;
    this.#measured.push({ way: ended.way, led: ledAt - ended.at, online: onlineAt - ended.at });

    await ended.after?.();
    const due = texts.filter(({ by }) => this.#tabs.has(by)).map(({ text }) => text);
    await this.#audit((auditor, due) => auditor.sent(due, due.length), due);
    await bobSends;
    if (this.#tabs.size < TABS) await this.#openTab();
  }

  /** Makes every tab send, but for one that cannot, and returns what as soon as some of it is on its way. */
  async #burst(frozen) {
    const texts = {};
    for (const name of this.#tabs.keys()) {
      if (name === frozen) continue;
      texts[name] = numbered(name, BURST, this.#asked.filter(({ by }) => by === name).length + 1);
      this.#asked.push(...texts[name].map((text) => ({ by: name, text })));
    }
    const body = (auditor, [texts, count]) => {
      auditor.order("burst", { conversation: "direct:bob", texts });
      return auditor.sent(Object.values(texts).flat(), count);
    };
    await this.#audit(body, [texts, UNDER_WAY]);
    return Object.entries(texts).flatMap(([by, texts]) => texts.map((text) => ({ by, text })));
  }

  /** Looks at the server's list of connections until something has happened. */
  async #watchConnections(happened) {
    let over = false;
    const done = happened.finally(() => (over = true));
    while (!over) {
      const connections = await this.#server.connections("ann");
      if (connections.length > 1) this.#doubleConnections += 1;
      await Promise.race([done, new Promise((resume) => setTimeout(resume, 25))]);
    }
  }

  #audit(body, argument) {
    const source = `(argument) => (${body})(harness.auditor, argument)`;
    return inPage(this.#auditor, source, argument);
  }

  /** What became of every message, and who wrote. */
  async judge() {
    const heard = await this.#audit((auditor) => auditor.heard);
    const durable = [...heard.flatMap(({ sent }) => sent?.text ?? []), ...this.#bobTexts];
    const clients = [this.#bob, ...this.#tabs.values()];
    let lists;
    const settled = async () => {
      const statuses = await Promise.all(clients.map((client) => client.status()));
      if (statuses.some(({ pending }) => pending > 0)) return false;
      const ofAnn = [...this.#tabs.values()].map((client) => client.messages("direct:bob"));
      lists = (await Promise.all([this.#bob.messages("direct:ann"), ...ofAnn])).map(summary);
      const there = new Set(contents(lists[0]));
      return durable.every((text) => there.has(text)) && lists.every((list) => same(list, lists[0]));
    };
    // What does not come in the end is counted, not waited for forever.
    await until("all see the same", settled, { within: 120_000, every: 200 }).catch(() => {});

    const [list] = lists;
    const there = new Set(contents(list));
    const told = await Promise.all(clients.map((client) => client.added()));
    const toldTwice = told.map((batch) => repeated(batch.map(({ message }) => message.id)));
    const failures = await Promise.all(
      [...this.#tabs.values()].map((client) => client.run(() => harness.audit.orderFailures())),
    );
    return {
      measured: this.#measured,
      messages: list.length,
      lost: durable.filter((text) => !there.has(text)),
      doubled: [...repeated(contents(list)), ...repeated(ids(list)), ...toldTwice.flat()],
      strange: contents(list).filter((text) => !this.#wasAsked(text)),
      outOfOrder: outOfOrder(list, this.#asked, this.#bobTexts),
      different: lists.filter((other) => !same(other, list)).length,
      pending: lists.flat().filter(({ state }) => state !== "sent").length,
      failures: failures.flat(),
      ...writers(heard),
      doubleConnections: this.#doubleConnections,
      connections: await this.#server.connections("ann"),
    };
  }

  #wasAsked(text) {
    return this.#bobTexts.includes(text) || this.#asked.some((asked) => asked.text === text);
  }
}

/** Whether two leaders have written side by side: what a log of commits must not show. */
export function writers(heard) {
  const commits = heard.filter(({ committed }) => committed).map(({ tab, committed }) => ({ tab, ...committed }));
  const twice = [];
  const byEpoch = grouped(commits, ({ epoch }) => epoch);
  let last = 0;
  for (const epoch of [...byEpoch.keys()].toSorted((a, b) => a - b)) {
    const revisions = byEpoch.get(epoch).map(({ revision }) => revision);
    // A leadership is one tab's, its commits count up, and begin where the one before has ended.
    if (new Set(byEpoch.get(epoch).map(({ tab }) => tab)).size > 1) twice.push(`two tabs wrote in epoch ${epoch}`);
    for (const revision of revisions) {
      if (revision <= last) twice.push(`revision ${revision} after ${last} in epoch ${epoch}`);
      last = revision;
    }
  }
  const raised = heard.filter((it) => it.raised !== undefined).map((it) => it.raised);
  twice.push(...repeated(raised).map((epoch) => `epoch ${epoch} was raised twice`));
  const led = heard.filter(({ status }) => status?.role === "leader");
  for (const [epoch, entries] of grouped(led, ({ status }) => status.epoch)) {
    if (new Set(entries.map(({ tab }) => tab)).size > 1) twice.push(`two tabs led in epoch ${epoch}`);
  }
  return { commits: commits.length, epochs: raised.length, twoWriters: twice };
}

/** Texts that came before one that the same tab sent earlier. */
function outOfOrder(list, asked, bobTexts) {
  const place = new Map(asked.map(({ by, text }, at) => [text, { by, at }]));
  bobTexts.forEach((text, at) => place.set(text, { by: "Bob", at }));
  const last = new Map();
  return contents(list).filter((text) => {
    const { by, at } = place.get(text) ?? {};
    const late = at < (last.get(by) ?? -1);
    last.set(by, at);
    return late;
  });
}

function grouped(values, key) {
  const groups = new Map();
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) ?? []), value]);
  return groups;
}

function repeated(values) {
  const seen = new Set();
  return values.filter((value) => seen.size === seen.add(value).size);
}

function same(one, other) {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Absolute, as in the pages. */
function now() {
  return performance.timeOrigin + performance.now();
}
