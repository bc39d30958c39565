// What who runs the server, and who writes a back end to it, see of the real program. What each route answers, and that
// nobody is named, crates/server/tests/{openapi,observed}.rs ask for.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { KEY, Server } from "./support/server.mjs";
import { until } from "./support/until.mjs";

let server, directory;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "tutti-operation-"));
  const args = ["--log-format", "json", "--drain-delay", "600"];
  const log = join(directory, "server.log");
  server = await Server.start({ data: join(directory, "data"), log, level: "tutti_server=debug", www: directory, args });
});
after(async () => {
  await server.kill();
  await rm(directory, { recursive: true, force: true });
});

const get = (path, headers = {}) => fetch(`${server.origin}${path}`, { headers });

test("X3 the server describes its HTTP API, and can be called by nothing but what it says", async () => {
  const description = await (await get("/api/openapi.json")).json();
  assert.equal(description.openapi, "3.1.0");
  const { post } = description.paths["/api/messages"];
  assert.deepEqual(post.security, [{ serverKey: [] }]);
  assert.equal(description.components.securitySchemes.serverKey.scheme, "bearer");
  const shape = description.components.schemas[post.requestBody.content["application/json"].schema.$ref.split("/").at(-1)];
  const values = { from: "ann", to: "direct:bob", content: { text: "hi" } };
  const body = JSON.stringify(Object.fromEntries(shape.required.map((field) => [field, values[field]])));
  const call = (headers) => fetch(`${server.origin}/api/messages`, { method: "POST", headers, body });
  assert.equal((await call({})).status, 401);
  const answer = await call({ authorization: `Bearer ${KEY}` });
  const sent = description.components.schemas[post.responses[answer.status].content["application/json"].schema.$ref.split("/").at(-1)];
  assert.deepEqual(Object.keys(await answer.json()).sort(), [...sent.required].sort());
});

test("X4 the server counts what it does, writes it down for programs, and says when it is about to end", async () => {
  const answer = await get("/healthz", { "x-request-id": "from-the-proxy" });
  assert.equal(answer.headers.get("x-request-id"), "from-the-proxy");
  const counted = async (series) => {
    const lines = (await (await get("/metrics")).text()).split("\n");
    return Number(lines.find((line) => line.startsWith(`${series} `))?.split(" ").at(-1) ?? 0);
  };
  const series = 'tutti_http_requests_total{method="GET",route="/healthz",status="200"}';
  const before = await counted(series);
  await get("/healthz");
  assert.equal(await counted(series), before + 1);
  assert.equal((await get("/readyz")).status, 200);

  void server.stop().catch(() => {});
  await until("it is not ready", async () => (await get("/readyz")).status === 503);
  assert.equal((await get("/healthz")).status, 200);
  const lines = (await readFile(server.log, "utf8")).split("\n").filter((line) => line.startsWith("{"));
  const requests = lines.map((line) => JSON.parse(line)).filter(({ fields }) => fields.message === "request");
  assert.ok(requests.some(({ fields, spans }) => fields.route === "/healthz" && spans[0].id === "from-the-proxy"));
});
