use tokio::time::{Instant, advance, timeout};
use tutti_acceptance::{
    devices::{Register, Remove, Rename},
    storage::MemoryStorage,
    work::{Work, perform},
};
use tutti_protocol::{LogId, Millis};

use super::*;
use crate::{bus::alone, settings::Limits};

const GRACE: Duration = Duration::from_secs(2);
/// Longer than anything takes that is told.
const LONG: Duration = Duration::from_secs(60);

struct Fixture {
    storage: Arc<dyn Storage>,
    lists: Arc<Lists>,
}

impl Fixture {
    async fn new() -> Self {
        let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new(LogId::from([1; 16])));
        let bus = alone();
        let hub = Arc::new(Hub::new(bus.clone(), Duration::MAX, Limits::default()));
        let lists = Arc::new(Lists::new(storage.clone(), bus, hub, GRACE));
        let fixture = Self { storage, lists };
        let devices = ["a", "b", "c"].map(str::to_owned).to_vec();
        fixture.perform(Register { account: "alice".to_owned(), devices, now: Millis(1) }).await;
        fixture
    }

    async fn perform<W: Work>(&self, work: W) {
        let (_, growth) = perform(&*self.storage, &work).await.unwrap();
        for change in growth.devices() {
            self.lists.apply(change).await;
        }
    }

    async fn rename(&self, name: &str) {
        let (account, device) = ("alice".to_owned(), "c".to_owned());
        self.perform(Rename { account, device, name: name.to_owned() }).await;
    }

    async fn enter(&self, device: &str, ticket: u64, listens: bool) -> Entry {
        let ticket = Ticket(ticket);
        self.lists.enter(Newcomer { account: "alice", device, ticket, listed: true, listens }).await
    }
}

/// What a connection is told next: each device with its name, and whether it is online.
async fn told(entry: &Entry) -> Vec<(String, String, bool)> {
    timeout(LONG, entry.told()).await.expect("news");
    let frame = codec::decode_server(entry.take().unwrap()).unwrap().frame;
    let Some(Frame::Status(wire::Status { status: Some(Kind::Devices(list)) })) = frame else {
        panic!("{frame:?}")
    };
    list.devices.into_iter().map(|device| (device.id, device.name, device.online)).collect()
}

fn list(devices: [(&str, bool); 3]) -> Vec<(String, String, bool)> {
    devices.map(|(id, online)| (id.to_owned(), id.to_owned(), online)).to_vec()
}

async fn is_told_nothing(entry: &Entry) {
    assert!(timeout(LONG, entry.told()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_is_there_is_told_who_comes_and_who_comes_is_not() {
    let fixture = Fixture::new().await;
    let a = fixture.enter("a", 1, true).await;
    is_told_nothing(&a).await;
    let b = fixture.enter("b", 2, true).await;
    assert_eq!(told(&a).await, list([("a", true), ("b", true), ("c", false)]));
    is_told_nothing(&b).await;
    let c = fixture.enter("c", 3, false).await;
    for entry in [&a, &b] {
        assert_eq!(told(entry).await, list([("a", true), ("b", true), ("c", true)]));
    }
    drop(c);
    let dropped = Instant::now();
    for entry in [&a, &b] {
        assert_eq!(told(entry).await, list([("a", true), ("b", true), ("c", false)]));
    }
    assert!(dropped.elapsed() >= GRACE);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_back_in_a_moment_was_never_away() {
    let fixture = Fixture::new().await;
    let a = fixture.enter("a", 1, true).await;
    let mut b = fixture.enter("b", 2, true).await;
    told(&a).await;
    for ticket in 3..6 {
        drop(b);
        advance(GRACE / 2).await;
        b = fixture.enter("b", ticket, true).await;
    }
    is_told_nothing(&a).await;
    is_told_nothing(&b).await;
    fixture.rename("named").await;
    assert_eq!(told(&a).await, told(&b).await);
}

#[tokio::test(start_paused = true)]
async fn many_changes_are_told_together_and_the_last_one_always() {
    let fixture = Fixture::new().await;
    let a = fixture.enter("a", 1, true).await;
    let begun = Instant::now();
    let (mut lists, mut last) = (0, String::new());
    for number in 1..=100 {
        fixture.rename(&number.to_string()).await;
        advance(Duration::from_millis(10)).await;
        // Lets those run who tell.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        if a.mailbox.as_ref().unwrap().list().is_some() {
            (lists, last) = (lists + 1, told(&a).await[2].1.clone());
        }
    }
    assert!((9..=11).contains(&lists), "{lists} in {:?}", begun.elapsed());
    while last != "100" {
        last = told(&a).await[2].1.clone();
    }
    is_told_nothing(&a).await;
}

#[tokio::test(start_paused = true)]
async fn that_a_removed_device_goes_is_no_further_change() {
    let fixture = Fixture::new().await;
    let a = fixture.enter("a", 1, true).await;
    let c = fixture.enter("c", 2, true).await;
    told(&a).await;
    let (account, device) = ("alice".to_owned(), "c".to_owned());
    fixture.perform(Remove { account, device, by: None, now: Millis(2) }).await;
    assert_eq!(told(&a).await.len(), 2);
    drop(c);
    is_told_nothing(&a).await;
}

#[tokio::test(start_paused = true)]
async fn of_what_nobody_wants_to_know_nothing_remains() {
    let fixture = Fixture::new().await;
    let a = fixture.enter("a", 1, false).await;
    fixture.rename("named").await;
    assert_eq!(fixture.lists.begin_to_tell("alice"), None, "it is not even read");
    let b = fixture.enter("b", 2, true).await;
    assert_eq!(fixture.lists.begin_to_tell("alice"), None);
    is_told_nothing(&b).await;
    drop((a, b));
    tokio::time::sleep(LONG).await;
    assert!(fixture.lists.accounts().is_empty());
    fixture.rename("again").await;
    assert!(fixture.lists.accounts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_in_the_list_comes_and_goes_unnoticed() {
    let fixture = Fixture::new().await;
    let a = fixture.enter("a", 1, true).await;
    let ticket = Ticket(2);
    let passing = Newcomer { account: "alice", device: "p", ticket, listed: false, listens: true };
    let passing = fixture.lists.enter(passing).await;
    is_told_nothing(&a).await;
    fixture.rename("named").await;
    assert_eq!(told(&a).await, told(&passing).await);
    drop(passing);
    is_told_nothing(&a).await;
}
