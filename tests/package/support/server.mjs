// Renders a component with all hooks, where every browser's global is a trap; prints what it says.
const FORBIDDEN = [
  "window",
  "document",
  "navigator",
  "location",
  "indexedDB",
  "localStorage",
  "sessionStorage",
  "BroadcastChannel",
  "WebSocket",
  "Worker",
  "requestAnimationFrame",
  "addEventListener",
  "matchMedia",
];
for (const name of FORBIDDEN) {
  Object.defineProperty(globalThis, name, {
    configurable: true,
    get() {
      throw new Error(`${name} was touched`);
    },
  });
}

const before = new Set(Object.getOwnPropertyNames(globalThis));
const hooks = await import("tutti-sync/react");
await import("tutti-sync/stores");
await import("tutti-sync/worker");
const added = Object.getOwnPropertyNames(globalThis).filter((name) => !before.has(name));
if (added.length > 0) throw new Error(`the import has made globals: ${added}`);

// React itself looks whether there is a window, without touching it if there is none.
for (const name of ["window", "document"]) delete globalThis[name];
const { createElement, version } = await import("react");
const { renderToString } = await import("react-dom/server");

function Everything({ options }) {
  const { loadOlder, loadNewer, loadLatest, loadAround, follow, ...timeline } = hooks.useTimeline("direct:ben");
  const said = {
    client: hooks.useSyncClient(),
    opening: hooks.useOpenClient(options),
    status: hooks.useStatus(),
    conversations: hooks.useConversations(),
    conversation: hooks.useConversation("direct:ben"),
    timeline,
    typing: hooks.useTyping("direct:ben"),
    presence: hooks.usePresence("ben"),
    session: hooks.useSession("player"),
    notifications: hooks.useNotifications(),
    devices: hooks.useDevices(),
  };
  return createElement("p", null, JSON.stringify(said));
}

const options = { url: "wss://chat.example/sync", account: "ann", token: "none" };
const page = createElement(hooks.SyncProvider, { client: null }, createElement(Everything, { options }));
console.log(JSON.stringify({ version, html: renderToString(page) }));
