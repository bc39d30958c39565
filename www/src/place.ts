/**
 * How much of an element is above the view, as a part of its height: unlike pixels, that holds on any screen. Of one
 * that begins below the edge nothing is; on another screen the gap above it would grow into the one before.
 */
export function offsetOf(scroller: HTMLElement, element: HTMLElement): number {
  const above = scroller.getBoundingClientRect().top - element.getBoundingClientRect().top;
  return Math.round((Math.max(0, above) / element.offsetHeight) * 1000) / 1000;
}

/** Scrolls so that an element is in the middle of the view, or at its top if it does not fit. */
export function goToMiddle(scroller: HTMLElement, element: HTMLElement): void {
  const from = element.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
  const above = Math.max(0, scroller.clientHeight - element.offsetHeight) / 2;
  scroller.scrollTop += from - above;
}

/** Scrolls so that so much of an element is above the view. */
export function goTo(scroller: HTMLElement, element: HTMLElement, offset: number, behavior: ScrollBehavior = "instant"): void {
  const from = element.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const top = scroller.scrollTop + from + offset * element.offsetHeight;
  scroller.scrollTo({ top, behavior: calm ? "instant" : behavior });
}
