//! One connection, from hello to goodbye.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::SplitStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tutti_protocol::{
    Code, DeviceId, Epoch, Millis, Seq, codec, limits,
    wire::{self, client_frame, server_frame::Frame},
};

use super::outbound::{Outbound, Stuck};
use crate::{
    accept::{Refusal, Submission, Verdict},
    app::App,
    clock::now,
    hub::{self, Denied, Slot},
    platform::Platform,
    rate::{Bucket, Rate},
    storage::{Page, Result as StorageResult, Sighting, StorageError, Transaction},
    writer::{Growth, Work},
};

const AUTH_DEADLINE: Duration = Duration::from_millis(limits::AUTH_DEADLINE);
/// How long a silent client that was pinged has to answer.
const PONG_DEADLINE: Duration = Duration::from_millis(limits::PONG_DEADLINE + 5_000);
/// How long the server waits for the peer to close after it has said its last. Letting go while bytes
/// of the peer are unread would reset the connection, and the last frame might be lost.
const LINGER: Duration = Duration::from_secs(1);
/// Longest that clients wait before they come back after a shutdown, so that not all come at once.
const GOODBYE_SPREAD: u32 = 2_000;
/// How long a replaced connection waits before it comes back, if it means to.
const REPLACED_WAIT: u32 = 1_000;
const FRAME_RATE: Rate =
    Rate { burst: limits::FRAMES_PER_MINUTE, per_second: limits::FRAMES_PER_MINUTE as f64 / 60.0 };

/// Serves a connection to its end.
pub(super) async fn serve(app: Arc<App>, socket: WebSocket) {
    let (sink, mut incoming) = socket.split();
    let outbound = Outbound::start(sink);
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

/// How a connection ends.
#[derive(Debug)]
enum Ending {
    /// The peer is gone or does not listen.
    Gone,
    /// The peer asked for what cannot be served.
    Error(wire::Error),
    /// The peer sends more than a frame may hold; what it sends is not read any more.
    Oversized,
    /// In good order, to come back after so many milliseconds.
    Bye(u32),
}

impl Ending {
    /// What is said last.
    fn last_frame(self) -> Option<Frame> {
        match self {
            Self::Gone => None,
            Self::Error(error) => Some(Frame::Error(error)),
            Self::Oversized => Self::error(Code::TooLarge, "the frame is over 64 KiB").last_frame(),
            Self::Bye(wait) => Some(Frame::Bye(wire::Bye { wait })),
        }
    }

    fn error(code: Code, message: impl Into<String>) -> Self {
        Self::Error(wire::Error { code: code.as_str().to_owned(), message: message.into(), retry_after: 0 })
    }

    fn shutdown() -> Self {
        let mut entropy = [0; 4];
        // Without randomness all come back at once: bad for the server, not for them.
        let _ = getrandom::fill(&mut entropy);
        Self::Bye(u32::from_le_bytes(entropy) % (GOODBYE_SPREAD + 1))
    }
}

impl From<Stuck> for Ending {
    fn from(_: Stuck) -> Self {
        Self::Gone
    }
}

impl From<StorageError> for Ending {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a connection cannot be served");
        let refusal = Refusal::storage();
        Self::Error(wire::Error {
            code: refusal.code.as_str().to_owned(),
            message: refusal.message,
            retry_after: refusal.retry_after,
        })
    }
}

impl From<Denied> for Ending {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Superseded => Self::error(Code::Conflict, "a later leader of this device is connected"),
            Denied::Full => {
                Self::error(Code::ConnectionLimit, "the account has as many web connections as it may")
            }
        }
    }
}

/// Waits for the first frame, and lets the device in or not.
async fn greet<'a>(
    app: &'a Arc<App>,
    incoming: &mut SplitStream<WebSocket>,
    outbound: &'a Outbound,
) -> Result<Session<'a>, Ending> {
    let hello = tokio::select! {
        hello = timeout(AUTH_DEADLINE, first_frame(incoming)) => hello
            .map_err(|_| Ending::error(Code::Timeout, "no hello in time"))??,
        () = app.shutdown.cancelled() => return Err(Ending::shutdown()),
    };
    let client_frame::Frame::Hello(hello) = hello else {
        return Err(Ending::error(Code::Protocol, "expected a hello"));
    };
    if app.tokens.account(&hello.token).as_ref() != Some(&hello.account) {
        let message = "the token is not valid for this account";
        return Err(Ending::error(Code::Auth, message));
    }
    let device = DeviceId::try_from(&hello.device)
        .map_err(|error| Ending::error(Code::Protocol, error.to_string()))?;
    let platform = Platform::from(hello.platform());
    let sighting = Sighting { id: device.to_string(), name: hello.device_name, platform };
    let slot = app.hub.claim(
        &hello.account,
        hub::Connection {
            device: sighting.id.clone(),
            name: sighting.name.clone(),
            platform,
            epoch: Epoch(hello.epoch),
            since: now(),
        },
        app.settings.get().limits.web as usize,
    )?;
    let session = Session {
        app,
        account: hello.account,
        device: hello.device,
        sighting,
        slot,
        outbound,
        frames: Bucket::full(FRAME_RATE, Instant::now().into_std()),
        heard: Heard::At(Instant::now()),
        feed: Feed::Asked,
    };
    session.note_sighting().await;
    let head = app.storage.head(&session.account).await?;
    outbound.send(Frame::Welcome(wire::Welcome {
        log: app.storage.log_id().to_bytes(),
        head: head.0,
        server_time: now().0,
        ping_interval: u32::try_from(app.ping_interval.as_millis()).unwrap_or(u32::MAX),
    }))?;
    tracing::info!(device = session.sighting.id, "connected");
    Ok(session)
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

