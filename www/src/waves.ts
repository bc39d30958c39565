import type { SyncClient } from "tutti-sync";
import { useStore } from "tutti-sync/react";
import { Cell } from "./cell";
import { useChat } from "./sync";

/** A status of this application's own: it reaches those who are there, and nobody later. */
const WAVE = "wave";
/** How long a wave is on screen, in milliseconds. */
const WAVE_MS = 5_000;

const NOBODY: readonly string[] = [];

/** Who waves: what holds at this moment only, and is nowhere kept. */
export class Waves {
  readonly #client: SyncClient;
  readonly #waving = new Map<string, Cell<readonly string[]>>();
  readonly #timers = new Map<string, number>();

  constructor(client: SyncClient) {
    this.#client = client;
  }

  /** Shows waves until the returned function is called. */
  start(): () => void {
    const off = this.#client.on("custom-status", ({ conversation, account, type }) => {
      if (type === WAVE && account !== this.#client.account) this.#show(conversation, account);
    });
    return () => {
      off();
      for (const timer of this.#timers.values()) clearTimeout(timer);
    };
  }

  /** Who has just waved in a conversation. */
  in(conversation: string): Cell<readonly string[]> {
    let cell = this.#waving.get(conversation);
    if (cell === undefined) this.#waving.set(conversation, (cell = new Cell(NOBODY)));
    return cell;
  }

  wave(conversation: string): void {
    this.#client.sendStatus(conversation, WAVE, null);
  }

  #show(conversation: string, account: string): void {
    const cell = this.in(conversation);
    const others = () => cell.value.filter((other) => other !== account);
    cell.set([...others(), account]);
    const who = JSON.stringify([conversation, account]);
    clearTimeout(this.#timers.get(who));
    this.#timers.set(who, window.setTimeout(() => cell.set(others()), WAVE_MS));
  }
}

export const useWaving = (conversation: string): readonly string[] => useStore(useChat().waves.in(conversation));
