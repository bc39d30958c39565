use super::*;

/// What a message says, wherever an account reads it.
async fn said(fixture: &Fixture, account: &str) -> Vec<Bytes> {
    let messages = fixture.messages(account).await.into_iter().chain(fixture.changed(account).await);
    messages.map(|message| message.content).collect()
}

#[tokio::test]
async fn an_edit_reaches_everyone_who_has_the_message_and_is_what_earlier_entries_say() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob", "carol"]).await;
    fixture.accepted("alice", &send(1, "group:team", "helo")).await;
    let mut late = one("alice", &edit(2, 1, "hello"));
    late.now = Millis(5_000);
    assert_eq!(seq(&fixture.decide(late).await), 3);
    for (account, device) in [("alice", &[7; 16][..]), ("bob", &[]), ("carol", &[])] {
        let [message] = &fixture.messages(account).await[..] else { panic!() };
        let [changed] = &fixture.changed(account).await[..] else { panic!() };
        assert_eq!(message, changed);
        assert_eq!((message.content.as_ref(), message.device.as_ref()), (&b"\"hello\""[..], device));
        assert_eq!((message.position, message.sent_at, message.edited_at), (1, 1_000, 5_000));
        let log = fixture.log(account).await;
        assert_eq!((log.head, log.events[2].operation.as_ref()), (Seq(3), &[2; 16][..]));
    }
}

#[tokio::test]
async fn an_edit_takes_no_place_and_leaves_reading_alone() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "one")).await;
    fixture.accepted("alice", &edit(2, 1, "won")).await;
    fixture.accepted("alice", &send(3, "direct:bob", "two")).await;
    let places: Vec<_> =
        fixture.messages("bob").await.iter().map(|message| (message.position, message.inbound)).collect();
    assert_eq!(places, [(1, 1), (2, 2)]);
    assert_eq!(fixture.accepted("bob", &mark_read(4, "direct:alice", 9)).await, 4);
}

#[tokio::test]
async fn of_one_device_the_last_edit_holds() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    for (clock, id) in [(5, 10), (3, 11)] {
        assert!(fixture.accepted("alice", &at(clock, edit(id, 1, &id.to_string()))).await > 0);
    }
    assert_eq!(fixture.accepted_from(9, "alice", &at(4, edit(12, 1, "12"))).await, 0);
    let said = said(&fixture, "bob").await;
    assert!(said.iter().all(|content| content == "\"11\""), "{said:?}");
}

#[tokio::test]
async fn edits_end_the_same_in_every_order() {
    // Clock and device; the third wins.
    let edits = [(5, 3), (4, 9), (6, 2), (6, 1)];
    for first in 0..4 {
        let fixture = Fixture::new().await;
        fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
        let mut latest = (0, 0);
        for number in (0..4).map(|number| (first + number) % 4) {
            let (clock, device) = edits[number];
            let operation = at(clock, edit(10 + number as u8, 1, &number.to_string()));
            let verdict = fixture.decide(from_device(device, one("alice", &operation))).await;
            assert_eq!(seq(&verdict) > 0, (clock, device) > latest, "{first} {number}");
            latest = latest.max((clock, device));
        }
        let said = said(&fixture, "bob").await;
        assert!(said.iter().all(|content| content == "\"2\""), "{first}: {said:?}");
    }
}

#[tokio::test]
async fn an_edit_through_the_api_gives_way_to_one_of_a_device() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    let by_api = |id| Submission { source: Source::BackEnd, ..one("alice", &edit(id, 1, "api")) };
    assert_eq!(seq(&fixture.decide(by_api(2)).await), 2);
    assert_eq!(fixture.accepted("alice", &edit(3, 1, "device")).await, 3);
    assert_eq!(seq(&fixture.decide(by_api(4)).await), 0);
    assert_eq!(fixture.messages("bob").await[0].content, "\"device\"");
}

