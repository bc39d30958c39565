//! Who waits for whom. Transactions of several servers meet here, so whatever one decides by is held until it ends:
//! the rows of the accounts into whose logs it writes, messages that change, and, by a number made of their names since
//! they need not be there yet, groups and the devices of accounts.
//!
//! Nobody waits who holds something: what is known beforehand is taken all at once, in one order (names by their
//! numbers, accounts by their ids, messages by their keys), and what turns up later is taken only if nobody has it. So
//! there are no circles; whoever is refused lets go of all and begins anew.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgRow;
use tutti_protocol::Millis;

use super::PostgresTransaction;
use crate::storage::{
    AccountKey, Result, StorageError, Touched,
    rows::{Columns as _, number},
};

/// Takes these numbers, in the order in which they are given.
const LOCK_NAMES: &str = "
    SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(name) ELSE pg_advisory_xact_lock_shared(name) END
    FROM unnest($1::bigint[], $2::boolean[]) AS t (name, exclusive)";
const TRY_NAME: &str = "
    SELECT CASE WHEN $2 THEN pg_try_advisory_xact_lock($1) ELSE pg_try_advisory_xact_lock_shared($1) END";

/// Takes the accounts of these names `$1`, the members of these groups `$2`, and of those `$3` that have no more than
/// `$4`, and who has these messages `$5` or was notified of them.
pub(super) const LOCK_ACCOUNTS: &str = "
    SELECT id, name, erased_at FROM accounts WHERE id = ANY(ARRAY(
        SELECT id FROM accounts WHERE name = ANY($1)
        UNION
        SELECT a.id FROM group_members m JOIN accounts a ON a.name = m.account WHERE m.group_id = ANY($2)
        UNION
        SELECT a.id FROM group_members m JOIN accounts a ON a.name = m.account
        WHERE m.group_id = ANY(ARRAY(
            SELECT g.id FROM groups g WHERE g.id = ANY($3)
                AND (SELECT count(*) FROM group_members c WHERE c.group_id = g.id) <= $4
        ))
        UNION
        SELECT l.account FROM messages m CROSS JOIN LATERAL (
            SELECT account FROM log WHERE message = m.key AND kind = 1 OFFSET 0
        ) l WHERE m.id = ANY($5)
        UNION
        SELECT account FROM notifications WHERE message = ANY($5) AND message <> ''
    )) ORDER BY id FOR NO KEY UPDATE";
pub(super) const LOCK_MESSAGES: &str =
    "SELECT key FROM messages WHERE id = ANY($1) ORDER BY key FOR NO KEY UPDATE";

/// What a transaction holds.
#[derive(Default)]
pub(super) struct Locks {
    /// Accounts.
    accounts: BTreeSet<i64>,
    /// Groups and devices, by the numbers of their names, and whether nobody else may even look at them.
    names: BTreeMap<i64, bool>,
}

impl Locks {
    /// Whoever holds nothing may wait.
    fn may_wait(&self) -> bool {
        self.accounts.is_empty() && self.names.is_empty()
    }
}

/// A group, as it is locked.
pub(super) fn group(id: &str) -> i64 {
    number_of("group", id)
}

/// An account's devices, as they are locked.
pub(super) fn devices(account: &str) -> i64 {
    number_of("devices", account)
}

/// The schema, as it is locked by whoever makes it or changes it.
pub(super) fn schema() -> i64 {
    number_of("schema", "")
}

/// Two that have the same number by chance wait for each other, no more.
fn number_of(kind: &str, name: &str) -> i64 {
    let hash = Sha256::new()
        .chain_update("tutti ")
        .chain_update(kind)
        .chain_update(b"\0")
        .chain_update(name)
        .finalize();
    let mut number = [0; 8];
    number.copy_from_slice(&hash[..8]);
    i64::from_be_bytes(number)
}

