/** Resolves with what `check` returns once that is truthy; rejects when it has not become so in time. */
export async function until(what, check, { within = 30_000, every = 25 } = {}) {
  const deadline = performance.now() + within;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`not within ${within / 1000} s: ${what}`);
    await new Promise((resume) => setTimeout(resume, every));
  }
}
