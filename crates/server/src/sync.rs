//! `GET /sync`: client traffic, one protobuf frame in each binary message of a WebSocket.

mod connection;
mod outbound;

use std::sync::Arc;

use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::HeaderMap,
    response::Response,
};
use tutti_protocol::limits;

use crate::{api::ApiError, app::App};

/// The subprotocol that a client must ask for.
const SUBPROTOCOL: &str = "tutti.v1";

pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    if !app.origins.allow(&headers) {
        return Err(ApiError::foreign_origin());
    }
    let upgrade = upgrade.map_err(|error| ApiError::bad_upgrade(error.body_text()))?;
    let upgrade = upgrade
        .max_message_size(limits::CLIENT_FRAME)
        .max_frame_size(limits::CLIENT_FRAME)
        .protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let message = format!("expected the subprotocol {SUBPROTOCOL}");
        return Err(ApiError::bad_upgrade(message));
    }
    let connections = app.connections.clone();
    Ok(upgrade.on_upgrade(async move |socket| {
        // A connection outlives its request: the server waits for those it tracks.
        let serving = connection::serve(app, socket);
        connections.track_future(serving).await;
    }))
}
