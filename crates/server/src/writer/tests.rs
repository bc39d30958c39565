use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::time::Duration;
use tutti_acceptance::{
    groups::PutGroup,
    reach::Reach,
    source::Source,
    storage::{MasterKeys, SqliteStorage},
};
use tutti_protocol::{
    DeviceId, Millis, Seq,
    wire::{self, event, operation::Body},
};

use super::*;
use crate::{bus::alone, settings::Limits};

fn reader() -> DeviceId {
    DeviceId::from([7; 16])
}

struct Fixture {
    storage: Arc<dyn Storage>,
    writer: Writer,
    data: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("tutti.db");
        let storage: Arc<dyn Storage> =
            Arc::new(SqliteStorage::open(&file, &MasterKeys::new("a key")).await.unwrap());
        let bus = alone();
        let hub = Arc::new(Hub::new(bus.clone(), Duration::MAX, Limits::default()));
        let lists = Arc::new(Lists::new(storage.clone(), bus, hub.clone(), Duration::ZERO));
        let (alerts, _) = Alerts::new();
        let writer = Writer::start(storage.clone(), hub, lists, alerts);
        Self { storage, writer, data }
    }

    async fn submit(&self, account: &str, operations: &[wire::Operation]) -> Vec<Verdict> {
        self.writer.decide(submission(account, operations)).await
    }

    /// The content of the one message that there is, as it lies on the disk.
    async fn sealed_content(&self) -> Vec<u8> {
        let file = SqliteConnectOptions::new().filename(self.data.path().join("tutti.db")).read_only(true);
        let mut connection = SqliteConnection::connect_with(&file).await.unwrap();
        let sql = "SELECT bytes FROM contents CROSS JOIN messages ON content = contents.key";
        let sealed = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        sealed
    }

    async fn messages(&self, account: &str) -> Vec<wire::Message> {
        let page = self.storage.page(account, Seq(0), reader()).await.unwrap();
        let messages = page.events.into_iter().filter_map(|event| match event.body {
            Some(event::Body::Message(message)) => Some(message),
            _ => None,
        });
        messages.collect()
    }
}

fn submission(account: &str, operations: &[wire::Operation]) -> Submission {
    Submission {
        account: account.to_owned(),
        source: Source::Device(DeviceId::from([7; 16])),
        operations: operations.to_vec(),
        include_sender: true,
        notifies: false,
        hide_reads: false,
        recall_window: None,
        reach: Reach::All,
        now: Millis(1_000),
    }
}

fn operation(id: u8, body: Body) -> wire::Operation {
    wire::Operation { id: Bytes::copy_from_slice(&[id; 16]), clock: 1, body: Some(body) }
}

fn send(id: u8, conversation: &str, text: &str) -> wire::Operation {
    let send = wire::Send {
        conversation: conversation.to_owned(),
        r#type: "text".to_owned(),
        content: format!("\"{text}\"").into(),
    };
    operation(id, Body::Send(send))
}

