//! For which of an account's devices a message is, where they are not kept in step.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tutti_acceptance::reach::{Claim, Online};

use super::*;

/// The device of each account that is there.
#[derive(Debug)]
struct There(BTreeMap<String, DeviceId>);

#[async_trait]
impl Online for There {
    async fn device(&self, account: &str) -> Option<DeviceId> {
        self.0.get(account).copied()
    }
}

/// One device gets what is sent: of those that are there.
pub(super) fn one_device(there: &[(&str, u8)]) -> Reach {
    let there = there.iter().map(|&(account, number)| (account.to_owned(), device(number)));
    Reach::One(Arc::new(There(there.collect())))
}

/// What the back end sends in the name of an account.
fn by_api(account: &str, operation: &wire::Operation, reach: Reach) -> Submission {
    Submission { source: Source::BackEnd, reach, ..one(account, operation) }
}

/// A device comes for all that waits for the first.
fn claim(account: &str, number: u8) -> Claim {
    Claim { account: account.to_owned(), device: device(number), after: Seq(0), until: Seq(1_000) }
}

impl Fixture {
    /// Which bodies a device finds in an account's log, by seq: contents of messages, or what else it is.
    async fn found(&self, account: &str, number: u8) -> Vec<Option<String>> {
        let page = self.storage.page(account, Seq(0), device(number)).await.unwrap();
        assert!(!page.unclaimed);
        assert_eq!(page.next, page.head);
        assert!(page.events.iter().map(|event| event.seq).eq(1..=page.head.0), "every seq, whoever reads");
        let body = |body| match body {
            event::Body::Message(message) => String::from_utf8_lossy(&message.content).into_owned(),
            event::Body::Changed(message) if message.recalled => "recalled".to_owned(),
            event::Body::Changed(message) => format!("now {}", String::from_utf8_lossy(&message.content)),
            event::Body::Read(read) => format!("read {}", read.position),
            other => format!("{other:?}"),
        };
        page.events.into_iter().map(|event| event.body.map(body)).collect()
    }

    async fn gets(&self, account: &str, number: u8) -> Vec<String> {
        self.found(account, number).await.into_iter().flatten().collect()
    }

    async fn is_unclaimed(&self, account: &str, number: u8) -> bool {
        self.storage.page(account, Seq(0), device(number)).await.unwrap().unclaimed
    }
}

#[tokio::test]
async fn what_is_sent_goes_to_the_device_that_is_there_and_stays_with_the_one_that_sent_it() {
    let fixture = Fixture::new().await;
    let reach = one_device(&[("alice", 2), ("bob", 8)]);
    let hi = Submission { reach, ..from_device(1, one("alice", &send(1, "direct:bob", "hi"))) };
    assert_eq!(seq(&fixture.decide(hi).await), 1);
    assert_eq!(fixture.gets("alice", 1).await, ["\"hi\""], "not the one where its user did something last");
    assert_eq!(fixture.found("alice", 2).await, [None]);
    assert_eq!(fixture.gets("bob", 8).await, ["\"hi\""]);
    assert_eq!(fixture.found("bob", 9).await, [None]);
}

#[tokio::test]
async fn with_no_device_there_it_goes_to_the_first_that_comes_and_to_that_one_again() {
    let fixture = Fixture::new().await;
    let hi = Submission { reach: one_device(&[]), ..one("alice", &send(1, "direct:bob", "hi")) };
    fixture.decide(hi).await;
    for number in [8, 9] {
        assert!(fixture.is_unclaimed("bob", number).await, "reading does not claim");
    }
    fixture.perform(claim("bob", 9)).await;
    fixture.perform(claim("bob", 8)).await;
    for _ in 0..2 {
        assert_eq!(fixture.gets("bob", 9).await, ["\"hi\""]);
        assert_eq!(fixture.found("bob", 8).await, [None]);
    }
}