fn read(bytes: Bytes) -> Result<client_frame::Frame, Ending> {
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
    app: &'a Arc<App>,
    account: String,
    device: Bytes,
    sighting: Sighting,
    slot: Slot,
    outbound: &'a Outbound,
    frames: Bucket,
    heard: Heard,
    feed: Feed,
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
        self.note_sighting().await;
        tracing::info!(device = self.sighting.id, ?ending, "disconnected");
        ending
    }

    /// Waits for the next thing to happen, and does what follows from it.
    async fn step(&mut self, incoming: &mut SplitStream<WebSocket>) -> Result<(), Ending> {
        tokio::select! {
            frame = next_frame(incoming) => {
                self.heard = Heard::At(Instant::now());
                match frame? {
                    Some(frame) => self.handle(frame).await,
                    None => Ok(()),
                }
            }
            after = self.news() => self.push(after).await,
            () = self.slot.replaced() => Err(Ending::Bye(REPLACED_WAIT)),
            () = self.app.shutdown.cancelled() => Err(Ending::shutdown()),
            () = self.outbound.broken() => Err(Ending::Gone),
            () = self.silence() => self.break_silence(),
        }
    }

    /// Waits until the client has been silent for too long.
    async fn silence(&self) {
        sleep_until(match self.heard {
            Heard::At(then) => then + self.app.ping_interval,
            Heard::Pinged(then) => then + PONG_DEADLINE,
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
        loop {
            if !self.outbound.has_room() {
                self.feed = Feed::Behind(after);
                return Ok(());
            }
            let page = self.app.storage.page(&self.account, after).await?;
            let (next, head) = (page.next, page.head);
            if next > after {
                self.send_page(after, page)?;
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
            client_frame::Frame::Submit(submit) => self.submit(submit.operations).await,
            client_frame::Frame::Pull(pull) => self.pull(Seq(pull.after)).await,
            client_frame::Frame::Hello(_) => Err(Ending::error(Code::Protocol, "a second hello")),
            client_frame::Frame::Ping(_) => Ok(()),
        }
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

    /// Accepts operations in order: as many as the account may submit now.
    async fn submit(&mut self, mut operations: Vec<wire::Operation>) -> Result<(), Ending> {
        let ids: Vec<_> = operations.iter().map(|operation| operation.id.clone()).collect();
        let wanted = u32::try_from(operations.len()).unwrap_or(u32::MAX);
        let grant = self.app.rates.take(&self.account, wanted, Instant::now().into_std());
        operations.truncate(grant.granted as usize);
        let submission = Submission {
            account: self.account.clone(),
            device: Some(self.device.clone()),
            operations,
            include_sender: true,
            now: now(),
        };
        let mut verdicts = submission.decide(&self.app.writer).await;
        // One that has to wait makes those behind it wait, so that they stay in order.
        let rest = Verdict::Refused(Refusal::rate_limited(grant.wait));
        verdicts.resize(ids.len(), rest);
        let outcomes = verdicts.into_iter().zip(ids).map(|(verdict, id)| verdict.into_outcome(id)).collect();
        self.outbound.send(Frame::Submitted(wire::Submitted { outcomes }))?;
        Ok(())
    }

    /// Answers with a page. One that reaches the head makes the connection live.
    async fn pull(&mut self, after: Seq) -> Result<(), Ending> {
        let page = self.app.storage.page(&self.account, after).await?;
        if after > page.head {
            let message = "the cursor is beyond the head of the log";
            return Err(Ending::error(Code::Protocol, message));
        }
        self.feed = if page.next == page.head { Feed::Live(page.next) } else { Feed::Asked };
        self.send_page(after, page)
    }

    fn send_page(&self, after: Seq, page: Page) -> Result<(), Ending> {
        self.outbound.send(Frame::Delta(wire::Delta {
            after: after.0,
            next: page.next.0,
            head: page.head.0,
            events: page.events,
        }))?;
        Ok(())
    }

    /// Notes that the device is here, for others to see. Not worth failing for: when the disk is full
    /// there is still much to read.
    async fn note_sighting(&self) {
        let noted = Noted { account: self.account.clone(), sighting: self.sighting.clone(), now: now() };
        if let Err(error) = self.app.writer.write(noted).await {
            tracing::warn!(%error, "a device's appearance was not noted");
        }
    }
}

/// That a device was here.
struct Noted {
    account: String,
    sighting: Sighting,
    now: Millis,
}

#[async_trait]
impl Work for Noted {
    type Answer = ();

    async fn run(&self, tx: &mut dyn Transaction, _: &mut Growth) -> StorageResult<()> {
        tx.see_device(&self.account, &self.sighting, self.now).await
    }
}
