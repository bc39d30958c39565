// The README's twenty lines do what it says, as they stand there.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { ROOT, Stage } from "./support/stage.mjs";
import { until } from "./support/until.mjs";

/** The only thing that the test puts in the place of another. */
const ADDRESS = '"wss://chat.example/sync"';

const stage = new Stage();
after(() => stage.clear());

test("the README's twenty lines send and receive", async () => {
  const lines = await twentyLines("README.md");
  assert.equal(await twentyLines("pkg/README.md"), lines, "npm shows the same");
  assert.equal(lines.split(ADDRESS).length, 2, "the address is there once");
  assert.ok(lines.split("\n").filter((line) => line.trim() !== "").length <= 20, "there are twenty at most");

  const server = await stage.server();
  const [annas, bens] = await stage.profiles(server, 2);
  const ben = await bens.client("ben");
  await ben.send("direct:anna", { text: "Are you there?" });
  await ben.untilSent("direct:anna", 1);
  // A message that is here already can be marked as read at once.
  const before = await annas.client("anna");
  await before.untilSent("direct:ben", 1);
  await before.page.close();

  const page = await annas.tab("/away.html");
  const printed = [];
  page.on("console", async (line) => printed.push(await Promise.all(line.args().map((each) => each.jsonValue()))));
  await page.route("**/my/tutti-token", async (route) => route.fulfill({ body: await server.token("anna") }));
  await page.route("**/readme.js", (route) =>
    route.fulfill({ contentType: "text/javascript", body: lines.replace(ADDRESS, JSON.stringify(server.url)) }),
  );
  await page.goto(`${server.origin}/readme.html`);

  const [, hello] = await ben.untilSent("direct:anna", 2);
  assert.deepEqual(hello.content, { text: "Hello!" });
  assert.equal(hello.sender, "anna");
  await until("the last line has run", async () => (await ben.call("conversation", "direct:anna")).readBy.anna >= 1);
  await ben.send("direct:anna", { text: "There you are." });
  const heard = (state, text) => printed.some(([, of, content]) => of === state && content?.text === text);
  await until("what came is printed", () => heard("sent", "There you are."));
  assert.ok(heard("sent", "Hello!") && printed.some(([role, connection]) => role === "leader" && connection === "online"));
  for (const profile of [annas, bens]) assert.deepEqual(profile.pageErrors, []);
});

async function twentyLines(file) {
  const text = await readFile(join(ROOT, file), "utf8");
  return /^## Twenty lines that work\n+```js\n(.*?)^```$/ms.exec(text)[1];
}
