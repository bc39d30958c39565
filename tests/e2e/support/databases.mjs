// PostgreSQL and Redis, of the tests' own.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { filesIn } from "./stored.mjs";
import { until } from "./until.mjs";

/** How PostgreSQL is started for the native tests, too. */
const SCRIPT = fileURLToPath(new URL("../../../crates/databases/postgres.sh", import.meta.url));

/** It never waits for the disk: it outlives its own end, and not the machine's. */
const SETTINGS = "-c fsync=off -c full_page_writes=off";
/** Databases and tables with lesser numbers are PostgreSQL's own. */
const FIRST_NUMBER = 16_384;

/** A PostgreSQL server with one database. It ends with the process that has started it, however that ends. */
export class Postgres {
  #shell;
  #answers;
  #directory;
  /** The last order; the next one waits for it. */
  #done = Promise.resolve();

  static async start() {
    const postgres = new Postgres();
    const { TMPDIR, ...env } = process.env;
    const isRoot = process.getuid() === 0;
    postgres.#shell = spawn("sh", ["-c", await readFile(SCRIPT, "utf8"), "sh", SETTINGS], {
      cwd: "/",
      stdio: ["pipe", "pipe", "inherit"],
      // Whoever interrupts the tests does not interrupt what is to clean up after them.
      detached: true,
      // PostgreSQL does not serve root, and who does it instead may not write into root's own directories.
      ...(isRoot ? { uid: numberOf("postgres") ?? numberOf("nobody"), env } : {}),
    });
    postgres.#answers = createInterface({ input: postgres.#shell.stdout })[Symbol.asyncIterator]();
    postgres.#directory = await postgres.#answer();
    await postgres.#answer(); // as which process it runs
    await postgres.#order("create tutti");
    return postgres;
  }

  get url() {
    return `postgres://tutti@localhost/tutti?host=${this.#directory}`;
  }

  /** `how`: fast, in which it says goodbye, or immediate, as in a crash. */
  stop(how = "immediate") {
    return this.#order(`stop ${how}`);
  }

  async start() {
    await this.#order("start");
  }

  /** Keeps the database as it is now, for {@link restore}. Nobody may be connected then. */
  backUp() {
    return this.#order("back-up tutti");
  }

  restore() {
    return this.#order("restore tutti");
  }

  /** The files that tables and indexes are in, with all that is in them now; not the log that it writes ahead, in which
   *  everything stays for a while. */
  async files() {
    await this.#order("checkpoint tutti");
    const base = join(this.#directory, "data/base");
    return filesIn(base, (file) => file.split(/[/._]/, 2).every((number) => number >= FIRST_NUMBER));
  }

  async end() {
    if (this.#shell.exitCode !== null) return;
    const ended = once(this.#shell, "exit");
    this.#shell.stdin.end();
    await ended;
  }

  #order(order) {
    const carriedOut = this.#done.then(async () => {
      this.#shell.stdin.write(`${order}\n`);
      const answer = await this.#answer();
      if (answer.trim() !== order) throw new Error(`PostgreSQL was to ${order}, and says ${answer}`);
    });
    this.#done = carriedOut.catch(() => {});
    return carriedOut;
  }

  async #answer() {
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("PostgreSQL is to be installed, with initdb, pg_ctl, createdb and pg_dump");
    return value;
  }
}

/** A Redis server, which keeps nothing. */
export class Redis {
  #port;
  #process;

  static async start() {
    const redis = new Redis();
    redis.#port = await freePort();
    await redis.start();
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.#port}`;
  }

  async start() {
    const options = { bind: "127.0.0.1", port: this.#port, save: "", appendonly: "no", loglevel: "warning" };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`]);
    this.#process = spawn("redis-server", args, { cwd: "/", stdio: ["ignore", "ignore", "inherit"] });
    await once(this.#process, "spawn");
    await until("Redis answers", () => this.#answers());
  }

  /** Kills it, with all that it knew. */
  async kill() {
    const { exitCode, signalCode } = this.#process;
    if (exitCode !== null || signalCode !== null) return;
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }

  async #answers() {
    const socket = connect(this.#port, "127.0.0.1");
    try {
      socket.write("PING\r\n");
      const [answer] = await once(socket, "data");
      return answer.toString().startsWith("+PONG");
    } catch {
      return false;
    } finally {
      socket.destroy();
    }
  }
}

/** The number of a user; null if there is none of that name. */
function numberOf(user) {
  try {
    return Number(execFileSync("id", ["-u", user], { stdio: ["ignore", "pipe", "ignore"] }));
  } catch {
    return null;
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
