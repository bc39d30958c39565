// Whatever a page gets wrong, it gets a SyncError that says so, and nothing else breaks.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inPage } from "./support/client.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

const stage = new Stage();
after(() => stage.clear());
let server, profile, good, options;

before(async () => {
  server = await stage.server();
  profile = await stage.profile(server);
  good = await profile.client("ann");
  await good.online();
  options = { url: server.url, account: "eve", token: await server.token("eve") };
});

/** The page and the other client on it have come through. */
async function nothingElseBroke() {
  const { length } = await good.messages("direct:bob");
  await good.send("direct:bob", `still here after ${length}`);
  await good.untilSent("direct:bob", length + 1);
  assert.deepEqual(profile.pageErrors, []);
}

async function refused(call, code, { retryable = false } = {}, what = call.toString()) {
  const error = await call().then(
    (value) => assert.fail(`${what} came to ${JSON.stringify(value)}`),
    (error) => error,
  );
  assert.equal(error.code, code, `${what}: ${error.message}`);
  assert.equal(error.isSyncError, true, what);
  assert.equal(error.retryable, retryable, what);
  assert.ok(error.message.length > code.length + 5, "it says what is wrong");
}

test("without init", async () => {
  const page = await profile.tab();
  const open = () => inPage(page, (options) => tutti.SyncClient.open(options), options);
  await refused(open, "invalid");
  await inPage(page, () => tutti.init().then(() => true));
  // Afterwards it opens.
  const account = await inPage(
    page,
    (options) => tutti.SyncClient.open(options).then((client) => client.account),
    options,
  );
  assert.equal(account, "eve");
  await page.close();
  await nothingElseBroke();
});

test("options that make no sense", async () => {
  const { url, account, token } = options;
  const wrong = {
    "no options": "undefined",
    null: "null",
    "a string": '"ws://localhost/sync"',
    "no url": { account, token },
    "a malformed url": { ...options, url: "not a url" },
    "an empty url": { ...options, url: "" },
    http: { ...options, url: "http://localhost/sync" },
    "a number for a url": { ...options, url: 5 },
    "ws:// to another machine": { ...options, url: "ws://example.com/sync" },
    "ws:// to a name like localhost": { ...options, url: "ws://localhost.example.com/sync" },
    "a password in the url": { ...options, url: "wss://eve:secret@example.com/sync" },
    "a fragment in the url": { ...options, url: "wss://example.com/sync#token" },
    "no account": { url, token },
    "an empty account": { ...options, account: "" },
    "a number for an account": { ...options, account: 7 },
    "a control character in the account": { ...options, account: "e\u0007ve" },
    "an account of 129 bytes": { ...options, account: "e".repeat(129) },
    "no token": { url, account },
    "an empty token": { ...options, token: "" },
    "a number for a token": { ...options, token: 12345 },
    "a token of 8193 bytes": { ...options, token: "t".repeat(8_193) },
    "a device that is a string": { ...options, device: "laptop" },
    "a device name of 129 bytes": { ...options, device: { name: "d".repeat(129) } },
    "a platform that does not exist": { ...options, device: { platform: "toaster" } },
    "a throwing getter": "{ get url() { throw new Error('no') } }",
    "a throwing proxy":
      "new Proxy({}, { get() { throw new Error('no') }, getOwnPropertyDescriptor() { throw new Error('no') } })",
    "what only looks like a URL": `{ ...${JSON.stringify(options)}, url: Object.create(URL.prototype) }`,
    "inherited options": `Object.create(${JSON.stringify(options)})`,
  };
  for (const [what, given] of Object.entries(wrong)) {
    const source = typeof given === "string" ? given : JSON.stringify(given);
    await refused(() => inPage(good.page, `() => tutti.SyncClient.open(${source})`), "invalid", {}, what);
  }
  await nothingElseBroke();
});

test("a wrong token", async () => {
  const tokens = { nonsense: "nonsense", "another account's": await server.token("mallory") };
  for (const [what, token] of Object.entries(tokens)) {
    // It opens, since it works offline; then it says why it is not online, and keeps what is sent.
    const client = await profile.clientIn(good.page, "eve", { token });
    await client.untilStatus("refused", ({ reason }) => reason === "auth");
    await refused(() => client.call("syncNow"), "auth", { retryable: true }, what);
    const [{ code, retryable, isSyncError }] = await until("the error event", () =>
      client.run(
        ({ log }) =>
          log.error.length > 0 &&
          log.error.map(({ event }) => ({
            code: event.code,
            retryable: event.retryable,
            isSyncError: event instanceof tutti.SyncError,
          })),
      ),
    );
    assert.deepEqual({ code, retryable, isSyncError }, { code: "auth", retryable: true, isSyncError: true });
    const { state } = await client.send("direct:bob", `kept in spite of a token that is ${what}`);
    assert.equal(state, "pending");
    assert.equal((await client.status()).connection === "online", false);
    await client.close();
  }
  assert.deepEqual(await server.connections("eve"), []);

  // With a good token what was kept is sent.
  const client = await profile.clientIn(good.page, "eve");
  await client.untilSent("direct:bob", 2);
  await client.close();
  await nothingElseBroke();
});

