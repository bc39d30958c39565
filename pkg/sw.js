// The service worker: on a push it syncs, so that what was pushed is on this device, shows what is to be shown, and lets
// go. Use it as it is,
//
//     navigator.serviceWorker.register(new URL("tutti-sync/sw", import.meta.url), { type: "module" });
//
// or in a worker of your own, which a bundler may put into one file with this:
//
//     import { serve } from "tutti-sync/sw";
//     serve({ url: "wss://chat.example/sync" });
import init, { SyncClient } from "./index.js";
import { closeSeen, tagOf } from "./alerts.js";

/** How long is waited for a sync, in milliseconds, before what was pushed is shown whatever has become of it: browsers
 *  end a worker that keeps a push for half a minute. */
const PATIENCE = 15_000;

let options = {};

/** Sets how it serves, which it does from the start: browsers want listeners to be there by then. */
export function serve(chosen = {}) {
  options = chosen;
}

self.addEventListener("push", (event) => event.waitUntil(pushed(event.data)));
self.addEventListener("message", (event) => {
  if (event.data?.tutti === "alert") event.waitUntil(alert(event.data));
});
self.addEventListener("pushsubscriptionchange", (event) => event.waitUntil(changed()));
self.addEventListener("notificationclick", (event) => event.waitUntil(clicked(event.notification)));

/** What the server says in a push: for which account, of what, and a token for this device alone. */
function read(data) {
  try {
    const { account, token, notification } = data.json().tutti;
    return typeof notification.id === "string" && typeof account === "string" ? { account, token, notification } : null;
  } catch {
    return null; // another's
  }
}

async function pushed(data) {
  const push = read(data);
  // Nothing is shown of an account that was erased here.
  if (!push || !(await isHere(push.account))) return;
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE, false));
  const seen = await Promise.race([sync(push).catch(() => false), late]);
  if (!seen) await alert(push);
}

/** Brings this device in step. Whether what was pushed has been seen already, here or elsewhere. */
async function sync({ account, token, notification }) {
  await init(options.wasm);
  const client = await SyncClient.open({
    url: options.url ?? `${self.location.protocol === "https:" ? "wss" : "ws"}://${self.location.host}/sync`,
    account,
    token: options.token ? () => options.token(account) : token,
    // Nobody is there.
    config: { sharePresence: false, shareTyping: false },
  });
  try {
    await client.syncNow();
    const known = await client.notifications({ includeDismissed: true });
    await closeSeen(self.registration, known);
    return known.some(({ id, state }) => id === notification.id && state !== "unread");
  } finally {
    await client.close();
  }
}

/** Shows a notification once, unless somebody looks at a page of this origin, which shows it as it likes. */
async function alert({ account, notification }) {
  const pages = await openPages();
  if (pages.some(({ visibilityState }) => visibilityState === "visible")) return;
  const tag = tagOf(notification.id);
  if ((await self.registration.getNotifications({ tag })).length > 0) return;
  const { title = notification.title, ...more } = (await options.present?.(notification, account)) ?? {};
  const data = { tutti: { account, notification } };
  const shown = { body: notification.body, ...more, tag, data };
  await self.registration.showNotification(title, shown);
}

/** The browser has ended the subscription, perhaps for another. For which account it was only a page knows: those that
 *  are open subscribe anew, or the next one does. */
async function changed() {
  const other = await self.registration.pushManager.getSubscription();
  await other?.unsubscribe();
  for (const page of await openPages()) page.postMessage({ tutti: "renew" });
}

async function clicked(shown) {
  const clicked = shown.data?.tutti;
  if (!clicked) return;
  shown.close();
  const pages = await openPages();
  const page = pages[0] ? await pages[0].focus() : await self.clients.openWindow(options.page ?? self.registration.scope);
  page?.postMessage({ tutti: "clicked", ...clicked });
}

/** All pages of this origin. */
const openPages = () => self.clients.matchAll({ type: "window", includeUncontrolled: true });

/** Whether this browser has a copy of the account. */
async function isHere(account) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`tutti:${account}`));
  const hex = Array.from(new Uint8Array(digest, 0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return (await indexedDB.databases()).some(({ name }) => name === `tutti-${hex}`);
}
