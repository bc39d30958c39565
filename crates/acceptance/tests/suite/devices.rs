//! Devices that come, are named, pushed to and removed, and the tokens that they come with.

use tutti_acceptance::{
    devices::{
        Appear, Barred, Device, Known, Register, Remove, Removed, Rename, SetPush, Sighting, Subscription,
        Token, TokenMark, TrimTokens, Unregistered,
    },
    platform::Platform,
};

use super::*;

const HOUR: u64 = 60 * 60 * 1_000;

pub(super) fn token(text: &str) -> Token {
    Token { mark: TokenMark::of(text), expires_at: Millis(HOUR) }
}

pub(super) fn appear(device: &str, name: &str, token: Token, now: u64) -> Appear {
    let sighting = Sighting { id: device.to_owned(), name: name.to_owned(), platform: Platform::Web };
    Appear { account: "alice".to_owned(), sighting, token, now: Millis(now) }
}

pub(super) fn subscription() -> Subscription {
    let p256dh = Bytes::from(vec![4; 65]);
    let endpoint = "https://push.example/1".to_owned();
    Subscription { endpoint, p256dh, auth: Bytes::from(vec![7; 16]) }
}

impl Fixture {
    async fn appears(&self, device: &str, now: u64) {
        assert_eq!(self.perform(appear(device, "", token("a token"), now)).await, Ok(()));
    }

    async fn comes_with(&self, device: &str, text: &str) -> Result<(), Barred> {
        self.perform(appear(device, "", token(text), 1)).await
    }

    pub(super) async fn register(&self, devices: &[&str], now: u64) -> Result<(), Unregistered> {
        let devices = devices.iter().map(|&id| id.to_owned()).collect();
        self.perform(Register { account: "alice".to_owned(), devices, now: Millis(now) }).await
    }

    pub(super) async fn rename(&self, device: &str, name: &str) -> bool {
        let (account, device, name) = ("alice".to_owned(), device.to_owned(), name.to_owned());
        self.perform(Rename { account, device, name }).await
    }

    pub(super) async fn remove(&self, device: &str, by: Option<&str>, now: u64) -> bool {
        let (account, device, by) = ("alice".to_owned(), device.to_owned(), by.map(str::to_owned));
        self.perform(Remove { account, device, by, now: Millis(now) }).await
    }

    pub(super) async fn push(&self, device: &str, push: Option<Subscription>) -> bool {
        let (account, device) = ("alice".to_owned(), device.to_owned());
        self.perform(SetPush { account, device, push }).await
    }

    pub(super) async fn devices(&self) -> Vec<Device> {
        self.storage.devices("alice").await.unwrap()
    }

    pub(super) async fn device(&self, id: &str) -> Option<Known> {
        self.storage.device("alice", id).await.unwrap()
    }

    async fn names(&self) -> Vec<(String, String)> {
        self.devices().await.into_iter().map(|device| (device.id, device.name)).collect()
    }

    pub(super) async fn keepers(&self, text: &str) -> Option<Vec<String>> {
        let keepers = self.storage.token_keepers("alice", TokenMark::of(text)).await.unwrap();
        keepers.map(|keepers| keepers.into_iter().collect())
    }
}

fn named(names: &[(&str, &str)]) -> Vec<(String, String)> {
    names.iter().map(|&(id, name)| (id.to_owned(), name.to_owned())).collect()
}

fn removed(by: Option<&str>, at: u64) -> Removed {
    Removed { by: by.map(str::to_owned), at: Millis(at) }
}

