// The messages of one conversation: a window that slides over it, however long it is.
import { all, createStore, keep, keepAll, NONE, shared, still } from "./store.js";

/** Messages read at a time, if nothing else is said. */
const PAGE = 50;
/** Most messages that a client reads at a time. */
const PAGE_MAX = 1_000;

const TIMELINE = Object.freeze({
  messages: NONE,
  holes: NONE,
  hasOlder: false,
  hasNewer: false,
  loading: "latest",
  error: null,
});

/** What can be done with a timeline, as long as somebody looks at it; `view()` is what they look at. */
function actionsOf(view) {
  return {
    loadOlder: async () => view()?.loadOlder(),
    loadNewer: async () => view()?.loadNewer(),
    loadLatest: async () => view()?.loadLatest(),
    loadAround: async (message) => (await view()?.loadAround(message)) ?? false,
    follow: (following) => view()?.follow(following),
  };
}

const NO_TIMELINE = Object.assign(still(TIMELINE), actionsOf(() => null));

export function timelineStore(client, conversation, { at = null, page = PAGE, limit = Infinity } = {}) {
  if (client === null || conversation === null) return NO_TIMELINE;
  const create = () => {
    let view = null;
    const begin = (set, get) => {
      view = new View(client, conversation, { page, limit }, set, get);
      const end = view.begin(at);
      return () => {
        view = null;
        end();
      };
    };
    return Object.assign(createStore(TIMELINE, begin), actionsOf(() => view));
  };
  return shared(client, ["timeline", conversation, at, page, String(limit)], create);
}

/** What is seen of a conversation. It has no gaps but the holes that the client reports: whatever would leave one is
 *  read again. */
class View {
  #client;
  #conversation;
  #page;
  #limit;
  #set;
  #get;
  #following = true;
  /** Whether something has been read, to which changes can be made. */
  #begun = false;
  /** What is being read. One that another has overtaken shows nothing. */
  #load = null;
  /** Changes told while something is being read, which may or may not have them already. */
  #told = [];
  /** Whether it is to be read again. */
  #stale = false;

  constructor(client, conversation, { page, limit }, set, get) {
    this.#client = client;
    this.#conversation = conversation;
    this.#page = Math.min(page, PAGE_MAX);
    // Less would let go of what was just asked for.
    this.#limit = Math.max(limit, 2 * this.#page);
    this.#set = set;
    this.#get = get;
  }

  begin(at) {
    const end = all([
      this.#client.on("messages", (changes) => this.#hear(changes)),
      // What is missing may be had by now.
      this.#client.on("catch-up", () => this.#readAgain()),
    ]);
    void (at === null ? this.loadLatest() : this.loadAround(at));
    return () => {
      this.#load = null;
      end();
    };
  }

  follow(following) {
    this.#following = following;
  }

