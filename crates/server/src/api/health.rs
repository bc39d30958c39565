//! `GET /healthz`, `GET /readyz`, `GET /metrics`

use std::sync::Arc;

use axum::{Json, extract::State, http::header, response::IntoResponse};
use serde_json::{Value, json};

use super::{error::ApiError, shapes};
use crate::{app::App, metrics};

/// The process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "operation",
    responses(
        (status = 200, description = "it does", body = shapes::Health),
    ),
)]
pub(super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// It can serve: the database answers, and the server is not about to end.
#[utoipa::path(
    get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, description = "it can", body = shapes::Health),
        (status = 503, description = "it cannot", body = shapes::Refusal),
    ),
)]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Json<Value>, ApiError> {
    if app.draining.is_cancelled() {
        return Err(ApiError::draining());
    }
    app.storage.check().await?;
    Ok(Json(json!({"status": "ok"})))
}

/// What is counted, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "metrics", body = String, content_type = "application/openmetrics-text")),
)]
pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<impl IntoResponse, ApiError> {
    let text = app.metrics.render(app.writer.waiting(), app.push.counts()).map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text))
}
