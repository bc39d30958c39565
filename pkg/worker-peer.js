// Calls across a port, both ways and in order.

export class Peer {
  #port;
  #answer;
  #waiting = new Map();
  #last = 0;

  /** `answer(name, args)` does what the other side asks for, or is told. */
  constructor(port, answer) {
    this.#port = port;
    this.#answer = answer;
    port.onmessage = ({ data }) => this.#take(data);
  }

  /** What the other side answers. Rejects with what it throws, or with why this cannot be sent. */
  ask(name, ...args) {
    return new Promise((resolve, reject) => {
      const id = ++this.#last;
      this.#port.postMessage({ id, name, args }, portsIn(args));
      this.#waiting.set(id, { resolve, reject });
    });
  }

  /** The same, when no answer is wanted. */
  tell(name, ...args) {
    this.#port.postMessage({ name, args }, portsIn(args));
  }

  async #take({ id, name, args, value, thrown }) {
    if (name === undefined) {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (thrown) reject(unpacked(thrown));
      else resolve(value);
      return;
    }
    try {
      const value = await this.#answer(name, args);
      if (id !== undefined) this.#port.postMessage({ id, value });
    } catch (error) {
      if (id === undefined) throw error;
      this.#port.postMessage({ id, thrown: packed(error) });
    }
  }
}

const portsIn = (args) => args.filter((each) => each instanceof MessagePort);

/** An error in a form that gets across with all that matters of it: browsers leave out fields that they do not know. */
export function packed(error) {
  if (error instanceof DOMException) return { error };
  const { message = String(error), code, retryable } = Object(error);
  return { message, fields: { code, retryable } };
}

export function unpacked({ error, message, fields }) {
  return error ?? Object.assign(new Error(message), fields);
}
