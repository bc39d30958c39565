//! Alice and her things; Bob, whom she shares some of them with; Mallory, who has no part in any.

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio_tungstenite::tungstenite::Message;
use tutti_protocol::{
    DeviceId, OperationId,
    wire::{self, client_frame, operation::Body, server_frame::Frame},
};

use crate::common::{Client, Socket, TestServer, accepted_seq, framed, hello, id, message, receive, until};

/// What Alice's device is called: a name that hers have, and others may have, too.
pub(crate) const DEVICE: u8 = 1;
/// One of hers that she has removed.
pub(crate) const REMOVED: u8 = 66;
/// One of hers that has never connected.
pub(crate) const SPARE: &str = "spare";
pub(crate) const SESSION: &str = "session:article";

pub(crate) fn direct_message() -> Bytes {
    id(1, 1)
}

pub(crate) fn group_message() -> Bytes {
    id(1, 2)
}

pub(crate) fn notification() -> Bytes {
    id(1, 3)
}

/// An id as HTTP shows it.
pub(crate) fn text(id: &Bytes) -> String {
    OperationId::try_from(id).unwrap().to_string()
}

/// A server on which nobody has ever been. It believes the tokens of all others in these tests, and pushes with their
/// key.
pub(crate) async fn nowhere(dev: bool) -> TestServer {
    let secrets = [
        ["--token-secret", "a secret for the tests alone"],
        ["--vapid-key", "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"],
        ["--vapid-subject", "mailto:push@chat.example"],
    ]
    .concat();
    if dev { TestServer::start_with(&secrets).await } else { TestServer::start_in_earnest(&secrets).await }
}

/// What everyone says who they are with.
pub(crate) struct Tokens {
    pub(crate) alice: String,
    pub(crate) bob: String,
    pub(crate) mallory: String,
    /// Alice's, with which her device came that is removed.
    pub(crate) removed: String,
    /// Alice's, too late.
    pub(crate) expired: String,
    /// It says that it is Alice's, with the signature of Mallory's.
    pub(crate) forged: String,
}

impl Tokens {
    /// The same for all tests: made once.
    pub(crate) async fn get() -> &'static Self {
        static TOKENS: OnceCell<Tokens> = OnceCell::const_new();
        TOKENS.get_or_init(Self::mint).await
    }

    async fn mint() -> Self {
        let server = nowhere(false).await;
        let token = async |account: &str, ttl: u32| {
            let body = json!({"account": account, "ttl_seconds": ttl});
            let (_, answer) = server.call(Method::POST, "/api/tokens", body).await;
            (answer["token"].as_str().unwrap().to_owned(), answer["expires_at"].as_u64().unwrap())
        };
        let (expired, expires_at) = token("alice", 1).await;
        let (alice, _) = token("alice", 600).await;
        let (removed, _) = token("alice", 600).await;
        let (bob, _) = token("bob", 600).await;
        let (mallory, _) = token("mallory", 600).await;
        let (said, _) = alice.rsplit_once('.').unwrap();
        let (_, signature) = mallory.rsplit_once('.').unwrap();
        let forged = format!("{said}.{signature}");
        until(expires_at).await;
        Self { alice, removed, bob, mallory, expired, forged }
    }
}

/// A server on which Alice has one of everything, and is there.
pub(crate) struct World {
    pub(crate) server: TestServer,
    pub(crate) alice: Client,
}

/// How it is with what is Alice's.
#[derive(Debug, PartialEq)]
pub(crate) struct State {
    log: Vec<Frame>,
    api: Vec<(StatusCode, Value)>,
}

