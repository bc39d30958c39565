// W3C WebDriver, as far as the tests need it: https://www.w3.org/TR/webdriver2/
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { until } from "./until.mjs";

/** A session with a driver of its own. It does one thing at a time, so commands wait for each other. */
export class Session {
  #driver;
  #address;
  #last = Promise.resolve();
  #current;
  /** The one that is there from the start and stays: nothing can be opened from a window that was closed. */
  #first;

  /** Starts the driver, given a function from its port to its arguments, and in it a browser. */
  static async start(program, args, { capabilities = {}, env = {} } = {}) {
    const session = new Session();
    const port = await freePort();
    const driver = spawn(program, args(port), { stdio: "ignore", env: { ...process.env, ...env } });
    session.#driver = driver;
    let failure = null;
    driver.once("error", (error) => (failure = error));
    const base = `http://127.0.0.1:${port}`;
    await until(`${program} is ready`, async () => {
      if (failure) throw failure;
      if (driver.exitCode !== null) throw new Error(`${program} has ended (${driver.exitCode})`);
      return fetch(`${base}/status`).then(
        async (response) => (await response.json()).value.ready,
        () => false,
      );
    });
    const alwaysMatch = { timeouts: { script: 120_000, pageLoad: 60_000 }, ...capabilities };
    const asked = send("POST", `${base}/session`, { capabilities: { alwaysMatch } });
    // A driver without a session would stay, and nobody would know of it.
    const { sessionId } = await asked.catch((error) => session.kill().finally(() => Promise.reject(error)));
    session.#address = `${base}/session/${sessionId}`;
    session.#first = session.#current = await session.#call("GET", "/window");
    return session;
  }

  /** Opens a window and goes to an address in it. */
  async open(address) {
    const { handle } = await this.in(this.#first, "POST", "/window/new", { type: "tab" });
    const window = new Window(this, handle);
    await window.goto(address);
    return window;
  }

  /** Sends a command to one of the windows. */
  in(handle, method, path, body) {
    return this.#queue(async () => {
      if (this.#current !== handle) {
        this.#current = null;
        await this.#call("POST", "/window", { handle });
        this.#current = handle;
      }
      return this.#call(method, path, body);
    });
  }

  /** Ends the browser in good order, and the driver. */
  async end() {
    await this.#queue(() => this.#call("DELETE", ""));
    await this.kill();
  }

  async kill() {
    if (this.#driver.exitCode !== null || this.#driver.signalCode !== null) return;
    const ended = once(this.#driver, "exit");
    this.#driver.kill("SIGTERM");
    await ended;
  }

  #call(method, path, body) {
    return send(method, this.#address + path, body);
  }

  #queue(command) {
    const result = this.#last.then(command);
    this.#last = result.catch(() => {});
    return result;
  }
}

/** A window of a session; to {@link Client} it is what a page of Playwright is. */
export class Window {
  #session;
  #handle;

  constructor(session, handle) {
    this.#session = session;
    this.#handle = handle;
  }

  /** What an expression comes to, once it has. */
  async evaluate(expression) {
    // By the window's own eval: in Firefox, a script would make its objects in a realm of its own.
    const script = `
      const [expression, done] = arguments;
      window.eval("(async () => (" + expression + "))()").then(
        (value) => done({ value }),
        (error) => done({ error: String(error) }),
      );`;
    const { value, error } = await this.#in("POST", "/execute/async", { script, args: [expression] });
    if (error) throw new Error(error);
    return value;
  }

  async goto(address) {
    await this.#in("POST", "/url", { url: address });
    // WebKit's driver may take the end of the window's first, empty page for the end of this one.
    const script = "return location.href === arguments[0] && document.readyState === 'complete'";
    const args = [new URL(address).href];
    await until(`${address} is loaded`, () => this.#in("POST", "/execute/sync", { script, args }));
  }

  async goBack() {
    await this.#in("POST", "/back", {});
  }

  async close() {
    await this.#in("DELETE", "/window");
  }

  #in(method, path, body) {
    return this.#session.in(this.#handle, method, path, body);
  }
}

async function send(method, address, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(address, { method, headers, body: body === undefined ? body : JSON.stringify(body) });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${method} ${new URL(address).pathname}: ${value.error}: ${value.message}`);
  return value;
}

/** A port that nobody listens on: not every driver can pick one and say which. */
export async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}
