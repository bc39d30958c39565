use tutti_acceptance::{
    history::{Trim, snapshot},
    notifications::{Notify, withhold},
    storage::AccountKey,
    work::{Notice, perform},
};
use tutti_protocol::{
    notification::is_erased,
    wire::{MarkNotification, Notification, NotificationState},
};

use super::*;

pub(super) fn some(id: u8, title: &str) -> Notification {
    Notification {
        id: Bytes::copy_from_slice(&[id; 16]),
        title: title.to_owned(),
        body: "more".to_owned(),
        data: Bytes::from_static(b"{\"open\":1}"),
        ..Notification::default()
    }
}

pub(super) fn about(message: u8, notification: Notification) -> Notification {
    Notification { message: Bytes::copy_from_slice(&[message; 16]), ..notification }
}

fn mark(id: u8, notification: u8, state: NotificationState) -> wire::Operation {
    let notification = Bytes::copy_from_slice(&[notification; 16]);
    operation(id, Body::MarkNotification(MarkNotification { notification, state: state.into() }))
}

impl Fixture {
    pub(super) async fn notify(
        &self,
        accounts: &[&str],
        notification: Notification,
        now: u64,
    ) -> Result<u64, Code> {
        let accounts = accounts.iter().map(|&account| account.to_owned()).collect();
        let notified = self.perform(Notify { accounts, notification, now: Millis(now) }).await;
        notified.map(|created_at| created_at.0).map_err(|refusal| refusal.code)
    }

    /// What an account is notified of, by id.
    pub(super) async fn notifications(&self, account: &str) -> Vec<Notification> {
        self.storage.notifications(account, None, 1_000).await.unwrap()
    }

    /// As the log tells it.
    async fn notified(&self, account: &str) -> Vec<Notification> {
        let pick = |body| if let event::Body::Notification(it) = body { Some(it) } else { None };
        self.bodies(account, pick).await
    }
}

#[tokio::test]
async fn accounts_are_notified_once_however_often_it_is_said() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.notify(&["alice", "bob"], some(1, "one"), 5).await, Ok(5));
    assert_eq!(fixture.notify(&["alice"], some(1, "one"), 6).await, Ok(5));
    assert_eq!(fixture.notify(&["alice", "carol"], some(1, "one"), 7).await, Ok(5));
    let expected = [Notification { created_at: 5, ..some(1, "one") }];
    for account in ["alice", "bob", "carol"] {
        assert_eq!(fixture.notifications(account).await, expected);
        assert_eq!(fixture.notified(account).await, expected);
        let log = fixture.log(account).await;
        assert_eq!((log.head, log.events[0].operation.len()), (Seq(1), 0), "the server's own doing");
    }
}

#[tokio::test]
async fn another_notification_under_the_same_id_is_a_conflict_for_all() {
    let fixture = Fixture::new().await;
    fixture.notify(&["alice"], some(1, "one"), 5).await.unwrap();
    fixture.accepted("bob", &send(2, "direct:bob", "hi")).await;
    assert_eq!(fixture.notify(&["aaron", "alice"], some(1, "two"), 6).await, Err(Code::Conflict));
    assert_eq!(fixture.notify(&["aaron", "bob"], some(2, "two"), 6).await, Err(Code::Conflict));
    assert_eq!(fixture.notifications("aaron").await, []);
    assert_eq!(fixture.notifications("alice").await[0].title, "one");
}

