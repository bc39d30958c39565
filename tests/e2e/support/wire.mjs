// What clients say to the server, as far as a test wants to know: protobuf, read by hand.
const HELLO = 1;
const [DEVICE, PASSING] = [3, 20];

/** The hellos that these tabs have said over WebSockets: with which device id, and whether that was one that passes. */
export function hellos(pages) {
  const sent = pages.flatMap(({ sockets }) => sockets).flatMap(({ sent }) => sent);
  const said = sent.map((frame) => fields(frame).get(HELLO)).filter((hello) => hello !== undefined);
  return said.map((hello) => {
    const of = fields(hello);
    return { device: uuid(of.get(DEVICE)), passing: of.get(PASSING) === 1 };
  });
}

/** A message's fields by number: of a varint the number, of anything with a length its bytes. */
function fields(bytes) {
  const found = new Map();
  let at = 0;
  const varint = () => {
    let [value, shift] = [0, 1];
    for (;;) {
      const byte = bytes[at++];
      value += (byte & 0x7f) * shift;
      shift *= 0x80;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const value = varint();
    const [number, kind] = [key >> 3, key & 7];
    if (kind === 0) {
      found.set(number, value);
    } else if (kind === 2) {
      found.set(number, bytes.subarray(at, at + value));
      at += value;
    } else {
      throw new Error(`a field of kind ${kind} in a client's frame`);
    }
  }
  return found;
}

function uuid(bytes) {
  return Buffer.from(bytes)
    .toString("hex")
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
