use std::{
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

use tempfile::TempDir;
use tutti_protocol::{Code, wire::event::Body};

use wire::operation;

use super::*;
use crate::{
    accept::{Refusal, Submission, Verdict, decide},
    devices::{Appear, Register, SetPush, Sighting},
    erasure::{EraseAccount, Erasure},
    groups::PutGroup,
    notifications::Notify,
    reach::Reach,
    source::Source,
    storage::Addressee,
    work::perform,
};

const MASTER: &str = "a master key for the tests alone";

async fn open() -> (SqliteStorage, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let storage = open_in(&data).await;
    (storage, data)
}

async fn open_in(data: &TempDir) -> SqliteStorage {
    try_open(data, &MasterKeys::new(MASTER)).await.unwrap()
}

async fn try_open(data: &TempDir, keys: &MasterKeys) -> Result<SqliteStorage> {
    SqliteStorage::open(&data.path().join("tutti.db"), keys).await
}

/// A transaction that brings an account a message of so many bytes.
async fn deliver(storage: &SqliteStorage, number: u128, size: usize) -> Result<()> {
    let mut tx = storage.begin().await?;
    let message = NewMessage {
        id: number.to_be_bytes().into(),
        sender: "alice",
        device: None,
        kind: "text",
        content: &Bytes::from(vec![b'7'; size]),
        sent_at: Millis(1),
    };
    let message = tx.store_message(&message).await?.expect("a new id");
    let delivery = Delivery { operation: None, conversation: "direct:alice", news: News::Message(message) };
    tx.deliver(&Addressees::from([("bob".to_owned(), Addressee::All)]), delivery).await?;
    tx.commit().await
}

#[tokio::test]
async fn a_database_keeps_its_identity_and_what_was_committed() {
    let (storage, data) = open().await;
    deliver(&storage, 1, 10).await.unwrap();
    let id = storage.log_id();
    storage.close().await;
    let storage = open_in(&data).await;
    assert_eq!(storage.log_id(), id);
    assert_eq!(storage.head("bob").await.unwrap(), Seq(1));
    let other = LogId::from([9; 16]);
    storage.rename_log(other).await.unwrap();
    storage.close().await;
    let storage = open_in(&data).await;
    assert_eq!(storage.log_id(), other, "also the one that it was given");
    let (other, _data) = open().await;
    assert_ne!(other.log_id(), id);
}

#[tokio::test]
async fn what_was_not_committed_is_not_there() {
    let (storage, _data) = open().await;
    let mut tx = storage.begin().await.unwrap();
    let roster = tx.store_roster(&BTreeSet::new()).await.unwrap();
    let delivery = Delivery { operation: None, conversation: "group:g", news: News::Members(roster) };
    tx.deliver(&Addressees::from([("bob".to_owned(), Addressee::All)]), delivery).await.unwrap();
    drop(tx);
    assert_eq!(storage.head("bob").await.unwrap(), Seq(0));
    deliver(&storage, 1, 10).await.unwrap();
    assert_eq!(storage.page("bob", Seq(0), reader(7)).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn commits_are_forced_to_the_disk() {
    let (storage, _data) = open().await;
    let pragma = async |sql| sqlx::query_scalar::<_, i64>(sql).fetch_one(&storage.writer).await.unwrap();
    assert_eq!(pragma("PRAGMA synchronous").await, 2);
    assert_eq!(pragma("PRAGMA secure_delete").await, 1);
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&storage.writer).await.unwrap();
    assert_eq!(mode, "wal");
}

#[tokio::test]
async fn a_page_is_one_range_of_the_log() {
    let (storage, _data) = open().await;
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {PAGE}")))
        .bind("bob")
        .bind(1)
        .bind(1_000)
        .bind("")
        .bind(true)
        .fetch_all(&storage.readers)
        .await
        .unwrap();
    let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
    let is_search = |step: &String| step.starts_with("SEARCH") || step.contains("SCALAR SUBQUERY");
    assert!(steps.iter().all(is_search), "{steps:#?}");
    assert!(steps.iter().any(|step| step.contains("account=? AND seq>?")), "{steps:#?}");
}

#[tokio::test]
async fn a_delivery_finds_each_account_and_its_view_by_name() {
    let (storage, _data) = open().await;
    for (delivery, searched) in [
        (DELIVER_PLACES, &["(name=?)"][..]),
        (DELIVER_ENTRIES, &["(name=?)", "(account=? AND conversation=?)"]),
    ] {
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {delivery}")))
            .fetch_all(&storage.writer)
            .await
            .unwrap();
        let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
        assert!(steps[0].starts_with("SCAN j"), "{steps:#?}");
        for (step, by) in steps[1..].iter().zip(searched) {
            assert!(step.starts_with("SEARCH") && step.ends_with(by), "{steps:#?}");
        }
        assert!(steps.len() > searched.len(), "{steps:#?}");
    }
}

#[tokio::test]
async fn pages_close_at_their_limits() {
    let (storage, _data) = open().await;
    for number in 0..1_001 {
        deliver(&storage, number, 1).await.unwrap();
    }
    for number in 2_000..2_020 {
        deliver(&storage, number, limits::CONTENT).await.unwrap();
    }
    let page = storage.page("bob", Seq(0), reader(7)).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (1_000, Seq(1_000), Seq(1_021)));
    let page = storage.page("bob", Seq(1_001), reader(7)).await.unwrap();
    let bytes: usize = page.events.iter().map(prost::Message::encoded_len).sum();
    assert!((limits::PAGE_BYTES..limits::PAGE_BYTES + 2 * limits::CONTENT).contains(&bytes), "{bytes}");
    let page = storage.page("bob", Seq(1_021), reader(7)).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (0, Seq(1_021), Seq(1_021)));
    let page = storage.page("nobody", Seq(0), reader(7)).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (0, Seq(0), Seq(0)));
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let (storage, _data) = open().await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&storage.writer).await.unwrap();
    let limit = async |pages| {
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(sql).execute(&storage.writer).await.unwrap();
    };
    limit(pages + 20).await;
    let mut stored = 0;
    while deliver(&storage, stored, 10_000).await.is_ok() {
        stored += 1;
    }
    assert!(stored > 0);
    // The connection may be another by now, as when SQLite ends a transaction by itself.
    limit(pages + 20).await;
    assert!(deliver(&storage, stored, 10_000).await.is_err(), "full means full");
    limit(pages + 1_000).await;
    deliver(&storage, stored, 10_000).await.unwrap();
    let page = storage.page("bob", Seq(0), reader(7)).await.unwrap();
    assert_eq!(page.events.len() as u128, stored + 1);
}

