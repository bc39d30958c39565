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

const IMPORT = ['"tutti-sync"', '"tutti-sync/worker"'];
/** The worker's side is an entry of its own where bundlers do not find it. */
const ENTRIES = ['sw: "src/sw.js"', 'sw: "src/sw.js", "worker-thread": "tutti-sync/worker-thread"'];
const WITH_WORKER = {
  "no bundler": { "chat.js": ["tutti-sync/index.js", "tutti-sync/worker.js"] },
  webpack: { "src/chat.js": IMPORT },
  Parcel: { "src/chat.js": IMPORT },
  Rollup: { "src/chat.js": IMPORT, "rollup.config.js": ENTRIES },
  esbuild: { "src/chat.js": IMPORT, "esbuild.config.js": ENTRIES },
};
for (const [bundler, changes] of Object.entries(WITH_WORKER)) {
  test(`${bundler}: two people talk, with the client in a worker`, async (t) => {
    const { example, script, output, args } = SITES[bundler];
    const project = await create(`${bundler} with a worker`, example);
    for (const [file, change] of Object.entries(changes)) await project.replace(file, ...change);
    if (script) await build(t, project, script);
    const server = await start({ www: join(project.folder, output), args });
    const people = await meet(server, server.origin, (me, to) => `/?me=${me}&to=${to}`);
    await end(people);
  });
}

test("Vite, while the page is developed: two people talk", async () => {
  const project = await create("Vite-development", "vite-react");
  const server = await start({ www: project.folder });
  const proxy = { "/api": { target: server.origin }, "/sync": { target: server.origin, ws: true } };
  const vite = await createServer({ root: project.folder, logLevel: "warn", server: { host: "127.0.0.1", port: 0, proxy } });
  try {
    await vite.listen();
    const origin = `http://127.0.0.1:${vite.httpServer.address().port}`;
    await end(await meet(server, origin, (me, to) => `/?me=${me}&to=${to}`));
  } finally {
    await vite.close();
  }
});

test("no bundler, Firefox: two people talk", async () => {
  const project = await create("Firefox", "plain");
  // Its driver runs what it is told to by the page's own leave.
  const server = await start({ www: project.folder, args: ["--csp", ""] });
  const [cora, dave] = await Promise.all([open(server, "/?me=cora&to=dave", "firefox"), open(server, "/?me=dave&to=cora")]);
  await exchange(cora, dave);
  await end([cora, dave]);
});

test("Next.js: two people talk, one is told while no page is open, and a server renders what it can", async (t) => {
  const project = await create("Next", "next");
  const port = await freePort();
  const origin = `http://localhost:${port}`;
  const server = await start({ www: join(project.folder, "public"), args: ["--allow-origin", origin] });
  const env = { NEXT_PUBLIC_TUTTI_SERVER: server.origin, TUTTI_SERVER_KEY: KEY };
  await build(t, project, "build", env);
  const next = project.start(process.execPath, [resolve("next/dist/bin/next"), "start", "--port", String(port)], env);
  try {
    const asked = () => fetch(`${origin}/anna/ben`).then((answer) => answer.ok && answer.text(), () => false);
    const html = await until("Next.js serves", asked);
    assert.match(html, /<p role="status">opening<\/p>/, "rendered when it was built");
    const later = await (await fetch(`${origin}/cora/dave`)).text();
    assert.match(later, /<p role="status">opening<\/p>/, "rendered when it was asked for");
    await talk(server, origin, (me, to) => `/${me}/${to}`);
  } finally {
    next.kill("SIGKILL");
  }
});

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
