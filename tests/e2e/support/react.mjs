// React for pages that are served as they are: it comes as CommonJS, of which this makes modules.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { ROOT } from "./stage.mjs";

/** Where the versions lie that the package is tested with. */
const FOLDERS = { 18: "tests/package/react-18/", 19: "tests/package/" };
const ENTRIES = { "react.js": "react", "react-dom.js": "react-dom/client" };

/** Writes them into a folder, in the form in which they check the most. */
export async function writeReact(folder, version) {
  const from = createRequire(join(ROOT, FOLDERS[version], "package.json"));
  const files = new Map();
  for (const name of Object.values(ENTRIES)) await collect(from.resolve(name), files);
  const wrapped = [...files].map(([path, { source, requires }]) => {
    const paths = JSON.stringify(requires);
    return `${JSON.stringify(path)}: [${paths}, (module, exports, require) => {\n${source}\n}],`;
  });
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, "all.js"),
    `const process = { env: { NODE_ENV: "development" } };
const files = {\n${wrapped.join("\n")}\n};
const loaded = {};
export function load(path) {
  if (!(path in loaded)) {
    const module = (loaded[path] = { exports: {} });
    const [requires, run] = files[path];
    run(module, module.exports, (name) => load(requires[name]));
  }
  return loaded[path].exports;
}\n`,
  );
  for (const [file, name] of Object.entries(ENTRIES)) {
    const names = Object.keys(from(name)).filter((name) => /^[a-z]\w*$/i.test(name));
    await writeFile(
      join(folder, file),
      `import { load } from "./all.js";
export const { ${names.join(", ")} } = load(${JSON.stringify(from.resolve(name))});\n`,
    );
  }
}

/** A file and what it requires, but for what it requires in production. */
async function collect(path, files) {
  if (files.has(path)) return;
  const source = await readFile(path, "utf8");
  const resolve = createRequire(path).resolve;
  const names = [...source.matchAll(/\brequire\(["']([^"']+)["']\)/g)].map(([, name]) => name);
  const wanted = names.filter((name) => !/production|profiling/.test(name));
  const requires = Object.fromEntries(wanted.map((name) => [name, resolve(name)]));
  files.set(path, { source, requires });
  for (const required of Object.values(requires)) await collect(required, files);
}
