//! The HTTP API for an application's own back end, and the way into everything else.

mod access;
mod accounts;
mod connections;
mod devices;
mod error;
mod fields;
mod groups;
mod health;
mod messages;
mod notifications;
mod openapi;
mod publish;
mod push;
mod settings;
mod shapes;
mod status;
mod tokens;

use std::{net::SocketAddr, sync::Arc, time::Instant};

pub use access::Access;
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderValue, Method, Response, header},
    middleware::{self, Next},
    response::IntoResponse as _,
    routing::{MethodFilter, MethodRouter, on},
};
pub(crate) use error::ApiError;

use tracing::Instrument as _;

use crate::{
    app::App,
    config::Transport,
    logs::{self, RequestId},
    sync,
};

/// Largest body of a request.
const BODY: usize = 1024 * 1024;

/// What can be called, and by whom.
#[derive(Clone, Debug)]
pub struct Route {
    /// What the description of the API calls it.
    pub name: &'static str,
    /// How.
    pub method: Method,
    /// Where: `{id}` stands for any one segment.
    pub path: &'static str,
    /// By whom.
    pub access: Access,
}

/// Makes a table of routes, the router that serves them, and a description of all but the frames': no handler is
/// reached past the check of its row.
macro_rules! routes {
    (
        frames { $($frames_method:ident $frames_path:literal $frames:path;)* }
        api { $($method:ident $path:literal $access:ident $module:ident::$handler:ident;)* }
    ) => {
        /// Every route of the server.
        pub const ROUTES: &[Route] =
            &[
                $(Route {
                    name: stringify!($frames),
                    method: Method::$frames_method,
                    path: $frames_path,
                    access: Access::Hello,
                },)*
                $(Route {
                    name: concat!(stringify!($module), "_", stringify!($handler)),
                    method: Method::$method,
                    path: $path,
                    access: Access::$access,
                }),*
            ];

        fn routes(app: &Arc<App>) -> Router<Arc<App>> {
            Router::new()
                $(.route(
                    $frames_path,
                    checked(app, Access::Hello, on(MethodFilter::$frames_method, $frames)),
                ))*
                $(.route(
                    $path,
                    checked(app, Access::$access, on(MethodFilter::$method, $module::$handler)),
                ))*
        }

        /// What the handlers say of themselves.
        #[derive(utoipa::OpenApi)]
        #[openapi(
            info(
                title = "Tutti",
                description = "For an application's own back end. What clients say is in docs/protocol.md.",
            ),
            paths($($module::$handler),*),
            components(schemas(shapes::Refusal, shapes::PublishRefusal))
        )]
        struct Described;
    };
}

routes! {
    frames {
        GET     "/sync"                      sync::upgrade;
        POST    "/sync"                      sync::post;
        OPTIONS "/sync"                      sync::preflight;
    }
    api {
        POST    "/api/tokens"                BackendOrDeveloper  tokens::issue;
        POST    "/api/devices"               BackendOrUser       devices::register;
        GET     "/api/devices"               BackendOrUser       devices::list;
        PATCH   "/api/devices/{id}"          BackendOrUser       devices::rename;
        DELETE  "/api/devices/{id}"          BackendOrUser       devices::remove;
        DELETE  "/api/accounts/{id}"         Backend             accounts::erase;
        POST    "/api/messages"              Backend             messages::send;
        POST    "/api/messages/{id}/recall"  Backend             messages::recall;
        POST    "/api/notifications"         Backend             notifications::notify;
        POST    "/api/status"                Backend             status::send;
        POST    "/message/private/publish.json"        Signed  publish::message_to_users;
        POST    "/message/group/publish.json"          Signed  publish::message_to_groups;
        POST    "/statusmessage/private/publish.json"  Signed  publish::status_to_users;
        POST    "/statusmessage/group/publish.json"    Signed  publish::status_to_groups;
        GET     "/api/groups/{id}"           Backend             groups::get;
        PUT     "/api/groups/{id}"           Backend             groups::put;
        DELETE  "/api/groups/{id}"           Backend             groups::delete;
        GET     "/api/settings"              Backend             settings::get;
        PUT     "/api/settings"              Backend             settings::put;
        GET     "/api/connections"           BackendOrDeveloper  connections::list;
        GET     "/api/push"                  Anyone              push::key;
        GET     "/api/openapi.json"          Anyone              openapi::describe;
        GET     "/healthz"                   Anyone              health::alive;
        GET     "/readyz"                    Anyone              health::ready;
        GET     "/metrics"                   Anyone              health::metrics;
    }
}

fn checked(app: &Arc<App>, access: Access, handler: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    match access {
        Access::Signed => {
            handler.route_layer(middleware::from_fn_with_state(app.clone(), access::check_signature))
        }
        _ => handler.route_layer(middleware::from_fn_with_state((app.clone(), access), access::check)),
    }
}

/// The routes, and what holds for all of them.
pub(crate) fn router(app: Arc<App>) -> Router {
    routes(&app)
        .fallback(elsewhere)
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(app.clone(), secure))
        .layer(middleware::from_fn_with_state(app.clone(), observe))
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

/// Refuses what was not encrypted though it should have been. Tells browsers not to guess what an answer is, not to
/// show it inside another page, and to come back encrypted.
async fn secure(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> axum::response::Response {
    let refused = matches!(app.transport, Transport::Proxy) && is_plain(peer, &request);
    let mut answer =
        if refused { ApiError::not_encrypted().into_response() } else { next.run(request).await };
    let headers = answer.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Transport::Tls(_) = app.transport {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    answer
}

/// Whether a request came from another machine without having been encrypted; who asks how the server is may do so.
fn is_plain(peer: SocketAddr, request: &Request) -> bool {
    let scheme = request.headers().get("x-forwarded-proto");
    let encrypted = scheme.is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"));
    let health = matches!(request.uri().path(), "/healthz" | "/readyz" | "/metrics");
    !(encrypted || health || peer.ip().is_loopback())
}

/// Counts each request and notes it under an id, which the answer bears: its route, never its path, its query or its
/// headers, which may name somebody.
async fn observe(
    State(app): State<Arc<App>>,
    route: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> axum::response::Response {
    let start = Instant::now();
    let method = request.method().clone();
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let span = tracing::info_span!("request", id = &*id.0, account = tracing::field::Empty);
    let mut answer = next.run(request).instrument(span.clone()).await;
    let (status, took) = (answer.status().as_u16(), start.elapsed());
    let route = route.as_ref().map(MatchedPath::as_str);
    app.metrics.note_request(&method, route, status, took);
    span.in_scope(|| tracing::debug!(%method, route, status, ms = took.as_millis(), "request"));
    answer.headers_mut().insert(logs::REQUEST_ID, id.into());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_proxy_what_was_not_encrypted_is_refused() {
        let plain = |peer: &str, path: &str, scheme: Option<&'static str>| {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = path.parse().unwrap();
            if let Some(scheme) = scheme {
                request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static(scheme));
            }
            is_plain(peer.parse().unwrap(), &request)
        };
        for scheme in [None, Some("http"), Some("https, http"), Some("")] {
            assert!(plain("10.0.0.7:80", "/sync", scheme), "{scheme:?}");
            assert!(!plain("127.0.0.1:80", "/sync", scheme), "{scheme:?}");
            assert!(!plain("10.0.0.7:80", "/healthz", scheme), "{scheme:?}");
        }
        assert!(!plain("[2001:db8::7]:80", "/sync", Some("HTTPS")));
    }
}
