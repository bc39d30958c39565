//! What becomes of an account that is erased, and what others notice of it.

use tutti_acceptance::{
    devices::{Barred, Register, Unregistered},
    erasure::{EraseAccount, Erasure},
    storage::Overview,
    work::Notice,
};
use tutti_protocol::wire::{MarkNotification, NotificationState};

use super::{
    devices::{appear, subscription, token},
    history::send_numbered,
    notifications::{about, some},
    *,
};

const AT: u64 = 5_000;

fn erase(account: &str) -> EraseAccount {
    EraseAccount { account: account.to_owned(), now: Millis(AT) }
}

impl Fixture {
    async fn step(&self, account: &str) -> (Erasure, Growth) {
        perform(&*self.storage, &erase(account)).await.unwrap()
    }

    /// Erases an account, and answers what each step has come to.
    async fn erase(&self, account: &str) -> Vec<Growth> {
        let mut steps = Vec::new();
        loop {
            let (erasure, growth) = self.step(account).await;
            steps.push(growth);
            match erasure {
                Erasure::Begun => {}
                Erasure::Done => return steps,
                Erasure::Unknown => panic!("there is no {account}"),
            }
        }
    }

    async fn overviews(&self, account: &str) -> Vec<Overview> {
        self.storage.overviews(account, reader(7), "", 1_000).await.unwrap()
    }

    async fn fields_of(&self, account: &str) -> Vec<wire::Fields> {
        self.storage.shared(account, "", 1_000).await.unwrap()
    }

    /// Nothing of it is left, but its name and when it was erased.
    async fn is_gone(&self, account: &str) {
        let storage = &self.storage;
        assert_eq!(storage.erased(account).await.unwrap(), Some(Millis(AT)));
        assert_eq!(storage.erasing().await.unwrap(), [""; 0]);
        let page = self.log(account).await;
        assert_eq!((page.events.len(), page.next, page.head, page.tail), (0, Seq(0), Seq(0), Seq(0)));
        assert_eq!(storage.head(account).await.unwrap(), Seq(0));
        assert!(self.overviews(account).await.is_empty());
        assert_eq!(self.fields_of(account).await, []);
        assert_eq!(self.notifications(account).await, []);
        assert_eq!(storage.devices(account).await.unwrap(), []);
        assert_eq!(storage.contacts(account).await.unwrap(), BTreeSet::new());
        assert_eq!(storage.active(account, "", Millis(0)).await.unwrap(), None);
        let mut tx = storage.begin().await.unwrap();
        let key = tx.account(account).await.unwrap();
        for id in 0..=u8::MAX {
            assert_eq!(tx.receipt(key, OperationId::from([id; 16])).await.unwrap(), None, "{id}");
        }
        assert_eq!(tx.any_group(key).await.unwrap(), None);
        assert_eq!(tx.next_sent(key).await.unwrap(), None);
    }
}

/// Alice with one of everything, in a group with Bob and Carol, and in conversations with both.
async fn alice() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob", "carol"]).await;
    fixture.put_group("alone", &["alice"]).await;
    for (account, operation) in [
        ("alice", send(1, "direct:bob", "one")),
        ("alice", send(2, "group:team", "two")),
        ("alice", send(3, "direct:alice", "note")),
        ("bob", send(4, "direct:alice", "three")),
        ("carol", send(5, "group:team", "four")),
        ("alice", edit(6, 1, "uno")),
        ("alice", send(7, "direct:carol", "five")),
        ("alice", recall(8, 7)),
        ("alice", mark_read(9, "direct:bob", 2)),
        ("alice", set(10, "direct:bob", &[("draft", "\"a draft\"")])),
        ("alice", set(11, "session:track", &[("time", "7")])),
        ("bob", set(12, "direct:alice", &[("draft", &format!("\"{}\"", OperationId::from([1; 16])))])),
    ] {
        seq(&fixture.decide(Submission { notifies: true, ..one(account, &operation) }).await);
    }
    let mut hidden = one("alice", &send(13, "direct:bob", "not for the own log"));
    hidden.include_sender = false;
    seq(&fixture.decide(hidden).await);
    fixture.notify(&["alice"], some(14, "to alice"), 7).await.unwrap();
    fixture.notify(&["alice", "bob"], some(15, "to both"), 7).await.unwrap();
    fixture.notify(&["bob"], about(2, some(16, "of the message")), 7).await.unwrap();
    fixture.perform(appear("d", "Firefox", token("a token"), 1)).await.unwrap();
    fixture.perform(appear("e", "Safari", token("another"), 1)).await.unwrap();
    assert!(fixture.push("d", Some(subscription())).await);
    assert!(fixture.remove("e", None, 2).await);
    fixture
}

