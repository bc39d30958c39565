//! One connection, from hello to goodbye.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::SplitStream};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tutti_acceptance::{accept::Refusal, storage::Page};
use tutti_protocol::{
    Code, DeviceId, Seq, codec,
    wire::{self, client_frame, server_frame::Frame, status::Status as Kind},
};

use super::{caller::Caller, ending::Ending, outbound::Outbound};
use crate::{
    app::App,
    devices::{Entry, Newcomer},
    hub::Slot,
    rate::Bucket,
    roster::Bid,
    status::{Attendance, Speaker, TypingRate},
};

/// How long the server waits for the peer to close after it has said its last. Letting go while bytes
/// of the peer are unread would reset the connection, and the last frame might be lost.
const LINGER: Duration = Duration::from_secs(1);

/// Serves a connection to its end.
pub(super) async fn serve(app: Arc<App>, socket: WebSocket) {
    let (sink, mut incoming) = socket.split();
    let outbound = Outbound::start(sink, &app.limits);
    let ending = match greet(&app, &mut incoming, &outbound).await {
        Ok(session) => session.run(&mut incoming).await,
        Err(ending) => ending,
    };
    let readable = !matches!(ending, Ending::Oversized);
    // Queued behind all else; when even that does not fit, the peer is not reading anyway.
    let _ = ending.last_frame().map(|frame| outbound.send(frame));
    outbound.finish().await;
    if readable {
        let _ = timeout(LINGER, async { while let Some(Ok(_)) = incoming.next().await {} }).await;
    } else {
        sleep(LINGER).await;
    }
}

/// Waits for the first frame, and lets the device in or not.
async fn greet<'a>(
    app: &'a Arc<App>,
    incoming: &mut SplitStream<WebSocket>,
    outbound: &'a Outbound,
) -> Result<Session<'a>, Ending> {
    let hello = tokio::select! {
        hello = timeout(app.limits.hello_deadline(), first_frame(incoming)) => hello
            .map_err(|_| Ending::error(Code::Timeout, "no hello in time"))??,
        () = app.shutdown.cancelled() => return Err(Ending::shutdown()),
    };
    let client_frame::Frame::Hello(hello) = hello else {
        return Err(Ending::error(Code::Protocol, "expected a hello"));
    };
    let caller = Caller::admit(app, &hello).await?;
    let take_over = DeviceId::try_from(&hello.take_over).ok().map(|device| device.to_string());
    let connection = caller.connection(hello.epoch);
    let bid = Bid { take_over: take_over.as_deref(), yields: hello.yields };
    let slot = app.hub.claim(&caller.account, connection, hello.status, bid).await?;
    let (platform, hidden) = (caller.sighting.platform, caller.privacy.hide_presence);
    let attendance = app.statuses.enter(&caller.account, slot.ticket(), platform, hidden).await;
    caller.appear().await?;
    let entering = app.lists.enter(Newcomer {
        account: &caller.account,
        device: &caller.sighting.id,
        ticket: slot.ticket(),
        listed: caller.lasting_id().is_some(),
        listens: hello.devices,
    });
    let entry = entering.await;
    outbound.send(caller.welcome(&hello).await?)?;
    tracing::info!(device = caller.lasting(), "connected");
    Ok(Session {
        caller,
        slot,
        outbound,
        frames: Bucket::full(app.limits.frames(), Instant::now().into_std()),
        heard: Heard::At(Instant::now()),
        feed: Feed::Asked,
        ahead: JoinSet::new(),
        told_disabled: false,
        attendance,
        entry,
        typing: TypingRate::default(),
    })
}

/// The first frame of a client, whatever pings of the WebSocket's own come before it.
async fn first_frame(incoming: &mut SplitStream<WebSocket>) -> Result<client_frame::Frame, Ending> {
    loop {
        if let Some(frame) = next_frame(incoming).await? {
            return Ok(frame);
        }
    }
}

/// The next sign of a client: a frame, or only that it is there.
async fn next_frame(incoming: &mut SplitStream<WebSocket>) -> Result<Option<client_frame::Frame>, Ending> {
    match incoming.next().await {
        Some(Ok(Message::Binary(bytes))) => read(bytes).map(Some),
        Some(Ok(Message::Text(_))) => Err(Ending::error(Code::Protocol, "expected binary messages")),
        // Answered by the WebSocket itself.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(Ending::Gone),
        Some(Err(error)) => Err(broken(error)),
    }
}

/// What a frame of a client says.
pub(super) fn read(bytes: Bytes) -> Result<client_frame::Frame, Ending> {
    let frame =
        codec::decode_client(bytes).map_err(|error| Ending::error(Code::Protocol, error.to_string()))?;
    frame.frame.ok_or_else(|| Ending::error(Code::Protocol, "an empty frame"))
}

