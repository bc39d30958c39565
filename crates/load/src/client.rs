//! One client: an engine, a store in memory, and a WebSocket.

use std::{collections::VecDeque, sync::Arc};

use anyhow::Result;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    task::{JoinError, JoinHandle},
    time::sleep_until,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue, protocol::WebSocketConfig},
};
use tutti_engine::{
    Change, Config, Connection, ConnectionId, Effect, Engine, Event, Extent, Failure, Identity, Input,
    Replica, RequestId, Setup, State, Transport, identity_batch,
};
use tutti_protocol::{Code, DeviceId, StoreId, TabId, wire::Platform};

use crate::{backend::Backend, clock::Micros, store::Store};

/// What is read of a socket at once, in bytes: the library clears as much before each reading, and has 128 KiB by
/// default, which thousands of clients would be busy with.
const READ_BUFFER: usize = 4 * 1_024;

/// What happened to a client.
#[derive(Debug)]
pub(crate) struct News {
    /// To which.
    pub(crate) client: usize,
    /// When.
    pub(crate) at: Micros,
    /// What.
    pub(crate) what: What,
}

/// What happens to clients.
#[derive(Debug)]
pub(crate) enum What {
    /// Its message, which was to be sent then, is in its log.
    Confirmed(Micros),
    /// Another's message has come, which was to be sent then.
    Arrived(Micros),
    /// It is connected and has all that the server has, and the server all that it has; or that is no longer so.
    InStep(bool),
    /// Something was refused.
    Failed(Failure),
    /// It cannot go on.
    Ended,
}

/// What a client is to send, and when it was to.
#[derive(Debug)]
struct Order {
    conversation: String,
    due: Micros,
}

/// A client that runs by itself, until this is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    orders: mpsc::UnboundedSender<Order>,
}

