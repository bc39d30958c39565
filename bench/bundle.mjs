// Bundles the candidates as their users would, and weighs what a page has to load.
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { ROOT } from "../tests/e2e/support/stage.mjs";

const BENCH = join(ROOT, "bench");
const SQLITE = join(BENCH, "node_modules/@sqlite.org/sqlite-wasm/dist/sqlite3.wasm");
/** What is loaded beside the script. */
const BESIDE = {
  tutti: { files: [join(ROOT, "pkg/wasm/tutti_sync_bg.wasm")] },
  sqlite: { files: [SQLITE], entries: ["sqlite-worker"] },
};

/** Bundles a candidate into a folder; the bytes that it ships, compressed (gzip, level 9). */
export async function bundle(name, code, folder) {
  const { files = [], entries = [] } = BESIDE[code] ?? {};
  await mkdir(folder, { recursive: true });
  const entryPoints = Object.fromEntries([["candidate", code], ...entries.map((entry) => [entry, entry])]
    .map(([out, entry]) => [out, join(BENCH, "candidates", `${entry}.mjs`)]));
  await build({
    entryPoints,
    outdir: folder,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    define: { global: "globalThis", "process.env.NODE_ENV": '"production"' },
    logLevel: "error",
  });
  const shipped = Object.keys(entryPoints).map((entry) => join(folder, `${entry}.js`));
  for (const file of files) {
    const copy = join(folder, file.split("/").at(-1));
    await copyFile(file, copy);
    shipped.push(copy);
  }
  const sizes = await Promise.all(shipped.map(async (file) => gzipSync(await readFile(file), { level: 9 }).length));
  return sizes.reduce((sum, size) => sum + size, 0);
}
