use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use async_trait::async_trait;
use tokio::time::{sleep, timeout};

use super::*;
use crate::push::{Payload, Services};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const RETRY: Outcome = Outcome::Retry { after: None };

/// Push services that answer what they are told to, and after some time.
#[derive(Default)]
struct Fake {
    answers: Mutex<VecDeque<Outcome>>,
    /// When the answers run out.
    otherwise: Option<Outcome>,
    takes: Duration,
    sent: Mutex<Vec<Sent>>,
    sending: AtomicUsize,
    most: AtomicUsize,
}

#[derive(Clone, Debug)]
struct Sent {
    at: Instant,
    service: String,
    urgency: Urgency,
    ttl: Duration,
}

#[async_trait]
impl Deliver for Fake {
    async fn deliver(&self, to: &Subscription, push: &Push) -> Outcome {
        let sent = Sent { at: Instant::now(), service: to.origin(), urgency: push.urgency, ttl: push.ttl };
        self.sent.lock().unwrap().push(sent);
        self.most.fetch_max(self.sending.fetch_add(1, Relaxed) + 1, Relaxed);
        sleep(self.takes).await;
        self.sending.fetch_sub(1, Relaxed);
        let answer = self.answers.lock().unwrap().pop_front();
        answer.or(self.otherwise).unwrap_or(Outcome::Delivered)
    }
}

impl Fake {
    fn answering(answers: &[Outcome]) -> Arc<Self> {
        Arc::new(Self { answers: Mutex::new(answers.iter().copied().collect()), ..Self::default() })
    }

    fn always(otherwise: Outcome) -> Arc<Self> {
        Arc::new(Self { otherwise: Some(otherwise), ..Self::default() })
    }

    fn taking(takes: Duration) -> Arc<Self> {
        Arc::new(Self { takes, ..Self::default() })
    }

    fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    fn most(&self) -> usize {
        self.most.load(Relaxed)
    }
}

fn key(notification: &str, subscription: &str) -> Key {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Key { account: "alice".to_owned(), notification: bytes(notification), subscription: bytes(subscription) }
}

fn subscription(service: &str) -> Subscription {
    Subscription::new(
        &format!("https://{service}.push.example/capability"),
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "BTBZMqHH6r4Tts7J_aSIgg",
        &Services::new(vec!["*.push.example".parse().unwrap()]),
    )
    .unwrap()
}

fn push(urgency: Urgency, ttl: Duration) -> Push {
    Push { payload: Payload::new("hi").unwrap(), ttl, urgency, topic: None }
}

/// One to the service `a`.
fn enqueue(queue: &Queue, notification: &str, ttl: Duration) {
    queue.enqueue(key(notification, "one"), subscription("a"), push(Urgency::Normal, ttl));
}

