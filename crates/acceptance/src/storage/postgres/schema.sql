-- The tables are those of SQLite, and mean the same; what differs is said where it does.
--
-- PostgreSQL overwrites nothing: what a statement changes or removes stays in its page as a dead row until it is
-- vacuumed, and until then, and in the log from which replicas and backups are made, somebody who reads the disk finds
-- it. So nothing is erased by overwriting it here. All content is sealed under keys of accounts: whoever reads dead rows
-- finds sealed bytes, and an account's content is gone for good once its key is. Hence the keys have a table of their
-- own, which is small and is vacuumed at once. Content that was recalled is out of reach of all statements at once, and
-- leaves the disk with the next vacuum of its page.
--
-- Nothing that the log, receipts and readings refer to is ever removed: they have no foreign keys, which would cost an
-- index search each, and a lock on what they refer to.
--
-- Names are compared byte by byte, as Rust does, whatever language the database speaks.

-- What identifies this database, its version, and the master keys that it is sealed under.
CREATE TABLE meta (
    key   TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

-- Who writes into logs holds the rows of their accounts, in the order of their ids.
CREATE TABLE accounts (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      TEXT COLLATE "C" NOT NULL UNIQUE,
    head      BIGINT NOT NULL DEFAULT 0,        -- last seq in the account's log
    tail      BIGINT NOT NULL DEFAULT 0,        -- last seq that is no longer kept, but for the last messages of views
    erased_at BIGINT,                           -- NULL: it was not
    erasing   BIGINT                            -- the last of its messages that was recalled for it; NULL: nothing is left to do
) WITH (fillfactor = 80);                       -- heads change with every entry, in their own page if it has room

-- Who was erased, but not all of it yet.
CREATE INDEX accounts_erasing ON accounts (erasing) WHERE erasing IS NOT NULL;

-- What the content of accounts is sealed under, wrapped.
CREATE TABLE keys (
    account BIGINT PRIMARY KEY REFERENCES accounts,
    wrapped BYTEA NOT NULL
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

-- Who was in a group after a change, as a JSON array.
CREATE TABLE rosters (
    key     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    members TEXT NOT NULL
);

-- A conversation as one account sees it. Of an account that was erased it says nothing, not even its name. Likewise the
-- targets.
CREATE TABLE views (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account      BIGINT NOT NULL REFERENCES accounts,
    conversation TEXT COLLATE "C" NOT NULL,
    last         BIGINT NOT NULL DEFAULT 0,     -- last position
    inbound      BIGINT NOT NULL DEFAULT 0,     -- how many of its messages came from others
    read         BIGINT NOT NULL DEFAULT 0,     -- position read up to
    read_inbound BIGINT NOT NULL DEFAULT 0,     -- how many messages up to there came from others
    roster       BIGINT REFERENCES rosters,     -- who is in the group, as the account was told last
    UNIQUE (account, conversation)
) WITH (fillfactor = 80);

-- Content is stored once, however many logs refer to it.
CREATE TABLE messages (
    key         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          BYTEA NOT NULL UNIQUE,
    sender      TEXT COLLATE "C" NOT NULL,
    device      BYTEA,                          -- NULL: sent through the HTTP API, or by one without a lasting id
    type        TEXT NOT NULL,
    content     BYTEA NOT NULL,                 -- sealed; empty: recalled, or no log refers to it
    sent_at     BIGINT NOT NULL,
    edited_at   BIGINT NOT NULL DEFAULT 0,      -- 0: never
    edit_clock  BIGINT,                         -- what decided the present content, if it was edited
    edit_device BYTEA,                          -- the mark of who decided that
    recalled    BOOLEAN NOT NULL DEFAULT false,
    aged        BOOLEAN NOT NULL DEFAULT false  -- no longer kept in some log, which would not learn of a change
);

-- What is sealed does not compress.
ALTER TABLE messages ALTER COLUMN content SET STORAGE EXTERNAL;

-- What an account has sent.
CREATE INDEX messages_sender ON messages (sender, key);

-- Something that an account's devices share fields of.
CREATE TABLE targets (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account    BIGINT NOT NULL REFERENCES accounts,
    name       TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,                 -- the entry that says how they are now; those before say nothing
    updated_at BIGINT NOT NULL,
    device     BYTEA NOT NULL,                  -- empty: by the HTTP API, the server, or one without a lasting id
    UNIQUE (account, name)
);

CREATE TABLE fields (
    target BIGINT NOT NULL REFERENCES targets,
    name   TEXT COLLATE "C" NOT NULL,
    value  BYTEA NOT NULL,                      -- sealed; empty: removed, which is remembered
    clock  BIGINT NOT NULL,
    device BYTEA NOT NULL,                      -- the mark of who set it
    PRIMARY KEY (target, name)
);

ALTER TABLE fields ALTER COLUMN value SET STORAGE EXTERNAL;

-- What an account is notified of.
CREATE TABLE notifications (
    account      BIGINT NOT NULL REFERENCES accounts,
    id           BYTEA NOT NULL,
    seq          BIGINT NOT NULL,               -- the entry that says how it is now; those before say nothing
    conversation TEXT COLLATE "C" NOT NULL,     -- empty: it is about none; likewise the message
    message      BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    state        SMALLINT NOT NULL,             -- 0 unread, 1 read, 2 dismissed
    words        BYTEA NOT NULL,                -- as a protobuf of them alone, sealed; empty: they are gone
    PRIMARY KEY (account, id),
    UNIQUE (account, seq)
);

ALTER TABLE notifications ALTER COLUMN words SET STORAGE EXTERNAL;

-- Who is notified of a message.
CREATE INDEX notifications_messages ON notifications (message) WHERE message <> '';

-- Kinds: 1 a message, 2 the account has read, 3 who is in a group, 4 a message has changed, 5 the fields of
-- a target, 6 another account has read, 7 a notification.
CREATE TABLE log (
    account   BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    operation BYTEA,                            -- NULL: the server's own doing
    kind      SMALLINT NOT NULL,
    view      BIGINT,                           -- NULL: of a target, or a notification
    message   BIGINT,
    roster    BIGINT,
    target    BIGINT,
    reader    BIGINT,
    position  BIGINT NOT NULL DEFAULT 0,
    inbound   BIGINT NOT NULL DEFAULT 0,
    device    TEXT,                             -- for which one a message is; empty: the first; NULL: all
    PRIMARY KEY (account, seq)
);

CREATE UNIQUE INDEX log_positions ON log (view, position) WHERE kind = 1;

-- What waits for the first device that comes for it.
CREATE INDEX log_waiting ON log (account, seq) WHERE device = '';

-- Who holds a message.
CREATE UNIQUE INDEX log_messages ON log (message, account) WHERE kind = 1;

-- How far a reader's own positions were looked through for what the owner of a view has, too, and told of.
CREATE TABLE readings (
    view   BIGINT NOT NULL,
    reader BIGINT NOT NULL,
    looked BIGINT NOT NULL,
    told   BIGINT NOT NULL DEFAULT 0,           -- the owner's position up to which was told that the reader has read
    PRIMARY KEY (view, reader)
);

-- What became of accepted operations, so that sending one again changes nothing.
CREATE TABLE operations (
    account     BIGINT NOT NULL,
    id          BYTEA NOT NULL,
    digest      BYTEA NOT NULL,                 -- sealed: it would tell whether a guess of the content is right
    seq         BIGINT NOT NULL,
    accepted_at BIGINT NOT NULL,
    PRIMARY KEY (account, id)
);

CREATE TABLE groups (
    id TEXT COLLATE "C" PRIMARY KEY
);

CREATE TABLE group_members (
    group_id TEXT COLLATE "C" NOT NULL REFERENCES groups ON DELETE CASCADE,
    account  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (group_id, account)
);

CREATE TABLE devices (
    account       TEXT COLLATE "C" NOT NULL,
    id            TEXT COLLATE "C" NOT NULL,
    name          TEXT,                         -- NULL: its id
    platform      TEXT,                         -- NULL until the device has connected
    registered_at BIGINT NOT NULL,
    last_seen     BIGINT,
    renamed       BOOLEAN NOT NULL DEFAULT false, -- its user has named it
    PRIMARY KEY (account, id)
);

-- Devices that were removed: for good, so that they erase their copies whenever they come again.
CREATE TABLE removed_devices (
    account    TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    remover    TEXT,                            -- the device that did it; NULL: the back end, or one without a lasting id
    removed_at BIGINT NOT NULL,
    PRIMARY KEY (account, id)
);

-- Where devices are pushed to.
CREATE TABLE subscriptions (
    account  TEXT COLLATE "C" NOT NULL,
    device   TEXT COLLATE "C" NOT NULL,
    endpoint TEXT NOT NULL,
    p256dh   BYTEA NOT NULL,
    auth     BYTEA NOT NULL,
    PRIMARY KEY (account, device),
    FOREIGN KEY (account, device) REFERENCES devices (account, id) ON DELETE CASCADE
);

-- With which tokens devices came. Of a token there is the beginning of its SHA-256.
CREATE TABLE token_uses (
    account    TEXT COLLATE "C" NOT NULL,
    token      BYTEA NOT NULL,
    device     TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (account, token, device)
);

CREATE INDEX token_uses_expired ON token_uses (expires_at);

-- Tokens with which a device came that was removed: good for those alone that came with them before.
CREATE TABLE revoked_tokens (
    account    TEXT COLLATE "C" NOT NULL,
    token      BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (account, token)
);

CREATE INDEX revoked_tokens_expired ON revoked_tokens (expires_at);
