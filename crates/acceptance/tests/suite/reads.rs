use super::*;

/// What an account was told of the others' reading: conversation, reader, position.
async fn told(fixture: &Fixture, account: &str) -> Vec<(String, String, u64)> {
    let pick = |body| if let event::Body::ReadBy(read_by) = body { Some(read_by) } else { None };
    let told = fixture.bodies(account, pick).await.into_iter();
    told.map(|read_by| (read_by.conversation, read_by.account, read_by.position)).collect()
}

fn read_by(conversation: &str, account: &str, positions: &[u64]) -> Vec<(String, String, u64)> {
    positions.iter().map(|&position| (conversation.to_owned(), account.to_owned(), position)).collect()
}

fn hidden(submission: Submission) -> Submission {
    Submission { hide_reads: true, ..submission }
}

fn unseen_by_sender(submission: Submission) -> Submission {
    Submission { include_sender: false, ..submission }
}

#[tokio::test]
async fn the_other_learns_how_far_one_has_read_and_only_when_it_grows() {
    let fixture = Fixture::new().await;
    for id in 1..=3 {
        fixture.accepted("alice", &send(id, "direct:bob", "hi")).await;
    }
    for (id, position) in [(4, 2), (5, 2), (6, 1), (7, 99), (8, 99)] {
        fixture.accepted("bob", &mark_read(id, "direct:alice", position)).await;
    }
    assert_eq!(told(&fixture, "alice").await, read_by("direct:bob", "bob", &[2, 3]));
    assert_eq!(told(&fixture, "bob").await, []);
    let log = fixture.log("alice").await;
    assert_eq!(log.head, Seq(5));
    assert_eq!(log.events[3].operation, "", "the server's own doing");
    // The same again is the same.
    fixture.accepted("bob", &mark_read(4, "direct:alice", 2)).await;
    assert_eq!(fixture.log("alice").await.head, Seq(5));
}

#[tokio::test]
async fn what_one_has_sent_oneself_counts_and_reading_alone_tells_nobody() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    fixture.accepted("bob", &send(2, "direct:alice", "ho")).await;
    fixture.accepted("bob", &mark_read(3, "direct:alice", 2)).await;
    assert_eq!(told(&fixture, "alice").await, read_by("direct:bob", "bob", &[2]));
    fixture.accepted("alice", &send(4, "direct:alice", "note")).await;
    fixture.accepted("alice", &mark_read(5, "direct:alice", 1)).await;
    assert_eq!(told(&fixture, "alice").await.len(), 1);
}

#[tokio::test]
async fn members_learn_it_in_their_own_positions() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob"]).await;
    fixture.accepted("alice", &send(1, "group:team", "one")).await;
    fixture.accepted("alice", &send(2, "group:team", "two")).await;
    fixture.put_group("team", &["alice", "bob", "carol"]).await;
    fixture.accepted("alice", &send(3, "group:team", "three")).await;
    // Bob has one more than the others here, and alice one less.
    fixture.decide(unseen_by_sender(one("alice", &send(4, "group:team", "four")))).await;
    fixture.accepted("carol", &send(5, "group:team", "five")).await;

    fixture.accepted("bob", &mark_read(6, "group:team", 2)).await;
    assert_eq!(told(&fixture, "alice").await, read_by("group:team", "bob", &[2]));
    assert_eq!(told(&fixture, "carol").await, [], "carol was not there yet");
    fixture.accepted("bob", &mark_read(7, "group:team", 3)).await;
    fixture.accepted("bob", &mark_read(8, "group:team", 4)).await;
    assert_eq!(told(&fixture, "alice").await, read_by("group:team", "bob", &[2, 3]));
    assert_eq!(told(&fixture, "carol").await, read_by("group:team", "bob", &[1, 2]));
    fixture.accepted("bob", &mark_read(9, "group:team", 5)).await;
    assert_eq!(told(&fixture, "alice").await, read_by("group:team", "bob", &[2, 3, 4]));
    assert_eq!(told(&fixture, "carol").await, read_by("group:team", "bob", &[1, 2, 3]));
    fixture.accepted("carol", &mark_read(10, "group:team", 2)).await;
    assert_eq!(told(&fixture, "alice").await.last(), read_by("group:team", "carol", &[3]).last());
    assert_eq!(told(&fixture, "bob").await, read_by("group:team", "carol", &[4]));
}

#[tokio::test]
async fn whoever_does_not_have_the_last_learns_of_the_last_that_both_have() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "one")).await;
    for id in 2..=4 {
        fixture.decide(unseen_by_sender(one("alice", &send(id, "direct:bob", "more")))).await;
    }
    fixture.accepted("bob", &mark_read(5, "direct:alice", 4)).await;
    assert_eq!(told(&fixture, "alice").await, read_by("direct:bob", "bob", &[1]));
    // Whom nothing of it was ever shown to has nothing to learn.
    fixture.decide(unseen_by_sender(one("carol", &send(6, "direct:bob", "hi")))).await;
    fixture.accepted("bob", &mark_read(7, "direct:carol", 1)).await;
    assert_eq!(fixture.log("carol").await.head, Seq(0));
    fixture.accepted("carol", &send(8, "direct:bob", "ho")).await;
    fixture.accepted("bob", &mark_read(9, "direct:carol", 2)).await;
    assert_eq!(told(&fixture, "carol").await, read_by("direct:bob", "bob", &[1]));
}

#[tokio::test]
async fn who_hides_it_is_not_told_of_and_what_is_shown_later_is_where_they_are() {
    let fixture = Fixture::new().await;
    for id in 1..=3 {
        fixture.accepted("alice", &send(id, "direct:bob", "hi")).await;
    }
    let read = mark_read(4, "direct:alice", 2);
    assert_eq!(seq(&fixture.decide(hidden(one("bob", &read))).await), 4, "the own devices are told");
    assert_eq!(told(&fixture, "alice").await, []);
    assert_eq!(fixture.accepted("bob", &read).await, 4, "hiding is no part of what was said");
    assert_eq!(told(&fixture, "alice").await, [], "and what was hidden stays so when it is sent again");
    // What is shown next may be to a message that only bob has: then what was hidden is the last one.
    fixture.decide(unseen_by_sender(one("alice", &send(5, "direct:bob", "hi")))).await;
    fixture.accepted("bob", &mark_read(6, "direct:alice", 4)).await;
    assert_eq!(told(&fixture, "alice").await, read_by("direct:bob", "bob", &[3]));
}

#[tokio::test]
async fn large_groups_and_those_who_have_left_are_not_told() {
    let fixture = Fixture::new().await;
    let names: Vec<String> = (0..=limits::READERS).map(|number| format!("member {number}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    fixture.put_group("team", &members).await;
    fixture.accepted("member 0", &send(1, "group:team", "hi")).await;
    fixture.accepted("member 0", &send(2, "group:team", "hi")).await;
    fixture.accepted("member 1", &mark_read(3, "group:team", 1)).await;
    assert_eq!(told(&fixture, "member 0").await, []);
    fixture.put_group("team", &members[..limits::READERS]).await;
    fixture.accepted("member 1", &mark_read(4, "group:team", 2)).await;
    for (number, member) in members.iter().enumerate() {
        let expected = match number {
            1 | limits::READERS => vec![],
            _ => read_by("group:team", "member 1", &[2]),
        };
        assert_eq!(told(&fixture, member).await, expected, "{member}");
    }
    let gone = members[limits::READERS];
    fixture.accepted(gone, &mark_read(5, "group:team", 2)).await;
    assert_eq!(told(&fixture, "member 0").await.len(), 1, "who has left reads alone");
}
