use super::*;

fn id_text(id: u8) -> String {
    OperationId::from([id; 16]).to_string()
}

/// The drafts of a target, from every event that says something of it.
async fn drafts(fixture: &Fixture, account: &str) -> Vec<(String, Option<Bytes>)> {
    let pick = |body| if let event::Body::Fields(fields) = body { Some(fields) } else { None };
    let told = fixture.bodies(account, pick).await.into_iter();
    let draft = |fields: &[wire::Field]| {
        fields.iter().find(|field| field.name == "draft").map(|field| field.value.clone())
    };
    told.map(|fields| (fields.target, draft(&fields.fields))).collect()
}

#[tokio::test]
async fn a_recall_takes_the_content_from_all_who_have_it_and_all_who_come_back() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob", "carol"]).await;
    fixture.accepted("alice", &send(1, "group:team", "secret")).await;
    fixture.accepted("alice", &edit(2, 1, "more secret")).await;
    assert_eq!(fixture.accepted("alice", &recall(3, 1)).await, 4);
    for account in ["alice", "bob", "carol"] {
        let [message] = &fixture.messages(account).await[..] else { panic!() };
        assert_eq!((message.content.as_ref(), message.recalled), (&b""[..], true));
        assert_eq!((message.position, message.sender.as_str()), (1, "alice"));
        let changed = fixture.changed(account).await;
        assert_eq!(changed, [message.clone(), message.clone()]);
        let log = fixture.log(account).await;
        assert_eq!((log.head, log.events[3].operation.as_ref()), (Seq(4), &[3; 16][..]));
    }
}

#[tokio::test]
async fn a_recall_is_terminal() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "secret")).await;
    let recalled = recall(2, 1);
    assert_eq!(fixture.accepted("alice", &recalled).await, 2);
    assert_eq!(fixture.accepted("alice", &edit(3, 1, "back")).await, 0);
    assert_eq!(fixture.accepted("alice", &recall(4, 1)).await, 0);
    assert_eq!(fixture.accepted("alice", &recalled).await, 2);
    assert_eq!(fixture.accepted("alice", &send(1, "direct:bob", "secret")).await, 1, "its receipt stands");
    for account in ["alice", "bob"] {
        assert_eq!(fixture.log(account).await.head, Seq(2));
        assert_eq!(fixture.messages(account).await[0].content, "");
    }
    // The window decides on what can still be recalled, and this was.
    let late = Submission {
        recall_window: Some(Duration::from_secs(1)),
        now: Millis(900_000),
        ..one("alice", &recall(5, 1))
    };
    assert_eq!(seq(&fixture.decide(late).await), 0);
}

#[tokio::test]
async fn a_recalled_message_is_still_read_and_counted() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "one")).await;
    fixture.accepted("alice", &recall(2, 1)).await;
    fixture.accepted("alice", &send(3, "direct:bob", "two")).await;
    assert_eq!(fixture.messages("bob").await[1].position, 2);
    assert_eq!(fixture.accepted("bob", &mark_read(4, "direct:alice", 1)).await, 4);
}

#[tokio::test]
async fn a_message_can_be_recalled_within_the_window_alone() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "one")).await;
    let recall_at = |now, seconds| Submission {
        recall_window: Some(Duration::from_secs(seconds)),
        now: Millis(now),
        ..one("alice", &recall(2, 1))
    };
    let refused = refusal(&fixture.decide(recall_at(121_001, 120)).await);
    assert_eq!(refused.code, Code::Forbidden);
    assert!(refused.message.contains("120 s"), "{}", refused.message);
    assert_eq!(fixture.messages("bob").await[0].content, "\"one\"");
    assert_eq!(seq(&fixture.decide(recall_at(121_000, 120)).await), 2);

    fixture.accepted("alice", &send(3, "direct:bob", "two")).await;
    let mut unbounded = one("alice", &recall(4, 3));
    unbounded.now = Millis(u64::MAX >> 20);
    assert_eq!(seq(&fixture.decide(unbounded).await), 4);
}

#[tokio::test]
async fn drafts_that_mention_a_recalled_message_go_with_it() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob", "carol"]).await;
    fixture.accepted("alice", &send(1, "group:team", "secret")).await;
    fixture.accepted("alice", &send(2, "group:team", "other")).await;
    let answer = format!("\"{{\\\"answers\\\":\\\"{}\\\",\\\"quote\\\":\\\"secret\\\"}}\"", id_text(1));
    let mentions_other = format!("\"{}\"", id_text(2));
    fixture.accepted("bob", &set(3, "group:team", &[("draft", &answer), ("muted", "true")])).await;
    fixture.accepted("bob", &set(4, "direct:alice", &[("draft", &answer)])).await;
    fixture.accepted("carol", &set(5, "group:team", &[("draft", &mentions_other)])).await;
    fixture.accepted("dave", &set(6, "direct:alice", &[("draft", &answer)])).await;
    let mut recalled = one("alice", &recall(7, 1));
    recalled.now = Millis(2_000);
    fixture.decide(recalled).await;

    let log = fixture.log("bob").await;
    let Some(event::Body::Fields(fields)) = &log.events.last().unwrap().body else { panic!() };
    assert_eq!(fields.target, "group:team");
    assert_eq!(fields.fields, [wire::Field { name: "muted".into(), value: "true".into() }]);
    assert_eq!((fields.updated_at, fields.device.as_ref()), (2_000, &b""[..]));
    assert_eq!(log.events.last().unwrap().operation, "", "the server's own doing");
    assert_eq!(log.events.len(), 7);
    assert_eq!(log.events[3].body, None, "what the draft was is told no more");
    // In another conversation the message is not, nor is it with who does not have it.
    let answer = Some(Bytes::from(answer));
    assert_eq!(
        drafts(&fixture, "bob").await,
        [("direct:alice".to_owned(), answer.clone()), ("group:team".to_owned(), None)]
    );
    assert_eq!(drafts(&fixture, "carol").await, [("group:team".to_owned(), Some(mentions_other.into()))]);
    assert_eq!(drafts(&fixture, "dave").await, [("direct:alice".to_owned(), answer)]);
    assert_eq!(fixture.log("carol").await.head, Seq(5));
}

#[tokio::test]
async fn a_removed_draft_comes_back_by_no_older_set() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "secret")).await;
    let draft = format!("\"{}\"", id_text(1));
    fixture.accepted("bob", &at(5, set(2, "direct:alice", &[("draft", &draft)]))).await;
    fixture.accepted("alice", &recall(3, 1)).await;
    assert_eq!(
        fixture.accepted_from(9, "bob", &at(4, set(4, "direct:alice", &[("draft", &draft)]))).await,
        0
    );
    assert_eq!(fixture.accepted("bob", &at(6, set(5, "direct:alice", &[("draft", "\"new\"")]))).await, 5);
    assert_eq!(drafts(&fixture, "bob").await, [("direct:alice".to_owned(), Some("\"new\"".into()))]);
}
