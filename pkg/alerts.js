// What the browser itself shows of notifications. The service worker alone shows them, and only while nobody looks at a
// page of the origin; what has been seen elsewhere is closed.

/** Most alerts for what comes at once: after a long absence nobody wants two hundred. */
const AT_ONCE = 3;

/** As the browser knows an alert: of two with one tag there is one. */
export const tagOf = (id) => `tutti-${id}`;

/** In a page: has the service worker show what comes, closes what has been seen, and goes on with push. Each tab does,
 *  since none knows whether another will; the service worker shows each once, and to go on twice is to go on. */
export function mirrorAlerts(client) {
  const container = globalThis.navigator?.serviceWorker;
  if (!container || "registration" in globalThis) return;
  client.on("notifications", (changed) => {
    // Without push, or once the client is closed, there is nothing to be done.
    mirror(client, changed).catch(() => {});
  });
  // A client that nobody uses any more is not kept for this.
  const weak = new WeakRef(client);
  const renew = () => weak.deref()?.renewPush().catch(() => {});
  if (client.status().connection === "online") renew();
  const off = client.on("status", ({ connection }) => {
    if (connection !== "online") return;
    off();
    renew();
  });
  container.addEventListener("message", ({ data }) => {
    if (data?.tutti === "renew") renew();
  });
}

async function mirror(client, changed) {
  const registration = await client.pushRegistration();
  if (!registration) return;
  await closeSeen(registration, changed);
  const news = changed.filter(({ state }) => state === "unread").slice(0, AT_ONCE);
  for (const notification of news) {
    registration.active?.postMessage({ tutti: "alert", account: client.account, notification });
  }
}

/** Closes alerts of notifications that have been read or dismissed, on whichever device. */
export async function closeSeen(registration, notifications) {
  const seen = new Set(notifications.filter(({ state }) => state !== "unread").map(({ id }) => tagOf(id)));
  if (seen.size === 0) return;
  for (const alert of await registration.getNotifications()) {
    if (seen.has(alert.tag)) alert.close();
  }
}
