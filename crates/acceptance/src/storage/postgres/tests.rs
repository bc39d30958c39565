use tutti_protocol::wire::operation;

use super::*;
use crate::{
    accept::{Submission, Verdict},
    devices::Register,
    erasure::{EraseAccount, Erasure},
    groups::PutGroup,
    history::Trim,
    reach::Reach,
    source::Source,
    storage::Addressee,
    work::{Work, perform},
};

const MASTER: &str = "a master key for the tests alone";

async fn open() -> (PostgresStorage, String) {
    let url = tutti_databases::database();
    (open_at(&url).await, url)
}

async fn open_at(url: &str) -> PostgresStorage {
    PostgresStorage::open(url, &MasterKeys::new(MASTER)).await.unwrap()
}

/// A transaction that brings an account a message of so many bytes.
async fn deliver(storage: &PostgresStorage, number: u128, size: usize) -> Result<()> {
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

fn send(id: u128, conversation: &str) -> wire::Operation {
    let (conversation, kind) = (conversation.to_owned(), "text".to_owned());
    let send = wire::Send { conversation, r#type: kind, content: Bytes::from_static(b"\"hi\"") };
    let body = Some(operation::Body::Send(send));
    wire::Operation { id: Bytes::copy_from_slice(&id.to_be_bytes()), clock: 1, body }
}

/// Has one operation decided.
async fn accept(storage: &PostgresStorage, account: &str, operation: &wire::Operation) -> Verdict {
    match &done(storage, submission(account, vec![operation.clone()])).await[..] {
        [verdict] => verdict.clone(),
        other => panic!("{other:?}"),
    }
}

/// Does some work as the server's writer does: again, while others are in its way.
async fn done<W: Work>(storage: &PostgresStorage, work: W) -> W::Answer {
    loop {
        match perform(storage, &work).await {
            Ok((answer, _)) => return answer,
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
}

/// Waits until so many wait for others.
async fn until_waiting(storage: &PostgresStorage, many: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&storage.readers).await.unwrap() < many {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_database_keeps_its_identity_and_what_was_committed() {
    let (storage, url) = open().await;
    deliver(&storage, 1, 10).await.unwrap();
    let id = storage.log_id();
    storage.close().await;
    let storage = open_at(&url).await;
    assert_eq!(storage.log_id(), id);
    assert_eq!(storage.head("bob").await.unwrap(), Seq(1));
    let other = LogId::from([9; 16]);
    storage.rename_log(other).await.unwrap();
    storage.close().await;
    let storage = open_at(&url).await;
    assert_eq!(storage.log_id(), other, "also the one that it was given");
    let (other, _) = open().await;
    assert_ne!(other.log_id(), id);
}

#[tokio::test]
async fn what_was_not_committed_is_not_there() {
    let (storage, _) = open().await;
    let mut tx = storage.begin().await.unwrap();
    let roster = tx.store_roster(&BTreeSet::new()).await.unwrap();
    let delivery = Delivery { operation: None, conversation: "group:g", news: News::Members(roster) };
    tx.deliver(&Addressees::from([("bob".to_owned(), Addressee::All)]), delivery).await.unwrap();
    drop(tx);
    assert_eq!(storage.head("bob").await.unwrap(), Seq(0));
    deliver(&storage, 1, 10).await.unwrap();
    let page = storage.page("bob", Seq(0), DeviceId::from([7; 16])).await.unwrap();
    assert_eq!(page.events.len(), 1);
}

#[tokio::test]
async fn servers_that_begin_at_once_make_one_database() {
    let url = tutti_databases::database();
    let (one, other) = tokio::join!(open_at(&url), open_at(&url));
    assert_eq!(one.log_id(), other.log_id());
}

#[tokio::test]
async fn a_database_of_another_version_is_left_alone() {
    let (storage, url) = open().await;
    let later = "UPDATE meta SET value = '99' WHERE key = 'version'";
    sqlx::query(later).execute(&storage.writers).await.unwrap();
    let error = PostgresStorage::open(&url, &MasterKeys::new(MASTER)).await.err().unwrap();
    assert!(error.to_string().contains("version 99"), "{error}");
}

#[tokio::test]
async fn pages_close_at_their_limits() {
    let (storage, _) = open().await;
    for number in 0..1_001 {
        deliver(&storage, number, 1).await.unwrap();
    }
    for number in 2_000..2_020 {
        deliver(&storage, number, limits::CONTENT).await.unwrap();
    }
    let device = DeviceId::from([7; 16]);
    let page = storage.page("bob", Seq(0), device).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (1_000, Seq(1_000), Seq(1_021)));
    for _ in 0..2 * READERS {
        let page = storage.page("bob", Seq(1_001), device).await.unwrap();
        let bytes: usize = page.events.iter().map(prost::Message::encoded_len).sum();
        assert!((limits::PAGE_BYTES..limits::PAGE_BYTES + 2 * limits::CONTENT).contains(&bytes), "{bytes}");
    }
    let page = storage.page("bob", Seq(1_021), device).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (0, Seq(1_021), Seq(1_021)));
    let page = storage.page("bob", Seq(u64::MAX), device).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (0, Seq(u64::MAX), Seq(1_021)));
    let page = storage.page("nobody", Seq(0), device).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (0, Seq(0), Seq(0)));
}

/// How PostgreSQL goes about a statement, whatever it is given.
async fn plan(storage: &PostgresStorage, sql: &str) -> Vec<String> {
    let parameters = (1..).take_while(|number| sql.contains(&format!("${number}"))).map(|_| "NULL");
    let parameters = parameters.collect::<Vec<_>>().join(", ");
    let explain = format!(
        "SET plan_cache_mode = force_generic_plan; PREPARE explained AS {sql};
         EXPLAIN (COSTS OFF) EXECUTE explained ({parameters}); DEALLOCATE explained"
    );
    let rows = sqlx::raw_sql(sqlx::AssertSqlSafe(explain)).fetch_all(&storage.readers).await.unwrap();
    rows.iter().map(|row| sqlx::Row::get(row, 0)).collect()
}

#[tokio::test]
async fn every_step_finds_its_rows_by_an_index() {
    let (storage, _) = open().await;
    let statements = [
        PAGE,
        OVERVIEWS,
        SHARED,
        NOTIFIED,
        NOTIFICATIONS_SPENT,
        ACTIVE,
        STRETCH,
        TRIM_FOUND,
        TRIM_DROP,
        DELIVER,
        CHANGE,
        DRAFTS,
        TELL_DRAFTS,
        READ_FOUND,
        READ_LOOKED,
        READ_TELL,
        CONTACTS,
        locks::LOCK_ACCOUNTS,
        locks::LOCK_MESSAGES,
        erasure::ANY_GROUP,
        erasure::NEXT_SENT,
        erasure::DROP_ENTRIES,
    ];
    // An index that is searched without its first column is read as a whole.
    let first_columns: BTreeMap<String, String> = sqlx::query_as(
        "SELECT i.indexrelid::regclass::text, a.attname::text FROM pg_index i
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
         JOIN pg_class c ON c.oid = i.indrelid AND c.relnamespace = 'tutti'::regnamespace",
    )
    .fetch_all(&storage.readers)
    .await
    .unwrap()
    .into_iter()
    .collect();
    for sql in statements.into_iter().chain(erasure::DROP_OWN) {
        let steps = plan(&storage, sql).await;
        assert!(!steps.iter().any(|step| step.contains("Seq Scan")), "{sql}\n{steps:#?}");
        for (step, next) in steps.iter().zip(&steps[1..]) {
            let index = match step.split_once(" using ") {
                Some((_, rest)) => rest.split(' ').next(),
                None => step.split_once("Bitmap Index Scan on ").map(|(_, index)| index),
            };
            let Some(column) = index.and_then(|index| first_columns.get(index.trim())) else { continue };
            let is_searched = next.contains("Index Cond:") && next.contains(&format!("({column} "));
            assert!(is_searched, "{next} does not say {column}, of:\n{sql}\n{steps:#?}");
        }
    }
    let page = plan(&storage, PAGE).await;
    assert!(!page.iter().any(|step| step.contains("Sort")), "a page is one range of the log: {page:#?}");
}

/// How many entries of indexes and rows of tables were looked at so far by those who write.
async fn looked_at(storage: &PostgresStorage) -> i64 {
    // Who has counted tells it after some time, or when that is asked for.
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let mut writer = storage.writers.acquire().await.unwrap();
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&mut *writer).await.unwrap();
        writers.push(writer);
    }
    let looked_at = "
        SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'tutti')::bigint
             + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'tutti')::bigint";
    sqlx::query_scalar(looked_at).fetch_one(&mut *writers[0]).await.unwrap()
}

