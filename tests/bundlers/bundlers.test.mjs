// The package as npm packs it, installed, built for production and served, in every bundler and without one: two people
// talk through the real server, and what comes while no page is open is pushed.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import semver from "semver";
import { createServer } from "vite";
import { PushService, deliverWhole, subscribeTo } from "../e2e/support/push-service.mjs";
import { KEY } from "../e2e/support/server.mjs";
import { Stage } from "../e2e/support/stage.mjs";
import { until } from "../e2e/support/until.mjs";
import { freePort } from "../e2e/support/webdriver.mjs";
import { Project, pack, removeProjects } from "./support/project.mjs";

const SITES = {
  "no bundler": { example: "plain", output: "." },
  Vite: { example: "vite-react", script: "build", output: "dist" },
  webpack: { example: "bundlers", script: "webpack", output: "dist/webpack" },
  // It writes an import map into the page, which the policy of the server's own pages does not allow.
  Parcel: { example: "bundlers", script: "parcel", output: "dist/parcel", args: ["--csp", ""] },
  Rollup: { example: "bundlers", script: "rollup", output: "dist/rollup" },
  esbuild: { example: "bundlers", script: "esbuild", output: "dist/esbuild" },
};

const { resolve } = createRequire(import.meta.url);
const stage = new Stage();
let tarball, service;

before(async () => {
  tarball = await pack();
  service = await PushService.start();
});
after(async () => {
  await stage.clear();
  await service.end();
  await removeProjects();
});

for (const [bundler, { example, script, output, args }] of Object.entries(SITES)) {
  test(`${bundler}: two people talk, and one is told while no page is open`, async (t) => {
    const project = await create(bundler, example);
    if (script) await build(t, project, script);
    const server = await start({ www: join(project.folder, output), args });
    await talk(server, server.origin, (me, to) => `/?me=${me}&to=${to}`);
  });
}

const IMPORT = ["src/chat.js", '"tutti-sync"', '"tutti-sync/worker"'];
const IMPORT_IN_REACT = [
  ["src/App.jsx", "import { SyncProvider", 'import * as inWorker from "tutti-sync/worker";\nimport { SyncProvider'],
  ["src/App.jsx", "fetchToken(me) });", "fetchToken(me) }, inWorker);"],
];
const NEXT_IN_WORKER = [
  ["app/[me]/[to]/chat.jsx", "import { SyncProvider", 'import * as inWorker from "tutti-sync/worker";\nimport { SyncProvider'],
  ["app/[me]/[to]/chat.jsx", "answer.text()),\n  });", "answer.text()),\n  }, inWorker);"],
];
/** The worker's script is an entry where a bundler does not find it. */
const ENTRY = ['sw: "src/sw.js"', 'sw: "src/sw.js", "worker-thread": "tutti-sync/worker-thread"'];
/** What has the client run in a worker: in a file, one text in the place of another. */
const IN_WORKER = {
  "no bundler": [["chat.js", "tutti-sync/index.js", "tutti-sync/worker.js"]],
  Vite: IMPORT_IN_REACT,
  webpack: [IMPORT],
  Parcel: [IMPORT],
  Rollup: [IMPORT, ["rollup.config.js", ...ENTRY]],
  esbuild: [IMPORT, ["esbuild.config.js", ...ENTRY]],
};
for (const [bundler, changes] of Object.entries(IN_WORKER)) {
  test(`${bundler}: two people talk, with the client in a worker`, async (t) => {
    const { example, script, output, args } = SITES[bundler];
    const project = await create(`${bundler} with a worker`, example);
    for (const change of changes) await project.replace(...change);
    if (script) await build(t, project, script);
    const server = await start({ www: join(project.folder, output), args });
    const people = await meet(server, server.origin, (me, to) => `/?me=${me}&to=${to}`);
    await end(people);
  });
}

for (const [where, changes] of Object.entries({ "the page": [], "a worker": IMPORT_IN_REACT })) {
  test(`Vite, while the page is developed: two people talk, with the client in ${where}`, async () => {
    const project = await create(`Vite while developing in ${where}`, "vite-react");
    for (const change of changes) await project.replace(...change);
    const server = await start({ www: project.folder });
    const proxy = { "/api": { target: server.origin }, "/sync": { target: server.origin, ws: true } };
    const listen = { host: "127.0.0.1", port: 0, proxy };
    const vite = await createServer({ root: project.folder, logLevel: "error", server: listen });
    try {
      await vite.listen();
      const origin = `http://127.0.0.1:${vite.httpServer.address().port}`;
      await end(await meet(server, origin, (me, to) => `/?me=${me}&to=${to}`));
    } finally {
      await vite.close();
    }
  });
}

test("no bundler, Firefox: two people talk", async () => {
  const project = await create("Firefox", "plain");
  // Its driver runs what it is told to by the page's own leave.
  const server = await start({ www: project.folder, args: ["--csp", ""] });
  const [cora, dave] = await Promise.all([open(server, "/?me=cora&to=dave", "firefox"), open(server, "/?me=dave&to=cora")]);
  await exchange(cora, dave);
  await end([cora, dave]);
});

test("Next.js: two people talk, with the client in a worker", async (t) => {
  await withNext(t, NEXT_IN_WORKER, async (server, origin) => {
    await end(await meet(server, origin, (me, to) => `/${me}/${to}`));
  });
});

test("Next.js: two people talk, one is told while no page is open, and a server renders what it can", async (t) => {
  await withNext(t, [], async (server, origin) => {
    for (const [path, when] of [["/anna/ben", "when it was built"], ["/cora/dave", "when it was asked for"]]) {
      const html = await (await fetch(origin + path)).text();
      assert.match(html, /<p role="status">opening<\/p>/, `rendered ${when}`);
    }
    await talk(server, origin, (me, to) => `/${me}/${to}`);
  });
});

