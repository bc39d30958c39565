// The contract: what applications rely on. The package may offer more; it does not rename or drop what is here.

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

export type Platform = "mobile" | "web" | "desktop" | "miniprogram";

export interface Config {
  enableMessageSync: boolean;        // default true
  enableNotificationSync: boolean;   // default true
  enableChatHistorySync: boolean;    // default true: catch-up of past days, and older history on demand
  disableDeviceId: boolean;          // default false: true sends and stores no lasting device id
  syncInterval: number;              // minutes between reconciliations, default 15, > 0
  compensationDays: number;          // days a new device catches up on: 1 (default) to 7
  logLevel: "debug" | "info" | "warning" | "error"; // default "warning"
  pushNotificationSenderId: string | null;          // VAPID application server key (base64url), default null
  shareTyping: boolean;              // default true
  sharePresence: boolean;            // default true
  shareReadReceipts: boolean;        // default true: whether others learn what this account has read
}

export class SyncClient {
  /** Opens (or creates) this account's local store, joins the other tabs, and starts to sync. Works offline. */
  static open(options: Options): Promise<SyncClient>;

  readonly account: string;
  readonly deviceId: string | null;  // null with disableDeviceId
  readonly tabId: string;

  // Messages. `conversation` is "direct:<other account>" or "group:<group id>".
  /** Resolves once the message is durable on this device (state "pending"); it survives a crash from then on. */
  send(conversation: string, content: Json, options?: { type?: string; id?: string }): Promise<Message>;
  edit(messageId: string, content: Json): Promise<void>;
  recall(messageId: string): Promise<void>;
  /** Tries a message in state "failed" again. */
  retry(messageId: string): Promise<void>;
  /** Gives up a message that is "pending" or "failed" and was never sequenced. */
  discard(messageId: string): Promise<void>;
  message(messageId: string): Promise<Message | null>;
  /** Newest first page when `before` is absent; messages come oldest to newest. Fetches older history when allowed. */
  history(conversation: string, page?: { before?: number; limit?: number }): Promise<HistoryPage>;
  search(text: string, options?: { conversation?: string; limit?: number }): Promise<Message[]>;

  // Conversations.
  conversations(options?: { limit?: number }): Promise<Conversation[]>;   // pinned first, then latest activity first
  conversation(id: string): Promise<Conversation | null>;
  markRead(conversation: string, position?: number): Promise<void>;
  setConversation(conversation: string, settings: { draft?: string | null; muted?: boolean; pinned?: boolean }): Promise<void>;

  // Status: reaches only devices that are online right now; never stored.
  setTyping(conversation: string, typing?: boolean): void;
  setPresence(presence: "online" | "away" | "busy" | "invisible"): void;
  sendStatus(conversation: string, type: string, content: Json): void;
  presence(account: string): Promise<Presence>;

  // Session continuity: what the user was doing, carried to the next device. Fields merge one by one.
  setSession(key: string, fields: { [field: string]: Json }): Promise<void>;   // a null field is removed
  session(key: string): Promise<Session | null>;
  sessions(prefix?: string): Promise<Session[]>;

  // Notifications.
  notifications(options?: { includeDismissed?: boolean; limit?: number }): Promise<Notification[]>;
  markNotification(id: string, state: "read" | "dismissed"): Promise<void>;
  enablePush(registration: ServiceWorkerRegistration): Promise<void>;
  disablePush(): Promise<void>;

  // Devices.
  devices(): Promise<Device[]>;
  renameDevice(deviceId: string, name: string): Promise<void>;
  /** Revokes a device: its connection closes, its push stops, and it erases its local data on next contact. */
  removeDevice(deviceId: string): Promise<void>;

  // Life cycle.
  status(): Status;
  configure(config: Partial<Config>): Promise<void>;   // takes effect in all tabs of this profile
  config(): Config;
  /** Reconciles now; resolves when the outbox is empty and the cursor has reached the server's head. */
  syncNow(): Promise<void>;
  /** After "connection-limit": disconnects the named device's connection and connects this one. */
  takeOver(deviceId: string): Promise<void>;
  /** Leaves the tab group and releases everything. Idempotent. Stored data stays. */
  close(): Promise<void>;
  /** Erases this account's local data and key in every tab, then closes. `revoke` also removes this device on the server. */
  erase(options?: { revoke?: boolean }): Promise<void>;

