//! Whatever happens, every storage says the same of it, byte by byte. Ids, times and all else come from a seed.
#![cfg(feature = "sql")]

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    mem::discriminant,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message as _;
use tutti_acceptance::{
    accept::Submission,
    devices::{
        Appear, Register, Remove, Rename, SetPush, Sighting, Subscription, Token, TokenMark, TrimTokens,
    },
    erasure::EraseAccount,
    groups::{DeleteGroup, PutGroup},
    history::Trim,
    notifications::Notify,
    platform::Platform,
    reach::{Claim, Online, Reach},
    source::Source,
    storage::{AccountKey, MasterKeys, MemoryStorage, Overview, Reader, Storage},
    work::{Growth, Work, perform},
};
use tutti_protocol::{
    DeviceId, LogId, Millis, OperationId, Position, Seq, codec,
    wire::{self, event, operation::Body},
};

const STEPS: u64 = 1_000;
/// So often all that is kept is compared; what each step answers is compared at once.
const COMPARED: u64 = 200;

const ACCOUNTS: [&str; 7] = ["alice", "bob", "carol", "dave", "erin", "frank", "zoë"];
const GROUPS: [&str; 2] = ["one", "two"];
const DEVICES: u8 = 3;

#[tokio::test]
async fn a_thousand_operations_end_in_the_same_logs_in_every_storage() {
    let mut kinds = HashSet::new();
    for seed in 0..4 {
        let (storages, _data) = storages().await;
        let mut rng = Rng(seed);
        for number in 1..=STEPS {
            let before = rng;
            let mut answers = BTreeMap::<String, Vec<&str>>::new();
            for (name, storage) in &storages {
                rng = before;
                answers.entry(step(&**storage, &mut rng, number).await).or_default().push(name);
            }
            assert_eq!(answers.len(), 1, "seed {seed}, step {number}: {answers:#?}");
            if number % COMPARED == 0 {
                let (_, memory) = &storages[0];
                let expected = kept(&**memory, &mut kinds).await;
                for (name, storage) in &storages[1..] {
                    let kept = kept(&**storage, &mut kinds).await;
                    if let Some((kept, expected)) =
                        kept.iter().zip(&expected).find(|(one, other)| one != other)
                    {
                        let [kept, expected] =
                            [kept, expected].map(|(what, it)| (what, it.escape_ascii().to_string()));
                        panic!("seed {seed}, step {number}, {name}: {kept:?}\nand in memory {expected:?}");
                    }
                    assert_eq!(kept.len(), expected.len(), "seed {seed}, step {number}, {name}");
                }
            }
        }
    }
    assert_eq!(kinds.len(), 8, "every kind of entry came up, and superseded ones");
}

