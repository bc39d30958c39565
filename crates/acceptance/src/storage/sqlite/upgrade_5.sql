-- Accounts that are erased.
ALTER TABLE accounts ADD COLUMN erased_at INTEGER;
ALTER TABLE accounts ADD COLUMN erasing INTEGER;

CREATE INDEX accounts_erasing ON accounts (erasing) WHERE erasing IS NOT NULL;

CREATE INDEX messages_sender ON messages (sender);

-- Devices that are renamed, removed and pushed to.
ALTER TABLE devices ADD COLUMN renamed INTEGER NOT NULL DEFAULT 0;

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
