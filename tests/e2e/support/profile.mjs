import { readlink } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { Client } from "./client.mjs";
import { until } from "./until.mjs";

const CHROMIUM = process.env.TUTTI_CHROMIUM ?? "/usr/bin/chromium";

/** A browser profile with a browser of its own: what the server knows as one device. */
export class Profile {
  /** Where the browser keeps everything. */
  directory;
  /** What went wrong in its pages without a call to tell. */
  pageErrors = [];
  #server;
  #launch;
  #canary;
  #context = null;

  constructor(server, directory, { launch, canary } = {}) {
    this.#server = server;
    this.directory = directory;
    this.#launch = launch;
    this.#canary = canary;
  }

  /** Starts a browser on this profile, the first one or the next. */
  async start() {
    this.#context = await chromium.launchPersistentContext(this.directory, {
      executablePath: CHROMIUM,
      headless: true,
      args: ["--disable-gpu", "--disable-dev-shm-usage"],
      ...this.#launch,
    });
    this.#canary.watch(this.#context);
    this.#context.on("weberror", (error) => this.pageErrors.push(error.error()));
    this.#context.on("console", (line) => {
      // A connection that fails is the browser's own line; a panic is ours.
      if (line.type() === "error" && line.text().startsWith("tutti-sync: panicked")) this.pageErrors.push(line.text());
    });
  }

  /** Ends the browser in good order. */
  async close() {
    await this.#context?.close();
    this.#context = null;
  }

  /** Kills every process of the browser at once; nothing gets to say goodbye. */
  async kill() {
    const pid = Number((await readlink(join(this.directory, "SingletonLock"))).split("-").at(-1));
    const gone = new Promise((closed) => this.#context.once("close", closed));
    process.kill(-pid, "SIGKILL"); // it leads a process group
    await gone;
    this.#context = null;
    await until("the browser is dead", () => isGone(pid));
  }

  /** A new tab with the page under test, or another address of the server. */
  async tab(path = process.env.TUTTI_PAGE ?? "/") {
    const page = await this.#context.newPage();
    page.sockets = watchSockets(page);
    await page.goto(new URL(path, this.#server.origin).href);
    return page;
  }

  /** A new tab with a client in it. */
  async client(account, options = {}, path) {
    return this.clientIn(await this.tab(path), account, options);
  }

  /** One more client in a tab. */
  async clientIn(page, account, options = {}) {
    const token = await this.#server.token(account);
    return Client.open(page, { url: this.#server.url, account, token, ...options });
  }
}

/** The WebSockets that a page has opened, with the frames that came in on each, and those that went out. */
function watchSockets(page) {
  const sockets = [];
  page.on("websocket", (socket) => {
    const [received, sent] = [[], []];
    sockets.push({ socket, received, sent });
    socket.on("framesent", ({ payload }) => sent.push(Buffer.from(payload)));
    socket.on("framereceived", ({ payload }) => received.push(Buffer.from(payload)));
  });
  return sockets;
}

function isGone(pid) {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
    return true;
  }
}
