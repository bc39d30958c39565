//! What a device that has no copy gets, what it asks for beyond that, and what is no longer kept.

use tutti_acceptance::{
    history::{Trim, history, snapshot},
    storage::AccountKey,
};

use super::*;

const DAY: u64 = 24 * 60 * 60 * 1_000;
const NOTHING: [u64; 0] = [];

impl Fixture {
    /// Accepts an operation at a time of its own.
    pub(super) async fn accepted_at(&self, now: u64, account: &str, operation: &wire::Operation) -> u64 {
        seq(&self.decide(Submission { now: Millis(now), ..one(account, operation) }).await)
    }

    /// All pages of a snapshot, as many events each as were on it.
    async fn snapshot(&self, account: &str, from: u64) -> (Vec<event::Body>, Vec<usize>) {
        self.snapshot_for(account, reader(7), from).await
    }

    pub(crate) async fn snapshot_for(
        &self,
        account: &str,
        reader: Reader,
        from: u64,
    ) -> (Vec<event::Body>, Vec<usize>) {
        let (mut place, mut bodies, mut pages) = (None, Vec::new(), Vec::new());
        loop {
            let head = self.storage.head(account).await.unwrap();
            let page = snapshot(&*self.storage, account, reader, head, (place, Millis(from))).await.unwrap();
            assert_eq!((page.from, page.cursor), (from, head.0));
            pages.push(page.events.len());
            bodies.extend(page.events.into_iter().filter_map(|event| event.body));
            place = page.next;
            if place.is_none() {
                return (bodies, pages);
            }
        }
    }

    async fn history(&self, account: &str, conversation: &str, from: u64, to: u64) -> wire::History {
        self.history_for(account, reader(7), conversation, (from, to)).await
    }

    pub(crate) async fn history_for(
        &self,
        account: &str,
        reader: Reader,
        conversation: &str,
        (from, to): (u64, u64),
    ) -> wire::History {
        let conversation = conversation.to_owned();
        let pull = wire::PullHistory { conversation, from, to };
        history(&*self.storage, account, reader, pull).await.unwrap()
    }

    /// Trims the logs of all accounts, and answers in how many steps before the last.
    pub(super) async fn trim(&self, before: u64) -> usize {
        let (mut after, mut steps) = (AccountKey(-1), 0);
        loop {
            let trimmed = self.perform(Trim { after, before: Millis(before) }).await;
            let Some(next) = trimmed.next else {
                return steps;
            };
            (after, steps) = (next, steps + 1);
        }
    }
}

/// Where messages stand, and what they say.
fn places(bodies: &[event::Body]) -> Vec<(&str, u64)> {
    let messages = bodies.iter().filter_map(|body| match body {
        event::Body::Message(message) => Some(message),
        _ => None,
    });
    messages.map(|message| (message.conversation.as_str(), message.position)).collect()
}

fn positions(history: &wire::History) -> Vec<u64> {
    history.messages.iter().map(|message| message.position).collect()
}

fn id(number: u64) -> wire::Operation {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    wire::Operation { id: Bytes::copy_from_slice(&id), clock: 1, body: None }
}

pub(super) fn send_numbered(number: u64, conversation: &str, text: &str) -> wire::Operation {
    wire::Operation { body: send(0, conversation, text).body, ..id(number) }
}

#[tokio::test]
async fn a_snapshot_tells_how_all_is_now() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob", "carla"]).await;
    fixture.put_group("team", &["alice", "bob"]).await;
    fixture.accepted("alice", &send(1, "direct:bob", "one")).await;
    fixture.accepted("bob", &send(2, "direct:alice", "two")).await;
    fixture.accepted("alice", &mark_read(3, "direct:bob", 1)).await;
    fixture.accepted("alice", &mark_read(4, "direct:bob", 2)).await;
    fixture.accepted("bob", &mark_read(5, "direct:alice", 1)).await;
    fixture.accepted("alice", &edit(6, 1, "uno")).await;
    fixture.accepted("alice", &set(7, "direct:bob", &[("muted", "true")])).await;
    fixture.accepted("alice", &set(8, "session:track", &[("time", "7")])).await;
    let (bodies, pages) = fixture.snapshot("alice", u64::MAX >> 1).await;
    assert_eq!(pages.len(), 1);
    let [
        event::Body::Message(last),
        event::Body::Read(read),
        event::Body::ReadBy(read_by),
        event::Body::Members(members),
        event::Body::Fields(settings),
        event::Body::Fields(session),
    ] = &bodies[..]
    else {
        panic!("{bodies:?}")
    };
    assert_eq!(
        (last.conversation.as_str(), last.position, &last.content[..]),
        ("direct:bob", 2, &b"\"two\""[..])
    );
    assert_eq!((read.position, read.inbound), (2, 1));
    assert_eq!((read_by.account.as_str(), read_by.position), ("bob", 1));
    assert_eq!(members.members, ["alice", "bob"]);
    assert_eq!((settings.target.as_str(), &settings.fields[0].value[..]), ("direct:bob", &b"true"[..]));
    assert_eq!(session.target, "session:track");
    assert_eq!(fixture.snapshot("nobody", 0).await.0, []);
}