/// What the WebSocket itself found wrong.
fn broken(error: axum::Error) -> Ending {
    match error.into_inner().downcast_ref() {
        Some(tungstenite::Error::Capacity(_)) => Ending::Oversized,
        Some(tungstenite::Error::Protocol(error)) => Ending::error(Code::Protocol, error.to_string()),
        _ => Ending::Gone,
    }
}

/// A connection that said hello and was let in.
struct Session<'a> {
    caller: Caller<'a>,
    slot: Slot,
    outbound: &'a Outbound,
    frames: Bucket,
    heard: Heard,
    feed: Feed,
    /// The page after the last one that it has asked for, and after what that comes: it is read while the client
    /// stores what it has.
    ahead: JoinSet<(Seq, Option<Page>)>,
    /// Whether the client was told last that devices are not kept in step.
    told_disabled: bool,
    attendance: Attendance,
    entry: Entry,
    typing: TypingRate,
}

/// When there was a sign of the client.
#[derive(Clone, Copy, Debug)]
enum Heard {
    /// Then.
    At(Instant),
    /// Not for a while; it was pinged then. Browsers answer pings themselves, even for a page whose
    /// timers they hold back because it is hidden.
    Pinged(Instant),
}

/// How the client gets what is new.
#[derive(Clone, Copy, Debug)]
enum Feed {
    /// When it asks: it has a way to go.
    Asked,
    /// It has all up to here; what follows is pushed as soon as it is there.
    Live(Seq),
    /// It has all up to here; what follows is pushed as soon as there is room.
    Behind(Seq),
}

