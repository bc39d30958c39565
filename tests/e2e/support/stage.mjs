// What the tests of a file share, ended in reverse order whatever comes.
import { rmSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Canary } from "./canary.mjs";
import { Cluster } from "./cluster.mjs";
import { Postgres, Redis } from "./databases.mjs";
import { Profile } from "./profile.mjs";
import { writeReact } from "./react.mjs";
import { Server } from "./server.mjs";
import { Tunnel } from "./tunnel.mjs";
import { Firefox, WebKit } from "./webdriver-profile.mjs";

/** The repository. */
export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const HARNESS = fileURLToPath(new URL("../harness/", import.meta.url));
const LATER_VERSIONS = process.env.TUTTI_LATER_VERSIONS ?? join(ROOT, "target/later-versions");

/** How many servers stand where a test wants one: as many, over PostgreSQL and Redis, or 0: one with SQLite. */
const INSTANCES = Number(process.env.TUTTI_INSTANCES ?? 0);

const ENGINES = { chromium: Profile, firefox: Firefox, webkit: WebKit };

/** A browser that was killed may still be on its way out. */
const REMOVAL = { recursive: true, force: true, maxRetries: 20, retryDelay: 100 };

export class Stage {
  /** What it finds makes {@link clear} fail. */
  canary = new Canary();
  #endings = [];
  #servers = [];
  #redis = [];
  #directories = [];

  /** A server that serves the page under test, also with these later versions of the package and with this version of
   *  React, or the files of `www`. */
  async server({ www, later = [], react, args = [], level = "trace", instances = INSTANCES } = {}) {
    const config = {
      log: join(await this.#directory("log"), "server.log"),
      level,
      www: www ?? (await this.#harness(later, react)),
      // Some pages under test have scripts in them.
      args: www ? args : ["--csp", "", ...args],
    };
    const server = instances
      ? await this.#cluster(instances, config)
      : await Server.start({ ...config, data: await this.#directory("data") });
    this.#endings.push(() => this.canary.searchLog(server));
    this.#endings.push(() => server.end());
    this.#endings.push(() => this.canary.searchData(server));
    this.#servers.push(server);
    this.#sweepAtExit();
    return server;
  }

  /** A way to a server that can be made as bad as on a train. */
  async tunnel(server) {
    const tunnel = await Tunnel.to(server);
    this.#endings.push(() => tunnel.end());
    return tunnel;
  }

  /** Browser profiles, each with a browser of its own: each a device. */
  async profiles(server, count, options) {
    return Promise.all(Array.from({ length: count }, () => this.profile(server, options)));
  }

  /** `engine`: chromium, firefox or webkit; `launch`: what Playwright is to know beyond the usual. */
  async profile(server, { engine = "chromium", launch } = {}) {
    const profile = new ENGINES[engine](server, await this.#directory("profile"), { launch, canary: this.canary });
    this.#endings.push(() => profile.close());
    await profile.start();
    this.#sweepAtExit();
    return profile;
  }

  /** Ends everything, and fails if a token or a key stands where it should not. */
  async clear() {
    const failures = [];
    for (const end of this.#endings.splice(0).reverse()) {
      await end().catch((error) => failures.push(error));
    }
    await this.canary.judge().catch((error) => failures.push(error));
    if (failures.length === 1) throw failures[0];
    if (failures.length > 1) throw new AggregateError(failures, "several things went wrong at the end");
  }

  /** For a run that is interrupted: after Playwright's own handler, which kills the browsers. */
  #sweepAtExit() {
    process.off("exit", this.#sweep);
    process.on("exit", this.#sweep);
  }

  #sweep = () => {
    for (const it of [...this.#servers, ...this.#redis]) void it.kill();
    for (const directory of this.#directories) rmSync(directory, REMOVAL);
  };

  async #cluster(instances, config) {
    const postgres = await Postgres.start();
    this.#endings.push(() => postgres.end());
    // Who is alone needs nothing to talk to others.
    const redis = instances > 1 ? await Redis.start() : undefined;
    if (redis) {
      this.#endings.push(() => redis.kill());
      this.#redis.push(redis);
    }
    const directories = await Promise.all(Array.from({ length: instances }, () => this.#directory("data")));
    return Cluster.start({ ...config, directories, postgres, redis });
  }

  async #harness(later, react) {
    const site = await this.#directory("www");
    await cp(HARNESS, site, { recursive: true });
    await mkdir(join(site, "pkg"));
    for (const part of (await readdir(join(ROOT, "pkg"))).filter((name) => /\.js$|^(stores|testing|wasm)$/.test(name))) {
      await cp(join(ROOT, "pkg", part), join(site, "pkg", part), { recursive: true });
    }
    for (const version of later) {
      await cp(join(LATER_VERSIONS, version), join(site, `pkg-${version}`), { recursive: true });
    }
    if (react) await writeReact(join(site, "react"), react);
    return site;
  }

  async #directory(name) {
    const directory = await mkdtemp(join(tmpdir(), `tutti-e2e-${name}-`));
    this.#directories.push(directory);
    this.#endings.push(() => rm(directory, REMOVAL));
    return directory;
  }
}
