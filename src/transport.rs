//! The WebSocket to the server.

use bytes::Bytes;
use js_sys::{ArrayBuffer, Uint8Array};
use tutti_engine::Failure;
use tutti_protocol::Code;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, Event, MessageEvent, Url, WebSocket};

use crate::error::{describe, invalid};

const SUBPROTOCOL: &str = "tutti.v1";

/// What a socket tells.
pub(crate) enum SocketEvent {
    Opened,
    Frame(Bytes),
    Closed(Failure),
}

/// An open or opening connection. Dropping it closes it, silently.
pub(crate) struct Socket {
    socket: WebSocket,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
    _on_event: Closure<dyn FnMut(Event)>,
}

impl Socket {
    /// Begins to connect.
    pub(crate) fn open(url: &str, on: impl Fn(SocketEvent) + Clone + 'static) -> Result<Self, Failure> {
        let socket = WebSocket::new_with_str(url, SUBPROTOCOL)
            .map_err(|error| Failure::new(Code::Offline, describe(&error)))?;
        socket.set_binary_type(BinaryType::Arraybuffer);
        let tell = on.clone();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            tell(match event.data().dyn_ref::<ArrayBuffer>() {
                Some(buffer) => SocketEvent::Frame(Uint8Array::new(buffer).to_vec().into()),
                None => SocketEvent::Closed(Failure::new(Code::Protocol, "the server sent text")),
            });
        });
        let on_event = Closure::<dyn FnMut(Event)>::new(move |event: Event| {
            on(match event.type_().as_str() {
                "open" => SocketEvent::Opened,
                // Browsers do not tell a page why.
                _ => SocketEvent::Closed(Failure::new(Code::Offline, "the server cannot be reached")),
            });
        });
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        let on_event_function = Some(on_event.as_ref().unchecked_ref());
        socket.set_onopen(on_event_function);
        socket.set_onclose(on_event_function);
        Ok(Self { socket, _on_message: on_message, _on_event: on_event })
    }

    /// Sends one frame. On a socket that is closing it is lost, which the engine will notice.
    pub(crate) fn send(&self, bytes: &[u8]) {
        let _ = self.socket.send_with_u8_array(bytes);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onmessage(None);
        self.socket.set_onopen(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
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
