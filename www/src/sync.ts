import { createContext, useContext, useEffect } from "react";
import type { Events, Json, Options, Status, SyncClient } from "tutti-sync";
import { useStatus as useStatusOrNone } from "tutti-sync/react";
import { conversationsStore, devicesStore } from "tutti-sync/stores";
import { Cell } from "./cell";
import { explain } from "./errors";
import { Later } from "./later";
import type { SignIn } from "./session";
import { count, previewOf } from "./text";
import { fetchToken } from "./token";
import { Waves } from "./waves";

/** Beyond this many in one go, a screen reader is told how many messages came, not what they say. */
const READ_ALOUD = 3;
const SHOWN_ERRORS = 3;
/** How long what changes all the time is held back: the next device has it well within a second. */
const SHARE_MS = 250;
const DRAFT_MS = 500;

export type Fields = Record<string, Json>;

/** Where the reader of a conversation is to be taken: to a message, of which a part may be out of view, or to the end. */
export interface Destination {
  readonly conversation: string;
  /** Null: to the end. */
  readonly message: string | null;
  /** How much of the message is above the view, as a part of its height; null: it is to be in the middle. */
  readonly offset: number | null;
}

/** Why there is nothing of the account here any more. */
export type Ending =
  /** This device was removed, by another of this name, by itself, or by whoever runs the chat. */
  | { why: "removed"; by: "itself" | "operator" | { device: string | null } }
  /** The copy was erased, in another tab. */
  | { why: "erased" };

/** What the client of a sign-in is opened with. */
export function optionsFor({ account, device }: SignIn): Options {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return {
    url: `${scheme}://${location.host}/sync`,
    account,
    token: () => fetchToken(account),
    device: { name: device, platform: "web" },
  };
}

/**
 * One signed-in account: the client, and what this application makes of it beyond what the hooks of the package say.
 */
export class Chat {
  readonly client: SyncClient;
  readonly waves: Waves;
  readonly errors = new Cell<readonly unknown[]>([]);
  /** Who has the account's places for connections, while there is none for this browser. */
  readonly limit = new Cell<Events["connection-limit"] | null>(null);
  /** Set once all of the account's data is gone from this browser. */
  readonly ending = new Cell<Ending | null>(null);
  /** Where somebody wants to be taken and has not been yet. */
  readonly destination = new Cell<Destination | null>(null);
  /** What is searched for; it stands out wherever it is on screen. */
  readonly query = new Cell("");
  /** What a screen reader should say next. */
  readonly announcement = new Cell("");

  #leaving = false;
  readonly #later = new Later();
  /** What is held back, by key. */
  readonly #held = new Map<string, Fields>();
  /** Drafts that were written here and have not come back yet, by conversation, in order. */
  readonly #drafts = new Map<string, string[]>();
  readonly #beingKept = new Map<string, string>();

  constructor(client: SyncClient) {
    this.client = client;
    this.waves = new Waves(client);
  }

  /** Listens to the client until the returned function is called. */
  start(): () => void {
    const { client } = this;
    const offs = [
      client.on("status", ({ connection, reason }) => {
        if (connection !== "polling") this.limit.set(null);
        if (connection === "closed" && reason === "closed") this.#end({ why: "erased" });
      }),
      client.on("removed", ({ by }) => this.#end({ why: "removed", by: this.#whoRemoved(by) })),
      client.on("connection-limit", this.limit.set),
      client.on("error", (error) => this.report(error)),
      client.on("messages", (changes) => this.#announce(changes)),
      // What is on no page is asked for all the same: how a draft stands, and what a device is called.
      conversationsStore(client).subscribe(() => {}),
      devicesStore(client).subscribe(() => {}),
      this.waves.start(),
      this.#later.start(),
    ];
    return () => {
      for (const off of offs) off();
    };
  }

  /** Resolves once the message is safe on this device; it is sent when there is a network. */
  async send(conversation: string, content: Json): Promise<void> {
    this.goTo({ conversation, message: null, offset: null });
    await this.client.send(conversation, content);
  }

  /** Takes the reader there, if the conversation is on screen, or else when it comes there next. */
  goTo(destination: Destination): void {
    this.destination.set(destination);
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
    this.#later.do(draftKey(conversation), DRAFT_MS, () => {
      this.#beingKept.delete(conversation);
      const kept = draft.trim() === "" ? "" : draft;
      const written = this.#drafts.get(conversation) ?? [];
      if (kept === (written.at(-1) ?? this.#draftOf(conversation) ?? "")) return;
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

  /** Shows an error to the person until it is dismissed; the same one twice is one. */
  report(error: unknown): void {
    const { what } = explain(error);
    const others = this.errors.value.filter((shown) => explain(shown).what !== what);
    this.errors.set([...others, error].slice(-SHOWN_ERRORS));
  }

  dismiss(error: unknown): void {
    this.errors.set(this.errors.value.filter((shown) => shown !== error));
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
    return by === this.client.deviceId ? "itself" : { device: this.#nameOf(by) };
  }

  /** What a device is called, while that is known. */
  #nameOf(id: string): string | null {
    return devicesStore(this.client).value.devices?.find((device) => device.id === id)?.name ?? null;
  }

  #draftOf(id: string): string | null {
    const { conversations } = conversationsStore(this.client).value;
    return conversations.find((conversation) => conversation.id === id)?.draft ?? null;
  }

  #announce(changes: Events["messages"]): void {
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

function draftKey(conversation: string): string {
  return `draft of ${conversation}`;
}

const ChatContext = createContext<Chat | null>(null);
export const ChatProvider = ChatContext.Provider;

export function useChat(): Chat {
  const chat = useContext(ChatContext);
  if (chat === null) throw new Error("useChat outside of ChatProvider");
  return chat;
}

/** How the client is: where there is a chat, there is a client. */
export const useStatus = (): Status => useStatusOrNone()!;

/** Shows the person what went wrong with what a hook reads. */
export function useReport(error: unknown): void {
  const chat = useChat();
  useEffect(() => {
    if (error !== null) chat.report(error);
  }, [chat, error]);
}