#[tokio::test]
async fn what_an_operation_costs_does_not_grow_with_the_log() {
    let (storage, _) = open().await;
    let operations = |round: u64| {
        let id = |which: u128| u128::from(round) * 10 + which;
        let message = Bytes::copy_from_slice(&id(1).to_be_bytes());
        let operation = |which, body| {
            let id = Bytes::copy_from_slice(&id(which).to_be_bytes());
            wire::Operation { id, clock: round, body: Some(body) }
        };
        let read = wire::MarkRead { conversation: "direct:bob".to_owned(), position: round };
        let edit = wire::Edit { message: message.clone(), content: Bytes::from_static(b"{}") };
        let draft = wire::Field { name: "draft".to_owned(), value: Bytes::from_static(b"\"so far\"") };
        let set = wire::Set { target: "direct:bob".to_owned(), fields: vec![draft] };
        [
            ("bob", send(id(1), "direct:alice")),
            ("alice", operation(2, operation::Body::MarkRead(read))),
            ("bob", operation(3, operation::Body::Edit(edit))),
            ("alice", operation(4, operation::Body::Set(set))),
            ("bob", operation(5, operation::Body::Recall(wire::Recall { message }))),
        ]
    };
    let decide = async |account, operation| {
        let verdict = accept(&storage, account, &operation).await;
        assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
    };
    // How much each of these looks at.
    let costs = async |round| {
        let mut costs = Vec::new();
        for (account, operation) in operations(round) {
            let before = looked_at(&storage).await;
            decide(account, operation).await;
            costs.push(looked_at(&storage).await - before);
        }
        costs
    };
    let go_on = async |rounds: std::ops::Range<u64>| {
        for (account, operation) in rounds.flat_map(operations) {
            decide(account, operation).await;
        }
    };
    // The first makes the accounts and the conversation.
    go_on(1..2).await;
    let early = costs(2).await;
    go_on(3..300).await;
    let late = costs(300).await;
    for (early, late) in early.iter().zip(&late) {
        assert!(*early > 0 && *late < 2 * early, "{early:?} entries and rows, and later {late:?}");
    }
}

