//! `POST /api/notifications`

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, body::Bytes, extract::State};
use serde_json::{Value, json};
use tutti_acceptance::notifications::Notify;
use tutti_protocol::{Conversation, OperationId, content, limits, wire::Notification};

use super::{
    error::ApiError,
    fields::{Fields, check_name},
    messages::mint,
    shapes,
};
use crate::{app::App, clock::now};

/// Notifies accounts. The same again changes nothing, and gets the same answer.
#[utoipa::path(
    post, path = "/api/notifications", tag = "notifications",
    request_body = shapes::Notification,
    responses(
        (status = 200, description = "they are notified", body = shapes::Notified),
        (status = 409, description = "an account was erased: the field that names it is told", body = shapes::Refusal),
    ),
)]
pub(super) async fn notify(State(app): State<Arc<App>>, mut fields: Fields) -> Result<Json<Value>, ApiError> {
    let now = now();
    let accounts = read_accounts(&mut fields)?;
    let title: String = fields.required("title", "text")?;
    if title.is_empty() {
        return Err(ApiError::field("title", "expected text that is not empty"));
    }
    let body: String = fields.required("body", "text")?;
    let data = fields.optional_raw("data").map(|data| Bytes::copy_from_slice(data.get().as_bytes()));
    let data = data.unwrap_or_default();
    if !data.is_empty() {
        content::check(&data).map_err(|error| ApiError::field("data", error.to_string()))?;
    }
    if title.len() + body.len() + data.len() > limits::NOTIFICATION {
        return Err(ApiError::field("body", "title, body and data are over 4 KiB together"));
    }
    let conversation: Option<String> =
        fields.optional("conversation", "\"direct:<account>\" or \"group:<id>\"")?;
    let conversation = conversation.unwrap_or_default();
    if !conversation.is_empty() {
        Conversation::parse(&conversation)
            .map_err(|error| ApiError::field("conversation", error.to_string()))?;
    }
    let message = fields.id("message")?.map(OperationId::to_bytes).unwrap_or_default();
    let id = fields.id("id")?.map_or_else(|| mint(now), Ok)?;
    fields.finish()?;

    let id_bytes = id.to_bytes();
    let notification =
        Notification { id: id_bytes, title, body, data, conversation, message, ..Notification::default() };
    let notified = app.writer.write(Notify { accounts: accounts.clone(), notification, now }).await?;
    let naming = |refusal| ApiError::naming(refusal, accounts.iter().map(|it| ("accounts", it.as_str())));
    let created_at = notified.map_err(naming)?;
    Ok(Json(json!({"id": id.to_string(), "created_at": created_at.0})))
}

fn read_accounts(fields: &mut Fields) -> Result<BTreeSet<String>, ApiError> {
    let expected = "a list of 1 to 500 account names";
    let accounts: Vec<String> = fields.required("accounts", expected)?;
    for account in &accounts {
        check_name("accounts", account)?;
    }
    let accounts: BTreeSet<_> = accounts.into_iter().collect();
    if accounts.is_empty() || accounts.len() > limits::GROUP {
        return Err(ApiError::field("accounts", format!("expected {expected}")));
    }
    Ok(accounts)
}
