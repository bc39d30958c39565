//! Web Push, to push services of the test's own: what they get, what they may answer, and what is never called.

mod common;

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use bytes::Bytes;
use common::{PATIENCE, TestServer, eventually};
use futures_util::{StreamExt as _, stream};
use hkdf::Hkdf;
use p256::{
    PublicKey, SecretKey,
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
    elliptic_curve::{Generate as _, sec1::ToSec1Point as _},
};
use rcgen::CertifiedKey;
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tutti_server::push::{
    Internet, Key, Network, Outcome, Payload, Push, Queue, SIZES, Sender, Services, Subscription, Topic,
    Urgency, Vapid,
};

const VAPID_KEY: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
const VAPID_PUBLIC: &str =
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";
const SUBJECT: &str = "mailto:push@chat.example";
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Of an endless answer, in bytes.
const PIECE: usize = 16 * 1_024;
const RETRY: Outcome = Outcome::Retry { after: None };

/// What a browser keeps of its subscription.
struct Browser {
    secret: SecretKey,
    auth: [u8; 16],
}

impl Browser {
    fn new() -> Self {
        Self { secret: SecretKey::generate(), auth: [7; 16] }
    }

    fn subscribe(&self, endpoint: &str, services: &Services) -> Subscription {
        let json = json!({
            "endpoint": endpoint,
            "expirationTime": null,
            "keys": {
                "p256dh": BASE64.encode(self.secret.public_key().to_sec1_point(false)),
                "auth": BASE64.encode(self.auth),
            },
        });
        Subscription::from_json(&json.to_string(), services).unwrap()
    }

    /// RFC 8291 and RFC 8188, read from the other end.
    fn open(&self, body: &[u8]) -> Vec<u8> {
        let (salt, rest) = body.split_at(16);
        let (record_size, rest) = rest.split_at(4);
        let record_size = u32::from_be_bytes(record_size.try_into().unwrap());
        let (length, rest) = rest.split_first().unwrap();
        let (theirs, record) = rest.split_at(usize::from(*length));
        assert!(record.len() <= record_size as usize);
        let agreed = self.secret.diffie_hellman(&PublicKey::from_sec1_bytes(theirs).unwrap());
        let own = self.secret.public_key().to_sec1_point(false);
        let derive = |salt: &[u8], secret: &[u8], info: &[u8], derived: &mut [u8]| {
            Hkdf::<Sha256>::new(Some(salt), secret).expand(info, derived).unwrap();
        };
        let mut secret = [0; 32];
        let info = [b"WebPush: info\0", own.as_bytes(), theirs].concat();
        derive(&self.auth, agreed.raw_secret_bytes(), &info, &mut secret);
        let (mut key, mut nonce) = ([0; 16], [0; 12]);
        derive(salt, &secret, b"Content-Encoding: aes128gcm\0", &mut key);
        derive(salt, &secret, b"Content-Encoding: nonce\0", &mut nonce);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut record = record.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = key.open_in_place(nonce, Aad::empty(), &mut record).unwrap();
        let end = opened.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(opened[end], 2, "the last record");
        opened[..end].to_vec()
    }
}

/// A push service on loopback that does what the path of an endpoint says.
struct PushService {
    origin: String,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(Parts, Bytes)>>,
    /// Pieces of an endless answer.
    pieces: AtomicUsize,
}

impl PushService {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Seen>::default();
        let app = Router::new().fallback(answer).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { origin, seen }
    }

    fn services(&self) -> Services {
        Services::new(vec![self.origin.parse().unwrap()])
    }

    fn sender(&self) -> Sender {
        Sender::new(self.services().into(), vapid().into()).unwrap()
    }

    fn subscription(&self, path: &str) -> Subscription {
        Browser::new().subscribe(&format!("{}{path}", self.origin), &self.services())
    }

    async fn outcome(&self, path: &str) -> Outcome {
        timeout(PATIENCE, self.sender().send(&self.subscription(path), &hello())).await.unwrap()
    }

    fn received(&self) -> Vec<(Parts, Bytes)> {
        self.seen.requests.lock().unwrap().clone()
    }
}

