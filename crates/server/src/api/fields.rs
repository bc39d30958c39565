//! What a request brings, field by field, so that a refusal can say which one is wrong.

use std::{collections::BTreeMap, str::FromStr};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, value::RawValue};
use tutti_protocol::{OperationId, conversation::is_name};

use super::error::ApiError;

/// The fields of a JSON object that came as a body.
#[derive(Debug)]
pub(crate) struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    /// Takes a field that must be there.
    pub(crate) fn required<T: DeserializeOwned>(
        &mut self,
        field: &str,
        expected: &str,
    ) -> Result<T, ApiError> {
        self.optional(field, expected)?
            .ok_or_else(|| ApiError::field(field, format!("missing; expected {expected}")))
    }

    /// Takes a field that may be there. `null` counts as absent.
    pub(crate) fn optional<T: DeserializeOwned>(
        &mut self,
        field: &str,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.0.remove(field) else {
            return Ok(None);
        };
        serde_json::from_str(value.get()).map_err(|_| ApiError::field(field, format!("expected {expected}")))
    }

    /// Takes a field that must be there, as it was written.
    pub(crate) fn raw(&mut self, field: &str) -> Result<Box<RawValue>, ApiError> {
        self.optional_raw(field).ok_or_else(|| ApiError::field(field, "missing; expected a JSON value"))
    }

    /// Takes a field that may be there, as it was written.
    pub(crate) fn optional_raw(&mut self, field: &str) -> Option<Box<RawValue>> {
        self.0.remove(field)
    }

    /// Takes the id of a message or a notification, which may be there.
    pub(crate) fn id(&mut self, field: &str) -> Result<Option<OperationId>, ApiError> {
        self.uuid(field)
    }

    /// Takes an id of any kind, which may be there.
    pub(crate) fn uuid<T: FromStr>(&mut self, field: &str) -> Result<Option<T>, ApiError> {
        let expected = || ApiError::field(field, "expected a UUID in its hyphenated form");
        let id: Option<String> = self.optional(field, "a UUID")?;
        id.map(|text| text.parse().map_err(|_| expected())).transpose()
    }

    /// Takes the name of an account or a group, which must be there.
    pub(crate) fn name(&mut self, field: &str) -> Result<String, ApiError> {
        let name: String = self.required(field, NAME)?;
        check_name(field, &name)?;
        Ok(name)
    }

    /// All of them as one value.
    pub(crate) fn into_object(self) -> Result<Value, ApiError> {
        let mut object = Map::new();
        for (field, value) in self.0 {
            let value = serde_json::from_str(value.get())
                .map_err(|_| ApiError::field(&field, "expected a JSON value"))?;
            object.insert(field, value);
        }
        Ok(Value::Object(object))
    }

    /// Refuses what nobody took: a field with a slip in its name would else be passed over.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.0.into_keys().next() {
            Some(field) => Err(ApiError::field(&field, "no such field")),
            None => Ok(()),
        }
    }
}

const NAME: &str = "a name of 1 to 128 bytes without control characters";

/// Refuses what cannot name an account, a group or a device.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), ApiError> {
    if is_name(name) { Ok(()) } else { Err(ApiError::field(field, format!("expected {NAME}"))) }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = body(request, state).await?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| ApiError::field("body", format!("expected a JSON object: {error}")))
    }
}

/// All of a body that is not too large.
pub(crate) async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        _ => ApiError::field("body", "incomplete"),
    })
}

/// The name of a group or a device, from the path.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::field("id", "expected UTF-8"))?;
        check_name("id", &id)?;
        Ok(Self(id))
    }
}

/// The account that the query's `user_id` names.
#[derive(Debug)]
pub(crate) struct UserId(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for UserId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<BTreeMap<String, String>>::from_request_parts(parts, state).await;
        let account = query
            .ok()
            .and_then(|Query(mut query)| query.remove("user_id"))
            .ok_or_else(|| ApiError::field("user_id", format!("missing; expected {NAME}")))?;
        check_name("user_id", &account)?;
        Ok(Self(account))
    }
}
