//! `POST /api/status`

use std::sync::Arc;

use axum::{body::Bytes, extract::State, http::StatusCode};
use tutti_acceptance::accept::Refusal;
use tutti_protocol::{
    Conversation, content,
    conversation::is_name,
    limits,
    wire::{self, status::Status},
};

use super::{accounts::must_not_be_erased, error::ApiError, fields::Fields};
use crate::{app::App, bus::Allowance, status::Speaker};

/// Says something to those who are there, whoever that is: the answer does not tell.
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

    let grant = app.bus.take(Allowance::Operations, &account, 1).await;
    if grant.granted == 0 {
        return Err(Refusal::rate_limited(grant.wait).into());
    }
    let speaker = Speaker { account: &account, connection: None, own, others: true };
    let said = |conversation| {
        let (account, r#type, content) = (account.clone(), kind.clone(), content.clone());
        Status::Custom(wire::Custom { conversation, account, r#type, content })
    };
    app.statuses.say(speaker, &conversation, said).await?;
    Ok(StatusCode::ACCEPTED)
}
