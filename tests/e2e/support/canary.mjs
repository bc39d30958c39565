// Fault 54: tokens and keys stand nowhere but where they belong. All that the servers and the browsers of a stage
// leave behind is searched for them, whoever had them.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { inspect } from "node:util";
import { KEY } from "./server.mjs";
import { filesOf } from "./stored.mjs";

/** How tokens begin, with `{"typ":"JWT"` or `{"alg":`, so that one is found even if the rest of it was cut off. */
const BEGINNINGS = ["eyJ0eXAiOiJKV1Qi", "eyJhbGciOi"];
/** Files of a server in which a secret lies on purpose, made up by `--dev`. It may be in no other. */
const KEPT = /\.(key|secret)$/;
/** How much of what is around a find is shown: enough for a whole token. */
const [BEFORE, AFTER] = [50, 250];

/** Looks at everything that can be read by those who are not to have tokens. */
export class Canary {
  /** How much was searched. */
  looked = { addresses: 0, lines: 0, files: 0, bytes: 0 };
  #needles = new Set([...BEGINNINGS, KEY].flatMap(spellings));
  #found = [];
  /** What was printed by pages, as far as it is still to be fetched from them. */
  #printed = [];

  /** Searches what this browser's pages and workers ask for and print, from now on. */
  watch(context) {
    const address = (what, url) => {
      this.looked.addresses += 1;
      this.#search(`the address of ${what}`, url);
    };
    const watchPage = (page) => {
      page.on("websocket", (socket) => address("a WebSocket", socket.url()));
      page.on("framenavigated", (frame) => address("a page", frame.url()));
    };
    context.pages().forEach(watchPage);
    context.on("page", watchPage);
    context.on("request", (request) => address("a request", request.url()));
    context.on("weberror", (error) => this.#search("the console", inspect(error.error())));
    context.on("console", (line) => {
      this.looked.lines += 1;
      if (this.#search("the console", line.text())) return;
      // The text leaves out most of what is in objects. What a page has taken with it cannot be had.
      const values = line.args().map((value) => value.jsonValue());
      const whole = Promise.all(values).then((values) => this.#search("the console", complete(values)));
      this.#printed.push(whole.catch(() => {}));
    });
  }

  /** Searches what a server has stored, also before it tidies up at its end, and what it tells of itself. */
  async searchData(server) {
    const files = await filesOf(server);
    const [kept, others] = [true, false].map((kept) => files.filter(({ file }) => KEPT.test(file) === kept));
    for (const { bytes } of kept) spellings(bytes.toString().trim()).forEach((text) => this.#needles.add(text));
    for (const { file, bytes } of others) this.#searchFile(file, bytes);
    if (!server.runs) return;
    const metrics = await fetch(`${server.origin}/metrics`, { headers: { authorization: `Bearer ${KEY}` } });
    if (metrics.status === 404) return;
    if (!metrics.ok) throw new Error(`the metrics cannot be read: ${metrics.status}`);
    this.#search("the metrics", await metrics.text());
  }

  /** Searches all that a server has said, once it has ended. */
  async searchLog({ log }) {
    this.#searchFile(basename(log), await readFile(log));
  }

  /** Fails if something was found since it was last asked. */
  async judge() {
    await Promise.all(this.#printed.splice(0));
    const found = this.#found.splice(0);
    if (found.length === 0) return;
    const list = found.slice(0, 20).map(({ where, text }) => `\n- ${where}: ${JSON.stringify(text)}`);
    const error = new Error(`${found.length} times a token or a key was found, in${list.join("")}`);
    throw Object.defineProperty(error, "found", { value: found });
  }

  #searchFile(file, bytes) {
    this.looked.files += 1;
    this.looked.bytes += bytes.length;
    this.#search(`the file ${file}`, bytes);
  }

  /** Notes for each needle the first place where it is in a text, or in bytes; whether there is one. */
  #search(where, content) {
    const places = [...this.#needles].map((needle) => content.indexOf(needle)).filter((at) => at >= 0);
    for (const at of places) {
      this.#found.push({ where, text: content.slice(Math.max(0, at - BEFORE), at + AFTER).toString("latin1") });
    }
    return places.length > 0;
  }
}

/** A secret as it may be printed: as text, in an address, and as bytes in hexadecimal or decimal numbers. */
function spellings(secret) {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString("hex");
  const escaped = encodeURIComponent(secret);
  return [secret, escaped, escaped.replaceAll("%20", "+"), hex, hex.toUpperCase(), bytes.join(", "), bytes.join()];
}

function complete(values) {
  return inspect(values, { depth: Infinity, maxArrayLength: Infinity, maxStringLength: Infinity });
}