#[tokio::test]
async fn a_mark_goes_forward_and_is_told_in_the_place_of_what_was_told_before() {
    let fixture = Fixture::new().await;
    fixture.notify(&["alice", "bob"], some(1, "one"), 5).await.unwrap();
    let read = mark(2, 1, NotificationState::Read);
    assert_eq!(fixture.accepted("alice", &read).await, 2);
    assert_eq!(fixture.accepted("alice", &read).await, 2, "it is known");
    assert_eq!(fixture.accepted("alice", &mark(3, 1, NotificationState::Dismissed)).await, 3);
    assert_eq!(fixture.accepted("alice", &mark(4, 1, NotificationState::Read)).await, 0);
    let [told] = &fixture.notified("alice").await[..] else { panic!() };
    assert_eq!((told.title.as_str(), told.state()), ("one", NotificationState::Dismissed));
    let log = fixture.log("alice").await;
    let operations: Vec<_> = log.events.iter().map(|event| event.operation.to_vec()).collect();
    assert_eq!(operations, [vec![], vec![2; 16], vec![3; 16]]);
    assert_eq!(log.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(fixture.notifications("bob").await[0].state(), NotificationState::Unread);
}

#[tokio::test]
async fn anothers_notification_is_as_if_it_were_not_there() {
    let fixture = Fixture::new().await;
    fixture.notify(&["alice"], some(1, "one"), 5).await.unwrap();
    for (id, notification) in [(2, 1), (3, 9)] {
        let read = mark(id, notification, NotificationState::Read);
        assert_eq!(fixture.refused("bob", &read).await, Code::NotFound);
    }
    assert_eq!(fixture.refused("alice", &mark(4, 1, NotificationState::Unread)).await, Code::Invalid);
}

#[tokio::test]
async fn a_recall_takes_the_words_from_what_tells_of_the_message_for_good() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "secret")).await;
    fixture.notify(&["alice", "bob", "carol"], about(1, some(2, "a secret")), 5).await.unwrap();
    fixture.notify(&["bob"], about(1, some(3, "the same")), 5).await.unwrap();
    fixture.notify(&["bob"], about(7, some(4, "another")), 5).await.unwrap();
    fixture.accepted("alice", &recall(5, 1)).await;
    for (account, left) in [("alice", vec![]), ("bob", vec!["another"]), ("carol", vec![])] {
        let told = fixture.notified(account).await;
        assert_eq!(fixture.notifications(account).await.len(), told.len());
        let (erased, whole): (Vec<_>, Vec<_>) = told.into_iter().partition(is_erased);
        assert!(erased.iter().all(|it| it.state() == NotificationState::Dismissed), "{erased:?}");
        assert!(
            erased.is_sorted_by_key(|it| it.id.clone()),
            "every storage tells them in one order: {erased:?}"
        );
        assert_eq!(whole.into_iter().map(|it| it.title).collect::<Vec<_>>(), left, "{account}");
    }
    // Nor is anybody told of it later.
    let head = fixture.log("bob").await.head;
    assert_eq!(fixture.notify(&["bob"], about(1, some(6, "late")), 9).await, Ok(9));
    assert_eq!(fixture.log("bob").await.head, head);
    assert_eq!(fixture.accepted("bob", &mark(7, 2, NotificationState::Dismissed)).await, 0);
}

#[tokio::test]
async fn the_newest_are_kept_and_of_old_ones_that_were_dismissed_no_words() {
    let fixture = Fixture::new().await;
    for id in 1..=60 {
        fixture.notify(&["alice"], some(id, "one"), u64::from(id)).await.unwrap();
    }
    for (operation, id) in [(101, 5), (102, 40)] {
        fixture.accepted("alice", &mark(operation, id, NotificationState::Dismissed)).await;
    }
    fixture.accepted("alice", &mark(103, 6, NotificationState::Read)).await;
    let erased = async || {
        let all = fixture.notifications("alice").await.into_iter();
        all.filter(is_erased).map(|it| it.id[0]).collect::<Vec<_>>()
    };
    assert_eq!(erased().await, [5]);
    for id in 61..=100 {
        fixture.notify(&["alice"], some(id, "one"), u64::from(id)).await.unwrap();
    }
    assert_eq!(erased().await, [5, 40]);
    for id in 110..=249 {
        fixture.notify(&["alice"], some(id, "one"), u64::from(id)).await.unwrap();
    }
    let kept = fixture.notifications("alice").await;
    assert_eq!((kept.len(), kept[0].id[0]), (limits::NOTIFICATIONS, 41));
    assert_eq!(fixture.refused("alice", &mark(104, 5, NotificationState::Read)).await, Code::NotFound);
    assert_eq!(fixture.notify(&["alice"], some(5, "one"), 900).await, Ok(5), "it was said already");
    let told = fixture.notified("alice").await;
    let mut ids: Vec<_> = told.iter().map(|it| it.id[0]).collect();
    ids.sort_unstable();
    assert_eq!(ids, kept.iter().map(|it| it.id[0]).collect::<Vec<_>>(), "each is told once");
    assert_eq!(fixture.log("alice").await.head, Seq(243));
}

