// As much of the protocol as benches speak: protobuf, by hand. `docs/protocol.md` tells what it means.
import { randomBytes } from "node:crypto";
import WebSocket from "ws";

const [HELLO, SUBMIT, PULL, PING] = [1, 2, 3, 4];
const [WELCOME, DELTA, SUBMITTED, PONG] = [1, 2, 3, 6];
const [ACCEPTED, SEND] = [2, 3];
const PROTOCOL = "tutti.v1";

/** A device of an account, with a connection. */
export class Device {
  /** The server's first frame. */
  welcome;
  #socket;
  #frames = [];
  #heard;

  static async connect(url, account, token) {
    const device = new Device();
    const socket = (device.#socket = new WebSocket(url, PROTOCOL));
    socket.on("message", (frame) => (device.#frames.push(frame), device.#heard?.()));
    await new Promise((done, failed) => socket.once("open", done).once("error", failed));
    const hello = message([1, Buffer.from(token)], [2, Buffer.from(account)], [3, mint()], [5, 2], [6, 1]);
    socket.send(message([HELLO, hello]));
    device.welcome = await device.#frame(WELCOME);
    return device;
  }

  /** Sends messages: `[conversation, content]`, at most 200. */
  async submit(sends) {
    const operations = sends.map(([conversation, content]) => {
      const send = message([1, Buffer.from(conversation)], [2, Buffer.from("text")], [3, Buffer.from(JSON.stringify(content))]);
      return [1, message([1, mint()], [SEND, send])];
    });
    this.#socket.send(message([SUBMIT, message(...operations)]));
    const [[, outcomes]] = fields(await this.#frame(SUBMITTED));
    const accepted = fields(outcomes).filter(([, outcome]) => new Map(fields(outcome)).has(ACCEPTED));
    if (accepted.length !== sends.length) throw new Error(`${accepted.length} of ${sends.length} were accepted`);
  }

  /** All that the account's log has, page by page: `after` which seq it begins, the `frame` as it came, and its `messages`. */
  async *pages() {
    for (let [after, head] = [0, 1]; after < head; ) {
      this.#socket.send(message([PULL, message([1, after])]));
      const frame = await this.#frame(DELTA);
      const page = { after, frame, messages: [] };
      const [[, delta]] = fields(frame);
      for (const [number, value] of fields(delta)) {
        if (number === 2) page.messages.push(readMessage(value));
        if (number === 3) after = value;
        if (number === 4) head = value;
      }
      yield page;
    }
  }

  close() {
    this.#socket.close();
  }

  /** The next frame of this kind. Others pass over. */
  async #frame(kind) {
    for (;;) {
      while (this.#frames.length === 0) await new Promise((done) => (this.#heard = done));
      const frame = this.#frames.shift();
      const [[number, body]] = fields(frame);
      if (number === kind) return frame;
      if (number === 4) throw new Error(`the server says ${body}`);
    }
  }
}

/** What a client asks for: `hello`, `pull` after a seq, or `ping` with what it is answered; null: something else. */
export function asked(frame) {
  const [[number, value]] = fields(frame);
  if (number === HELLO) return { hello: true };
  if (number === PULL) return { pull: new Map(fields(value)).get(1) ?? 0 };
  if (number === PING) return { ping: message([PONG, value]) };
  return null;
}

/** A page with nothing in it, for who is at the head. */
export function nothingAfter(head) {
  return message([DELTA, message([1, head], [3, head], [4, head])]);
}

/** The head of the log, from a Welcome. */
export function headOf(welcome) {
  const [[, body]] = fields(welcome);
  return new Map(fields(body)).get(2);
}

/** An id as devices and operations have it (UUIDv7). */
function mint() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes;
}

function readMessage(event) {
  const body = new Map(fields(event)).get(3);
  const found = new Map(fields(body));
  return {
    id: uuid(found.get(1)),
    conversation: String(found.get(2)),
    sender: String(found.get(3)),
    type: String(found.get(5)),
    content: JSON.parse(found.get(6)),
    position: found.get(7),
    sentAt: found.get(9),
  };
}

/** A message's fields in their order: of a varint the number, of anything with a length its bytes. */
function fields(bytes) {
  const found = [];
  let at = 0;
  const varint = () => {
    let [value, factor] = [0, 1];
    for (;;) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * factor;
      factor *= 0x80;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const value = varint();
    if ((key & 7) === 0) found.push([key >> 3, value]);
    else if ((key & 7) === 2) found.push([key >> 3, bytes.subarray(at, (at += value))]);
    else throw new Error(`a field of kind ${key & 7}`);
  }
  return found;
}

/** A message of these fields: numbers as varints, bytes with their length. */
function message(...fields) {
  const parts = fields.flatMap(([number, value]) =>
    typeof value === "number"
      ? [varint(number * 8), varint(value)]
      : [varint(number * 8 + 2), varint(value.length), value],
  );
  return Buffer.concat(parts);
}

function varint(number) {
  const bytes = [];
  for (; number >= 0x80; number = Math.floor(number / 0x80)) bytes.push((number % 0x80) + 0x80);
  return Buffer.from([...bytes, number]);
}

function uuid(bytes) {
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