#[tokio::test]
async fn the_list_comes_first_and_then_the_days() {
    let fixture = Fixture::new().await;
    let mut number = 0;
    for other in ["bob", "carla", "dora"] {
        for day in 1..=10 {
            number += 1;
            let conversation = format!("direct:{other}");
            let late = if other == "dora" { 0 } else { 5 * DAY };
            fixture.accepted_at(late + day * DAY, "alice", &send_numbered(number, &conversation, "x")).await;
        }
    }
    let (bodies, _) = fixture.snapshot("alice", 13 * DAY).await;
    let list = [("direct:bob", 10), ("direct:carla", 10), ("direct:dora", 10)];
    let days = [("direct:bob", 9), ("direct:bob", 8), ("direct:carla", 9), ("direct:carla", 8)];
    assert_eq!(places(&bodies), [&list[..], &days[..]].concat());
}

#[tokio::test]
async fn a_large_snapshot_comes_in_pages_that_frames_take() {
    let fixture = Fixture::new().await;
    let text = "x".repeat(30_000);
    for number in 1..=40 {
        let conversation = format!("direct:friend {}", number % 4);
        fixture.accepted("alice", &send_numbered(number, &conversation, &text)).await;
    }
    for number in 41..=400 {
        fixture.accepted("alice", &send_numbered(number, &format!("direct:friend {number}"), "x")).await;
    }
    let (bodies, pages) = fixture.snapshot("alice", 0).await;
    assert!(pages.len() > 3, "{pages:?}");
    let mut places = places(&bodies);
    assert_eq!(places.len(), 400);
    places.dedup();
    assert_eq!(places.len(), 400);
}

#[tokio::test]
async fn history_is_found_by_its_positions() {
    let fixture = Fixture::new().await;
    for number in 1..=200 {
        fixture.accepted("alice", &send_numbered(number, "direct:bob", "x")).await;
    }
    assert_eq!(positions(&fixture.history("alice", "direct:bob", 40, 42).await), [40, 41, 42]);
    let all: Vec<u64> = (1..=200).collect();
    assert_eq!(positions(&fixture.history("alice", "direct:bob", 1, 1_000).await), all);
    assert_eq!(positions(&fixture.history("alice", "direct:bob", 201, u64::MAX).await), NOTHING);
    // What is another's is as if it were not there.
    assert_eq!(positions(&fixture.history("carla", "direct:bob", 1, 10).await), NOTHING);
    assert_eq!(positions(&fixture.history("bob", "direct:bob", 1, 10).await), NOTHING);
}

#[tokio::test]
async fn long_messages_come_in_several_answers_the_last_ones_first() {
    let fixture = Fixture::new().await;
    let text = "x".repeat(30_000);
    for number in 1..=20 {
        fixture.accepted("alice", &send_numbered(number, "direct:bob", &text)).await;
    }
    let mut to = 20;
    let mut answers = 0;
    while to > 0 {
        let answer = fixture.history("bob", "direct:alice", 1, to).await;
        assert_eq!(positions(&answer), (answer.from..=to).collect::<Vec<_>>());
        (to, answers) = (answer.from - 1, answers + 1);
    }
    assert!(answers > 1, "{answers}");
}