impl Client {
    /// Starts one, which connects.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub(crate) fn start(
        number: usize,
        account: String,
        backend: Arc<Backend>,
        content: usize,
        news: mpsc::UnboundedSender<News>,
    ) -> Result<Self> {
        let (orders, waiting) = mpsc::unbounded_channel();
        let runner = Runner::new(number, account, backend, content, news)?;
        tokio::spawn(runner.run(waiting));
        Ok(Self { orders })
    }

    /// Sends a message. One who cannot go on has said so.
    pub(crate) fn say(&self, conversation: String, due: Micros) {
        let _ = self.orders.send(Order { conversation, due });
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Dialled = Result<(Socket, String)>;

struct Runner {
    number: usize,
    account: String,
    engine: Engine,
    store: Store,
    backend: Arc<Backend>,
    content: usize,
    news: mpsc::UnboundedSender<News>,
    inputs: VecDeque<Input>,
    socket: Option<(ConnectionId, Socket)>,
    dialling: Option<(ConnectionId, Dialling)>,
    token: Option<String>,
    requests: u64,
    in_step: bool,
    ended: bool,
}

impl Runner {
    fn new(
        number: usize,
        account: String,
        backend: Arc<Backend>,
        content: usize,
        news: mpsc::UnboundedSender<News>,
    ) -> Result<Self> {
        let now = backend.clock.now();
        let mut store = Store::default();
        let identity =
            identity_batch(StoreId::mint(now.wall, random()?), Some(DeviceId::mint(now.wall, random()?)));
        store.commit(identity)?;
        let snapshot = store.load(&Extent::Everything);
        let replica = Replica::load(&account, &snapshot)?;
        let setup = Setup {
            identity: Identity {
                account: account.clone(),
                device_name: "load".to_owned(),
                platform: Platform::Web,
                tab: TabId::mint(now.wall, random()?),
            },
            seed: random()?,
            epoch: snapshot.epoch,
            network: true,
            visible: true,
            config: Config::default(),
        };
        Ok(Self {
            number,
            account,
            engine: Engine::new(setup, replica, now),
            store,
            backend,
            content,
            news,
            inputs: VecDeque::from([Input::NetworkChanged(true)]),
            socket: None,
            dialling: None,
            token: None,
            requests: 0,
            in_step: false,
            ended: false,
        })
    }

    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            self.settle().await;
            if self.ended {
                return self.tell(What::Ended);
            }
            let deadline = self.engine.deadline().map(|at| self.backend.clock.deadline(at));
            let deadline = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                received = receive(&mut self.socket) => self.received(received),
                dialled = dialled(&mut self.dialling) => self.dialled(dialled),
                order = orders.recv() => match order {
                    Some(order) => self.send(order),
                    None => return,
                },
                () = deadline => self.inputs.push_back(Input::Tick),
            }
        }
    }

    /// Tells the engine what has happened, and does what it orders, until it wants nothing more.
    async fn settle(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            self.engine.handle(input, self.backend.clock.now());
            while let Some(effect) = self.engine.poll_effect() {
                self.carry_out(effect).await;
            }
            while let Some(event) = self.engine.poll_event() {
                self.note(event);
            }
        }
        if let Some((id, socket)) = &mut self.socket
            && socket.flush().await.is_err()
        {
            let id = *id;
            self.disconnected(id);
        }
        self.note_step();
    }

    async fn carry_out(&mut self, effect: Effect) {
        let input = match effect {
            Effect::Persist(id, batch) => match self.store.commit(batch) {
                Ok(()) => Input::Persisted(id),
                Err(error) => Input::PersistFailed(id, error),
            },
            Effect::Load(id, extent) => Input::Loaded(id, Ok(self.store.load(&extent))),
            Effect::Claim(id, from) => Input::Claimed(id, Ok(self.store.claim(from))),
            // There is no other tab.
            Effect::Lock(id) | Effect::StealLock(id) => Input::LockGranted(id),
            Effect::ReleaseLock(_) | Effect::Broadcast(_) => return,
            Effect::Connect(id, Transport::Socket) => {
                return self.dialling = Some((id, Dialling::start(self)));
            }
            Effect::Connect(id, Transport::Post) => Input::Disconnected(id, lost("it would have to poll")),
            Effect::Disconnect(id) => {
                self.dialling.take_if(|(dialling, _)| *dialling == id);
                self.socket.take_if(|(open, _)| *open == id);
                return;
            }
            Effect::Send(id, frame) => {
                let Some((_, socket)) = self.socket.as_mut().filter(|(open, _)| *open == id) else { return };
                if socket.feed(Message::Binary(frame)).await.is_err() {
                    self.disconnected(id);
                }
                return;
            }
            Effect::FetchToken(id) => {
                let token = self.backend.token(&self.account).await;
                Input::TokenFetched(id, token.map_err(|error| lost(&format!("{error:#}"))))
            }
            Effect::Resolve(_, Err(failure)) => return self.tell(What::Failed(failure)),
            Effect::Resolve(_, Ok(_)) => return,
            // Nobody erases the store; the server may have removed the device.
            Effect::Renew | Effect::Erase | Effect::Close => {
                self.ended = true;
                return;
            }
        };
        self.inputs.push_back(input);
    }

    fn note(&self, event: Event) {
        match event {
            Event::Messages(messages) => {
                for it in messages {
                    let new = matches!(it.change, Change::Added | Change::Updated);
                    let Some(due) = due(&it.message.content) else { continue };
                    match it.message.state {
                        State::Sent if new && it.message.sender == self.account => {
                            self.tell(What::Confirmed(due));
                        }
                        State::Sent if new => self.tell(What::Arrived(due)),
                        State::Failed(failure) => self.tell(What::Failed(failure)),
                        _ => {}
                    }
                }
            }
            Event::Failed(failure) => self.tell(What::Failed(failure)),
            Event::Limited(_) => self.tell(What::Failed(lost("another client of this account is connected"))),
            _ => {}
        }
    }

    /// Tells whether it is in step, when that has changed.
    fn note_step(&mut self) {
        let status = self.engine.status();
        let online = status.connection == Connection::Online;
        let in_step = online && status.catching_up.is_none() && status.pending == 0;
        // What is on its way makes nobody fall out of step: only the network does.
        let in_step = in_step || (self.in_step && online);
        if std::mem::replace(&mut self.in_step, in_step) != in_step {
            self.tell(What::InStep(in_step));
        }
    }

    fn send(&mut self, order: Order) {
        self.requests += 1;
        self.inputs.push_back(Input::Send {
            request: RequestId(self.requests),
            conversation: order.conversation,
            kind: "text".to_owned(),
            content: content(order.due, self.content),
            id: None,
        });
    }

    fn received(&mut self, received: Option<Message>) {
        let Some((id, _)) = self.socket else { return };
        match received {
            Some(Message::Binary(frame)) => self.inputs.push_back(Input::FrameReceived(id, frame)),
            Some(Message::Close(_)) | None => self.disconnected(id),
            // The WebSocket answers pings itself.
            Some(_) => {}
        }
    }

    fn dialled(&mut self, dialled: Result<Dialled, JoinError>) {
        let Some((id, _)) = self.dialling.take() else { return };
        let input = match dialled.map_err(anyhow::Error::from).flatten() {
            Ok((socket, token)) => {
                self.socket = Some((id, socket));
                self.token = Some(token.clone());
                Input::Connected(id, token)
            }
            Err(error) => Input::Disconnected(id, lost(&format!("{error:#}"))),
        };
        self.inputs.push_back(input);
    }

    fn disconnected(&mut self, id: ConnectionId) {
        self.socket = None;
        self.inputs.push_back(Input::Disconnected(id, lost("the connection has ended")));
    }

    fn tell(&self, what: What) {
        let at = self.backend.clock.micros();
        // Whoever listened may have heard enough.
        let _ = self.news.send(News { client: self.number, at, what });
    }
}

