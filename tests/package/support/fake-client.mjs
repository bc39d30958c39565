const METHODS = [
  "history",
  "message",
  "conversations",
  "conversation",
  "session",
  "notifications",
  "devices",
  "presence",
];

/** A client that says and answers what a test wants, when the test wants it: for races, which a real one has seldom. */
export class FakeClient {
  account = "ann";
  /** What was asked and is not answered yet, in order: `{ method, args, resolve, reject }`. */
  asked = [];
  #listeners = new Set();
  #status;

  constructor({ connection = "online" } = {}) {
    this.#status = { connection };
    for (const method of METHODS) {
      this[method] = (...args) => new Promise((resolve, reject) => this.asked.push({ method, args, resolve, reject }));
    }
  }

  get listeners() {
    return this.#listeners.size;
  }

  on(event, listener) {
    const entry = { event, listener };
    this.#listeners.add(entry);
    return () => void this.#listeners.delete(entry);
  }

  status() {
    return { ...this.#status };
  }

  tell(event, value) {
    for (const { event: of, listener } of [...this.#listeners]) if (of === event) listener(structuredClone(value));
  }

  connect(connection) {
    this.#status = { connection };
    this.tell("status", this.#status);
  }

  /** Takes the oldest question of this kind. */
  take(method) {
    const at = this.asked.findIndex((question) => question.method === method);
    if (at < 0) throw new Error(`nobody has asked for ${method}`);
    return this.asked.splice(at, 1)[0];
  }

  /** Answers the oldest question of this kind, and lets whoever asked go on. */
  async answer(method, value) {
    this.take(method).resolve(structuredClone(value));
    await settled();
  }

  async fail(method, error) {
    this.take(method).reject(error);
    await settled();
  }
}

/** All promises that can go on have. */
export const settled = () => new Promise((resume) => setImmediate(resume));

/** What a store says, from the first value on, until `off`. */
export function watch(store) {
  const values = [];
  const off = store.subscribe((value) => values.push(value));
  return { values, off, get last() { return values.at(-1); } };
}

export class SyncError extends Error {
  constructor(code, retryable = false) {
    super(`it is ${code}`);
    Object.assign(this, { name: "SyncError", code, retryable });
  }
}
