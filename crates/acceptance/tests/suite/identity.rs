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
