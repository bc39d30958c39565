//! `POST /api/status`

use std::{collections::BTreeSet, sync::Arc};

use axum::{body::Bytes, extract::State, http::StatusCode};
use tutti_acceptance::accept::Refusal;
use tutti_protocol::{
    Conversation, content,
    conversation::is_name,
    limits,
    wire::{self, status::Status},
};

use super::{accounts::must_not_be_erased, error::ApiError, fields::Fields, shapes};
use crate::{app::App, bus::Allowance, status::Speaker};

/// Says something to those who are there, whoever that is: the answer does not tell.
#[utoipa::path(
    post, path = "/api/status", tag = "status",
    request_body = shapes::Status,
    responses(
        (status = 202, description = "it is said"),
        (status = 409, description = "an account was erased: the field that names it is told", body = shapes::Refusal),
        (status = 429, description = "too many of the account: Retry-After says when again", body = shapes::Refusal),
    ),
)]
pub(super) async fn send(State(app): State<Arc<App>>, mut fields: Fields) -> Result<StatusCode, ApiError> {
    let account = fields.name("from")?;
    let conversation: String = fields.required("to", "\"direct:<account>\" or \"group:<id>\"")?;
    Conversation::parse(&conversation).map_err(|error| ApiError::field("to", error.to_string()))?;
    let kind: String = fields.required("type", "text")?;
    if !is_name(&kind) || kind.len() > limits::TYPE {
        return Err(ApiError::field("type", "expected a name of 1 to 64 bytes"));
    }
    let content = Bytes::copy_from_slice(fields.raw("content")?.get().as_bytes());
    content::check(&content).map_err(|error| ApiError::field("content", error.to_string()))?;
    let own = fields.optional("isIncludeSender", "true or false")?.unwrap_or(false);
    fields.finish()?;
    must_not_be_erased(&app, "from", &account).await?;
    say(&app, &Saying { account, conversations: [conversation].into(), kind, content, own }).await?;
    Ok(StatusCode::ACCEPTED)
}

/// What is said in the name of an account.
pub(super) struct Saying {
    pub account: String,
    pub conversations: BTreeSet<String>,
    pub kind: String,
    pub content: Bytes,
    /// Whether the account's own devices hear it, too.
    pub own: bool,
}

/// Says it. In however many conversations, it counts as one operation of the account.
pub(super) async fn say(app: &App, saying: &Saying) -> Result<(), ApiError> {
    let Saying { account, conversations, kind, content, own } = saying;
    let grant = app.bus.take(Allowance::Operations, account, 1).await;
    if grant.granted == 0 {
        return Err(Refusal::rate_limited(grant.wait).into());
    }
    let speaker = Speaker { account, connection: None, own: *own, others: true };
    let said = |conversation| {
        let (account, r#type, content) = (account.clone(), kind.clone(), content.clone());
        Status::Custom(wire::Custom { conversation, account, r#type, content })
    };
    for conversation in conversations {
        app.metrics.note_status("custom");
        app.statuses.say(speaker, conversation, said).await?;
    }
    Ok(())
}
