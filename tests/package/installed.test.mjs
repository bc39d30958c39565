// What an application has once it has installed the package: the files, the types, and hooks that a server can render.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { publint } from "publint";
import { install } from "./support/installed.mjs";

const HERE = fileURLToPath(new URL("./", import.meta.url));

const installed = {};
before(() => {
  for (const react of [18, 19]) installed[react] = install(react);
});
after(() => {
  for (const { remove } of Object.values(installed)) remove();
});

/** What is published: this and no more. */
const PACKED = [
  "LICENSE-APACHE",
  "LICENSE-MIT",
  "README.md",
  "alerts.js",
  "error.js",
  "index.d.ts",
  "index.js",
  "package.json",
  "react.d.ts",
  "react.js",
  "stores.d.ts",
  "stores.js",
  "stores/account.js",
  "stores/opening.js",
  "stores/people.js",
  "stores/store.js",
  "stores/timeline.js",
  "sw.d.ts",
  "sw.js",
  "testing.d.ts",
  "testing.js",
  "testing/globals.js",
  "testing/network.js",
  "testing/wasm/tutti_testing.d.ts",
  "testing/wasm/tutti_testing.js",
  "testing/wasm/tutti_testing_bg.wasm",
  "testing/wasm/tutti_testing_bg.wasm.d.ts",
  "wasm/snippets/tutti-sync/src/push.js",
  "wasm/snippets/tutti-sync/src/store/database.js",
  "wasm/tutti_sync.d.ts",
  "wasm/tutti_sync.js",
  "wasm/tutti_sync_bg.wasm",
  "wasm/tutti_sync_bg.wasm.d.ts",
  "worker-peer.js",
  "worker-thread.js",
  "worker.d.ts",
  "worker.js",
];

test("what is packed is what is meant", () => {
  // What wasm-bindgen puts beside its own is in a folder with a digest in its name.
  const files = installed[19].files.map((file) => file.replace(/(snippets\/tutti-sync)-\w+/, "$1"));
  assert.deepEqual(files.toSorted(), PACKED);
});

test("publint has nothing to say", async () => {
  const { messages } = await publint({ pkgDir: join(installed[19].folder, "node_modules/tutti-sync") });
  assert.deepEqual(messages, []);
});

test("TypeScript finds the types of each entry, however it resolves modules", () => {
  // No CommonJS is shipped, and the worker's own script is nothing to import.
  const esm = ["--profile", "esm-only", "--exclude-entrypoints", "worker-thread", "--format", "ascii"];
  attempt(join(HERE, "node_modules/.bin/attw"), [installed[19].tarball, ...esm]);
});

test("all that the package exports, and all that this imports, is packed", () => {
  const { folder, files } = installed[19];
  const root = join(folder, "node_modules/tutti-sync");
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const named = Object.values(exports).flatMap((each) => (typeof each === "string" ? [] : Object.values(each)));
  assert.ok(named.includes("./react.js") && named.includes("./stores.d.ts"));
  const wanted = named.map(normalize);
  const known = new Set();
  for (const file of wanted) {
    if (known.has(file)) continue;
    known.add(file);
    assert.ok(files.includes(file), `${file} is packed`);
    const source = readFileSync(join(root, file), "utf8");
    for (const [, path] of source.matchAll(/\bfrom "(\.[^"]+)"/g)) wanted.push(join(dirname(file), path));
  }
});

test("nothing in it names a folder of the machine that built it", () => {
  const { folder, files } = installed[19];
  const repository = fileURLToPath(new URL("../../", import.meta.url));
  const folders = [repository, homedir(), process.env.CARGO_TARGET_DIR ?? repository];
  for (const file of files) {
    const bytes = readFileSync(join(folder, "node_modules/tutti-sync", file));
    for (const named of folders) assert.ok(!bytes.includes(named), `${file} names ${named}`);
  }
});

for (const react of [18, 19]) {
  test(`React ${react} renders the hooks on a server, which has no browser's globals`, () => {
    const { folder } = installed[react];
    cpSync(join(HERE, "support/server.mjs"), join(folder, "server.mjs"));
    const node = ["--preserve-symlinks", "server.mjs"];
    const output = execFileSync(process.execPath, node, { cwd: folder, encoding: "utf8" });
    const { version, html } = JSON.parse(output);
    assert.equal(version.split(".")[0], String(react));
    const said = JSON.parse(html.replaceAll("&quot;", '"').replace(/^<p>|<\/p>$/g, ""));
    const timeline = { messages: [], holes: [], hasOlder: false, hasNewer: false, loading: "latest", error: null };
    const nothing = {
      client: null,
      opening: { client: null, error: null },
      status: null,
      conversations: { conversations: [], loading: true, error: null },
      conversation: { conversation: null, loading: true, error: null },
      timeline,
      typing: [],
      presence: { presence: null, error: null },
      session: { session: null, origin: null, loading: true, error: null },
      notifications: { notifications: [], loading: true, error: null },
      devices: { devices: null, loading: true, error: null },
    };
    assert.deepEqual(said, nothing);
  });
}

test("the types say what is there, and refuse what is not", () => {
  const { folder } = installed[19];
  cpSync(join(HERE, "types"), join(folder, "types"), { recursive: true });
  attempt(join(HERE, "node_modules/.bin/tsc"), ["-p", "types", "--pretty", "false"], folder);
});

/** Runs a program; what it says is why it fails. */
function attempt(program, args, cwd = HERE) {
  try {
    execFileSync(program, args, { cwd, encoding: "utf8" });
  } catch (error) {
    assert.fail(error.stdout || error.message);
  }
}
