//! Every frame and every operation, over a WebSocket and by post.

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;
use tutti_protocol::{
    DeviceId, sequence,
    wire::{
        self, NotificationState, client_frame, event, manage::What, operation::Body, server_frame::Frame,
        status::Status as Kind,
    },
};

use crate::{
    common::{POINT, SERVER_KEY, TestServer, accepted_seq, framed, hello, id, message, open, post, refusal},
    world::{
        DEVICE, REMOVED, SESSION, SPARE, Tokens, World, direct_message, group_message, notification, nowhere,
        say, set,
    },
};

/// Rows for each kind of something, all in one list. A kind that is new does not compile without a row.
macro_rules! rows {
    ($kinds:ty { $($kind:ident => $rows:expr,)* }) => {{
        type Kinds = $kinds;
        let _ = |kind: Kinds| match kind { $(Kinds::$kind(_) => (),)* };
        [$($rows),*].concat()
    }};
}

/// An operation about what is Alice's, or what she calls the same as others call theirs.
#[derive(Clone, Debug)]
struct Deed {
    body: Body,
    /// What becomes of it when Mallory does it, who has no part in any of this …
    stranger: Fate,
    /// … or Bob, who is in the group and has the messages, but has sent none.
    peer: Fate,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is refused with this code.
    Refused(&'static str),
    /// It is about what is their own.
    Own,
    /// It is for them to do as it is for Alice, and she learns of it.
    Shared,
}

fn deeds() -> Vec<Deed> {
    use Fate::{Own, Refused, Shared};

    const UNKNOWN: Fate = Refused("not-found");
    const FORBIDDEN: Fate = Refused("forbidden");

    let deed = |body, stranger, peer| Deed { body, stranger, peer };
    let send = message(Bytes::new(), "group:team", &json!("more")).body.unwrap();
    let read = |conversation: &str| {
        Body::MarkRead(wire::MarkRead { conversation: conversation.to_owned(), position: 1 })
    };
    let edit = |message| {
        let edit = wire::Edit { message, content: Bytes::from_static(b"\"other words\"") };
        deed(Body::Edit(edit), UNKNOWN, FORBIDDEN)
    };
    let recall = |message| deed(Body::Recall(wire::Recall { message }), UNKNOWN, FORBIDDEN);
    let dismiss =
        wire::MarkNotification { notification: notification(), state: NotificationState::Dismissed.into() };
    rows!(Body {
        Send => vec![deed(send, UNKNOWN, Shared)],
        MarkRead => vec![deed(read("group:team"), UNKNOWN, Shared), deed(read("direct:bob"), Own, Own)],
        Edit => vec![edit(direct_message()), edit(group_message())],
        Recall => vec![recall(direct_message()), recall(group_message())],
        Set => vec![
            deed(set("group:team"), UNKNOWN, Own),
            deed(set("direct:bob"), Own, Own),
            deed(set(SESSION), Own, Own),
        ],
        MarkNotification => vec![deed(Body::MarkNotification(dismiss), UNKNOWN, UNKNOWN)],
    })
}

/// Operations that do all that, under ids that no other sender has.
fn operations(sender: u8) -> Vec<wire::Operation> {
    let operation = |(number, deed): (u32, Deed)| {
        let body = Some(deed.body);
        wire::Operation { id: id(sender, number), clock: 2, body }
    };
    (100..).zip(deeds()).map(operation).collect()
}

fn submit(operation: wire::Operation) -> client_frame::Frame {
    client_frame::Frame::Submit(wire::Submit { operations: vec![operation] })
}

/// Frames about what is Alice's.
fn frames(tokens: &Tokens) -> Vec<client_frame::Frame> {
    use client_frame::Frame as Said;

    let group = || "group:team".to_owned();
    let status = |kind| Said::Status(wire::Status { status: Some(kind) });
    let typing = wire::Typing { conversation: group(), typing: true, ..wire::Typing::default() };
    let custom = wire::Custom {
        conversation: group(),
        r#type: "wave".to_owned(),
        content: Bytes::from_static(b"1"),
        ..wire::Custom::default()
    };
    let availability = wire::Availability::Busy.into();
    let busy = wire::AccountPresence { availability, ..wire::AccountPresence::default() };
    let hidden = wire::Privacy { hide_typing: true, hide_presence: true, hide_reads: true };
    let place = wire::SnapshotPlace { from: 0, step: 2, name: group(), before: 9 };
    let snapshot = |place| Said::PullSnapshot(wire::PullSnapshot { days: 7, place });
    let manage = |what| Said::Manage(wire::Manage { number: 7, what: Some(what) });
    let removed = DeviceId::from([REMOVED; 16]).to_string();
    let rename = |device: &str| {
        let (device, name) = (device.to_owned(), "theirs".to_owned());
        manage(What::Rename(wire::RenameDevice { device, name }))
    };
    let remove = |device: &str| manage(What::Remove(wire::RemoveDevice { device: device.to_owned() }));
    let push = wire::SetPush {
        endpoint: "https://fcm.googleapis.com/fcm/send/theirs".to_owned(),
        p256dh: Bytes::from_static(&POINT),
        auth: Bytes::from(vec![7; 16]),
    };
    let history = |conversation| Said::PullHistory(wire::PullHistory { conversation, from: 1, to: 9 });
    rows!(client_frame::Frame {
        Hello => vec![Said::Hello(hello(&tokens.alice, "alice", DEVICE))],
        Submit => operations(7).into_iter().map(submit).collect::<Vec<_>>(),
        Pull => [0, 1, u64::MAX].map(|after| Said::Pull(wire::Pull { after })).to_vec(),
        Ping => vec![Said::Ping(wire::Ping { nonce: 7 })],
        Privacy => vec![Said::Privacy(hidden)],
        Status => [Kind::Typing(typing), Kind::Custom(custom), Kind::Presence(busy)].map(status).to_vec(),
        Ask => vec![Said::Ask(wire::Ask { account: "alice".to_owned() })],
        PullSnapshot => vec![snapshot(None), snapshot(Some(place))],
        PullHistory => vec![history(group()), history("direct:bob".to_owned())],
        Manage => rows!(What {
            List => vec![manage(What::List(wire::ListDevices {}))],
            Rename => [SPARE, &removed].map(rename).to_vec(),
            Remove => [SPARE, &removed].map(remove).to_vec(),
            SetPush => vec![manage(What::SetPush(push)), manage(What::SetPush(wire::SetPush::default()))],
        }),
        Refresh => vec![Said::Refresh(wire::Refresh { token: tokens.alice.clone() })],
    })
}

#[derive(Clone, Copy, Debug)]
enum Transport {
    Socket,
    Post,
}

impl Transport {
    const ALL: [Self; 2] = [Self::Socket, Self::Post];

