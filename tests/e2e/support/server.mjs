import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync } from "node:fs";
import { cp, open, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { until } from "./until.mjs";

export const KEY = "the key of the end-to-end tests";
const BUILT = fileURLToPath(new URL("../../../target/debug/tutti-server", import.meta.url));

/** What clients and an application's back end reach at one address, whoever serves it. */
export class Service {
  /** Where clients connect. */
  get url() {
    return `${this.origin.replace("http", "ws")}/sync`;
  }

  /** Starts it again, on the same data, as if it were so many days ago. */
  async travel(daysAgo) {
    await this.stop();
    await this.start(["--clock-offset", String(-daysAgo * 86_400)]);
  }

  async token(account) {
    const { token } = await this.call("POST", "/api/tokens", { account });
    return token;
  }

  /** The live connections of an account. */
  async connections(account) {
    const { connections } = await this.call("GET", `/api/connections?user_id=${encodeURIComponent(account)}`);
    return connections;
  }

  /** Sends a message as the application's back end would. */
  message(from, to, content, more = {}) {
    return this.call("POST", "/api/messages", { from, to, content, ...more });
  }

  async call(method, path, body) {
    const response = await fetch(this.origin + path, {
      method,
      headers: { "content-type": "application/json", authorization: `Bearer ${KEY}` },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  }
}

/** The real server, on a data directory of its own. */
export class Server extends Service {
  #config;
  #process;
  #listen = "127.0.0.1:0";

  constructor(config) {
    super();
    this.#config = config;
  }

  static async start(config) {
    const server = new Server(config);
    await server.start();
    return server;
  }

  /** Where pages come from. */
  get origin() {
    return `http://${this.#listen}`;
  }

  /** Where it keeps everything. */
  get data() {
    return this.#config.data;
  }

  /** The file with all that it has ever said, in every detail. */
  get log() {
    return this.#config.log;
  }

  get runs() {
    return this.#process?.exitCode === null && this.#process.signalCode === null;
  }

  /** Starts it: at first on a free port, later on the same one and the same data. */
  async start(more = []) {
    const { log } = this.#config;
    this.#process = await this.#spawn(more);
    const failed = once(this.#process, "exit").then(async ([code, signal]) => {
      throw new Error(`the server has ended (${code ?? signal})\n${(await readFile(log)).subarray(-4_000)}`);
    });
    const listening = new Promise((told) => {
      createInterface({ input: this.#process.stdout }).on("line", (line) => {
        appendFileSync(log, `${line}\n`);
        const address = /^listening on http:\/\/(.+)$/.exec(line)?.[1];
        if (address) told(address);
      });
    });
    failed.catch(() => {}); // once it runs, its end is for the tests to judge
    this.#listen = await Promise.race([listening, failed]);
    await until("the server is healthy", () =>
      fetch(`${this.origin}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
  }

  /** Kills it as a power cut would. */
  async kill() {
    await this.#end("SIGKILL");
  }

  async stop() {
    await this.#end("SIGTERM");
  }

  /** Ends it for good. */
  end() {
    return this.stop();
  }

  /** Keeps all that is stored as it is now. The file may only be copied while nobody writes to it. */
  async backUp() {
    await this.stop();
    await cp(this.data, this.#backup, { recursive: true });
    await this.start();
  }

  /** Starts it again with what was kept, as its operator is to do it. */
  async restore() {
    await this.stop();
    await rm(this.data, { recursive: true });
    await cp(this.#backup, this.data, { recursive: true });
    await this.renameLog();
    await this.start();
  }

  /** Tells what is stored that it was restored. */
  async renameLog() {
    const renaming = await this.#spawn(["--restored"]);
    const [code, signal] = await once(renaming, "exit");
    if (code !== 0) throw new Error(`the log cannot be renamed (${code ?? signal})`);
  }

  get #backup() {
    return join(dirname(this.log), "backup");
  }

  async #spawn(more) {
    const { data, log, level, www, args } = this.#config;
    const sink = await open(log, "a");
    const own = ["--listen", this.#listen, "--data", data, "--www", www, "--dev"];
    const child = spawn(process.env.TUTTI_SERVER ?? BUILT, [...own, ...args, ...more], {
      stdio: ["ignore", "pipe", sink.fd],
      env: { ...process.env, TUTTI_SERVER_KEY: KEY, RUST_LOG: level },
    });
    await sink.close();
    return child;
  }

  async #end(signal) {
    if (!this.runs) return;
    const ended = once(this.#process, "exit");
    this.#process.kill(signal);
    await ended;
  }
}
