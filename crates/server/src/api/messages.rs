//! `POST /api/messages`, `POST /api/messages/{id}/recall`

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tutti_acceptance::{
    accept::{Refusal, Submission, Verdict},
    source::Source,
};
use tutti_protocol::{
    Code, Conversation, Millis, OperationId, content,
    conversation::is_name,
    limits,
    wire::{self, operation::Body},
};

use super::{error::ApiError, fields::Fields};
use crate::{app::App, bus::Allowance, clock::now};

pub(super) async fn send(State(app): State<Arc<App>>, mut fields: Fields) -> Result<Json<Value>, ApiError> {
    let now = now();
    let account = fields.name("from")?;
    let conversation: String = fields.required("to", "\"direct:<account>\" or \"group:<id>\"")?;
    Conversation::parse(&conversation).map_err(|error| ApiError::field("to", error.to_string()))?;
    let kind: Option<String> = fields.optional("type", "text")?;
    let kind = kind.unwrap_or_else(|| "text".to_owned());
    if !is_name(&kind) || kind.len() > limits::TYPE {
        return Err(ApiError::field("type", "expected a name of 1 to 64 bytes"));
    }
    let content = Bytes::copy_from_slice(fields.raw("content")?.get().as_bytes());
    content::check(&content).map_err(|error| ApiError::field("content", error.to_string()))?;
    let id = fields.id("id")?.map_or_else(|| mint(now), Ok)?;
    let include_sender = fields.optional("isIncludeSender", "true or false")?.unwrap_or(false);
    fields.finish()?;

    let body = Body::Send(wire::Send { conversation: conversation.clone(), r#type: kind, content });
    let act = Act { account: account.clone(), id, body, include_sender, now };
    let at = submit(&app, act).await?.map_err(|refusal| {
        let to = match Conversation::parse(&conversation) {
            Ok(Conversation::Direct(other)) => Some(("to", other)),
            _ => None,
        };
        ApiError::naming(refusal, [("from", &*account)].into_iter().chain(to))
    })?;
    Ok(Json(json!({"id": id.to_string(), "sent_at": at.0})))
}

/// Takes a message back. Doing it again gives the same answer.
pub(super) async fn recall(
    State(app): State<Arc<App>>,
    MessageId(message): MessageId,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let account = fields.name("from")?;
    fields.finish()?;
    let body = Body::Recall(wire::Recall { message: message.to_bytes() });
    let id = recall_id(message);
    let act = Act { account: account.clone(), id, body, include_sender: true, now: now() };
    match submit(&app, act).await? {
        Ok(_) => Ok(Json(json!({"id": message.to_string()}))),
        Err(refusal) if refusal == Refusal::erased(&account) => {
            Err(ApiError::naming(refusal, [("from", &*account)]))
        }
        // Not there or not the account's: the two look the same.
        Err(refusal) if refusal.code == Code::NotFound || refusal == Refusal::anothers_message() => {
            Err(ApiError::not_found())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// An id for what the back end has given none.
pub(super) fn mint(now: Millis) -> Result<OperationId, ApiError> {
    let mut entropy = [0; 10];
    getrandom::fill(&mut entropy).map_err(ApiError::internal)?;
    Ok(OperationId::mint(now, entropy))
}

/// What the back end does in the name of an account.
struct Act {
    account: String,
    id: OperationId,
    body: Body,
    include_sender: bool,
    now: Millis,
}

/// Has it decided, and answers when it was accepted.
async fn submit(app: &App, act: Act) -> Result<Result<Millis, Refusal>, ApiError> {
    let Act { account, id, body, include_sender, now } = act;
    let grant = app.bus.take(Allowance::Operations, &account, 1).await;
    if grant.granted == 0 {
        return Ok(Err(Refusal::rate_limited(grant.wait)));
    }
    let submission = Submission {
        account,
        source: Source::BackEnd,
        operations: vec![wire::Operation { id: id.to_bytes(), clock: 0, body: Some(body) }],
        include_sender,
        notifies: app.settings.get().message_notifications,
        hide_reads: false,
        recall_window: app.settings.get().recall_window(),
        reach: app.reach(),
        now,
    };
    match app.writer.write(submission).await?.pop() {
        Some(Verdict::Accepted { at, .. }) => Ok(Ok(at)),
        Some(Verdict::Refused(refusal)) => Ok(Err(refusal)),
        None => Err(ApiError::internal("no verdict on an operation")),
    }
}

/// The id of the operation that recalls a message: the same each time, so that it takes effect once.
fn recall_id(message: OperationId) -> OperationId {
    let digest: [u8; 32] =
        Sha256::new().chain_update("recall").chain_update(message.as_bytes()).finalize().into();
    let [id @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest;
    OperationId::from(id)
}

/// The id of a message, from the path.
pub(super) struct MessageId(OperationId);

impl<S: Send + Sync> FromRequestParts<S> for MessageId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let expected = || ApiError::field("id", "expected a UUID in its hyphenated form");
        let Path(id) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| expected())?;
        id.parse().map(Self).map_err(|_| expected())
    }
}
