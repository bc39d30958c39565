-- What identifies this database.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    head INTEGER NOT NULL DEFAULT 0             -- last seq in the account's log
) STRICT;

-- A conversation as one account sees it.
CREATE TABLE views (
    id           INTEGER PRIMARY KEY,
    account      INTEGER NOT NULL REFERENCES accounts,
    conversation TEXT NOT NULL,
    last         INTEGER NOT NULL DEFAULT 0,    -- last position
    inbound      INTEGER NOT NULL DEFAULT 0,    -- how many of its messages came from others
    read         INTEGER NOT NULL DEFAULT 0,    -- position read up to
    UNIQUE (account, conversation)
) STRICT;

-- Content is stored once, however many logs refer to it.
CREATE TABLE messages (
    key     INTEGER PRIMARY KEY,
    id      BLOB NOT NULL UNIQUE,
    sender  TEXT NOT NULL,
    device  BLOB,                               -- NULL: sent through the HTTP API
    type    TEXT NOT NULL,
    content BLOB NOT NULL,
    sent_at INTEGER NOT NULL
) STRICT;

-- Who was in a group after a change, as a JSON array.
CREATE TABLE rosters (
    key     INTEGER PRIMARY KEY,
    members TEXT NOT NULL
) STRICT;

-- An entry with a message is a message, one with a roster a change of members, any other a read.
CREATE TABLE log (
    account   INTEGER NOT NULL REFERENCES accounts,
    seq       INTEGER NOT NULL,
    operation BLOB,                             -- NULL: the server's own doing
    view      INTEGER NOT NULL REFERENCES views,
    message   INTEGER REFERENCES messages,
    roster    INTEGER REFERENCES rosters,
    position  INTEGER NOT NULL DEFAULT 0,
    inbound   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX log_positions ON log (view, position) WHERE message IS NOT NULL;

-- What became of accepted operations, so that sending one again changes nothing.
CREATE TABLE operations (
    account     INTEGER NOT NULL REFERENCES accounts,
    id          BLOB NOT NULL,
    digest      BLOB NOT NULL,
    seq         INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES groups ON DELETE CASCADE,
    account  TEXT NOT NULL,
    PRIMARY KEY (group_id, account)
) STRICT, WITHOUT ROWID;

CREATE TABLE devices (
    account       TEXT NOT NULL,
    id            TEXT NOT NULL,
    name          TEXT,                         -- NULL until the device has connected
    platform      TEXT,
    registered_at INTEGER NOT NULL,
    last_seen     INTEGER,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;
