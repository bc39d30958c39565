// tutti-sync/sw: the service worker's part of push.
import type { Notification } from "./index.js";

export interface WorkerOptions {
  /** Where the sync server listens; by default `/sync` of the worker's own origin. */
  url?: string;
  /** A user token; by default the one that comes with the push, which is for this device alone. */
  token?: (account: string) => string | Promise<string>;
  /** As for `init`: where the WebAssembly module is. */
  wasm?: RequestInfo | URL | Response | BufferSource | WebAssembly.Module;
  /** What to show instead of, or beside, the notification's title and body: an icon, actions, another text. */
  present?: (notification: Pick<Notification, "id" | "title" | "body" | "conversation" | "message">, account: string) =>
    NotificationOptions & { title?: string } | Promise<NotificationOptions & { title?: string }>;
  /** What a click opens when no page of the origin is open; by default the worker's scope. A page that is open is focused.
   *  Either is told by a message: `{ tutti: "clicked", account, notification }`. */
  page?: string;
}

/** Sets how the worker serves. Call it while the worker's script runs for the first time; to import this is to serve. */
export function serve(options?: WorkerOptions): void;