/// All that there are, that in memory first.
async fn storages() -> (Vec<(&'static str, Box<dyn Storage>)>, impl Drop) {
    let data = tempfile::tempdir().unwrap();
    let keys = MasterKeys::new("a master key for the tests alone");
    let mut all: Vec<(_, Box<dyn Storage>)> =
        vec![("memory", Box::new(MemoryStorage::new(LogId::from([1; 16]))))];
    #[cfg(feature = "sqlite")]
    {
        let file = data.path().join("tutti.db");
        let storage = tutti_acceptance::storage::SqliteStorage::open(&file, &keys).await.unwrap();
        all.push(("SQLite", Box::new(storage)));
    }
    #[cfg(feature = "postgres")]
    {
        let url = tutti_databases::database();
        let storage = tutti_acceptance::storage::PostgresStorage::open(&url, &keys).await.unwrap();
        all.push(("PostgreSQL", Box::new(storage)));
    }
    (all, data)
}

/// Does something, as a server would be asked to at that step of the history, and tells what came of it.
async fn step(storage: &dyn Storage, rng: &mut Rng, number: u64) -> String {
    let now = now(number);
    let account = rng.pick(&ACCOUNTS).to_owned();
    match rng.below(200) {
        0 => {
            // It may be interrupted, and goes on another time.
            let mut told = String::new();
            for _ in 0..=rng.below(3) {
                told += &done(storage, EraseAccount { account: account.clone(), now }).await;
            }
            told
        }
        1 => done(storage, DeleteGroup { id: rng.pick(&GROUPS).to_owned() }).await,
        2..10 => done(storage, PutGroup { id: rng.pick(&GROUPS).to_owned(), members: some(rng) }).await,
        10..26 => {
            done(storage, Notify { accounts: some(rng), notification: notification(rng, number), now }).await
        }
        26..30 => {
            let until = Seq(rng.below(number));
            done(storage, Claim { account, device: device(rng), after: Seq(0), until }).await
        }
        30 => trim(storage, Millis(now.0.saturating_sub(40_000))).await,
        31..50 => list(storage, rng, account, now).await,
        _ => done(storage, submission(rng, account, number)).await,
    }
}

/// What somebody does about the devices of an account.
async fn list(storage: &dyn Storage, rng: &mut Rng, account: String, now: Millis) -> String {
    let device = device(rng).to_string();
    let name = format!("device {}", rng.below(5));
    match rng.below(12) {
        0..5 => {
            let mark = TokenMark::of(&format!("token {}", rng.below(8)));
            let token = Token { mark, expires_at: Millis(now.0 + 1_000 * rng.below(30)) };
            let sighting = Sighting { id: device, name, platform: rng.pick(&Platform::ALL) };
            done(storage, Appear { account, sighting, token, now }).await
        }
        5 | 6 => done(storage, Register { account, devices: vec![device, name], now }).await,
        7 | 8 => done(storage, Rename { account, device, name }).await,
        9 => done(storage, Remove { account, device: name, by: Some(device), now }).await,
        10 => {
            let (p256dh, auth) = (Bytes::from_static(&[4; 65]), Bytes::from_static(&[5; 16]));
            let push = Subscription { endpoint: format!("https://push.example/{name}"), p256dh, auth };
            let push = (rng.below(3) > 0).then_some(push);
            done(storage, SetPush { account, device, push }).await
        }
        _ => done(storage, TrimTokens { now }).await,
    }
}

/// What was sent before is no longer kept, in any log. In which order storages come to the accounts is their own affair.
async fn trim(storage: &dyn Storage, before: Millis) -> String {
    let mut next = Some(AccountKey(-1));
    let mut has_erased = false;
    while let Some(after) = next {
        let (trimmed, _) = perform(storage, &Trim { after, before }).await.unwrap();
        has_erased |= trimmed.erased;
        next = trimmed.next;
    }
    format!("erased: {has_erased}")
}

/// What an account may do, and what the back end may, with few enough names that they meet.
fn submission(rng: &mut Rng, account: String, number: u64) -> Submission {
    let most = 1 + rng.below(3);
    let operations = (0..most).map(|place| operation(rng, number, place)).collect();
    let device = device(rng);
    let sources = [Source::BackEnd, Source::Device(device), Source::Device(device), Source::Passing(device)];
    Submission {
        account,
        source: rng.pick(&sources),
        operations,
        include_sender: rng.below(5) > 0,
        notifies: rng.below(4) == 0,
        hide_reads: rng.below(4) == 0,
        recall_window: (rng.below(4) == 0).then_some(Duration::from_secs(20)),
        reach: if rng.below(3) > 0 { Reach::All } else { Reach::One(Arc::new(Somebody(self::device(rng)))) },
        now: now(number),
    }
}

fn operation(rng: &mut Rng, number: u64, place: u64) -> wire::Operation {
    let direct = format!("direct:{}", rng.pick(&ACCOUNTS));
    let group = format!("group:{}", rng.pick(&GROUPS));
    let conversation = if rng.below(2) == 0 { direct } else { group };
    // Now and then the same again, or something else under the same id.
    let id = if rng.below(20) == 0 { earlier(rng, number) } else { id_of(number, place) };
    let message = earlier(rng, number);
    let body = match rng.below(22) {
        0..8 => {
            let length = if rng.below(10) == 0 { 10_000 } else { 10 };
            Body::Send(wire::Send { conversation, r#type: "text".to_owned(), content: words(number, length) })
        }
        8..11 => Body::Edit(wire::Edit { message, content: words(number, 20) }),
        11 | 12 => Body::Recall(wire::Recall { message }),
        13..16 => {
            let position = rng.below(number / 8 + 2);
            Body::MarkRead(wire::MarkRead { conversation, position })
        }
        16 | 17 => {
            let state = 1 + i32::try_from(rng.below(2)).unwrap();
            Body::MarkNotification(wire::MarkNotification { notification: message, state })
        }
        _ => {
            let target = if rng.below(3) == 0 { format!("session:{}", rng.below(3)) } else { conversation };
            let names: &[&str] =
                if target.starts_with("session") { &["x", "y"] } else { &["draft", "pinned"] };
            let value = match rng.below(4) {
                0 => Bytes::new(),
                // A draft that answers a message.
                1 | 2 => format!("\"{}\"", OperationId::try_from(&message).unwrap()).into(),
                _ => Bytes::from_static(b"true"),
            };
            let fields = vec![wire::Field { name: rng.pick(names).to_owned(), value }];
            Body::Set(wire::Set { target, fields })
        }
    };
    wire::Operation { id, clock: number * 100 + rng.below(500), body: Some(body) }
}

fn notification(rng: &mut Rng, number: u64) -> wire::Notification {
    wire::Notification {
        id: if rng.below(8) == 0 { earlier(rng, number) } else { id_of(number, 0) },
        conversation: if rng.below(2) == 0 { String::new() } else { format!("group:{}", rng.pick(&GROUPS)) },
        title: format!("notification {number}"),
        message: if rng.below(3) == 0 { Bytes::new() } else { earlier(rng, number) },
        ..wire::Notification::default()
    }
}

fn words(number: u64, length: usize) -> Bytes {
    format!("\"{}\"", format!("{number} ").repeat(length / 4)).into()
}

fn now(number: u64) -> Millis {
    Millis(number * 100)
}

fn id_of(number: u64, place: u64) -> Bytes {
    Bytes::copy_from_slice(&u128::from(number * 10 + place).to_be_bytes())
}

/// The id of something that may have happened, most likely lately.
fn earlier(rng: &mut Rng, number: u64) -> Bytes {
    let ago = if rng.below(4) == 0 { number } else { number.min(20) };
    id_of(number - rng.below(ago), 0)
}

fn some(rng: &mut Rng) -> BTreeSet<String> {
    ACCOUNTS.into_iter().filter(|_| rng.below(3) > 0).map(str::to_owned).collect()
}

fn device(rng: &mut Rng) -> DeviceId {
    DeviceId::from([rng.below(DEVICES.into()) as u8; 16])
}

/// Of some accounts this device is there, of others none.
#[derive(Debug)]
struct Somebody(DeviceId);

#[async_trait]
impl Online for Somebody {
    async fn device(&self, account: &str) -> Option<DeviceId> {
        (account.len() % 2 == 1).then_some(self.0)
    }
}

async fn done<W: Work>(storage: &dyn Storage, work: W) -> String
where
    W::Answer: std::fmt::Debug,
{
    let (answer, growth) = perform(storage, &work).await.unwrap();
    format!("{answer:?} {}", Told(&growth))
}

/// What a server does after the commit.
struct Told<'a>(&'a Growth);

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(growth) = self;
        let accounts: Vec<_> = growth.accounts().collect();
        write!(f, "{accounts:?} {:?} {:?}", growth.notices(), growth.devices())?;
        write!(f, " {:?} {}", growth.erased_accounts(), growth.has_erased())
    }
}

