import { pieces } from "../search";

/** A text in which the words that are searched for stand out. */
export function Marked({ text, query }: { text: string; query: string }) {
  return pieces(text, query).map((piece, at) => (at % 2 === 1 ? <mark key={at}>{piece}</mark> : piece));
}
