import type { Device, Platform } from "tutti-sync";
import { useDevices } from "tutti-sync/react";
import { count } from "./text";
import { dayAndTime } from "./time";

/** What this device is called, by whichever device it was named last. */
export function useDeviceName(chosen: string): string {
  return useDevices().devices?.find(({ current }) => current)?.name ?? chosen;
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