/// All that a storage answers: its logs as they go over the wire, and all else that can be asked for.
async fn kept(
    storage: &dyn Storage,
    kinds: &mut HashSet<Option<std::mem::Discriminant<event::Body>>>,
) -> Vec<(String, Vec<u8>)> {
    let mut kept = Vec::new();
    for account in ACCOUNTS {
        for number in 0..DEVICES {
            let device = DeviceId::from([number; 16]);
            let mut next = storage.tail(account).await.unwrap();
            loop {
                let page = storage.page(account, next, device).await.unwrap();
                for event in &page.events {
                    codec::check_event(event).unwrap();
                    kinds.insert(event.body.as_ref().map(discriminant));
                    let what = format!("{account}'s log for device {number} at {}", event.seq);
                    kept.push((what, event.encode_to_vec()));
                }
                let ends = format!("{} {} {} {}", page.next, page.head, page.tail, page.unclaimed);
                kept.push((format!("{account}'s page for device {number}"), ends.into()));
                next = page.next;
                if page.events.is_empty() {
                    break;
                }
            }
            for compensated in [true, false] {
                let reader = Reader { device, compensated, notified: true };
                let overviews = storage.overviews(account, reader, "", 100).await.unwrap();
                for Overview { conversation, news } in overviews {
                    for body in news {
                        let event = wire::Event { body: Some(body), ..wire::Event::default() };
                        kept.push((
                            format!("{account}'s {conversation} for {reader:?}"),
                            event.encode_to_vec(),
                        ));
                    }
                    let all = (Position(1), Position(STEPS));
                    let stretch = storage.stretch(account, reader, &conversation, all, 2_000).await.unwrap();
                    for message in stretch {
                        let what =
                            format!("{account}'s {conversation} for {reader:?} at {}", message.position);
                        kept.push((what, message.encode_to_vec()));
                    }
                }
            }
        }
        let head = storage.head(account).await.unwrap();
        let mut note = |what: &str, answer: String| kept.push((format!("{account}'s {what}"), answer.into()));
        note("head", head.to_string());
        note("waiting", storage.waits(account, head).await.unwrap().to_string());
        note("fields", format!("{:?}", storage.shared(account, "", 100).await.unwrap()));
        note("notifications", format!("{:?}", storage.notifications(account, None, 1_000).await.unwrap()));
        note("active", format!("{:?}", storage.active(account, "", Millis(STEPS * 50)).await.unwrap()));
        note("devices", format!("{:?}", storage.devices(account).await.unwrap()));
        note("contacts", format!("{:?}", storage.contacts(account).await.unwrap()));
        note("end", format!("{:?}", storage.erased(account).await.unwrap()));
        for token in 0..8 {
            let mark = TokenMark::of(&format!("token {token}"));
            note("keepers", format!("{:?}", storage.token_keepers(account, mark).await.unwrap()));
        }
        for number in 0..5 {
            let device = storage.device(account, &format!("device {number}")).await.unwrap();
            note("device", format!("{device:?}"));
        }
    }
    for group in GROUPS {
        kept.push((group.to_owned(), format!("{:?}", storage.group(group).await.unwrap()).into()));
    }
    let mut erasing = storage.erasing().await.unwrap();
    erasing.sort();
    kept.push(("who is being erased".to_owned(), format!("{erasing:?}").into()));
    kept
}

/// SplitMix64.
#[derive(Clone, Copy)]
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}
