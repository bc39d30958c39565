use tokio::time::advance;
use tutti_protocol::limits;

use tutti_acceptance::platform::Platform;

use super::*;
use crate::bus::alone;

const LEASE: Duration = Duration::from_millis(limits::SLOT_LEASE);
const LAST: Bid<'_> = Bid { take_over: None, yields: false };
const YIELDING: Bid<'_> = Bid { take_over: None, yields: true };

/// A hub that lets an account have so many connections from the web, and one of each other platform.
fn hub(web: u32) -> Arc<Hub> {
    Arc::new(Hub::new(alone(), LEASE, Limits { web, ..Limits::default() }))
}

fn connection(device: &str, epoch: u64) -> Connection {
    Connection {
        device: device.to_owned(),
        addressee: device.parse().unwrap_or(DeviceId::from([0; 16])),
        name: String::new(),
        platform: Platform::Web,
        epoch,
        since: 0,
    }
}

fn on(platform: Platform, device: &str) -> Connection {
    Connection { platform, ..connection(device, 0) }
}

async fn is_online(hub: &Hub, account: &str, device: &str) -> bool {
    hub.connections(account).await.iter().any(|connection| connection.device == device)
}

/// Devices need an id that goes over the wire.
fn device(number: u8) -> String {
    DeviceId::from([number; 16]).to_string()
}

/// Who is told to have the places.
fn holders(lost: Lost) -> Vec<String> {
    let Lost::Limited(limit) = lost else { panic!("{lost:?}") };
    let devices = limit.connections.iter().map(|connection| DeviceId::try_from(&connection.device).unwrap());
    devices.map(|device| device.to_string()).collect()
}

#[tokio::test]
async fn a_newer_connection_of_a_device_replaces_the_older() {
    let hub = hub(1);
    let older = hub.claim("alice", connection("d", 1), true, LAST).await.unwrap();
    let newer = hub.claim("alice", connection("d", 1), true, LAST).await.unwrap();
    assert_eq!(older.lost().await, Lost::Replaced);
    drop(older);
    assert!(is_online(&hub, "alice", "d").await);
    drop(newer);
    assert!(!is_online(&hub, "alice", "d").await);
}

#[tokio::test]
async fn a_device_that_was_removed_loses_its_place_at_once() {
    let hub = hub(1);
    let removed = hub.claim("alice", connection("d", 1), true, LAST).await.unwrap();
    hub.revoke("alice", "e", None).await;
    hub.revoke("bob", "d", None).await;
    assert!(is_online(&hub, "alice", "d").await, "it was another one's");
    hub.revoke("alice", "d", Some("e")).await;
    assert!(!is_online(&hub, "alice", "d").await);
    assert_eq!(removed.lost().await, Lost::Revoked(Some("e".to_owned())));
    let other = hub.claim("alice", connection("e", 1), true, LAST).await.unwrap();
    drop(removed);
    assert!(is_online(&hub, "alice", "e").await);
    drop(other);
}

#[tokio::test]
async fn a_fenced_leader_does_not_replace_its_successor() {
    let hub = hub(10);
    let _standing = hub.claim("alice", connection("d", 2), true, LAST).await.unwrap();
    let denied = hub.claim("alice", connection("d", 1), true, LAST).await.err();
    assert_eq!(denied, Some(Denied::Superseded));
}

#[tokio::test]
async fn web_connections_are_limited_an_account() {
    let hub = hub(1);
    let first = hub.claim("alice", connection("a", 0), true, LAST).await.unwrap();
    assert!(hub.claim("alice", connection("b", 0), true, LAST).await.is_err());
    let _phone = hub.claim("alice", on(Platform::Mobile, "p"), true, LAST).await.unwrap();
    let _other = hub.claim("bob", connection("b", 0), true, LAST).await.unwrap();
    drop(first);
    assert!(hub.claim("alice", connection("b", 0), true, LAST).await.is_ok());
}

#[tokio::test]
async fn from_the_web_apart_who_comes_last_replaces_who_came_first_unless_it_yields() {
    for platform in Platform::ALL.into_iter().filter(|platform| *platform != Platform::Web) {
        let hub = hub(10);
        let others = Platform::ALL.into_iter().filter(|other| *other != platform);
        let mut standing = Vec::new();
        for other in others {
            standing.push(hub.claim("alice", on(other, other.as_str()), true, LAST).await.unwrap());
        }
        let first = hub.claim("alice", on(platform, &device(1)), true, LAST).await.unwrap();
        let second = hub.claim("alice", on(platform, &device(2)), true, LAST).await.unwrap();
        assert_eq!(holders(first.lost().await), [device(2)]);
        drop(first);
        match hub.claim("alice", on(platform, &device(1)), true, YIELDING).await {
            Err(Denied::Full(limit)) => assert_eq!(holders(Lost::Limited(limit)), [device(2)]),
            _ => panic!("{platform:?}: it fights back"),
        }
        let robbing = Bid { take_over: Some(&device(2)), yields: true };
        let robber = hub.claim("alice", on(platform, &device(3)), true, robbing).await.unwrap();
        assert_eq!(holders(second.lost().await), [device(3)], "it was asked for");
        drop(robber);
        assert!(hub.claim("alice", on(platform, &device(1)), true, YIELDING).await.is_ok(), "a free place");
        assert_eq!(hub.connections("alice").await.len(), 3, "the other platforms do not mind");
    }
}