async fn answer(State(seen): State<Arc<Seen>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    seen.requests.lock().unwrap().push((parts, body));
    let piece = move || {
        seen.pieces.fetch_add(1, Relaxed);
        Ok::<_, io::Error>(Bytes::from_static(&[b'x'; PIECE]))
    };
    match path.as_str() {
        "/throttled" => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "120")]).into_response(),
        "/later" => {
            let date = httpdate::fmt_http_date(SystemTime::now() + HOUR);
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, date)]).into_response()
        }
        "/elsewhere" => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/inner")]).into_response(),
        "/cookie" => (StatusCode::CREATED, [(header::SET_COOKIE, "a=b; Path=/")]).into_response(),
        "/endless" => (StatusCode::CREATED, Body::from_stream(stream::repeat_with(piece))).into_response(),
        "/stalls" => {
            let stalls = stream::repeat_with(piece).take(1).chain(stream::pending());
            (StatusCode::CREATED, Body::from_stream(stalls)).into_response()
        }
        "/never" => std::future::pending().await,
        path => path[1..]
            .parse()
            .map_or(StatusCode::CREATED, |code| StatusCode::from_u16(code).unwrap())
            .into_response(),
    }
}

fn vapid() -> Vapid {
    Vapid::new(VAPID_KEY, SUBJECT).unwrap()
}

fn hello() -> Push {
    push("hello, browser")
}

fn push(text: &str) -> Push {
    let payload = Payload::new(text.to_owned()).unwrap();
    Push { payload, ttl: HOUR, urgency: Urgency::High, topic: Some(Topic::new("a-topic").unwrap()) }
}

fn key() -> Key {
    Key { account: "alice".to_owned(), notification: Bytes::from("n"), subscription: Bytes::from("s") }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).unwrap_or_else(|| panic!("{name}")).to_str().unwrap()
}

/// What a VAPID token says, if its signature is of the key that comes with it (RFC 8292).
fn claims(authorization: &str) -> Value {
    let (token, key) = authorization.strip_prefix("vapid t=").unwrap().split_once(", k=").unwrap();
    assert_eq!(key, VAPID_PUBLIC);
    let (said, signature) = token.rsplit_once('.').unwrap();
    let decode = |text: &str| BASE64.decode(text).unwrap();
    let signature = Signature::from_slice(&decode(signature)).unwrap();
    VerifyingKey::from_sec1_bytes(&decode(key)).unwrap().verify(said.as_bytes(), &signature).unwrap();
    let (header, claims) = said.split_once('.').unwrap();
    let header: Value = serde_json::from_slice(&decode(header)).unwrap();
    assert_eq!(header, json!({"typ": "JWT", "alg": "ES256"}));
    serde_json::from_slice(&decode(claims)).unwrap()
}

