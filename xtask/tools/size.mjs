// Prints the raw, gzip and brotli size of a folder's WebAssembly and JavaScript, and fails when the
// WebAssembly is over its budget.
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const BUDGET = 220 * 1024;

const folder = process.argv[2];
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
const kb = (bytes) => `${(bytes / 1024).toFixed(1)} KB`;

row("", "raw", "gzip", "brotli");
for (const { name, raw, gzip, brotli } of sizes) row(name, kb(raw), kb(gzip), kb(brotli));

const modules = sizes.filter(({ name }) => name.endsWith(".wasm"));
const gzip = modules.reduce((sum, { gzip }) => sum + gzip, 0);
if (modules.length === 0) {
  console.error(`there is no WebAssembly in ${folder}`);
  process.exit(1);
}
const over = gzip > BUDGET;
console.log(`WebAssembly, gzip: ${kb(gzip)}, ${over ? "OVER" : "within"} the budget of ${kb(BUDGET)}`);
process.exit(over ? 1 : 0);
