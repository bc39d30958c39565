// What the tests of a file share, ended in reverse order whatever comes.
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Profile } from "./profile.mjs";
import { Server } from "./server.mjs";

/** The repository. */
export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const HARNESS = fileURLToPath(new URL("../harness/", import.meta.url));

export class Stage {
  #endings = [];

  /** A server that serves the page under test, or the files of `www`. */
  async server({ www, args = [] } = {}) {
    const server = await Server.start({
      data: await this.#directory("data"),
      www: www ?? (await this.#harness()),
      args,
    });
    this.#endings.push(() => server.stop());
    return server;
  }

  /** Browser profiles, each with a browser of its own: each a device. */
  async profiles(server, count) {
    return Promise.all(Array.from({ length: count }, () => this.profile(server)));
  }

  async profile(server) {
    const profile = new Profile(server, await this.#directory("profile"));
    this.#endings.push(() => profile.close());
    await profile.start();
    return profile;
  }

  async clear() {
    const failures = [];
    for (const end of this.#endings.splice(0).reverse()) {
      await end().catch((error) => failures.push(error));
    }
    if (failures.length > 0) throw new AggregateError(failures, "not everything could be ended");
  }

  async #harness() {
    const site = await this.#directory("www");
    await cp(HARNESS, site, { recursive: true });
    await mkdir(join(site, "pkg"));
    for (const part of ["index.js", "wasm"]) {
      await cp(join(ROOT, "pkg", part), join(site, "pkg", part), { recursive: true });
    }
    return site;
  }

  async #directory(name) {
    const directory = await mkdtemp(join(tmpdir(), `tutti-e2e-${name}-`));
    // A browser that was killed may still be on its way out.
    this.#endings.push(() => rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
    return directory;
  }
}