test("a token function that fails, and then does not", async () => {
  const page = await profile.tab();
  const open = async ({ url, account, token }) => {
    await tutti.init();
    const answers = [
      () => Promise.reject(new Error("the back end is down")),
      () => 42,
      () => {
        throw new Error("no");
      },
    ];
    const client = await tutti.SyncClient.open({ url, account, token: () => (answers.shift() ?? (() => token))() });
    const codes = [];
    client.on("error", ({ code }) => codes.push(code));
    while (client.status().connection !== "online") await client.syncNow().catch(({ code }) => codes.push(code));
    await client.close();
    return codes;
  };
  const codes = await inPage(page, open, { ...options, account: "fay", token: await server.token("fay") });
  assert.deepEqual([...new Set(codes)], ["auth"]);
  await page.close();
  await nothingElseBroke();
});

test("conversations of nonsense", async () => {
  const nonsense = [
    "",
    "bob",
    "direct:",
    "group:",
    "Direct:bob",
    "direct",
    "direct:b\nob",
    `direct:${"b".repeat(129)}`,
    null,
    42,
    {},
  ];
  for (const conversation of nonsense) {
    const what = JSON.stringify(conversation);
    for (const [method, ...more] of [["send", "hello"], ["history"], ["conversation"], ["markRead"], ["markRead", 1]]) {
      await refused(() => good.call(method, conversation, ...more), "invalid", {}, `${method} of ${what}`);
    }
  }
  assert.equal(await good.call("conversation", "direct:nobody"), null);
  assert.deepEqual(await good.history("direct:nobody"), { messages: [], holes: [], hasMore: false });
  await nothingElseBroke();
});

test("content that cannot be sent", async () => {
  const wrong = {
    undefined: "undefined",
    "a function": "() => 1",
    "a symbol": "Symbol('no')",
    "a cycle": "(() => { const ring = {}; ring.ring = ring; return ring })()",
    "a BigInt": "{ number: 10n }",
    "a throwing toJSON": "{ toJSON() { throw new Error('no') } }",
    "a throwing getter": "{ get text() { throw new Error('no') } }",
    "an error that throws when it is looked at":
      "{ toJSON() { throw new Proxy(new Error('no'), { get() { throw new Error('never') } }) } }",
  };
  for (const [what, source] of Object.entries(wrong)) {
    await refused(() => good.run(`({ client }) => client.send("direct:bob", ${source})`), "invalid", {}, what);
  }
  await refused(() => good.send("direct:bob", "x".repeat(33 * 1024)), "too-large");
  // The limit counts the JSON text: quotes too.
  await refused(() => good.send("direct:bob", "x".repeat(32 * 1024 - 1)), "too-large");
  const { id } = await good.send("direct:bob", "x".repeat(32 * 1024 - 2));
  await until("the largest message is sent", async () => (await good.call("message", id)).state === "sent");
  await nothingElseBroke();
});

test("arguments that make no sense", async () => {
  for (const limit of [-1, 0, 1.5, "5", null, 1e16]) {
    await refused(() => good.history("direct:bob", { limit }), "invalid", {}, `a limit of ${limit}`);
    await refused(() => good.call("conversations", { limit }), "invalid", {}, `a limit of ${limit}`);
  }
  await refused(() => good.run(({ client }) => client.history("direct:bob", { limit: NaN })), "invalid");
  for (const before of [-1, 1.5, "1"]) await refused(() => good.history("direct:bob", { before }), "invalid");
  for (const position of [-1, 0.5, "1", null])
    await refused(() => good.call("markRead", "direct:bob", position), "invalid");
  await refused(() => good.call("markRead", "direct:nobody"), "not-found");
  for (const id of ["", "nonsense", 7, null]) await refused(() => good.call("message", id), "invalid");
  for (const id of ["", "nonsense", 7]) await refused(() => good.send("direct:bob", "hello", { id }), "invalid");
  for (const type of ["", 7, "t".repeat(65), "a\u0000b"])
    await refused(() => good.send("direct:bob", "hello", { type }), "invalid");
  for (const offline of ["yes", 1, null]) await refused(() => good.call("setOffline", offline), "invalid");
  await refused(() => good.run(({ client }) => client.setOffline()), "invalid");
  await refused(() => good.run(({ client }) => client.on("nonsense", () => {})), "invalid");
  await refused(() => good.run(({ client }) => client.on("messages", "no function")), "invalid");
  await nothingElseBroke();
});
