// The package as npm packs it, installed in a folder of its own beside one version of React.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("../", import.meta.url));
const PACKAGE = fileURLToPath(new URL("../../../pkg/", import.meta.url));

/** Where each version of React lies, with what goes with it. */
export const REACT = { 18: join(HERE, "react-18/node_modules"), 19: join(HERE, "node_modules") };

/** Installs the package; gives the folder, and what is in the package. */
export function install(react) {
  const folder = mkdtempSync(join(tmpdir(), "tutti-package-"));
  const modules = join(folder, "node_modules");
  mkdirSync(join(modules, "tutti-sync"), { recursive: true });
  const npm = ["pack", PACKAGE, "--json", "--loglevel=error", "--pack-destination", folder];
  const [{ filename, files }] = JSON.parse(execFileSync("npm", npm, { encoding: "utf8" }));
  execFileSync("tar", ["xzf", join(folder, filename), "--strip-components=1", "-C", join(modules, "tutti-sync")]);
  for (const name of ["react", "react-dom", "scheduler"]) symlinkSync(join(REACT[react], name), join(modules, name));
  symlinkSync(join(HERE, "node_modules/@types"), join(modules, "@types"));
  const packed = { tarball: join(folder, filename), files: files.map(({ path }) => path) };
  return { folder, ...packed, remove: () => rmSync(folder, { recursive: true }) };
}
