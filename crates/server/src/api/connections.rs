//! `GET /api/connections`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde_json::{Value, json};

use super::fields::UserId;
use crate::app::App;

pub(super) async fn list(State(app): State<Arc<App>>, UserId(account): UserId) -> Json<Value> {
    let connections: Vec<_> = app
        .hub
        .connections(&account)
        .await
        .into_iter()
        .map(|connection| {
            json!({
                "device_id": connection.device,
                "name": connection.name,
                "platform": connection.platform,
                "since": connection.since,
            })
        })
        .collect();
    Json(json!({"connections": connections}))
}
