import type { Events, HistoryPage, Message, SyncClient } from "tutti-sync";
import { Cell } from "./cell";

export type Change = Events["messages"][number];
export type Hole = HistoryPage["holes"][number];

export interface TimelineView {
  /** Oldest first; messages that have no position yet come last. */
  readonly messages: readonly Message[];
  readonly holes: readonly Hole[];
  readonly hasOlder: boolean;
  readonly hasNewer: boolean;
  readonly loading: "latest" | "older" | "newer" | null;
  readonly error: unknown;
}

/** Where somebody was: the topmost message in view, and how much of it was out of view, as a part of its height. */
export interface Place {
  readonly message: string;
  readonly offset: number;
}

/** Where somebody is to be taken: a place, or a message in the middle of the view. */
export type Destination = Place | { readonly message: string; readonly offset: null };

/** Messages read at a time. */
const PAGE = 50;
/** Messages kept on screen at the end of a conversation, and while reading further up. */
const FOLLOWING_LIMIT = 100;
const READING_LIMIT = 200;

const EMPTY: TimelineView = {
  messages: [],
  holes: [],
  hasOlder: false,
  hasNewer: false,
  loading: "latest",
  error: null,
};

/**
 * A window onto one conversation that slides over it, so that ten thousand messages render as fast as a hundred.
 * It has no gaps but the holes that the client reports: whatever would leave one is read again instead.
 */
export class Timeline {
  readonly conversation: string;
  readonly view = new Cell<TimelineView>(EMPTY);
  /** The message that the reader has asked for. */
  readonly sought = new Cell<string | null>(null);
  readonly #client: SyncClient;
  #following = true;
  #destination: Destination | null = null;
  /** Counts loads: one that a later load has overtaken must not show what it read. */
  #latestLoad = 0;
  /** Changes that arrived while a page was being read, which may or may not have them already. */
  #waiting: Change[] = [];

  constructor(client: SyncClient, conversation: string) {
    this.#client = client;
    this.conversation = conversation;
  }

  /** Whether the reader is at the newest message and stays there as more arrive. */
  get following(): boolean {
    return this.#following;
  }

  follow(following: boolean): void {
    this.#following = following;
  }