#[tokio::test]
async fn a_claim_takes_what_lies_in_its_range_of_its_account_alone() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob", "cid"]).await;
    for number in 1..=3 {
        let hi = send(number, "group:team", &format!("{number}"));
        fixture.decide(Submission { reach: one_device(&[]), ..one("alice", &hi) }).await;
    }
    fixture.perform(Claim { after: Seq(1), until: Seq(2), ..claim("bob", 8) }).await;
    fixture.perform(claim("bob", 9)).await;
    assert!(fixture.is_unclaimed("cid", 9).await);
    // The first event says who is in the group, and is for all.
    let texts = |bodies: Vec<String>| bodies.into_iter().skip(1).collect::<Vec<_>>();
    assert_eq!(texts(fixture.gets("bob", 8).await), ["\"1\""]);
    assert_eq!(texts(fixture.gets("bob", 9).await), ["\"2\"", "\"3\""]);
}

#[tokio::test]
async fn each_member_of_a_group_gets_it_on_one_device_whatever_the_members_are_called() {
    let fixture = Fixture::new().await;
    let (odd, quoted) = ("[1] \" ' \\ ->> é", "null");
    fixture.put_group("team", &["alice", "bob", odd, quoted]).await;
    let reach = one_device(&[("bob", 1), (odd, 2), (quoted, 3)]);
    fixture.decide(Submission { reach, ..one("alice", &send(1, "group:team", "hi")) }).await;
    for (account, number) in [("alice", 7), ("bob", 1), (odd, 2), (quoted, 3)] {
        assert_eq!(fixture.gets(account, number).await.len(), 2, "{account}");
        assert_eq!(fixture.gets(account, 9).await.len(), 1, "{account}");
    }
}

#[tokio::test]
async fn what_the_back_end_sends_reaches_the_sender_only_if_it_is_wanted_and_somebody_is_there() {
    for (number, reach, include_sender, expected) in [
        (1, Reach::All, true, [true, true]),
        (2, Reach::All, false, [false, false]),
        (3, one_device(&[("alice", 1)]), true, [true, false]),
        (4, one_device(&[("alice", 1)]), false, [false, false]),
        (5, one_device(&[]), true, [false, false]),
        (6, one_device(&[]), false, [false, false]),
    ] {
        let fixture = Fixture::new().await;
        fixture.put_group("choir", &["alice"]).await;
        let before = fixture.log("alice").await.head;
        for (turn, conversation) in ["direct:bob", "group:choir"].into_iter().enumerate() {
            let hi = send(10 * number + turn as u8, conversation, "hi");
            let submission = Submission { include_sender, ..by_api("alice", &hi, reach.clone()) };
            let verdict = fixture.decide(submission.clone()).await;
            assert_eq!(fixture.decide(submission).await, verdict, "{number}: once");
            assert_eq!(seq(&verdict) > 0, expected[0], "{number}");
        }
        for (at, expected) in expected.into_iter().enumerate() {
            let got = fixture.gets("alice", at as u8 + 1).await.len() - before.0 as usize;
            assert_eq!(got, if expected { 2 } else { 0 }, "{number}, device {at}");
        }
        // Whoever comes later finds nothing that waits.
        assert!(!fixture.is_unclaimed("alice", 3).await, "{number}");
    }
}

#[tokio::test]
async fn a_reminder_to_oneself_waits_for_the_first_device() {
    let fixture = Fixture::new().await;
    fixture.decide(by_api("alice", &send(1, "direct:alice", "milk"), one_device(&[]))).await;
    assert!(fixture.is_unclaimed("alice", 1).await);
    fixture.perform(claim("alice", 1)).await;
    assert_eq!(fixture.gets("alice", 1).await, ["\"milk\""]);
}

#[tokio::test]
async fn what_becomes_of_a_message_is_for_the_device_that_the_message_is_for() {
    let fixture = Fixture::new().await;
    let reach = one_device(&[("bob", 8)]);
    for (number, reach) in [(1, reach), (2, one_device(&[])), (3, Reach::All)] {
        let hi = send(number, "direct:bob", &format!("{number}"));
        fixture.decide(Submission { reach, ..one("alice", &hi) }).await;
    }
    // The service is on again by now.
    for number in 1..=3 {
        fixture.accepted("alice", &at(1_000, edit(10 + number, number, "other"))).await;
        fixture.accepted("alice", &recall(20 + number, number)).await;
    }
    fixture.perform(claim("bob", 9)).await;
    let own = ["", "", "", "recalled", "recalled", "recalled", "recalled", "recalled", "recalled"];
    assert_eq!(fixture.gets("alice", 7).await, own);
    assert_eq!(fixture.gets("alice", 1).await, ["", "recalled", "recalled"], "of that for all");
    assert_eq!(fixture.gets("bob", 8).await, ["", "", "recalled", "recalled", "recalled", "recalled"]);
    assert_eq!(fixture.gets("bob", 9).await, ["", "", "recalled", "recalled", "recalled", "recalled"]);
    assert_eq!(fixture.gets("bob", 10).await, ["", "recalled", "recalled"]);
}