/// A connection that is about to be; none, once this is dropped.
struct Dialling(JoinHandle<Dialled>);

impl Dialling {
    fn start(client: &Runner) -> Self {
        let (backend, account, token) =
            (client.backend.clone(), client.account.clone(), client.token.clone());
        Self(tokio::spawn(async move {
            let token = match token {
                Some(token) => token,
                None => backend.token(&account).await?,
            };
            let mut request = backend.socket().into_client_request()?;
            let protocol = HeaderValue::from_static("tutti.v1");
            request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
            let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
            let (socket, _) = connect_async_with_config(request, Some(config), true).await?;
            Ok((socket, token))
        }))
    }
}

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the socket brings; nothing once it is closed, and none ever without a socket.
async fn receive(socket: &mut Option<(ConnectionId, Socket)>) -> Option<Message> {
    match socket {
        Some((_, socket)) => socket.next().await.and_then(Result::ok),
        None => std::future::pending().await,
    }
}

/// What became of a connection that was about to be.
async fn dialled(dialling: &mut Option<(ConnectionId, Dialling)>) -> Result<Dialled, JoinError> {
    match dialling {
        Some((_, dialling)) => (&mut dialling.0).await,
        None => std::future::pending().await,
    }
}

fn lost(why: &str) -> Failure {
    Failure::new(Code::Offline, why)
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// JSON that says when it was to be sent, of so many bytes.
fn content(due: Micros, length: usize) -> Bytes {
    let head = format!("{{\"due\":{due},\"text\":\"");
    let text = length.saturating_sub(head.len() + 2);
    format!("{head}{}\"}}", "x".repeat(text)).into()
}

/// When a message was to be sent, if it is one of ours.
fn due(content: &[u8]) -> Option<Micros> {
    let rest = content.strip_prefix(b"{\"due\":")?;
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_when_it_was_to_be_sent() {
        for (at, length) in [(0, 40), (1_234_567_890_123, 150), (7, 32_768)] {
            let content = content(at, length);
            assert_eq!((due(&content), content.len()), (Some(at), length));
            assert!(serde_json::from_slice::<serde_json::Value>(&content).is_ok());
        }
        for other in [&b"\"hi\""[..], b"", b"{\"due\":x}", b"{\"due\":7", b"{\"due\":99999999999999999999,"] {
            assert_eq!(due(other), None);
        }
    }
}