#[tokio::test]
async fn the_same_device_may_edit_again_at_the_same_moment() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    assert_eq!(fixture.accepted("alice", &edit(2, 1, "one")).await, 2);
    assert_eq!(fixture.accepted("alice", &edit(3, 1, "two")).await, 3);
    assert_eq!(fixture.messages("bob").await[0].content, "\"two\"");
}

#[tokio::test]
async fn only_the_sender_edits_and_who_has_nothing_of_it_learns_nothing() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    assert_eq!(fixture.refused("bob", &edit(2, 1, "ho")).await, Code::Forbidden);
    assert_eq!(fixture.refused("bob", &recall(2, 1)).await, Code::Forbidden);
    for body in [edit, |id, message, _: &str| recall(id, message)] {
        let there = fixture.decide(one("mallory", &body(3, 1, "ho"))).await;
        let nowhere = fixture.decide(one("mallory", &body(3, 99, "ho"))).await;
        assert_eq!(refusal(&there).code, Code::NotFound);
        assert_eq!(there, nowhere);
    }
    assert_eq!(said(&fixture, "bob").await, ["\"hi\""]);
    assert_eq!(fixture.log("mallory").await.head, Seq(0));
}

#[tokio::test]
async fn a_sender_edits_also_what_the_own_log_does_not_hold() {
    let fixture = Fixture::new().await;
    let mut hidden = one("alice", &send(1, "direct:bob", "hi"));
    hidden.include_sender = false;
    fixture.decide(hidden).await;
    assert_eq!(fixture.accepted("alice", &edit(2, 1, "ho")).await, 0);
    assert_eq!(said(&fixture, "bob").await, ["\"ho\"", "\"ho\""]);
    assert_eq!(fixture.accepted("alice", &recall(3, 1)).await, 0);
    assert_eq!(fixture.changed("bob").await.len(), 2);
    assert_eq!(fixture.log("alice").await.head, Seq(0));
}

#[tokio::test]
async fn a_clock_far_ahead_is_refused_with_the_time_but_decides_nothing_elsewhere() {
    let fixture = Fixture::new().await;
    let believed = Timestamp::at(Millis(1_000 + limits::CLOCK_AHEAD)).0 | 0xffff;
    let ahead = believed + 1;
    assert_eq!(fixture.accepted("alice", &at(u64::MAX, send(1, "direct:bob", "hi"))).await, 1);
    for operation in [edit(2, 1, "ho"), set(2, "session:a", &[("x", "1")])] {
        for clock in [ahead, u64::MAX] {
            let refusal = refusal(&fixture.decide(one("alice", &at(clock, operation.clone()))).await);
            assert_eq!(refusal.code, Code::Invalid);
            assert!(refusal.message.contains("1000"), "{}", refusal.message);
        }
    }
    assert_eq!(fixture.accepted("alice", &at(believed, edit(2, 1, "ho"))).await, 2);
    assert_eq!(fixture.accepted("bob", &at(u64::MAX, mark_read(3, "direct:alice", 1))).await, 3);
    assert_eq!(fixture.accepted("alice", &at(u64::MAX, recall(4, 1))).await, 4);
}

#[tokio::test]
async fn the_same_edit_again_takes_effect_once_and_another_under_its_id_is_a_conflict() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    assert_eq!(fixture.accepted("alice", &edit(2, 1, "ho")).await, 2);
    assert_eq!(fixture.accepted("alice", &edit(3, 1, "hm")).await, 3);
    assert_eq!(fixture.accepted("alice", &at(9, edit(2, 1, "ho"))).await, 2);
    for other in [edit(2, 1, "hey"), edit(1, 1, "hi"), recall(2, 1), set(2, "session:a", &[("x", "1")])] {
        assert_eq!(fixture.refused("alice", &other).await, Code::Conflict);
    }
    assert_eq!(fixture.messages("bob").await[0].content, "\"hm\"");
    assert_eq!(fixture.changed("bob").await.len(), 2);
}
