/**
 * Puts work off a little, so that what changes with every key and every pixel is written a few times a second.
 * What waits is done at once when the page may be about to go.
 */
export class Later {
  readonly #waiting = new Map<string, { work: () => void; timer: number }>();

  /** Sees to that until the returned function is called. */
  start(): () => void {
    addEventListener("pagehide", this.flush);
    document.addEventListener("visibilitychange", this.#flushIfHidden);
    return () => {
      this.flush();
      removeEventListener("pagehide", this.flush);
      document.removeEventListener("visibilitychange", this.#flushIfHidden);
    };
  }

  /** Does this within so many milliseconds, in the place of what waits under the same name. */
  do(name: string, wait: number, work: () => void): void {
    const timer = this.#waiting.get(name)?.timer ?? window.setTimeout(() => this.run(name), wait);
    this.#waiting.set(name, { work, timer });
  }

  /** Does what waits under this name. */
  run(name: string): void {
    const waiting = this.#waiting.get(name);
    clearTimeout(waiting?.timer);
    this.#waiting.delete(name);
    waiting?.work();
  }

  readonly flush = (): void => {
    for (const name of [...this.#waiting.keys()]) this.run(name);
  };

  readonly #flushIfHidden = (): void => {
    if (document.visibilityState === "hidden") this.flush();
  };
}