#[tokio::test]
async fn two_servers_write_into_the_same_logs() {
    let (storage, url) = open().await;
    let members = ["alice", "bob", "carol"].map(str::to_owned).into();
    done(&storage, PutGroup { id: "team".to_owned(), members }).await.unwrap();
    let write = async |account: &str, other: &str, first: u128| {
        let server = open_at(&url).await;
        for number in first..first + 50 {
            let to = if number % 2 == 0 { "group:team".to_owned() } else { format!("direct:{other}") };
            let verdict = accept(&server, account, &send(number, &to)).await;
            assert!(matches!(verdict, Verdict::Accepted { .. }), "{verdict:?}");
        }
    };
    tokio::join!(write("alice", "bob", 1_000), write("bob", "alice", 2_000), write("bob", "alice", 3_000));
    for account in ["alice", "bob"] {
        // Who is in the group, and all that was said.
        let page = storage.page(account, Seq(0), DeviceId::from([7; 16])).await.unwrap();
        assert_eq!(page.events.len(), 1 + 3 * 50);
        let mut positions = BTreeMap::<_, Vec<u64>>::new();
        for event in page.events {
            if let Some(wire::event::Body::Message(message)) = event.body {
                positions.entry(message.conversation).or_default().push(message.position);
            }
        }
        for (conversation, positions) in positions {
            assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>(), "{conversation}");
        }
    }
}

