// What an application has once it has installed the package: the files, the types, and hooks that a server can render.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { install } from "./support/installed.mjs";

const HERE = fileURLToPath(new URL("./", import.meta.url));

const installed = {};
before(() => {
  for (const react of [18, 19]) installed[react] = install(react);
});
after(() => {
  for (const { remove } of Object.values(installed)) remove();
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
  assert.ok(files.includes("wasm/tutti_sync_bg.wasm") && files.includes("testing/wasm/tutti_testing_bg.wasm"));
  const strays = files.filter((file) => /node_modules|\.test\.|\.tsx$|tsconfig|\.gitignore/.test(file));
  assert.deepEqual(strays, []);
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
  const tsc = join(HERE, "node_modules/.bin/tsc");
  try {
    execFileSync(tsc, ["-p", "types", "--pretty", "false"], { cwd: folder, encoding: "utf8" });
  } catch (error) {
    assert.fail(error.stdout || error.message);
  }
});
