use super::*;

/// What the log says of fields, event by event; `None` where a later event says it.
async fn told(fixture: &Fixture, account: &str) -> Vec<Option<wire::Fields>> {
    let events = fixture.log(account).await.events.into_iter();
    let fields = events.filter_map(|event| match event.body {
        Some(event::Body::Fields(fields)) => Some(Some(fields)),
        None => Some(None),
        _ => None,
    });
    fields.collect()
}

/// The fields of a target as they are.
async fn present(fixture: &Fixture, account: &str, target: &str) -> Vec<(String, Bytes)> {
    let all = told(fixture, account).await.into_iter().flatten();
    let of_target: Vec<_> = all.filter(|fields| fields.target == target).collect();
    let [fields] = &of_target[..] else { panic!("{of_target:?}") };
    fields.fields.iter().map(|field| (field.name.clone(), field.value.clone())).collect()
}

fn pairs(fields: &[(&str, &str)]) -> Vec<(String, Bytes)> {
    let pair = |&(name, value): &(&str, &str)| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()));
    fields.iter().map(pair).collect()
}

#[tokio::test]
async fn fields_merge_one_by_one_and_the_last_event_of_a_target_has_them_all() {
    let fixture = Fixture::new().await;
    let session = "session:article/7";
    let first = at(5, set(1, session, &[("scroll", "10"), ("é \"x\"", "\"\\u00fc\\n\"")]));
    assert_eq!(fixture.accepted("alice", &first).await, 1);
    let mut second = from_device(9, one("alice", &at(6, set(2, session, &[("a", "{\"b\":[1]}")]))));
    second.now = Millis(2_000);
    assert_eq!(seq(&fixture.decide(second).await), 2);
    let log = fixture.log("alice").await;
    assert_eq!((log.events[0].body.clone(), log.events[0].operation.as_ref()), (None, &[1; 16][..]));
    assert_eq!(log.events[1].operation, Bytes::from_static(&[2; 16]));
    let Some(event::Body::Fields(fields)) = &log.events[1].body else { panic!() };
    assert_eq!((fields.target.as_str(), fields.updated_at), (session, 2_000));
    assert_eq!(fields.device, Bytes::from_static(&[9; 16]));
    let all = [("a", "{\"b\":[1]}"), ("scroll", "10"), ("é \"x\"", "\"\\u00fc\\n\"")];
    assert_eq!(present(&fixture, "alice", session).await, pairs(&all));
}

#[tokio::test]
async fn an_earlier_value_does_not_win_and_one_that_changes_nothing_is_not_told() {
    let fixture = Fixture::new().await;
    let target = "session:a";
    let submit = async |device, operation| fixture.accepted_from(device, "alice", &operation).await;
    assert_eq!(submit(5, at(10, set(1, target, &[("x", "1"), ("y", "1")]))).await, 1);
    assert_eq!(submit(9, at(9, set(2, target, &[("x", "2")]))).await, 0);
    assert_eq!(submit(4, at(10, set(3, target, &[("x", "3")]))).await, 0);
    assert_eq!(submit(6, at(10, set(4, target, &[("x", "4")]))).await, 2);
    assert_eq!(submit(5, at(10, set(5, target, &[("x", "5"), ("z", "5")]))).await, 3);
    assert_eq!(present(&fixture, "alice", target).await, pairs(&[("x", "4"), ("y", "1"), ("z", "5")]));
    let mut api = one("alice", &at(10, set(6, target, &[("x", "6")])));
    api.source = Source::BackEnd;
    assert_eq!(seq(&fixture.decide(api).await), 0);
    assert_eq!(fixture.log("alice").await.head, Seq(3));
}

#[tokio::test]
async fn of_one_device_the_last_value_holds_and_others_count_from_its_latest_clock() {
    let fixture = Fixture::new().await;
    let submit = async |device, clock, id, value| {
        let set = at(clock, set(id, "session:a", &[("x", value)]));
        fixture.accepted_from(device, "alice", &set).await
    };
    assert_eq!(submit(5, 10, 1, "1").await, 1);
    assert_eq!(submit(5, 7, 2, "2").await, 2, "its clock was set back");
    assert_eq!(submit(6, 9, 3, "3").await, 0, "the first had come later");
    assert_eq!(present(&fixture, "alice", "session:a").await, pairs(&[("x", "2")]));
    assert_eq!(submit(6, 11, 4, "4").await, 3);
    assert_eq!(submit(5, 8, 5, "5").await, 0);
    assert_eq!(present(&fixture, "alice", "session:a").await, pairs(&[("x", "4")]));
}

#[tokio::test]
async fn what_was_removed_comes_back_by_no_older_set() {
    let fixture = Fixture::new().await;
    let target = "direct:bob";
    fixture.accepted("alice", &at(1, set(1, target, &[("draft", "\"hi\""), ("pinned", "true")]))).await;
    assert_eq!(fixture.accepted("alice", &at(5, set(2, target, &[("draft", "")]))).await, 2);
    assert_eq!(fixture.accepted_from(9, "alice", &at(4, set(3, target, &[("draft", "\"ho\"")]))).await, 0);
    assert_eq!(present(&fixture, "alice", target).await, pairs(&[("pinned", "true")]));
    // A removal that comes before what it removes holds just so.
    assert_eq!(fixture.accepted("alice", &at(5, set(4, target, &[("muted", "")]))).await, 3);
    assert_eq!(fixture.accepted_from(9, "alice", &at(4, set(5, target, &[("muted", "true")]))).await, 0);
    assert_eq!(fixture.accepted("alice", &at(6, set(6, target, &[("muted", "true")]))).await, 4);
    assert_eq!(present(&fixture, "alice", target).await, pairs(&[("muted", "true"), ("pinned", "true")]));
}

