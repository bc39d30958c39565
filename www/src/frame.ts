/** A hidden tab gets no frames, but its title and its unread counts should still follow, if more slowly. */
const WITHOUT_FRAMES_MS = 250;

/**
 * Gives back a function that runs `work` once in the next frame, however often it is called until then:
 * a thousand messages that arrive together cost one render.
 */
export function oncePerFrame(work: () => void): () => void {
  let frame = 0;
  let timer = 0;

  const run = () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
    frame = timer = 0;
    work();
  };

  return () => {
    if (timer !== 0) return;
    frame = requestAnimationFrame(run);
    timer = window.setTimeout(run, WITHOUT_FRAMES_MS);
  };
}