#[tokio::test]
async fn a_push_service_gets_who_pushes_and_the_browser_alone_what() {
    let service = PushService::start().await;
    let browser = Browser::new();
    let sender = service.sender();
    for payload in ["", "hello, browser", &"x".repeat(500), &"x".repeat(3_993)] {
        let subscription =
            browser.subscribe(&format!("{}/a/capability?b", service.origin), &service.services());
        assert_eq!(sender.send(&subscription, &push(payload)).await, Outcome::Delivered);
        let (parts, body) = service.received().pop().unwrap();
        assert_eq!((parts.method, parts.uri.to_string()), (Method::POST, "/a/capability?b".to_owned()));
        assert_eq!(String::from_utf8(browser.open(&body)).unwrap(), payload);
        assert!(SIZES.contains(&body.len()), "{}", body.len());
        for (name, expected) in [
            ("content-encoding", "aes128gcm"),
            ("content-type", "application/octet-stream"),
            ("content-length", &*body.len().to_string()),
            ("ttl", "3600"),
            ("urgency", "high"),
            ("topic", "a-topic"),
        ] {
            assert_eq!(text(&parts.headers, name), expected, "{name}");
        }
        assert_eq!(format!("http://{}", text(&parts.headers, "host")), service.origin);
        assert!(!parts.headers.contains_key("cookie") && !parts.headers.contains_key("user-agent"));
        let claims = claims(text(&parts.headers, "authorization"));
        assert_eq!((&claims["aud"], &claims["sub"]), (&json!(service.origin), &json!(SUBJECT)));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let left = claims["exp"].as_u64().unwrap() - now;
        assert!((11 * 3_600..=12 * 3_600).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn what_a_push_service_answers_decides_what_becomes_of_a_push() {
    let service = PushService::start().await;
    for (path, expected) in [
        ("/200", Outcome::Delivered),
        ("/201", Outcome::Delivered),
        ("/202", Outcome::Delivered),
        ("/404", Outcome::Gone),
        ("/410", Outcome::Gone),
        ("/413", Outcome::TooLarge),
        ("/400", Outcome::Refused(400)),
        ("/401", Outcome::Refused(401)),
        ("/403", Outcome::Refused(403)),
        ("/429", RETRY),
        ("/500", RETRY),
        ("/503", RETRY),
        ("/throttled", Outcome::Retry { after: Some(Duration::from_secs(120)) }),
    ] {
        assert_eq!(service.outcome(path).await, expected, "{path}");
    }
    let Outcome::Retry { after: Some(after) } = service.outcome("/later").await else {
        panic!("a date is a time to wait");
    };
    assert!((HOUR - Duration::from_secs(10)..=HOUR).contains(&after), "{after:?}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_cookies_not_kept() {
    let service = PushService::start().await;
    let sender = service.sender();
    for (path, expected) in
        [("/elsewhere", Outcome::Refused(307)), ("/cookie", Outcome::Delivered), ("/201", Outcome::Delivered)]
    {
        assert_eq!(sender.send(&service.subscription(path), &hello()).await, expected);
    }
    let received = service.received();
    let paths: Vec<_> = received.iter().map(|(parts, _)| parts.uri.path()).collect();
    assert_eq!(paths, ["/elsewhere", "/cookie", "/201"]);
    assert!(!received[2].0.headers.contains_key("cookie"));
}

#[tokio::test]
async fn little_of_an_answer_is_read() {
    let service = PushService::start().await;
    assert_eq!(service.outcome("/endless").await, Outcome::Delivered);
    // What systems and sockets take in before anybody reads it, many times over.
    let sent = service.seen.pieces.load(Relaxed) * PIECE;
    assert!(sent < 64 << 20, "{sent}");
}

/// The clock stands until the push service has the push; then it runs as fast as it can.
#[tokio::test]
async fn no_push_service_is_waited_for_longer_than_a_while() {
    for (path, expected) in [("/stalls", Outcome::Delivered), ("/never", RETRY)] {
        let service = PushService::start().await;
        let (sender, subscription) = (service.sender(), service.subscription(path));
        let send = tokio::spawn(async move { sender.send(&subscription, &hello()).await });
        eventually(async || !service.received().is_empty()).await;
        tokio::time::pause();
        let start = tokio::time::Instant::now();
        assert_eq!(send.await.unwrap(), expected, "{path}");
        assert!(start.elapsed() <= Duration::from_secs(16), "{path}: {:?}", start.elapsed());
        tokio::time::resume();
    }
}

#[tokio::test]
async fn who_is_not_there_is_asked_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let services = Services::new(vec![origin.parse().unwrap()]);
    let subscription = Browser::new().subscribe(&format!("{origin}/a"), &services);
    let sender = Sender::new(services.into(), vapid().into()).unwrap();
    assert_eq!(sender.send(&subscription, &hello()).await, RETRY);
}

#[tokio::test]
async fn what_is_listed_no_more_is_not_called() {
    let service = PushService::start().await;
    let subscription = service.subscription("/201");
    let sender = Sender::new(Services::default().into(), vapid().into()).unwrap();
    assert_eq!(sender.send(&subscription, &hello()).await, Outcome::NotAllowed);
    assert!(service.received().is_empty());
}

/// A network in which names stand for what a test says, one answer after the other, and all public addresses are
/// those of one listener.
struct FakeNetwork {
    answers: Mutex<VecDeque<Vec<&'static str>>>,
    dialled: Mutex<Vec<SocketAddr>>,
    leads_to: SocketAddr,
}

#[async_trait]
impl Network for FakeNetwork {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let answer = self.answers.lock().unwrap().pop_front().expect("it is asked once for each connection");
        Ok(answer.iter().map(|address| (address.parse::<std::net::IpAddr>().unwrap(), port).into()).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dialled.lock().unwrap().push(address);
        Internet.connect(self.leads_to).await
    }
}

/// A push service with a certificate, which answers each connection once.
struct Encrypted {
    addr: SocketAddr,
    trusted: CertificateDer<'static>,
}

impl Encrypted {
    async fn start(name: &str) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(serve_once_each(listener, Arc::new(config).into()));
        Self { addr, trusted: cert.der().clone() }
    }

    /// A sender in whose network names stand for these addresses, one answer after the other.
    fn sender(
        &self,
        answers: &[&[&'static str]],
        trusted: &CertificateDer<'static>,
    ) -> (Sender, Arc<FakeNetwork>) {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        let network = Arc::new(FakeNetwork {
            answers: Mutex::new(answers),
            dialled: Mutex::default(),
            leads_to: self.addr,
        });
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (Sender::over(network.clone(), tls.into(), listed().into(), vapid().into()), network)
    }
}

async fn serve_once_each(listener: TcpListener, acceptor: TlsAcceptor) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            stream.read_buf(&mut request).await.unwrap();
        }
        let answer = b"HTTP/1.1 201 Created\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let _ = stream.shutdown().await;
    }
}

fn listed() -> Services {
    Services::new(vec!["push.example".parse().unwrap()])
}

fn at_push_example() -> Subscription {
    Browser::new().subscribe("https://push.example/a", &listed())
}

const PUBLIC: &str = "8.8.8.8";

#[tokio::test]
async fn a_name_that_leads_inward_is_not_dialled() {
    let service = Encrypted::start("push.example").await;
    for inner in
        ["127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "::1", "::ffff:127.0.0.1", "fd00::1"]
    {
        let (sender, network) = service.sender(&[&[inner]], &service.trusted);
        assert_eq!(sender.send(&at_push_example(), &hello()).await, Outcome::NotAllowed, "{inner}");
        assert_eq!(*network.dialled.lock().unwrap(), [], "{inner}");
    }
    let (sender, network) = service.sender(&[&["127.0.0.1", PUBLIC, "::1"]], &service.trusted);
    assert_eq!(sender.send(&at_push_example(), &hello()).await, Outcome::Delivered);
    assert_eq!(*network.dialled.lock().unwrap(), ["8.8.8.8:443".parse().unwrap()], "the public one alone");
}

/// The name is asked for once, and what was looked at is what is dialled; the next connection looks again.
#[tokio::test]
async fn a_name_that_is_turned_inward_is_not_followed() {
    let service = Encrypted::start("push.example").await;
    let (sender, network) = service.sender(&[&[PUBLIC], &["127.0.0.1"]], &service.trusted);
    assert_eq!(sender.send(&at_push_example(), &hello()).await, Outcome::Delivered);
    assert_eq!(sender.send(&at_push_example(), &hello()).await, Outcome::NotAllowed);
    assert_eq!(*network.dialled.lock().unwrap(), ["8.8.8.8:443".parse().unwrap()]);
}

#[tokio::test]
async fn a_push_service_shows_a_certificate_of_its_own_name() {
    let other = Encrypted::start("evil.example").await;
    let (sender, _) = other.sender(&[&[PUBLIC]], &other.trusted);
    assert_eq!(sender.send(&at_push_example(), &hello()).await, RETRY, "another name");
    let service = Encrypted::start("push.example").await;
    let (sender, _) = service.sender(&[&[PUBLIC]], &other.trusted);
    assert_eq!(sender.send(&at_push_example(), &hello()).await, RETRY, "nobody who is trusted");
}

#[tokio::test]
async fn the_queue_hands_over_and_tells_what_is_gone() {
    let service = PushService::start().await;
    let queue = Queue::new(Arc::new(service.sender()));
    let gone = Key { subscription: Bytes::from("gone"), ..key() };
    queue.enqueue(gone.clone(), service.subscription("/410"), hello());
    queue.enqueue(key(), service.subscription("/201"), hello());
    let told = async {
        let told = queue.gone().await;
        eventually(async || queue.counts().delivered == 1).await;
        told
    };
    let told = tokio::select! {
        () = queue.run() => unreachable!(),
        told = timeout(PATIENCE, told) => told.unwrap(),
    };
    assert_eq!(told, gone);
}

/// Whatever is logged, and however much: who reads it can neither push nor read what was pushed.
#[tokio::test]
async fn logs_name_push_services_and_nothing_else() {
    // For the whole process: what is logged is remembered by where it is logged, across threads.
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    subscriber.init();
    let service = PushService::start().await;
    let queue = Queue::new(Arc::new(service.sender()));
    let paths = ["/403", "/413", "/404", "/elsewhere", "/201", "/500"];
    for path in paths {
        let key = Key { subscription: Bytes::from(path), ..key() };
        queue.enqueue(key, service.subscription(&format!("{path}?a-capability")), push("a secret"));
    }
    let settled = eventually(async || {
        let counts = queue.counts();
        (counts.refused, counts.gone, counts.delivered, queue.len()) == (3, 1, 1, 1)
    });
    tokio::select! {
        () = queue.run() => unreachable!(),
        () = settled => {}
    }
    let unreachable = Services::new(vec!["http://127.0.0.1:1".parse().unwrap()]);
    let subscription = Browser::new().subscribe("http://127.0.0.1:1/a-capability", &unreachable);
    let sender = Sender::new(unreachable.into(), vapid().into()).unwrap();
    assert_eq!(sender.send(&subscription, &push("a secret")).await, RETRY);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains(&service.origin) && log.contains("http://127.0.0.1:1"), "{log}");
    for secret in ["a-capability", "a secret", "eyJ", VAPID_KEY] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn the_server_says_what_to_subscribe_with_if_it_pushes() {
    let secret = ["--token-secret", "a secret for the tests alone"];
    let given = [&secret[..], &["--vapid-key", VAPID_KEY, "--vapid-subject", SUBJECT]].concat();
    let server = TestServer::start_in_earnest(&given).await;
    let (status, answer) = server.call_as("", Method::GET, "/api/push", String::new()).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({"public_key": VAPID_PUBLIC})));
    server.stop().await;

    let made_up = TestServer::start().await;
    let (_, answer) = made_up.call_as("", Method::GET, "/api/push", String::new()).await;
    assert_eq!(BASE64.decode(answer["public_key"].as_str().unwrap()).unwrap().len(), 65);

    let off = TestServer::start_in_earnest(&secret).await;
    let (status, answer) = off.call_as("", Method::GET, "/api/push", String::new()).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::NOT_FOUND, &json!("not-found")));
    assert!(answer["error"]["message"].as_str().unwrap().contains("--vapid-key"), "{answer}");
    off.stop().await;
}
