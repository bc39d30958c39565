import { useCallback, useRef } from "react";

const GESTURES = ["wheel", "touchmove", "pointerdown", "keydown"] as const;

/**
 * Tells whether it was a person who scrolled last, not the page: what the page does to follow another device must not be
 * told to that device as news. Returns the ref for the element that scrolls.
 */
export function useByHand(): [(element: HTMLElement | null) => (() => void) | undefined, { current: boolean }] {
  const byHand = useRef(false);
  const watch = useCallback((element: HTMLElement | null) => {
    if (element === null) return undefined;
    const note = () => void (byHand.current = true);
    for (const gesture of GESTURES) element.addEventListener(gesture, note, { passive: true });
    return () => {
      for (const gesture of GESTURES) element.removeEventListener(gesture, note);
    };
  }, []);
  return [watch, byHand];
}
