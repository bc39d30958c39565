// Faults 1, 5 and 8: however the leader ends, another tab takes over; nothing is lost or doubled, and no
// two tabs ever write side by side. `cargo xtask takeovers` runs it for longer and prints the figures.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Stage } from "./support/stage.mjs";
import { takeovers, writers } from "./support/takeovers.mjs";

/** What is run, as `engine:kind:rounds`. */
const RUNS = (process.env.TUTTI_TAKEOVERS ?? "chromium:close:6 chromium:crash:4 chromium:freeze:4 firefox:close:4 webkit:close:4")
  .split(" ")
  .map((run) => run.split(":"));

const stage = new Stage();
after(() => stage.clear());

test("the audit sees two writers", () => {
  const commit = (tab, epoch, revision) => ({ tab, committed: { epoch, revision } });
  const leads = (tab, epoch) => ({ tab, status: { role: "leader", epoch } });
  const one = [{ tab: "a", raised: 1 }, leads("a", 1), commit("a", 1, 1), commit("a", 1, 2)];
  const next = [{ tab: "b", raised: 2 }, leads("b", 2), commit("b", 2, 3)];
  assert.deepEqual(writers([...one, ...next]).twoWriters, []);
  // A frozen tab learns only later that its last commit had happened.
  assert.deepEqual(writers([...next, ...one]).twoWriters, []);
  for (const wrong of [commit("a", 1, 3), commit("a", 1, 4), commit("b", 1, 3), { tab: "c", raised: 2 }, leads("c", 2)]) {
    assert.notDeepEqual(writers([...one, ...next, wrong]).twoWriters, [], JSON.stringify(wrong));
  }
});

for (const [engine, kind, rounds] of RUNS) {
  test(`${engine}: ${rounds} leaders end by ${kind} while messages flow both ways`, async (t) => {
    const { measured, ...found } = await takeovers(stage, { engine, kind, rounds: Number(rounds) });
    for (const way of new Set(measured.map(({ way }) => way))) {
      const times = measured.filter((time) => time.way === way);
      for (const [what, name] of [["led", "led"], ["online", "was online"]]) {
        const { p50, p99, max } = percentiles(times.map((time) => time[what]));
        t.diagnostic(`${engine}, ${way} (${times.length}×): another tab ${name} after p50 ${p50}, p99 ${p99}, max ${max} ms`);
      }
    }
    const { messages, commits, epochs, connections, ...wrong } = found;
    t.diagnostic(`${messages} messages, ${commits} commits by ${epochs} leaders`);
    const nothing = Object.fromEntries(Object.keys(wrong).map((key) => [key, Array.isArray(wrong[key]) ? [] : 0]));
    assert.deepEqual(wrong, nothing);
    assert.equal(measured.length, Number(rounds));
    assert.ok(commits > 0 && messages > 0);
    assert.equal(connections.length, 1);
  });
}

function percentiles(times) {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]);
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
