// tutti-sync/testing: a server in memory for an application's own tests, and the network to it. The clients are the real
// ones; the server's rules are, too, and come as a WebAssembly module of their own.
import init, { SyncError } from "./index.js";
import load, { Memory } from "./testing/wasm/tutti_testing.js";
import { Network } from "./testing/network.js";
import { reach, leave } from "./testing/globals.js";

let loading = null;
let started = 0;

export async function createTestServer({ clock = Date.now, wasm } = {}) {
  const module = wasm ?? onDisk(new URL("./testing/wasm/tutti_testing_bg.wasm", import.meta.url));
  loading ??= load({ module_or_path: module }).catch((error) => {
    loading = null; // the next call tries again
    throw error;
  });
  await Promise.all([loading, init(onDisk(new URL("./wasm/tutti_sync_bg.wasm", import.meta.url)))]);
  started += 1;
  return new TestServer(`tutti-${started}.test`, new Memory(), () => clock());
}

/** A module's bytes in Node, which fetches no files. Elsewhere modules know where they are. */
function onDisk(url) {
  if (url.protocol !== "file:" || !globalThis.process?.versions?.node) return undefined;
  if (!process.getBuiltinModule) throw new SyncError("unsupported", "tutti-sync/testing wants Node 20.16 or newer");
  return process.getBuiltinModule("node:fs").readFileSync(url);
}

class TestServer {
  network;
  #host;
  #memory;
  #clock;

  constructor(host, memory, clock) {
    [this.#host, this.#memory, this.#clock] = [host, memory, clock];
    this.network = new Network(memory, clock);
    reach(host, this.network);
  }

  get url() {
    return `wss://${this.#host}/sync`;
  }

  token(account) {
    return Memory.token(account);
  }

  options(account) {
    return { url: this.url, account, token: this.token(account) };
  }

  setGroup(id, members) {
    this.#do((memory) => memory.setGroup(id, members));
  }

  post({ from, to, content, type = "text", id, isIncludeSender = false }) {
    const text = JSON.stringify(content);
    return this.#do((memory, now) => memory.send(from, to, text, type, id, isIncludeSender, now));
  }

  recall({ from, message }) {
    this.#do((memory, now) => memory.recall(from, message, now));
  }

  notify({ accounts, title, body, data, conversation, message, id }) {
    const text = data === undefined ? undefined : JSON.stringify(data);
    return this.#do((memory, now) => memory.notify(accounts, title, body, text, conversation, message, id, now));
  }

  removeDevice(account, device) {
    this.#do((memory, now) => memory.removeDevice(account, device, now));
  }

  close() {
    leave(this.#host);
    this.network.drop();
  }

  /** Does something on the server, and has it tell the clients. */
  #do(work) {
    const done = work(this.#memory, this.#clock());
    this.network.carry();
    return done;
  }
}