#[tokio::test]
async fn fields_are_the_accounts_own_and_make_no_conversation() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &set(1, "direct:bob", &[("muted", "true")])).await;
    fixture.accepted("alice", &set(2, "direct:nobody", &[("pinned", "true")])).await;
    assert_eq!(fixture.log("bob").await.head, Seq(0));
    fixture.accepted("bob", &send(3, "direct:alice", "hi")).await;
    let [message] = &fixture.messages("alice").await[..] else { panic!() };
    assert_eq!((message.conversation.as_str(), message.position), ("direct:bob", 1));
    assert_eq!(told(&fixture, "alice").await.into_iter().flatten().count(), 2);
}

#[tokio::test]
async fn a_group_that_one_was_never_in_has_no_fields() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob"]).await;
    let muted = |id, group| set(id, group, &[("muted", "true")]);
    for group in ["group:team", "group:nowhere"] {
        assert_eq!(fixture.refused("mallory", &muted(1, group)).await, Code::NotFound);
    }
    assert_eq!(fixture.accepted("bob", &muted(2, "group:team")).await, 2);
    fixture.put_group("team", &["alice"]).await;
    let unmuted = at(2, set(3, "group:team", &[("muted", "false")]));
    assert_eq!(fixture.accepted("bob", &unmuted).await, 4, "who was in it still has it in the list");
}

#[tokio::test]
async fn so_many_fields_and_no_more() {
    let fixture = Fixture::new().await;
    let names: Vec<String> = (0..limits::FIELDS).map(|number| format!("field {number}")).collect();
    let full: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    fixture.accepted("alice", &at(1, set(1, "session:a", &full))).await;
    let removed: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(fixture.accepted("alice", &at(2, set(2, "session:a", &removed))).await, 2);
    assert_eq!(present(&fixture, "alice", "session:a").await, []);
    let one_more = at(3, set(3, "session:a", &[("one more", "1")]));
    assert_eq!(fixture.refused("alice", &one_more).await, Code::TooLarge);
    let again = at(3, set(4, "session:a", &[("field 7", "2")]));
    assert_eq!(fixture.accepted("alice", &again).await, 3);

    let half = format!("\"{}\"", "x".repeat(limits::FIELDS_BYTES / 2 - 2));
    fixture.accepted("alice", &at(1, set(5, "session:b", &[("a", &half)]))).await;
    fixture.accepted("alice", &at(1, set(6, "session:b", &[("b", &half)]))).await;
    assert_eq!(fixture.refused("alice", &at(1, set(7, "session:b", &[("c", "1")]))).await, Code::TooLarge);
    assert_eq!(fixture.accepted("alice", &at(2, set(8, "session:b", &[("a", "1")]))).await, 6);
    assert_eq!(fixture.accepted("alice", &at(3, set(7, "session:b", &[("c", "1")]))).await, 7);
}

#[tokio::test]
async fn an_account_has_fields_of_so_many_things_and_no_more() {
    let fixture = Fixture::new().await;
    let set_of = |number: usize, clock| {
        let mut set = at(clock, set(0, &format!("session:{number}"), &[("x", "1")]));
        let id = ((clock as u128) << 64) | (number as u128 + 1);
        set.id = Bytes::copy_from_slice(&id.to_be_bytes());
        set
    };
    let all: Vec<_> = (0..limits::TARGETS).map(|number| set_of(number, 1)).collect();
    let verdicts = fixture.submit("alice", &all).await;
    assert!(verdicts.iter().all(|verdict| seq(verdict) > 0));
    assert_eq!(fixture.refused("alice", &set_of(limits::TARGETS, 1)).await, Code::TooLarge);
    assert_eq!(fixture.accepted("alice", &set_of(7, 2)).await, limits::TARGETS as u64 + 1);
    assert_eq!(fixture.accepted("bob", &set_of(limits::TARGETS, 1)).await, 1);
}

#[tokio::test]
async fn the_same_set_again_takes_effect_once_and_another_under_its_id_is_a_conflict() {
    let fixture = Fixture::new().await;
    let x = |value| set(1, "session:a", &[("x", value)]);
    assert_eq!(fixture.accepted("alice", &x("1")).await, 1);
    assert_eq!(fixture.accepted("alice", &at(9, set(2, "session:a", &[("x", "2")]))).await, 2);
    assert_eq!(fixture.accepted("alice", &at(10, x("1"))).await, 1);
    assert_eq!(present(&fixture, "alice", "session:a").await, pairs(&[("x", "2")]));
    assert_eq!(fixture.refused("alice", &x("3")).await, Code::Conflict);
    assert_eq!(fixture.refused("alice", &set(1, "session:b", &[("x", "1")])).await, Code::Conflict);
}
