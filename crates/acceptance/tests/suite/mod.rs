//! What every storage promises: acceptance does the same over each.

mod devices;
mod edits;
mod erasure;
mod fields;
mod history;
mod identity;
mod notifications;
mod reach;
mod reads;
mod recalls;
mod sources;
mod status;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use tutti_acceptance::{
    accept::{Refusal, Submission, Verdict, decide},
    groups::{DeleteGroup, PutGroup},
    reach::Reach,
    source::Source,
    storage::{Page, Reader, Storage},
    work::{Growth, Work, perform},
};
use tutti_protocol::{
    Code, DeviceId, Millis, OperationId, Seq, Timestamp, limits,
    wire::{self, event, operation::Body},
};

/// A storage with what keeps it.
struct Fixture {
    storage: Arc<dyn Storage>,
    _data: super::Data,
}

impl Fixture {
    async fn new() -> Self {
        let (storage, data) = super::open().await;
        Self { storage, _data: data }
    }

    async fn perform<W: Work>(&self, work: W) -> W::Answer {
        perform(&*self.storage, &work).await.unwrap().0
    }

    async fn submit(&self, account: &str, operations: &[wire::Operation]) -> Vec<Verdict> {
        decide(&*self.storage, submission(account, operations), &mut BTreeSet::new()).await
    }

