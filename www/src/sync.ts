import { createContext, useContext, useEffect, useState } from "react";
import init, { SyncClient } from "tutti-sync";
import type { Conversation, Events, Json, Status } from "tutti-sync";
import { Cell, useCell } from "./cell";
import { explain } from "./errors";
import { oncePerFrame } from "./frame";
import type { SignIn } from "./session";
import { count, previewOf } from "./text";
import { type Change, Timeline, type TimelineView } from "./timeline";

/** Beyond this many in one go, a screen reader is told how many messages came, not what they say. */
const READ_ALOUD = 3;
const SHOWN_ERRORS = 3;

/**
 * One signed-in account: the client, and what of its state is on screen.
 *
 * The client reports changes, never whole states, so this reads the conversation list once and then keeps it in step.
 * Reports are gathered and shown once a frame.
 */
export class Chat {
  readonly client: SyncClient;
  readonly status: Cell<Status>;
  readonly conversations = new Cell<readonly Conversation[]>([]);
  /** Null until the list was read, so that "no conversations yet" is never shown by mistake. */
  readonly ready = new Cell(false);
  readonly errors = new Cell<readonly unknown[]>([]);
  /** Who has the account's places for connections, while there is none for this browser. */
  readonly limit = new Cell<Events["connection-limit"] | null>(null);
  /** What a screen reader should say next. */
  readonly announcement = new Cell("");
  /** What was typed and not sent, by conversation. */
  readonly drafts = new Map<string, string>();

  readonly #byId = new Map<string, Conversation>();
  #reordered = false;
  readonly #timelines = new Set<Timeline>();
  #changes: Change[] = [];
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
    this.status = new Cell(client.status());
    const showSoon = oncePerFrame(() => this.#show());
    this.#off = [
      client.on("status", (status) => {
        this.status.set(status);
        if (status.connection !== "polling") this.limit.set(null);
      }),
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

  async markRead(conversation: string, position: number): Promise<void> {
    try {
      await this.client.markRead(conversation, position);
    } catch (error) {
      this.report(error);
    }
  }

  /** Keeps `timeline` in step until the returned function is called. */
  attach(timeline: Timeline): () => void {
    this.#timelines.add(timeline);
    void timeline.showLatest();
    return () => this.#timelines.delete(timeline);
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
    for (const off of this.#off) off();
    return this.client.close();
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
    const received = changes.filter(
      ({ change, message }) => change === "added" && message.sender !== this.client.account,
    );
    if (received.length === 0) return;
    if (received.length > READ_ALOUD) return this.announcement.set(count(received.length, "new message"));
    const spoken = received.map(({ message }) => `${message.sender}: ${previewOf(message)}`);
    this.announcement.set(spoken.join(". "));
  }
}

function inListOrder(conversations: Iterable<Conversation>): Conversation[] {
  return [...conversations].sort(
    (a, b) => Number(b.pinned) - Number(a.pinned) || b.lastActivity - a.lastActivity || (a.id < b.id ? -1 : 1),
  );
}

/** In a real application its own back end does this, once it knows who is asking. */
async function fetchToken(account: string): Promise<string> {
  const response = await fetch("/api/tokens", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ account }),
  });
  if (!response.ok) throw new Error(`The server gave no token (${response.status})`);
  const { token } = (await response.json()) as { token: string };
  return token;
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