  async loadLatest() {
    this.#following = true;
    const { hasNewer, error } = this.#get();
    const isThere = this.#begun && !hasNewer && error === null;
    if (isThere && this.#load?.what !== "around") await this.#load?.done;
    else await this.#read("latest", () => this.#latest());
  }

  async loadAround(id) {
    let isFound = false;
    const isShown = await this.#read("around", async () => {
      const message = await this.#message(id);
      isFound = message !== null;
      const position = message?.position ?? null;
      // What is on its way stands at the end; and where else to be, when a message is nowhere?
      if (position === null) return { ...(await this.#latest()), following: true };
      return { ...(await this.#upTo(position + Math.floor(this.#page / 2) - 1)), following: false };
    });
    return isFound && isShown;
  }

  loadOlder() {
    const read = async () => {
      const older = await this.#history(firstPosition(this.#get()), this.#page);
      const view = this.#get();
      return this.#withoutNewest({ ...joined(older, view), hasOlder: older.hasMore, hasNewer: view.hasNewer });
    };
    return this.#readMore("older", "hasOlder", read);
  }

  loadNewer() {
    const read = async () => {
      const newer = await this.#upTo(lastPosition(this.#get()) + this.#page);
      const view = this.#get();
      return this.#withoutOldest({ ...joined(view, newer), hasOlder: view.hasOlder, hasNewer: newer.hasNewer });
    };
    return this.#readMore("newer", "hasNewer", read);
  }

  async #readMore(what, hasMore, read) {
    while (this.#load !== null) {
      if (this.#load.what === what) return this.#load.done;
      await this.#load.done;
    }
    if (this.#get()[hasMore]) await this.#read(what, read);
  }

  /** Reads the same stretch again: it may look different by now. */
  #readAgain() {
    if (this.#load !== null) {
      this.#stale = true;
      return;
    }
    void this.#read(this.#begun ? null : "latest", () => {
      const view = this.#get();
      return this.#stretch(firstPosition(view), view.hasNewer ? lastPosition(view) : null);
    });
  }

  /** Reads something and shows it, in the place of what is being read. Says whether it did. `what`: how to call it. */
  #read(what, read) {
    const load = { what };
    this.#load = load;
    this.#told = [];
    this.#stale = false;
    if (what !== null) this.#show({ ...this.#get(), loading: what, error: null });
    load.done = this.#finish(load, read);
    return load.done;
  }

