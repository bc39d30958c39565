// What all stores are made of. Nothing in here knows a framework, and importing it touches no global.

/** So that what is empty is always the same. */
export const NONE = Object.freeze([]);

/**
 * A value over time, for all who look at it: it begins with the first of them, and ends with the last.
 *
 * `begin(set, get)` is called for the first subscriber and returns what ends it. Once it has ended, `set` does nothing,
 * so an answer that comes too late changes nothing, and the value is the initial one again. `peek` gives the value
 * while nobody subscribes, where that can be said at once.
 */
export function createStore(initial, begin, peek = null) {
  const subscribers = new Set();
  let value = initial;
  let run = null;

  const get = () => {
    if (run === null && peek !== null) value = keep(value, peek());
    return value;
  };

  const start = () => {
    // Whoever subscribes need not hold the store.
    const mine = { store };
    run = mine;
    const set = (next) => {
      if (run !== mine || Object.is(next, value)) return;
      value = next;
      for (const subscriber of [...subscribers]) if (subscribers.has(subscriber)) tell(subscriber.listener, value);
    };
    try {
      mine.end = begin(set, get);
    } catch (error) {
      run = null;
      throw error;
    }
  };

  const stopIfUnused = () => {
    if (subscribers.size > 0 || run === null) return;
    const { end } = run;
    run = null;
    value = initial;
    end();
  };

  const subscribe = (listener) => {
    if (run === null) start();
    const subscriber = { listener };
    subscribers.add(subscriber);
    tell(listener, value);
    return () => {
      // Who comes in the same task takes over: a component in the place of another, or React's second run of an effect.
      if (subscribers.delete(subscriber) && subscribers.size === 0) queueMicrotask(stopIfUnused);
    };
  };

  const store = {
    get value() {
      return get();
    },
    initial,
    subscribe,
  };
  return store;
}

/** One listener that throws is no reason for the others not to hear. */
function tell(listener, value) {
  try {
    listener(value);
  } catch (error) {
    console.error(error);
  }
}

/** A store of what does not change, such as everything as long as there is no client. */
export function still(value) {
  return createStore(value, () => () => {});
}

const stores = new WeakMap();
const forgotten = new FinalizationRegistry(({ known, name }) => {
  if (known.get(name)?.deref() === undefined) known.delete(name);
});

/** The store of a client that goes by this key: all who ask for it get the same, as long as somebody holds it. */
export function shared(client, key, create) {
  let known = stores.get(client);
  if (known === undefined) stores.set(client, (known = new Map()));
  const name = JSON.stringify(key);
  let store = known.get(name)?.deref();
  if (store === undefined) {
    store = create();
    known.set(name, new WeakRef(store));
    forgotten.register(store, { known, name });
  }
  return store;
}

/**
 * A store of something that a client reads as a whole and then tells of: `{ [name]: …, loading, error }`.
 *
 * `listen({ told, again, current })` returns functions that stop listening. `again()` reads; `told(value)` shows what
 * the client has told, which is newer than what is being read just then. `current()` is what is shown, or null as long
 * as it is not known to be all. `merge` gives what has not changed its identity back; `peek` is as above.
 */
export function createReading(initial, name, read, listen, { merge = keep, peek } = {}) {
  const begin = (set, get) => {
    let news = 0;
    let isWhole = false;
    const told = (value, more) => {
      news += 1;
      isWhole = true;
      const before = get();
      set(keep(before, { ...before, ...more, [name]: merge(before[name], value), loading: false, error: null }));
    };
    const again = async () => {
      const asked = ++news;
      isWhole = false;
      try {
        const value = await read();
        if (asked === news) told(value);
      } catch (error) {
        if (asked === news) set({ ...get(), loading: false, error });
      }
    };
    return all(listen({ told, again, current: () => (isWhole ? get()[name] : null) }));
  };
  return createStore(initial, begin, peek);
}

/** One function that does what all of these do. */
export function all(functions) {
  return () => {
    for (const each of functions) each();
  };
}

/** Tells whether a client is online: now, and when that changes. Returns what ends it. */
export function onConnection(client, listener) {
  let online = null;
  const hear = ({ connection }) => {
    if (online === (connection === "online")) return;
    online = connection === "online";
    listener(online);
  };
  const off = client.on("status", hear);
  hear(client.status());
  return off;
}

/** `after`; or `before`, if both say the same. */
export function keep(before, after) {
  return same(before, after) ? before : after;
}

/** The same for a list, whose elements are known by `id`: those that say the same as before are the same as before. */
export function keepAll(before, after, id) {
  const known = new Map(before.map((element) => [id(element), element]));
  const kept = after.map((element) => keep(known.get(id(element)), element));
  return kept.length === before.length && kept.every((element, at) => element === before[at]) ? before : kept;
}

function same(a, b) {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}
