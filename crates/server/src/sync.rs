//! `/sync`: client traffic, one protobuf frame in each binary message of a WebSocket; or a few of them in
//! the body of a `POST`, for polling.

mod caller;
mod connection;
mod ending;
mod outbound;
mod post;

use std::sync::Arc;

use axum::{
    extract::{State, WebSocketUpgrade, rejection::BytesRejection, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
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

/// `POST /sync`. Pages of other origins that may connect may read the answer, too; what they post needs
/// no leave beforehand, since the body has no type that would.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    if !app.origins.allow(&headers) {
        return Err(ApiError::foreign_origin());
    }
    let body = body.map_err(|_| ApiError::too_large())?;
    let answer = post::exchange(&app, body).await;
    let mut response = answer.into_response();
    let set = response.headers_mut();
    set.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    set.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set.insert(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = headers.get(header::ORIGIN) {
        set.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    Ok(response)
}
