import { SyncClient } from "tutti-sync";
import { createTestServer, type TestServer } from "tutti-sync/testing";
import { type Equal, holds } from "./equal.js";

const server = await createTestServer({ clock: () => 0 });
holds<Equal<typeof server, TestServer>>();
const client = await SyncClient.open({ ...server.options("ann"), token: server.token("ben") });
server.network.latency(100);
// @ts-expect-error How long is a number.
server.network.latency("100 ms");
const id: string = server.post({ from: "ben", to: "direct:ann", content: { any: "thing" }, isIncludeSender: true });
// @ts-expect-error Somebody has to have sent it.
server.post({ to: "direct:ann", content: "hello" });
server.recall({ from: "ben", message: id });
// @ts-expect-error There is nothing to say without a body.
server.notify({ accounts: ["ann"], title: "Build" });
// @ts-expect-error The server says where it is.
server.url = "wss://elsewhere";
server.close();
void client;
