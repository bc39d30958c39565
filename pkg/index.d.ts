// tutti-sync: the public API.
// Every promise rejects with SyncError. Every method can be called in any tab, leader or follower,
// in a Window or a dedicated Worker, and means the same there.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Loads the WebAssembly module. Idempotent. Importing the package alone touches no browser global (safe under SSR). */
export default function init(module?: RequestInfo | URL | Response | BufferSource | WebAssembly.Module): Promise<unknown>;

export interface Options {
  /** Where the sync server listens: wss://host/sync. ws:// is refused except for localhost. */
  url: string | URL;
  /** The account (user id) whose devices are kept in step. */
  account: string;
  /** A user token, or a function that fetches a fresh one whenever the old one has expired. */
  token: string | (() => string | Promise<string>);
  device?: { name?: string; platform?: Platform };
  config?: Partial<Config>;
}

/** What is set holds for all tabs of the profile, until the last of them closes. */
export interface Config {
  /** Whether messages are synced; without it the client keeps to itself, and what is sent waits. Default true. */
  enableMessageSync: boolean;
  /** Whether notifications are synced; without it none are fetched or shown. Turned on again, it brings what was missed.
   *  Default true. */
  enableNotificationSync: boolean;
  /** Whether past days and older history are synced; without it a new device has the list, and what comes. Default true. */
  enableChatHistorySync: boolean;
  /** Whether the device goes without a lasting id: none is stored here, told to others, or kept by the server. To the
   *  server it is another device each time that it is opened anew. Default false. */
  disableDeviceId: boolean;
  /** Minutes between reconciliations, and between polls while there is no place for a connection; default 15, > 0, fractions allowed. */
  syncInterval: number;
  /** Days that a new device catches up on by itself, 1 (default) to 7; the server may give fewer. */
  compensationDays: number;
  /** What is said on the console: this, and all that is worse. Default "warning". */
  logLevel: "debug" | "info" | "warning" | "error";
  /** The application server's key for push (VAPID, RFC 8292) in base64url, as `GET /api/push` tells it. Default null. */
  pushNotificationSenderId: string | null;
  /** Whether others see that this account is typing. Default true. */
  shareTyping: boolean;
  /** Whether others see whether this account is online. Default true. */
  sharePresence: boolean;
  /** Whether others see how far this account has read. Default true. */
  shareReadReceipts: boolean;
}

export type Platform = "mobile" | "web" | "desktop" | "miniprogram";

/** `Content` is what messages say in this application. Nobody checks that: what others send is for it to judge. */
export class SyncClient<Content = Json> {
  /** Opens (or creates) this account's local store, joins the other tabs, and starts to sync. Works offline. */
  static open<Content = Json>(options: Options): Promise<SyncClient<Content>>;

  readonly account: string;
  /** Null with `disableDeviceId`. */
  readonly deviceId: string | null;
  readonly tabId: string;

  // Messages. `conversation` is "direct:<other account>" or "group:<group id>".
  /** Resolves once the message is durable on this device (state "pending"); it survives a crash from then on. */
  send(conversation: string, content: Content, options?: { type?: string; id?: string }): Promise<Message<Content>>;
  /** Gives a message of this account's other content. Of several edits the latest holds, on all devices. */
  edit(messageId: string, content: Content): Promise<void>;
  /** Takes a message of this account's back, for good: its content is erased everywhere. */
  recall(messageId: string): Promise<void>;
  /** Tries a message in state "failed" again. */
  retry(messageId: string): Promise<void>;
  /** Gives up a message that is "pending" or "failed" and was never sequenced. */
  discard(messageId: string): Promise<void>;
  message(messageId: string): Promise<Message<Content> | null>;
  /** Up to `limit` messages before a position, oldest to newest; 50 by default, at most 1,000. Without `before` the
   *  newest, and on top of `limit` those that are on their way. */
  history(conversation: string, page?: { before?: number; limit?: number }): Promise<HistoryPage<Content>>;
  /** Up to `limit` messages on this device that contain all words of the text, newest first; 50 by default, at most
   *  1,000. Words are looked for in the strings of the content, also inside of longer words; upper and lower case are
   *  the same. Those on their way are found as they are shown, recalled ones are not. Works offline. */
  search(text: string, options?: { conversation?: string; limit?: number }): Promise<Message<Content>[]>;

  // Conversations.
  conversations(options?: { limit?: number }): Promise<Conversation<Content>[]>;   // pinned first, then latest activity first
  conversation(id: string): Promise<Conversation<Content> | null>;
  markRead(conversation: string, position?: number): Promise<void>;
  /** Fields that are not given stay as they are. They merge one by one, on all devices. */
  setConversation(conversation: string, settings: { draft?: string | null; muted?: boolean; pinned?: boolean }): Promise<void>;