#[tokio::test]
async fn what_many_submit_at_once_is_all_there_once() {
    let fixture = Arc::new(Fixture::new().await);
    let senders: Vec<_> = (0..20u8)
        .map(|sender| {
            let fixture = fixture.clone();
            tokio::spawn(async move {
                let account = format!("sender {sender}");
                for id in 0..5 {
                    let hi = send(sender * 5 + id, "direct:bob", &account);
                    let first = fixture.submit(&account, std::slice::from_ref(&hi)).await;
                    assert!(matches!(first[..], [Verdict::Accepted { .. }]));
                    assert_eq!(fixture.submit(&account, &[hi]).await, first);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let log = fixture.storage.page("bob", Seq(0), reader()).await.unwrap();
    assert_eq!((log.events.len(), log.head), (100, Seq(100)));
    assert!(log.events.iter().zip(1..).all(|(event, seq)| event.seq == seq));
}
#[tokio::test]
async fn work_that_somebody_else_was_in_the_way_of_is_done_again() {
    struct Crowded(AtomicU32);

    #[async_trait]
    impl Work for Crowded {
        type Answer = ();

        async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<()> {
            submission("alice", &[send(1, "direct:bob", "hi")]).run(tx, growth).await?;
            match self.0.fetch_sub(1, Ordering::Relaxed) {
                1 => Ok(()),
                _ => Err(StorageError::passing("somebody else is at it")),
            }
        }
    }

    let fixture = Fixture::new().await;
    fixture.writer.write(Crowded(AtomicU32::new(4))).await.unwrap();
    assert_eq!(fixture.messages("bob").await.len(), 1);
}

#[tokio::test]
async fn work_that_the_storage_refuses_takes_no_other_work_with_it() {
    struct Poison;

    #[async_trait]
    impl Work for Poison {
        type Answer = ();

        async fn run(&self, tx: &mut dyn Transaction, growth: &mut Growth) -> Result<()> {
            submission("mallory", &[send(66, "direct:bob", "lost")]).run(tx, growth).await?;
            Err(StorageError::new("no space"))
        }
    }

    let fixture = Fixture::new().await;
    let (good, poisoned, also_good) = tokio::join!(
        fixture.writer.write(submission("alice", &[send(1, "direct:bob", "one")])),
        fixture.writer.write(Poison),
        fixture.writer.write(submission("carol", &[send(2, "direct:bob", "two")])),
    );
    assert!(good.is_ok() && poisoned.is_err() && also_good.is_ok());
    let senders: Vec<_> = fixture.messages("bob").await.into_iter().map(|message| message.sender).collect();
    assert_eq!(senders, ["alice", "carol"]);
}

#[tokio::test]
async fn what_one_sends_to_many_holds_nobody_up_and_stays_in_order() {
    let fixture = Fixture::new().await;
    let members: Vec<_> = (0..100).map(|number| format!("member {number}")).collect();
    let mut group: Vec<_> = members.iter().map(String::as_str).collect();
    group.push("alice");
    let members_of = group.iter().map(|&member| member.to_owned()).collect();
    fixture.writer.write(PutGroup { id: "team".to_owned(), members: members_of }).await.unwrap().unwrap();
    let heavy: Vec<_> = (0..100).map(|id| send(id, "group:team", "hi")).collect();
    let light = [send(200, "direct:member 7", "ho")];
    let (verdicts, _) = tokio::join!(fixture.submit("alice", &heavy), fixture.submit("bob", &light));

    let seqs = (2..=101).map(|seq| Verdict::Accepted { seq: Seq(seq), at: Millis(1_000) });
    assert_eq!(verdicts, seqs.collect::<Vec<_>>());
    assert_eq!(fixture.submit("alice", &heavy).await, verdicts);
    let mut ids: Vec<_> = fixture.messages("member 7").await.iter().map(|message| message.id[0]).collect();
    let place = ids.iter().position(|&id| id == 200).unwrap();
    assert!(place <= 20, "not after more than one transaction of the others: {place}");
    ids.remove(place);
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_was_recalled_is_soon_in_no_file_any_more() {
    let fixture = Fixture::new().await;
    fixture.submit("alice", &[send(1, "direct:bob", "hi")]).await;
    let sealed = fixture.sealed_content().await;
    let is_there = || {
        std::fs::read_dir(fixture.data.path()).unwrap().any(|file| {
            let content = std::fs::read(file.unwrap().path()).unwrap();
            content.windows(sealed.len()).any(|window| window == sealed)
        })
    };
    assert!(is_there());
    let message = Bytes::copy_from_slice(&[1; 16]);
    let recall = operation(2, Body::Recall(wire::Recall { message }));
    let verdicts = fixture.submit("alice", &[recall]).await;
    assert!(matches!(verdicts[..], [Verdict::Accepted { .. }]), "{verdicts:?}");
    let gone = async {
        while is_there() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone).await.expect("it is gone");
    fixture.submit("alice", &[send(3, "direct:bob", "more")]).await;
    assert_eq!(fixture.messages("bob").await.len(), 2);
}
