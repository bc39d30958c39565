//! `POST /api/messages`

use std::{sync::Arc, time::Instant};

use axum::{Json, body::Bytes, extract::State};
use serde_json::{Value, json};
use tutti_acceptance::accept::{Refusal, Submission, Verdict};
use tutti_protocol::{
    Conversation, OperationId, content,
    conversation::is_name,
    limits,
    wire::{self, operation::Body},
};

use super::{auth::Backend, error::ApiError, fields::Fields};
use crate::{app::App, clock::now};

pub(super) async fn send(
    _: Backend,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
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
    let id = match fields.optional::<String>("id", "a UUID")? {
        Some(text) => {
            text.parse().map_err(|_| ApiError::field("id", "expected a UUID in its hyphenated form"))?
        }
        None => {
            let mut entropy = [0; 10];
            getrandom::fill(&mut entropy).map_err(ApiError::internal)?;
            OperationId::mint(now, entropy)
        }
    };
    let include_sender = fields.optional("isIncludeSender", "true or false")?.unwrap_or(false);
    fields.finish()?;

    let grant = app.rates.take(&account, 1, Instant::now());
    if grant.granted == 0 {
        return Err(Refusal::rate_limited(grant.wait).into());
    }
    let operation = wire::Operation {
        id: id.to_bytes(),
        clock: 0,
        body: Some(Body::Send(wire::Send { conversation, r#type: kind, content })),
    };
    let submission = Submission { account, device: None, operations: vec![operation], include_sender, now };
    let verdict = app.writer.write(submission).await?.pop();
    match verdict {
        Some(Verdict::Accepted { at, .. }) => Ok(Json(json!({"id": id.to_string(), "sent_at": at.0}))),
        Some(Verdict::Refused(refusal)) => Err(refusal.into()),
        None => Err(ApiError::internal("no verdict on an operation")),
    }
}
