// tutti-sync/testing: a server in memory for an application's own tests, and the network to it.
//
// The clients are the real ones, and so are the server's rules. In a browser they keep what they have in IndexedDB, as ever;
// in Node (20.16 or newer) in memory, and each is a device of its own. The server is found by the clients of its own page
// or process alone, and pushes to nobody.
import type { Json, Options } from "./index.js";

export interface TestServerOptions {
  /** The server's clock: milliseconds since the Unix epoch. Default `Date.now`. */
  clock?: () => number;
  /** As for `init`: where the server's WebAssembly module is. */
  wasm?: RequestInfo | URL | Response | BufferSource | WebAssembly.Module;
}

/** Starts a server, and loads what it and the clients need: nobody has to call `init`. From now on `WebSocket` and `fetch`
 *  find it, until it is closed; whatever is for others they leave alone. */
export function createTestServer(options?: TestServerOptions): Promise<TestServer>;

/** What your back end would do over HTTP is a method here, of the same fields. What makes no sense, or is refused, throws. */
export interface TestServer {
  /** Where it listens. */
  readonly url: string;
  /** A token for an account, for ever. Any name is an account's. */
  token(account: string): string;
  /** What an account's client opens with: `SyncClient.open(server.options("ann"))`. */
  options(account: string): Options;
  readonly network: TestNetwork;

  /** Makes a group, or changes who is in it, as `PUT /api/groups/{id}`. */
  setGroup(id: string, members: string[]): void;
  /** Sends a message in the name of an account, as `POST /api/messages`. Gives its id. */
  post(message: {
    from: string;
    to: string;
    content: Json;
    type?: string;
    id?: string;
    /** Whether the sender's own devices get it, too. Default false. */
    isIncludeSender?: boolean;
  }): string;
  /** Takes a message of an account's back, as `POST /api/messages/{id}/recall`. */
  recall(message: { from: string; message: string }): void;
  /** Notifies accounts, as `POST /api/notifications`. Gives the notification's id. */
  notify(notification: {
    accounts: string[];
    title: string;
    body: string;
    data?: Json;
    conversation?: string;
    message?: string;
    id?: string;
  }): string;
  /** Removes a device, as `DELETE /api/devices/{id}`. */
  removeDevice(account: string, device: string): void;

  /** Breaks all connections and is found no more. Close the clients first. */
  close(): void;
}

/** All connections to a server. For one client alone there is its own `setOffline`. */
export interface TestNetwork {
  /** Breaks all connections and lets none through. The page's event "offline" and `navigator.onLine` tell, too. */
  offline(): void;
  /** Lets them through again: clients connect at once. */
  online(): void;
  /** How long each frame is on its way from now on, in milliseconds. Default 0: until the next task. */
  latency(milliseconds: number): void;
  /** Breaks all connections once, without a word: clients come again by themselves, after a second or so. */
  drop(): void;
}
