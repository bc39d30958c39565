// The browser's side of Web Push (RFC 8030): its subscription.
//
// What is known of the one that this account has is a digest of its endpoint, and the scope of the service worker
// registration that it belongs to, in one text. The browser has the rest.
import { digest } from "./store/database.js";

/** Why the browser does not subscribe. */
class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** Subscribes, or goes on with the subscription that is known. */
export async function subscribe(registration, key, known) {
  if (!isRegistration(registration)) {
    throw new Refusal("invalid", "registration: expected a ServiceWorkerRegistration");
  }
  return explained(async () => {
    const manager = registration.pushManager;
    if (!manager) throw new Refusal("unsupported", "this browser has no push");
    const present = await manager.getSubscription();
    if (present && (await isOwn(present, known))) return told(present);
    await present?.unsubscribe();
    return begin(registration, key);
  });
}

/** What is known, or a new one where the browser has ended it by itself. Undefined: push is not to be any more. */
export async function renew(key, known) {
  return explained(async () => {
    const registration = await registered(known);
    if (!registration) return undefined;
    const present = await registration.pushManager.getSubscription();
    if (present) return (await isOwn(present, known)) ? told(present) : undefined;
    const permitted = (await registration.pushManager.permissionState({ userVisibleOnly: true })) === "granted";
    // Or the user has changed their mind.
    return permitted ? begin(registration, key) : undefined;
  });
}

/** Ends the subscription that is known, if it can be found from here. Whether it could. */
export async function unsubscribe(known) {
  const subscription = (await find(known))?.[1];
  return Boolean(await subscription?.unsubscribe());
}

/** The registration of the subscription that is known, if it is to be found from here; else null. */
export async function registration(known) {
  return (await find(known))?.[0] ?? null;
}

async function begin(registration, applicationServerKey) {
  // Browsers push for nothing else than what is shown.
  const options = { userVisibleOnly: true, applicationServerKey };
  const subscription = await registration.pushManager.subscribe(options);
  return told(subscription, `${await digest(subscription.endpoint)} ${registration.scope}`);
}

/** Where the server pushes to, under which keys, and what is to be known from now on, if that is new. */
function told(subscription, known) {
  const keys = ["p256dh", "auth"].map((name) => {
    const key = subscription.getKey(name);
    if (!key) throw new Refusal("unsupported", "this browser's push is not encrypted");
    return new Uint8Array(key);
  });
  return [subscription.endpoint, ...keys, known];
}

async function find(known) {
  const registration = await registered(known);
  const present = await registration?.pushManager.getSubscription();
  return present && (await isOwn(present, known)) ? [registration, present] : undefined;
}

/** The registration that push was enabled with. */
async function registered(known) {
  const scope = known?.slice(known.indexOf(" ") + 1);
  const own = globalThis.registration;
  // All of this origin; in a service worker its own.
  const all = isRegistration(own) ? [own] : ((await navigator.serviceWorker?.getRegistrations()) ?? []);
  return known && all.find((registration) => registration.scope === scope);
}

function isRegistration(value) {
  try {
    return Boolean(globalThis.ServiceWorkerRegistration && value instanceof ServiceWorkerRegistration);
  } catch {
    // A proxy may throw whatever it is asked.
    return false;
  }
}

/** Whether it is this account's, and not another's that has used the registration. */
async function isOwn(subscription, known) {
  return Boolean(known?.startsWith(`${await digest(subscription.endpoint)} `));
}

async function explained(work) {
  try {
    return await work();
  } catch (thrown) {
    if (thrown instanceof Refusal) throw thrown;
    const codes = {
      NotAllowedError: "forbidden",
      AbortError: "offline",
      NetworkError: "offline",
      NotSupportedError: "unsupported",
    };
    throw new Refusal(codes[thrown?.name] ?? "invalid", `push: ${thrown?.message ?? thrown}`);
  }
}