    /// What the server says to these frames, on a connection of their own.
    async fn say(self, server: &TestServer, frames: Vec<client_frame::Frame>) -> Vec<Frame> {
        match self {
            Self::Socket => say(&mut open(server.addr, Some("tutti.v1"), None).await.unwrap(), frames).await,
            Self::Post => {
                let frames: Vec<Bytes> = frames.into_iter().map(framed).collect();
                post(server, sequence::join(&frames), None).await.1
            }
        }
    }

    /// What the server says to one who is let in, but for the times that it tells.
    async fn ask(self, server: &TestServer, hello: &wire::Hello, frame: client_frame::Frame) -> Vec<Frame> {
        let mut answers = self.say(server, vec![client_frame::Frame::Hello(hello.clone()), frame]).await;
        assert!(matches!(answers.remove(0), Frame::Welcome(_)), "{self:?}");
        answers.iter_mut().for_each(forget_times);
        answers
    }

    /// What becomes of an operation.
    async fn submit(
        self,
        server: &TestServer,
        hello: &wire::Hello,
        operation: &wire::Operation,
    ) -> wire::Outcome {
        match &self.ask(server, hello, submit(operation.clone())).await[..] {
            [Frame::Submitted(submitted)] => submitted.outcomes[0].clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn forget_times(frame: &mut Frame) {
    let events = match frame {
        Frame::Delta(page) => &mut page.events,
        Frame::Snapshot(page) => {
            page.from = 0;
            page.next.iter_mut().for_each(|next| next.from = 0);
            &mut page.events
        }
        Frame::Managed(managed) => {
            for device in managed.devices.iter_mut().flat_map(|list| &mut list.devices) {
                (device.registered_at, device.last_seen) = (0, 0);
            }
            return;
        }
        _ => return,
    };
    for event in events {
        if let Some(event::Body::Fields(fields)) = &mut event.body {
            fields.updated_at = 0;
        }
    }
}

/// The code of the error that is the only answer.
fn error(answers: &[Frame]) -> &str {
    match answers {
        [Frame::Error(error)] => &error.code,
        other => panic!("{other:?}"),
    }
}

/// One who calls a device as Alice calls hers, and would like to have her place.
fn impostor(token: &str, account: &str) -> wire::Hello {
    let take_over = Bytes::copy_from_slice(&[DEVICE; 16]);
    wire::Hello { take_over, epoch: u64::MAX, ..hello(token, account, DEVICE) }
}

/// One who comes as a device of Alice's.
fn impostor_of(token: &str, device: u8) -> wire::Hello {
    wire::Hello { epoch: u64::MAX, ..hello(token, "alice", device) }
}

#[tokio::test]
async fn nothing_is_said_to_who_brings_no_good_token_of_the_account() {
    let tokens = Tokens::get().await;
    let mut world = World::begin(false, tokens).await;
    let before = world.state().await;
    let hellos = [
        ("no token", "", "alice"),
        ("nonsense", "nonsense", "alice"),
        ("an expired token", &tokens.expired, "alice"),
        ("a forged token", &tokens.forged, "alice"),
        ("the token of another account", &tokens.mallory, "alice"),
        ("Alice's token for another account", &tokens.alice, "mallory"),
        ("the key of the back end", SERVER_KEY, "alice"),
    ];
    for transport in Transport::ALL {
        for (what, token, account) in hellos {
            for frame in frames(tokens) {
                let hello = client_frame::Frame::Hello(impostor(token, account));
                let answers = transport.say(&world.server, vec![hello, frame.clone()]).await;
                assert_eq!(error(&answers), "auth", "{what}, {transport:?}: {frame:?}");
            }
            world.is_still(&before, what).await;
        }
        for frame in frames(tokens) {
            if !matches!(frame, client_frame::Frame::Hello(_)) {
                let answers = transport.say(&world.server, vec![frame.clone()]).await;
                assert_eq!(error(&answers), "protocol", "{transport:?}: {frame:?}");
            }
        }
        world.is_still(&before, "frames without a hello").await;
    }
    let (_, devices) = world.server.call(Method::GET, "/api/devices?user_id=mallory", json!(null)).await;
    assert_eq!(devices["devices"], json!([]), "a device that is not let in is not registered");
}

#[tokio::test]
async fn whatever_a_stranger_says_is_answered_as_if_others_had_nothing() {
    let tokens = Tokens::get().await;
    let mallory = impostor(&tokens.mallory, "mallory");
    for transport in Transport::ALL {
        let nowhere = nowhere(false).await;
        let mut world = World::begin(false, tokens).await;
        let before = world.state().await;
        for frame in frames(tokens) {
            let cell = format!("{transport:?}: {frame:?}");
            let there = transport.ask(&world.server, &mallory, frame.clone()).await;
            assert_eq!(there, transport.ask(&nowhere, &mallory, frame).await, "{cell}");
            world.is_still(&before, &cell).await;
        }
    }
}

#[tokio::test]
async fn what_one_may_do_others_may_not_under_their_own_ids_nor_by_the_same_bytes_again() {
    let tokens = Tokens::get().await;
    let (mallory, bob) = (impostor(&tokens.mallory, "mallory"), impostor(&tokens.bob, "bob"));
    let stranger: fn(&Deed) -> Fate = |deed| deed.stranger;
    let peer: fn(&Deed) -> Fate = |deed| deed.peer;
    for transport in Transport::ALL {
        let mut world = World::begin(false, tokens).await;
        let alices = operations(DEVICE);
        for replayed in [false, true] {
            let before = world.state().await;
            for (hello, sender, fate) in [(&mallory, 7, stranger), (&bob, 8, peer)] {
                let tried = if replayed { alices.clone() } else { operations(sender) };
                for (operation, deed) in tried.iter().zip(deeds()) {
                    let code = match fate(&deed) {
                        Fate::Refused(code) => Some(code),
                        Fate::Own => None,
                        Fate::Shared => continue,
                    };
                    let account = &hello.account;
                    let cell = format!("{account}, {transport:?}, replayed: {replayed}: {operation:?}");
                    let outcome = transport.submit(&world.server, hello, operation).await;
                    assert_eq!(refusal(&outcome).map(|refused| &*refused.code), code, "{cell}");
                    world.is_still(&before, &cell).await;
                }
            }
            let outcomes = world.alice.submit(alices.clone()).await;
            assert!(outcomes.iter().all(|outcome| accepted_seq(outcome).is_some()), "{outcomes:?}");
        }
    }
}

#[tokio::test]
async fn a_removed_device_hears_only_that_it_is_and_its_token_is_worth_nothing_to_another() {
    let tokens = Tokens::get().await;
    let mut world = World::begin(false, tokens).await;
    let before = world.state().await;
    let revoked = [Frame::Revoked(wire::Revoked::default())];
    let passing = wire::Hello { passing: true, ..hello(&tokens.removed, "alice", 77) };
    for transport in Transport::ALL {
        for frame in frames(tokens) {
            let say = async |hello: wire::Hello| {
                let hello = client_frame::Frame::Hello(hello);
                transport.say(&world.server, vec![hello, frame.clone()]).await
            };
            for token in [&tokens.removed, &tokens.alice, &tokens.expired] {
                let answers = say(impostor_of(token, REMOVED)).await;
                assert_eq!(answers, revoked, "{transport:?}: {frame:?}");
            }
            for token in [&tokens.forged, &tokens.mallory] {
                let answers = say(impostor_of(token, REMOVED)).await;
                assert_eq!(error(&answers), "auth", "{transport:?}: {frame:?}");
            }
            for hello in
                [impostor_of(&tokens.removed, 77), impostor_of(&tokens.removed, DEVICE), passing.clone()]
            {
                assert_eq!(error(&say(hello).await), "revoked", "{transport:?}: {frame:?}");
            }
        }
        world.is_still(&before, "what a removed device has said").await;
    }
}

/// Clients find a message by its id alone, so an id names one message among all accounts.
#[tokio::test]
async fn the_id_of_a_message_is_taken_for_everyone() {
    let tokens = Tokens::get().await;
    let mut world = World::begin(false, tokens).await;
    let before = world.state().await;
    let again = message(direct_message(), "direct:bob", &json!("hi"));
    for transport in Transport::ALL {
        for (token, account) in [(&tokens.mallory, "mallory"), (&tokens.bob, "bob")] {
            let outcome = transport.submit(&world.server, &hello(token, account, DEVICE), &again).await;
            assert_eq!(refusal(&outcome).map(|refused| &*refused.code), Some("conflict"), "{account}");
            world.is_still(&before, account).await;
        }
    }
}