#[tokio::test]
async fn a_disk_that_fills_midway_keeps_the_first_operations_and_refuses_all_others() {
    let (storage, _data) = open().await;
    let members = (0..100).map(|number| format!("member {number}")).collect();
    perform(&storage, &PutGroup { id: "team".to_owned(), members }).await.unwrap().0.unwrap();
    let operations: Vec<_> = (0..100)
        .map(|id| {
            let content = Bytes::from(vec![b'7'; 10_000]);
            let send = wire::Send { conversation: "group:team".into(), r#type: "text".into(), content };
            let body = Some(wire::operation::Body::Send(send));
            wire::Operation { id: Bytes::copy_from_slice(&[id; 16]), clock: 1, body }
        })
        .collect();
    let submit = async || {
        let submission = Submission {
            account: "member 0".to_owned(),
            source: Source::BackEnd,
            operations: operations.clone(),
            include_sender: true,
            notifies: false,
            hide_reads: false,
            recall_window: None,
            reach: Reach::All,
            now: Millis(1),
        };
        decide(&storage, submission, &mut BTreeSet::new()).await
    };
    let limit = async |pages: i64| {
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(sql).execute(&storage.writer).await.unwrap();
    };

    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&storage.writer).await.unwrap();
    limit(pages + 250).await;
    let full = submit().await;
    let accepted = full.iter().take_while(|verdict| matches!(verdict, Verdict::Accepted { .. })).count();
    assert!((1..100).contains(&accepted), "{accepted}");
    assert!(full[accepted..].iter().all(|verdict| matches!(
        verdict,
        Verdict::Refused(Refusal { code: Code::Internal, retry_after: 1.., .. })
    )));
    assert_eq!(storage.head("member 7").await.unwrap(), Seq(1 + accepted as u64));

    limit(pages + 10_000).await;
    let seqs = (2..=101).map(|seq| Verdict::Accepted { seq: Seq(seq), at: Millis(1) });
    let verdicts = submit().await;
    assert_eq!(verdicts, seqs.collect::<Vec<_>>());
    assert_eq!(verdicts[..accepted], full[..accepted]);
    assert_eq!(storage.head("member 7").await.unwrap(), Seq(101));
}

/// SQLite undoes a transaction by itself when the disk fails under it.
#[tokio::test]
async fn a_transaction_that_sqlite_ends_by_itself_does_not_end_the_writing() {
    let (storage, _data) = open().await;
    let mut tx = storage.writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let undo = "INSERT OR ROLLBACK INTO meta (key, value) VALUES ('log', x'00')";
    sqlx::raw_sql(undo).execute(&mut *tx).await.unwrap_err();
    drop(tx);
    deliver(&storage, 1, 10).await.unwrap();
    assert_eq!(storage.head("bob").await.unwrap(), Seq(1));
}

#[tokio::test]
async fn a_cursor_that_no_log_reaches_has_nothing_after_it() {
    let (storage, _data) = open().await;
    deliver(&storage, 1, 10).await.unwrap();
    let page = storage.page("bob", Seq(u64::MAX), reader(7)).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (0, Seq(u64::MAX), Seq(1)));
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    for version in [3, SCHEMA_VERSION + 1] {
        let (storage, data) = open().await;
        let sql = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        sqlx::raw_sql(sql).execute(&storage.writer).await.unwrap();
        storage.close().await;
        let error = try_open(&data, &MasterKeys::new(MASTER)).await.err().unwrap();
        assert!(error.to_string().contains(&format!("version {version}")), "{error}");
    }
}

/// As it was before devices could be removed.
const SCHEMA_5: &str = include_str!("schema_5.sql");

/// Tables and indexes, each with its columns, whatever their definitions look like.
async fn shape(storage: &SqliteStorage) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT m.type || ' ' || m.name || ': ' || c.name || ' ' || coalesce(c.type, '') || c.\"notnull\" || c.pk
         FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'
         UNION ALL
         SELECT m.type || ' ' || m.name || ': ' || i.seqno || coalesce(i.name, '')
         FROM sqlite_schema m JOIN pragma_index_info(m.name) i WHERE m.type = 'index'
         ORDER BY 1",
    )
    .fetch_all(&storage.writer)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_database_of_the_version_before_is_brought_up_to_date() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("tutti.db");
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut older = options.connect().await.unwrap();
    sqlx::raw_sql(SCHEMA_5).execute(&mut older).await.unwrap();
    let content = "INSERT INTO meta VALUES ('log', x'01010101010101010101010101010101');
                   INSERT INTO devices VALUES ('alice', 'd', NULL, NULL, 5, NULL), ('alice', 'e', 'E', 'web', 6, 7);
                   PRAGMA user_version = 5";
    sqlx::raw_sql(content).execute(&mut older).await.unwrap();
    older.close().await.unwrap();
    for _ in 0..2 {
        let storage = try_open(&data, &MasterKeys::new(MASTER)).await.unwrap();
        assert_eq!(storage.log_id(), LogId::from([1; 16]));
        let seen = Device {
            name: "E".to_owned(),
            platform: Some(crate::platform::Platform::Web),
            last_seen: Some(Millis(7)),
            ..Device::new("e", Millis(6))
        };
        assert_eq!(storage.devices("alice").await.unwrap(), [Device::new("d", Millis(5)), seen]);
        assert_eq!(shape(&storage).await, shape(&open().await.0).await);
        storage.close().await;
    }
    let storage = try_open(&data, &MasterKeys::new(MASTER)).await.unwrap();
    assert_eq!(erase(&storage, "alice").await, 2);
    assert_eq!(storage.devices("alice").await.unwrap(), []);
}

#[tokio::test]
async fn what_is_told_to_many_is_found_by_index() {
    let (storage, _data) = open().await;
    for sql in
        [CHANGE_SEQS, CHANGE_ENTRIES, CHANGE_TOLD, DRAFTS, READ_FOUND, READ_LOOKED, READ_SEQS, READ_ENTRIES]
    {
        is_found_by_index(&storage, sql).await;
    }
}

