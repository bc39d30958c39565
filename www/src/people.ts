import type { Platform, Presence, SyncClient } from "tutti-sync";
import { Cell, useCell } from "./cell";
import { useChat } from "./sync";
import { dayAndTime } from "./time";

/** What the user can say to be. */
export type Availability = Parameters<SyncClient["setPresence"]>[0];

/** A status of this application's own: it reaches those who are there, and nobody later. */
const WAVE = "wave";
/** How long a wave is on screen, in milliseconds. */
const WAVE_MS = 5_000;

const NOBODY: readonly string[] = [];

/** Who is there, who types, who waves: what holds at this moment only, and is nowhere kept. */
export class People {
  readonly #client: SyncClient;
  readonly #presences = new Map<string, Cell<Presence | null>>();
  readonly #typing = new Map<string, Cell<readonly string[]>>();
  readonly #waving = new Map<string, Cell<readonly string[]>>();
  readonly #waves = new Map<string, number>();
  readonly #asked = new Set<string>();
  readonly #off: (() => void)[];
  #online: boolean;

  constructor(client: SyncClient) {
    this.#client = client;
    this.#online = client.status().connection === "online";
    this.#off = [
      client.on("presence", (presence) => this.presence(presence.account).set(presence)),
      client.on("typing", ({ conversation, account, typing }) => {
        if (account !== client.account) mark(this.typing(conversation), account, typing);
      }),
      client.on("custom-status", ({ conversation, account, type }) => {
        if (type === WAVE && account !== client.account) this.#showWave(conversation, account);
      }),
      client.on("status", ({ connection }) => {
        const online = connection === "online";
        if (online === this.#online) return;
        this.#online = online;
        // Without a connection nobody knows; on the next one nothing is told before it is asked for.
        for (const cell of this.#presences.values()) cell.set(null);
        if (online) for (const account of this.#asked) this.#ask(account);
      }),
    ];
  }

  /** How somebody is. Null: that is not known, for instance without a connection. */
  presence(account: string): Cell<Presence | null> {
    return cellOf(this.#presences, account, null);
  }

  /** Has the server say how somebody is, now and on each connection. Changes are told without that. */
  ask(account: string): void {
    this.#asked.add(account);
    if (this.#online && this.presence(account).get() === null) this.#ask(account);
  }

  /** Who else types in a conversation. */
  typing(conversation: string): Cell<readonly string[]> {
    return cellOf(this.#typing, conversation, NOBODY);
  }

  /** Who has just waved in a conversation. */
  waving(conversation: string): Cell<readonly string[]> {
    return cellOf(this.#waving, conversation, NOBODY);
  }

  wave(conversation: string): void {
    this.#client.sendStatus(conversation, WAVE, null);
  }

  close(): void {
    for (const off of this.#off) off();
    for (const timer of this.#waves.values()) clearTimeout(timer);
  }

  #ask(account: string): void {
    const cell = this.presence(account);
    // What was told meanwhile is newer. Not to know how somebody is, is no trouble to tell the user of.
    this.#client.presence(account).then(
      (presence) => cell.get() === null && this.#online && cell.set(presence),
      () => {},
    );
  }

  #showWave(conversation: string, account: string): void {
    const who = JSON.stringify([conversation, account]);
    clearTimeout(this.#waves.get(who));
    mark(this.waving(conversation), account, true);
    const end = () => mark(this.waving(conversation), account, false);
    this.#waves.set(who, window.setTimeout(end, WAVE_MS));
  }
}

function cellOf<T>(cells: Map<string, Cell<T>>, key: string, initial: T): Cell<T> {
  let cell = cells.get(key);
  if (cell === undefined) cells.set(key, (cell = new Cell(initial)));
  return cell;
}

function mark(cell: Cell<readonly string[]>, account: string, is: boolean): void {
  const others = cell.get().filter((other) => other !== account);
  cell.set(is ? [...others, account] : others);
}

export const useTyping = (conversation: string): readonly string[] => useCell(useChat().people.typing(conversation));
export const useWaving = (conversation: string): readonly string[] => useCell(useChat().people.waving(conversation));
export const usePresence = (account: string): Presence | null => useCell(useChat().people.presence(account));

const PLATFORMS: Record<Platform, string> = {
  mobile: "mobile",
  web: "web",
  desktop: "desktop",
  miniprogram: "mini-program",
};

/** "online on web and mobile", "offline, last seen Yesterday, 14:05" */
export function describePresence({ presence, platforms, lastSeen }: Presence): string {
  if (lastSeen !== null) return `${presence}, last seen ${dayAndTime(lastSeen)}`;
  const names = platforms.map((platform) => PLATFORMS[platform]);
  return names.length > 0 ? `${presence} on ${inWords(names)}` : presence;
}

/** "ann, bob and cid" */
export function inWords(names: readonly string[]): string {
  return new Intl.ListFormat("en", { type: "conjunction" }).format(names);
}
