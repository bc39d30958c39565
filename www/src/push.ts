import { SyncError, type SyncClient } from "tutti-sync";
import workerUrl from "./service-worker?worker&url";

/** Whether this browser is told of news while the chat is not open; or why it cannot be. */
export type Push = { state: "on" } | { state: "off" } | { state: "impossible"; why: string };

const BLOCKED = "This browser blocks notifications from this page. You can allow them in its settings for the site.";
const NO_KEY = "This server does not push.";

/** How it is now. Nobody is asked for anything. */
export async function pushNow(client: SyncClient): Promise<Push> {
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) {
    return { state: "impossible", why: "This browser does not push to pages." };
  }
  if ((await client.pushRegistration()) !== null) return { state: "on" };
  if (Notification.permission === "denied") return { state: "impossible", why: BLOCKED };
  if ((await fetchKey()) === null) return { state: "impossible", why: NO_KEY };
  return { state: "off" };
}

/** Asks the user, if need be; so it has to be called when they do something. */
export async function turnOn(client: SyncClient): Promise<Push> {
  const key = await fetchKey();
  if (key === null) return { state: "impossible", why: NO_KEY };
  await client.configure({ pushNotificationSenderId: key });
  const registration = await navigator.serviceWorker.register(workerUrl, { type: "module" });
  try {
    await client.enablePush(registration);
  } catch (error) {
    const refused = error instanceof SyncError && error.code === "forbidden";
    if (refused) return Notification.permission === "denied" ? { state: "impossible", why: BLOCKED } : { state: "off" };
    throw error;
  }
  return { state: "on" };
}

export async function turnOff(client: SyncClient): Promise<Push> {
  await client.disablePush();
  return pushNow(client);
}

/** The key by which the server signs pushes (RFC 8292), or null if it does not push. */
async function fetchKey(): Promise<string | null> {
  const response = await fetch("/api/push");
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`The server did not tell its key (${response.status})`);
  const { public_key } = (await response.json()) as { public_key?: string | null };
  return public_key ?? null;
}