impl World {
    pub(crate) async fn begin(dev: bool, tokens: &Tokens) -> Self {
        let server = nowhere(dev).await;
        let members = json!({"members": ["alice", "bob"]});
        let put = server.call(Method::PUT, "/api/groups/team", members).await;
        let body = json!({"accounts": ["alice"], "title": "t", "body": "b", "id": text(&notification())});
        let notified = server.call(Method::POST, "/api/notifications", body).await;
        assert!(put.0.is_success() && notified.0.is_success());
        remove_one(&server, tokens).await;
        let hello =
            wire::Hello { status: true, notifications: true, ..hello(&tokens.alice, "alice", DEVICE) };
        let mut alice = Client::greet(server.addr, hello).await.expect("a welcome");
        let own = wire::Operation { id: id(1, 4), clock: 1, body: Some(set(SESSION)) };
        let direct = message(direct_message(), "direct:bob", &json!("hi"));
        let group = message(group_message(), "group:team", &json!("hi, all"));
        let outcomes = alice.submit(vec![direct, group, own]).await;
        assert!(outcomes.iter().all(|outcome| accepted_seq(outcome).is_some()), "{outcomes:?}");
        alice.pull(0).await;
        let present = alice.next().await;
        assert!(
            matches!(present, Frame::Status(_)),
            "her own devices are told that she is there: {present:?}"
        );
        Self { server, alice }
    }

    /// How it is now. What Alice was told before is passed over.
    pub(crate) async fn state(&mut self) -> State {
        self.told().await;
        let pull = client_frame::Frame::Pull(wire::Pull { after: 0 });
        let log = say(&mut self.alice.socket, vec![pull]).await;
        let mut api = Vec::new();
        for path in [
            "/api/devices?user_id=alice",
            "/api/connections?user_id=alice",
            "/api/groups/team",
            "/api/settings",
        ] {
            api.push(self.server.call(Method::GET, path, json!(null)).await);
        }
        State { log, api }
    }

    /// Nothing of what is Alice's is other than it was, and she was told nothing.
    pub(crate) async fn is_still(&mut self, before: &State, after: &str) {
        assert_eq!(self.told().await, [], "{after}");
        assert_eq!(self.state().await, *before, "{after}");
    }

    async fn told(&mut self) -> Vec<Frame> {
        say(&mut self.alice.socket, Vec::new()).await
    }
}

/// Leaves Alice with a device that has never connected, and one that was removed while it was connected.
async fn remove_one(server: &TestServer, tokens: &Tokens) {
    let body = json!({"user_id": "alice", "devices": [SPARE]});
    let registered = server.call(Method::POST, "/api/devices", body).await;
    let hello = hello(&tokens.removed, "alice", REMOVED);
    let mut removed = Client::greet(server.addr, hello).await.expect("a welcome");
    let path = format!("/api/devices/{}?user_id=alice", DeviceId::from([REMOVED; 16]));
    let gone = server.call(Method::DELETE, &path, json!(null)).await;
    assert!(registered.0.is_success() && gone.0.is_success());
    assert!(matches!(removed.next().await, Frame::Revoked(_)));
}

/// Says frames all at once, and gets what comes until nothing that was said before is on its way any more, on the
/// server's side, or it has ended the connection.
pub(crate) async fn say(socket: &mut Socket, frames: Vec<client_frame::Frame>) -> Vec<Frame> {
    // A frame goes before what is told, so what waits is told between the two.
    let fence = [u64::MAX - 1, u64::MAX].map(|nonce| client_frame::Frame::Ping(wire::Ping { nonce }));
    let mut all = futures_util::stream::iter(frames.into_iter().chain(fence))
        .map(|frame| Ok(Message::Binary(framed(frame))));
    socket.send_all(&mut all).await.unwrap();
    let mut answers = Vec::new();
    while let Some(frame) = receive(socket).await {
        match frame {
            Frame::Pong(wire::Pong { nonce: u64::MAX }) => break,
            Frame::Pong(pong) if pong.nonce == u64::MAX - 1 => {}
            frame => answers.push(frame),
        }
    }
    answers
}

pub(crate) fn set(target: &str) -> Body {
    let (name, value) = if target == SESSION { ("at", "7") } else { ("pinned", "true") };
    let field = wire::Field { name: name.to_owned(), value: Bytes::from_static(value.as_bytes()) };
    Body::Set(wire::Set { target: target.to_owned(), fields: vec![field] })
}