#[tokio::test]
async fn devices_are_listed_as_they_were_registered_and_seen() {
    let fixture = Fixture::new().await;
    assert_eq!(fixture.devices().await, []);
    fixture.appears("b", 5).await;
    fixture.register(&["c", "a", "b"], 7).await.unwrap();
    fixture.appears("a", 9).await;
    let seen = |id, registered, last_seen| Device {
        platform: Some(Platform::Web),
        last_seen: Some(Millis(last_seen)),
        ..Device::new(id, Millis(registered))
    };
    let all = [seen("b", 5, 5), seen("a", 7, 9), Device::new("c", Millis(7))];
    assert_eq!(fixture.devices().await, all);
    for device in all {
        assert_eq!(fixture.device(&device.id).await, Some(Known::Listed(device)));
    }
    assert_eq!(fixture.device("d").await, None);
    assert_eq!(fixture.storage.device("bob", "a").await.unwrap(), None, "each account has its own");
    assert_eq!(fixture.storage.devices("bob").await.unwrap(), []);
}

#[tokio::test]
async fn a_name_that_the_user_gave_wins_over_those_that_the_device_brings() {
    let fixture = Fixture::new().await;
    fixture.register(&["d"], 1).await.unwrap();
    let come = async |name| fixture.perform(appear("d", name, token("a token"), 2)).await.unwrap();
    for (brought, shown) in [("", "d"), ("Firefox", "Firefox"), ("Firefox 2", "Firefox 2"), ("", "Firefox 2")]
    {
        come(brought).await;
        assert_eq!(fixture.names().await, named(&[("d", shown)]), "{brought}");
    }
    assert!(fixture.rename("d", "Kitchen").await);
    come("Firefox 3").await;
    assert_eq!(fixture.names().await, named(&[("d", "Kitchen")]));
    assert!(fixture.rename("d", "Bath").await);
    assert_eq!(fixture.names().await, named(&[("d", "Bath")]));
    // Also one that it brought itself before.
    fixture.perform(appear("e", "Safari", token("a token"), 3)).await.unwrap();
    assert!(fixture.rename("e", "Safari").await);
    fixture.perform(appear("e", "Safari 2", token("a token"), 4)).await.unwrap();
    assert_eq!(fixture.names().await[1].1, "Safari");
    assert!(!fixture.rename("nobody", "x").await);
    assert_eq!(fixture.devices().await.len(), 2);
}

#[tokio::test]
async fn a_removed_device_is_gone_for_good() {
    let fixture = Fixture::new().await;
    fixture.appears("d", 1).await;
    fixture.appears("e", 2).await;
    assert!(fixture.push("d", Some(subscription())).await);
    assert!(fixture.remove("d", Some("e"), 3).await);
    let tombstone = Some(Known::Removed(removed(Some("e"), 3)));
    let is_gone = async || {
        assert_eq!(fixture.names().await, named(&[("e", "e")]));
        assert_eq!(fixture.device("d").await, tombstone);
    };
    is_gone().await;
    assert!(fixture.remove("d", None, 4).await, "once more changes nothing");
    is_gone().await;
    let barred = fixture.perform(appear("d", "back", token("another"), 5)).await;
    assert_eq!(barred, Err(Barred::Removed(removed(Some("e"), 3))));
    assert!(!fixture.rename("d", "back").await);
    assert!(!fixture.push("d", Some(subscription())).await);
    is_gone().await;
    assert_eq!(fixture.register(&["f", "d"], 6).await, Err(Unregistered::Removed("d".to_owned())));
    is_gone().await;
    assert!(!fixture.remove("f", None, 7).await, "there was none");
    assert_eq!(fixture.device("f").await, None);
    assert!(fixture.remove("e", None, 8).await);
    assert_eq!(fixture.device("e").await, Some(Known::Removed(removed(None, 8))));
    assert_eq!(fixture.devices().await, []);
}

#[tokio::test]
async fn another_accounts_device_of_that_id_stays() {
    let fixture = Fixture::new().await;
    fixture.appears("d", 1).await;
    let bobs = Appear { account: "bob".to_owned(), ..appear("d", "", token("a token"), 1) };
    fixture.perform(bobs.clone()).await.unwrap();
    assert!(fixture.remove("d", None, 2).await);
    assert_eq!(fixture.storage.devices("bob").await.unwrap().len(), 1);
    assert_eq!(fixture.perform(bobs).await, Ok(()), "with its token, too");
    assert_eq!(fixture.storage.token_keepers("bob", TokenMark::of("a token")).await.unwrap(), None);
}

