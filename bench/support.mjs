// What benches share.
import { availableParallelism, loadavg } from "node:os";
import { Stage } from "../tests/e2e/support/stage.mjs";

/** For a server to which much is written at once, and which says little of it. */
export const UNLIMITED = { args: ["--rate-burst", "10000000", "--rate-per-second", "10000000", "--frames-per-minute", "1000000"], level: "warn" };

/** Runs a bench on a stage, and clears that whatever comes. */
export async function onStage(bench) {
  const stage = new Stage();
  try {
    await bench(stage);
  } catch (error) {
    console.error(error); // whatever clearing may find
    process.exitCode = 1;
  } finally {
    await stage.clear();
  }
}

export function median(list) {
  return list.toSorted((a, b) => a - b)[list.length >> 1];
}

/** How busy the machine is. */
export function load() {
  return `load ${loadavg().map((load) => load.toFixed(1)).join(", ")} on ${availableParallelism()} processors`;
}