#[tokio::test]
async fn where_more_are_allowed_the_oldest_goes() {
    let hub = Arc::new(Hub::new(alone(), LEASE, Limits { mobile: 2, ..Limits::default() }));
    let first = hub.claim("alice", on(Platform::Mobile, &device(9)), true, LAST).await.unwrap();
    let _second = hub.claim("alice", on(Platform::Mobile, &device(2)), true, LAST).await.unwrap();
    let _third = hub.claim("alice", on(Platform::Mobile, &device(1)), true, LAST).await.unwrap();
    assert_eq!(holders(first.lost().await), [device(2), device(1)], "oldest first");
}

#[tokio::test]
async fn with_lower_limits_those_go_that_would_not_have_been_let_in() {
    let allowed = Limits { mobile: 3, desktop: 3, miniprogram: 3, web: 3 };
    let hub = Arc::new(Hub::new(alone(), LEASE, allowed.clone()));
    let mut slots = Vec::new();
    for (kind, platform) in Platform::ALL.into_iter().enumerate() {
        for number in 0..3 {
            let device = device(10 * kind as u8 + number);
            slots.push((
                platform,
                number,
                hub.claim("alice", on(platform, &device), true, LAST).await.unwrap(),
            ));
        }
    }
    hub.set_limits(Limits { desktop: 1, mobile: 2, web: 1, ..allowed }).await;
    for (platform, number, slot) in &slots {
        let goes = match platform {
            Platform::Mobile => *number < 1,
            Platform::Desktop => *number < 2,
            Platform::Miniprogram => false,
            Platform::Web => *number > 0,
        };
        assert_eq!(slot.signals.lost.borrow().is_some(), goes, "{platform:?} {number}");
        if goes {
            let limit = holders(slot.lost().await).len();
            assert_eq!(limit, if *platform == Platform::Mobile { 2 } else { 1 });
        } else {
            slot.woken().await;
        }
    }
    assert_eq!(hub.connections("alice").await.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_place_is_kept_by_signs_of_life_alone() {
    let hub = hub(2);
    let silent = hub.claim("alice", connection("a", 0), true, LAST).await.unwrap();
    let heard = hub.claim("alice", connection("b", 0), true, LAST).await.unwrap();
    advance(LEASE).await;
    heard.renew();
    assert!(hub.claim("alice", connection("c", 0), true, LAST).await.is_err(), "the lease has not run out");
    advance(Duration::from_millis(1)).await;
    let _newcomer = hub.claim("alice", connection("c", 0), true, LAST).await.unwrap();
    assert_eq!(silent.lost().await, Lost::Replaced);
    // When it comes to its end at last, it takes nothing with it.
    drop(silent);
    let Err(Denied::Full(limit)) = hub.claim("alice", connection("d", 0), true, LAST).await else {
        panic!("a third was let in");
    };
    assert_eq!(limit.connections.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_device_on_which_its_user_did_something_last_is_the_one() {
    let hub = hub(10);
    let one = |number| Some(DeviceId::from([number; 16]));
    assert_eq!(hub.device("alice").await, None);
    let first = hub.claim("alice", connection(&device(1), 0), true, LAST).await.unwrap();
    let second = hub.claim("alice", on(Platform::Mobile, &device(2)), true, LAST).await.unwrap();
    let _bob = hub.claim("bob", connection(&device(3), 0), true, LAST).await.unwrap();
    assert_eq!(hub.device("alice").await, one(2), "to come is to do something");
    first.note_active().await;
    second.renew();
    assert_eq!(hub.device("alice").await, one(1), "a sign of life is not");
    advance(LEASE).await;
    second.renew();
    advance(Duration::from_millis(1)).await;
    assert_eq!(hub.device("alice").await, one(2), "who says nothing any more is not there");
    drop(second);
    assert_eq!(hub.device("alice").await, None);
}

#[tokio::test]
async fn statuses_reach_those_who_stand_and_understand_them_and_no_more_than_are_read() {
    let hub = hub(10);
    let own = hub.claim("alice", connection("a", 0), true, LAST).await.unwrap();
    let other = hub.claim("alice", connection("b", 0), true, LAST).await.unwrap();
    let older = hub.claim("alice", connection("c", 0), false, LAST).await.unwrap();
    hub.tell(["alice"], &Bytes::from_static(b"1"), Some(own.ticket()));
    hub.tell(["bob"], &Bytes::from_static(b"2"), None);
    assert_eq!(other.status().await, "1");
    for _ in 0..2 * STATUSES {
        hub.tell(["alice"], &Bytes::from_static(b"3"), None);
    }
    assert_eq!(own.signals.statuses().len(), STATUSES);
    assert_eq!(own.status().await, "3", "nothing of its own");
    assert!(older.signals.statuses().is_empty());
}

#[tokio::test]
async fn a_denied_account_leaves_nothing_behind() {
    let hub = hub(0);
    assert!(hub.claim("alice", connection("a", 0), true, LAST).await.is_err());
    assert!(hub.state().accounts.is_empty());
}
