// Fault 54: tokens and the server's keys are in no log, address, file or metrics. What the tests of any file leave
// behind is searched for them in the end; here is shown that they are found, and that clients leave none.
import assert from "node:assert/strict";
import { once } from "node:events";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import { Canary } from "./support/canary.mjs";
import { Client, inPage } from "./support/client.mjs";
import { contents } from "./support/messages.mjs";
import { KEY } from "./support/server.mjs";
import { Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

/** How a secret gets out, and where it is found; `secret`, where it is no token; `looks`: what is to be seen of it. */
const LEAKS = {
  "in a query": {
    leak: ({ page }, token) => inPage(page, (token) => fetch(`/healthz?token=${token}`).then(({ ok }) => ok), token),
    found: ["the address of a request"],
  },
  "in a path": {
    leak: ({ page }, token) => inPage(page, (token) => fetch(`/api/${token}`).then(({ ok }) => ok), token),
    found: ["the address of a request"],
  },
  "in the address of a WebSocket": {
    leak: ({ page, server }, token) => {
      const open = (url) => new Promise((opened) => (new WebSocket(url, "tutti.v1").onopen = () => opened(true)));
      return inPage(page, open, `${server.url}?token=${token}`);
    },
    found: ["the address of a WebSocket"],
  },
  "in the address of the page": {
    leak: async ({ page }, token) => {
      const moved = page.waitForEvent("framenavigated");
      await inPage(page, (token) => void (location.hash = token), token);
      await moved;
    },
    found: ["the address of a page"],
  },
  "on the console": {
    leak: ({ page }, token) => inPage(page, (token) => console.debug("signed in with", token), token),
    found: ["the console"],
  },
  "on the console, deep in an object": {
    leak: ({ page }, token) => inPage(page, (token) => console.log({ options: [{ more: { token } }] }), token),
    found: ["the console"],
  },
  "in an error that nobody catches": {
    leak: async ({ page }, token) => {
      const thrown = page.context().waitForEvent("weberror");
      const fail = (token) =>
        void setTimeout(() => {
          throw new Error(`refused: ${token}`);
        });
      await inPage(page, fail, token);
      await thrown;
    },
    found: ["the console"],
  },
  "in a file, in the midst of what is no text": {
    leak: ({ server }, token) =>
      writeFile(join(server.data, "binary"), Buffer.concat([Buffer.alloc(5_000, 0xff), Buffer.from(token)])),
    found: ["the file binary"],
  },
  "in a file, in hexadecimal numbers": {
    leak: ({ server }, token) => writeFile(join(server.data, "hex"), Buffer.from(token).toString("hex")),
    looks: (token) => Buffer.from(token).toString("hex").slice(0, 100),
    found: ["the file hex"],
  },
  "in a file, as a list of bytes": {
    leak: ({ server }, token) => writeFile(join(server.data, "list"), `Text([${Buffer.from(token).join(", ")}])`),
    looks: (token) => Buffer.from(token).join(", ").slice(0, 100),
    found: ["the file list"],
  },
  "in a file, cut off": {
    leak: ({ server }, token) => writeFile(join(server.data, "cut"), `no good: ${token.slice(0, 40)}...`),
    looks: (token) => `no good: ${token.slice(0, 40)}...`,
    found: ["the file cut"],
  },
  "the key of the back end, in a query": {
    secret: () => KEY,
    leak: ({ page }, key) =>
      inPage(page, (key) => fetch(`/healthz?${new URLSearchParams({ key })}`).then(({ ok }) => ok), key),
    looks: (key) => String(new URLSearchParams({ key })),
    found: ["the address of a request"],
  },
  "the secret that signs tokens, in the log": {
    secret: async ({ server }) => (await readFile(join(server.data, "token.secret"), "utf8")).trim(),
    leak: ({ server }, secret) => appendFile(server.log, `Config { token_secret: Some("${secret}") }\n`),
    found: ["the file server.log"],
  },
};

test("fault 54: tokens and keys are found wherever they get out", async (t) => {
  const { stage, server, profiles } = await begin(t);
  const scene = { server, page: await profiles[0].tab() };
  const secrets = {};
  for (const [what, { secret, leak }] of Object.entries(LEAKS)) {
    secrets[what] = await (secret?.(scene) ?? server.token(what));
    await leak(scene, secrets[what]);
  }
  const failure = await stage.clear().catch((error) => error);
  const found = failure?.found ?? assert.fail(`nothing was found: ${failure}`);
  for (const [what, { looks, found: expected }] of Object.entries(LEAKS)) {
    const text = looks?.(secrets[what]) ?? secrets[what];
    const places = found.filter((it) => it.text.includes(text)).map(({ where }) => where);
    assert.deepEqual(places.toSorted(), expected, what);
    for (const where of expected) assert.ok(failure.message.includes(where), where);
  }
  assert.equal(found.length, Object.values(LEAKS).flatMap(({ found }) => found).length, "and nothing else is");
});

test("fault 54: tokens in the metrics are found, and metrics that cannot be read are no good metrics", async (t) => {
  const { server } = await begin(t, 0);
  const answer = { status: 200, text: "" };
  const faked = createServer((_, response) => response.writeHead(answer.status).end(answer.text));
  await once(faked.listen(0, "127.0.0.1"), "listening");
  t.after(() => faked.close());
  const search = async () => {
    const canary = new Canary();
    await canary.searchData({ data: server.data, runs: true, origin: `http://127.0.0.1:${faked.address().port}` });
    await canary.judge();
  };
  answer.text = "connections 7\n";
  await search();
  answer.text = `connections{token="${await server.token("ann")}"} 1\n`;
  await assert.rejects(search, /the metrics: "connections/);
  answer.status = 500;
  await assert.rejects(search, /500/);
});

test("fault 54: no token gets out while clients come, are refused, come back and poll", async (t) => {
  const { stage, server, profiles } = await begin(t, 2);
  const config = { logLevel: "debug", syncInterval: 0.05 };
  const device = { platform: "mobile" };
  const [page, other] = [await profiles[0].tab(), await profiles[1].tab()];

  // It asks for a new token each time it connects.
  await inPage(page, openWithTokens, { url: server.url, account: "ann", device, config });
  const status = () => inPage(page, () => client.status());
  for (let time = 1; time <= 3; time += 1) {
    await until("it is online", async () => (await status()).connection === "online");
    await until("it has asked again", async () => (await inPage(page, () => asked)) >= time);
    await inPage(page, () => client.setOffline(true));
    await until("it is offline", async () => (await status()).connection === "offline");
    await inPage(page, () => client.setOffline(false));
  }
  await until("it is back", async () => (await status()).connection === "online");

  // With these nobody comes in.
  const expired = await server.call("POST", "/api/tokens", { account: "ann", ttl_seconds: 1 });
  await until("it has expired", () => Date.now() > expired.expires_at);
  for (const token of ["nonsense", await server.token("mallory"), expired.token]) {
    const refused = await Client.open(other, { url: server.url, account: "ann", token, device, config });
    await refused.untilStatus("refused", ({ reason }) => reason === "auth");
    await assert.rejects(refused.call("syncNow"), { code: "auth" });
    await refused.close();
  }

  // Another one takes its place, and it polls.
  const second = await profiles[1].clientIn(other, "ann", { device, config });
  await second.online();
  await until("it polls", async () => (await status()).connection === "polling");
  await second.send("direct:bob", "from the second");
  const heard = async () => contents((await inPage(page, () => client.history("direct:bob"))).messages);
  await until("it has heard of it", async () => (await heard()).length === 1);
  const said = await until("by polling", async () => {
    const log = await readFile(server.log, "utf8");
    return /method=POST route="\/sync" status=200/.test(log) && log;
  });

  // Nothing was found, though there was enough to look at.
  const { looked } = stage.canary;
  await stage.clear();
  t.diagnostic(`looked at ${Object.entries(looked).map(([what, count]) => `${count} ${what}`).join(", ")}`);
  assert.ok(said.includes("connected") && looked.files >= 3 && looked.bytes > said.length);
  assert.ok(looked.addresses > 10 && looked.lines > 10);
  for (const { pageErrors } of profiles) assert.deepEqual(pageErrors, []);
});

/** A stage of its own, since what is found there is meant to be. */
async function begin(t, count = 1) {
  const stage = new Stage();
  t.after(() => stage.clear());
  const server = await stage.server();
  return { stage, server, profiles: await stage.profiles(server, count) };
}

/** In the page: a client with a function that fetches tokens. */
async function openWithTokens(options) {
  await tutti.init();
  globalThis.asked = 0;
  const token = async () => {
    globalThis.asked += 1;
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ account: options.account });
    return (await (await fetch("/api/tokens", { method: "POST", headers, body })).json()).token;
  };
  globalThis.client = await tutti.SyncClient.open({ ...options, token });
}
