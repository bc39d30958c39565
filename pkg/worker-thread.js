// The worker's side of tutti-sync/worker: here are the clients. What a page has and a worker lacks is asked of the page,
// and put where a client looks for it, so it need not know where it is.
import load, { SyncClient } from "./wasm/tutti_sync.js";
import { Peer, packed } from "./worker-peer.js";

const page = new Peer(self, (name, args) => answers[name](...args));

const answers = {
  async load(module, visibilityState) {
    self.document = { visibilityState };
    await load(module === undefined ? undefined : { module_or_path: module });
  },
  happened(type, visibilityState, persisted) {
    self.document.visibilityState = visibilityState;
    dispatchEvent(Object.assign(new Event(type), { persisted }));
  },
  open,
};

/** Calls of which nobody awaits the end. */
const TOLD = new Set(["setTyping", "setPresence", "sendStatus", "setOffline"]);

/** Opens a client that is called through a port; gives how it is. */
async function open(port, options, asksForTokens) {
  const peer = new Peer(port, (name, args) => (Object.hasOwn(own, name) ? own[name](...args) : call(name, args)));
  if (asksForTokens) options.token = () => peer.ask("token");
  const client = await SyncClient.open(options);
  const state = () => ({ deviceId: client.deviceId, status: client.status(), config: client.config() });
  let known = "";

  /** Tells how all is before anything else is told that may follow from it. */
  const look = () => {
    const now = state();
    const text = JSON.stringify(now);
    if (text !== known) peer.tell("state", now);
    known = text;
  };

  const call = async (name, args) => {
    try {
      return await client[name](...args);
    } catch (error) {
      if (!TOLD.has(name)) throw error;
      peer.tell("failed", packed(error));
    } finally {
      look();
    }
  };

  const endings = new Map();
  const own = {
    look,
    listen(event) {
      const tell = (value) => {
        look();
        peer.tell("event", event, event === "error" ? packed(value) : value);
      };
      endings.set(event, client.on(event, tell));
    },
    unlisten(event) {
      endings.get(event)();
    },
    enablePush(registration) {
      return call("enablePush", [registration && new ServiceWorkerRegistration(registration)]);
    },
    async pushRegistration() {
      return (await call("pushRegistration", []))?.scope ?? null;
    },
  };

  client.on("status", look);
  return { account: client.account, tabId: client.tabId, ...state() };
}

// ---- what the page has ----

class ServiceWorkerRegistration {
  constructor({ scope, pushes }) {
    this.scope = scope;
    this.pushManager = pushes ? new PushManager(scope) : undefined;
  }
}

class PushManager {
  #scope;
  constructor(scope) {
    this.#scope = scope;
  }
  async getSubscription() {
    return this.#subscription(await page.ask("subscription", this.#scope));
  }
  async subscribe(options) {
    return this.#subscription(await page.ask("subscribe", this.#scope, options));
  }
  permissionState(options) {
    return page.ask("permissionState", this.#scope, options);
  }
  #subscription(known) {
    return known && new PushSubscription(this.#scope, known);
  }
}

class PushSubscription {
  #scope;
  #keys;
  constructor(scope, { endpoint, keys }) {
    this.#scope = scope;
    this.#keys = keys;
    this.endpoint = endpoint;
  }
  getKey(name) {
    return this.#keys[name];
  }
  unsubscribe() {
    return page.ask("unsubscribe", this.#scope);
  }
}

class ServiceWorkerContainer {
  async getRegistrations() {
    return (await page.ask("registrations")).map((each) => new ServiceWorkerRegistration(each));
  }
}

Object.assign(self, { ServiceWorkerContainer, ServiceWorkerRegistration });
Object.defineProperty(navigator, "serviceWorker", { value: new ServiceWorkerContainer() });
// Only pages may ask for it.
if (navigator.storage) navigator.storage.persist = () => page.ask("persist");
