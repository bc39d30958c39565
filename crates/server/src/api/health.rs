//! `GET /healthz`, `GET /readyz`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::app::App;

/// The process answers.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// It can serve: the database answers.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    app.storage.check().await?;
    Ok(Json(json!({"status": "ok"})))
}
