// tutti-sync/react: what a client knows, as React hooks.
//
// Each takes the client from `SyncProvider`, which may be null while it is still opening, as on a server: a hook gives
// what its store begins with then. Components that look at the same thing share it, and are rendered when it has
// changed. What has not keeps its identity, so `memo` and dependencies work as one would wish.
import type { FunctionComponent, ReactNode } from "react";
import type { Json, Options, Status, SyncClient } from "./index.js";
import type {
  AnyClient,
  Conversations,
  Devices,
  Entry,
  Notifications,
  NotificationsOptions,
  OneConversation,
  OneSession,
  Opening,
  PresenceOf,
  PresenceOptions,
  Store,
  TimelineActions,
  TimelineOptions,
  TimelineView,
} from "./stores.js";

export type {
  AnyClient,
  Conversations,
  Devices,
  Entry,
  Hole,
  Notifications,
  NotificationsOptions,
  OneConversation,
  OneSession,
  Opening,
  PresenceOf,
  PresenceOptions,
  Reading,
  SessionOf,
  Store,
  TimelineActions,
  TimelineOptions,
  TimelineView,
} from "./stores.js";

/** Gives the hooks below it their client. */
export const SyncProvider: FunctionComponent<{ client: AnyClient | null; children?: ReactNode }>;

/** The provider's client; null while there is none. What changes something is called on it. */
export function useSyncClient<Content = Json>(): SyncClient<Content> | null;

/** Opens a client for as long as the component is mounted, and another one when account or address change; of the
 *  other options those hold that were there first. Null: nobody is signed in. `entry`: tutti-sync, or tutti-sync/worker as a
 *  module, for a client in a worker. */
export function useOpenClient<Content = Json>(options: Options | null, entry?: Entry): Opening<Content>;

/** How the client is; null while there is none. */
export function useStatus(): Status | null;

/** All conversations, pinned first, then latest activity first. */
export function useConversations<Content = Json>(): Conversations<Content>;

/** One conversation; null: none yet. */
export function useConversation<Content = Json>(id: string | null): OneConversation<Content>;

/** What is seen of a conversation, and what moves it. */
export interface Timeline<Content = Json> extends TimelineView<Content>, TimelineActions {}

/** The messages of a conversation, those on their way included, from the newest page on; null: none yet. */
export function useTimeline<Content = Json>(conversation: string | null, options?: TimelineOptions): Timeline<Content>;

/** Which other accounts type in a conversation. */
export function useTyping(conversation: string | null): readonly string[];

/** How an account is. */
export function usePresence(account: string | null, options?: PresenceOptions): PresenceOf;

/** What the user is doing under a key, on whichever device. */
export function useSession<Fields = { [field: string]: Json }>(key: string | null): OneSession<Fields>;

/** What the account is notified of, the newest first. */
export function useNotifications(options?: NotificationsOptions): Notifications;

/** The account's devices. */
export function useDevices(): Devices;

/** The value of any store: one of tutti-sync/stores, or one of your own. Without `initial` a server renders its value. */
export function useStore<T>(store: Pick<Store<T>, "value" | "subscribe"> & { readonly initial?: T }): T;
