//! Who may hear of whom.

use tutti_acceptance::status::{Audience, audience};

use super::*;

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[tokio::test]
async fn contacts_are_those_of_direct_conversations_and_of_groups_that_both_are_in() {
    let fixture = Fixture::new().await;
    let contacts = async |account: &str| fixture.storage.contacts(account).await.unwrap();
    assert_eq!(contacts("alice").await, names(&[]), "nobody knows it yet");
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    fixture.accepted("alice", &send(2, "direct:alice", "a note")).await;
    fixture.accepted("alice", &send(3, "direct:group:x", "an odd name")).await;
    assert_eq!(contacts("alice").await, names(&["bob", "group:x"]), "and not itself");
    assert_eq!(contacts("bob").await, names(&["alice"]));
    fixture.put_group("team", &["alice", "carla", "bob"]).await;
    fixture.put_group("others", &["carla", "dora"]).await;
    assert_eq!(contacts("alice").await, names(&["bob", "carla", "group:x"]));
    assert_eq!(contacts("carla").await, names(&["alice", "bob", "dora"]));
    assert_eq!(contacts("dora").await, names(&["carla"]));
    // Who has left is no contact any more, though there was a conversation.
    fixture.accepted("carla", &send(4, "group:team", "bye")).await;
    fixture.put_group("team", &["alice", "bob"]).await;
    assert_eq!(contacts("carla").await, names(&["dora"]));
    assert_eq!(contacts("alice").await, names(&["bob", "group:x"]));
    fixture.perform(DeleteGroup { id: "others".to_owned() }).await;
    assert_eq!(contacts("dora").await, names(&[]));
}

#[tokio::test]
async fn the_audience_is_the_other_or_the_members_and_nobody_elsewhere() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob", "carla"]).await;
    let of = async |account, conversation| audience(&*fixture.storage, account, conversation).await.unwrap();
    let told = |others: &[&str], conversation: &str| {
        Some(Audience { others: names(others), conversation: conversation.to_owned() })
    };
    assert_eq!(of("alice", "direct:bob").await, told(&["bob"], "direct:alice"));
    assert_eq!(of("alice", "direct:alice").await, told(&[], "direct:alice"));
    assert_eq!(of("alice", "group:team").await, told(&["bob", "carla"], "group:team"));
    assert_eq!(of("dora", "group:team").await, None);
    assert_eq!(of("alice", "group:nowhere").await, None);
    assert_eq!(of("alice", "nowhere").await, None);
}