/** Builds and starts the application, for as long as `use` takes. */
async function withNext(t, changes, use) {
  const project = await create(changes.length > 0 ? "Next with a worker" : "Next", "next");
  for (const change of changes) await project.replace(...change);
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const server = await start({ www: join(project.folder, "public"), args: ["--allow-origin", origin] });
  const env = { NEXT_PUBLIC_TUTTI_SERVER: server.origin, TUTTI_SERVER_KEY: KEY };
  await build(t, project, "build", env);
  const next = project.start(process.execPath, [resolve("next/dist/bin/next"), "start", "--port", String(port)], env);
  try {
    const answers = () => fetch(origin).then(({ ok }) => ok, () => false);
    await until("Next.js serves", answers);
    await use(server, origin);
  } finally {
    next.kill("SIGKILL");
  }
}

/** A project with an example in it, for which what is installed is what the example asks for. */
async function create(name, example) {
  const project = await Project.create(name, example, tarball);
  for (const [needed, range] of await project.needs()) {
    const version = await project.installed(needed);
    assert.ok(semver.satisfies(version, range), `${example} says that it needs ${needed} ${range}; here is ${version}`);
  }
  return project;
}

async function build(t, project, script, env) {
  const begun = performance.now();
  await project.run(script, env);
  t.diagnostic(`built in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
}

async function start({ www, args = [] }) {
  const pushing = ["--push-service", service.origin, "--presence-grace", "0"];
  const server = await stage.server({ www, args: [...pushing, ...args], level: "info" });
  await server.call("PUT", "/api/settings", { message_notifications: true });
  return server;
}

/** Two people write to each other; then one of them leaves and is written to. */
async function talk(server, origin, address) {
  const people = await meet(server, origin, address);
  await pushed(people[0], origin, server);
  await end(people);
}

/** Two people, each in a browser of their own, write to each other; they are given back. */
async function meet(server, origin, address) {
  const [cora, dave] = await Promise.all([
    open(server, origin + address("cora", "dave")),
    open(server, origin + address("dave", "cora")),
  ]);
  await exchange(cora, dave);
  const [worker = cora.page] = cora.page.workers();
  assert.deepEqual(await worker.evaluate(loadedModules), [{ origin, status: 200 }]);
  return [cora, dave];
}

async function end(people) {
  for (const { profile } of people) {
    assert.deepEqual(profile.pageErrors, []);
    await profile.close();
  }
}

/** A page of its own browser, once it is online. */
async function open(server, address, engine = "chromium") {
  const profile = await stage.profile(server, { engine });
  const page = await profile.tab(address);
  const status = `document.querySelector("[role=status]")?.textContent`;
  let last;
  await until("it is online", async () => (last = await page.evaluate(status)) === "leader, online").catch((error) => {
    throw new Error(`${error.message}: ${last}\n${profile.pageErrors.join("\n")}`);
  });
  return { profile, page };
}

async function exchange(cora, dave) {
  await say(cora, "Hello!");
  await reads(dave, ["cora: Hello!"]);
  await say(dave, "Hello, Cora!");
  for (const one of [cora, dave]) await reads(one, ["cora: Hello!", "dave: Hello, Cora!"]);
}

function say({ page }, text) {
  return page.evaluate(`(() => {
    const form = document.querySelector("form");
    form.elements.text.value = ${JSON.stringify(text)};
    form.requestSubmit();
  })()`);
}

/** Waits until these lines are there, all of them sent. */
async function reads({ page }, lines) {
  const wanted = JSON.stringify(lines.map((line) => ["sent", line]));
  const all = `JSON.stringify(Array.from(document.querySelectorAll("li"), (line) => [line.className, line.textContent]))`;
  let last;
  await until("it is read", async () => (last = await page.evaluate(all)) === wanted).catch((error) => {
    throw new Error(`${error.message}: ${wanted}; there is ${last}`);
  });
}

/** What WebAssembly was fetched, asked in a page or a worker. */
function loadedModules() {
  const fetched = performance.getEntriesByType("resource").filter(({ name }) => name.endsWith(".wasm"));
  return fetched.map(({ name, responseStatus }) => ({
    origin: new URL(name).origin,
    status: responseStatus,
  }));
}

/** Somebody turns notifications on, leaves, and is told of a message by the service worker that was built with the page. */
async function pushed({ page }, origin, server) {
  await page.context().grantPermissions(["notifications"], { origin });
  await subscribeTo(page, service.subscribe());
  await page.click("#notify");
  const devices = () => server.call("GET", "/api/devices?user_id=cora");
  await until("it is to be pushed to", async () => (await devices()).devices.some(({ push }) => push));
  const active = "navigator.serviceWorker.getRegistrations().then(([each]) => each.active?.state === 'activated')";
  await until("the service worker is there", () => page.evaluate(active));
  const empty = await page.context().newPage();
  const before = service.pushes.length;
  await page.close();
  await until("nobody is there", async () => (await server.connections("cora")).length === 0);
  await server.message("dave", "direct:cora", { text: "Are you there?" });
  const { text } = await service.push(before);
  const worker = await deliverWhole(empty, origin, text);
  const shown = await worker.evaluate(async () => (await registration.getNotifications()).map(({ title }) => title));
  assert.deepEqual(shown, ["dave"]);
  assert.deepEqual(await worker.evaluate(loadedModules), [{ origin, status: 200 }]);
}
