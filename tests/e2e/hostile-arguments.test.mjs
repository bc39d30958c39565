// Fault 52: whatever a script hands the client is taken as what it is, or refused with a typed error, and nothing has
// changed then.
import assert from "node:assert/strict";
import { createECDH } from "node:crypto";
import { after, before, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server, profile, client, id;

before(async () => {
  server = await stage.server();
  profile = await stage.profile(server);
  client = await profile.client("ann");
  await client.online();
  ({ id } = await client.send("direct:bob", "here"));
  await client.call("setSession", "reading", { page: 7 });
  await client.call("setConversation", "direct:bob", { draft: "dear", pinned: true });
  await server.call("POST", "/api/notifications", { accounts: ["ann"], title: "a title", body: "" });
  await until("it is told", async () => (await client.call("notifications")).length === 1);
  await client.call("syncNow");
  // Without a key there would be no need to look at what push is to be enabled with.
  await client.call("configure", { pushNotificationSenderId: createECDH("prime256v1").generateKeys("base64url") });
});
/** As source, and the kinds of argument that such a value is fine for. */
const VALUES = {
  undefined: ["undefined", "optional", "config"],
  null: ["null", "content", "draft"],
  NaN: ["NaN"],
  infinity: ["Infinity"],
  "a negative number": ["-1", "content"],
  "a fraction": ["1.5", "content", "minutes"],
  "a number that cannot be counted to": ["2 ** 53", "content"],
  "a BigInt": ["10n"],
  "a BigInt within": ["{ text: 10n }", "options"],
  "a symbol": ["Symbol('no')"],
  "a function": ["() => 1", "listener"],
  "an empty string": ["''", "content", "draft", "prefix"],
  "a string of 10 MB": ["'x'.repeat(10_000_000)"],
  "a string of half a GB": ["'x'.repeat(2 ** 29 - 64)"],
  "half a surrogate pair": ["'direct:\\ud800'", "content", "draft"],
  "a name that is half a surrogate pair": ["{ '\\ud800': 1 }", "content", "options"],
  "a name of 10 MB": ["{ ['x'.repeat(10_000_000)]: 1 }", "options"],
  "a hundred thousand names": ["Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [at, 1]))", "options"],
  "a million holes": ["new Array(1_000_000)", "options", "fields"],
  "a cycle": ["(() => { const ring = {}; ring.ring = ring; return ring })()", "options"],
  "an abyss": ["(() => { let deep = []; for (let at = 0; at < 1e5; at++) deep = [deep]; return { deep } })()", "options"],
  "a proxy that throws":
    ["new Proxy({}, new Proxy({}, { get: () => () => { throw new Error('no') } }))"],
  "a revoked proxy": ["(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy })()"],
  "a getter that throws": ["Object.defineProperty({}, FIELD, { enumerable: true, get() { throw new Error('no') } })"],
  "what throws when made a primitive":
    ["{ [Symbol.toPrimitive]() { throw new Error('no') } }", "content", "options", "config"],
  "an error that cannot be looked at": [
    "Object.defineProperty({}, FIELD, { enumerable: true, get() { " +
      "throw new Proxy(new Error('no'), { get() { throw new Error('never') } }) } })",
  ],
  "an error with half a GB to say": [
    "Object.defineProperty({}, FIELD, { enumerable: true, get() { throw 'x'.repeat(2 ** 29 - 64) } })",
  ],
};

/** Each method's arguments: what would be good, and of which kinds it is. */
const METHODS = {
  send: [["direct:bob"], ["hello", "content"], [{ type: ["text", "optional"], id: ["ID", "optional"] }]],
  edit: [["ID"], ["hello", "content"]],
  recall: [["ID"]],
  retry: [["ID"]],
  discard: [["ID"]],
  message: [["ID"]],
  history: [["direct:bob"], [{ before: [1, "optional"], limit: [1, "optional"] }]],
  search: [["here"], [{ conversation: ["direct:bob", "optional"], limit: [1, "optional"] }]],
  conversations: [[{ limit: [1, "optional"] }]],
  conversation: [["direct:bob"]],
  markRead: [["direct:bob"], [1, "optional"]],
  setConversation: [
    ["direct:bob"],
    [
      { draft: ["x", "optional", "draft"], muted: [true, "optional"], pinned: [true, "optional"] },
      "config", // of which nothing is left when all that is unknown has been refused
    ],
  ],
  setTyping: [["direct:bob"], [true, "optional"]],
  setPresence: [["online"]],
  sendStatus: [["direct:bob"], ["wave"], ["hello", "content"]],
  presence: [["bob"]],
  setSession: [["reading"], [{ page: [1, "optional", "content"] }, "fields"]],
  session: [["reading"]],
  sessions: [["read", "optional", "prefix"]],
  notifications: [[{ includeDismissed: [true, "optional"], limit: [1, "optional"] }]],
  markNotification: [["ID"], ["read"]],
  renameDevice: [["ID"], ["a name"]],
  removeDevice: [["ID"]],
  enablePush: [["a registration"]],
  takeOver: [["ID"]],
  configure: [[{ shareTyping: [true, "optional"], syncInterval: [15, "optional", "minutes"] }, "config"]],
  setOffline: [[true]],
  erase: [[{ revoke: [true, "optional"] }]],
  on: [["messages"], ["LISTENER", "listener"]],
};
const WITHOUT_ARGUMENTS = [
  ...["constructor", "free", "account", "deviceId", "tabId", "status", "inspect", "syncNow", "config", "close"],
  ...["devices", "disablePush", "pushRegistration", "renewPush"],
];

/** Every call with one thing wrong: `{ what, source }`. */
function* calls(id) {
  const said = (value) => (value === "LISTENER" ? "() => {}" : JSON.stringify(value === "ID" ? id : value));
  const good = ([value]) =>
    typeof value === "object"
      ? `{ ${Object.entries(value).map(([name, [value]]) => `${name}: ${said(value)}`)} }`
      : said(value);
  for (const [method, parameters] of Object.entries(METHODS)) {
    for (const [at, [value, ...kinds]] of parameters.entries()) {
      const call = (source) => {
        const all = parameters.map((parameter, index) => (index === at ? `(${source})` : good(parameter)));
        return `client.${method}(${all})`;
      };
      if (typeof value !== "object") {
        for (const [what, source] of wrong(kinds)) {
          yield { what: `${method}: ${what}, argument ${at + 1}`, source: call(source) };
        }
        continue;
      }
      // Of options only what is known is read; what else is in them is nobody's business.
      const taken = kinds.length > 0 ? kinds : ["options", "optional"];
      for (const [what, source] of wrong(taken, Object.keys(value)[0])) {
        yield { what: `${method}: ${what}, argument ${at + 1}`, source: call(source) };
      }
      for (const [name, [, ...kinds]] of Object.entries(value)) {
        for (const [what, source] of wrong(kinds)) {
          yield { what: `${method}: ${what}, as ${name}`, source: call(`{ ${name}: (${source}) }`) };
        }
      }
    }
  }
}

/** The values that are fine for none of these kinds, with their source. Those with a field call it this. */
function* wrong(kinds, field = "text") {
  for (const [what, [source, ...fine]] of Object.entries(VALUES)) {
    if (!fine.some((kind) => kinds.includes(kind))) yield [what, source.replace("FIELD", JSON.stringify(field))];
  }
}

/** All that the client knows, and the server of it. */
async function everything() {
  return {
    conversations: await client.call("conversations"),
    messages: await client.history("direct:bob"),
    sessions: await client.call("sessions"),
    notifications: await client.call("notifications", { includeDismissed: true }),
    config: await client.call("config"),
    status: await client.status(),
    connections: await server.connections("ann"),
    devices: (await server.call("GET", "/api/devices?user_id=ann")).devices.map(({ id, name, push }) => ({ id, name, push })),
  };
}

test("fault 52: each argument of each method, and each field of its options, refuses what makes no sense", async (t) => {
  const methods = await client.run(({ client }) => Object.getOwnPropertyNames(Object.getPrototypeOf(client)));
  const unknown = methods.filter((name) => !name.startsWith("__") && !(name in METHODS) && !WITHOUT_ARGUMENTS.includes(name));
  assert.deepEqual(unknown, [], "every method has a row");

  const before = await everything();
  const answers = [];
  for (const { what, source } of calls(id)) {
    const answer = await client.run(`async ({ client }) => {
      try {
        return { what: ${JSON.stringify(what)}, value: String(await ${source}) };
      } catch (error) {
        const { code, retryable, message } = error;
        return { what: ${JSON.stringify(what)}, isSyncError: error instanceof tutti.SyncError, code, retryable, size: message.length };
      }
    }`);
    answers.push(answer);
  }
  const others = answers.filter(
    ({ isSyncError, code, retryable, size }) =>
      !isSyncError || !["invalid", "too-large"].includes(code) || retryable || size > 200,
  );
  assert.deepEqual(others, []);
  t.diagnostic(`${answers.length} calls refused`);
  assert.deepEqual(await everything(), before);
  assert.deepEqual(profile.pageErrors, []);
});

test("fault 52: what is inherited was not given", async () => {
  const page = await profile.tab();
  const found = await inPage(
    page,
    async (options) => {
      const inherited = {
        ...{ limit: "no", before: -1, type: 7, id: 7, conversation: 7, includeDismissed: "no", draft: 7, muted: "no" },
        ...{ device: 7, config: 7, name: 7, platform: "toaster", enableMessageSync: false, syncInterval: -1, evil: true },
      };
      const pollute = (value) => ({ value, configurable: true, writable: true, enumerable: false });
      for (const [name, value] of Object.entries(inherited)) {
        Object.defineProperty(Object.prototype, name, pollute(value));
      }
      try {
        await tutti.init();
        const { url, account, token } = options;
        const client = await tutti.SyncClient.open({ __proto__: null, url, account, token });
        const { id } = await client.send("direct:bob", "in spite of it", {});
        const own = JSON.parse('{ "__proto__": { "stained": true }, "constructor": 7 }');
        await client.send("direct:__proto__", own);
        await client.setSession("__proto__", own);
        await client.configure({});
        await client.syncNow();
        const [got] = (await client.history("direct:__proto__", {})).messages;
        const session = await client.session("__proto__");
        const found = {
          sent: (await client.message(id)).state,
          type: (await client.message(id)).type,
          config: client.config(),
          conversations: (await client.conversations({})).map(({ id }) => id).sort(),
          found: (await client.search("in spite of it", {})).length,
          notified: (await client.notifications({})).length,
          content: JSON.stringify(got.content),
          fields: JSON.stringify(session.fields),
          stained: {}.stained === undefined,
        };
        await client.close();
        return found;
      } finally {
        for (const name of Object.keys(inherited)) delete Object.prototype[name];
      }
    },
    { url: server.url, account: "eve", token: await server.token("eve") },
  );
  const content = '{"__proto__":{"stained":true},"constructor":7}';
  const { config, ...rest } = found;
  assert.deepEqual(rest, {
    sent: "sent",
    type: "text",
    conversations: ["direct:__proto__", "direct:bob"],
    found: 1,
    notified: 0,
    content,
    fields: content,
    stained: true,
  });
  assert.deepEqual([config.enableMessageSync, config.syncInterval], [true, 15]);
  await page.close();
});

test("fault 52: a getter may call the client, close it, or answer otherwise each time", async () => {
  const other = await profile.client("cyn");
  await other.online();
  const seen = await other.run(async ({ client }) => {
    let asked = 0;
    const nested = [];
    const options = {
      get limit() {
        asked += 1;
        nested.push(client.send("direct:dan", "from within"), client.configure({ shareTyping: false }));
        return asked === 1 ? 5 : -1;
      },
    };
    await client.history("direct:dan", options);
    await Promise.all(nested);
    const content = {
      get text() {
        client.close();
        return "from a client at its end";
      },
    };
    const code = await client.send("direct:dan", content).then(
      () => "sent",
      ({ code }) => code,
    );
    return { asked, code, connection: client.status().connection };
  });
  assert.deepEqual(seen, { asked: 1, code: "closed", connection: "closed" });

  const again = await profile.client("cyn");
  const [message, more] = await again.untilSent("direct:dan", 1);
  assert.equal(message.content, "from within");
  assert.equal(more, undefined);
});

test("fault 52: content with half a surrogate pair arrives as it was", async () => {
  const [sent] = await client.run(async ({ client }) => [await client.send("direct:bob", ["\ud800 a \udc00", "\u{1f3b5}"])]);
  const other = await stage.profile(server);
  const device = await other.client("ann");
  await until("it has arrived", () => device.call("message", sent.id));
  const units = await device.run(async ({ client }, id) => {
    const { content } = await client.message(id);
    return content.map((text) => Array.from({ length: text.length }, (_, at) => text.charCodeAt(at)));
  }, sent.id);
  assert.deepEqual([units[0][0], units[0].at(-1)], [0xd800, 0xdc00]);
  assert.deepEqual(units[1], [0xd83c, 0xdfb5]);
});
