import type { Platform, Presence } from "tutti-sync";
import { dayAndTime } from "./time";

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