#[tokio::test]
async fn an_operation_that_two_servers_get_at_once_takes_effect_once() {
    let (one, url) = open().await;
    let other = open_at(&url).await;
    for number in 0..20 {
        let send = send(number, "direct:bob");
        let verdicts = tokio::join!(accept(&one, "alice", &send), accept(&other, "alice", &send));
        assert_eq!(verdicts.0, verdicts.1);
    }
    assert_eq!(one.head("bob").await.unwrap(), Seq(20));
    assert_eq!(one.head("alice").await.unwrap(), Seq(20));
}

#[tokio::test]
async fn whoever_holds_something_does_not_wait_for_more() {
    let (storage, url) = open().await;
    deliver(&storage, 1, 1).await.unwrap();
    let other = open_at(&url).await;
    let mut first = storage.begin().await.unwrap();
    first.account("bob").await.unwrap();
    let mut second = other.begin().await.unwrap();
    second.account("alice").await.unwrap();
    let error = second.account("bob").await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    first.commit().await.unwrap();
}

#[tokio::test]
async fn nobody_sends_to_a_group_that_is_just_changing() {
    let (storage, url) = open().await;
    let put = |members: &[&str]| PutGroup {
        id: "team".to_owned(),
        members: members.iter().map(|member| (*member).to_owned()).collect(),
    };
    done(&storage, put(&["alice", "bob", "carol"])).await.unwrap();
    let other = open_at(&url).await;
    let changing = put(&["alice", "bob"]);
    let mut touched = Touched::default();
    changing.tell_touched(&mut touched);
    let mut tx = other.begin().await.unwrap();
    tx.lock(&touched).await.unwrap();
    changing.run(&mut *tx, &mut crate::work::Growth::default()).await.unwrap().unwrap();
    let hi = send(1, "group:team");
    let change = async {
        until_waiting(&storage, 1).await;
        tx.commit().await.unwrap();
    };
    tokio::join!(accept(&storage, "alice", &hi), change);
    assert_eq!(storage.head("bob").await.unwrap(), Seq(3));
    assert_eq!(storage.head("carol").await.unwrap(), Seq(2), "who was there, and who is");
}

/// Each of the two sees that the other still has it, until it holds the message.
#[tokio::test]
async fn of_two_logs_that_let_go_of_a_message_at_once_one_takes_its_content() {
    let (storage, url) = open().await;
    let at = |now, operation| Submission { now: Millis(now), ..submission("alice", vec![operation]) };
    for (now, number) in [(10, 1), (9_000, 2)] {
        done(&storage, at(now, send(number, "direct:bob"))).await;
    }
    let keys: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM accounts ORDER BY id").fetch_all(&storage.readers).await.unwrap();
    let mut first = storage.begin().await.unwrap();
    assert!(first.trim(AccountKey(keys[0] - 1), Millis(100)).await.unwrap().erased);
    let other = open_at(&url).await;
    let second = done(&other, Trim { after: AccountKey(keys[0]), before: Millis(100) });
    let first = async {
        until_waiting(&storage, 1).await;
        first.commit().await.unwrap();
    };
    let (trimmed, ()) = tokio::join!(second, first);
    assert!(trimmed.erased);
    let kept = "SELECT count(*) FROM messages WHERE content <> ''";
    assert_eq!(sqlx::query_scalar::<_, i64>(kept).fetch_one(&storage.readers).await.unwrap(), 1);
}

