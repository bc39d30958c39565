// How the client comes to servers in memory: by `WebSocket` and `fetch`, as to any other. Whatever goes elsewhere goes there.
import { Socket } from "./network.js";

const networks = new Map();
const own = {};

/** Has a host be found. */
export function reach(host, network) {
  if (networks.size === 0) patch();
  networks.set(host, network);
}

/** Has it be found no more. */
export function leave(host) {
  if (networks.delete(host) && networks.size === 0) restore();
}

function networkOf(address) {
  const base = globalThis.location?.href;
  return URL.canParse(address, base) ? networks.get(new URL(address, base).host) : undefined;
}

function patch() {
  const { WebSocket, fetch } = globalThis;
  Object.assign(own, { WebSocket, fetch });
  globalThis.WebSocket = new Proxy(WebSocket ?? class {}, {
    construct(target, [address, ...rest]) {
      const network = networkOf(address);
      return network ? new Socket(network) : Reflect.construct(target, [address, ...rest]);
    },
  });
  globalThis.fetch = (resource, init) => {
    const network = networkOf(resource.url ?? resource);
    return network ? post(network, init) : fetch(resource, init);
  };
  listenAsPages();
  lockAsPages();
  digestAsPages();
}

function restore() {
  Object.assign(globalThis, own);
}

/** Node tells nobody whether there is a network. Kept, since a client may be told to close later. */
function listenAsPages() {
  if ("addEventListener" in globalThis) return;
  const target = new EventTarget();
  // Many clients are no leak.
  globalThis.process?.getBuiltinModule?.("node:events").setMaxListeners(0, target);
  for (const name of ["addEventListener", "removeEventListener", "dispatchEvent"]) {
    globalThis[name] = target[name].bind(target);
  }
}

/** Node before 24.5 has no Web Locks, without which a client waits a second for others before it leads. Where there is no
 *  IndexedDB there are none: each is a profile of its own. */
function lockAsPages() {
  if (globalThis.indexedDB || globalThis.navigator?.locks) return;
  const locks = { request: async (_name, _options, hold) => hold({}) };
  if (globalThis.navigator) Object.defineProperty(navigator, "locks", { value: locks, configurable: true });
  else globalThis.navigator = { locks };
}

/** The window of jsdom has no cryptography, or a class of its own for Node's. */
function digestAsPages() {
  const { webcrypto } = globalThis.process?.getBuiltinModule?.("node:crypto") ?? {};
  const { crypto, Crypto } = globalThis;
  if (!webcrypto || (crypto?.subtle && crypto instanceof Crypto)) return;
  Object.defineProperty(globalThis, "crypto", { value: webcrypto, configurable: true });
  Object.defineProperty(globalThis, "Crypto", { value: webcrypto.constructor, configurable: true });
}

async function post(network, { body, signal }) {
  const answer = await network.post(new Uint8Array(body));
  signal?.throwIfAborted();
  return new Response(answer, { headers: { "content-type": "application/octet-stream" } });
}