#[tokio::test]
async fn a_snapshot_tells_of_them_last_and_only_who_wants_them() {
    let fixture = Fixture::new().await;
    fixture.accepted("alice", &send(1, "direct:bob", "hi")).await;
    for id in 10..80 {
        fixture.notify(&["alice"], some(id, "one"), 5).await.unwrap();
    }
    let page = async |reader, place| {
        let storage = &*fixture.storage;
        snapshot(storage, "alice", reader, Seq(71), (place, Millis(500))).await.unwrap()
    };
    let whole = page(reader(7), None).await;
    let kinds = |it: &wire::Event| matches!(it.body, Some(event::Body::Notification(_)));
    assert_eq!((whole.events.len(), whole.next.clone()), (71, None));
    assert!(!kinds(&whole.events[0]) && whole.events[1..].iter().all(kinds));
    let without = page(Reader { notified: false, ..reader(7) }, None).await;
    assert_eq!((without.events.len(), without.next), (1, None));

    // Who has all else goes on there, and since when it has that stays as it was.
    let place = wire::SnapshotPlace {
        from: 77,
        step: 3,
        name: OperationId::from([70; 16]).to_string(),
        ..wire::SnapshotPlace::default()
    };
    let rest = page(reader(7), Some(place.clone())).await;
    assert_eq!((rest.events.len(), rest.from, rest.next), (9, 77, None));
    assert_eq!(page(Reader { notified: false, ..reader(7) }, Some(place)).await.events, []);

    let mut log = fixture.log("alice").await.events;
    withhold(&mut log);
    let bodies: Vec<_> = log.iter().filter(|event| event.body.is_some()).map(|event| event.seq).collect();
    assert_eq!((log.len(), bodies), (71, vec![1]));
}

#[tokio::test]
async fn trimming_the_log_leaves_them() {
    let fixture = Fixture::new().await;
    fixture.notify(&["alice"], some(1, "one"), 5).await.unwrap();
    for id in 2..5 {
        fixture.accepted("alice", &send(id, "direct:bob", "hi")).await;
    }
    fixture.perform(Trim { after: AccountKey(-1), before: Millis(900_000) }).await;
    assert_eq!(fixture.storage.tail("alice").await.unwrap(), Seq(4));
    assert_eq!(fixture.notifications("alice").await.len(), 1);
    assert_eq!(fixture.accepted("alice", &mark(9, 1, NotificationState::Read)).await, 5);
    let page = fixture.storage.page("alice", Seq(4), device(7)).await.unwrap();
    let Some(event::Body::Notification(told)) = &page.events[0].body else { panic!("{page:?}") };
    assert_eq!((told.title.as_str(), told.state()), ("one", NotificationState::Read));
}

/// Its accounts are notified of messages.
fn notifying(submission: Submission) -> Submission {
    Submission { notifies: true, ..submission }
}

#[tokio::test]
async fn where_that_is_wanted_accounts_are_notified_of_the_messages_that_they_get() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob", "carol", "dave"]).await;
    fixture.accepted("carol", &set(1, "group:team", &[("muted", "true")])).await;
    fixture.accepted("dave", &set(2, "group:team", &[("muted", "false")])).await;
    let hi = notifying(one("alice", &send(3, "group:team", "hi there")));
    fixture.decide(hi.clone()).await;
    fixture.decide(hi).await;
    for account in ["bob", "dave"] {
        let [told] = &fixture.notifications(account).await[..] else { panic!("{account}") };
        assert_eq!((told.title.as_str(), told.body.as_str()), ("alice", "hi there"));
        assert_eq!((told.conversation.as_str(), told.created_at), ("group:team", 1_000));
        assert_eq!((&told.id[..], &told.message[..]), (&[3; 16][..], &[3; 16][..]));
    }
    for account in ["alice", "carol"] {
        assert_eq!(fixture.notifications(account).await, [], "{account}");
    }
    // The other's name for it, and only the beginning of a text that may be wrapped.
    let long = send(4, "direct:bob", &"ä".repeat(500));
    fixture.decide(notifying(one("alice", &long))).await;
    let Some(Body::Send(wrapped)) = send(5, "direct:bob", "").body else { panic!() };
    let wrapped = wire::Send { content: "{\"text\":\"wrapped\",\"n\":1}".into(), ..wrapped };
    fixture.decide(notifying(one("alice", &operation(5, Body::Send(wrapped))))).await;
    let told = fixture.notifications("bob").await;
    assert_eq!(told[1].conversation, "direct:alice");
    assert_eq!([&told[1].body, &told[2].body], ["ä".repeat(160).as_str(), "wrapped"]);
    // The id is taken.
    assert_eq!(fixture.notify(&["bob"], some(4, "another"), 9).await, Err(Code::Conflict));
}

