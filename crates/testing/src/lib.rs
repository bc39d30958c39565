//! The server in memory as `tutti-sync/testing` has it: JavaScript in, JavaScript out, no logic.

use bytes::Bytes;
use js_sys::{Array, Uint8Array};
use tutti_acceptance::accept::Verdict;
use tutti_protocol::{
    DeviceId, Millis, OperationId, codec, limits, sequence,
    wire::{self, operation::Body},
};
use tutti_stand_in::{Said, Server, Wire, token};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_random(bytes: &mut [u8]);
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// A hello, and what goes with it.
const FRAMES: usize = 2;

#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| console_error(&format!("tutti-sync/testing: {panic}"))));
}

/// A server in memory. `now` is its clock, in milliseconds since the Unix epoch.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Memory {
    server: Server,
    wires: Wire,
    said: Vec<Said>,
}

#[wasm_bindgen]
impl Memory {
    /// An empty one.
    #[wasm_bindgen(constructor)]
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it is made by JavaScript")]
    pub fn new() -> Self {
        // What the simulator holds clients to is not for applications to be held to.
        let mut server = Server::default();
        (server.decided, server.in_disorder) = (None, true);
        Self { server, wires: 0, said: Vec::new() }
    }

    /// The token with which an account gets in, for ever.
    #[must_use]
    pub fn token(account: &str) -> String {
        token(account)
    }

    /// A client connects. Gives the number of its connection.
    pub fn open(&mut self) -> f64 {
        self.wires += 1;
        self.server.opened(self.wires, false);
        self.wires as f64
    }

    /// A client has sent a frame.
    pub fn receive(&mut self, wire: f64, frame: Vec<u8>, now: f64) {
        self.server.received(wire as Wire, frame.into(), millis(now));
    }

    /// A connection is gone.
    pub fn close(&mut self, wire: f64) {
        self.server.closed(wire as Wire);
    }

    /// A client has posted a body of frames. Gives the body that answers it.
    ///
    /// # Errors
    /// When it is none.
    pub fn post(&mut self, body: Vec<u8>, now: f64) -> Result<Vec<u8>, JsError> {
        let frames = sequence::split(body.into(), FRAMES, limits::CLIENT_FRAME)?;
        self.wires += 1;
        let wire = self.wires;
        self.server.opened(wire, true);
        for frame in frames {
            self.server.received(wire, frame, millis(now));
        }
        self.server.closed(wire);
        let (answers, others): (Vec<Said>, _) =
            self.server.said().into_iter().partition(|(to, _)| *to == wire);
        self.said.extend(others);
        let answers: Vec<Bytes> = answers.into_iter().filter_map(|(_, frame)| frame).collect();
        Ok(sequence::join(&answers).into())
    }

    /// What is to be sent since this was asked last: pairs of a connection and a frame; none is its end.
    pub fn said(&mut self) -> Array {
        self.said.extend(self.server.said());
        let said = self.said.drain(..).map(|(wire, frame)| {
            let frame = frame.map_or(JsValue::NULL, |frame| Uint8Array::from(&*frame).into());
            JsValue::from(Array::of2(&JsValue::from(wire as f64), &frame))
        });
        said.collect()
    }

    /// Makes a group, or changes who is in it.
    #[wasm_bindgen(js_name = setGroup)]
    pub fn set_group(&mut self, id: &str, members: Vec<String>) {
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        self.server.set_group(id, &members);
    }

    /// An account sends a message, through no device. Gives its id.
    ///
    /// # Errors
    /// When it may not, or something of it makes no sense.
    #[expect(clippy::too_many_arguments, reason = "JavaScript names them")]
    pub fn send(
        &mut self,
        from: &str,
        to: &str,
        content: String,
        kind: String,
        id: Option<String>,
        include_sender: bool,
        now: f64,
    ) -> Result<String, JsError> {
        let id = named(id, now)?;
        let send = wire::Send { conversation: to.to_owned(), r#type: kind, content: content.into() };
        self.act(from, id, Body::Send(send), include_sender, now)?;
        Ok(id.to_string())
    }

    /// An account takes a message back, through no device.
    ///
    /// # Errors
    /// When it may not, or there is no such message.
    pub fn recall(&mut self, from: &str, message: &str, now: f64) -> Result<(), JsError> {
        let message = message.parse::<OperationId>()?.to_bytes();
        self.act(from, named(None, now)?, Body::Recall(wire::Recall { message }), true, now)
    }

    /// Notifies accounts. Gives the notification's id.
    ///
    /// # Errors
    /// When something of it makes no sense, or another one has its id.
    #[expect(clippy::too_many_arguments, reason = "JavaScript names them")]
    pub fn notify(
        &mut self,
        accounts: Vec<String>,
        title: String,
        body: String,
        data: Option<String>,
        conversation: Option<String>,
        message: Option<String>,
        id: Option<String>,
        now: f64,
    ) -> Result<String, JsError> {
        let id = named(id, now)?;
        let message = message.map(|id| id.parse::<OperationId>()).transpose()?;
        let notification = wire::Notification {
            id: id.to_bytes(),
            title,
            body,
            data: data.unwrap_or_default().into(),
            conversation: conversation.unwrap_or_default(),
            message: message.map(OperationId::to_bytes).unwrap_or_default(),
            created_at: millis(now).0,
            state: wire::NotificationState::Unread.into(),
        };
        codec::check_notification(&notification)?;
        if !self.server.notify(&accounts.into_iter().collect(), notification, millis(now)) {
            return Err(JsError::new("another notification has this id"));
        }
        Ok(id.to_string())
    }

    /// Removes a device of an account.
    ///
    /// # Errors
    /// When there is no such device.
    #[wasm_bindgen(js_name = removeDevice)]
    pub fn remove_device(&mut self, account: &str, device: &str, now: f64) -> Result<(), JsError> {
        let device = device.parse::<DeviceId>()?;
        match self.server.remove_device(account, device, millis(now)) {
            true => Ok(()),
            false => Err(JsError::new("no such device")),
        }
    }

    fn act(
        &mut self,
        account: &str,
        id: OperationId,
        body: Body,
        include_sender: bool,
        now: f64,
    ) -> Result<(), JsError> {
        let operation = wire::Operation { id: id.to_bytes(), clock: 0, body: Some(body) };
        codec::check_operation(&operation)?;
        match self.server.act(account, operation, include_sender, millis(now)) {
            Verdict::Accepted { .. } => Ok(()),
            Verdict::Refused(refusal) => {
                Err(JsError::new(&format!("{}: {}", refusal.code.as_str(), refusal.message)))
            }
        }
    }
}

fn millis(now: f64) -> Millis {
    Millis(now as u64)
}

/// The id that is given, or a new one.
fn named(id: Option<String>, now: f64) -> Result<OperationId, JsError> {
    if let Some(id) = id {
        return Ok(id.parse()?);
    }
    let mut entropy = [0; 10];
    fill_random(&mut entropy);
    Ok(OperationId::mint(millis(now), entropy))
}
