// tutti-sync/stores: what a client knows, as values over time that any framework can show.
//
// Each store is shared by all who ask for it with the same client and the same arguments. It begins with its first
// subscriber and ends with its last; until then, and for a client that is null since it is still opening, its value is
// the initial one. What has not changed keeps its identity, element by element.
import type {
  Conversation,
  Device,
  HistoryPage,
  Json,
  Message,
  Notification,
  Options,
  Presence,
  Session,
  Status,
  SyncClient,
  SyncError,
} from "./index.js";

/** A value over time: a store as Svelte has them, and all that React's `useSyncExternalStore` and Solid's `from` need. */
export interface Store<T> {
  readonly value: T;
  /** What it begins with, and what a server renders. */
  readonly initial: T;
  /** Calls the listener at once, and whenever the value is another one, until the returned function is called. One that
   *  throws is reported and the others still hear. */
  subscribe(listener: (value: T) => void): () => void;
}

/** A client, whatever its messages say. */
export type AnyClient = SyncClient<any>;

/** A session whose fields are of a type, as far as they are there. */
export type SessionOf<Fields> = Omit<Session, "fields"> & { fields: Partial<Fields> };

/** Positions that are in the view, but not on this device, and why. */
export type Hole = HistoryPage["holes"][number];

/** Something that is read. */
export interface Reading {
  /** It has not been read yet. */
  readonly loading: boolean;
  /** Why it could not be read the last time. What was known before stays. */
  readonly error: SyncError | null;
}

/** How the client is; null while there is none. */
export function statusStore(client: AnyClient | null): Store<Status | null>;

/** All conversations. */
export interface Conversations<Content = Json> extends Reading {
  /** Pinned first, then latest activity first. */
  readonly conversations: readonly Conversation<Content>[];
}

/** All conversations, in step with what happens to them. */
export function conversationsStore<Content = Json>(client: SyncClient<Content> | null): Store<Conversations<Content>>;

/** One conversation. */
export interface OneConversation<Content = Json> extends Reading {
  /** Null while it is not known, and while there is none. */
  readonly conversation: Conversation<Content> | null;
}

/** One conversation; with an `id` that is null there is none. It hears of no other. */
export function conversationStore<Content = Json>(
  client: SyncClient<Content> | null,
  id: string | null,
): Store<OneConversation<Content>>;

/** What is seen of a conversation. */
export interface TimelineView<Content = Json> {
  /** Oldest first, in the same order in all tabs: by position, then those on their way, as they were written. A message
   *  keeps its id from pending to sent, so it is a good key. */
  readonly messages: readonly Message<Content>[];
  /** What should be between these messages and is not on this device. There are no other gaps. They are read again when
   *  there is a connection. */
  readonly holes: readonly Hole[];
  /** Whether there are messages before these. */
  readonly hasOlder: boolean;
  /** Whether there are messages after these: never, unless a `limit` or `loadAround` has let go of the newest. */
  readonly hasNewer: boolean;
  /** What is being read to be shown. It begins with "latest" or "around". */
  readonly loading: "latest" | "around" | "older" | "newer" | null;
  /** Why that could not be read. What was shown before stays. */
  readonly error: SyncError | null;
}

/** What moves the view. As long as nobody looks, it does nothing. No promise rejects: see `error`. */
export interface TimelineActions {
  /** Reads the page before, if there is one. Of several calls at once there is one page. */
  loadOlder(this: void): Promise<void>;
  /** Reads the page after, if there is one. */
  loadNewer(this: void): Promise<void>;
  /** Goes to the newest message, which is read only if it is not in view, and follows. */
  loadLatest(this: void): Promise<void>;
  /** Goes to a message and what is around it, or to the newest if it is nowhere, and says whether it was found. */
  loadAround(this: void, message: string): Promise<boolean>;
  /** Whether the reader is at the newest message, and stays there as more arrive: it is the oldest then that a `limit`
   *  lets go of. It is so until something else is said. */
  follow(this: void, following: boolean): void;
}

