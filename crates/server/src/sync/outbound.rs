//! What waits to be written to a connection: so much and no more, each write in its time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::Message;
use bytes::Bytes;
use futures_util::{Sink, SinkExt as _};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tutti_protocol::{codec, limits, wire};

use crate::limits::Limits;

/// What a waiting message costs beside its bytes, about: many small ones count as well.
const MESSAGE: usize = 64;

/// The way out of a connection.
pub(super) struct Outbound {
    messages: mpsc::UnboundedSender<Message>,
    queue: Arc<Queue>,
    writing: JoinHandle<()>,
}

struct Queue {
    /// So many wait …
    bytes: AtomicUsize,
    /// … and so many may.
    most: usize,
    /// How long each write may take.
    deadline: Duration,
    drained: Notify,
    /// A write was given up, since the peer did not read.
    slow: AtomicBool,
}

/// The peer does not take what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stuck;

impl Outbound {
    /// Starts to write.
    pub(super) fn start(sink: impl Sink<Message> + Send + Unpin + 'static, limits: &Limits) -> Self {
        let (messages, waiting) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue {
            bytes: AtomicUsize::new(0),
            most: limits.write_queue(),
            deadline: limits.write_deadline(),
            drained: Notify::new(),
            slow: AtomicBool::new(false),
        });
        let writing = tokio::spawn(write(sink, waiting, queue.clone()));
        Self { messages, queue, writing }
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// [`Stuck`] when too much is waiting already.
    pub(super) fn send(&self, frame: wire::server_frame::Frame) -> Result<(), Stuck> {
        self.send_encoded(codec::encode(&wire::ServerFrame { frame: Some(frame) }))
    }

    /// Queues a frame that is encoded already.
    ///
    /// # Errors
    /// [`Stuck`] when too much is waiting already.
    pub(super) fn send_encoded(&self, frame: Bytes) -> Result<(), Stuck> {
        self.queue(Message::Binary(frame))
    }

    /// Queues a frame that is worth something only now, if little enough is waiting.
    pub(super) fn send_now_or_never(&self, frame: Bytes) -> Result<(), Stuck> {
        if self.queue.bytes.load(Ordering::Acquire) > self.queue.most / 2 {
            return Ok(());
        }
        self.queue(Message::Binary(frame))
    }

    /// Queues a ping of the WebSocket's own.
    ///
    /// # Errors
    /// [`Stuck`] when too much is waiting already.
    pub(super) fn ping(&self) -> Result<(), Stuck> {
        self.queue(Message::Ping(Bytes::new()))
    }

    fn queue(&self, message: Message) -> Result<(), Stuck> {
        let size = size(&message);
        let waiting = self.queue.bytes.fetch_add(size, Ordering::AcqRel);
        if waiting + size > self.queue.most {
            self.queue.slow.store(true, Ordering::Release);
            return Err(Stuck);
        }
        self.messages.send(message).map_err(|_| Stuck)
    }

    /// Whether any page fits.
    pub(super) fn has_room(&self) -> bool {
        self.queue.bytes.load(Ordering::Acquire) + limits::SERVER_FRAME <= self.queue.most
    }

    /// Waits until something has been written; at once if it has since the last time.
    pub(super) async fn drained(&self) {
        self.queue.drained.notified().await;
    }

    /// Waits until nothing can be written any more.
    pub(super) async fn broken(&self) {
        self.messages.closed().await;
    }

    /// Whether that is so since the peer did not read.
    pub(super) fn is_slow(&self) -> bool {
        self.queue.slow.load(Ordering::Acquire)
    }

    /// Writes what is waiting, and closes.
    pub(super) async fn finish(self) {
        drop(self.messages);
        let abort = self.writing.abort_handle();
        if timeout(self.queue.deadline, self.writing).await.is_err() {
            abort.abort();
        }
    }
}

async fn write(
    mut sink: impl Sink<Message> + Unpin,
    mut waiting: mpsc::UnboundedReceiver<Message>,
    queue: Arc<Queue>,
) {
    while let Some(message) = waiting.recv().await {
        let size = size(&message);
        let written = timeout(queue.deadline, sink.send(message)).await;
        if !matches!(written, Ok(Ok(()))) {
            queue.slow.fetch_or(written.is_err(), Ordering::AcqRel);
            return;
        }
        queue.bytes.fetch_sub(size, Ordering::AcqRel);
        queue.drained.notify_one();
    }
    // The peer may be gone: there is nothing left to say to it then.
    let _ = timeout(queue.deadline, sink.send(Message::Close(None))).await;
}

fn size(message: &Message) -> usize {
    MESSAGE
        + match message {
            Message::Binary(bytes) => bytes.len(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use futures_util::sink;

    use super::*;
    use crate::config::Config;

    fn limits() -> Limits {
        Config::parse_from(["tutti-server"]).limits
    }

    #[tokio::test]
    async fn what_is_worth_something_only_now_waits_in_no_long_queue() {
        let stuck = sink::unfold((), |(), _: Message| std::future::pending::<Result<(), Stuck>>());
        let outbound = Outbound::start(Box::pin(stuck), &limits());
        let frame = Bytes::from(vec![0; 32 * 1024]);
        for _ in 0..100 {
            assert_eq!(outbound.send_now_or_never(frame.clone()), Ok(()));
        }
        let waiting = outbound.queue.bytes.load(Ordering::Acquire);
        assert!((limits::WRITE_QUEUE / 2..limits::WRITE_QUEUE * 5 / 8).contains(&waiting), "{waiting}");
        assert!(outbound.send(wire::server_frame::Frame::Pong(wire::Pong { nonce: 0 })).is_ok());
    }

    #[tokio::test]
    async fn small_messages_that_nobody_reads_are_bounded_too() {
        let stuck = sink::unfold((), |(), _: Message| std::future::pending::<Result<(), Stuck>>());
        let outbound = Outbound::start(Box::pin(stuck), &limits());
        let pong = || wire::server_frame::Frame::Pong(wire::Pong { nonce: 0 });
        let waiting = std::iter::repeat_with(|| outbound.send(pong())).take_while(Result::is_ok).count();
        assert!((1_000..limits::WRITE_QUEUE / MESSAGE).contains(&waiting), "{waiting}");
    }
}
