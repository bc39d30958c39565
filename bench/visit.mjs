// Pages of candidates, as the harness has them.

/** A page of a candidate. */
export class Visit {
  /** With what the browser is started: it measures memory when asked, not when it has time. */
  static LAUNCH = ["--disable-gpu", "--disable-dev-shm-usage", "--enable-blink-features=ForceEagerMeasureMemory"];
  name;
  led = () => {};
  #page;

  static async to(browser, site, { name, run, ...more }) {
    const visit = new Visit();
    visit.name = name;
    visit.#page = await browser.newPage();
    await visit.#page.exposeFunction("led", () => visit.led());
    await visit.#page.addInitScript((more) => (globalThis.given = more), more);
    await visit.#page.goto(site.origin(name, run));
    return visit;
  }

  evaluate(body, argument) {
    return this.#page.evaluate(body, argument);
  }

  call(what, argument) {
    return this.#page.evaluate(([what, argument]) => bench[what](argument), [what, argument]);
  }

  async close() {
    await this.call("close").catch(() => {});
    await this.#page.close();
  }

  async crash() {
    const session = await this.#page.context().newCDPSession(this.#page);
    const crashed = new Promise((crashed) => this.#page.once("crash", crashed));
    session.send("Page.crash").catch(() => {}); // it is never answered: who would
    await crashed;
  }

  /** Bytes that the page holds, after what is rubbish was collected. */
  async memory() {
    const session = await this.#page.context().newCDPSession(this.#page);
    await session.send("HeapProfiler.enable");
    await session.send("HeapProfiler.collectGarbage");
    const { wasm, measured } = await this.call("memory");
    const heap = await session.send("Runtime.getHeapUsage");
    if (process.env.TUTTI_BENCH_DEBUG) console.log(this.name, JSON.stringify({ wasm, measured, heap }));
    // The measure knows nothing of WebAssembly's memory.
    return measured.bytes + wasm;
  }
}

/** What it holds is what there is: each conversation's latest messages, a long stretch of one, and the list. */
export async function check(page, truth) {
  const all = truth.list(Infinity).map(([id]) => id);
  const questions = [...all.map((id) => ["latest", id, 50]), ["latest", "direct:peer-1", 1_000], ["list", 30]];
  const answers = await page.call("look", questions);
  for (const [at, [kind, ...what]] of questions.entries()) {
    expect(answers[at].found, truth[kind](...what), `${page.name}: ${kind}(${what.join(", ")})`);
  }
}

export function expect(found, right, what) {
  const [is, ought] = [found, right].map((value) => JSON.stringify(value));
  if (is === ought) return;
  const at = [...is].findIndex((char, at) => char !== ought[at]);
  const around = (text) => text.slice(Math.max(0, at - 200), at + 400);
  throw new Error(`${what} is wrong\n  is    ${around(is)}\n  ought ${around(ought)}`);
}
