import { once } from "node:events";
import { connect, createServer } from "node:net";

/** How long everything takes in each direction while it is slow, in milliseconds. */
const SLOW = 400;

/** A way to a server on which a connection fares as on a train. */
export class Tunnel {
  #server;
  #listener;
  #links = new Set();
  #state = "open";
  /** How many more bytes pass before it is cut. */
  #left = Infinity;

  constructor(server) {
    this.#server = new URL(server.url);
    this.#listener = createServer((near) => this.#pass(near));
  }

  static async to(server) {
    const tunnel = new Tunnel(server);
    tunnel.#listener.listen(0, "127.0.0.1");
    await once(tunnel.#listener, "listening");
    return tunnel;
  }

  /** Where clients connect. */
  get url() {
    return `ws://127.0.0.1:${this.#listener.address().port}/sync`;
  }

  get isCut() {
    return this.#state === "cut";
  }

  /** What comes passes at once. What was swallowed stays so, and connections of which something was, stay dead. */
  open() {
    this.#state = "open";
  }

  /** What comes passes, late. */
  slow() {
    this.#state = "slow";
  }

  /** Nothing passes, and nobody is told: connections are half-open from now on. */
  swallow() {
    this.#state = "swallowing";
    for (const link of this.#links) link.dead = true;
  }

  /** All connections break, and there are no new ones. */
  cut() {
    this.#state = "cut";
    this.#left = Infinity;
    for (const link of this.#links) link.end();
  }

  /** The same, after so many more bytes, in the midst of whatever they are. */
  cutAfter(bytes) {
    this.#left = bytes;
  }

  async end() {
    this.cut();
    this.#listener.close();
    await once(this.#listener, "close");
  }

  #pass(near) {
    if (this.isCut) return near.resetAndDestroy();
    const far = connect(this.#server.port, this.#server.hostname);
    const end = () => {
      this.#links.delete(link);
      for (const socket of [near, far]) socket.destroy();
    };
    const link = { dead: this.#state === "swallowing", end };
    this.#links.add(link);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ]) {
      let last = Promise.resolve();
      from.on("data", (chunk) => (last = last.then(() => this.#forward(link, chunk, to))));
      // The other end learns of it, unless nothing gets there.
      from.on("close", () => (last = last.then(() => link.dead || link.end())));
      from.on("error", () => {}); // followed by its close
    }
  }

  async #forward(link, chunk, to) {
    if (this.#state === "slow") await new Promise((resume) => setTimeout(resume, SLOW));
    if (link.dead || to.destroyed) return;
    const part = chunk.subarray(0, this.#left);
    this.#left -= part.length;
    await new Promise((written) => to.write(part, written));
    if (this.#left === 0) this.cut();
  }
}