#[tokio::test]
async fn where_a_device_is_pushed_to_can_be_set_changed_and_ended() {
    let fixture = Fixture::new().await;
    assert!(!fixture.push("d", Some(subscription())).await, "there is none");
    fixture.appears("d", 1).await;
    fixture.appears("e", 2).await;
    let other = Subscription { endpoint: "https://push.example/2".to_owned(), ..subscription() };
    for push in [Some(subscription()), Some(other), None, None, Some(subscription())] {
        assert!(fixture.push("d", push.clone()).await);
        fixture.appears("d", 3).await;
        assert!(fixture.rename("d", "named").await);
        let devices = fixture.devices().await;
        assert_eq!((&devices[0].push, &devices[1].push), (&push, &None));
        assert!(matches!(fixture.device("d").await, Some(Known::Listed(device)) if device.push == push));
    }
}

#[tokio::test]
async fn of_too_many_devices_those_give_way_that_were_not_there_for_longest() {
    let fixture = Fixture::new().await;
    let id = |number: usize| format!("device {number:03}");
    for number in 0..limits::DEVICES {
        fixture.appears(&id(number), 10 + number as u64).await;
    }
    fixture.push(&id(1), Some(subscription())).await;
    fixture.appears(&id(0), 9_000).await;
    fixture.appears("one more", 9_001).await;
    let devices = fixture.devices().await;
    assert_eq!(devices.len(), limits::DEVICES);
    assert_eq!(fixture.device(&id(1)).await, None, "and no more is known of it");
    assert!(fixture.device(&id(0)).await.is_some());
    fixture.register(&["x", "y"], 9_002).await.unwrap();
    assert_eq!(fixture.devices().await.len(), limits::DEVICES);
    for (number, is_there) in [(2, false), (3, false), (4, true)] {
        assert_eq!(fixture.device(&id(number)).await.is_some(), is_there, "{number}");
    }
    fixture.appears(&id(1), 9_003).await;
    let Some(Known::Listed(back)) = fixture.device(&id(1)).await else { panic!("it may come again") };
    assert_eq!((back.registered_at, back.push), (Millis(9_003), None));
}

#[tokio::test]
async fn the_tokens_of_a_removed_device_work_only_for_those_that_came_with_them_before() {
    let fixture = Fixture::new().await;
    for (device, text) in [("d", "shared"), ("e", "shared"), ("d", "own"), ("f", "another's")] {
        assert_eq!(fixture.comes_with(device, text).await, Ok(()));
    }
    for text in ["shared", "own", "another's", "new"] {
        assert_eq!(fixture.keepers(text).await, None, "{text}");
    }
    fixture.remove("d", None, 2).await;
    assert_eq!(fixture.keepers("shared").await, Some(vec!["e".to_owned()]));
    assert_eq!(fixture.keepers("own").await, Some(vec![]));
    assert_eq!(fixture.keepers("another's").await, None);
    assert_eq!(fixture.keepers("new").await, None);
    let barred = Err(Barred::Token);
    for (device, text, comes) in [
        ("e", "shared", Ok(())),
        ("f", "shared", barred.clone()),
        ("g", "shared", barred.clone()),
        ("e", "own", barred.clone()),
        ("g", "own", barred),
        ("g", "another's", Ok(())),
    ] {
        assert_eq!(fixture.comes_with(device, text).await, comes, "{device}, {text}");
    }
    assert_eq!(fixture.keepers("shared").await, Some(vec!["e".to_owned()]), "who was barred is none");
    fixture.remove("e", None, 3).await;
    assert_eq!(fixture.keepers("shared").await, Some(vec![]));
}

