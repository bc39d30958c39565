import { useCallback, useLayoutEffect, useRef, useState } from "react";
import { useSession } from "tutti-sync/react";
import { ARTICLE, type Paragraph } from "../article";
import { useByHand } from "../by-hand";
import { goTo, offsetOf } from "../place";
import { useChat } from "../sync";
import { Icon } from "./Icons";

const PARAGRAPHS: readonly Paragraph[] = ARTICLE.paragraphs;

/** A long text that opens where it was left, on whichever device, and turns its page when another one does. */
export function ArticleView({ device }: { device: string }) {
  const chat = useChat();
  const { session: doing, origin } = useSession(ARTICLE.key);
  const scroller = useRef<HTMLDivElement>(null);
  const [watch, byHand] = useByHand();
  const opened = useRef(false);
  const [note, setNote] = useState<string | null>(null);

  const scrollerRef = useCallback(
    (element: HTMLDivElement | null) => {
      scroller.current = element;
      return watch(element);
    },
    [watch],
  );

  useLayoutEffect(() => {
    if (doing === null) return;
    const first = !opened.current;
    opened.current = true;
    // Who is scrolling here leads; what was done here is here already.
    if (!first && (origin === "local" || chat.isDoing(ARTICLE.key))) return;
    const { paragraph, offset, device: where } = doing.fields;
    const element = typeof paragraph === "string" ? paragraphIn(scroller.current!, paragraph) : null;
    if (element === null || typeof offset !== "number") return;
    byHand.current = false;
    goTo(scroller.current!, element, offset, first ? "instant" : "smooth");
    const elsewhere = typeof where === "string" && where !== device ? where : null;
    if (first) setNote(elsewhere === null ? "Where you left off" : `Where you left off on ${elsewhere}`);
    else setNote(elsewhere === null ? "In step with another tab" : `In step with ${elsewhere}`);
  }, [chat, doing, origin, device, byHand]);

  const keep = () => {
    if (!byHand.current) return;
    opened.current = true;
    setNote(null);
    const element = topmost(scroller.current!);
    if (element === null) return;
    const paragraph = element.dataset["paragraph"]!;
    const offset = offsetOf(scroller.current!, element);
    const index = PARAGRAPHS.findIndex(({ id }) => id === paragraph);
    const { scrollTop, scrollHeight, clientHeight } = scroller.current!;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 2;
    const progress = atEnd ? 1 : Math.max(0, (index + offset) / PARAGRAPHS.length);
    chat.do(ARTICLE.key, { paragraph, offset, progress: Math.round(progress * 100) / 100, device });
  };

  const toBeginning = () => {
    byHand.current = true;
    scroller.current!.scrollTo({ top: 0, behavior: "smooth" });
  };

  return (
    <section className="page" aria-label={ARTICLE.title}>
      <header className="conversation-head">
        <a className="button-icon back" href="#" aria-label="Back to all conversations">
          <Icon name="back" />
        </a>
        <span className="shelf-icon">
          <Icon name="book" />
        </span>
        <div className="conversation-names">
          <h2>{ARTICLE.title}</h2>
          <p data-testid="article-note" role="status">
            {note ?? "Your place is kept, on all devices"}
          </p>
        </div>
        <button className="button-icon" aria-label="From the beginning" title="From the beginning" onClick={toBeginning}>
          <Icon name="top" />
        </button>
      </header>
      <div
        className="article"
        ref={scrollerRef}
        onScroll={keep}
        tabIndex={0}
        role="region"
        aria-label="Text"
        data-testid="article"
      >
        <article>
          <h1>{ARTICLE.title}</h1>
          <p className="article-subtitle">{ARTICLE.subtitle}</p>
          {PARAGRAPHS.map(({ id, text, heading }) => (
            <div key={id} data-paragraph={id}>
              {heading !== undefined && <h2>{heading}</h2>}
              <p>{text}</p>
            </div>
          ))}
        </article>
      </div>
    </section>
  );
}

function topmost(scroller: HTMLElement): HTMLElement | null {
  const edge = scroller.getBoundingClientRect().top;
  const paragraphs = scroller.querySelectorAll<HTMLElement>("[data-paragraph]");
  return [...paragraphs].find((element) => element.getBoundingClientRect().bottom > edge) ?? null;
}

function paragraphIn(scroller: HTMLElement, id: string): HTMLElement | null {
  return scroller.querySelector(`[data-paragraph="${CSS.escape(id)}"]`);
}