impl PostgresTransaction {
    /// Takes all this at once.
    pub(super) async fn lock_all(&mut self, touched: &Touched) -> Result<()> {
        if !self.found.locks.may_wait() {
            return Ok(());
        }
        let shared = touched.groups.iter().chain(&touched.readers).map(|id| (group(id), false));
        let exclusive = touched.changed_groups.iter().map(|id| (group(id), true));
        let devices = touched.devices.iter().map(|account| (devices(account), true));
        let mut names = BTreeMap::new();
        for (name, is_exclusive) in shared.chain(exclusive).chain(devices) {
            *names.entry(name).or_default() |= is_exclusive;
        }
        self.wait_for_names(names).await?;
        let Touched { accounts, groups, readers, changed_groups, messages, .. } = touched;
        // Who is in a group learns that it changes.
        let groups: Vec<&str> = groups.union(changed_groups).map(String::as_str).collect();
        let messages: Vec<&[u8]> = messages.iter().map(|id| &id.as_bytes()[..]).collect();
        if accounts.is_empty() && groups.is_empty() && readers.is_empty() && messages.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(LOCK_ACCOUNTS)
            .bind(accounts.iter().map(String::as_str).collect::<Vec<_>>())
            .bind(groups)
            .bind(readers.iter().map(String::as_str).collect::<Vec<_>>())
            .bind(tutti_protocol::limits::READERS as i64)
            .bind(&messages)
            .fetch_all(&mut *self.tx)
            .await?;
        self.note_accounts(&rows)?;
        if !messages.is_empty() {
            sqlx::query(LOCK_MESSAGES).bind(&messages).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Holds those of these accounts that there are.
    pub(super) async fn hold_names(&mut self, names: &[&str]) -> Result<()> {
        let new: Vec<_> =
            names.iter().copied().filter(|name| !self.found.accounts.contains_key(*name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let sql = if self.found.locks.may_wait() {
            "SELECT id, name, erased_at FROM accounts WHERE name = ANY($1) ORDER BY id FOR NO KEY UPDATE"
        } else {
            "SELECT id, name, erased_at FROM accounts WHERE name = ANY($1) ORDER BY id FOR NO KEY UPDATE NOWAIT"
        };
        let rows = sqlx::query(sql).bind(new).fetch_all(&mut *self.tx).await?;
        self.note_accounts(&rows)
    }

    /// Holds these accounts.
    pub(super) async fn hold(&mut self, accounts: impl IntoIterator<Item = i64>) -> Result<()> {
        let held = &self.found.locks.accounts;
        let new: Vec<i64> = accounts.into_iter().filter(|account| !held.contains(account)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let sql = if self.found.locks.may_wait() {
            "SELECT id, name, erased_at FROM accounts WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"
        } else {
            "SELECT id, name, erased_at FROM accounts WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE NOWAIT"
        };
        let rows = sqlx::query(sql).bind(new).fetch_all(&mut *self.tx).await?;
        self.note_accounts(&rows)
    }

    /// Notes accounts that are held: their ids, their names, and when they were erased.
    pub(super) fn note_accounts(&mut self, rows: &[PgRow]) -> Result<()> {
        for row in rows {
            let (id, name) = (row.key(0)?, row.name(1)?);
            let erased_at = row.integer(2)?.map(number).transpose()?.map(Millis);
            self.found.locks.accounts.insert(id);
            self.found.accounts.insert(name, (AccountKey(id), erased_at));
        }
        Ok(())
    }

    /// Holds a group or the devices of an account, so that nobody else changes it, or even looks at it.
    pub(super) async fn hold_name(&mut self, name: i64, is_exclusive: bool) -> Result<()> {
        if self.found.locks.names.get(&name).is_some_and(|held| *held || !is_exclusive) {
            return Ok(());
        }
        if self.found.locks.may_wait() {
            return self.wait_for_names(BTreeMap::from([(name, is_exclusive)])).await;
        }
        let is_held: bool =
            sqlx::query_scalar(TRY_NAME).bind(name).bind(is_exclusive).fetch_one(&mut *self.tx).await?;
        if !is_held {
            return Err(StorageError::passing("another transaction is at the same group or devices"));
        }
        self.found.locks.names.insert(name, is_exclusive);
        Ok(())
    }

    async fn wait_for_names(&mut self, names: BTreeMap<i64, bool>) -> Result<()> {
        if !names.is_empty() {
            let (numbers, exclusive): (Vec<i64>, Vec<bool>) = names.iter().unzip();
            sqlx::query(LOCK_NAMES).bind(numbers).bind(exclusive).execute(&mut *self.tx).await?;
            self.found.locks.names.extend(names);
        }
        Ok(())
    }
}
