// Where texts are kept: in what a client has stored, and in the server's files.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join, relative } from "node:path";
import { inPage } from "./client.mjs";

/** Where these texts are in what this client's profile has stored. */
export async function storedAt(client, texts) {
  const { found, looked } = await inPage(client.page, (texts) => harness.unsealed(texts), texts);
  assert.ok(looked.meta > 0, "records can be read");
  return found;
}

/** In which of the server's files these texts, or bytes, are. */
export async function storedAtServer(texts, server) {
  const found = [];
  for (const { file, bytes } of await filesOf(server)) {
    for (const text of texts) if (bytes.includes(text)) found.push({ text, file });
  }
  return found;
}

/** The files in which a server keeps everything, with what is in them. */
export async function filesOf(server) {
  const [files, elsewhere = []] = await Promise.all([filesIn(server.data), server.filesElsewhere?.()]);
  return [...files, ...elsewhere];
}

/** The files in a directory, or those that are wanted, with what is in them. */
export async function filesIn(directory, isWanted = () => true) {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const read = async (file) => {
    const bytes = await readFile(join(directory, file)).catch((error) => {
      if (error.code !== "ENOENT") throw error;
      return Buffer.alloc(0); // such files come and go
    });
    return { file, bytes };
  };
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => relative(directory, join(parentPath, name)));
  return Promise.all(files.filter(isWanted).map(read));
}

/** Where these ids are in what this client's profile has stored, as text or as bytes. */
export async function idsStoredAt(client, ids) {
  const body = (ids) => {
    const bytes = (id) => Uint8Array.from(id.replaceAll("-", "").match(/../g), (hex) => parseInt(hex, 16));
    return ids.map((id) => new TextDecoder("latin1").decode(bytes(id)));
  };
  return storedAt(client, [...ids, ...(await inPage(client.page, body, ids))]);
}

/** In which of the server's files these ids are, as text or as bytes. */
export function idsStoredAtServer(ids, server) {
  const bytes = (id) => Buffer.from(id.replaceAll("-", ""), "hex");
  return storedAtServer([...ids, ...ids.map(bytes)], server);
}