#[tokio::test]
async fn what_is_read_to_its_end_has_nothing_unread_to_notify_of() {
    let fixture = Fixture::new().await;
    for id in 1..=3 {
        fixture.decide(notifying(one("alice", &send(id, "direct:bob", "hi")))).await;
    }
    fixture.decide(notifying(one("carol", &send(4, "direct:bob", "hi")))).await;
    let conversation = "direct:alice".to_owned();
    fixture.notify(&["bob"], Notification { conversation, ..some(5, "by the back end") }, 5).await.unwrap();
    let unread = async || {
        let all = fixture.notifications("bob").await.into_iter();
        all.filter(|it| it.state() == NotificationState::Unread).map(|it| it.id[0]).collect::<Vec<_>>()
    };
    let seq = fixture.accepted("bob", &mark_read(6, "direct:alice", 2)).await;
    assert_eq!(unread().await, [1, 2, 3, 4, 5], "there is more to read");
    fixture.accepted("bob", &mark_read(7, "direct:alice", 3)).await;
    assert_eq!(unread().await, [4, 5]);
    let log = fixture.log("bob").await;
    assert_eq!(log.head, Seq(seq + 1 + 3), "it has read, and three notifications are read");
}

#[tokio::test]
async fn whoever_is_to_be_alerted_is_told_after_the_commit() {
    let fixture = Fixture::new().await;
    let notices = async |submission: Submission| {
        let (_, growth) = perform(&*fixture.storage, &submission).await.unwrap();
        let said = |notice: &Notice| match notice {
            Notice::Alert { account, notification } => format!("{account} {}", notification.id[0]),
            Notice::Over { account, id } => format!("{account} not {}", id.as_bytes()[0]),
        };
        growth.notices().iter().map(said).collect::<Vec<_>>()
    };
    let hi = send(1, "direct:bob", "hi");
    assert_eq!(notices(notifying(one("alice", &hi))).await, ["bob 1"]);
    assert_eq!(notices(notifying(one("alice", &hi))).await, [""; 0], "once");
    assert_eq!(notices(one("alice", &send(2, "direct:bob", "hi"))).await, [""; 0], "if it is wanted");
    assert_eq!(notices(one("bob", &mark(3, 1, NotificationState::Read))).await, ["bob not 1"]);
    notices(notifying(one("alice", &send(4, "direct:bob", "hi")))).await;
    assert_eq!(notices(one("bob", &mark_read(5, "direct:alice", 3))).await, ["bob not 4"]);
    notices(notifying(one("alice", &send(6, "direct:bob", "hi")))).await;
    assert_eq!(notices(one("alice", &recall(7, 6))).await, ["bob not 6"]);
    // The back end notifies of what is about a muted conversation, too; nobody is alerted.
    notices(one("bob", &set(8, "direct:alice", &[("muted", "true")]))).await;
    assert_eq!(notices(notifying(one("alice", &send(9, "direct:bob", "hi")))).await, [""; 0]);
    for (id, conversation, alerts) in [(10, "direct:alice", 0), (11, "direct:carol", 1), (12, "", 1)] {
        let notification = Notification { conversation: conversation.to_owned(), ..some(id, "one") };
        let notify = Notify { accounts: ["bob".to_owned()].into(), notification, now: Millis(5) };
        let (_, growth) = perform(&*fixture.storage, &notify).await.unwrap();
        assert_eq!(growth.notices().len(), alerts, "{conversation}");
    }
}
