//! What comes from devices without a lasting id.

use super::*;

fn passing(id: u8) -> Source {
    Source::Passing(device(id))
}

fn from(source: Source, operation: &wire::Operation) -> Submission {
    Submission { source, ..one("alice", operation) }
}

fn set_at(clock: u64, id: u8, value: &str) -> wire::Operation {
    at(clock, set(id, "session:track", &[("time", value)]))
}

#[tokio::test]
async fn nobody_is_told_from_which_device_it_came() {
    let fixture = Fixture::new().await;
    let edit = wire::Edit { message: Bytes::from_static(&[1; 16]), content: "\"edited\"".into() };
    for operation in [send(1, "direct:bob", "hi"), operation(2, Body::Edit(edit)), set_at(1, 3, "1")] {
        assert!(seq(&fixture.decide(from(passing(7), &operation)).await) > 0);
    }
    let page = fixture.storage.page("alice", Seq(0), device(9)).await.unwrap();
    for event in page.events {
        let by = match event.body {
            Some(event::Body::Message(message) | event::Body::Changed(message)) => message.device,
            Some(event::Body::Fields(fields)) => fields.device,
            other => panic!("{other:?}"),
        };
        assert_eq!(by, Bytes::new());
    }
}

#[tokio::test]
async fn of_one_the_last_holds_and_of_several_the_latest() {
    let fixture = Fixture::new().await;
    let submit = async |source, clock, id, value| {
        seq(&fixture.decide(from(source, &set_at(clock, id, value))).await) > 0
    };
    assert!(submit(passing(7), 5, 1, "1").await);
    assert!(submit(passing(7), 3, 2, "2").await, "whatever its clock says");
    assert!(!submit(passing(8), 4, 3, "3").await, "another one is another one");
    assert!(!submit(Source::Device(device(8)), 4, 4, "4").await);
    assert!(submit(passing(8), 6, 5, "5").await);
    assert!(!submit(passing(7), 5, 6, "6").await);
}

#[tokio::test]
async fn what_is_for_one_alone_is_for_all_of_them_and_for_no_other() {
    let fixture = Fixture::new().await;
    let there = super::reach::one_device(&[]);
    fixture.decide(Submission { reach: there, ..from(passing(7), &send(1, "direct:bob", "hi")) }).await;
    let addressee = |source: Source| source.addressee().unwrap();
    let has = async |source| {
        let page = fixture.storage.page("alice", Seq(0), addressee(source)).await.unwrap();
        page.events[0].body.is_some()
    };
    assert!(has(passing(7)).await);
    assert!(has(passing(8)).await);
    assert!(!has(Source::Device(device(7))).await);
}