  /** Listeners run after the work, never inside it; one that throws is reported and the others still run. */
  on<K extends keyof Events>(event: K, listener: (event: Events[K]) => void): () => void;
}

export interface Message {
  id: string;                 // UUIDv7 minted by the sending device; the idempotency key
  conversation: string;
  sender: string;
  device: string | null;
  type: string;               // "text" when not given
  content: Json;              // null once recalled
  position: number | null;    // place in this account's view of the conversation: 1, 2, 3 … without gaps; null while pending
  sentAt: number;             // ms since the Unix epoch; the server's clock once sequenced
  editedAt: number | null;
  state: "pending" | "sent" | "failed" | "recalled";
  error: { code: string; message: string } | null;
}

export interface HistoryPage {
  messages: Message[];
  /** Position ranges that this page covers but this device does not have: shown, never silently skipped. */
  holes: { from: number; to: number; reason: "offline" | "expired" | "disabled" }[];
  hasMore: boolean;
}

export interface Conversation {
  id: string;
  members: string[];
  lastMessage: Message | null;
  lastActivity: number;
  unread: number;
  readPosition: number;
  /** How far the other members have read, by account, for those who share it. */
  readBy: { [account: string]: number };
  draft: string | null;
  muted: boolean;
  pinned: boolean;
}

export interface Presence { account: string; presence: "online" | "away" | "busy" | "offline"; lastSeen: number | null; platforms: Platform[] }
export interface Session { key: string; fields: { [field: string]: Json }; updatedAt: number; device: string | null }
export interface Notification {
  id: string; title: string; body: string; data: Json; conversation: string | null; message: string | null;
  createdAt: number; state: "unread" | "read" | "dismissed";
}
export interface Device {
  id: string; name: string; platform: Platform; registeredAt: number; lastSeen: number;
  online: boolean; push: boolean; current: boolean;
}

export interface Status {
  role: "leader" | "follower";
  connection: "online" | "connecting" | "offline" | "polling" | "closed";
  /** Why, when not online: a SyncError code. */
  reason: string | null;
  /** Operations accepted here that the server has not confirmed. */
  pending: number;
  catchingUp: boolean;
  tabs: number;               // tabs of this profile, this one included
  durable: boolean;           // false when the browser offers no lasting storage (then kept in memory)
  epoch: number;              // leadership number; grows with every change of leader
}

export interface Events {
  /** One call a batch, whatever the batch holds: 1 live message or 1,000 from a catch-up. */
  messages: { change: "added" | "updated" | "recalled" | "removed"; message: Message; origin: "local" | "tab" | "remote" }[];
  conversations: Conversation[];
  typing: { conversation: string; account: string; typing: boolean };
  presence: Presence;
  "custom-status": { conversation: string; account: string; type: string; content: Json };
  session: Session & { origin: "local" | "tab" | "remote" };
  notifications: Notification[];
  devices: Device[];
  status: Status;
  /** A catch-up has ended: what it brought, and from when on this device's copy is complete. */
  "catch-up": { events: number; completeFrom: number | null };
  /** All connection slots of the account are taken; `connections` says by what. The client polls until a slot frees. */
  "connection-limit": { limit: number; connections: { deviceId: string; name: string; platform: Platform; since: number }[] };
  /** This device was removed; its local data is gone. */
  removed: { by: string | null };
  error: SyncError;
}

export class SyncError extends Error {
  /** Stable: "auth" | "forbidden" | "not-found" | "invalid" | "conflict" | "offline" | "connection-limit" | "rate-limited" |
   *  "too-large" | "quota" | "storage" | "version" | "revoked" | "closed" | "timeout" | "protocol" | "unsupported" | "internal" */
  readonly code: string;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
}