#[tokio::test]
async fn of_an_erased_account_nothing_is_left_but_its_name() {
    let fixture = alice().await;
    let steps = fixture.erase("alice").await;
    assert_eq!(steps[0].erased_accounts(), ["alice"]);
    assert!(steps.iter().skip(1).all(|growth| growth.erased_accounts().is_empty()));
    assert!(steps.last().unwrap().has_erased());
    fixture.is_gone("alice").await;
    assert_eq!(fixture.keepers("another").await, None, "no token is known of it");
    assert_eq!(fixture.device("e").await, None, "nor who was removed");
    for group in ["team", "alone"] {
        let members = fixture.storage.group(group).await.unwrap();
        let left = (group == "team").then(|| BTreeSet::from(["bob".to_owned(), "carol".to_owned()]));
        assert_eq!(members, left, "{group}");
    }
}

#[tokio::test]
async fn its_messages_are_recalled_in_all_other_logs() {
    let fixture = alice().await;
    let steps = fixture.erase("alice").await;
    for (account, recalled) in [("bob", vec![1, 2, 13]), ("carol", vec![2, 7])] {
        for message in fixture.messages(account).await {
            let is_hers = message.sender == "alice";
            assert_eq!((message.recalled, message.content.is_empty()), (is_hers, is_hers), "{message:?}");
        }
        let changed: BTreeSet<_> = fixture.changed(account).await.iter().map(|it| it.id[0]).collect();
        assert_eq!(changed, BTreeSet::from_iter(recalled), "{account}");
        let log = fixture.log(account).await;
        let is_change = |event: &&wire::Event| matches!(event.body, Some(event::Body::Changed(_)));
        let last = log.events.iter().rfind(is_change).unwrap();
        assert_eq!(last.operation, "", "it is the server's own doing");
        for event in &log.events {
            tutti_protocol::codec::check_event(event).unwrap();
        }
    }
    let notices = steps.iter().flat_map(|growth| growth.notices().iter().cloned());
    let notices: BTreeSet<_> = notices.map(over).collect();
    let expected = [("bob", 1), ("bob", 2), ("carol", 2)].map(|(account, id)| (account.to_owned(), id));
    assert_eq!(notices, BTreeSet::from(expected), "what was recalled before is over");
    // What quotes a message goes with it, and what tells of it.
    assert_eq!(fixture.fields_of("bob").await[0].fields, []);
    let told: Vec<_> =
        fixture.notifications("bob").await.into_iter().map(|it| (it.id[0], it.title)).collect();
    let title = |title: &str| title.to_owned();
    assert_eq!(
        told,
        [(1, title("")), (2, title("")), (5, title("carol")), (15, title("to both")), (16, title(""))]
    );
    let grown: BTreeSet<_> = steps.iter().flat_map(|growth| growth.accounts().cloned()).collect();
    assert_eq!(grown, BTreeSet::from(["bob".to_owned(), "carol".to_owned()]), "they are woken");
}

fn over(notice: Notice) -> (String, u8) {
    match notice {
        Notice::Over { account, id } => (account, id.as_bytes()[0]),
        Notice::Alert { .. } => panic!("{notice:?}"),
    }
}

#[tokio::test]
async fn those_who_stay_in_its_groups_learn_that_it_left() {
    let fixture = alice().await;
    fixture.erase("alice").await;
    for account in ["bob", "carol"] {
        let told = fixture.members(account).await;
        assert_eq!(told, [vec!["alice", "bob", "carol"], vec!["bob", "carol"]], "{account}");
    }
    fixture.accepted("bob", &send(20, "group:team", "hi")).await;
    assert_eq!(fixture.messages("carol").await.last().unwrap().content, "\"hi\"");
    fixture.is_gone("alice").await;
}

