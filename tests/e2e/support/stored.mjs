// Where texts are kept: in what a client has stored, and in the server's files.
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { inPage } from "./client.mjs";

/** Where these texts are in what this client's profile has stored. */
export async function storedAt(client, texts) {
  const { found, looked } = await inPage(client.page, (texts) => harness.unsealed(texts), texts);
  assert.ok(looked.meta > 0, "records can be read");
  return found;
}

/** In which of the server's files these texts are. */
export async function storedAtServer(texts, server) {
  const found = [];
  for (const file of await readdir(server.data)) {
    const bytes = await readFile(join(server.data, file)).catch((error) => {
      if (error.code !== "ENOENT") throw error;
      return Buffer.alloc(0); // such files come and go
    });
    for (const text of texts) if (bytes.includes(text)) found.push({ text, file });
  }
  return found;
}