/** A view of its own for each set of options, which is shared by those who have the same ones. */
export interface TimelineOptions {
  /** The message around which it begins; by default it begins with the newest. */
  at?: string | null | undefined;
  /** Messages read at a time: 50 by default, at most 1,000. */
  page?: number | undefined;
  /** Messages kept at most, at least two pages; what is beyond can be loaded again. By default all are kept. */
  limit?: number | undefined;
}

/** A timeline, with what moves it. */
export interface TimelineStore<Content = Json> extends Store<TimelineView<Content>>, TimelineActions {}

/** The messages of a conversation, those on their way included, from the newest page on; null: of none. */
export function timelineStore<Content = Json>(
  client: SyncClient<Content> | null,
  conversation: string | null,
  options?: TimelineOptions,
): TimelineStore<Content>;

/** Which other accounts type in a conversation. Typing that began before anybody looked is not known: subscribe to
 *  `allTypingStore` as soon as there is a client, as `SyncProvider` does. */
export function typingStore(client: AnyClient | null, conversation: string | null): Store<readonly string[]>;

/** The same, of all conversations. */
export function allTypingStore(client: AnyClient): Store<ReadonlyMap<string, readonly string[]>>;

/** How an account is. */
export interface PresenceOf {
  /** Null while it is not known, for instance without a connection. */
  readonly presence: Presence | null;
  /** Why the server did not say. It is asked again on the next connection. */
  readonly error: SyncError | null;
}

/** How that is to be known. */
export interface PresenceOptions {
  /** Whether the server is asked, now and on each connection. Otherwise there is only what it tells by itself: changes,
   *  which is as much as a long list should have. Default true. */
  ask?: boolean | undefined;
}

/** How an account is, as far as it shares that; null: none. */
export function presenceStore(
  client: AnyClient | null,
  account: string | null,
  options?: PresenceOptions,
): Store<PresenceOf>;

/** What the user is doing under a key. */
export interface OneSession<Fields = { [field: string]: Json }> extends Reading {
  /** Null while it is not known, and while there is none. */
  readonly session: SessionOf<Fields> | null;
  /** Where it was changed last, while somebody looked; null: it was like this before. */
  readonly origin: "local" | "tab" | "remote" | null;
}

/** What the user is doing under a key, on whichever device; null: under none. */
export function sessionStore<Fields = { [field: string]: Json }>(
  client: AnyClient | null,
  key: string | null,
): Store<OneSession<Fields>>;

/** What the account is notified of. */
export interface Notifications extends Reading {
  /** The newest first. */
  readonly notifications: readonly Notification[];
}

/** Which of them. */
export interface NotificationsOptions {
  /** Whether also those that were dismissed. Default false. */
  includeDismissed?: boolean | undefined;
}

/** What the account is notified of, the same on all devices. */
export function notificationsStore(client: AnyClient | null, options?: NotificationsOptions): Store<Notifications>;

/** The account's devices. */
export interface Devices extends Reading {
  /** The first registered first; null until the server has told. Without a connection they are what they were. */
  readonly devices: readonly Device[] | null;
}

/** The account's devices, asked of the server on each connection, and as it tells. */
export function devicesStore(client: AnyClient | null): Store<Devices>;

/** A client, as far as it is open. */
export interface Opening<Content = Json> {
  /** Null while it opens, and if it cannot. */
  readonly client: SyncClient<Content> | null;
  /** Why it cannot. */
  readonly error: SyncError | null;
}

/** A client that is open from the first subscriber to the last; null: none. It calls `init` by itself: if the
 *  WebAssembly lies somewhere else, call that first. Not shared: each call is a client of its own. `entry` says whose
 *  client: tutti-sync's, or tutti-sync/worker's, each as a module. */
export function openingStore<Content = Json>(options: Options | null, entry?: Entry): Store<Opening<Content>>;

/** What opens clients: tutti-sync, or tutti-sync/worker. */
export type Entry = Pick<typeof import("./index.js"), "default" | "SyncClient">;
