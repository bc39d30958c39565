/** A page of a candidate. */
export class Visit {
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