#[tokio::test]
async fn what_others_have_said_stays_theirs() {
    let fixture = alice().await;
    fixture.erase("alice").await;
    assert_eq!(fixture.messages("bob").await.iter().filter(|it| !it.recalled).count(), 2);
    assert!(fixture.accepted("bob", &edit(20, 4, "drei")).await > 0, "though she had it");
    assert!(fixture.accepted("bob", &recall(21, 4)).await > 0);
    assert!(fixture.accepted("carol", &edit(22, 5, "vier")).await > 0);
    assert!(fixture.accepted("bob", &mark_read(23, "direct:alice", 9)).await > 0);
    assert!(fixture.accepted("bob", &set(24, "direct:alice", &[("muted", "true")])).await > 0);
    let contacts = fixture.storage.contacts("bob").await.unwrap();
    assert!(contacts.contains("alice"), "the conversation is his, too");
    fixture.is_gone("alice").await;
}

/// From the first step on, long before the last.
#[tokio::test]
async fn nothing_comes_from_an_erased_account_or_to_it() {
    let fixture = alice().await;
    assert_eq!(fixture.step("alice").await.0, Erasure::Begun);
    assert_eq!(fixture.storage.erasing().await.unwrap(), ["alice"]);
    for done in [false, true] {
        if done {
            fixture.erase("alice").await;
        }
        let log = fixture.log("alice").await;
        let mark = MarkNotification {
            notification: Bytes::from_static(&[14; 16]),
            state: NotificationState::Read.into(),
        };
        for operation in [
            send(30, "direct:bob", "hi"),
            send(30, "group:team", "hi"),
            send(30, "direct:alice", "hi"),
            send(1, "direct:bob", "one"),
            mark_read(30, "direct:bob", 3),
            edit(30, 1, "hi"),
            recall(30, 1),
            set(30, "session:track", &[("time", "8")]),
            operation(30, Body::MarkNotification(mark)),
        ] {
            let verdicts = fixture.submit("alice", &[operation.clone(), operation]).await;
            assert_eq!(verdicts.iter().map(refusal).collect::<Vec<_>>(), vec![Refusal::erased("alice"); 2]);
        }
        let to_her = send(31, "direct:alice", "hi");
        assert_eq!(refusal(&fixture.decide(one("bob", &to_her)).await), Refusal::erased("alice"));
        let nobody = fixture.accepted("dave", &mark_read(32, "direct:alice", 1)).await;
        assert_eq!(nobody, 0, "there is nothing to read");
        fixture.accepted("bob", &send(33 + u8::from(done), "group:team", "hi")).await;
        let before = fixture.notifications("bob").await;
        assert_eq!(fixture.notify(&["bob", "alice"], some(40, "to both"), 8).await, Err(Code::NotFound));
        assert_eq!(fixture.notifications("bob").await, before, "neither of them");
        let members = ["alice".to_owned(), "bob".to_owned()];
        for group in ["team", "new"] {
            let put = PutGroup { id: group.to_owned(), members: members.clone().into() };
            assert_eq!(fixture.perform(put).await, Err(Refusal::erased("alice")), "{group}");
        }
        assert_eq!(fixture.storage.group("new").await.unwrap(), None);

        let appears = appear("d", "", token("a token"), 9);
        assert_eq!(fixture.perform(appears).await, Err(Barred::erased(Millis(AT))));
        let appears = appear("f", "", token("a new one"), 9);
        assert_eq!(fixture.perform(appears).await, Err(Barred::erased(Millis(AT))));
        assert_eq!(fixture.register(&["g"], 9).await, Err(Unregistered::Erased));
        assert!(!fixture.rename("d", "x").await);
        assert!(!fixture.push("d", Some(subscription())).await);
        assert!(!fixture.remove("d", None, 9).await);
        assert_eq!(fixture.devices().await, []);
        assert_eq!(fixture.log("alice").await.head, log.head, "nothing was written");
    }
    fixture.is_gone("alice").await;
}

