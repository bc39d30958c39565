// The site that the candidates' pages come from: an origin for each run of each candidate, so that what one stores is
// its own. `dexie-1.localhost` is such an origin; browsers look up names under localhost on this machine.
import { once } from "node:events";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";

const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };

export class Site {
  /** What else it serves, by path. */
  texts = new Map();
  #server;

  /** `folders`: where the files of a candidate are, by its name; what is not there is in the second folder. */
  static async start(folders, common) {
    const site = new Site();
    site.#server = createServer(async (request, response) => {
      const path = new URL(request.url, "http://localhost").pathname;
      const candidate = request.headers.host.split(/[-.]/)[0];
      // Such pages may share memory and have exact clocks.
      response.setHeader("cross-origin-opener-policy", "same-origin");
      response.setHeader("cross-origin-embedder-policy", "require-corp");
      if (site.texts.has(path)) return response.end(site.texts.get(path));
      const name = path === "/" ? "page.html" : path.slice(1);
      try {
        const body = await readFile(join(folders, candidate, name)).catch(() => readFile(join(common, name)));
        response.setHeader("content-type", TYPES[extname(name)]);
        response.setHeader("cache-control", "max-age=3600");
        response.end(body);
      } catch {
        response.writeHead(404).end();
      }
    });
    site.#server.listen(0, "127.0.0.1");
    await once(site.#server, "listening");
    return site;
  }

  origin(candidate, run) {
    return `http://${candidate}-${run}.localhost:${this.#server.address().port}`;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((done) => this.#server.close(done));
  }
}
