//! Who may call what: asked in one place, for every route, before its handler sees the request.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};

use tracing::Span;
use tutti_acceptance::{devices::Known, storage::StorageError};

use super::error::{ApiError, Refused};
use crate::{app::App, clock::now, origin};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Anyone,
    /// Anyone: who it is, a hello among the frames says.
    Hello,
    /// The application's back end.
    Backend,
    /// The back end, and users for their own account: handlers ask the [`Caller`].
    BackendOrUser,
    /// The back end, and in development anyone on this machine.
    BackendOrDeveloper,
    /// The back end, which signs the headers of its requests: handlers find who has [`Signed`](crate::signature::Signed).
    Signed,
}

/// Who calls, for handlers: an [`Extension`](axum::Extension) of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// The application's back end, which may act for everyone.
    Backend,
    /// The user of an account, who may act for that account.
    User(String),
}

impl Caller {
    /// Whom the token of a request is from, if it brings a good one. Users are asked for where they may call.
    async fn identify(app: &App, headers: &HeaderMap, access: Access) -> Result<Option<Self>, StorageError> {
        let Some(token) = bearer(headers) else {
            return Ok(None);
        };
        if app.server_key.is(token) {
            return Ok(Some(Self::Backend));
        }
        if access != Access::BackendOrUser {
            return Ok(None);
        }
        Ok(user(app, token).await?.map(Self::User))
    }

    /// Refuses whoever may not act for an account, as if the account were not there.
    pub(super) fn must_speak_for(&self, account: &str) -> Result<(), ApiError> {
        match self {
            Self::User(own) if own != account => Err(ApiError::not_found()),
            Self::User(_) | Self::Backend => Ok(()),
        }
    }
}

/// Lets a request through to the handler of its route, or not.
pub(super) async fn check(
    State((app, access)): State<(Arc<App>, Access)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = Caller::identify(&app, request.headers(), access).await?;
    let is_backend = caller == Some(Caller::Backend);
    let may_call = match access {
        Access::Anyone | Access::Hello => true,
        Access::Backend => is_backend,
        Access::BackendOrUser => caller.is_some(),
        Access::BackendOrDeveloper => is_backend || is_developer(&app, &request),
        // Asked by `check_signature`.
        Access::Signed => false,
    };
    if !may_call {
        return Err(ApiError::unauthorized());
    }
    if let Some(caller) = caller {
        if let Caller::User(account) = &caller {
            Span::current().record("account", app.pseudonyms.of(account));
        }
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

/// Lets a request through whose headers are signed.
pub(super) async fn check_signature(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let signed = app.signatures.verify(request.headers(), now())?;
    request.extensions_mut().insert(signed);
    Ok(next.run(request).await)
}

/// Whether a request comes from this machine, and from no foreign page that is shown on it, in development.
fn is_developer(app: &App, request: &Request) -> bool {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let local = peer.is_some_and(|peer| peer.0.ip().is_loopback());
    let headers = request.headers();
    let from_own_page = !headers.contains_key(header::ORIGIN) || app.origins.allow(headers);
    app.dev && local && from_own_page && origin::is_addressed_locally(headers)
}

/// The account of a token that is good for something, if it was not erased. With one that was revoked, one of the
/// devices that may use it still may be the one that calls.
async fn user(app: &App, token: &str) -> Result<Option<String>, StorageError> {
    let Some(token) = app.tokens.read(token).filter(|token| !token.has_expired()) else {
        return Ok(None);
    };
    if app.storage.erased(&token.account).await?.is_some() {
        return Ok(None);
    }
    let keepers = app.storage.token_keepers(&token.account, token.is.mark).await?;
    if keepers.is_some_and(|keepers| keepers.is_empty()) {
        return Ok(None);
    }
    if let Some(device) = &token.device
        && let Some(Known::Removed(_)) = app.storage.device(&token.account, device).await?
    {
        return Ok(None);
    }
    Ok(Some(token.account))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}
