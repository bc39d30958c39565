//! What servers keep in PostgreSQL.

mod common;

use common::{TestServer, accepted_seq, id, mark_read, message};
use serde_json::json;
use tutti_protocol::wire::event;

#[tokio::test]
async fn what_one_server_accepts_is_served_by_another_and_kept() {
    let url = tutti_databases::database();
    let one = TestServer::start_with(&["--database-url", &url]).await;
    let other = TestServer::start_with(&["--database-url", &url]).await;
    let mut alice = one.client("alice", 1).await;
    let outcomes = alice.submit(vec![message(id(1, 1), "direct:bob", &json!("hi"))]).await;
    assert_eq!(accepted_seq(&outcomes[0]), Some(1));
    let mut bob = other.client("bob", 2).await;
    let page = bob.pull(0).await;
    assert_eq!((page.next, page.head), (1, 1));
    let Some(event::Body::Message(got)) = &page.events[0].body else { panic!("{page:?}") };
    assert_eq!((got.conversation.as_str(), &got.content[..]), ("direct:alice", &b"\"hi\""[..]));
    let outcomes = bob.submit(vec![mark_read(id(2, 1), "direct:alice", 1)]).await;
    assert_eq!(accepted_seq(&outcomes[0]), Some(2));
    let log = bob.welcome.log.clone();
    one.stop().await;
    other.stop().await;
    let again = TestServer::start_with(&["--database-url", &url]).await;
    let mut alice = again.client("alice", 1).await;
    assert_eq!(alice.welcome.log, log);
    let events = alice.pull_all(0).await;
    let Some(event::Body::ReadBy(read)) = &events[1].body else { panic!("{events:?}") };
    assert_eq!((read.account.as_str(), read.position), ("bob", 1));
}
