//! Who calls: the application's back end, or a user.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, header, request::Parts},
};

use super::error::ApiError;
use crate::{app::App, origin};

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The application's back end, which may act for everyone.
    Server,
    /// The user of an account, who may act for that account.
    User(String),
}

impl Caller {
    /// Refuses whoever may not act for an account, as if the account were not there.
    pub(crate) fn must_speak_for(&self, account: &str) -> Result<(), ApiError> {
        match self {
            Self::User(own) if own != account => Err(ApiError::not_found()),
            Self::User(_) | Self::Server => Ok(()),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).ok_or_else(ApiError::unauthorized)?;
        if app.server_key.is(token) {
            return Ok(Self::Server);
        }
        let account = app.tokens.account(token);
        account.map(Self::User).ok_or_else(ApiError::unauthorized)
    }
}

/// Proof that the application's back end calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backend;

impl FromRequestParts<Arc<App>> for Backend {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        match Caller::from_request_parts(parts, app).await? {
            Caller::Server => Ok(Self),
            Caller::User(_) => Err(ApiError::unauthorized()),
        }
    }
}

/// Proof that the application's back end calls, or in development anyone on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackendOrDeveloper;

impl FromRequestParts<Arc<App>> for BackendOrDeveloper {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        if app.dev && is_local(parts) && app.origins.allow(&parts.headers) {
            return Ok(Self);
        }
        Backend::from_request_parts(parts, app).await?;
        Ok(Self)
    }
}

fn is_local(parts: &Parts) -> bool {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().is_some_and(|peer| peer.0.ip().is_loopback())
        && origin::is_addressed_locally(&parts.headers)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}
