-- What identifies this database, and the master keys that it is sealed under.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE accounts (
    id        INTEGER PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    head      INTEGER NOT NULL DEFAULT 0,       -- last seq in the account's log
    tail      INTEGER NOT NULL DEFAULT 0,       -- last seq that is no longer kept, but for the last messages of views
    key       INTEGER REFERENCES contents,      -- what its content is sealed under, wrapped; NULL: it has none
    erased_at INTEGER,                          -- NULL: it was not
    erasing   INTEGER                           -- the last of its messages that was recalled for it; NULL: nothing is left to do
) STRICT;

-- Who was erased, but not all of it yet.
CREATE INDEX accounts_erasing ON accounts (erasing) WHERE erasing IS NOT NULL;

-- A conversation as one account sees it. Of an account that was erased it says nothing, not even its name: it is there
-- since SQLite would look through all logs before it removed one. Likewise the targets.
CREATE TABLE views (
    id           INTEGER PRIMARY KEY,
    account      INTEGER NOT NULL REFERENCES accounts,
    conversation TEXT NOT NULL,
    last         INTEGER NOT NULL DEFAULT 0,    -- last position
    inbound      INTEGER NOT NULL DEFAULT 0,    -- how many of its messages came from others
    read         INTEGER NOT NULL DEFAULT 0,    -- position read up to
    read_inbound INTEGER NOT NULL DEFAULT 0,    -- how many messages up to there came from others
    roster       INTEGER REFERENCES rosters,    -- who is in the group, as the account was told last
    UNIQUE (account, conversation)
) STRICT;