    async fn decide(&self, submission: Submission) -> Verdict {
        match &decide(&*self.storage, submission, &mut BTreeSet::new()).await[..] {
            [verdict] => verdict.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Submits one operation that is to be accepted, and answers its seq.
    async fn accepted(&self, account: &str, operation: &wire::Operation) -> u64 {
        seq(&self.decide(one(account, operation)).await)
    }

    /// The same from one of several devices.
    async fn accepted_from(&self, device: u8, account: &str, operation: &wire::Operation) -> u64 {
        seq(&self.decide(from_device(device, one(account, operation))).await)
    }

    /// Submits one operation that is to be refused, and answers why.
    async fn refused(&self, account: &str, operation: &wire::Operation) -> Code {
        refusal(&self.decide(one(account, operation)).await).code
    }

    async fn put_group(&self, id: &str, members: &[&str]) {
        let members: BTreeSet<String> = members.iter().map(|&member| member.to_owned()).collect();
        let id = id.to_owned();
        assert_eq!(self.perform(PutGroup { id, members }).await, Ok(()));
    }

    async fn log(&self, account: &str) -> Page {
        self.storage.page(account, Seq(0), device(7)).await.unwrap()
    }

    async fn bodies<T>(&self, account: &str, pick: impl Fn(event::Body) -> Option<T>) -> Vec<T> {
        let events = self.log(account).await.events.into_iter();
        events.filter_map(|event| event.body.and_then(&pick)).collect()
    }

    async fn messages(&self, account: &str) -> Vec<wire::Message> {
        let pick = |body| if let event::Body::Message(message) = body { Some(message) } else { None };
        self.bodies(account, pick).await
    }

    /// What messages have become, as the log tells it.
    async fn changed(&self, account: &str) -> Vec<wire::Message> {
        let pick = |body| if let event::Body::Changed(message) = body { Some(message) } else { None };
        self.bodies(account, pick).await
    }

    async fn members(&self, account: &str) -> Vec<Vec<String>> {
        let pick = |body| if let event::Body::Members(told) = body { Some(told.members) } else { None };
        self.bodies(account, pick).await
    }
}

fn seq(verdict: &Verdict) -> u64 {
    match verdict {
        Verdict::Accepted { seq, .. } => seq.0,
        other => panic!("{other:?}"),
    }
}

/// Why an operation was refused for good.
fn refusal(verdict: &Verdict) -> Refusal {
    match verdict {
        Verdict::Refused(refusal) if refusal.retry_after == 0 => refusal.clone(),
        other => panic!("{other:?}"),
    }
}

fn one(account: &str, operation: &wire::Operation) -> Submission {
    submission(account, std::slice::from_ref(operation))
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

fn device(number: u8) -> DeviceId {
    DeviceId::from([number; 16])
}

fn reader(number: u8) -> Reader {
    Reader { device: device(number), compensated: true, notified: true }
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

fn mark_read(id: u8, conversation: &str, position: u64) -> wire::Operation {
    operation(id, Body::MarkRead(wire::MarkRead { conversation: conversation.to_owned(), position }))
}

fn edit(id: u8, message: u8, text: &str) -> wire::Operation {
    let message = Bytes::copy_from_slice(&[message; 16]);
    operation(id, Body::Edit(wire::Edit { message, content: format!("\"{text}\"").into() }))
}

fn recall(id: u8, message: u8) -> wire::Operation {
    operation(id, Body::Recall(wire::Recall { message: Bytes::copy_from_slice(&[message; 16]) }))
}

fn set(id: u8, target: &str, fields: &[(&str, &str)]) -> wire::Operation {
    let field = |&(name, value): &(&str, &str)| wire::Field {
        name: name.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    };
    let fields = fields.iter().map(field).collect();
    operation(id, Body::Set(wire::Set { target: target.to_owned(), fields }))
}

fn at(clock: u64, operation: wire::Operation) -> wire::Operation {
    wire::Operation { clock, ..operation }
}

fn from_device(device: u8, submission: Submission) -> Submission {
    Submission { source: Source::Device(self::device(device)), ..submission }
}

#[tokio::test]
async fn a_message_enters_the_logs_of_both_under_each_ones_name_for_the_other() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.accepted("alice", &send(1, "direct:bob", "hi")).await, 1);
    let [sent] = &fixture.messages("alice").await[..] else { panic!() };
    let [got] = &fixture.messages("bob").await[..] else { panic!() };
    assert_eq!((sent.conversation.as_str(), sent.inbound), ("direct:bob", 0));
    assert_eq!((got.conversation.as_str(), got.inbound), ("direct:alice", 1));
    assert_eq!(got.sender, "alice");
    assert_eq!(got.content, "\"hi\"");
    assert_eq!(got.sent_at, 1_000);
}

#[tokio::test]
async fn only_the_senders_own_account_learns_from_which_device() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob"]).await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    fixture.accepted("alice", &send(2, "group:team", "hi")).await;
    let told = async |account| {
        let messages = fixture.messages(account).await;
        messages.into_iter().map(|message| message.device).collect::<Vec<_>>()
    };
    assert_eq!(told("alice").await, [[7; 16]; 2].map(Bytes::from_owner));
    assert_eq!(told("bob").await, [Bytes::new(), Bytes::new()]);
}

#[tokio::test]
async fn a_message_to_oneself_enters_the_log_once() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:alice", "note")).await;
    let [note] = &fixture.messages("alice").await[..] else { panic!() };
    assert_eq!((note.position, note.inbound), (1, 0));
}

#[tokio::test]
async fn a_message_to_oneself_is_delivered_even_if_the_sender_is_not_included() {
    let fixture = Fixture::new().await;
    let mut hidden = submission("alice", &[send(1, "direct:alice", "reminder")]);
    hidden.include_sender = false;
    fixture.perform(hidden).await;
    assert_eq!(fixture.messages("alice").await.len(), 1);
}

#[tokio::test]
async fn same_operation_twice_takes_effect_once() {
    let fixture = Fixture::new().await;
    let hi = send(1, "direct:bob", "hi");
    let first = fixture.submit("alice", std::slice::from_ref(&hi)).await;
    fixture.accepted("alice", &send(2, "direct:bob", "more")).await;
    let mut again = hi.clone();
    again.clock = 99;
    assert_eq!(fixture.submit("alice", &[again.clone()]).await, first);
    let yo = send(3, "direct:bob", "yo");
    let twice = fixture.submit("carol", &[yo.clone(), yo]).await;
    assert_eq!(twice[0], twice[1]);
    assert_eq!(fixture.messages("bob").await.len(), 3);
}

