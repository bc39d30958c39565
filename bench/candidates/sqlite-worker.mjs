// The pool of access handles is the fastest of SQLite's ways to OPFS. It is for one tab at a time.
import start from "@sqlite.org/sqlite-wasm";
import { conversationsOf, summaries } from "./chat.mjs";

const SCHEMA = `
  PRAGMA journal_mode = TRUNCATE;
  PRAGMA synchronous = NORMAL;
  PRAGMA cache_size = -32000;
  CREATE TABLE IF NOT EXISTS messages (
    conversation TEXT NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL UNIQUE,
    sender TEXT NOT NULL, type TEXT NOT NULL, sentAt INTEGER NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (conversation, position)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, lastActivity INTEGER NOT NULL, unread INTEGER NOT NULL, last INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS activity ON conversations (lastActivity);
`;

let [sqlite, database, pool] = [];
const statements = {};

const api = {
  async open() {
    sqlite = await start();
    for (;;) {
      try {
        pool = await sqlite.installOpfsSAHPoolVfs({});
        break;
      } catch (error) {
        // The page before may not have let go of the files yet.
        if (error?.name !== "NoModificationAllowedError") throw error;
      }
    }
    database = new pool.OpfsSAHPoolDb("/chat.db");
    database.exec(SCHEMA);
    const prepared = {
      insert: "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)",
      summary: "SELECT unread FROM conversations WHERE id = ?",
      summarise: "INSERT OR REPLACE INTO conversations VALUES (?, ?, ?, ?)",
      latest: "SELECT * FROM messages WHERE conversation = ? ORDER BY position DESC LIMIT ?",
      list: `SELECT c.id AS id, c.lastActivity AS lastActivity, unread, m.* FROM conversations c
             JOIN messages m ON m.conversation = c.id AND m.position = c.last ORDER BY c.lastActivity DESC LIMIT ?`,
    };
    for (const [name, text] of Object.entries(prepared)) statements[name] = database.prepare(text);
  },

  take(page) {
    api.store(JSON.parse(page));
  },

  write(message) {
    api.store([message]);
  },

  store(list) {
    database.transaction(() => {
      const { insert, summary, summarise } = statements;
      for (const { conversation, position, id, sender, type, sentAt, content } of list) {
        insert.bind([conversation, position, id, sender, type, sentAt, JSON.stringify(content)]).stepReset();
      }
      const known = new Map();
      for (const id of conversationsOf(list)) {
        summary.bind([id]);
        if (summary.step()) known.set(id, { unread: summary.getInt(0) });
        summary.reset();
      }
      for (const { id, lastActivity, unread, lastMessage } of summaries(known, list)) {
        summarise.bind([id, lastActivity, unread, lastMessage.position]).stepReset();
      }
    });
  },

  latest(conversation, limit) {
    return rows(statements.latest, [conversation, limit]).map(message).reverse();
  },

  list(limit) {
    // Two columns have the same name, so they are read by their places.
    return rows(statements.list, [limit], true).map(([id, lastActivity, unread, ...rest]) => {
      const [conversation, position, messageId, sender, type, sentAt, content] = rest;
      const lastMessage = { conversation, position, id: messageId, sender, type, sentAt, content: JSON.parse(content) };
      return { id, lastActivity, unread, lastMessage };
    });
  },

  memory() {
    return sqlite.wasm.memory.buffer.byteLength;
  },

  close() {
    for (const statement of Object.values(statements)) statement.finalize();
    database.close();
    pool.pauseVfs();
  },
};

onmessage = async ({ data: { id, name, given } }) => {
  try {
    postMessage({ id, value: await api[name](...given) });
  } catch (error) {
    postMessage({ id, error: `${error?.name}: ${error?.message ?? error}` });
  }
};

function rows(statement, values, asArrays = false) {
  const found = [];
  statement.bind(values);
  while (statement.step()) found.push(statement.get(asArrays ? [] : {}));
  statement.reset();
  return found;
}

function message(row) {
  return { ...row, content: JSON.parse(row.content) };
}