/// Lets the queue send for so long.
async fn run(queue: &Queue, time: Duration) {
    assert!(timeout(time, queue.run()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn the_more_urgent_is_sent_first_and_then_the_older() {
    let fake = Fake::taking(SECOND);
    let queue = Queue::new(fake.clone());
    for (service, urgency) in [
        ("a", Urgency::VeryLow),
        ("b", Urgency::Normal),
        ("a", Urgency::High),
        ("b", Urgency::Low),
        ("a", Urgency::Normal),
        ("b", Urgency::High),
    ] {
        queue.enqueue(key("1", "one"), subscription(service), push(urgency, HOUR));
    }
    run(&queue, 10 * SECOND).await;
    let sent: Vec<_> = fake.sent().iter().map(|sent| (sent.urgency, sent.service.clone())).collect();
    let expected = [
        (Urgency::High, "a"),
        (Urgency::High, "b"),
        (Urgency::Normal, "b"),
        (Urgency::Normal, "a"),
        (Urgency::Low, "b"),
        (Urgency::VeryLow, "a"),
    ];
    assert_eq!(sent, expected.map(|(urgency, service)| (urgency, format!("https://{service}.push.example"))));
    assert_eq!(queue.counts(), Counts { delivered: 6, ..Counts::default() });
}

#[tokio::test(start_paused = true)]
async fn few_are_sent_at_a_time_and_fewer_to_one_service() {
    let fake = Fake::taking(SECOND);
    let queue = Queue::new(fake.clone());
    (0..20).for_each(|_| enqueue(&queue, "1", HOUR));
    run(&queue, 10 * SECOND).await;
    assert_eq!((fake.most(), fake.sent().len()), (SENDS_PER_SERVICE, 20));

    let fake = Fake::taking(SECOND);
    let queue = Queue::new(fake.clone());
    for i in 0..200 {
        let service = subscription(&(i % 10).to_string());
        queue.enqueue(key("1", "one"), service, push(Urgency::Normal, HOUR));
    }
    run(&queue, 20 * SECOND).await;
    assert_eq!((fake.most(), fake.sent().len()), (SENDS, 200));
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_others_are_sent_is_sent() {
    let fake = Fake::taking(SECOND);
    let queue = Queue::new(fake.clone());
    let later = async {
        sleep(SECOND / 2).await;
        enqueue(&queue, "1", HOUR);
        sleep(10 * SECOND).await;
    };
    enqueue(&queue, "1", HOUR);
    tokio::select! {
        () = queue.run() => {}
        () = later => {}
    }
    let sent = fake.sent();
    assert_eq!(sent[1].at - sent[0].at, SECOND / 2);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_up_to_five_minutes_and_differ() {
    let fake = Fake::always(RETRY);
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "1", 2 * HOUR);
    run(&queue, 2 * HOUR).await;
    let sent = fake.sent();
    assert!(sent.len() > 24, "{}", sent.len());
    let tick = Duration::from_millis(2);
    for (i, pair) in sent.windows(2).enumerate() {
        let longest = Duration::from_secs(2_u64.pow(i.min(20) as u32).min(300));
        let paused = pair[1].at - pair[0].at;
        assert!((longest / 2..=longest + tick).contains(&paused), "pause {i}: {paused:?} of {longest:?}");
    }
    let mut late: Vec<_> = sent[12..].windows(2).map(|pair| (pair[1].at - pair[0].at).as_secs()).collect();
    late.dedup();
    assert!(late.len() > 4, "chance makes them differ: {late:?}");
}

#[test]
fn chance_takes_up_to_a_half_off_a_pause() {
    for (sends, longest) in [(1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (u32::MAX, 300)] {
        let longest = Duration::from_secs(longest);
        assert_eq!(pause(sends, 0.0), longest);
        assert_eq!(pause(sends, 1.0), longest / 2);
    }
    assert!((0.0..=1.0).contains(&chance()));
}

#[tokio::test(start_paused = true)]
async fn what_is_worth_nothing_any_more_is_given_up() {
    let fake = Fake::always(RETRY);
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "1", 60 * SECOND);
    let start = Instant::now();
    run(&queue, HOUR).await;
    assert!(queue.is_empty());
    assert_eq!(queue.counts(), Counts { expired: 1, ..Counts::default() });
    for sent in fake.sent() {
        assert_eq!(sent.ttl, 60 * SECOND - (sent.at - start), "what is left of it is said");
    }
}

#[tokio::test(start_paused = true)]
async fn what_expires_while_it_waits_is_not_sent() {
    let hold = Outcome::Retry { after: Some(60 * SECOND) };
    let fake = Fake::answering(&[hold]);
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "1", HOUR);
    run(&queue, SECOND).await;
    enqueue(&queue, "2", 30 * SECOND);
    run(&queue, 31 * SECOND).await;
    assert_eq!(
        (queue.len(), queue.counts().expired),
        (1, 1),
        "not even kept until its service is open again"
    );
    run(&queue, HOUR).await;
    assert_eq!(fake.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn for_now_or_never_is_tried_for_a_second() {
    let fake = Fake::always(RETRY);
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "1", Duration::ZERO);
    run(&queue, HOUR).await;
    let sent = fake.sent();
    assert!(!sent.is_empty() && sent.iter().all(|sent| sent.ttl == Duration::ZERO), "{sent:?}");
    assert!(sent.iter().all(|later| later.at - sent[0].at < SECOND), "{sent:?}");
    assert_eq!(queue.counts().expired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_says_when_is_left_alone_until_then() {
    let hold = Outcome::Retry { after: Some(40 * SECOND) };
    let fake = Fake::answering(&[hold]);
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "1", HOUR);
    let start = Instant::now();
    run(&queue, SECOND).await;
    enqueue(&queue, "2", HOUR);
    queue.enqueue(key("3", "two"), subscription("b"), push(Urgency::Normal, HOUR));
    run(&queue, HOUR).await;
    let sent = fake.sent();
    let of = |service: &str| {
        let sent = sent.iter().filter(|sent| sent.service.contains(service));
        sent.map(|sent| (sent.at - start).as_secs()).collect::<Vec<_>>()
    };
    assert_eq!(of("//a."), [0, 40, 40]);
    assert_eq!(of("//b."), [1], "others are not");
}

#[tokio::test(start_paused = true)]
async fn no_service_is_left_alone_for_longer_than_an_hour() {
    let hold = Outcome::Retry { after: Some(Duration::MAX) };
    let fake = Fake::answering(&[hold]);
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "1", 3 * HOUR);
    run(&queue, 2 * HOUR).await;
    let sent = fake.sent();
    assert_eq!((sent[1].at - sent[0].at).as_secs(), 3_600);
}

#[tokio::test(start_paused = true)]
async fn what_is_cancelled_is_not_sent_or_not_again() {
    let fake = Arc::new(Fake { takes: SECOND, otherwise: Some(RETRY), ..Fake::default() });
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "rests", HOUR);
    run(&queue, SECOND * 3 / 2).await;
    assert_eq!((fake.sent().len(), queue.len()), (1, 1));
    for notification in ["waits", "is sent", "stays"] {
        enqueue(&queue, notification, HOUR);
    }
    queue.cancel(|key| key.notification == "waits" || key.notification == "rests");
    assert_eq!((queue.len(), queue.counts().cancelled), (2, 2));
    let cancel = async {
        sleep(SECOND / 4).await;
        queue.cancel(|key| key.notification == "is sent");
        sleep(HOUR / 2).await;
    };
    tokio::select! {
        () = queue.run() => {}
        () = cancel => {}
    }
    let sent = fake.sent();
    assert_eq!(queue.counts().cancelled, 3);
    let now = sent[1].at;
    let soon = sent.iter().filter(|sent| sent.at >= now && sent.at < now + SECOND / 2).count();
    assert_eq!(soon, 2, "one is cancelled while it is sent, the other stays");
    let at_once = |sent: &Sent| sent.at > now + SECOND / 2 && sent.at < now + 3 * SECOND;
    assert_eq!(sent.iter().filter(|sent| at_once(sent)).count(), 1, "and that one alone is sent again");
}

#[tokio::test(start_paused = true)]
async fn when_it_is_full_the_oldest_of_the_least_urgent_go() {
    let fake = Fake::answering(&[]);
    let queue = Queue::new(fake.clone());
    let services = ["a", "b", "b"].map(subscription);
    for i in 0..WAITING {
        let urgency = if i % 2 == 0 { Urgency::Low } else { Urgency::Normal };
        let service = services[i % services.len()].clone();
        queue.enqueue(key(&i.to_string(), "one"), service, push(urgency, HOUR));
    }
    assert_eq!((queue.len(), queue.counts().dropped), (WAITING, 0));
    let add = |urgency| queue.enqueue(key("new", "one"), subscription("c"), push(urgency, HOUR));
    (0..3).for_each(|_| add(Urgency::High));
    add(Urgency::VeryLow);
    assert_eq!((queue.len(), queue.counts().dropped), (WAITING, 4));
    let mut left = Vec::new();
    queue.cancel(|key| {
        left.push(String::from_utf8(key.notification.to_vec()).unwrap());
        false
    });
    assert!(["0", "2", "4"].iter().all(|gone| !left.iter().any(|key| key == gone)), "the oldest of the low");
    assert!(["1", "3", "5", "6"].iter().all(|kept| left.iter().any(|key| key == kept)));
    assert_eq!(left.iter().filter(|key| *key == "new").count(), 3, "the new one was the least urgent itself");
}

#[tokio::test(start_paused = true)]
async fn who_is_gone_is_told_and_sent_nothing_more() {
    let fake = Fake::answering(&[Outcome::Gone]);
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "1", HOUR);
    let later = async {
        let gone = timeout(HOUR, queue.gone()).await.expect("it is told");
        sleep(HOUR).await;
        gone
    };
    (0..SENDS_PER_SERVICE).for_each(|_| enqueue(&queue, "2", HOUR));
    (0..3).for_each(|_| enqueue(&queue, "never sent", HOUR));
    queue.enqueue(key("3", "two"), subscription("a"), push(Urgency::VeryLow, HOUR));
    let gone = tokio::select! {
        () = queue.run() => unreachable!(),
        gone = later => gone,
    };
    assert_eq!(gone, key("1", "one"));
    assert!(queue.is_empty());
    assert_eq!(fake.sent().iter().filter(|sent| sent.urgency == Urgency::VeryLow).count(), 1);
    let delivered = SENDS_PER_SERVICE as u64;
    assert_eq!(queue.counts(), Counts { gone: 1, delivered, cancelled: 4, ..Counts::default() });
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_is_not_sent_again() {
    for outcome in [Outcome::TooLarge, Outcome::Refused(403), Outcome::NotAllowed] {
        let fake = Fake::always(outcome);
        let queue = Queue::new(fake.clone());
        enqueue(&queue, "1", HOUR);
        run(&queue, HOUR).await;
        assert_eq!(fake.sent().len(), 1);
        assert_eq!(queue.counts(), Counts { refused: 1, ..Counts::default() });
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_waits_for_nothing() {
    let fake = Fake::taking(HOUR);
    let queue = Queue::new(fake.clone());
    enqueue(&queue, "1", HOUR);
    let start = Instant::now();
    run(&queue, SECOND).await;
    assert_eq!(start.elapsed().as_secs(), 1);
    assert_eq!((fake.sent().len(), queue.counts().delivered), (1, 0));
}
