// tutti-sync/worker: the same client, in a dedicated worker of the page. Here is what the page keeps: a stand-in for each
// client, what is asked of the page, and word of what happens to it.
import { mirrorAlerts } from "./alerts.js";
import { SyncError } from "./error.js";
import { Peer, unpacked } from "./worker-peer.js";

export { SyncError };

/** What happens to a page and matters to its clients. That the network comes and goes a worker hears itself. */
const PAGE_EVENTS = ["visibilitychange", "beforeunload", "pagehide", "pageshow", "freeze", "resume"];

let loading = null;
let thread = null;

export default function init(module) {
  loading ??= start(module).then(
    (started) => void (thread = started),
    (cause) => {
      loading = null; // the next call tries again
      throw new SyncError("unsupported", `the worker did not start: ${cause?.message ?? cause}`, true);
    },
  );
  return loading;
}

async function start(module) {
  const worker = new Worker(new URL("./worker-thread.js", import.meta.url), { type: "module", name: "tutti-sync" });
  const peer = new Peer(worker, (name, args) => answers[name](...args));
  const failed = new Promise((_, fail) => {
    worker.onerror = ({ message }) => fail(new Error(message ?? "its script could not be loaded"));
  });
  try {
    await Promise.race([failed, peer.ask("load", await sendable(module), document.visibilityState)]);
  } catch (error) {
    worker.terminate();
    throw error;
  }
  worker.onerror = null;
  for (const type of PAGE_EVENTS) {
    addEventListener(type, ({ persisted }) => peer.tell("happened", type, document.visibilityState, persisted));
  }
  return peer;
}

/** What `init` takes, in a form that gets across. */
async function sendable(module) {
  if (typeof module === "string" || module instanceof URL) return new URL(module, document.baseURI).href;
  const fetched = module instanceof Request ? await fetch(module) : module;
  return fetched instanceof Response ? fetched.arrayBuffer() : fetched;
}

/** What a worker cannot do by itself. */
const answers = {
  async registrations() {
    return ((await navigator.serviceWorker?.getRegistrations()) ?? []).map(described);
  },
  async subscription(scope) {
    return subscribed(await (await pushesTo(scope)).getSubscription());
  },
  async subscribe(scope, options) {
    return subscribed(await (await pushesTo(scope)).subscribe(options));
  },
  async permissionState(scope, options) {
    return (await pushesTo(scope)).permissionState(options);
  },
  async unsubscribe(scope) {
    return (await (await pushesTo(scope)).getSubscription())?.unsubscribe() ?? false;
  },
  persist: () => navigator.storage.persist(),
};

const described = ({ scope, pushManager }) => ({ scope, pushes: pushManager !== undefined });

const subscribed = (subscription) =>
  subscription && {
    endpoint: subscription.endpoint,
    keys: { p256dh: subscription.getKey("p256dh"), auth: subscription.getKey("auth") },
  };

const pushesTo = async (scope) => (await registered(scope)).pushManager;

async function registered(scope) {
  return (await navigator.serviceWorker.getRegistrations()).find((each) => each.scope === scope) ?? null;
}

/** Most bytes of a content; all other text is shorter. */
const CONTENT = 32_768;

const EVENTS = new Set([
  "messages",
  "conversations",
  "typing",
  "presence",
  "custom-status",
  "session",
  "notifications",
  "status",
  "catch-up",
  "connection-limit",
  "devices",
  "removed",
  "error",
  "trace",
]);

/** What the client answers, in the worker as here. */
const ASKED = [
  "recall",
  "retry",
  "discard",
  "message",
  "history",
  "search",
  "conversations",
  "conversation",
  "markRead",
  "setConversation",
  "presence",
  "session",
  "sessions",
  "notifications",
  "markNotification",
  "disablePush",
  "renewPush",
  "devices",
  "renameDevice",
  "removeDevice",
  "inspect",
  "configure",
  "syncNow",
  "takeOver",
  "close",
  "erase",
];

export class SyncClient {
  #peer;
  #account;
  #tabId;
  #state = null;
  #listeners = new Map(Array.from(EVENTS, (event) => [event, new Set()]));

