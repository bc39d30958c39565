//! The way to the server: a WebSocket, or, for accounts without a place for one, the same frames by post.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use bytes::Bytes;
use js_sys::{ArrayBuffer, Promise, Uint8Array};
use tutti_engine::Failure;
use tutti_protocol::{
    Code, codec, limits, sequence,
    wire::{ServerFrame, server_frame},
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{AbortController, BinaryType, Event, MessageEvent, RequestInit, Response, Url, WebSocket};

use crate::error::{describe, invalid};

const SUBPROTOCOL: &str = "tutti.v1";
/// What a body of frames is called.
const BODY: &str = "application/octet-stream";

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch)]
    fn fetch(url: &str, init: &RequestInit) -> Result<Promise, JsValue>;
}

/// What a connection tells.
pub(crate) enum ConnectionEvent {
    Opened,
    Frame(Bytes),
    Closed(Failure),
}

/// A way to the server.
pub(crate) enum Connection {
    Socket(Socket),
    Post(Post),
}

impl Connection {
    /// Sends one frame. One that is lost, the engine will notice.
    pub(crate) fn send(&self, bytes: Bytes) {
        match self {
            Self::Socket(socket) => socket.send(&bytes),
            Self::Post(post) => post.send(bytes),
        }
    }
}

/// An open or opening connection. Dropping it closes it, silently.
pub(crate) struct Socket {
    socket: WebSocket,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_event: Closure<dyn FnMut(Event)>,
}

impl Socket {
    /// Begins to connect.
    pub(crate) fn open(url: &str, on: impl Fn(ConnectionEvent) + Clone + 'static) -> Result<Self, Failure> {
        let socket = WebSocket::new_with_str(url, SUBPROTOCOL)
            .map_err(|error| Failure::new(Code::Offline, describe(&error)))?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let tell = on.clone();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            tell(match event.data().dyn_ref::<ArrayBuffer>() {
                Some(buffer) => ConnectionEvent::Frame(Uint8Array::new(buffer).to_vec().into()),
                None => ConnectionEvent::Closed(Failure::new(Code::Protocol, "the server sent text")),
            });
        });
        let on_event = Closure::<dyn FnMut(Event)>::new(move |event: Event| {
            on(match event.type_().as_str() {
                "open" => ConnectionEvent::Opened,
                // Browsers do not tell a page why.
                _ => ConnectionEvent::Closed(Failure::new(Code::Offline, "the server cannot be reached")),
            });
        });
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let on_event_function = Some(on_event.as_ref().unchecked_ref());
        socket.set_onopen(on_event_function);
        socket.set_onclose(on_event_function);
        // Where a page may not connect (a blocked port, its own policy), WebKit tells this and no close.
        socket.set_onerror(on_event_function);
        Ok(Self { socket, _on_message: on_message, _on_event: on_event })
    }

    fn send(&self, bytes: &[u8]) {
        let _ = self.socket.send_with_u8_array(bytes);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onmessage(None);
        self.socket.set_onopen(None);
        self.socket.set_onclose(None);
        self.socket.set_onerror(None);
        let _ = self.socket.close();
    }
}

/// Frames by post: the first is a hello, and goes before each of the others, since the server forgets
/// between two posts. Dropping it ends what is under way, silently.
pub(crate) struct Post {
    state: Rc<PostState>,
}

struct PostState {
    url: String,
    hello: RefCell<Option<Bytes>>,
    log: RefCell<Option<Bytes>>,
    abort: AbortController,
    dropped: Cell<bool>,
    on: Box<dyn Fn(ConnectionEvent)>,
}

/// Most frames in an answer: a welcome, and what the other frame asked for.
const ANSWERS: usize = 2;