#[tokio::test]
async fn what_is_left_of_an_erased_account_is_found_by_index() {
    let (storage, _data) = open().await;
    for sql in [erasure::ANY_GROUP, erasure::NEXT_SENT].into_iter().chain(erasure::DROP_OWN) {
        is_found_by_index(&storage, sql).await;
    }
    let plan = plan(&storage, erasure::NEXT_SENT).await;
    assert!(plan.iter().any(|step| step.contains("messages_sender (sender=? AND rowid>?)")), "{plan:#?}");
}

/// How SQLite goes about a statement.
async fn plan(storage: &SqliteStorage, sql: &str) -> Vec<String> {
    let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
    plan.fetch_all(&storage.writer).await.unwrap().iter().map(|step| step.get("detail")).collect()
}

async fn is_found_by_index(storage: &SqliteStorage, sql: &str) {
    let steps = plan(storage, sql).await;
    let scanned: Vec<_> = steps.iter().filter(|step| step.starts_with("SCAN")).collect();
    // The accounts that are to be told, and what was found of them.
    let small = ["SCAN j VIRTUAL TABLE", "SCAN json_each VIRTUAL TABLE", "SCAN found"];
    assert!(
        scanned.iter().all(|step| small.iter().any(|small| step.starts_with(small))),
        "{sql}\n{steps:#?}"
    );
    assert!(!steps.iter().any(|step| step.contains("ORDER BY")), "{sql}\n{steps:#?}");
}

#[tokio::test]
async fn what_an_operation_costs_does_not_grow_with_the_log() {
    let (storage, _data) = open().await;
    let steps = Arc::new(AtomicU64::new(0));
    let count = steps.clone();
    let counting = move || {
        count.fetch_add(1, Ordering::Relaxed);
        true
    };
    let mut writer = storage.writer.acquire().await.unwrap();
    writer.lock_handle().await.unwrap().set_progress_handler(1, counting);
    drop(writer);
    // How many steps of SQLite's machine each of these takes.
    let costs = async |round: u64| {
        let id = |which: u128| u128::from(round) * 10 + which;
        let read = wire::MarkRead { conversation: "direct:bob".to_owned(), position: round };
        let operations = [
            ("bob", send(id(1), "direct:alice", "{}".to_owned())),
            ("alice", operation(id(2), round, operation::Body::MarkRead(read))),
            ("bob", edit(id(3), round, id(1), "{}".to_owned())),
            ("alice", set(id(4), round, "direct:bob", "draft", "\"so far\"".to_owned())),
            ("bob", recall(id(5), id(1))),
        ];
        let mut costs = Vec::new();
        for (account, operation) in operations {
            let before = steps.load(Ordering::Relaxed);
            accept(&storage, account, operation).await;
            costs.push(steps.load(Ordering::Relaxed) - before);
        }
        costs
    };
    // The first makes the accounts and the conversation.
    costs(1).await;
    let early = costs(2).await;
    for round in 3..300 {
        costs(round).await;
    }
    let late = costs(300).await;
    for (early, late) in early.iter().zip(&late) {
        assert!(*early > 0 && *late < 2 * early, "{early:?} steps, and later {late:?}");
    }
}

