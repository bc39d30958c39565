// A fresh project: an example, and beside it the package as npm packs it. What else it needs is installed above.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("../", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../../pkg/", import.meta.url));
const EXAMPLES = fileURLToPath(new URL("../../../examples/", import.meta.url));
/** Below the folder with the bundlers, so that each finds itself, and React, as if the project had them. */
const PROJECTS = join(HERE, "projects");

/** Packs the package; gives the path of what would be published. */
export async function pack() {
  await rm(PROJECTS, { recursive: true, force: true });
  await mkdir(PROJECTS);
  const npm = ["pack", PACKAGE, "--json", "--loglevel=error", "--pack-destination", PROJECTS];
  const [{ filename }] = JSON.parse(execFileSync("npm", npm, { encoding: "utf8" }));
  return join(PROJECTS, filename);
}

export function removeProjects() {
  return rm(PROJECTS, { recursive: true, force: true });
}

export class Project {
  folder;

  constructor(folder) {
    this.folder = folder;
  }

  static async create(name, example, tarball) {
    const folder = join(PROJECTS, name);
    const installed = join(folder, "node_modules/tutti-sync");
    await cp(join(EXAMPLES, example), folder, { recursive: true });
    await mkdir(installed, { recursive: true });
    execFileSync("tar", ["xzf", tarball, "--strip-components=1", "-C", installed]);
    return new Project(folder);
  }

  /** Changes what a file of the example says. */
  async replace(file, before, after) {
    const path = join(this.folder, file);
    const source = await readFile(path, "utf8");
    if (!source.includes(before)) throw new Error(`${file} does not say ${before}`);
    await writeFile(path, source.replace(before, after));
  }

  /** What the example says that it needs, as `[name, range]`. */
  async needs() {
    const { dependencies, devDependencies } = JSON.parse(await readFile(join(this.folder, "package.json"), "utf8"));
    return Object.entries({ ...dependencies, ...devDependencies });
  }

  /** The version of a package that it finds. */
  async installed(name) {
    const above = name === "tutti-sync" ? this.folder : HERE;
    return JSON.parse(await readFile(join(above, "node_modules", name, "package.json"), "utf8")).version;
  }

  /** Runs one of the example's scripts, with what it says only if it fails. */
  async run(script, env = {}) {
    const npm = this.start("npm", ["run", "--silent", script], env);
    const said = Promise.all([npm.stdout, npm.stderr].map(async (stream) => (await stream.toArray()).join("")));
    const [code, signal] = await once(npm, "close");
    if (code !== 0) throw new Error(`npm run ${script}: ${code ?? signal}\n${(await said).join("")}`);
  }

  /** Starts a program in the project. */
  start(program, args, env = {}) {
    const production = { NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1" };
    return spawn(program, args, {
      cwd: this.folder,
      env: { ...process.env, ...production, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }
}
