import { createContext, useContext, useEffect, useState } from "react";
import init, { SyncClient } from "tutti-sync";
import type { Conversation, Events, Json, Message, Session, Status } from "tutti-sync";
import { Cell, useCell } from "./cell";
import { Devices } from "./devices";
import { explain } from "./errors";
import { oncePerFrame } from "./frame";
import { Later } from "./later";
import { Notices } from "./notices";
import { People } from "./people";
import type { SignIn } from "./session";
import { count, previewOf } from "./text";
import { type Change, Timeline, type TimelineView } from "./timeline";
import { fetchToken } from "./token";

/** Beyond this many in one go, a screen reader is told how many messages came, not what they say. */
const READ_ALOUD = 3;
const SHOWN_ERRORS = 3;
/** How long what changes all the time is held back: the next device has it well within a second. */
const SHARE_MS = 250;
const DRAFT_MS = 500;

export type Fields = Record<string, Json>;

/** What the user is doing, and where it was done: in this tab, in another of this browser, or on another device. */
export type Doing = Session & { origin: "local" | "tab" | "remote" | "stored" };

/** Why there is nothing of the account here any more. */
export type Ending =
  /** This device was removed, by another of this name, by itself, or by whoever runs the chat. */
  | { why: "removed"; by: "itself" | "operator" | { device: string | null } }
  /** The copy was erased, in another tab. */
  | { why: "erased" };

/**
 * One signed-in account: the client, and what of its state is on screen.
 *
 * The client reports changes, never whole states, so this reads the conversation list once and then keeps it in step.
 * Reports are gathered and shown once a frame.
 */
export class Chat {
  readonly client: SyncClient;
  readonly people: People;
  readonly notices: Notices;
  readonly devices: Devices;
  readonly status: Cell<Status>;
  readonly conversations = new Cell<readonly Conversation[]>([]);
  /** Null until the list was read, so that "no conversations yet" is never shown by mistake. */
  readonly ready = new Cell(false);
  readonly errors = new Cell<readonly unknown[]>([]);
  /** Who has the account's places for connections, while there is none for this browser. */
  readonly limit = new Cell<Events["connection-limit"] | null>(null);
  /** Set once all of the account's data is gone from this browser. */
  readonly ending = new Cell<Ending | null>(null);
  /** What is searched for; it stands out wherever it is on screen. */
  readonly query = new Cell("");
  /** What a screen reader should say next. */
  readonly announcement = new Cell("");

  readonly #byId = new Map<string, Conversation>();
  #reordered = false;
  readonly #timelines = new Set<Timeline>();
  #sought: Message | null = null;
  #changes: Change[] = [];
  #leaving = false;
  readonly #doing = new Map<string, Cell<Doing | null>>();
  readonly #later = new Later();
  /** What is held back, by key. */
  readonly #held = new Map<string, Fields>();
  /** Drafts that were written here and have not come back yet, by conversation, in order. */
  readonly #drafts = new Map<string, string[]>();
  readonly #beingKept = new Map<string, string>();
  readonly #off: (() => void)[];

  static async open({ account, device }: SignIn): Promise<Chat> {
    await init();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const client = await SyncClient.open({
      url: `${scheme}://${location.host}/sync`,
      account,
      token: () => fetchToken(account),
      device: { name: device, platform: "web" },
    });
    return new Chat(client);
  }