-- Content, sealed, and the keys of accounts, wrapped: what can be erased for good. Where SQLite moves a row from page
-- to page it leaves a copy behind, even with secure_delete, and no later erasing reaches that. So these rows are only
-- added at the end and never removed, and each keeps its length for good: it is overwritten where it stands, and what
-- follows its content is zeros.
CREATE TABLE contents (
    key   INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

-- Content is stored once, however many logs refer to it.
CREATE TABLE messages (
    key         INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    sender      TEXT NOT NULL,
    device      BLOB,                           -- NULL: sent through the HTTP API, or by one without a lasting id
    type        TEXT NOT NULL,
    content     INTEGER NOT NULL REFERENCES contents,
    size        INTEGER NOT NULL,               -- of the content in bytes, sealed; 0: recalled, or no log refers to it
    sent_at     INTEGER NOT NULL,
    edited_at   INTEGER NOT NULL DEFAULT 0,     -- 0: never
    edit_clock  INTEGER,                        -- what decided the present content, if it was edited
    edit_device BLOB,                           -- the mark of who decided that
    recalled    INTEGER NOT NULL DEFAULT 0,
    aged        INTEGER NOT NULL DEFAULT 0      -- no longer kept in some log, which would not learn of a change
) STRICT;

-- What an account has sent.
CREATE INDEX messages_sender ON messages (sender);

-- Who was in a group after a change, as a JSON array.
CREATE TABLE rosters (
    key     INTEGER PRIMARY KEY,
    members TEXT NOT NULL
) STRICT;

-- Something that an account's devices share fields of.
CREATE TABLE targets (
    id         INTEGER PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES accounts,
    name       TEXT NOT NULL,
    seq        INTEGER NOT NULL,                -- the entry that says how they are now; those before say nothing
    updated_at INTEGER NOT NULL,
    device     BLOB NOT NULL,                   -- empty: by the HTTP API, the server, or one without a lasting id
    UNIQUE (account, name)
) STRICT;

CREATE TABLE fields (
    target INTEGER NOT NULL REFERENCES targets,
    name   TEXT NOT NULL,
    value  INTEGER NOT NULL REFERENCES contents,
    size   INTEGER NOT NULL,                    -- of the sealed value in bytes; 0: removed, which is remembered
    clock  INTEGER NOT NULL,
    device BLOB NOT NULL,                       -- the mark of who set it
    PRIMARY KEY (target, name)
) STRICT, WITHOUT ROWID;

-- What an account is notified of.
CREATE TABLE notifications (
    account      INTEGER NOT NULL REFERENCES accounts,
    id           BLOB NOT NULL,
    seq          INTEGER NOT NULL,              -- the entry that says how it is now; those before say nothing
    conversation TEXT NOT NULL,                 -- empty: it is about none; likewise the message
    message      BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    state        INTEGER NOT NULL,              -- 0 unread, 1 read, 2 dismissed
    content      INTEGER NOT NULL REFERENCES contents, -- its words, as a protobuf of them alone
    size         INTEGER NOT NULL,              -- of those in bytes, sealed; 0: they are gone
    PRIMARY KEY (account, id),
    UNIQUE (account, seq)
) STRICT, WITHOUT ROWID;

-- Who is notified of a message.
CREATE INDEX notifications_messages ON notifications (message) WHERE message <> x'';

-- Kinds: 1 a message, 2 the account has read, 3 who is in a group, 4 a message has changed, 5 the fields of
-- a target, 6 another account has read, 7 a notification.
CREATE TABLE log (
    account   INTEGER NOT NULL REFERENCES accounts,
    seq       INTEGER NOT NULL,
    operation BLOB,                             -- NULL: the server's own doing
    kind      INTEGER NOT NULL,
    view      INTEGER REFERENCES views,         -- NULL: of a target, or a notification
    message   INTEGER REFERENCES messages,
    roster    INTEGER REFERENCES rosters,
    target    INTEGER REFERENCES targets,
    reader    INTEGER REFERENCES accounts,
    position  INTEGER NOT NULL DEFAULT 0,
    inbound   INTEGER NOT NULL DEFAULT 0,
    device    TEXT,                             -- for which one a message is; empty: the first; NULL: all
    PRIMARY KEY (account, seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX log_positions ON log (view, position) WHERE kind = 1;

-- What waits for the first device that comes for it.
CREATE INDEX log_waiting ON log (account, seq) WHERE device = '';

-- Who holds a message.
CREATE UNIQUE INDEX log_messages ON log (message, account) WHERE kind = 1;

-- How far a reader's own positions were looked through for what the owner of a view has, too, and told of.
CREATE TABLE readings (
    view   INTEGER NOT NULL REFERENCES views,
    reader INTEGER NOT NULL REFERENCES accounts,
    looked INTEGER NOT NULL,
    told   INTEGER NOT NULL DEFAULT 0,          -- the owner's position up to which was told that the reader has read
    PRIMARY KEY (view, reader)
) STRICT, WITHOUT ROWID;

-- What became of accepted operations, so that sending one again changes nothing.
CREATE TABLE operations (
    account     INTEGER NOT NULL REFERENCES accounts,
    id          BLOB NOT NULL,
    digest      BLOB NOT NULL,                  -- sealed: it would tell whether a guess of the content is right
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
    name          TEXT,                         -- NULL: its id
    platform      TEXT,                         -- NULL until the device has connected
    registered_at INTEGER NOT NULL,
    last_seen     INTEGER,
    renamed       INTEGER NOT NULL DEFAULT 0,   -- its user has named it
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

-- Devices that were removed: for good, so that they erase their copies whenever they come again.
CREATE TABLE removed_devices (
    account    TEXT NOT NULL,
    id         TEXT NOT NULL,
    remover    TEXT,                            -- the device that did it; NULL: the back end, or one without a lasting id
    removed_at INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

-- Where devices are pushed to.
CREATE TABLE subscriptions (
    account  TEXT NOT NULL,
    device   TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    p256dh   BLOB NOT NULL,
    auth     BLOB NOT NULL,
    PRIMARY KEY (account, device),
    FOREIGN KEY (account, device) REFERENCES devices (account, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- With which tokens devices came. Of a token there is the beginning of its SHA-256.
CREATE TABLE token_uses (
    account    TEXT NOT NULL,
    token      BLOB NOT NULL,
    device     TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (account, token, device)
) STRICT, WITHOUT ROWID;

CREATE INDEX token_uses_expired ON token_uses (expires_at);

-- Tokens with which a device came that was removed: good for those alone that came with them before.
CREATE TABLE revoked_tokens (
    account    TEXT NOT NULL,
    token      BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (account, token)
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_tokens_expired ON revoked_tokens (expires_at);
