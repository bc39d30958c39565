// A server that has its answers ready: what a catch-up costs the client, apart from what it costs the server.
import { WebSocketServer } from "ws";
import { asked, headOf, nothingAfter } from "./wire.mjs";

export class Stub {
  #server;

  /** `recorded`: by the path of the address, what `Device.pullAll` gave. */
  static async start(recorded) {
    const stub = new Stub();
    stub.#server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    stub.#server.on("connection", (socket, { url }) => {
      const { welcome, pages } = recorded.get(url.slice(1));
      const bare = pages.values();
      socket.on("message", (frame, isBinary) => {
        if (isBinary) serve(socket, frame, welcome, pages);
        else socket.send(bare.next().value ?? "that was all");
      });
    });
    await new Promise((done) => stub.#server.once("listening", done));
    return stub;
  }

  url(path) {
    return `ws://127.0.0.1:${this.#server.address().port}/${path}`;
  }

  stop() {
    for (const client of this.#server.clients) client.terminate();
    return new Promise((done) => this.#server.close(done));
  }
}

function serve(socket, frame, welcome, pages) {
  const { hello, pull, ping } = asked(frame) ?? {};
  if (hello) socket.send(welcome);
  if (ping) socket.send(ping);
  if (pull === undefined) return;
  const page = pages.get(pull) ?? (pull === headOf(welcome) && nothingAfter(pull));
  if (!page) throw new Error(`nobody has asked for what comes after ${pull} before`);
  socket.send(page);
}
