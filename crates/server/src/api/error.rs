//! What the API answers when it refuses.

use std::fmt;

use axum::{
    Json,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use tutti_protocol::Code;

use tutti_acceptance::{accept::Refusal, storage::StorageError};

use crate::{push::Off, settings::BadSetting, signature::Unsigned};

/// A refusal: `{"error": {"code", "message", "field"?}}`.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: Code,
    message: String,
    field: Option<String>,
    /// Milliseconds.
    retry_after: u32,
}

impl ApiError {
    fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), field: None, retry_after: 0 }
    }

    /// No credentials, or none that are good for this.
    pub(crate) fn unauthorized() -> Self {
        let message = "a valid bearer token is needed";
        Self::new(StatusCode::UNAUTHORIZED, Code::Auth, message)
    }

    /// From a page that may not connect.
    pub(crate) fn foreign_origin() -> Self {
        let message = "pages of this origin may not connect";
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, message)
    }

    /// From another machine, and not encrypted.
    pub(crate) fn not_encrypted() -> Self {
        let message =
            "connections must be encrypted: https or wss, and the proxy says so in X-Forwarded-Proto";
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, message)
    }

    /// Not there, or not the caller's: the two look the same.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, "not found")
    }

    /// There is no key to subscribe with.
    pub(crate) fn push_off(off: Off) -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, off.to_string())
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "not with this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Invalid, message)
    }

    /// A field that holds what it may not.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::Invalid, message);
        error.field = Some(field.to_owned());
        error
    }

    /// A field that contradicts what is there.
    pub(crate) fn conflict(field: &str, message: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::CONFLICT, Code::Conflict, message);
        error.field = Some(field.to_owned());
        error
    }

    /// A refusal. Where that is since an account was erased, it is the field's that names the account.
    pub(crate) fn naming<'a>(refusal: Refusal, fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        match fields.into_iter().find(|(_, account)| refusal == Refusal::erased(account)) {
            Some((field, _)) => Self::conflict(field, refusal.message),
            None => refusal.into(),
        }
    }

    pub(crate) fn too_large() -> Self {
        let message = "the body is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, message)
    }

    /// The body takes too long to arrive.
    pub(crate) fn timeout() -> Self {
        let message = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, Code::Timeout, message)
    }

    /// Something is wrong on this side. What it is stays in the log.
    pub(crate) fn internal(error: impl fmt::Display) -> Self {
        tracing::error!(%error, "a request failed");
        let message = "the server failed";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, message)
    }

    /// The server is about to end; another one may not be.
    pub(crate) fn draining() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Internal, "the server is about to end")
    }

    /// The request asked for no WebSocket that this server speaks.
    pub(crate) fn bad_upgrade(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Protocol, message)
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Conflict => StatusCode::CONFLICT,
            Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut error = Self::new(status, refusal.code, refusal.message);
        error.retry_after = refusal.retry_after;
        error
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "a request failed");
        Refusal::storage().into()
    }
}

impl From<BadSetting> for ApiError {
    fn from(error: BadSetting) -> Self {
        Self::field(&error.field, error.message)
    }
}

impl From<Unsigned> for ApiError {
    fn from(error: Unsigned) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Code::Auth, error.to_string())
    }
}

/// The same refusal to who calls as another service is called: `{"code", "errorMessage"}`, the code being the status.
#[derive(Clone, Debug)]
pub(crate) struct Refused(ApiError);

impl<E: Into<ApiError>> From<E> for Refused {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let ApiError { status, message, field, retry_after, .. } = self.0;
        let message = field.map_or_else(|| message.clone(), |field| format!("{field}: {message}"));
        let body = json!({"code": status.as_u16(), "errorMessage": message});
        come_again((status, Json(body)).into_response(), retry_after)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut error = json!({"code": self.code.as_str(), "message": self.message});
        if let Some(field) = self.field {
            error["field"] = field.into();
        }
        let mut response = (self.status, Json(json!({"error": error}))).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = header::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        come_again(response, self.retry_after)
    }
}

/// A response that says after how many milliseconds to come again, if that helps.
fn come_again(mut response: Response, millis: u32) -> Response {
    if millis > 0 {
        response.headers_mut().insert(header::RETRY_AFTER, millis.div_ceil(1_000).into());
    }
    response
}