  async #finish(load, read) {
    let found = {};
    let error = null;
    try {
      found = await read();
    } catch (thrown) {
      error = thrown;
    }
    if (load !== this.#load) return false;
    this.#load = null;
    this.#begun ||= error === null;
    const { following = this.#following, ...stretch } = found;
    this.#following = following;
    const view = { ...this.#get(), ...stretch, loading: null, error };
    if (this.#begun) this.#apply(view, this.#told.filter((change) => !isOutdated(change, view)));
    else this.#show(view);
    if (this.#stale) this.#readAgain();
    return error === null;
  }

  #hear(changes) {
    // Messages may have changed of which nobody was told.
    if (changes.length === 0) return this.#readAgain();
    const own = changes.filter(({ message }) => message.conversation === this.#conversation);
    if (own.length === 0) return;
    if (this.#load !== null) this.#told = this.#told.concat(own);
    if (this.#begun) this.#apply(this.#get(), own);
  }

  /** Shows a view with these changes made to it. */
  #apply(view, changes) {
    const byId = new Map(view.messages.map((message) => [message.id, message]));
    const isOutside = outsideOf(view);
    for (const { change, message } of changes) {
      if (change === "removed") byId.delete(message.id);
      else if (byId.has(message.id) || !isOutside(message)) byId.set(message.id, message);
    }
    const messages = [...byId.values()].sort(inOrder);
    const gap = findGap({ ...view, messages });
    if (gap === null) {
      const changed = { ...view, messages };
      this.#show({ ...changed, ...(this.#following ? this.#withoutOldest(changed) : this.#withoutNewest(changed)) });
    } else if (this.#following) {
      this.#show(view);
      this.#readAgain();
    } else this.#show({ ...view, messages: messages.slice(0, gap), hasNewer: true });
  }

  /** What has not changed keeps its identity. */
  #show(view) {
    const before = this.#get();
    const messages = keepAll(before.messages, view.messages, ({ id }) => id);
    const holes = keepAll(before.holes, view.holes, ({ from }) => from);
    this.#set(keep(before, { ...view, messages, holes }));
  }

  async #latest() {
    return { ...fromPage(await this.#history(undefined, this.#page)), hasNewer: false };
  }

  /** A page that ends at a position; or at the newest message, if that comes first. */
  async #upTo(to) {
    const page = await this.#history(to + 1, this.#page);
    if (lastPosition(page) >= to) return { ...fromPage(page), hasNewer: true };
    // Only the newest page has what is still on its way.
    return this.#stretch(to - this.#page + 1, null);
  }

  /** What is between two positions, or between one and the newest message; the newest of that if it is too much. */
  async #stretch(from, to) {
    let before = to === null ? undefined : to + 1;
    let wanted = Math.max(this.#page, (to ?? lastPosition(this.#get())) - from + 1);
    let stretch = { messages: NONE, holes: NONE };
    for (;;) {
      const page = await this.#history(before, Math.min(wanted, PAGE_MAX));
      stretch = { ...joined(page, stretch), hasOlder: page.hasMore, hasNewer: to !== null };
      before = firstPosition(page);
      if (!page.hasMore || before <= from || stretch.messages.length >= this.#limit) return stretch;
      wanted = before - from;
    }
  }

  #history(before, limit) {
    return this.#client.history(this.#conversation, { before, limit });
  }

  /** A message of this conversation, or null. */
  async #message(id) {
    const message = await this.#client.message(id).catch((error) => {
      // What is no id is the id of no message.
      if (error.code === "invalid") return null;
      throw error;
    });
    return message?.conversation === this.#conversation ? message : null;
  }

  #withoutOldest(stretch) {
    if (stretch.messages.length <= this.#limit) return stretch;
    const messages = stretch.messages.slice(-this.#limit);
    const first = firstPosition({ messages, holes: NONE });
    return { ...stretch, messages, holes: stretch.holes.filter((hole) => hole.to > first), hasOlder: true };
  }

  #withoutNewest(stretch) {
    if (stretch.messages.length <= this.#limit) return stretch;
    const messages = stretch.messages.slice(0, this.#limit);
    const last = lastPosition({ messages, holes: NONE });
    return { ...stretch, messages, holes: stretch.holes.filter((hole) => hole.from < last), hasNewer: true };
  }
}

function fromPage({ messages, holes, hasMore }) {
  return { messages, holes, hasOlder: hasMore };
}

/** Two stretches, one after the other. Of a message that is in both the later one holds. */
function joined(before, after) {
  const messages = new Map([...before.messages, ...after.messages].map((message) => [message.id, message]));
  const holes = new Map([...before.holes, ...after.holes].map((hole) => [hole.from, hole]));
  return {
    messages: [...messages.values()].sort(inOrder),
    holes: [...holes.values()].sort((a, b) => a.from - b.from),
  };
}

/** Told before the message that was read: it waited then, and has its place by now. */
function isOutdated({ message }, { messages }) {
  return message.position === null && messages.some(({ id, position }) => id === message.id && position !== null);
}

/** Whether a message that is not in a view lies beyond it, where scrolling will find it. */
function outsideOf(view) {
  const { hasOlder, hasNewer } = view;
  const first = firstPosition(view);
  const last = lastPosition(view);
  return ({ position }) =>
    position === null ? hasNewer : (hasOlder && position < first) || (hasNewer && position > last);
}

/** The index of the first message that does not follow on what is before it, or null. */
function findGap({ messages, holes, hasOlder }) {
  let end = hasOlder ? null : 0;
  let next = 0;
  for (const [index, { position }] of messages.entries()) {
    if (position === null) break;
    for (; holes[next]?.from <= position; next += 1) {
      if (end !== null && holes[next].from !== end + 1) return index;
      end = holes[next].to;
    }
    if (end !== null && position !== end + 1) return index;
    end = position;
  }
  return null;
}

function firstPosition({ messages, holes }) {
  const first = messages[0]?.position ?? Number.MAX_SAFE_INTEGER;
  return Math.min(first, holes[0]?.from ?? first);
}

function lastPosition({ messages, holes }) {
  const last = messages.findLast(({ position }) => position !== null)?.position ?? 0;
  return Math.max(last, holes.at(-1)?.to ?? last);
}

/** By position; then what is on its way, in the order in which it was written. Of one millisecond, as it was told. */
function inOrder(a, b) {
  if (a.position !== null && b.position !== null) return a.position - b.position;
  if (a.position === null && b.position === null) return a.sentAt - b.sentAt;
  return a.position === null ? 1 : -1;
}
