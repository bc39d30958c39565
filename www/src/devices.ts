import type { Device, Platform, SyncClient } from "tutti-sync";
import { Cell, useCell } from "./cell";
import { useChat } from "./sync";
import { count } from "./text";
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

/** Whether it was registered by name and may never have been there; then nobody knows what it is. */
export function isNew({ online, lastSeen, registeredAt }: Device): boolean {
  return !online && lastSeen === registeredAt;
}

/** "Browser, online", "Phone or tablet, last here Yesterday, 14:05", "Added 14:05" */
export function describeDevice(device: Device, connected: boolean): string {
  if (isNew(device)) return `Added ${dayAndTime(device.registeredAt)}`;
  const online = connected ? "online" : "was online";
  return `${KINDS[device.platform]}, ${device.online ? online : `last here ${dayAndTime(device.lastSeen)}`}`;
}

/** "3 devices, 2 online" */
export function countDevices(devices: readonly Device[], connected: boolean): string {
  const online = devices.filter((device) => device.online).length;
  return count(devices.length, "device") + (connected ? `, ${online} online` : "");
}