#[tokio::test]
async fn tokens_are_forgotten_once_they_have_expired() {
    let fixture = Fixture::new().await;
    // A token of an account's own making may last for ever.
    let lasting = Token { mark: TokenMark::of("lasting"), expires_at: Millis(u64::MAX) };
    for (device, token) in [("d", token("short")), ("e", token("short")), ("d", lasting)] {
        fixture.perform(appear(device, "", token, 1)).await.unwrap();
    }
    for number in 0..1_200 {
        fixture.comes_with("d", &number.to_string()).await.unwrap();
    }
    fixture.remove("d", None, 2).await;
    let trim = async |now| while fixture.perform(TrimTokens { now: Millis(now) }).await {};
    trim(HOUR - 1).await;
    assert_eq!(fixture.keepers("short").await, Some(vec!["e".to_owned()]));
    assert_eq!(fixture.keepers("1199").await, Some(vec![]));
    trim(HOUR).await;
    assert_eq!(fixture.keepers("short").await, None);
    assert_eq!(fixture.keepers("0").await, None);
    assert_eq!(fixture.keepers("1199").await, None);
    assert_eq!(fixture.keepers("lasting").await, Some(vec![]));
    assert!(matches!(fixture.device("d").await, Some(Known::Removed(_))), "that stays");
}

#[tokio::test]
async fn a_removal_that_is_not_committed_has_not_begun() {
    let fixture = Fixture::new().await;
    fixture.appears("d", 1).await;
    fixture.push("d", Some(subscription())).await;
    let before = fixture.devices().await;
    let remove = Remove { account: "alice".to_owned(), device: "d".to_owned(), by: None, now: Millis(2) };
    let mut tx = fixture.storage.begin().await.unwrap();
    assert!(remove.run(&mut *tx, &mut Growth::default()).await.unwrap());
    drop(tx);
    assert_eq!(fixture.devices().await, before);
    assert_eq!(fixture.keepers("a token").await, None);
    fixture.appears("d", 3).await;
}

#[tokio::test]
async fn what_changes_the_list_is_noted_and_nothing_else() {
    let fixture = Fixture::new().await;
    let changes = async |work: &dyn Job| work.changes(&*fixture.storage).await;
    let come = |name: &str| appear("d", name, token("a token"), 2);
    let (account, device) = ("alice".to_owned(), "d".to_owned());
    let rename =
        |name: &str| Rename { account: account.clone(), device: device.clone(), name: name.to_owned() };
    let push = |push| SetPush { account: account.clone(), device: device.clone(), push };
    let other = Subscription { endpoint: "https://push.example/2".to_owned(), ..subscription() };
    let register =
        Register { account: account.clone(), devices: vec!["d".into(), "e".into()], now: Millis(1) };
    let remove = Remove { account: account.clone(), device: device.clone(), by: None, now: Millis(3) };
    assert_eq!(changes(&register).await, 2);
    assert_eq!(changes(&register).await, 0);
    assert_eq!(changes(&come("x")).await, 1, "it has a platform and a name now");
    assert_eq!(changes(&come("x")).await, 0, "it was only seen");
    assert_eq!(changes(&come("y")).await, 1);
    assert_eq!(changes(&rename("z")).await, 1);
    assert_eq!(changes(&rename("z")).await, 0);
    assert_eq!(changes(&come("w")).await, 0);
    assert_eq!(changes(&push(Some(subscription()))).await, 1);
    assert_eq!(changes(&push(Some(other))).await, 0, "where to does not show");
    assert_eq!(changes(&push(None)).await, 1);
    assert_eq!(changes(&remove).await, 1);
    assert_eq!(changes(&remove).await, 0);
    assert_eq!(changes(&come("v")).await, 0);
}

/// Work of any kind, for how much it changes.
#[async_trait::async_trait]
trait Job: Sync {
    async fn changes(&self, storage: &dyn Storage) -> usize;
}

#[async_trait::async_trait]
impl<W: Work> Job for W {
    async fn changes(&self, storage: &dyn Storage) -> usize {
        perform(storage, self).await.unwrap().1.devices().len()
    }
}