#[tokio::test]
async fn a_read_that_changed_nothing_changes_nothing_when_it_is_sent_again() {
    let fixture = Fixture::new().await;
    let eager = mark_read(9, "direct:alice", 5);
    assert_eq!(fixture.accepted("bob", &eager).await, 0);
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    assert_eq!(fixture.accepted("bob", &eager).await, 0);
    assert_eq!(fixture.log("bob").await.head, Seq(1));
}

#[tokio::test]
async fn other_body_under_the_same_id_is_a_conflict() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    for other in [send(1, "direct:bob", "ho"), send(1, "direct:carol", "hi"), mark_read(1, "direct:bob", 1)] {
        assert_eq!(fixture.refused("alice", &other).await, Code::Conflict);
    }
    let mut hidden = submission("alice", &[send(1, "direct:bob", "hi")]);
    hidden.include_sender = false;
    let verdicts = fixture.perform(hidden).await;
    assert!(matches!(&verdicts[..], [Verdict::Refused(refusal)] if refusal.code == Code::Conflict));
}

#[tokio::test]
async fn the_id_of_anothers_message_cannot_be_used_for_a_message() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    let stolen = send(1, "direct:bob", "hi");
    assert_eq!(fixture.refused("mallory", &stolen).await, Code::Conflict);
    assert_eq!(fixture.messages("bob").await.len(), 1);
    assert_eq!(fixture.log("mallory").await.head, Seq(0));
}

#[tokio::test]
async fn positions_are_contiguous_per_account() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob"]).await;
    fixture.accepted("alice", &send(1, "group:team", "one")).await;
    fixture.accepted("bob", &send(2, "group:team", "two")).await;
    fixture.put_group("team", &["alice", "bob", "carol"]).await;
    fixture.accepted("carol", &send(3, "group:team", "three")).await;
    let mut hidden = submission("alice", &[send(4, "group:team", "four")]);
    hidden.include_sender = false;
    let verdicts = fixture.perform(hidden).await;
    assert_eq!(verdicts, [Verdict::Accepted { seq: Seq(0), at: Millis(1_000) }]);
    fixture.accepted("bob", &send(5, "group:team", "five")).await;

    let places = async |account| {
        let messages = fixture.messages(account).await;
        messages.iter().map(|message| (message.position, message.inbound)).collect::<Vec<_>>()
    };
    assert_eq!(places("alice").await, [(1, 0), (2, 1), (3, 2), (4, 3)]);
    assert_eq!(places("bob").await, [(1, 1), (2, 1), (3, 2), (4, 3), (5, 3)]);
    assert_eq!(places("carol").await, [(1, 0), (2, 1), (3, 2)]);
    for account in ["alice", "bob", "carol"] {
        let log = fixture.log(account).await;
        let seqs: Vec<_> = log.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=log.head.0).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn only_members_send_to_a_group_and_others_cannot_tell_that_it_is_there() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob"]).await;
    for group in ["group:team", "group:nowhere"] {
        assert_eq!(fixture.refused("mallory", &send(1, group, "hi")).await, Code::NotFound);
        assert_eq!(fixture.refused("mallory", &mark_read(2, group, 1)).await, Code::NotFound);
    }
    assert_eq!(fixture.messages("bob").await, []);
    fixture.put_group("team", &["alice"]).await;
    assert_eq!(fixture.refused("bob", &send(3, "group:team", "hi")).await, Code::NotFound);
}

#[tokio::test]
async fn a_refused_operation_may_be_sent_again_when_it_has_become_right() {
    let fixture = Fixture::new().await;
    let early = send(1, "group:team", "hi");
    assert_eq!(fixture.refused("alice", &early).await, Code::NotFound);
    fixture.put_group("team", &["alice"]).await;
    assert_eq!(fixture.accepted("alice", &early).await, 2);
}

