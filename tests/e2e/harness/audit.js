// Who led, who committed, who sent: told by each tab to a tab without a client, which outlives them all.

const CHANNEL = "audit";
/** Milliseconds from one message to the next: a busy chat, but no processor so busy that it alone is measured. */
const PACE = 50;
/** What a message told to all tabs under test may ask of them. */
const orders = { burst, close };

let own = null;

/** Absolute, so that tabs can be compared. */
function now() {
  return performance.timeOrigin + performance.now();
}

// ---- in a tab with a client ----

/** Makes this tab tell what its client does, from before the client opens. */
export function testify(tab) {
  const channel = new BroadcastChannel(CHANNEL);
  const tell = (what) => channel.postMessage({ tab, at: now(), ...what });
  own = { tab, tell, client: null, failures: [], bursts: Promise.resolve() };
  watchCommits(tell);
  channel.onmessage = ({ data: { order, tab: to, argument } }) => {
    if (order && (to === undefined || to === tab)) orders[order](argument);
  };
}

/** The client that this tab testifies of. */
export function testifyOf(client) {
  own.client = client;
  const say = (status) => own.tell({ status });
  say(client.status());
  client.on("status", say);
}

/** What went wrong in this tab's orders. */
export function orderFailures() {
  return own.failures;
}

/** Tells each leadership and each commit of a leader, once it is in the store. */
function watchCommits(tell) {
  const put = IDBObjectStore.prototype.put;
  let epoch = null;
  IDBObjectStore.prototype.put = function (value, key) {
    const { transaction } = this;
    if (this.name === "meta" && key === "epoch") {
      transaction.addEventListener("complete", () => tell({ raised: (epoch = value) }));
    }
    if (this.name === "meta" && key === "revision") {
      const under = epoch;
      transaction.addEventListener("complete", () => tell({ committed: { epoch: under, revision: value } }));
    }
    return put.apply(this, arguments);
  };
}

/** Sends texts one after another, and after those of earlier bursts; which ones are durable, the auditor hears. */
function burst(texts) {
  own.bursts = own.bursts.then(() => send(texts));
}

async function send({ conversation, texts }) {
  try {
    for (const text of texts[own.tab] ?? []) {
      const { id } = await own.client.send(conversation, text);
      own.tell({ sent: { id, text } });
      await new Promise((resume) => setTimeout(resume, PACE));
    }
  } catch (error) {
    own.failures.push(`${error.code}: ${error.message}`);
  }
}

async function close() {
  own.tell({ ended: true });
  await own.client.close();
}

// ---- in the auditor's tab ----

export class Audit {
  heard = [];
  /** The tab that said last that it leads, of those with the newest epoch. */
  #leader = null;
  #channel = new BroadcastChannel(CHANNEL);
  #waiting = new Set();

  constructor() {
    this.#channel.onmessage = ({ data }) => {
      this.heard.push(data);
      const { tab, status } = data;
      if (status?.role === "leader" && status.epoch >= (this.#leader?.epoch ?? 0)) {
        this.#leader = { tab, epoch: status.epoch };
      }
      for (const check of this.#waiting) check(data);
    };
  }

  /** Asks one tab, or all. */
  order(order, argument, tab) {
    this.#channel.postMessage({ order, tab, argument });
  }

  /** Resolves with what `look` makes of something that was or will be heard, once it is not `undefined`. */
  #find(look) {
    return new Promise((found) => {
      const check = (it) => {
        const result = look(it);
        if (result === undefined) return false;
        this.#waiting.delete(check);
        found(result);
        return true;
      };
      if (!this.heard.some(check)) this.#waiting.add(check);
    });
  }

  /** Who leads. */
  async leader() {
    return this.#leader ?? this.#find(() => this.#leader ?? undefined);
  }

  /** When a tab led after that epoch, and when it was connected besides. */
  async successor(epoch) {
    let ledAt;
    return this.#find(({ at, status }) => {
      if (status?.role !== "leader" || status.epoch <= epoch) return;
      ledAt ??= at;
      if (status.connection === "online") return { ledAt, onlineAt: at };
    });
  }

  /** So many of these texts are durable. */
  async sent(texts, count) {
    const missing = new Set(texts);
    const enough = missing.size - count;
    return this.#find(({ sent }) => (sent && missing.delete(sent.text) && missing.size <= enough) || undefined);
  }

  /** When a tab said that it ends. */
  async end(tab) {
    return this.#find((it) => (it.tab === tab && it.ended ? it.at : undefined));
  }

  /** A tab has said, after that time, that it follows. */
  async follows(tab, since) {
    return this.#find(
      (it) => (it.tab === tab && it.at > since && it.status?.role === "follower") || undefined,
    );
  }
}