  static async open(options) {
    if (thread === null) throw new SyncError("invalid", "call and await init() before SyncClient.open()");
    const client = new SyncClient();
    const { port1, port2 } = new MessageChannel();
    try {
      const { url, token, ...others } = { ...options };
      const asked = typeof token === "function";
      const sent = { url: url instanceof URL ? url.href : url, token: asked ? "" : token, ...others };
      client.#peer = new Peer(port1, (name, args) => (name === "token" ? token() : client.#told[name](...args)));
      const { account: own, tabId, ...state } = await thread.ask("open", port2, short(sent), asked);
      client.#account = own;
      client.#tabId = tabId;
      client.#state ??= state; // it may have been told of a newer one
    } catch (error) {
      port1.close();
      throw syncError(error);
    }
    mirrorAlerts(client);
    return client;
  }

  get account() {
    return this.#account;
  }

  get tabId() {
    return this.#tabId;
  }

  get deviceId() {
    return this.#state.deviceId;
  }

  status() {
    return { ...this.#state.status };
  }

  config() {
    this.#peer.tell("look"); // another tab may have set some of it
    return { ...this.#state.config };
  }

  static {
    for (const name of ASKED) {
      this.prototype[name] = function (...args) {
        return this.#ask(name, () => args);
      };
    }
  }

  send(conversation, content, options) {
    return this.#ask("send", () => [conversation, plain(content), options]);
  }

  edit(id, content) {
    return this.#ask("edit", () => [id, plain(content)]);
  }

  setSession(key, fields) {
    return this.#ask("setSession", () => [key, each(fields, plain)]);
  }

  setTyping(conversation, typing) {
    this.#tell("setTyping", () => [conversation, typing]);
  }

  setPresence(presence) {
    this.#tell("setPresence", () => [presence]);
  }

  sendStatus(conversation, type, content) {
    this.#tell("sendStatus", () => [conversation, type, plain(content)]);
  }

  setOffline(offline) {
    this.#tell("setOffline", () => [offline]);
  }

  enablePush(registration) {
    const known = globalThis.ServiceWorkerRegistration;
    return this.#ask("enablePush", () => [known && registration instanceof known ? described(registration) : null]);
  }

  async pushRegistration() {
    const scope = await this.#ask("pushRegistration", () => []);
    return scope === null ? null : registered(scope);
  }

  on(event, listener) {
    const listeners = this.#listeners.get(event);
    if (listeners === undefined) throw new SyncError("invalid", "event: no such event");
    if (typeof listener !== "function") throw new SyncError("invalid", "listener: expected a function");
    const own = { listener }; // the same function may listen twice
    listeners.add(own);
    if (listeners.size === 1) this.#peer.tell("listen", event);
    return () => {
      if (listeners.delete(own) && listeners.size === 0) this.#peer.tell("unlisten", event);
    };
  }

  async #ask(name, args) {
    try {
      return await this.#peer.ask(name, ...short(args()));
    } catch (error) {
      throw syncError(error);
    }
  }

  /** What the client finds wrong with it is an event: nobody waits for an answer. */
  #tell(name, args) {
    try {
      this.#peer.tell(name, ...short(args()));
    } catch (error) {
      throw syncError(error);
    }
  }

  #told = {
    state: (state) => void (this.#state = state),
    event: (event, value) => this.#heard(event, value),
    failed: (thrown) => this.#heard("error", thrown),
  };

  #heard(event, value) {
    const news = event === "error" ? syncError(unpacked(value)) : value;
    for (const own of [...this.#listeners.get(event)]) {
      try {
        own.listener(news);
      } catch (error) {
        console.error(error);
      }
    }
  }
}

/** What the worker's client has thrown, or why something does not get there. Anything can be thrown. */
function syncError(thrown) {
  try {
    const { code, message, retryable } = thrown;
    if (typeof code === "string") return new SyncError(code, message, retryable);
    return new SyncError("invalid", `this cannot be handed to the worker: ${message}`);
  } catch {
    return new SyncError("invalid", "this cannot be handed to the worker");
  }
}

/** Content as JSON has it: what an object says of itself (`toJSON`) would not get across. */
function plain(content) {
  const text = typeof content === "object" && content !== null ? JSON.stringify(content) : content;
  if (text?.length > CONTENT) throw new SyncError("too-large", "content: over 32 KiB");
  return text === content ? content : JSON.parse(text);
}

/** What holds no text that is far too long: browsers end a page that hands over half a gigabyte. */
function short(value) {
  if (typeof value === "string" && value.length > CONTENT) throw new Error("a text is too long");
  if (typeof value === "object" && value !== null) Object.values(value).forEach(short);
  return value;
}

function each(fields, change) {
  if (typeof fields !== "object" || fields === null) return fields;
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, change(value)]));
}
