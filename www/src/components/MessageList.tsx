import { useCallback, useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Conversation, Message, SyncClient } from "tutti-sync";
import { type Hole, type Timeline, useConversation, useSession, useStore, useTimeline } from "tutti-sync/react";
import { useByHand } from "../by-hand";
import { explain } from "../errors";
import { goTo, goToMiddle, offsetOf } from "../place";
import { type Destination, placeKey, useChat } from "../sync";
import { count, isGroup } from "../text";
import { dayName, startOfDay } from "../time";
import { useVisible } from "../visible";
import { Icon } from "./Icons";
import { MessageItem } from "./MessageItem";

/** How near an end counts as being there, and how near it is read ahead. */
const AT_END_PX = 48;
const READ_AHEAD_PX = 600;
/** Messages of one sender that are further apart than this start a new group. */
const GROUP_MS = 5 * 60 * 1000;
/** Messages kept on screen, so that ten thousand render as fast as a hundred. */
const LIMIT = 200;

export function MessageList({ conversation }: { conversation: string }) {
  const chat = useChat();
  const beginning = useBeginning(conversation);
  const timeline = useTimeline(beginning && conversation, { at: beginning?.message, limit: LIMIT });
  const { messages, holes, hasOlder, hasNewer, loading, error } = timeline;
  const { loadOlder, loadNewer, loadLatest, loadAround, follow } = timeline;
  const head = useConversation(conversation).conversation;
  const unread = head?.unread ?? 0;
  const visible = useVisible();
  const [atEnd, setAtEnd] = useState(true);
  const scroller = useRef<HTMLDivElement>(null);
  const anchor = useRef<Anchor | null>(null);
  /** Whether the reader is at the newest message and stays there as more arrive. */
  const following = useRef(true);
  /** Where the reader is to be taken, once it is on screen; then never again. */
  const destination = useRef<Destination | null>(null);
  /** The message that the reader has asked for. */
  const [sought, setSought] = useState<string | null>(null);
  const [watch, byHand] = useByHand();
  const scrollerRef = useCallback(
    (element: HTMLDivElement | null) => {
      scroller.current = element;
      return watch(element);
    },
    [watch],
  );

  const look = () => {
    const element = scroller.current!;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    const nowAtEnd = below <= AT_END_PX && !hasNewer;
    setAtEnd(nowAtEnd);
    following.current = nowAtEnd;
    follow(nowAtEnd);
    anchor.current = anchorOf(element);
    if (loading !== null) return;
    if (element.scrollTop < READ_AHEAD_PX) void loadOlder();
    if (below < READ_AHEAD_PX) void loadNewer();
  };

  // The next device opens the conversation where this one was; at its end there is nothing to keep.
  const onScroll = () => {
    look();
    if (!byHand.current) return;
    const place = following.current ? null : placeOf(scroller.current!);
    chat.do(placeKey(conversation), { message: place?.message ?? null, offset: place?.offset ?? null });
  };

  const setOut = useCallback((wanted: Destination) => {
    destination.current = wanted.message === null ? null : wanted;
    following.current = wanted.message === null;
    setSought(wanted.offset === null ? wanted.message : null);
  }, []);
  useLayoutEffect(() => {
    if (beginning !== null) setOut(beginning);
  }, [beginning, setOut]);
  // Wherever the reader wants to be taken later.
  useEffect(() => {
    if (beginning === null) return undefined;
    return chat.destination.subscribe((wanted) => {
      if (wanted?.conversation !== conversation) return;
      chat.destination.set(null);
      if (wanted === beginning) return;
      setOut(wanted);
      void (wanted.message === null ? loadLatest() : loadAround(wanted.message));
    });
  }, [chat, conversation, beginning, setOut, loadLatest, loadAround]);

  // What changed above or below must not move what is being read.
  useLayoutEffect(() => {
    const element = scroller.current!;
    const wanted = destination.current;
    const target = wanted && elementOf(element, wanted.message!);
    if (loading === null && wanted !== null) {
      destination.current = null;
      // A message that is nowhere is not shown: what is there then is the end.
      following.current = target === null;
    }
    if (wanted !== null && target !== null) arrive(element, target, wanted.offset);
    else if (following.current) element.scrollTop = element.scrollHeight;
    else if (anchor.current !== null) holdStill(element, anchor.current);
    look();
  }, [messages, holes, loading]);

  // The composer grew, the window shrank: the end stays in view.
  useEffect(() => {
    const element = scroller.current!;
    const observer = new ResizeObserver(() => {
      if (following.current) element.scrollTop = element.scrollHeight;
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const last = messages.findLast(({ position }) => position !== null)?.position ?? null;
  useEffect(() => {
    if (unread > 0 && last !== null && atEnd && visible && !hasNewer) void chat.markRead(conversation, last);
  }, [chat, conversation, unread, last, atEnd, visible, hasNewer]);

  const query = useDeferredValue(useStore(chat.query).trim());
  const firstUnread = useFirstUnread(messages, head, chat.client.account);
  const receipts = useReceipts(messages, head, chat.client.account);

  const showLatest = () => {
    chat.do(placeKey(conversation), { message: null, offset: null });
    chat.goTo({ conversation, message: null, offset: null });
    scroller.current!.scrollTop = scroller.current!.scrollHeight;
  };

  return (
    <div className="messages">
      <div className="messages-scroller" ref={scrollerRef} onScroll={onScroll} tabIndex={0} role="region" aria-label="Messages">
        {error !== null && (
          <p className="messages-note" role="alert">
            {explain(error).what} {explain(error).advice}
          </p>
        )}
        {loading === null && error === null && messages.length === 0 && holes.length === 0 && (
          <p className="messages-note">Nothing here yet. Say hello.</p>
        )}
        {hasOlder && <p className="messages-note">Earlier messages…</p>}
        <ol>{itemsOf(timeline, { firstUnread, receipts, sought, query }, conversation, chat.client)}</ol>
      </div>
      {!atEnd && (
        <button className="pill" data-testid="show-latest" onClick={showLatest}>
          <Icon name="down" />
          {unread > 0 ? count(unread, "new message") : "Latest"}
        </button>
      )}
    </div>
  );
}

/** Where to begin: at the message that the reader has asked for, or where the reader was before. Null: not known yet. */
function useBeginning(conversation: string): Destination | null {
  const chat = useChat();
  const [beginning, setBeginning] = useState(() => {
    const wanted = chat.destination.value;
    return wanted?.conversation === conversation ? wanted : null;
  });
  const { session, loading } = useSession(beginning === null ? placeKey(conversation) : null);
  if (beginning === null && !loading) {
    const { message, offset } = session?.fields ?? {};
    const isPlace = typeof message === "string" && typeof offset === "number";
    setBeginning(isPlace ? { conversation, message, offset } : { conversation, message: null, offset: null });
  }
  return beginning;
}

/** What is said of messages beyond what they say themselves. */
interface Remarks {
  firstUnread: string | null;
  receipts: ReadonlyMap<string, string>;
  sought: string | null;
  query: string;
}

function itemsOf(
  { messages, holes }: Timeline,
  { firstUnread, receipts, sought, query }: Remarks,
  conversation: string,
  { account, deviceId }: SyncClient,
): React.ReactNode[] {
  const items: React.ReactNode[] = [];
  const holesLeft = [...holes];
  let previous: Message | null = null;
  const next = messages.values();
  next.next();

  for (const message of messages) {
    const following = next.next().value ?? null;
    while (holesLeft[0] !== undefined && holesLeft[0].from < (message.position ?? Infinity)) {
      items.push(<HoleItem key={`hole-${holesLeft[0].from}`} hole={holesLeft.shift()!} />);
      previous = null;
    }
    const day = startOfDay(message.sentAt);
    if (previous === null || startOfDay(previous.sentAt) !== day) {
      items.push(
        <li key={`day-${message.id}`} className="divider">
          <span>{dayName(day)}</span>
        </li>,
      );
    }
    if (message.id === firstUnread) {
      items.push(
        <li key="unread" className="divider divider-unread">
          <span>New</span>
        </li>,
      );
    }
    items.push(
      <MessageItem
        key={message.id}
        message={message}
        own={message.sender === account}
        elsewhere={message.sender === account && message.device !== null && message.device !== deviceId}
        named={isGroup(conversation)}
        first={previous === null || !belongTogether(previous, message)}
        last={following === null || !belongTogether(message, following)}
        readBy={receipts.get(message.id)}
        sought={message.id === sought}
        query={query}
      />,
    );
    previous = message;
  }
  for (const hole of holesLeft) items.push(<HoleItem key={`hole-${hole.from}`} hole={hole} />);
  return items;
}

function HoleItem({ hole: { from, to, reason } }: { hole: Hole }) {
  const why = {
    offline: "will be here when there is a connection",
    expired: "are no longer kept by the server",
    disabled: "are not kept on this device",
  }[reason];
  return (
    <li className="divider divider-hole" data-testid="hole">
      <span>
        {count(to - from + 1, "message")} {why}
      </span>
    </li>
  );
}

function belongTogether(a: Message, b: Message): boolean {
  return a.sender === b.sender && b.sentAt - a.sentAt < GROUP_MS && startOfDay(a.sentAt) === startOfDay(b.sentAt);
}

/** What the reader had not read when the conversation was opened begins here; it stays there while they read. */
function useFirstUnread(messages: readonly Message[], head: Conversation | null, account: string): string | null {
  const [opened, setOpened] = useState(head);
  if (opened === null && head !== null) setOpened(head);
  if (opened === null || opened.unread === 0) return null;
  const isUnread = ({ position, sender }: Message) =>
    position !== null && position > opened.readPosition && sender !== account;
  const first = messages.findIndex(isUnread);
  // Where an older unread message may be out of sight, this one is not the first.
  if (first <= 0) return null;
  return messages[first]!.id;
}

/** Under which of one's own messages stands that the others have read so far, as far as they share it. */
function useReceipts(
  messages: readonly Message[],
  head: Conversation | null,
  account: string,
): ReadonlyMap<string, string> {
  const readBy = head?.readBy;
  const direct = head === null || !isGroup(head.id);
  return useMemo(() => {
    const readers = new Map<string, string[]>();
    for (const [reader, upTo] of Object.entries(readBy ?? {})) {
      const last = messages.findLast(
        ({ sender, position, state }) =>
          sender === account && state === "sent" && position !== null && position <= upTo,
      );
      if (last !== undefined && reader !== account) readers.set(last.id, [...(readers.get(last.id) ?? []), reader]);
    }
    const say = (names: string[]) => (direct ? "Read" : `Read by ${names.sort().join(", ")}`);
    return new Map([...readers].map(([id, names]) => [id, say(names)]));
  }, [messages, readBy, direct, account]);
}

/** Takes the reader to a message; one that was asked for gets the focus, too. */
function arrive(scroller: HTMLElement, element: HTMLElement, offset: number | null): void {
  if (offset !== null) return goTo(scroller, element, offset);
  goToMiddle(scroller, element);
  element.focus({ preventScroll: true });
}

interface Anchor {
  id: string;
  top: number;
}

/** The topmost message in view, and where it is. */
function anchorOf(scroller: HTMLElement): Anchor | null {
  const edge = scroller.getBoundingClientRect().top;
  for (const element of scroller.querySelectorAll<HTMLElement>("[data-message-id]")) {
    const { top, bottom } = element.getBoundingClientRect();
    if (bottom > edge) return { id: element.dataset["messageId"]!, top };
  }
  return null;
}

function holdStill(scroller: HTMLElement, { id, top }: Anchor): void {
  const element = elementOf(scroller, id);
  if (element !== null) scroller.scrollTop += element.getBoundingClientRect().top - top;
}

function elementOf(scroller: HTMLElement, id: string): HTMLElement | null {
  return scroller.querySelector(`[data-message-id="${CSS.escape(id)}"]`);
}

/** The topmost message in view, and how far it is out of it. */
function placeOf(scroller: HTMLElement): { message: string; offset: number } | null {
  const anchor = anchorOf(scroller);
  const element = anchor && elementOf(scroller, anchor.id);
  return anchor && element && { message: anchor.id, offset: offsetOf(scroller, element) };
}