#[tokio::test]
async fn what_passes_is_told_from_what_does_not() {
    let (storage, _) = open().await;
    for (code, passes) in
        [("40001", true), ("40P01", true), ("55P03", true), ("57P01", true), ("22012", false)]
    {
        let raise = format!("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{code}'; END $$");
        let error = sqlx::raw_sql(sqlx::AssertSqlSafe(raise)).execute(&storage.writers).await.unwrap_err();
        assert_eq!(StorageError::from(error).is_passing(), passes, "{code}");
    }
}

#[tokio::test]
async fn connections_that_are_lost_are_made_anew() {
    let (storage, url) = open().await;
    deliver(&storage, 1, 1).await.unwrap();
    let mut tx = storage.begin().await.unwrap();
    tx.account("alice").await.unwrap();
    let other = open_at(&url).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut connection = other.writers.acquire().await.unwrap();
    sqlx::query(end).execute(&mut *connection).await.unwrap();
    let error = tx.account("bob").await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    drop(tx);
    deliver(&storage, 2, 1).await.unwrap();
    assert_eq!(storage.head("bob").await.unwrap(), Seq(2));
}

#[tokio::test]
async fn content_is_sealed_and_its_key_goes_with_the_account() {
    let (storage, _) = open().await;
    accept(&storage, "alice", &send(1, "direct:bob")).await;
    let content = "SELECT content FROM messages";
    let sealed: Vec<u8> = sqlx::query_scalar(content).fetch_one(&storage.readers).await.unwrap();
    assert!(sealed.len() > 4 && !sealed.windows(4).any(|window| window == b"\"hi\""));
    let keys = async || {
        let keys = "SELECT a.name FROM keys k JOIN accounts a ON a.id = k.account ORDER BY a.name";
        sqlx::query_scalar::<_, String>(keys).fetch_all(&storage.readers).await.unwrap()
    };
    assert_eq!(keys().await, ["alice"]);
    let erase = EraseAccount { account: "alice".to_owned(), now: Millis(5_000) };
    while done(&storage, erase.clone()).await != Erasure::Done {}
    assert!(storage.scrub().await.unwrap());
    assert_eq!(keys().await, [""; 0]);
    // Nothing of it is left, not even a page.
    let size = sqlx::query_scalar::<_, i64>("SELECT pg_relation_size('keys')");
    assert_eq!(size.fetch_one(&storage.readers).await.unwrap(), 0);
}

#[tokio::test]
async fn a_master_key_is_changed_and_none_but_the_right_one_opens() {
    let (storage, url) = open().await;
    accept(&storage, "alice", &send(1, "direct:bob")).await;
    storage.close().await;
    let error = PostgresStorage::open(&url, &MasterKeys::new("another")).await.err().unwrap();
    assert!(error.to_string().contains("another master key"), "{error}");
    let both = MasterKeys::new("the next").with_old(MASTER);
    PostgresStorage::open(&url, &both).await.unwrap().close().await;
    let storage = PostgresStorage::open(&url, &MasterKeys::new("the next")).await.unwrap();
    let page = storage.page("bob", Seq(0), DeviceId::from([7; 16])).await.unwrap();
    let Some(wire::event::Body::Message(message)) = &page.events[0].body else { panic!("{page:?}") };
    assert_eq!(message.content, "\"hi\"");
}

#[tokio::test]
async fn the_devices_of_an_account_are_changed_by_one_at_a_time() {
    let (storage, url) = open().await;
    let other = open_at(&url).await;
    let register = |account: &str| Register {
        account: account.to_owned(),
        devices: vec!["tv".to_owned()],
        now: Millis(1),
    };
    let mut tx = other.begin().await.unwrap();
    let mut touched = Touched::default();
    register("zoe").tell_touched(&mut touched);
    tx.lock(&touched).await.unwrap();
    done(&storage, register("yann")).await.unwrap();
    let waits = done(&storage, register("zoe"));
    let leave = async {
        until_waiting(&storage, 1).await;
        drop(tx);
    };
    let (registered, ()) = tokio::join!(waits, leave);
    registered.unwrap();
}