#[tokio::test]
async fn one_refused_operation_does_not_refuse_the_others() {
    let fixture = Fixture::new().await;
    let verdicts = fixture
        .submit(
            "alice",
            &[
                send(1, "direct:bob", "one"),
                send(2, "group:nowhere", "lost"),
                operation(3, Body::MarkRead(wire::MarkRead::default())),
                send(4, "direct:bob", "two"),
            ],
        )
        .await;
    assert!(matches!(
        &verdicts[..],
        [
            Verdict::Accepted { seq: Seq(1), .. },
            Verdict::Refused(Refusal { code: Code::NotFound, .. }),
            Verdict::Refused(Refusal { code: Code::Invalid, .. }),
            Verdict::Accepted { seq: Seq(2), .. },
        ]
    ));
}

#[tokio::test]
async fn reading_goes_forward_up_to_the_last_message_and_marks_the_own_log_alone() {
    let fixture = Fixture::new().await;
    for id in 1..=3 {
        fixture.accepted("alice", &send(id, "direct:bob", "hi")).await;
    }
    fixture.accepted("bob", &send(4, "direct:alice", "ho")).await;
    assert_eq!(fixture.accepted("bob", &mark_read(5, "direct:alice", 2)).await, 5);
    assert_eq!(fixture.accepted("bob", &mark_read(6, "direct:alice", 1)).await, 0);
    assert_eq!(fixture.accepted("bob", &mark_read(7, "direct:alice", 2)).await, 0);
    assert_eq!(fixture.accepted("bob", &mark_read(8, "direct:alice", u64::MAX)).await, 6);
    let pick = |body| if let event::Body::Read(read) = body { Some(read) } else { None };
    let read = |position, inbound| wire::Read { conversation: "direct:alice".into(), position, inbound };
    assert_eq!(fixture.bodies("bob", pick).await, [read(2, 2), read(4, 3)]);
    assert_eq!(fixture.bodies("alice", pick).await, []);
}

#[tokio::test]
async fn members_learn_who_is_in_and_those_who_left_no_more_than_they_knew() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob"]).await;
    fixture.put_group("team", &["bob", "alice"]).await;
    fixture.put_group("team", &["bob", "carol"]).await;
    let id = "team".to_owned();
    assert!(fixture.perform(DeleteGroup { id: id.clone() }).await);
    assert!(!fixture.perform(DeleteGroup { id }).await);
    assert_eq!(fixture.members("alice").await, [vec!["alice", "bob"], vec!["bob"]]);
    assert_eq!(fixture.members("bob").await, [vec!["alice", "bob"], vec!["bob", "carol"], vec![]]);
    assert_eq!(fixture.members("carol").await, [vec!["bob", "carol"], vec![]]);
    assert_eq!(fixture.storage.group("team").await.unwrap(), None);
}

#[tokio::test]
async fn logs_are_contiguous_whatever_happens() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob"]).await;
    fixture.accepted("alice", &send(1, "group:team", "one")).await;
    fixture.accepted("bob", &set(2, "group:team", &[("muted", "true")])).await;
    fixture.accepted("bob", &at(2, set(3, "group:team", &[("muted", "false")]))).await;
    fixture.accepted("alice", &edit(4, 1, "two")).await;
    fixture.accepted("bob", &mark_read(5, "group:team", 1)).await;
    fixture.accepted("alice", &recall(6, 1)).await;
    for account in ["alice", "bob"] {
        let log = fixture.log(account).await;
        let seqs: Vec<_> = log.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=log.head.0).collect::<Vec<_>>());
        for after in 0..log.head.0 {
            let page = fixture.storage.page(account, Seq(after), device(7)).await.unwrap();
            assert_eq!(page.events, log.events[after as usize..]);
        }
    }
}
