// The guide says what is there: its code compiles, its reference is whole, and its links lead somewhere.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { install } from "./support/installed.mjs";

const HERE = fileURLToPath(new URL("./", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../pkg/", import.meta.url));
const GUIDE = fileURLToPath(new URL("../../docs/guide/", import.meta.url));

const pages = Object.fromEntries(
  readdirSync(GUIDE).map((name) => [name, readFileSync(join(GUIDE, name), "utf8")]),
);
const types = (name) => readFileSync(join(PACKAGE, name), "utf8");

let installed;
before(() => {
  installed = install(19);
});
after(() => installed.remove());

test("all code in it compiles, and what is wrong does not", () => {
  const folder = join(installed.folder, "docs");
  cpSync(join(HERE, "docs"), folder, { recursive: true });
  cpSync(join(HERE, "types"), join(installed.folder, "types"), { recursive: true });
  const compile = () => {
    try {
      execFileSync(join(HERE, "node_modules/.bin/tsc"), ["-p", folder, "--pretty", "false"], { encoding: "utf8" });
      return "";
    } catch (error) {
      return error.stdout || error.message;
    }
  };
  let blocks = 0;
  for (const [page, text] of Object.entries(pages)) {
    for (const { index, 1: kind, 2: code } of text.matchAll(/^```(tsx?)\n(.*?)^```$/gms)) {
      const line = text.slice(0, index).split("\n").length;
      // Each is a module of its own.
      writeFileSync(join(folder, `${page}-line-${line}.${kind}`), `${code}\nexport {};\n`);
      blocks += 1;
    }
  }
  assert.ok(blocks >= 12, `${blocks} blocks`);
  assert.equal(compile(), "");
  writeFileSync(join(folder, "wrong.ts"), "await client.transmit();\nexport {};\n");
  assert.match(compile(), /wrong\.ts.*transmit/);
});

test("the reference names all that is there", () => {
  const reference = pages["reference.md"];
  const index = types("index.d.ts");
  const between = (begin, end) => index.slice(index.indexOf(begin), index.indexOf(end, index.indexOf(begin)));
  const methods = [...between("export class SyncClient", "\n}").matchAll(/^ {2}(?:static )?(\w+)(?:<.*?>)?\(/gm)];
  const events = [...between("export interface Events", "\n}").matchAll(/^ {2}"?([\w-]+)"?: /gm)];
  const exported = ["stores", "react", "sw", "testing"].flatMap((entry) => [
    ...types(`${entry}.d.ts`).matchAll(/^export (?:function|const) (\w+)/gm),
  ]);
  const names = [methods, events, exported].map((found) => found.map(([, name]) => name));
  for (const found of names) assert.ok(found.length > 10, found.join());
  const missing = names.flat().filter((name) => !new RegExp(`\\b${name}\\b`).test(reference));
  assert.deepEqual(missing, []);
});

test("every code has its line under troubleshooting, and no other has", () => {
  const stable = types("index.d.ts").match(/Stable: ([^*]*(?:\*(?!\/)[^*]*)*)\*\//)[1];
  const codes = [...stable.matchAll(/"([\w-]+)"/g)].map(([, code]) => code);
  assert.ok(codes.length > 15);
  const lines = [...pages["troubleshooting.md"].matchAll(/^\| `([\w-]+)` \|/gm)].map(([, code]) => code);
  assert.deepEqual(lines.toSorted(), codes.toSorted());
});

test("links within the documents lead somewhere", () => {
  const anchor = (heading) => heading.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-");
  for (const [page, text] of Object.entries(pages)) {
    for (const [, path, hash] of text.matchAll(/\]\(([^)#\s]*)#?([^)]*)\)/g)) {
      if (path.includes(":")) continue;
      const file = path === "" ? join(GUIDE, page) : join(GUIDE, path);
      assert.ok(existsSync(file), `${page} links to ${path}`);
      if (hash === "") continue;
      const headings = [...readFileSync(file, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading));
      assert.ok(headings.includes(hash), `${page} links to ${path}#${hash}`);
    }
  }
});