#[tokio::test]
async fn an_erasure_of_many_steps_goes_on_where_it_was_and_lets_others_in_between() {
    let fixture = Fixture::new().await;
    let members: Vec<_> = (0..40).map(|number| format!("member {number:02}")).collect();
    let mut names: Vec<_> = members.iter().map(String::as_str).collect();
    names.push("alice");
    for group in 0..60 {
        fixture.put_group(&format!("group {group:02}"), &names).await;
    }
    let is_hers = |number: &u64| !number.is_multiple_of(3);
    let to = |number: u64| match number % 10 {
        _ if !is_hers(&number) => "direct:alice",
        0 => "group:group 07",
        _ => "direct:bob",
    };
    let (hers, his): (Vec<u64>, Vec<u64>) = (0..1_300).partition(is_hers);
    for (account, numbers) in [("alice", &hers), ("bob", &his)] {
        let sends: Vec<_> = numbers.iter().map(|&number| send_numbered(number, to(number), "hi")).collect();
        fixture.submit(account, &sends).await.iter().for_each(|verdict| assert!(seq(verdict) > 0));
    }
    let heads = async || [fixture.log("bob").await.head.0, fixture.log("member 00").await.head.0];
    let (mut steps, mut before) = (0, heads().await);
    loop {
        let (erasure, _) = fixture.step("alice").await;
        let now = heads().await;
        assert!(now[0] - before[0] <= 1_001 && now[1] - before[1] <= 50, "{before:?}, {now:?}");
        steps += 1;
        if erasure == Erasure::Done {
            break;
        }
        assert_eq!(fixture.storage.erased("alice").await.unwrap(), Some(Millis(AT)));
        assert_eq!(fixture.storage.erasing().await.unwrap(), ["alice"]);
        // What it has not come to yet is there for all others, as is what they do meanwhile.
        let meanwhile = [
            send_numbered(10_000 + steps, "direct:carol", "meanwhile"),
            send_numbered(20_000 + steps, "group:group 07", "meanwhile"),
        ];
        fixture.accepted("bob", &meanwhile[0]).await;
        fixture.accepted("member 01", &meanwhile[1]).await;
        let left = fixture.messages("bob").await;
        assert!(left.iter().all(|message| message.recalled == message.content.is_empty()));
        before = heads().await;
    }
    assert!(steps >= 4, "{steps}");
    fixture.is_gone("alice").await;
    let (mut recalled, mut after) = (0, Seq(0));
    loop {
        let page = fixture.storage.page("bob", after, device(7)).await.unwrap();
        for event in page.events {
            if let Some(event::Body::Message(message)) = event.body {
                assert_eq!(message.recalled, message.sender == "alice");
                recalled += usize::from(message.recalled);
            }
        }
        after = page.next;
        if page.next == page.head {
            break;
        }
    }
    assert_eq!(recalled, hers.iter().filter(|number| *number % 10 > 0).count());
    for group in 0..60 {
        let members = fixture.storage.group(&format!("group {group:02}")).await.unwrap().unwrap();
        assert_eq!(members.len(), 40);
    }
}

#[tokio::test]
async fn it_is_done_once_however_often_it_is_asked_for() {
    let fixture = alice().await;
    fixture.erase("alice").await;
    let heads = async || [fixture.log("bob").await.head, fixture.log("carol").await.head];
    let before = heads().await;
    let again = EraseAccount { now: Millis(9_000), ..erase("alice") };
    for _ in 0..2 {
        let (erasure, growth) = perform(&*fixture.storage, &again).await.unwrap();
        assert_eq!(erasure, Erasure::Done);
        assert!(growth.erased_accounts().is_empty());
        assert!(growth.has_erased(), "it may have been interrupted before that was scrubbed");
    }
    assert_eq!(heads().await, before);
    fixture.is_gone("alice").await;
}

#[tokio::test]
async fn an_account_that_nobody_knows_cannot_be_erased() {
    let fixture = alice().await;
    assert_eq!(fixture.step("nobody").await.0, Erasure::Unknown);
    assert_eq!(fixture.storage.erased("nobody").await.unwrap(), None);
    fixture.accepted("bob", &send(30, "direct:nobody", "hi")).await;
    assert_eq!(fixture.messages("nobody").await.len(), 1, "it may still come");
    // Of one there is a device that never came.
    let (account, devices) = ("zoe".to_owned(), vec!["tv".to_owned()]);
    fixture.perform(Register { account, devices, now: Millis(1) }).await.unwrap();
    fixture.erase("zoe").await;
    fixture.is_gone("zoe").await;
}

