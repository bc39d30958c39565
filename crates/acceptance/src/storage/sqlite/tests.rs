use tempfile::TempDir;
use tutti_protocol::Code;

use super::*;
use crate::{
    accept::{Refusal, Submission, Verdict, decide},
    groups::PutGroup,
    work::perform,
};

async fn open() -> (SqliteStorage, TempDir) {
    let data = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(&data.path().join("tutti.db")).await.unwrap();
    (storage, data)
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
    tx.deliver(&BTreeSet::from(["bob".to_owned()]), delivery).await?;
    tx.commit().await
}

#[tokio::test]
async fn a_database_keeps_its_identity_and_what_was_committed() {
    let (storage, data) = open().await;
    deliver(&storage, 1, 10).await.unwrap();
    let id = storage.log_id();
    storage.close().await;
    let storage = SqliteStorage::open(&data.path().join("tutti.db")).await.unwrap();
    assert_eq!(storage.log_id(), id);
    assert_eq!(storage.head("bob").await.unwrap(), Seq(1));
    let (other, _data) = open().await;
    assert_ne!(other.log_id(), id);
}

#[tokio::test]
async fn what_was_not_committed_is_not_there() {
    let (storage, _data) = open().await;
    let mut tx = storage.begin().await.unwrap();
    let roster = tx.store_roster(&BTreeSet::new()).await.unwrap();
    let delivery = Delivery { operation: None, conversation: "group:g", news: News::Members(roster) };
    tx.deliver(&BTreeSet::from(["bob".to_owned()]), delivery).await.unwrap();
    drop(tx);
    assert_eq!(storage.head("bob").await.unwrap(), Seq(0));
    deliver(&storage, 1, 10).await.unwrap();
    assert_eq!(storage.page("bob", Seq(0)).await.unwrap().events.len(), 1);
}

#[tokio::test]
async fn commits_are_forced_to_the_disk() {
    let (storage, _data) = open().await;
    let pragma = async |sql| sqlx::query_scalar::<_, i64>(sql).fetch_one(&storage.writer).await.unwrap();
    assert_eq!(pragma("PRAGMA synchronous").await, 2);
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
        .fetch_all(&storage.readers)
        .await
        .unwrap();
    let steps: Vec<String> = plan.iter().map(|step| step.get("detail")).collect();
    assert!(steps.iter().all(|step| step.starts_with("SEARCH")), "{steps:#?}");
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
    let page = storage.page("bob", Seq(0)).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (1_000, Seq(1_000), Seq(1_021)));
    let page = storage.page("bob", Seq(1_001)).await.unwrap();
    let bytes: usize = page.events.iter().map(prost::Message::encoded_len).sum();
    assert!((limits::PAGE_BYTES..limits::PAGE_BYTES + 2 * limits::CONTENT).contains(&bytes), "{bytes}");
    let page = storage.page("bob", Seq(1_021)).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (0, Seq(1_021), Seq(1_021)));
    let page = storage.page("nobody", Seq(0)).await.unwrap();
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
    assert!(deliver(&storage, stored, 10_000).await.is_err(), "full means full");
    limit(pages + 1_000).await;
    deliver(&storage, stored, 10_000).await.unwrap();
    let page = storage.page("bob", Seq(0)).await.unwrap();
    assert_eq!(page.events.len() as u128, stored + 1);
}

#[tokio::test]
async fn a_disk_that_fills_midway_keeps_the_first_operations_and_refuses_all_others() {
    let (storage, _data) = open().await;
    let members = (0..100).map(|number| format!("member {number}")).collect();
    perform(&storage, &PutGroup { id: "team".to_owned(), members }).await.unwrap();
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
            device: None,
            operations: operations.clone(),
            include_sender: true,
            now: Millis(1),
        };
        decide(&storage, submission).await
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
    let page = storage.page("bob", Seq(u64::MAX)).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (0, Seq(u64::MAX), Seq(1)));
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let (storage, data) = open().await;
    sqlx::raw_sql("PRAGMA user_version = 2").execute(&storage.writer).await.unwrap();
    storage.close().await;
    let error = SqliteStorage::open(&data.path().join("tutti.db")).await.err().unwrap();
    assert!(error.to_string().contains("version 2"), "{error}");
}