#[tokio::test]
async fn positions_and_counts_go_on_whichever_device_a_message_is_for() {
    let fixture = Fixture::new().await;
    for (number, reach) in
        [(1, Reach::All), (2, one_device(&[("bob", 8)])), (3, one_device(&[("bob", 9)])), (4, Reach::All)]
    {
        let hi = send(number, "direct:bob", "hi");
        fixture.decide(Submission { reach, ..one("alice", &hi) }).await;
    }
    fixture.accepted("bob", &mark_read(9, "direct:alice", 3)).await;
    let page = fixture.storage.page("bob", Seq(0), device(9)).await.unwrap();
    let counted = page.events.into_iter().filter_map(|event| match event.body? {
        event::Body::Message(message) => Some((message.position, message.inbound)),
        event::Body::Read(read) => Some((read.position, read.inbound)),
        _ => None,
    });
    assert_eq!(counted.collect::<Vec<_>>(), [(1, 1), (3, 3), (4, 4), (3, 3)]);
}

#[tokio::test]
async fn a_snapshot_and_history_have_what_is_for_the_device_that_asks() {
    let fixture = Fixture::new().await;
    for (number, reach) in [
        (1, Reach::All),
        (2, one_device(&[("bob", 8)])),
        (3, one_device(&[("bob", 9)])),
        (4, Reach::All),
        (5, one_device(&[("bob", 8)])),
    ] {
        let hi = send(number, "direct:bob", &format!("{number}"));
        fixture.decide(Submission { reach, ..one("alice", &hi) }).await;
    }
    let first = send(6, "direct:bob", "6");
    fixture.decide(Submission { reach: one_device(&[]), ..one("carla", &first) }).await;
    let positions = |bodies: Vec<event::Body>| -> Vec<(String, u64)> {
        let place = |body| match body {
            event::Body::Message(message) => Some((message.conversation, message.position)),
            _ => None,
        };
        bodies.into_iter().filter_map(place).collect()
    };
    let alices = |positions: &[u64]| -> Vec<(String, u64)> {
        positions.iter().map(|position| ("direct:alice".to_owned(), *position)).collect()
    };
    // The last one comes with the list, the others follow from the last on.
    for (number, expected) in [(8, vec![5, 4, 2, 1]), (9, vec![4, 4, 3, 1]), (10, vec![4, 4, 1])] {
        let found = positions(fixture.snapshot_for("bob", reader(number), 0).await.0);
        assert_eq!(found, alices(&expected), "device {number}");
        let history = fixture.history_for("bob", reader(number), "direct:alice", (1, 5)).await;
        let mut there: Vec<u64> = history.messages.iter().map(|message| message.position).collect();
        there.reverse();
        assert_eq!(there.first(), expected.first());
        assert_eq!(there[1..], expected[expected.len() - there.len() + 1..], "device {number}");
    }
    // What waits is nobody's until somebody comes.
    fixture.perform(claim("bob", 9)).await;
    let list = |number| fixture.snapshot_for("bob", reader(number), u64::MAX >> 1);
    assert_eq!(positions(list(9).await.0), [("direct:alice".to_owned(), 4), ("direct:carla".to_owned(), 1)]);
    assert_eq!(positions(list(8).await.0), alices(&[5]));

    // Without compensation there are no days and no history, only what is for the device.
    for (number, expected) in [(8, vec![5, 2]), (9, vec![3]), (10, vec![])] {
        let alone = Reader { compensated: false, ..reader(number) };
        let mut found = positions(fixture.snapshot_for("bob", alone, u64::MAX >> 1).await.0);
        found.retain(|(conversation, _)| conversation == "direct:alice");
        found.dedup();
        assert_eq!(found, alices(&expected), "device {number}");
        assert_eq!(fixture.history_for("bob", alone, "direct:alice", (1, 5)).await.messages, []);
    }
}