#[tokio::test]
async fn what_is_too_old_goes_but_the_last_message_of_each_conversation() {
    let fixture = Fixture::new().await;
    for number in 1..=10 {
        fixture.accepted_at(number * DAY, "alice", &send_numbered(number, "direct:bob", "x")).await;
    }
    fixture.accepted_at(DAY, "alice", &send_numbered(11, "direct:carla", "x")).await;
    fixture.accepted_at(10 * DAY, "alice", &send_numbered(12, "direct:dora", "x")).await;
    fixture.accepted_at(11 * DAY, "alice", &set(13, "session:track", &[("time", "7")])).await;
    fixture.trim(6 * DAY).await;
    // The message to carla was written after younger ones.
    assert_eq!(fixture.storage.tail("alice").await.unwrap(), Seq(5));
    assert_eq!(fixture.storage.page("alice", Seq(4), device(7)).await.unwrap().events, []);
    let page = fixture.storage.page("alice", Seq(5), device(7)).await.unwrap();
    assert_eq!((page.events.len(), page.next, page.head), (8, Seq(13), Seq(13)));
    assert_eq!(positions(&fixture.history("alice", "direct:bob", 1, 10).await), [6, 7, 8, 9, 10]);
    assert_eq!(positions(&fixture.history("bob", "direct:alice", 1, 10).await), [6, 7, 8, 9, 10]);
    fixture.trim(20 * DAY).await;
    let (bodies, _) = fixture.snapshot("alice", 0).await;
    assert_eq!(places(&bodies), [("direct:bob", 10), ("direct:carla", 1), ("direct:dora", 1)]);
    // What came after the last message is as young as it is.
    assert_eq!(fixture.storage.tail("alice").await.unwrap(), Seq(12));
    assert_eq!(fixture.storage.page("alice", Seq(12), device(7)).await.unwrap().events.len(), 1);
    // Once there is a later one, the last goes with the others.
    fixture.accepted_at(30 * DAY, "alice", &send_numbered(14, "direct:carla", "y")).await;
    assert_eq!(positions(&fixture.history("alice", "direct:carla", 1, 2).await), [2]);
    fixture.trim(40 * DAY).await;
    assert_eq!(positions(&fixture.history("carla", "direct:alice", 1, 2).await), [2]);
}

#[tokio::test]
async fn long_logs_are_trimmed_in_steps() {
    let fixture = Fixture::new().await;
    for number in 1..=1_300 {
        fixture.accepted_at(number, "alice", &send_numbered(number, "direct:alice", "x")).await;
    }
    fixture.trim(1_200).await;
    assert_eq!(fixture.storage.tail("alice").await.unwrap(), Seq(1_199));
    assert!(fixture.trim(1_300).await > 0);
    assert_eq!(fixture.trim(1_300).await, 0);
}

#[tokio::test]
async fn what_is_no_longer_kept_cannot_be_changed_nor_sent_again() {
    let fixture = Fixture::new().await;
    fixture.accepted_at(DAY, "alice", &send(1, "direct:bob", "one")).await;
    fixture.accepted_at(2 * DAY, "alice", &send(2, "direct:bob", "two")).await;
    fixture.accepted_at(9 * DAY, "alice", &edit(3, 1, "uno")).await;
    fixture.trim(5 * DAY).await;
    assert_eq!(fixture.refused("alice", &edit(4, 1, "ein")).await, Code::NotFound);
    assert_eq!(fixture.refused("alice", &recall(5, 1)).await, Code::NotFound);
    assert_eq!(fixture.accepted("alice", &send(1, "direct:bob", "one")).await, 1);
    assert_eq!(fixture.refused("bob", &send(1, "direct:alice", "one")).await, Code::Conflict);
    // That it was edited is still in the log, and says nothing.
    let page = fixture.storage.page("bob", Seq(2), device(7)).await.unwrap();
    assert_eq!(page.events.into_iter().map(|event| event.body).collect::<Vec<_>>(), [None]);
    // The last message is there like any.
    fixture.accepted("alice", &edit(6, 2, "due")).await;
    assert_eq!(&fixture.history("bob", "direct:alice", 1, 2).await.messages[0].content[..], b"\"due\"");
}

#[tokio::test]
async fn what_is_no_longer_kept_is_read_together() {
    let fixture = Fixture::new().await;
    for number in 1..=6 {
        let from = if number == 4 { "bob" } else { "alice" };
        let to = if number == 4 { "direct:alice" } else { "direct:bob" };
        fixture.accepted_at(number * DAY, from, &send_numbered(number, to, "x")).await;
    }
    fixture.trim(5 * DAY).await;
    fixture.accepted("bob", &mark_read(7, "direct:alice", 2)).await;
    let (bodies, _) = fixture.snapshot("bob", u64::MAX >> 1).await;
    let read = bodies.iter().find_map(|body| match body {
        event::Body::Read(read) => Some((read.position, read.inbound)),
        _ => None,
    });
    assert_eq!(read, Some((4, 3)));
}
