// The page under test, with React: components that use the hooks, and remember each value that they were rendered with.
import {
  createElement as h,
  memo,
  StrictMode,
  startTransition,
  useEffect,
  useLayoutEffect,
  useState,
  version,
} from "react";
import { createRoot } from "react-dom/client";
import * as hooks from "./pkg/react.js";
import { SyncClient } from "./pkg/index.js";
import { timelineStore } from "./pkg/stores.js";
import "./harness.js";

/** What was rendered under each name, in order; and how often, for the rows of a timeline by the message's id. */
const rendered = {};
const rows = {};
const roots = new Map();

function remember(name, value) {
  (rendered[name] ??= []).push(value);
  return value;
}

/** One for each hook: what it is given, and what it gives. */
const parts = {
  status: () => hooks.useStatus(),
  client: () => hooks.useSyncClient()?.tabId ?? null,
  conversations: () => hooks.useConversations(),
  conversation: ({ id }) => hooks.useConversation(id),
  typing: ({ id }) => hooks.useTyping(id),
  presence: ({ id }) => hooks.usePresence(id),
  session: ({ id }) => hooks.useSession(id),
  notifications: () => hooks.useNotifications(),
  devices: () => hooks.useDevices(),
};

function Part({ name, use, ...given }) {
  remember(name, parts[use](given));
  return null;
}

const Row = memo(function Row({ message }) {
  rows[message.id] = (rows[message.id] ?? 0) + 1;
  return h("li", { "data-id": message.id, "data-state": message.state }, JSON.stringify(message.content));
});

function Timeline({ name, id, options }) {
  const timeline = remember(name, hooks.useTimeline(id, options));
  harness.timelines[name] = timeline;
  return h("ul", { id: name }, timeline.messages.map((message) => h(Row, { key: message.id, message })));
}

/** Of components that look at the same thing: what they have on screen, and with what the first was rendered last. */
const onScreen = new Map();
let first;
const torn = {
  /** How often they have come on screen. */
  shown: 0,
  /** Components that were rendered with something else than the first of them: news came in between. */
  mixed: 0,
  /** Commits in which they had different things on screen. */
  times: 0,
};

/** Several components that come on screen together, again and again. They are slow, so that React pauses between them,
 *  and news come; and as long as they are not on screen they hear of nothing. */
function Torn({ id, readers }) {
  const client = hooks.useSyncClient();
  const [round, setRound] = useState(0);
  const isOn = round % 2 === 1;
  useEffect(() => timelineStore(client, id).subscribe(() => {}), [client, id]);
  useEffect(() => {
    if (!torn.running) return;
    if (isOn) torn.shown += 1;
    onScreen.clear();
    if (isOn) setRound(round + 1);
    else startTransition(() => setRound(round + 1));
  }, [round, isOn]);
  torn.begin = () => {
    torn.running = true;
    setRound(2);
  };
  return isOn ? Array.from({ length: readers }, (_, at) => h(Reader, { key: at, at, id })) : null;
}

function Reader({ at, id }) {
  const { messages } = hooks.useTimeline(id);
  if (at === 0) first = messages;
  else if (messages !== first) torn.mixed += 1;
  useLayoutEffect(() => {
    onScreen.set(at, messages);
    // Once all of this commit have said so.
    queueMicrotask(() => {
      if (new Set(onScreen.values()).size > 1) torn.times += 1;
    });
  }, [at, messages]);
  const until = performance.now() + 4;
  while (performance.now() < until);
  return h("i", null, messages.length);
}

function Opener({ options }) {
  const { client, error } = hooks.useOpenClient(options);
  remember("opener", { tab: client?.tabId ?? null, code: error?.code ?? null });
  harness.opened = client;
  return h(hooks.SyncProvider, { client }, h(Part, { name: "opened status", use: "status" }));
}

const kinds = { part: Part, timeline: Timeline, torn: Torn, opener: Opener };

/** Renders elements, `[kind, props]`, for a client; or what was rendered under this name before, for another one. */
function mount(name, client, elements, { strict = false } = {}) {
  if (!roots.has(name)) {
    const place = document.createElement("section");
    document.body.append(place);
    roots.set(name, createRoot(place));
  }
  const children = elements.map(([kind, props], at) => h(kinds[kind], { key: props.name ?? at, ...props }));
  const tree = h(hooks.SyncProvider, { client }, children);
  roots.get(name).render(strict ? h(StrictMode, null, tree) : tree);
}

function unmount(name) {
  roots.get(name).unmount();
  roots.delete(name);
}

/** Counts who listens to a client from now on. */
function countListeners(client) {
  const { on } = client;
  let count = 0;
  client.on = (event, listener) => {
    const off = on.call(client, event, listener);
    count += 1;
    return () => {
      count -= 1;
      off();
    };
  };
  return () => count;
}

/** Counts how many clients are opened from now on. */
function countOpened() {
  const { open } = SyncClient;
  let count = 0;
  SyncClient.open = (options) => {
    count += 1;
    return open(options);
  };
  return () => count;
}

Object.assign(harness, {
  version,
  rendered,
  rows,
  mount,
  unmount,
  countListeners,
  countOpened,
  timelines: {},
  torn,
});
