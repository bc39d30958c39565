// What is left of an account in a browser: its database, its lock, and whoever answers on its channel.
import { createHash } from "node:crypto";
import assert from "node:assert/strict";
import { inPage } from "./client.mjs";
import { until } from "./until.mjs";

/** What an account's database, lock and channel are called. */
export function nameOf(account) {
  return `tutti-${createHash("sha256").update(`tutti:${account}`).digest("hex").slice(0, 32)}`;
}

/** The databases and locks of an account, as any page of the browser can see them. */
export function remains(page, account) {
  const look = async (name) => {
    const { held, pending } = await navigator.locks.query();
    const own = (list) => list.filter((it) => it.name === name).length;
    return { databases: own(await indexedDB.databases()), locks: own(held) + own(pending) };
  };
  return inPage(page, look, nameOf(account));
}

/** Waits until there is neither. */
export async function untilNothingRemains(page, account) {
  let last;
  const nothing = async () => {
    last = await remains(page, account);
    return last.databases === 0 && last.locks === 0;
  };
  await until(`nothing of ${account} remains`, nothing).catch((error) => {
    throw new Error(`${error.message}; there is ${JSON.stringify(last)}`);
  });
}

/** Listens on an account's channel in pages which may also have clients, and asks those clients to answer. */
export class Eavesdropper {
  #name;
  #pages;
  #stranger;
  #frames;

  /** `pages`: all those in which there may be clients. `heard`: a page that was opened as odd.html, with a client. */
  static async among(account, pages, heard, stranger) {
    const eavesdropper = new Eavesdropper();
    eavesdropper.#name = nameOf(account);
    eavesdropper.#pages = pages;
    eavesdropper.#stranger = stranger;
    // Whatever its clients have said to each other by now.
    const frames = () => inPage(heard, () => odd.frames.filter((it) => it instanceof Uint8Array).map((it) => [...it]));
    eavesdropper.#frames = await until("they have talked", async () => {
      const all = await frames();
      return all.length > 0 && all;
    });
    for (const page of pages) await inPage(page, echo, eavesdropper.#name);
    await inPage(stranger, listen, eavesdropper.#name);
    // Else it would prove nothing that nobody answers.
    await until("those who are there answer", async () => (await eavesdropper.answers()) > 0);
    return eavesdropper;
  }

  /** Says all that again, as a tab that nobody knows; how many frames that brings. */
  async answers() {
    await inPage(this.#stranger, say, this.#frames);
    // What a page has said before it echoes is here before the echo. Whoever is slow has three rounds.
    for (let round = 0; round < 3; round += 1) {
      const echoes = await inPage(this.#stranger, askForEcho);
      await until("all pages have heard it", async () => (await inPage(this.#stranger, () => heard.echoes)) >= echoes + this.#pages.length);
    }
    return inPage(this.#stranger, () => heard.frames);
  }

  async isAlone() {
    assert.equal(await this.answers(), 0, "nobody answers on the channel");
  }
}

/** In a page: lets others know that it has heard all that was said on the channel before. */
function echo(name) {
  globalThis.echoing = new BroadcastChannel(name);
  echoing.onmessage = ({ data }) => data === "heard?" && echoing.postMessage("heard");
}

function listen(name) {
  globalThis.heard = { channel: new BroadcastChannel(name), frames: 0, echoes: 0 };
  heard.channel.onmessage = ({ data }) => {
    if (data === "heard") heard.echoes += 1;
    else heard.frames += 1;
  };
}

function say(frames) {
  heard.frames = 0;
  const stranger = crypto.getRandomValues(new Uint8Array(16));
  for (const frame of frames) {
    const own = Uint8Array.from(frame);
    own.set(stranger, 2); // who says it
    heard.channel.postMessage(own);
  }
}

function askForEcho() {
  const { echoes } = heard;
  heard.channel.postMessage("heard?");
  return echoes;
}
