//! `/sync`: client traffic, one protobuf frame in each binary message of a WebSocket; or a few of them in
//! the body of a `POST`, for polling.

mod caller;
mod connection;
mod devices;
mod ending;
mod outbound;
mod post;

use std::sync::Arc;

use axum::{
    Extension,
    body::{Body, to_bytes},
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;
use tracing::Instrument as _;
use tutti_protocol::limits;

use crate::{api::ApiError, app::App, logs::RequestId};

/// The subprotocol that a client must ask for.
const SUBPROTOCOL: &str = "tutti.v1";
/// Bytes that are read from a WebSocket at a time.
const READ_BUFFER: usize = 4 * 1024;
/// Largest body of a post: its frames, each after a length of at most three bytes.
const BODY: usize = post::FRAMES * (limits::CLIENT_FRAME + 3);

pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(RequestId(id)): Extension<RequestId>,
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
        // Most of what an idle connection takes. Nearly all frames are smaller, and a larger one makes it grow.
        .read_buffer_size(READ_BUFFER)
        .protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let message = format!("expected the subprotocol {SUBPROTOCOL}");
        return Err(ApiError::bad_upgrade(message));
    }
    let connections = app.connections.clone();
    let connection =
        tracing::info_span!(parent: None, "connection", id = &*id, account = tracing::field::Empty);
    Ok(upgrade.on_upgrade(async move |socket| {
        // A connection outlives its request: the server waits for those it tracks.
        let serving = connection::serve(app, socket).instrument(connection);
        connections.track_future(serving).await;
    }))
}

/// `POST /sync`. Pages of other origins that may connect may read the answer, too.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let shared = share(&app, &headers)?;
    let body = timeout(app.limits.hello_deadline(), to_bytes(body, BODY)).await;
    let body = body.map_err(|_| ApiError::timeout())?.map_err(|_| ApiError::too_large())?;
    let answer = post::exchange(&app, body).await;
    let own = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((own, shared, answer).into_response())
}

/// `OPTIONS /sync`: whether a page of another origin may post, which its browser asks before it sends a
/// body that has a type.
pub(crate) async fn preflight(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let shared = share(&app, &headers)?;
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type")),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400")),
    ];
    Ok((StatusCode::NO_CONTENT, allowed, shared).into_response())
}

/// The headers that let a page read an answer (the Fetch standard's CORS protocol), if it may.
fn share(app: &App, headers: &HeaderMap) -> Result<HeaderMap, ApiError> {
    if !app.origins.allow(headers) {
        return Err(ApiError::foreign_origin());
    }
    let mut shared = HeaderMap::new();
    shared.insert(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = headers.get(header::ORIGIN) {
        shared.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    Ok(shared)
}