  // Status: reaches only devices that are online right now; never stored.
  /** Call it as often as you like while the user types: it is sent every 2 s at most. It ends with `false`, with a
   *  message to that conversation, and by itself 6 s after the last call. */
  setTyping(conversation: string, typing?: boolean): void;
  /** Holds for all tabs of this profile, until the last of them closes, and for the account as long as it has
   *  connections and no other device sets something else. Who is "invisible" looks offline to others. */
  setPresence(presence: "online" | "away" | "busy" | "invisible"): void;
  sendStatus(conversation: string, type: string, content: Json): void;
  /** Asks the server. "offline" also for accounts with whom this one shares no conversation. */
  presence(account: string): Promise<Presence>;

  // Session continuity: what the user was doing, carried to the next device. Fields merge one by one.
  /** Up to 32 fields under a key, their values together at most 32 KiB. A null field is removed. */
  setSession(key: string, fields: { [field: string]: Json }): Promise<void>;
  session(key: string): Promise<Session | null>;
  /** By key; those whose key begins with `prefix`. */
  sessions(prefix?: string): Promise<Session[]>;

  // Notifications: what the application's back end tells the account, the same list on all devices.
  /** The newest first. An account has its newest 200; of those that were dismissed only such as are among the newest 50
   *  keep title, body and data, and none that is about a message that was recalled. */
  notifications(options?: { includeDismissed?: boolean; limit?: number }): Promise<Notification[]>;
  /** On all devices; it never goes back. */
  markNotification(id: string, state: "read" | "dismissed"): Promise<void>;
  /** Has notifications pushed to this browser while no device of the account is active, with
   *  `config.pushNotificationSenderId` as the key. Asks the user if need be, so call it when they do something. Call it
   *  again whenever you like: it tells the server what has changed. A registration pushes for one account; for several
   *  register the worker under several scopes. Rejects with "forbidden" when the user does not want it. */
  enablePush(registration: ServiceWorkerRegistration): Promise<void>;
  disablePush(): Promise<void>;
  /** Tells the server again where to push to, if push is enabled, and subscribes anew if the browser has ended that by
   *  itself. The package calls this in each page once it is online, and when the browser tells; you need not. */
  renewPush(): Promise<void>;
  /** By which this account is pushed to on this browser, or null. */
  pushRegistration(): Promise<ServiceWorkerRegistration | null>;

  // Devices: asked of the server at once, and "offline" when it cannot be.
  /** The first registered first. */
  devices(): Promise<Device[]>;
  renameDevice(deviceId: string, name: string): Promise<void>;
  /** Revokes a device: its connection closes, its push stops, it erases its local data on next contact, and the tokens
   *  that it has used let no other device in. */
  removeDevice(deviceId: string): Promise<void>;

  // Life cycle.
  status(): Status;
  /** How the client is inside, for panels that show it. */
  inspect(): Promise<Inspection>;
  /** Sets what is given, in all tabs of this profile. Rejects with "invalid", naming the option, and changes nothing. */
  configure(config: Partial<Config>): Promise<void>;
  config(): Config;
  /** Reconciles now; resolves when the outbox is empty and the cursor has reached the server's head. */
  syncNow(): Promise<void>;
  /** After "connection-limit": disconnects the named device's connection and connects this one. Rejects with
   *  "connection-limit" when that device has none from the web and no other place is free. */
  takeOver(deviceId: string): Promise<void>;
  /** Works offline by choice, in all tabs of this profile, until called with false or until the last tab closes.
   *  Sends stay durable meanwhile. */
  setOffline(offline: boolean): void;
  /** Leaves the tab group and releases everything. Idempotent. Stored data stays. */
  close(): Promise<void>;
  /** Erases this account's local data and key in every tab, then closes. What was not sent is lost. `revoke` also removes
   *  this device on the server, and rejects, with nothing erased, when that cannot be done now. */
  erase(options?: { revoke?: boolean }): Promise<void>;

  /** Listeners run after the work, never inside it; one that throws is reported and the others still run. */
  on<K extends keyof Events>(event: K, listener: (event: Events<Content>[K]) => void): () => void;
}

export type Message<Content = Json> = {
  id: string;                 // UUIDv7 minted by the sending device; the idempotency key
  conversation: string;
  sender: string;
  device: string | null;      // null: sent through the HTTP API, by another account, or with `disableDeviceId`
  type: string;               // "text" when not given
  position: number | null;    // place in this account's view of the conversation: 1, 2, 3 … without gaps; null while pending
  sentAt: number;             // ms since the Unix epoch; the server's clock once sequenced
  editedAt: number | null;
  error: { code: string; message: string } | null;
} & (
  | { content: Content; state: "pending" | "sent" | "failed" }
  | { content: null; state: "recalled" }
);

