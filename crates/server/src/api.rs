//! The HTTP API for an application's own back end, and the way into everything else.

mod auth;
mod connections;
mod devices;
mod error;
mod fields;
mod groups;
mod health;
mod messages;
mod settings;
mod status;
mod tokens;

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request, State},
    http::{Method, Response},
    middleware::{self, Next},
    routing::{get, post},
};
pub(crate) use error::ApiError;

use crate::{app::App, sync};

/// Largest body of a request.
const BODY: usize = 1024 * 1024;

/// Every route of the server.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/sync", get(sync::upgrade).post(sync::post).options(sync::preflight))
        .route("/api/tokens", post(tokens::issue))
        .route("/api/devices", post(devices::register).get(devices::list))
        .route("/api/messages", post(messages::send))
        .route("/api/messages/{id}/recall", post(messages::recall))
        .route("/api/status", post(status::send))
        .route("/api/groups/{id}", get(groups::get).put(groups::put).delete(groups::delete))
        .route("/api/settings", get(settings::get).put(settings::put))
        .route("/api/connections", get(connections::list))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(elsewhere)
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn(log))
        .with_state(app)
}

/// The page, if there is one, under every path that is not the API's.
async fn elsewhere(State(app): State<Arc<App>>, request: Request) -> Result<Response<Body>, ApiError> {
    let path = request.uri().path();
    let is_page = matches!(*request.method(), Method::GET | Method::HEAD)
        && path != "/api"
        && !path.starts_with("/api/");
    let Some(site) = app.site.as_ref().filter(|_| is_page) else {
        return Err(ApiError::not_found());
    };
    site.serve(request.method(), path, request.headers())
        .await
        .map_err(ApiError::internal)?
        .ok_or_else(ApiError::not_found)
}

/// Notes each request: its path, never its query or its headers.
async fn log(request: Request, next: Next) -> axum::response::Response {
    let start = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let answer = next.run(request).await;
    let status = answer.status().as_u16();
    let ms = start.elapsed().as_millis();
    tracing::debug!(%method, path, status, ms, "request");
    answer
}
