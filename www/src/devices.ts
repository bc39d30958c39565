import type { Device, Platform, SyncClient } from "tutti-sync";
import { Cell, useCell } from "./cell";
import { useChat } from "./sync";
import { dayAndTime } from "./time";

/** The account's devices, as far as the server has told of them. */
export class Devices {
  /** Null until they are known. Without a connection they are what they were. */
  readonly list = new Cell<readonly Device[] | null>(null);
  readonly #client: SyncClient;
  readonly #off: (() => void)[];
  #online = false;

  constructor(client: SyncClient) {
    this.#client = client;
    this.#off = [
      client.on("devices", this.list.set),
      client.on("status", ({ connection }) => this.#connected(connection === "online")),
    ];
    this.#connected(client.status().connection === "online");
  }

  /** What a device is called, while that is known. */
  nameOf(id: string): string | null {
    return this.list.get()?.find((device) => device.id === id)?.name ?? null;
  }

  close(): void {
    for (const off of this.#off) off();
  }

  /** What has changed while there was no connection is not told afterwards. */
  #connected(online: boolean): void {
    if (online === this.#online) return;
    this.#online = online;
    if (!online) return;
    const before = this.list.get();
    this.#client.devices().then(
      // What was told meanwhile is newer.
      (devices) => this.list.get() === before && this.list.set(devices),
      // It is asked for on the next connection, or told when something changes.
      () => {},
    );
  }
}

export const useDevices = (): readonly Device[] | null => useCell(useChat().devices.list);

/** What this device is called, by whichever device it was named last. */
export function useDeviceName(chosen: string): string {
  return useDevices()?.find(({ current }) => current)?.name ?? chosen;
}

const KINDS: Record<Platform, string> = {
  web: "Browser",
  desktop: "Computer",
  mobile: "Phone or tablet",
  miniprogram: "Mini-program",
};

export function kindOf({ platform }: Device): string {
  return KINDS[platform];
}

/** "online", "last here Yesterday, 14:05", "never here" */
export function whenHere({ online, lastSeen, registeredAt }: Device): string {
  if (online) return "online";
  return lastSeen === registeredAt ? `added ${dayAndTime(registeredAt)}` : `last here ${dayAndTime(lastSeen)}`;
}