export interface HistoryPage<Content = Json> {
  messages: Message<Content>[];
  /**
   * Position ranges that this page covers but this device does not have: shown, never silently skipped.
   * "offline": not fetched, and the server cannot be asked now; "expired": the server keeps them no longer;
   * "disabled": past messages are not wanted (`enableChatHistorySync`).
   */
  holes: { from: number; to: number; reason: "offline" | "expired" | "disabled" }[];
  hasMore: boolean;
}

export interface Conversation<Content = Json> {
  id: string;
  members: string[];
  lastMessage: Message<Content> | null;
  lastActivity: number;
  unread: number;
  readPosition: number;
  /** How far the other members have read, by account, for those who share it. */
  readBy: { [account: string]: number };
  draft: string | null;
  muted: boolean;
  pinned: boolean;
}

export interface Presence {
  account: string;
  presence: "online" | "away" | "busy" | "offline";
  /** One's own account is offline for others, since that is set: only its own devices are told. */
  invisible?: true;
  /** When the account went offline, if that is told; known since the server was started. */
  lastSeen: number | null;
  platforms: Platform[];
}
export interface Notification {
  id: string;
  title: string; body: string; data: Json;
  conversation: string | null; message: string | null; // what it is about
  createdAt: number;
  state: "unread" | "read" | "dismissed";
}
export interface Session { key: string; fields: { [field: string]: Json }; updatedAt: number; device: string | null }

export interface Device {
  id: string;
  name: string;
  platform: Platform;
  registeredAt: number;
  lastSeen: number;
  online: boolean;
  push: boolean;              // it has a push subscription
  current: boolean;           // it is this one
}

export interface Status {
  role: "leader" | "follower";
  connection: "online" | "connecting" | "offline" | "polling" | "closed";
  /** Why, when not online: a SyncError code. */
  reason: string | null;
  /** Operations accepted here that the server has not confirmed. */
  pending: number;
  catchingUp: boolean;
  /** While catching up: how many events of the account's log that has brought, and of how many, where that is known. */
  progress: { done: number; total: number | null } | null;
  tabs: number;               // tabs of this profile, this one included
  durable: boolean;           // false when the browser offers no lasting storage (then kept in memory)
  epoch: number;              // leadership number; grows with every change of leader
  workingOffline: boolean;    // by choice, see setOffline
}

export interface Events<Content = Json> {
  /** One call a batch, whatever the batch holds: 1 live message or 1,000 from a catch-up. An empty array says: read again
   *  what you show, for messages have changed of which this tab was not told. That is rare: it stood still meanwhile, or
   *  the server's log was replaced. */
  messages: { change: "added" | "updated" | "recalled" | "removed"; message: Message<Content>; origin: "local" | "tab" | "remote" }[];
  conversations: Conversation<Content>[];
  /** Once when it begins and once when it ends, which it does by itself when nothing is heard for 6 s. */
  typing: { conversation: string; account: string; typing: boolean };
  /** Of this account, and of those with whom it shares a conversation, when it changes. After a time without a connection
   *  ask for those who matter. */
  presence: Presence;
  "custom-status": { conversation: string; account: string; type: string; content: Json };
  /** A session looks different; without fields when there is nothing of it any more. */
  session: Session & { origin: "local" | "tab" | "remote" };
  /** New ones, and those that look different; none at all: the list may be empty now, as when they are turned off. */
  notifications: Notification[];
  /** All of the account's devices, when something about one has changed. */
  devices: Device[];
  status: Status;
  /** A catch-up has ended: what it brought, and from when on this device's copy is complete. */
  "catch-up": { events: number; completeFrom: number | null };
  /** All places for connections of this platform are taken, or another device has taken this one's; `connections` says
   *  by what. The client polls until a place is free. */
  "connection-limit": { limit: number; connections: { deviceId: string; name: string; platform: Platform; since: number }[] };
  /** This device was removed, by that one or by the application's back end; its local data is gone. */
  removed: { by: string | null };
  error: SyncError;
  /** What went into the engine and what came out of it, in order: for panels that show it. Costs nothing where nobody listens. */
  trace: Trace[];
}

export interface Trace {
  at: number;                 // ms since the Unix epoch, by this device's clock
  kind: "input" | "effect";
  name: string;               // for people: it may be another in the next version
  bytes: number | null;       // of the frame that came or went
}

export interface Inspection {
  cursor: number;             // the last event of the account's log that is stored
  revision: number;           // the last commit of the store
  journal: number;            // messages that are not folded into blocks yet
  tabs: string[];             // this profile's other tabs
  /** Durable operations on their way to the server, in their order. */
  outbox: { id: string; what: string; subject: string; queuedAt: number; refused: string | null }[];
}

export class SyncError extends Error {
  /** Stable: "auth" | "forbidden" | "not-found" | "invalid" | "conflict" | "offline" | "connection-limit" | "rate-limited" |
   *  "too-large" | "quota" | "storage" | "version" | "revoked" | "closed" | "timeout" | "protocol" | "unsupported" | "internal" */
  readonly code: string;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
}
