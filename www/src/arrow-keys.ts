/** Moves the focus through a list with the arrow keys, Home and End. */
export function moveFocus(event: React.KeyboardEvent, elements: Iterable<HTMLElement>): void {
  const list = [...elements];
  const at = list.indexOf(document.activeElement as HTMLElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: list.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  list[to]?.focus();
}
