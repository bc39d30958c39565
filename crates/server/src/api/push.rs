//! `GET /api/push`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::app::App;

/// What browsers subscribe with, if this server pushes.
pub(super) async fn key(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    let key = app.push.public_key().map_err(ApiError::push_off)?;
    Ok(Json(json!({"public_key": key})))
}