  private constructor(client: SyncClient) {
    this.client = client;
    this.people = new People(client);
    this.notices = new Notices(client, (error) => this.report(error));
    this.devices = new Devices(client);
    this.status = new Cell(client.status());
    const showSoon = oncePerFrame(() => this.#show());
    this.#off = [
      client.on("status", (status) => {
        this.status.set(status);
        if (status.connection !== "polling") this.limit.set(null);
        if (status.connection === "closed" && status.reason === "closed") this.#end({ why: "erased" });
      }),
      client.on("removed", ({ by }) => this.#end({ why: "removed", by: this.#whoRemoved(by) })),
      client.on("connection-limit", this.limit.set),
      client.on("error", (error) => this.report(error)),
      client.on("conversations", (changed) => {
        for (const conversation of changed) this.#byId.set(conversation.id, conversation);
        this.#reordered = true;
        showSoon();
      }),
      client.on("messages", (changes) => {
        for (const change of changes) this.#changes.push(change);
        showSoon();
      }),
      client.on("session", (session) => this.#doing.get(session.key)?.set(session)),
    ];
    void this.#readConversations();
  }

  /** Resolves once the message is safe on this device; it is sent when there is a network. */
  async send(conversation: string, content: Json): Promise<void> {
    for (const timeline of this.#timelines) {
      if (timeline.conversation === conversation) timeline.followLatest();
    }
    await this.client.send(conversation, content);
  }

  /** Tells the person what went wrong, if anything does. */
  async attempt(work: Promise<void> | (() => Promise<void> | void)): Promise<void> {
    try {
      await (typeof work === "function" ? work() : work);
    } catch (error) {
      this.report(error);
    }
  }

  markRead(conversation: string, position: number): Promise<void> {
    return this.attempt(this.client.markRead(conversation, position));
  }

  setConversation(conversation: string, settings: { muted?: boolean; pinned?: boolean }): Promise<void> {
    return this.attempt(this.client.setConversation(conversation, settings));
  }

  /** Keeps what was typed and not sent, soon, for all devices. */
  keepDraft(conversation: string, draft: string): void {
    this.#beingKept.set(conversation, draft);
    this.#later.do(draftOf(conversation), DRAFT_MS, () => {
      this.#beingKept.delete(conversation);
      const kept = draft.trim() === "" ? "" : draft;
      const written = this.#drafts.get(conversation) ?? [];
      if (kept === (written.at(-1) ?? this.#byId.get(conversation)?.draft ?? "")) return;
      this.#drafts.set(conversation, [...written, kept]);
      void this.attempt(this.client.setConversation(conversation, { draft: kept }));
    });
  }

  /** What was typed here a moment ago. */
  draftBeingKept(conversation: string): string | null {
    return this.#beingKept.get(conversation) ?? null;
  }

  /** Whether a draft that came is what was written here, or older than what is being typed. */
  isOwnDraft(conversation: string, draft: string): boolean {
    const written = this.#drafts.get(conversation) ?? [];
    const at = written.indexOf(draft);
    this.#drafts.set(conversation, at < 0 ? [] : written.slice(at + 1));
    return at >= 0 || this.#beingKept.has(conversation);
  }

  /** Writes what is being held back: somebody may be about to leave. */
  readonly flush = (): void => this.#later.flush();

  /** What the user is doing under a key, on whichever device. Null: nothing; or not read yet, see `read`. */
  doing(key: string): Cell<Doing | null> {
    let cell = this.#doing.get(key);
    if (cell === undefined) {
      cell = new Cell<Doing | null>(null);
      this.#doing.set(key, cell);
      const fresh = cell;
      const read = async () => {
        const session = await this.client.session(key);
        // What was reported meanwhile is newer than what was read.
        if (fresh.get() === null && session !== null) fresh.set({ ...session, origin: "stored" });
      };
      void this.attempt(read());
    }
    return cell;
  }

  /** Shares what the user is doing, soon. A field that is null is removed; the others stay. */
  do(key: string, fields: Fields): void {
    const together = { ...this.#held.get(key), ...fields };
    this.#held.set(key, together);
    this.#later.do(key, SHARE_MS, () => {
      this.#held.delete(key);
      void this.attempt(this.client.setSession(key, together));
    });
  }

  /** The same, at once. */
  doNow(key: string, fields: Fields): void {
    this.do(key, fields);
    this.#later.run(key);
  }

  /** Whether this tab has done something under a key that it holds back yet. */
  isDoing(key: string): boolean {
    return this.#held.has(key);
  }

  /** Keeps `timeline` in step until the returned function is called, from where somebody was in it. */
  attach(timeline: Timeline): () => void {
    this.#timelines.add(timeline);
    if (this.#sought?.conversation === timeline.conversation) timeline.sought.set(this.#sought.id);
    this.#sought = null;
    void this.#open(timeline);
    return () => this.#timelines.delete(timeline);
  }

  /** Takes the reader to a message, if its conversation is on screen, or else when it comes there next. */
  seek(message: Message): void {
    const { id, conversation } = message;
    const shown = [...this.#timelines].filter((timeline) => timeline.conversation === conversation);
    for (const timeline of shown) void timeline.seek(id);
    this.#sought = shown.length > 0 ? null : message;
  }

  async #open(timeline: Timeline): Promise<void> {
    const sought = timeline.sought.get();
    if (sought !== null) return timeline.seek(sought);
    const place = await this.client.session(placeKey(timeline.conversation)).catch(() => null);
    const { message, offset } = place?.fields ?? {};
    if (typeof message === "string" && typeof offset === "number") await timeline.show({ message, offset });
    else await timeline.showLatest();
  }

  /** Shows an error to the person until it is dismissed; the same one twice is one. */
  report(error: unknown): void {
    const { what } = explain(error);
    const others = this.errors.get().filter((shown) => explain(shown).what !== what);
    this.errors.set([...others, error].slice(-SHOWN_ERRORS));
  }

  dismiss(error: unknown): void {
    this.errors.set(this.errors.get().filter((shown) => shown !== error));
  }

  close(): Promise<void> {
    this.#later.end();
    this.people.close();
    this.notices.close();
    this.devices.close();
    for (const off of this.#off) off();
    return this.client.close();
  }

  /** From now on it ends because this tab wants that, which is no news to it. */
  leave(): void {
    this.#leaving = true;
  }

  /** It does not, after all. */
  stay(): void {
    this.#leaving = false;
  }

  #end(ending: Ending): void {
    if (!this.#leaving) this.ending.set(ending);
  }

  #whoRemoved(by: string | null): (Ending & { why: "removed" })["by"] {
    if (by === null) return "operator";
    return by === this.client.deviceId ? "itself" : { device: this.devices.nameOf(by) };
  }

  async #readConversations(): Promise<void> {
    try {
      const read = await this.client.conversations();
      // What was reported meanwhile is newer than what was read.
      for (const conversation of read) {
        if (!this.#byId.has(conversation.id)) this.#byId.set(conversation.id, conversation);
      }
      this.conversations.set(inListOrder(this.#byId.values()));
      this.ready.set(true);
    } catch (error) {
      this.report(error);
    }
  }

  #show(): void {
    if (this.#reordered) {
      this.#reordered = false;
      this.conversations.set(inListOrder(this.#byId.values()));
    }
    if (this.#changes.length > 0) {
      const changes = this.#changes;
      this.#changes = [];
      for (const timeline of this.#timelines) {
        const own = changes.filter(({ message }) => message.conversation === timeline.conversation);
        if (own.length > 0) timeline.apply(own);
      }
      this.#announce(changes);
    }
  }

  #announce(changes: readonly Change[]): void {
    // What was read out may be what is not to be known any more.
    if (changes.some(({ message }) => message.state === "recalled")) this.announcement.set("");
    const received = changes.filter(
      ({ change, message }) => change === "added" && message.sender !== this.client.account,
    );
    if (received.length === 0) return;
    if (received.length > READ_ALOUD) return this.announcement.set(count(received.length, "new message"));
    const spoken = received.map(({ message }) => `${message.sender}: ${previewOf(message)}`);
    this.announcement.set(spoken.join(". "));
  }
}

/** Under which key the place in a conversation is kept: a message and an offset, which hold on any screen. */
export function placeKey(conversation: string): string {
  return `chat:${conversation}`;
}

function draftOf(conversation: string): string {
  return `draft of ${conversation}`;
}

function inListOrder(conversations: Iterable<Conversation>): Conversation[] {
  return [...conversations].sort(
    (a, b) => Number(b.pinned) - Number(a.pinned) || b.lastActivity - a.lastActivity || (a.id < b.id ? -1 : 1),
  );
}

const ChatContext = createContext<Chat | null>(null);
export const ChatProvider = ChatContext.Provider;

export function useChat(): Chat {
  const chat = useContext(ChatContext);
  if (chat === null) throw new Error("useChat outside of ChatProvider");
  return chat;
}

export type Opening = { state: "opening" } | { state: "open"; chat: Chat } | { state: "failed"; error: unknown };

/** Opens the client for as long as somebody is signed in. */
export function useOpenChat(signIn: SignIn): Opening {
  const [opening, setOpening] = useState<Opening>({ state: "opening" });

  useEffect(() => {
    let wanted = true;
    const opened = Chat.open(signIn);
    opened.then(
      (chat) => wanted && setOpening({ state: "open", chat }),
      (error: unknown) => wanted && setOpening({ state: "failed", error }),
    );
    return () => {
      wanted = false;
      setOpening({ state: "opening" });
      // A client that failed to open has nothing to close.
      opened.then((chat) => chat.close(), () => {});
    };
  }, [signIn]);

  return opening;
}

export const useStatus = (): Status => useCell(useChat().status);
export const useConversations = (): readonly Conversation[] => useCell(useChat().conversations);

export const useDoing = (key: string): Doing | null => useCell(useChat().doing(key));

/** The list is short enough to look through: a person has hundreds of conversations, not millions. */
export function useConversation(id: string): Conversation | null {
  return useConversations().find((conversation) => conversation.id === id) ?? null;
}

/** The messages of one conversation; a component that shows another one gets another `key`. */
export function useTimeline(conversation: string): [TimelineView, Timeline] {
  const chat = useChat();
  const [timeline] = useState(() => new Timeline(chat.client, conversation));
  useEffect(() => chat.attach(timeline), [chat, timeline]);
  return [useCell(timeline.view), timeline];
}
