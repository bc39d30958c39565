// Prints the raw, gzip and brotli size of a folder's WebAssembly and JavaScript, and, of the same WebAssembly with names,
// how much of it comes from where. Fails when it is over its budget.
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const BUDGET = 192 * 1024;
/** Sections below this are told together, in bytes. */
const SMALL = 1024;

const [folder, named] = process.argv.slice(2);
const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } };
const sizes = readdirSync(folder, { recursive: true })
  .filter((name) => /\.(wasm|js)$/.test(name))
  .sort()
  .map((name) => {
    const raw = readFileSync(join(folder, name));
    return {
      name,
      raw: raw.length,
      gzip: gzipSync(raw, { level: 9 }).length,
      brotli: brotliCompressSync(raw, brotli).length,
    };
  });

const row = (name, ...columns) =>
  console.log(name.padEnd(36) + columns.map((column) => column.padStart(12)).join(""));
const total = (parts, measure) => parts.reduce((sum, [, it]) => sum + it[measure], 0);
const kb = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;

row("", "raw", "gzip", "brotli");
for (const { name, raw, gzip, brotli } of sizes) row(basename(name), kb(raw), kb(gzip), kb(brotli));

console.log("\nWebAssembly by section; each compressed by itself:");
const all = sections(readFileSync(named));
const small = all.filter(([, { raw }]) => raw < SMALL);
for (const [name, { raw, gzip }] of all) if (raw >= SMALL) row(name, kb(raw), kb(gzip));
row(`${small.length} smaller ones`, kb(total(small, "raw")), kb(total(small, "gzip")));
console.log();

const modules = sizes.filter(({ name }) => name.endsWith(".wasm"));
const gzip = modules.reduce((sum, { gzip }) => sum + gzip, 0);
if (modules.length === 0) {
  console.error(`there is no WebAssembly in ${folder}`);
  process.exit(1);
}
const over = gzip > BUDGET;
console.log(`WebAssembly, gzip: ${kb(gzip)}, ${over ? "OVER" : "within"} the budget of ${kb(BUDGET)}`);
process.exit(over ? 1 : 0);

/** The parts of a module: its functions by the crate that they are from, those of our own by module, and all else. */
function sections(module) {
  const parts = new Map();
  const add = (name, bytes) => parts.set(name, [...(parts.get(name) ?? []), bytes]);
  const kinds = { 1: "types", 2: "imports", 3: "table of functions", 7: "exports", 9: "table of pointers", 11: "data" };
  let imported = 0;
  let bodies = [];
  const names = new Map();
  const reader = (at) => ({
    at,
    number() {
      let [number, shift, byte] = [0, 0, 0];
      do {
        byte = module[this.at++];
        number += (byte & 0x7f) * 2 ** shift;
        shift += 7;
      } while (byte >= 0x80);
      return number;
    },
    bytes(length) {
      this.at += length;
      return module.subarray(this.at - length, this.at);
    },
    list(read) {
      return Array.from({ length: this.number() }, read);
    },
    text() {
      return this.bytes(this.number()).toString();
    },
  });
  const top = reader(8);
  while (top.at < module.length) {
    const [kind, length] = [top.number(), top.number()];
    const it = reader(top.at);
    const content = top.bytes(length);
    if (kind === 10) bodies = it.list(() => it.bytes(it.number()));
    else if (kind > 0) add(kinds[kind] ?? "other", content);
    else if (it.text() === "name") {
      while (it.at < top.at) {
        const [of, size] = [it.number(), it.number()];
        const next = it.at + size;
        if (of === 1) it.list(() => names.set(it.number(), it.text()));
        it.at = next;
      }
    }
    // What is imported comes first in the numbers of functions; the glue imports nothing else.
    if (kind === 2) imported = it.number();
  }
  bodies.forEach((body, at) => add(origin(names.get(imported + at) ?? ""), body));
  const sized = [...parts].map(([name, bytes]) => {
    const whole = Buffer.concat(bytes);
    return [name, { raw: whole.length, gzip: gzipSync(whole, { level: 9 }).length }];
  });
  return sized.sort(([, one], [, other]) => other.raw - one.raw);
}

/** Where a function is from, by its name: `tutti_engine::fold`, or `alloc`. Generic ones belong to who wrote them. */
function origin(name) {
  const [, crate, module] = /([a-z]\w*)(?:\[\w+\])?(?:::([a-z]\w*))?/.exec(name.replace(/\b(mut|dyn|const|impl)\b/g, "")) ?? [];
  if (!crate || /^(wasm)?syncclient/.test(crate)) return "exports of the client";
  if (/^(as|core|alloc|std|rustc|str|bool|[iu](\d+|size))$/.test(crate)) return "std";
  return crate.startsWith("tutti_") && module ? `${crate}::${module}` : crate;
}
