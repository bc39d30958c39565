//! What the log is called.

use tutti_protocol::LogId;

use super::*;

#[tokio::test]
async fn a_log_that_is_renamed_goes_on_as_it_was() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "before")).await;
    let (log, events) = (fixture.storage.log_id(), fixture.log("bob").await.events);
    let other = LogId::from([9; 16]);
    assert_ne!(log, other);
    fixture.storage.rename_log(other).await.unwrap();
    assert_eq!(fixture.storage.log_id(), other);
    assert_eq!(fixture.log("bob").await.events, events);
    assert_eq!(fixture.accepted("alice", &send(2, "direct:bob", "after")).await, 2);
}

#[tokio::test]
async fn a_log_knows_what_it_has_in_common_with_those_that_it_was() {
    let fixture = Fixture::new().await;
    let (first, unknown) = (fixture.storage.log_id(), LogId::from([5; 16]));
    assert_eq!([first, unknown].map(|log| fixture.storage.common(log)), [None, None]);
    let [second, third] = [[8; 16], [9; 16]].map(LogId::from);
    let sent_at = async |number, now| {
        let operation = send(number, "direct:bob", "hi");
        let submission = Submission { now: Millis(now), ..one("alice", &operation) };
        seq(&fixture.decide(submission).await);
    };
    sent_at(1, 2_000).await;
    fixture.storage.rename_log(second).await.unwrap();
    assert_eq!([first, second].map(|log| fixture.storage.common(log)), [Some(Millis(2_000)), None]);
    sent_at(2, 3_000).await;
    fixture.storage.rename_log(third).await.unwrap();
    let common = [first, second, third, unknown].map(|log| fixture.storage.common(log));
    assert_eq!(common, [Some(Millis(2_000)), Some(Millis(3_000)), None, Some(Millis(3_000))]);
}
