// Whether a catch-up costs the same for each message, however many there are: `cargo xtask bench million`, or with other
// numbers of messages behind it.
import { join } from "node:path";
import { bundle } from "./bundle.mjs";
import { clientOf, fill, Truth } from "./chat.mjs";
import { Site } from "./site.mjs";
import { load, onStage, UNLIMITED } from "./support.mjs";
import { check, Visit } from "./visit.mjs";
import { Device } from "./wire.mjs";
import { ROOT } from "../tests/e2e/support/stage.mjs";

const given = process.argv.slice(2).map(Number);
const SIZES = given.length > 0 ? given : [10_000, 100_000, 1_000_000];
const FOLDERS = join(process.env.TUTTI_BENCH_OUT ?? join(ROOT, "target/bench"), "pages");

await onStage(async (stage) => {
  await bundle("tutti", "tutti", join(FOLDERS, "tutti"));
  const site = await Site.start(FOLDERS, import.meta.dirname);
  try {
    for (const size of SIZES) await measure(stage, site, size);
  } finally {
    await site.stop();
  }
});

async function measure(stage, site, size) {
  const args = [...UNLIMITED.args, "--allow-origin", "none", "--allow-origin", site.origin("tutti", size)];
  const server = await stage.server({ ...UNLIMITED, args });
  const profile = await stage.profile(server, { launch: { args: Visit.LAUNCH } });
  const browser = (await profile.tab("/healthz")).context();
  const client = await clientOf(server);
  const visit = (more) => Visit.to(browser, site, { name: "tutti", run: size, client, ...more });

  // Who has never been in step is no device that was away: it is given a snapshot instead.
  let page = await visit();
  await page.call("settled");
  await page.close();
  await fill(server, size, (written) => written % 50_000 === 0 && console.log(`${written} written`));

  client.token = await server.token(client.account);
  page = await visit({ catchUp: [] });
  const { time, longest } = await page.evaluate(() => bench.caughtUp);
  const after = await page.memory();
  await page.close();

  const truth = new Truth();
  const device = await Device.connect(server.url, client.account, client.token);
  for await (const { messages } of device.pages()) messages.forEach((message) => truth.add(message));
  device.close();
  page = await visit();
  await check(page, truth);
  const reopened = await page.memory();
  await page.close();
  await profile.close();

  console.log(
    `${size.toLocaleString("en")} messages: ${(time / 1000).toFixed(2)} s, ${((time / size) * 1000).toFixed(1)} µs each; ` +
      `longest main-thread task ${longest === 0 ? "under 50" : longest.toFixed(0)} ms; memory ${megabytes(after)} ` +
      `after it, ${megabytes(reopened)} when opened again; ${load()}`,
  );
}

function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