  async showLatest(): Promise<void> {
    this.#following = true;
    await this.#load("latest", async () => {
      const page = await this.#client.history(this.conversation, { limit: PAGE });
      return { ...page, hasOlder: page.hasMore, hasNewer: false };
    });
  }

  /** Where the reader is to be taken, once it is on screen; then never again. */
  takeDestination(): Destination | null {
    const destination = this.#destination;
    this.#destination = null;
    return destination;
  }

  /** Shows a message and what is around it. */
  async seek(message: string): Promise<void> {
    this.sought.set(message);
    await this.show({ message, offset: null });
  }

  /** Shows what is around a destination, or the newest messages if it is nowhere. */
  async show(destination: Destination): Promise<void> {
    const message = await this.#client.message(destination.message).catch(() => null);
    const position = message?.conversation === this.conversation ? message.position : null;
    if (position === null) return this.showLatest();
    this.#following = false;
    this.#destination = destination;
    await this.#load("latest", async () => {
      const before = position + PAGE / 2;
      let page = await this.#client.history(this.conversation, { before, limit: PAGE });
      const hasNewer = lastPosition(page) >= before - 1;
      // Only the newest page has what is still on its way.
      if (!hasNewer) page = await this.#client.history(this.conversation, { limit: PAGE });
      return { ...page, hasOlder: page.hasMore, hasNewer };
    });
  }

  /** Goes back to the newest message, which is read again only if it is out of the window. */
  followLatest(): void {
    this.#following = true;
    this.sought.set(null);
    if (this.view.get().hasNewer) void this.showLatest();
  }

  async showOlder(): Promise<void> {
    const { hasOlder, loading } = this.view.get();
    if (!hasOlder || loading !== null) return;
    await this.#load("older", async () => {
      const before = firstPosition(this.view.get());
      const page = await this.#client.history(this.conversation, { before, limit: PAGE });
      const view = this.view.get();
      return cutNewest({
        messages: merge(page.messages, view.messages),
        holes: mergeHoles(page.holes, view.holes),
        hasOlder: page.hasMore && page.messages.length + page.holes.length > 0,
        hasNewer: view.hasNewer,
      });
    });
  }

  async showNewer(): Promise<void> {
    const { hasNewer, loading } = this.view.get();
    if (!hasNewer || loading !== null) return;
    await this.#load("newer", async () => {
      const before = lastPosition(this.view.get()) + 1 + PAGE;
      let page = await this.#client.history(this.conversation, { before, limit: PAGE });
      const hasNewer = lastPosition(page) >= before - 1;
      // Only the newest page has what is still on its way.
      if (!hasNewer) page = await this.#client.history(this.conversation, { limit: PAGE });
      const view = this.view.get();
      return cutOldest(READING_LIMIT, {
        messages: merge(view.messages, page.messages),
        holes: mergeHoles(view.holes, page.holes),
        hasOlder: view.hasOlder,
        hasNewer,
      });
    });
  }

  /** Takes in what the client reported about this conversation. */
  apply(changes: readonly Change[]): void {
    const view = this.view.get();
    if (view.loading !== null) {
      for (const change of changes) this.#waiting.push(change);
      return;
    }

    const first = firstPosition(view);
    const last = lastPosition(view);
    const byId = new Map(view.messages.map((message) => [message.id, message]));
    for (const { change, message } of changes) {
      if (change === "removed") byId.delete(message.id);
      else if (byId.has(message.id) || !isOutside(message, view, first)) byId.set(message.id, message);
    }

    const messages = [...byId.values()].sort(inOrder);
    const gap = findGap(messages, last);
    if (gap === null) this.#show({ ...view, messages });
    else if (this.#following) void this.showLatest();
    else this.#show({ ...view, messages: messages.slice(0, gap), hasNewer: true });
  }

  async #load(what: NonNullable<TimelineView["loading"]>, read: () => Promise<Stretch>): Promise<void> {
    const load = ++this.#latestLoad;
    this.view.set({ ...this.view.get(), loading: what, error: null });
    try {
      const stretch = await read();
      if (load !== this.#latestLoad) return;
      this.view.set({ ...stretch, loading: null, error: null });
    } catch (error) {
      if (load !== this.#latestLoad) return;
      this.view.set({ ...this.view.get(), loading: null, error });
    }
    const changes = this.#waiting;
    this.#waiting = [];
    if (changes.length > 0) this.apply(changes);
  }

  /** Shows `view`, cut at the end that the reader is not looking at. */
  #show(view: TimelineView): void {
    this.view.set({ ...view, ...(this.#following ? cutOldest(FOLLOWING_LIMIT, view) : cutNewest(view)) });
  }
}

type Stretch = Pick<TimelineView, "messages" | "holes" | "hasOlder" | "hasNewer">;
type Span = Pick<TimelineView, "messages" | "holes">;

function cutOldest(limit: number, stretch: Stretch): Stretch {
  if (stretch.messages.length <= limit) return stretch;
  const messages = stretch.messages.slice(-limit);
  const first = firstPosition({ messages, holes: [] });
  return { ...stretch, messages, holes: stretch.holes.filter((hole) => hole.to > first), hasOlder: true };
}

function cutNewest(stretch: Stretch): Stretch {
  if (stretch.messages.length <= READING_LIMIT) return stretch;
  const messages = stretch.messages.slice(0, READING_LIMIT);
  const last = lastPosition({ messages, holes: [] });
  return { ...stretch, messages, holes: stretch.holes.filter((hole) => hole.from < last), hasNewer: true };
}

/** Whether a message that is not shown yet lies beyond the window, where scrolling will find it. */
function isOutside(message: Message, view: TimelineView, first: number): boolean {
  if (message.position === null) return view.hasNewer;
  return view.hasOlder && message.position < first;
}

/** The index of the first message after `last` that does not follow on the one before it. */
function findGap(messages: readonly Message[], last: number): number | null {
  let expected = last + 1;
  for (const [index, { position }] of messages.entries()) {
    if (position === null) break;
    if (position < expected) continue;
    if (position > expected) return index;
    expected += 1;
  }
  return null;
}

function firstPosition({ messages, holes }: Span): number {
  const first = messages[0]?.position ?? Number.MAX_SAFE_INTEGER;
  return holes.reduce((least, hole) => Math.min(least, hole.from), first);
}

function lastPosition({ messages, holes }: Span): number {
  const last = messages.findLast((message) => message.position !== null)?.position ?? 0;
  return holes.reduce((most, hole) => Math.max(most, hole.to), last);
}

function merge(shown: readonly Message[], read: readonly Message[]): Message[] {
  const byId = new Map(shown.map((message) => [message.id, message]));
  for (const message of read) byId.set(message.id, message);
  return [...byId.values()].sort(inOrder);
}

function mergeHoles(shown: readonly Hole[], read: readonly Hole[]): Hole[] {
  const byStart = new Map(shown.map((hole) => [hole.from, hole]));
  for (const hole of read) byStart.set(hole.from, hole);
  return [...byStart.values()].sort((a, b) => a.from - b.from);
}

function inOrder(a: Message, b: Message): number {
  if (a.position !== null && b.position !== null) return a.position - b.position;
  if (a.position !== null) return -1;
  if (b.position !== null) return 1;
  return a.sentAt - b.sentAt || (a.id < b.id ? -1 : 1);
}
