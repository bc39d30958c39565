import { spawn } from "node:child_process";
import { once } from "node:events";
import { Profile } from "./profile.mjs";
import { Session } from "./webdriver.mjs";

/** A profile in an engine that is driven through its WebDriver. */
class WebDriverProfile extends Profile {
  #server;
  #session = null;

  constructor(server, directory) {
    super(server, directory);
    this.#server = server;
  }

  async start() {
    this.#session = await this.session();
  }

  async close() {
    await this.#session?.end();
    this.#session = null;
  }

  async kill() {
    await this.#session.kill();
    this.#session = null;
  }

  async tab(path = process.env.TUTTI_PAGE ?? "/") {
    return this.#session.open(new URL(path, this.#server.origin).href);
  }
}

export class Firefox extends WebDriverProfile {
  session() {
    const program = process.env.TUTTI_GECKODRIVER ?? "geckodriver";
    const args = (port) => ["--port", port, "--log", "fatal"];
    const options = { args: ["-headless", "-profile", this.directory] };
    return Session.start(program, args, { capabilities: { "moz:firefoxOptions": options } });
  }
}

/** WebKitGTK's MiniBrowser, on a display of its own. It keeps what it stores in memory. */
export class WebKit extends WebDriverProfile {
  #display = null;

  async session() {
    this.#display = spawn("Xvfb", ["-displayfd", "3", "-nolisten", "tcp"], {
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    const [number] = await Promise.race([
      once(this.#display.stdio[3], "data"),
      once(this.#display, "exit").then(([code]) => {
        throw new Error(`Xvfb has ended (${code})`);
      }),
    ]);
    const program = process.env.TUTTI_WEBKITDRIVER ?? "WebKitWebDriver";
    const env = { DISPLAY: `:${String(number).trim()}` };
    // Its sandbox does not work for root.
    if (process.getuid() === 0) env.WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS = "1";
    return Session.start(program, (port) => [`--port=${port}`], { env });
  }

  async close() {
    await super.close();
    await this.#endDisplay();
  }

  async kill() {
    await super.kill();
    await this.#endDisplay();
  }

  async #endDisplay() {
    if (this.#display === null || this.#display.exitCode !== null) return;
    const ended = once(this.#display, "exit");
    this.#display.kill("SIGTERM");
    await ended;
  }
}
