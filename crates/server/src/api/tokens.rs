//! `POST /api/tokens`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{accounts::must_not_be_erased, error::ApiError, fields::Fields, shapes};
use crate::{app::App, clock::now};

/// How long a token works unless asked otherwise, in seconds.
const TTL: u64 = 15 * 60;
/// How long a token may work.
const TTL_MAX: u64 = 7 * 24 * 60 * 60;

/// Makes a user token, for one account and perhaps for one of its devices alone.
#[utoipa::path(
    post, path = "/api/tokens", tag = "tokens",
    request_body = shapes::TokenRequest,
    responses(
        (status = 200, description = "the token", body = shapes::Token),
        (status = 409, description = "an account was erased: the field that names it is told", body = shapes::Refusal),
    ),
)]
pub(super) async fn issue(State(app): State<Arc<App>>, mut fields: Fields) -> Result<Json<Value>, ApiError> {
    let account = fields.name("account")?;
    let expected = "a whole number of seconds from 1 to 604800";
    let ttl = fields.optional("ttl_seconds", expected)?.unwrap_or(TTL);
    if !(1..=TTL_MAX).contains(&ttl) {
        return Err(ApiError::field("ttl_seconds", format!("expected {expected}")));
    }
    let device = fields.uuid("device_id")?;
    fields.finish()?;
    must_not_be_erased(&app, "account", &account).await?;
    let token = app.tokens.issue(&account, device, now(), ttl).map_err(ApiError::internal)?;
    Ok(Json(json!({"token": token.text, "expires_at": token.expires_at.0})))
}