/// Whether these bytes are in any file of a directory.
fn is_anywhere(data: &TempDir, bytes: &[u8]) -> bool {
    std::fs::read_dir(data.path()).unwrap().any(|file| {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn operation(id: u128, clock: u64, body: operation::Body) -> wire::Operation {
    wire::Operation { id: Bytes::copy_from_slice(&id.to_be_bytes()), clock, body: Some(body) }
}

fn send(id: u128, conversation: &str, content: String) -> wire::Operation {
    let (conversation, kind) = (conversation.to_owned(), "text".to_owned());
    let send = wire::Send { conversation, r#type: kind, content: content.into() };
    operation(id, 1, operation::Body::Send(send))
}

fn edit(id: u128, clock: u64, message: u128, content: String) -> wire::Operation {
    let message = Bytes::copy_from_slice(&message.to_be_bytes());
    operation(id, clock, operation::Body::Edit(wire::Edit { message, content: content.into() }))
}

fn recall(id: u128, message: u128) -> wire::Operation {
    let message = Bytes::copy_from_slice(&message.to_be_bytes());
    operation(id, 1, operation::Body::Recall(wire::Recall { message }))
}

fn set(id: u128, clock: u64, target: &str, name: &str, value: String) -> wire::Operation {
    let fields = vec![wire::Field { name: name.to_owned(), value: value.into() }];
    operation(id, clock, operation::Body::Set(wire::Set { target: target.to_owned(), fields }))
}

fn submission(account: &str, operations: Vec<wire::Operation>) -> Submission {
    Submission {
        account: account.to_owned(),
        source: Source::Device(DeviceId::from([7; 16])),
        operations,
        include_sender: true,
        notifies: false,
        hide_reads: false,
        recall_window: None,
        reach: Reach::All,
        now: Millis(1_000),
    }
}

/// All that is sealed in a database now: contents, fields, words, and the keys of accounts.
async fn sealed(storage: &SqliteStorage) -> Vec<Vec<u8>> {
    sqlx::query_scalar(
        "SELECT substr(bytes, 1, size) FROM (
             SELECT content, size FROM messages UNION ALL SELECT value, size FROM fields
             UNION ALL SELECT content, size FROM notifications UNION ALL SELECT key, 72 FROM accounts
         ) CROSS JOIN contents ON contents.key = content WHERE size > 0",
    )
    .fetch_all(&storage.readers)
    .await
    .unwrap()
}

/// The contents of these messages, and all fields, as they lie sealed in a database now.
async fn sealed_of(storage: &SqliteStorage, messages: [u128; 2]) -> Vec<Vec<u8>> {
    let sql = "SELECT substr(bytes, 1, size) FROM (
                   SELECT content, size FROM messages WHERE id IN (?, ?) UNION ALL SELECT value, size FROM fields
               ) CROSS JOIN contents ON contents.key = content WHERE size > 0";
    let [one, other] = messages.map(|id| id.to_be_bytes().to_vec());
    sqlx::query_scalar(sql).bind(one).bind(other).fetch_all(&storage.readers).await.unwrap()
}

/// What is sealed in a database now besides the keys of accounts.
async fn sealed_content(storage: &SqliteStorage) -> Vec<Vec<u8>> {
    let keys: Vec<Vec<u8>> = wrapped_keys(storage).await.into_values().collect();
    sealed(storage).await.into_iter().filter(|sealed| !keys.contains(sealed)).collect()
}

/// The wrapped keys of accounts.
async fn wrapped_keys(storage: &SqliteStorage) -> BTreeMap<String, Vec<u8>> {
    let sql = "SELECT a.name, k.bytes FROM accounts a CROSS JOIN contents k ON k.key = a.key";
    let rows = sqlx::query(sql).fetch_all(&storage.readers).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// How much of these is in any file of a directory: from none, 0, to all, 1. They are looked for in pieces of eight
/// bytes, since SQLite keeps what is long in many places.
fn share_anywhere(data: &TempDir, all: &[Vec<u8>]) -> f64 {
    let pieces: std::collections::HashSet<&[u8]> = all.iter().flat_map(|one| one.chunks_exact(8)).collect();
    let mut found = std::collections::HashSet::new();
    for file in std::fs::read_dir(data.path()).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        found.extend(content.windows(8).filter_map(|window| pieces.get(window).copied()));
    }
    assert!(!pieces.is_empty());
    found.len() as f64 / pieces.len() as f64
}

async fn accept(storage: &dyn Storage, account: &str, operation: wire::Operation) {
    let verdicts = decide(storage, submission(account, vec![operation]), &mut BTreeSet::new()).await;
    assert!(matches!(verdicts[..], [Verdict::Accepted { .. }]), "{verdicts:?}");
}

#[tokio::test]
async fn what_was_recalled_is_in_no_file_any_more() {
    let (storage, data) = open().await;
    let canaries = ["canary-first", "canary-edited", "canary-in-a-draft"];
    let [first, edited, draft] = canaries.map(|canary| format!("\"{canary}{}\"", "x".repeat(5_000)));
    accept(&storage, "alice", send(1, "direct:bob", first)).await;
    let mut all = sealed_content(&storage).await;
    accept(&storage, "alice", edit(2, 1, 1, edited)).await;
    let id = OperationId::from(1_u128.to_be_bytes());
    accept(&storage, "bob", set(3, 1, "direct:alice", "draft", draft.replace("xxxx\"", &format!("{id}\""))))
        .await;
    all.extend(sealed_content(&storage).await);
    assert_eq!(all.len(), 3);
    for one in &all {
        assert!(one.len() > 5_000 && share_anywhere(&data, slice::from_ref(one)) > 0.9, "it was there");
    }
    let (_, growth) = perform(&storage, &submission("alice", vec![recall(4, 1)])).await.unwrap();
    assert!(growth.has_erased());
    assert!(storage.scrub().await.unwrap());
    assert_eq!(share_anywhere(&data, &all), 0.0);
    let (_, growth) = perform(&storage, &submission("alice", vec![recall(5, 1)])).await.unwrap();
    assert!(!growth.has_erased(), "nothing was left to erase");
}

#[tokio::test]
async fn who_still_reads_is_waited_for_but_not_long() {
    let (storage, data) = open().await;
    accept(&storage, "alice", send(1, "direct:bob", "\"canary\"".to_owned())).await;
    let sealed = sealed_content(&storage).await;
    let mut reading = storage.readers.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM messages").fetch_one(&mut *reading).await.unwrap();
    accept(&storage, "alice", recall(2, 1)).await;
    let start = std::time::Instant::now();
    assert!(!storage.scrub().await.unwrap());
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(share_anywhere(&data, &sealed), 1.0);
    reading.commit().await.unwrap();
    assert!(storage.scrub().await.unwrap());
    assert_eq!(share_anywhere(&data, &sealed), 0.0);
    let patience: i64 = sqlx::query_scalar("PRAGMA busy_timeout").fetch_one(&storage.writer).await.unwrap();
    assert_eq!(patience, 5_000, "others are waited for as before");
}

#[tokio::test]
async fn a_page_that_was_closed_early_is_in_nobodys_way() {
    let (storage, _data) = open().await;
    for number in 0..100 {
        deliver(&storage, number, limits::CONTENT).await.unwrap();
    }
    let page = storage.page("bob", Seq(0), reader(7)).await.unwrap();
    assert!(page.next < page.head);
    let scrubbed = async {
        while !storage.scrub().await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), scrubbed).await.expect("nobody reads any more");
}

#[tokio::test]
async fn what_tells_of_a_recalled_message_leaves_nothing_behind() {
    let (storage, data) = open().await;
    accept(&storage, "alice", send(1, "direct:bob", "\"hi\"".to_owned())).await;
    let notification = wire::Notification {
        id: Bytes::from_static(&[9; 16]),
        title: "the title".to_owned(),
        message: OperationId::from(1_u128.to_be_bytes()).to_bytes(),
        ..wire::Notification::default()
    };
    let accounts = BTreeSet::from(["alice".to_owned(), "bob".to_owned()]);
    perform(&storage, &Notify { accounts, notification, now: Millis(5) }).await.unwrap().0.unwrap();
    let all = sealed_content(&storage).await;
    assert_eq!((all.len(), share_anywhere(&data, &all)), (3, 1.0));
    accept(&storage, "alice", recall(2, 1)).await;
    assert!(storage.scrub().await.unwrap());
    assert_eq!(share_anywhere(&data, &all), 0.0);
}

#[tokio::test]
async fn a_server_that_was_killed_before_it_came_to_it_scrubs_when_it_starts() {
    let (storage, data) = open().await;
    accept(&storage, "alice", send(1, "direct:bob", "\"hi\"".to_owned())).await;
    let sealed = sealed_content(&storage).await;
    accept(&storage, "alice", recall(2, 1)).await;
    // As it lies on the disk at this moment.
    let killed = tempfile::tempdir().unwrap();
    for file in ["tutti.db", "tutti.db-wal"] {
        std::fs::copy(data.path().join(file), killed.path().join(file)).unwrap();
    }
    assert_eq!(share_anywhere(&killed, &sealed), 1.0);
    let _storage = open_in(&killed).await;
    assert_eq!(share_anywhere(&killed, &sealed), 0.0);
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

#[tokio::test]
async fn messages_of_all_sizes_that_were_edited_and_recalled_leave_nothing_behind() {
    for seed in 0..8 {
        let mut rng = Rng(seed);
        let (storage, data) = open().await;
        let sizes: &[u64] = if seed % 2 == 0 { &[1, 2, 20, 40, 80] } else { &[1, 20, 60, 200, 400, 1_000] };
        let content = |rng: &mut Rng, message: u128| {
            let times = rng.pick(sizes) + rng.below(10);
            format!("\"{}\"", format!("<canary {message}>").repeat(times as usize))
        };
        let mut recalled = BTreeSet::new();
        let (mut ever, mut messages) = (BTreeSet::new(), 0);
        for id in 0..600 {
            let message = 1_000 + u128::from(rng.below(u64::try_from(messages).unwrap() + 1));
            let clock = u64::try_from(id).unwrap();
            let (account, operation) = match rng.below(12) {
                0..5 => {
                    messages += 1;
                    ("alice", send(1_000 + messages, "direct:bob", content(&mut rng, 1_000 + messages)))
                }
                _ if message == 1_000 || recalled.contains(&message) => continue,
                5..8 => ("alice", edit(100_000 + id, clock, message, content(&mut rng, message))),
                // A draft that answers the message, and quotes it.
                8 | 9 => {
                    let mention = format!("\"{}", OperationId::from(message.to_be_bytes()));
                    let draft = content(&mut rng, message).replacen('"', &mention, 1);
                    ("bob", set(100_000 + id, clock, "direct:alice", "draft", draft))
                }
                _ => {
                    recalled.insert(message);
                    ("alice", recall(100_000 + id, message))
                }
            };
            accept(&storage, account, operation).await;
            ever.extend(sealed_of(&storage, [message, 1_000 + messages]).await);
        }
        assert!(storage.scrub().await.unwrap());
        let now = BTreeSet::from_iter(sealed(&storage).await);
        let gone: Vec<_> = ever.difference(&now).cloned().collect();
        assert!(gone.len() > recalled.len() && recalled.len() > 5, "and as many that were edited");
        assert_eq!(share_anywhere(&data, &gone), 0.0, "seed {seed}");
        assert!(share_anywhere(&data, &Vec::from_iter(now)) > 0.9, "what is there is found");
    }
}

fn reader(number: u8) -> DeviceId {
    DeviceId::from([number; 16])
}

/// Erases an account, and answers in how many steps.
async fn erase(storage: &SqliteStorage, account: &str) -> usize {
    let erase = EraseAccount { account: account.to_owned(), now: Millis(9_000) };
    for steps in 1.. {
        match perform(storage, &erase).await.unwrap().0 {
            Erasure::Begun => {}
            Erasure::Done => return steps,
            Erasure::Unknown => panic!("there is no {account}"),
        }
    }
    unreachable!("it ends")
}

/// Devices of an account, one of which is pushed to; and what is not sealed of them, nor of anything else that
/// [`say`] has said, and is the account's own.
async fn appear(storage: &SqliteStorage, account: &str) -> Vec<Vec<u8>> {
    let account = account.to_owned();
    let token =
        Token { mark: TokenMark::of(&format!("the token of {account}")), expires_at: Millis(u64::MAX >> 1) };
    let id = format!("{account}'s device");
    let sighting = Sighting {
        id: id.clone(),
        name: format!("{account}'s browser"),
        platform: crate::platform::Platform::Web,
    };
    let appear = Appear { account: account.clone(), sighting, token, now: Millis(1) };
    perform(storage, &appear).await.unwrap().0.unwrap();
    let endpoint = format!("https://push.example/{account}");
    let (p256dh, auth) =
        (Bytes::from(format!("the key of {account}")), Bytes::from(format!("the secret of {account}")));
    let push = Some(Subscription { endpoint: endpoint.clone(), p256dh: p256dh.clone(), auth: auth.clone() });
    perform(storage, &SetPush { account: account.clone(), device: id.clone(), push }).await.unwrap();
    let tv = format!("{account}'s television");
    let register = Register { account: account.clone(), devices: vec![tv.clone()], now: Millis(1) };
    perform(storage, &register).await.unwrap().0.unwrap();
    let named = [id, format!("{account}'s browser"), endpoint, tv].map(String::into_bytes);
    let sealed = [p256dh, auth, Bytes::copy_from_slice(token.mark.as_bytes())].map(|it| it.to_vec());
    named.into_iter().chain(sealed).collect()
}

#[tokio::test]
async fn of_an_erased_account_no_file_holds_anything_but_its_name() {
    let (storage, data) = open().await;
    say(&storage).await;
    accept(&storage, "bob", send(20, "direct:alice", "\"canary of bob\"".to_owned())).await;
    accept(&storage, "bob", send(21, "direct:bob", "\"canary of a note\"".to_owned())).await;
    let mut hidden = submission("alice", vec![send(22, "direct:bob", "\"canary for him alone\"".to_owned())]);
    hidden.include_sender = false;
    decide(&storage, hidden, &mut BTreeSet::new()).await;
    let read = wire::MarkRead { conversation: "direct:bob".to_owned(), position: 1 };
    accept(&storage, "alice", operation(23, 1, operation::Body::MarkRead(read))).await;
    let readings = async || {
        let sql = "SELECT count(*) FROM readings g CROSS JOIN views v ON v.id = g.view
                   CROSS JOIN accounts a ON a.id = v.account WHERE a.name = 'bob'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&storage.readers).await.unwrap()
    };
    assert_eq!(readings().await, 1);
    let mut own = appear(&storage, "bob").await;
    own.extend(["session:article"].map(|name| name.as_bytes().to_vec()));
    let alices = appear(&storage, "alice").await;
    let key = wrapped_keys(&storage).await.remove("bob").unwrap();
    let before = sealed(&storage).await;
    let digests =
        "SELECT digest FROM operations o CROSS JOIN accounts a ON a.id = o.account WHERE a.name = 'bob'";
    let digests: Vec<Vec<u8>> = sqlx::query_scalar(digests).fetch_all(&storage.readers).await.unwrap();
    assert_eq!(digests.len(), 5);
    for own in &own {
        assert!(is_anywhere(&data, own), "{}", String::from_utf8_lossy(own));
    }

    assert!(storage.keyring.holds("bob"));
    assert_eq!(erase(&storage, "bob").await, 2);
    assert!(!storage.keyring.holds("bob") && storage.keyring.holds("alice"));
    assert!(storage.scrub().await.unwrap());
    let now = BTreeSet::from_iter(sealed(&storage).await);
    let gone: Vec<_> = before.into_iter().filter(|sealed| !now.contains(sealed)).collect();
    // Two messages, one of them a note; two fields; the words of a notification; a message that he had alone; the key.
    assert_eq!(gone.len(), 7);
    assert!(gone.contains(&key));
    for gone in [&gone, &digests] {
        assert_eq!(share_anywhere(&data, gone), 0.0);
    }
    for own in &own {
        assert!(!is_anywhere(&data, own), "{}", String::from_utf8_lossy(own));
    }
    assert_eq!(readings().await, 0);
    // His name is in the logs of others, and all of them are as they were.
    assert!(is_anywhere(&data, b"bob"));
    for alices in &alices {
        assert!(is_anywhere(&data, alices), "{}", String::from_utf8_lossy(alices));
    }
    let page = storage.page("alice", Seq(0), reader(7)).await.unwrap();
    assert!(page.next == page.head && format!("{page:?}").contains("canary of an edit"));
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM messages WHERE sender = 'bob' AND device IS NOT NULL")
            .fetch_one(&storage.readers)
            .await
            .unwrap();
    assert_eq!(left, 0);
    storage.close().await;
    let storage = open_in(&data).await;
    assert!(
        format!("{:?}", storage.page("alice", Seq(0), reader(7)).await.unwrap())
            .contains("canary of an edit")
    );
    assert_eq!(storage.erased("bob").await.unwrap(), Some(Millis(9_000)));
}

#[tokio::test]
async fn messages_of_all_sizes_of_an_erased_account_leave_nothing_behind() {
    for seed in 0..4 {
        let mut rng = Rng(seed);
        let (storage, data) = open().await;
        let mut ever = BTreeSet::new();
        for id in 0..400_u128 {
            let account = rng.pick(&["alice", "bob", "carol"]);
            let size = rng.pick(&[1, 20, 60, 200, 400, 1_000]) + rng.below(10);
            let content = format!("\"{}\"", format!("<canary {id}>").repeat(size as usize));
            let other = rng.pick(&["direct:alice", "direct:bob", "direct:carol"]);
            let operation = match rng.below(4) {
                0 => {
                    set(id, id as u64, other, "draft", content[..content.len().min(30_000)].to_owned() + "\"")
                }
                _ => send(id, other, content),
            };
            decide(&storage, submission(account, vec![operation]), &mut BTreeSet::new()).await;
            if id % 20 == 0 {
                ever.extend(sealed(&storage).await);
            }
        }
        ever.extend(sealed(&storage).await);
        erase(&storage, "alice").await;
        assert!(storage.scrub().await.unwrap());
        let now = BTreeSet::from_iter(sealed(&storage).await);
        let gone: Vec<_> = ever.difference(&now).cloned().collect();
        assert!(gone.len() > 80);
        assert_eq!(share_anywhere(&data, &gone), 0.0, "seed {seed}");
        assert!(share_anywhere(&data, &Vec::from_iter(now)) > 0.9, "what is there is found");
        let senders = "SELECT count(*) FROM messages WHERE sender = 'alice' AND size > 0";
        let left: i64 = sqlx::query_scalar(senders).fetch_one(&storage.readers).await.unwrap();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn a_log_goes_in_steps_and_so_does_what_is_left_beside_a_short_one() {
    let (storage, _data) = open().await;
    let count = async |table: &str| {
        let sql = format!(
            "SELECT count(*) FROM {table} t CROSS JOIN accounts a ON a.id = t.account WHERE a.erased_at > 0"
        );
        let count = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql));
        count.fetch_one(&storage.readers).await.unwrap()
    };
    for number in 0..1_100 {
        deliver(&storage, number, 1).await.unwrap();
    }
    assert_eq!((erase(&storage, "bob").await, count("log").await), (4, 0));
    // What changes nothing is remembered alone.
    let read = |id| {
        let read = wire::MarkRead { conversation: "direct:bob".to_owned(), position: 1 };
        operation(id, 1, operation::Body::MarkRead(read))
    };
    decide(&storage, submission("carol", (0..1_100).map(read).collect()), &mut BTreeSet::new()).await;
    assert_eq!(storage.head("carol").await.unwrap(), Seq(0));
    assert_eq!((erase(&storage, "carol").await, count("operations").await), (4, 0));
}

#[tokio::test]
async fn an_erasure_that_was_interrupted_goes_on_in_a_server_that_starts_anew() {
    let (storage, data) = open().await;
    let members = BTreeSet::from(["alice", "bob"].map(str::to_owned));
    perform(&storage, &PutGroup { id: "team".to_owned(), members }).await.unwrap().0.unwrap();
    let sends = (0..1_200)
        .map(|id| send(id, if id % 2 == 0 { "direct:bob" } else { "group:team" }, "\"hi\"".to_owned()));
    decide(&storage, submission("alice", sends.collect()), &mut BTreeSet::new()).await;
    let before = sealed(&storage).await;
    let erase_account = EraseAccount { account: "alice".to_owned(), now: Millis(9_000) };
    let steps = {
        // What is killed after each of the steps is finished by the next, as it lies on the disk then.
        let mut steps = 0;
        loop {
            steps += 1;
            let (erasure, _) = perform(&storage, &erase_account).await.unwrap();
            let killed = tempfile::tempdir().unwrap();
            for file in ["tutti.db", "tutti.db-wal"] {
                std::fs::copy(data.path().join(file), killed.path().join(file)).unwrap();
            }
            let next = open_in(&killed).await;
            let is_done = erasure == Erasure::Done;
            assert_eq!(next.erased("alice").await.unwrap(), Some(Millis(9_000)), "step {steps}");
            assert_eq!(next.erasing().await.unwrap().is_empty(), is_done, "step {steps}");
            let late = submission("alice", vec![send(5_000, "direct:bob", "1".to_owned())]);
            let verdicts = perform(&next, &late).await.unwrap().0;
            assert_eq!(verdicts, [Verdict::Refused(Refusal::erased("alice"))], "step {steps}");
            next.page("bob", Seq(0), reader(7)).await.unwrap();
            for account in next.erasing().await.unwrap() {
                erase(&next, &account).await;
            }
            assert!(next.scrub().await.unwrap());
            let now = BTreeSet::from_iter(sealed(&next).await);
            let gone: Vec<_> = before.iter().filter(|sealed| !now.contains(*sealed)).cloned().collect();
            assert_eq!((gone.len(), share_anywhere(&killed, &gone)), (1_201, 0.0), "step {steps}");
            assert_eq!(next.group("team").await.unwrap(), Some(BTreeSet::from(["bob".to_owned()])));
            let page = next.page("bob", Seq(0), reader(7)).await.unwrap();
            assert!(page.events.iter().all(|event| match &event.body {
                Some(Body::Message(message)) => message.recalled,
                _ => true,
            }));
            if is_done {
                break steps;
            }
        }
    };
    assert!(steps > 4, "{steps}");
}

/// Things that accounts have said, in every way in which something is stored.
async fn say(storage: &SqliteStorage) -> [&'static str; 7] {
    accept(storage, "alice", send(1, "direct:bob", "\"canary of a message\"".to_owned())).await;
    accept(storage, "alice", edit(2, 1, 1, "\"canary of an edit\"".to_owned())).await;
    accept(storage, "alice", send(3, "direct:bob", "\"canary that was recalled\"".to_owned())).await;
    accept(storage, "alice", recall(4, 3)).await;
    accept(storage, "bob", set(5, 1, "direct:alice", "draft", "\"canary of a draft\"".to_owned())).await;
    accept(storage, "bob", set(6, 1, "session:article", "place", "\"canary of a place\"".to_owned())).await;
    let notification = wire::Notification {
        id: Bytes::from_static(&[9; 16]),
        title: "canary of a title".to_owned(),
        body: "canary of a body".to_owned(),
        ..wire::Notification::default()
    };
    let accounts = BTreeSet::from(["bob".to_owned()]);
    perform(storage, &Notify { accounts, notification, now: Millis(5) }).await.unwrap().0.unwrap();
    [
        "canary of a message",
        "canary of an edit",
        "canary that was recalled",
        "canary of a draft",
        "canary of a place",
        "canary of a title",
        "canary of a body",
    ]
}

/// All that bob gets told, in pages and in a snapshot.
async fn told(storage: &SqliteStorage) -> Result<String> {
    let reader = Reader { device: reader(7), compensated: true, notified: true };
    let page = storage.page("bob", Seq(0), reader.device).await?;
    let positions = (Position(1), Position(9));
    Ok(format!(
        "{page:?} {:?} {:?} {:?} {:?}",
        storage.overviews("bob", reader, "", 9).await?,
        storage.shared("bob", "", 9).await?,
        storage.notifications("bob", None, 9).await?,
        storage.stretch("bob", reader, "direct:alice", positions, 9).await?
    ))
}

#[tokio::test]
async fn nothing_that_was_said_can_be_read_in_any_file() {
    let (storage, data) = open().await;
    let canaries = say(&storage).await;
    let key_of_bob = {
        let wrapped = &wrapped_keys(&storage).await["bob"];
        MasterKeys::new(MASTER).present.unwrap("bob", wrapped).unwrap()
    };
    let digests = ["alice", "bob"].map(async |account| {
        let mut tx = storage.begin().await.unwrap();
        let key = tx.account(account).await.unwrap();
        let id = if account == "alice" { 1_u128 } else { 5 };
        tx.receipt(key, id.to_be_bytes().into()).await.unwrap().unwrap().digest
    });
    let [alices, bobs] = digests;
    let secrets = [&alices.await[..], &bobs.await[..], &key_of_bob[..], MASTER.as_bytes(), b"canary"];
    for scrubbed in [false, true] {
        for secret in secrets {
            assert!(!is_anywhere(&data, secret), "{scrubbed}: {:?}", String::from_utf8_lossy(secret));
        }
        assert!(is_anywhere(&data, b"session:article"), "what is not sealed is found");
        assert!(storage.scrub().await.unwrap());
    }
    storage.close().await;
    let told = told(&open_in(&data).await).await.unwrap();
    for (canary, number) in canaries.into_iter().zip([0, 3, 0, 2, 2, 2, 2]) {
        assert_eq!(told.matches(canary).count(), number, "{canary}\n{told}");
    }
}

#[tokio::test]
async fn sealed_content_that_lies_elsewhere_is_refused() {
    let swap_messages = "UPDATE messages SET (content, size) = (SELECT o.content, o.size FROM messages o
                             WHERE o.key <> messages.key AND o.sender = messages.sender AND o.size > 0)
                         WHERE id = x'00000000000000000000000000000001'";
    let take_account = "UPDATE accounts SET name = 'carol' WHERE name = 'bob';
                        UPDATE accounts SET name = 'bob' WHERE name = 'alice'";
    for (harm, is_error) in [
        ("SELECT 1", false),
        (swap_messages, true),
        ("UPDATE messages SET sender = 'bob' WHERE size > 0", true),
        (
            "UPDATE fields SET (value, size) = (SELECT content, size FROM notifications) WHERE name = 'draft'",
            true,
        ),
        ("UPDATE fields SET name = 'place' WHERE name = 'draft'", true),
        ("UPDATE targets SET name = 'session:paper' WHERE name = 'session:article'", true),
        ("UPDATE notifications SET id = x'00'", true),
        ("UPDATE accounts SET key = (SELECT o.key FROM accounts o WHERE o.id <> accounts.id)", true),
        ("UPDATE accounts SET key = NULL", true),
        ("UPDATE accounts SET name = 'carol' WHERE name = 'bob'", false),
        (take_account, true),
    ] {
        let (storage, data) = open().await;
        say(&storage).await;
        accept(&storage, "alice", send(10, "direct:bob", "\"another\"".to_owned())).await;
        told(&storage).await.unwrap();
        sqlx::raw_sql(harm).execute(&storage.writer).await.unwrap();
        let outcome = told(&storage).await;
        assert_eq!(outcome.is_err(), is_error, "{harm}: {outcome:?}");
        storage.close().await;
        assert_eq!(told(&open_in(&data).await).await.is_err(), is_error, "{harm}, after a start");
        if let Err(error) = outcome {
            assert!(error.to_string().contains("open"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_byte_that_was_changed_is_an_error_for_who_reads_it_alone() {
    let (storage, _data) = open().await;
    deliver(&storage, 1, 10).await.unwrap();
    accept(&storage, "carol", send(2, "direct:dave", "\"hi\"".to_owned())).await;
    let (content, whole): (i64, Vec<u8>) = {
        let row = sqlx::query(
            "SELECT key, bytes FROM contents WHERE key = (
                                   SELECT content FROM messages WHERE sender = 'alice')",
        )
        .fetch_one(&storage.writer)
        .await
        .unwrap();
        (row.get(0), row.get(1))
    };
    let write = async |bytes: Vec<u8>| {
        let write = sqlx::query("UPDATE contents SET bytes = ? WHERE key = ?").bind(bytes).bind(content);
        write.execute(&storage.writer).await.unwrap();
    };
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x80;
        write(changed).await;
        let error = storage.page("bob", Seq(0), reader(7)).await.unwrap_err().to_string();
        assert!(error.contains("the content of message 00000000-0000-0000-0000-000000000001"), "{error}");
        storage.page("dave", Seq(0), reader(7)).await.unwrap();
    }
    write(whole).await;
    storage.page("bob", Seq(0), reader(7)).await.unwrap();
}

#[tokio::test]
async fn a_draft_that_cannot_be_opened_holds_up_no_recall() {
    let (storage, _data) = open().await;
    accept(&storage, "alice", send(1, "direct:bob", "\"hi\"".to_owned())).await;
    accept(&storage, "bob", set(2, 1, "direct:alice", "draft", "\"hm\"".to_owned())).await;
    let harm = "UPDATE contents SET bytes = randomblob(length(bytes)) WHERE key = (SELECT value FROM fields)";
    sqlx::raw_sql(harm).execute(&storage.writer).await.unwrap();
    assert!(told(&storage).await.is_err());
    accept(&storage, "alice", recall(3, 1)).await;
    told(&storage).await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_not_committed_seals_nothing() {
    let (storage, data) = open().await;
    let mut tx = storage.begin().await.unwrap();
    let account = tx.account("alice").await.unwrap();
    let receipt = Receipt { digest: [7; 32], seq: Seq(0), accepted_at: Millis(1) };
    tx.keep_receipt(account, 1_u128.to_be_bytes().into(), &receipt).await.unwrap();
    drop(tx);
    accept(&storage, "alice", send(2, "direct:bob", "\"hi\"".to_owned())).await;
    storage.close().await;
    assert!(told(&open_in(&data).await).await.unwrap().contains("hi"));
}

#[tokio::test]
async fn another_master_key_is_refused_and_changes_nothing() {
    let (storage, data) = open().await;
    say(&storage).await;
    let before = told(&storage).await.unwrap();
    storage.close().await;
    for keys in [MasterKeys::new("another"), MasterKeys::new("another").with_old("and another")] {
        let error = try_open(&data, &keys).await.err().unwrap().to_string();
        assert!(error.contains("another master key") && error.contains("old master key"), "{error}");
    }
    assert_eq!(told(&open_in(&data).await).await.unwrap(), before);
}

#[tokio::test]
async fn the_master_key_is_changed_and_the_old_one_opens_nothing_any_more() {
    let (storage, data) = open().await;
    say(&storage).await;
    let before = told(&storage).await.unwrap();
    let wrapped = wrapped_keys(&storage).await;
    let content = sealed_content(&storage).await;
    storage.close().await;

    let storage = try_open(&data, &MasterKeys::new("new").with_old("none").with_old(MASTER)).await.unwrap();
    assert_eq!(told(&storage).await.unwrap(), before);
    assert_eq!(sealed_content(&storage).await, content, "no content is written for it");
    let old: Vec<_> = wrapped.into_values().collect();
    assert_eq!(share_anywhere(&data, &old), 0.0, "nothing is left that the old one opens");
    storage.close().await;

    assert!(try_open(&data, &MasterKeys::new(MASTER)).await.is_err());
    let storage = try_open(&data, &MasterKeys::new("new")).await.unwrap();
    assert_eq!(told(&storage).await.unwrap(), before);
    accept(&storage, "alice", send(20, "direct:bob", "\"more\"".to_owned())).await;
    storage.close().await;

    // Back again, which is a change like any.
    let storage = try_open(&data, &MasterKeys::new(MASTER).with_old("new")).await.unwrap();
    assert!(told(&storage).await.unwrap().contains("more"));
}

#[tokio::test]
async fn a_change_of_the_master_key_goes_on_where_it_was_interrupted() {
    const ACCOUNTS: usize = 1_100;
    let (storage, data) = open().await;
    let mut tx = storage.begin().await.unwrap();
    let receipt = Receipt { digest: [7; 32], seq: Seq(0), accepted_at: Millis(1) };
    let id = OperationId::from(1_u128.to_be_bytes());
    for number in 0..ACCOUNTS {
        let account = tx.account(&format!("account {number}")).await.unwrap();
        tx.keep_receipt(account, id, &receipt).await.unwrap();
    }
    tx.commit().await.unwrap();

    // Killed with half of the accounts done, which is what lies in the file after any of the batches.
    let both = MasterKeys::new("new").with_old(MASTER);
    let mut tx = storage.writer.begin().await.unwrap();
    assert!(!rotation::begin(&mut tx, &both).await.unwrap());
    for (name, wrapped) in wrapped_keys(&storage).await.into_iter().take(ACCOUNTS / 2) {
        let key = both.old[0].unwrap(&name, &wrapped).unwrap();
        sqlx::query("UPDATE contents SET bytes = ? WHERE key = (SELECT key FROM accounts WHERE name = ?)")
            .bind(both.present.wrap(&name, &key).unwrap())
            .bind(&name)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    storage.close().await;

    let alone = [MasterKeys::new(MASTER), MasterKeys::new("new"), MasterKeys::new("third").with_old("new")];
    for keys in alone {
        let error = try_open(&data, &keys).await.err().unwrap().to_string();
        assert!(error.contains("was being changed"), "{error}");
    }
    // On to a third one, with those before it.
    let all = MasterKeys::new("third").with_old(MASTER).with_old("new");
    try_open(&data, &all).await.unwrap().close().await;
    assert!(try_open(&data, &both).await.is_err());
    let storage = try_open(&data, &MasterKeys::new("third")).await.unwrap();
    let mut tx = storage.begin().await.unwrap();
    for number in 0..ACCOUNTS {
        let account = tx.account(&format!("account {number}")).await.unwrap();
        assert_eq!(tx.receipt(account, id).await.unwrap().unwrap().digest, [7; 32]);
    }
}
