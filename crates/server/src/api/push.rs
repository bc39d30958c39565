//! `GET /api/push`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::{error::ApiError, shapes};
use crate::app::App;

/// What browsers subscribe with, if this server pushes.
#[utoipa::path(
    get, path = "/api/push", tag = "notifications",
    responses(
        (status = 200, description = "the key", body = shapes::PushKey),
        (status = 404, description = "this server does not push", body = shapes::Refusal),
    ),
)]
pub(super) async fn key(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let key = app.push.public_key().map_err(ApiError::push_off)?;
    Ok(Json(json!({"public_key": key})))
}