impl Session<'_> {
    async fn run(mut self, incoming: &mut SplitStream<WebSocket>) -> Ending {
        let ending = loop {
            if let Err(ending) = self.step(incoming).await {
                break ending;
            }
        };
        self.caller.disappear().await;
        tracing::info!(device = self.caller.lasting(), %ending, "disconnected");
        ending
    }

    /// Waits for the next thing to happen, and does what follows from it.
    async fn step(&mut self, incoming: &mut SplitStream<WebSocket>) -> Result<(), Ending> {
        tokio::select! {
            // First, so that whoever has lost its place says nothing more.
            biased;
            lost = self.slot.lost() => Err(lost.into()),
            ending = self.caller.expired() => Err(ending),
            frame = next_frame(incoming) => {
                self.slot.renew();
                self.heard = Heard::At(Instant::now());
                match frame? {
                    Some(frame) => self.handle(frame).await,
                    None => Ok(()),
                }
            }
            after = self.news() => self.push(after).await,
            status = self.slot.status() => Ok(self.outbound.send_now_or_never(status)?),
            list = self.list() => Ok(self.outbound.send_encoded(list)?),
            () = self.caller.app.shutdown.cancelled() => Err(Ending::shutdown()),
            () = self.outbound.broken() => Err(Ending::Gone),
            () = self.silence() => self.break_silence(),
        }
    }

    /// Waits for a list of devices to tell, and for room for it.
    async fn list(&self) -> Bytes {
        loop {
            self.entry.told().await;
            if !self.outbound.has_room() {
                self.outbound.drained().await;
            } else if let Some(list) = self.entry.take() {
                return list;
            }
        }
    }

    /// Waits until the client has been silent for too long.
    async fn silence(&self) {
        let limits = &self.caller.app.limits;
        sleep_until(match self.heard {
            Heard::At(then) => then + limits.ping_interval(),
            Heard::Pinged(then) => then + limits.pong_deadline(),
        })
        .await;
    }

    /// Asks a silent client whether it is there, and gives up on one that was asked.
    fn break_silence(&mut self) -> Result<(), Ending> {
        match self.heard {
            Heard::At(_) => {
                self.heard = Heard::Pinged(Instant::now());
                Ok(self.outbound.ping()?)
            }
            Heard::Pinged(_) => Err(Ending::error(Code::Timeout, "nothing was heard for too long")),
        }
    }

    /// Waits until there may be something to push, and says after what.
    async fn news(&self) -> Seq {
        match self.feed {
            Feed::Asked => std::future::pending().await,
            Feed::Live(after) => {
                self.slot.woken().await;
                after
            }
            Feed::Behind(after) => {
                self.outbound.drained().await;
                after
            }
        }
    }

    /// Pushes what comes after `after`, as far as there is room.
    async fn push(&mut self, mut after: Seq) -> Result<(), Ending> {
        if self.slot.take_doubt() {
            self.caller.look_whether_removed().await?;
        }
        loop {
            if !self.outbound.has_room() {
                self.feed = Feed::Behind(after);
                return Ok(());
            }
            let page = self.caller.news(after).await?;
            let (next, head) = (page.next, page.head);
            let delta = self.caller.delta(after, page);
            if next > after || delta.sync_disabled != self.told_disabled {
                self.send_page(delta)?;
            }
            after = next;
            if next == head {
                self.feed = Feed::Live(after);
                return Ok(());
            }
        }
    }

    async fn handle(&mut self, frame: client_frame::Frame) -> Result<(), Ending> {
        if let client_frame::Frame::Ping(ping) = frame {
            let nonce = ping.nonce;
            return Ok(self.outbound.send(Frame::Pong(wire::Pong { nonce }))?);
        }
        self.count_frame()?;
        match frame {
            client_frame::Frame::Submit(submit) => {
                self.slot.note_active().await;
                Ok(self.outbound.send(self.caller.submit(submit.operations).await)?)
            }
            client_frame::Frame::Pull(pull) => self.pull(Seq(pull.after)).await,
            client_frame::Frame::PullSnapshot(pull) => {
                Ok(self.outbound.send(self.caller.snapshot(pull).await?)?)
            }
            client_frame::Frame::PullHistory(pull) => {
                Ok(self.outbound.send(self.caller.history(pull).await?)?)
            }
            client_frame::Frame::Privacy(privacy) => {
                self.caller.privacy = privacy;
                self.attendance.hide(privacy.hide_presence).await;
                Ok(())
            }
            client_frame::Frame::Status(status) => {
                self.slot.note_active().await;
                self.say(status).await
            }
            client_frame::Frame::Ask(ask) => {
                let seen = self.caller.app.statuses.seen_by(&self.caller.account, &ask.account).await?;
                Ok(self.outbound.send(seen)?)
            }
            client_frame::Frame::Manage(manage) => {
                Ok(self.outbound.send(self.caller.manage(manage).await)?)
            }
            client_frame::Frame::Refresh(refresh) => {
                Ok(self.outbound.send(self.caller.refresh(&refresh.token).await?)?)
            }
            client_frame::Frame::Hello(_) => Err(Ending::error(Code::Protocol, "a second hello")),
            client_frame::Frame::Ping(_) => Ok(()),
        }
    }

    /// Passes on what reaches only who is there. What nobody may hear is passed over without a word.
    async fn say(&mut self, status: wire::Status) -> Result<(), Ending> {
        let statuses = &self.caller.app.statuses;
        let account = &self.caller.account;
        let speaker = Speaker { account, connection: Some(self.slot.ticket()), own: true, others: true };
        match status.status {
            Some(Kind::Typing(wire::Typing { conversation, typing, .. })) => {
                if !self.typing.lets_through(&conversation, typing, Instant::now()) {
                    return Ok(());
                }
                let speaker = Speaker { others: !self.caller.privacy.hide_typing, ..speaker };
                let said = |conversation| {
                    Kind::Typing(wire::Typing { conversation, account: account.clone(), typing })
                };
                statuses.say(speaker, &conversation, said).await?;
            }
            Some(Kind::Presence(presence)) => self.attendance.set(presence.availability()).await,
            Some(Kind::Custom(custom)) => {
                let said = |conversation| {
                    Kind::Custom(wire::Custom { conversation, account: account.clone(), ..custom.clone() })
                };
                statuses.say(speaker, &custom.conversation, said).await?;
            }
            // Refused by the decoder: the server alone tells it.
            Some(Kind::Devices(_)) | None => {}
        }
        Ok(())
    }

    /// Frames are counted, heartbeats apart.
    fn count_frame(&mut self) -> Result<(), Ending> {
        if self.frames.take(1, Instant::now().into_std()) == 1 {
            return Ok(());
        }
        let refusal = Refusal::rate_limited(self.frames.wait_for(1));
        Err(Ending::Error(wire::Error {
            code: refusal.code.as_str().to_owned(),
            message: "too many frames".to_owned(),
            retry_after: refusal.retry_after,
        }))
    }

    /// Answers with a page. One that reaches the head makes the connection live.
    async fn pull(&mut self, after: Seq) -> Result<(), Ending> {
        let ahead = match self.ahead.join_next().await {
            Some(Ok((from, page))) if from == after => page,
            _ => None,
        };
        let page = self.caller.page(after, ahead).await?;
        self.attendance.appear().await;
        if page.next == page.head {
            self.feed = Feed::Live(page.next);
        } else {
            self.feed = Feed::Asked;
            let (next, read) = (page.next, self.caller.read_ahead(page.next));
            self.ahead.spawn(async move { (next, read.await) });
        }
        self.send_page(self.caller.delta(after, page))
    }

    fn send_page(&mut self, delta: wire::Delta) -> Result<(), Ending> {
        self.told_disabled = delta.sync_disabled;
        Ok(self.outbound.send(Frame::Delta(delta))?)
    }
}
