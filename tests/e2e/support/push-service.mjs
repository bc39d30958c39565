// A push service of the test's own (RFC 8030), and the browser's part beside it: keys that it makes, and what it can
// decrypt with them, by another implementation than the server's.
import { createECDH, createPublicKey, randomBytes, randomUUID, verify } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { decrypt } from "http_ece";
import { until } from "./until.mjs";

export class PushService {
  /** What came, in order: `{ path, headers, body }`. */
  pushes = [];
  /** What is answered to each push. */
  status = 201;
  #server = createServer((request, response) => void this.#take(request, response));
  #subscriptions = new Map();

  static async start() {
    const service = new PushService();
    service.#server.listen(0, "127.0.0.1");
    await once(service.#server, "listening");
    return service;
  }

  get origin() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** A subscription, as a browser makes one: its address and its public keys. */
  subscribe() {
    const path = `/push/${randomUUID()}`;
    const keys = createECDH("prime256v1");
    keys.generateKeys();
    const auth = randomBytes(16);
    this.#subscriptions.set(path, { keys, auth });
    const base64 = (bytes) => bytes.toString("base64url");
    return { endpoint: this.origin + path, p256dh: base64(keys.getPublicKey()), auth: base64(auth) };
  }

  /** Waits for the next push after so many, and reads it: who signed it, and what only the subscriber can read. */
  async push(after = 0) {
    await until(`push ${after + 1} has come`, () => this.pushes.length > after);
    return this.read(this.pushes[after]);
  }

  read({ path, headers, body }) {
    const { keys, auth } = this.#subscriptions.get(path);
    const plain = decrypt(body, { version: "aes128gcm", privateKey: keys, authSecret: auth.toString("base64url") });
    return { headers, signer: this.#signer(headers.authorization), text: plain.toString(), length: body.length };
  }

  /** Who pushes (RFC 8292), if the signature holds. */
  #signer(authorization) {
    const [, token, key] = /^vapid t=([^,]+), *k=(.+)$/.exec(authorization);
    const [header, claims, signature] = token.split(".");
    const point = Buffer.from(key, "base64url");
    const [x, y] = [point.subarray(1, 33), point.subarray(33)].map((part) => part.toString("base64url"));
    const publicKey = createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
    const signed = Buffer.from(`${header}.${claims}`);
    const good = verify(
      "sha256",
      signed,
      { key: publicKey, dsaEncoding: "ieee-p1363" },
      Buffer.from(signature, "base64url"),
    );
    const read = (part) => JSON.parse(Buffer.from(part, "base64url"));
    return { good, key, header: read(header), claims: read(claims) };
  }

  async #take(request, response) {
    const parts = [];
    for await (const part of request) parts.push(part);
    this.pushes.push({ path: request.url, headers: request.headers, body: Buffer.concat(parts) });
    response.writeHead(this.status).end();
  }

  async end() {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/**
 * Headless browsers reach no push service. This puts the test's in its place, in a page: all but what a subscription is
 * stays the browser's own.
 */
export function subscribeTo(page, subscription, { subscribed = false } = {}) {
  return page.evaluate(({ endpoint, p256dh, auth, subscribed }) => {
    const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (at) => at.charCodeAt(0)).buffer;
    const made = {
      endpoint,
      getKey: (name) => bytes({ p256dh, auth }[name]),
      unsubscribe: async () => ((pushing.subscribed = null), true),
    };
    globalThis.pushing = { subscribed: subscribed ? made : null, asked: [] };
    PushManager.prototype.getSubscription = async () => pushing.subscribed;
    PushManager.prototype.subscribe = async (options) => {
      pushing.asked.push({ ...options });
      return (pushing.subscribed = made);
    };
  }, { ...subscription, subscribed });
}

/** Hands what was pushed to the service worker of an origin, as the browser does when a push comes in. */
export async function deliver(page, origin, data) {
  const session = await page.context().newCDPSession(page);
  const registration = new Promise((found) =>
    session.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => {
      const ours = registrations.find(({ scopeURL, isDeleted }) => !isDeleted && scopeURL.startsWith(origin));
      if (ours) found(ours.registrationId);
    }),
  );
  await session.send("ServiceWorker.enable");
  const registrationId = await registration;
  await session.send("ServiceWorker.deliverPushMessage", { origin, registrationId, data });
}

/** Hands it over, and waits until the service worker, which runs already, is through with it. Gives the worker. */
export async function deliverWhole(page, origin, data) {
  const worker = await running(page, origin);
  await worker.evaluate(() => {
    globalThis.pushes = [];
    const { waitUntil } = ExtendableEvent.prototype;
    ExtendableEvent.prototype.waitUntil = function (work) {
      if (this.type === "push") pushes.push(work);
      waitUntil.call(this, work);
    };
  });
  await deliver(page, origin, data);
  await until("the push has come", () => worker.evaluate(() => pushes.length > 0));
  await worker.evaluate(() => Promise.all(pushes));
  return worker;
}

/** The service worker of an origin, once it runs. */
export function running(page, origin) {
  return until("the service worker runs", () =>
    page.context().serviceWorkers().find((worker) => worker.url().startsWith(origin)),
  );
}
