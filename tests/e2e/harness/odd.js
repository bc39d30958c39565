// Makes the browser odd before the package is loaded, as the page's address asks:
//   clock=MS        the wall clock is so many milliseconds ahead, or behind; `odd.setClock(MS)` changes it
//   channel=SEED    broadcast channels lose, double and reorder what comes in
//   timers=minute   the page is hidden and its timers run once a minute
//   hidden          the page is hidden until `odd.show()`
//   locks=none      there are no Web Locks
// `odd.channels` holds the names of all broadcast channels that were opened, `odd.frames` what came in.
const wanted = new URLSearchParams(location.search);
const odd = { channels: new Set(), frames: [], setClock() {}, setChaos() {}, faults: { lost: 0, doubled: 0, late: 0 } };
window.odd = odd;

if (wanted.has("clock")) {
  const [RealDate, now] = [Date, Date.now];
  let ahead = Number(wanted.get("clock"));
  odd.setClock = (millis) => (ahead = millis);
  window.Date = class extends RealDate {
    constructor(...given) {
      super(...(given.length === 0 ? [now() + ahead] : given));
    }
    static now() {
      return now() + ahead;
    }
  };
}

/** Numbers from 0 to 1 that a seed decides: mulberry32. */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = generator(Number(wanted.get("channel") ?? 0));
let chaos = wanted.has("channel");
odd.setChaos = (on) => (chaos = on);

window.BroadcastChannel = class extends BroadcastChannel {
  #listener = null;
  /** What was overtaken, and waits for the next to come in. */
  #late = [];

  constructor(name) {
    super(name);
    odd.channels.add(name);
    this.addEventListener("message", (event) => {
      odd.frames.push(event.data);
      if (!chaos) return this.#deliver([event]);
      const fate = random();
      if (fate < 0.15) odd.faults.lost += 1;
      else if (fate < 0.3) {
        odd.faults.doubled += 1;
        this.#deliver([event, event]);
      } else if (fate < 0.5) {
        odd.faults.late += 1;
        this.#late.push(event);
      } else this.#deliver([event]);
    });
  }

  #deliver(events) {
    for (const event of [...events, ...this.#late.splice(0)]) this.#listener?.(event);
  }

  set onmessage(listener) {
    this.#listener = listener;
  }

  get onmessage() {
    return this.#listener;
  }
};

if (wanted.get("timers") === "minute") {
  const MINUTE = 60_000;
  const [realTimeout, realInterval] = [setTimeout, setInterval];
  const untilMinute = (wait) => {
    const due = performance.now() + (Number(wait) || 0);
    return Math.ceil(due / MINUTE) * MINUTE - performance.now();
  };
  window.setTimeout = (task, wait, ...given) => realTimeout(task, untilMinute(wait), ...given);
  window.setInterval = (task, wait, ...given) => realInterval(task, Math.ceil(wait / MINUTE) * MINUTE, ...given);
}

if (wanted.has("hidden") || wanted.get("timers") === "minute") {
  let hidden = true;
  Object.defineProperty(Document.prototype, "hidden", { get: () => hidden });
  Object.defineProperty(Document.prototype, "visibilityState", { get: () => (hidden ? "hidden" : "visible") });
  odd.show = () => {
    hidden = false;
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  };
}

if (wanted.get("locks") === "none") delete Navigator.prototype.locks;