#[tokio::test]
async fn an_erasure_that_is_not_committed_has_not_begun() {
    let fixture = alice().await;
    let before = (fixture.log("alice").await.head, fixture.devices().await);
    let mut tx = fixture.storage.begin().await.unwrap();
    let mut growth = Growth::default();
    // Others may be in the same transaction, before and after.
    let accepted = one("alice", &send(30, "direct:bob", "hi")).run(&mut *tx, &mut growth).await.unwrap();
    assert!(seq(&accepted[0]) > 0);
    for erasure in [Erasure::Begun, Erasure::Done] {
        assert_eq!(erase("alice").run(&mut *tx, &mut growth).await.unwrap(), erasure);
        let refused = one("alice", &send(31, "direct:bob", "hi")).run(&mut *tx, &mut growth).await.unwrap();
        assert_eq!(refusal(&refused[0]), Refusal::erased("alice"));
    }
    drop(tx);
    assert_eq!(fixture.storage.erased("alice").await.unwrap(), None);
    assert_eq!((fixture.log("alice").await.head, fixture.devices().await), before);
    fixture.accepted("alice", &send(30, "direct:bob", "hi")).await;
    assert_eq!(fixture.messages("bob").await.last().unwrap().content, "\"hi\"");
}

#[tokio::test]
async fn two_accounts_are_erased_at_a_time_and_leave_each_other_nothing() {
    let fixture = alice().await;
    for account in ["alice", "bob", "alice", "bob", "alice", "bob"] {
        fixture.step(account).await;
    }
    fixture.is_gone("alice").await;
    fixture.is_gone("bob").await;
    assert_eq!(fixture.storage.group("team").await.unwrap(), Some(BTreeSet::from(["carol".to_owned()])));
    let all = fixture.messages("carol").await;
    assert!(all.iter().all(|message| message.recalled == (message.sender != "carol")), "{all:?}");
}

#[tokio::test]
async fn what_only_it_had_of_others_goes_with_it_and_cannot_be_changed() {
    let fixture = alice().await;
    let mut hidden = one("bob", &send(30, "direct:alice", "for her alone"));
    hidden.include_sender = false;
    seq(&fixture.decide(hidden).await);
    fixture.erase("alice").await;
    assert_eq!(fixture.refused("bob", &edit(31, 30, "hi")).await, Code::NotFound);
    assert_eq!(fixture.refused("bob", &recall(32, 30)).await, Code::NotFound);
    assert_eq!(fixture.refused("bob", &send(30, "direct:carol", "the id is taken")).await, Code::Conflict);
}

#[tokio::test]
async fn what_is_no_longer_kept_everywhere_is_recalled_where_it_is() {
    let fixture = Fixture::new().await;
    fixture.put_group("team", &["alice", "bob"]).await;
    let notifying = async |now, account, operation| {
        let submission = Submission { notifies: true, now: Millis(now), ..one(account, &operation) };
        seq(&fixture.decide(submission).await)
    };
    notifying(10, "alice", send(1, "group:team", "old")).await;
    notifying(10, "alice", send(2, "direct:bob", "as old")).await;
    notifying(9_000, "alice", send(3, "group:team", "new")).await;
    let hidden = Submission {
        include_sender: false,
        now: Millis(9_000),
        ..one("bob", &send(4, "direct:alice", "new"))
    };
    fixture.decide(hidden).await;
    fixture.trim(100).await;
    let kept = fixture.overviews("bob").await;
    assert!(format!("{kept:?}").contains("as old"), "it is the last one there that Bob knows of");
    fixture.erase("alice").await;
    fixture.is_gone("alice").await;
    let words: Vec<_> = fixture.notifications("bob").await.into_iter().map(|it| it.title).collect();
    assert_eq!(words, ["", "", ""], "though one of the messages is kept nowhere");
    let kept = fixture.overviews("bob").await;
    assert_eq!(format!("{kept:?}").matches("recalled: true").count(), 2);
}