impl Post {
    pub(crate) fn open(url: &str, on: impl Fn(ConnectionEvent) + 'static) -> Result<Self, Failure> {
        let unsupported = |error: JsValue| Failure::new(Code::Unsupported, describe(&error));
        let state = Rc::new(PostState {
            // wss: is https: with an upgrade (RFC 6455).
            url: url.strip_prefix("ws").map_or_else(|| url.to_owned(), |rest| format!("http{rest}")),
            hello: RefCell::default(),
            log: RefCell::default(),
            abort: AbortController::new().map_err(unsupported)?,
            dropped: Cell::default(),
            on: Box::new(on),
        });
        let opened = state.clone();
        spawn_local(async move { opened.tell(ConnectionEvent::Opened) });
        Ok(Self { state })
    }

    fn send(&self, frame: Bytes) {
        let hello = self.state.hello.borrow().clone();
        // The welcome is wanted once.
        let skip = usize::from(hello.is_some());
        let body = match hello {
            Some(hello) => sequence::join([&hello, &frame]),
            None => sequence::join([&frame]),
        };
        self.state.hello.borrow_mut().get_or_insert(frame);
        let state = self.state.clone();
        spawn_local(async move {
            match state.exchange(&body).await {
                Ok(frames) => {
                    // Without a welcome, the only frame says why.
                    let skip = if frames.len() > skip { skip } else { 0 };
                    frames.into_iter().skip(skip).for_each(|frame| state.tell(ConnectionEvent::Frame(frame)));
                }
                Err(failure) => state.tell(ConnectionEvent::Closed(failure)),
            }
        });
    }
}

impl PostState {
    async fn exchange(&self, body: &[u8]) -> Result<Vec<Bytes>, Failure> {
        let offline = |error: JsValue| Failure::new(Code::Offline, describe(&error));
        let init = RequestInit::new();
        init.set_method("POST");
        init.set_body(&Uint8Array::from(body));
        init.set_signal(Some(&self.abort.signal()));
        let response: Response = JsFuture::from(fetch(&self.url, &init).map_err(offline)?)
            .await
            .map_err(offline)?
            .unchecked_into();
        let kind = response.headers().get("content-type").ok().flatten();
        if !response.ok() || kind.as_deref() != Some(BODY) {
            // A proxy's page, or a network that wants a login first.
            let message =
                format!("something else than the server answered, with status {}", response.status());
            return Err(Failure::new(Code::Offline, message));
        }
        let body = JsFuture::from(response.array_buffer().map_err(offline)?).await.map_err(offline)?;
        let body = Uint8Array::new(&body).to_vec().into();
        let frames = sequence::split(body, ANSWERS, limits::SERVER_FRAME)
            .map_err(|error| Failure::new(Code::Protocol, error.to_string()))?;
        if frames.first().is_some_and(|welcome| self.is_other_log(welcome)) {
            return Err(Failure::new(Code::Offline, "the server's log has become another one"));
        }
        Ok(frames)
    }

    /// Whether a welcome is from another log than the first was: what comes with it counts differently.
    fn is_other_log(&self, frame: &Bytes) -> bool {
        let Ok(ServerFrame { frame: Some(server_frame::Frame::Welcome(welcome)) }) =
            codec::decode_server(frame.clone())
        else {
            return false;
        };
        *self.log.borrow_mut().get_or_insert_with(|| welcome.log.clone()) != welcome.log
    }

    fn tell(&self, event: ConnectionEvent) {
        if !self.dropped.get() {
            (self.on)(event);
        }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.state.dropped.set(true);
        self.state.abort.abort();
    }
}

/// Checks where the server listens: `wss:`, or `ws:` on this machine; no fragment, no credentials.
pub(crate) fn check_url(url: &str) -> Result<String, Failure> {
    let parsed = Url::new(url).map_err(|_| invalid("url: expected wss://host/path"))?;
    if !parsed.hash().is_empty() || !parsed.username().is_empty() || !parsed.password().is_empty() {
        return Err(invalid(
            "url: no fragment, user or password belongs in it; the token is an option of its own",
        ));
    }
    let host = parsed.hostname();
    let local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost");
    match parsed.protocol().as_str() {
        "wss:" => Ok(parsed.href()),
        "ws:" if local => Ok(parsed.href()),
        "ws:" => Err(invalid("url: plain ws:// only to localhost; use wss://")),
        _ => Err(invalid("url: expected wss://host/path")),
    }
}
