//! `PUT`, `GET` and `DELETE /api/groups/{id}`

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Json,
    extract::{FromRequestParts, Path, State},
    http::{StatusCode, request::Parts},
};
use serde_json::{Value, json};
use tutti_acceptance::groups::{DeleteGroup, PutGroup};
use tutti_protocol::limits;

use super::{
    error::ApiError,
    fields::{Fields, check_name},
};
use crate::app::App;

pub(super) async fn put(
    State(app): State<Arc<App>>,
    GroupId(id): GroupId,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let expected = "a list of 1 to 500 account names";
    let members: Vec<String> = fields.required("members", expected)?;
    for member in &members {
        check_name("members", member)?;
    }
    let members: BTreeSet<_> = members.into_iter().collect();
    if members.is_empty() || members.len() > limits::GROUP {
        return Err(ApiError::field("members", format!("expected {expected}")));
    }
    fields.finish()?;
    let answer = json!({"id": id, "members": members});
    app.writer.write(PutGroup { id, members }).await?;
    Ok(Json(answer))
}

pub(super) async fn get(State(app): State<Arc<App>>, GroupId(id): GroupId) -> Result<Json<Value>, ApiError> {
    let members = app.storage.group(&id).await?;
    let members = members.ok_or_else(ApiError::not_found)?;
    Ok(Json(json!({"id": id, "members": members})))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    GroupId(id): GroupId,
) -> Result<StatusCode, ApiError> {
    if app.writer.write(DeleteGroup { id }).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found())
    }
}

/// The name of a group, from the path.
pub(super) struct GroupId(String);

impl<S: Send + Sync> FromRequestParts<S> for GroupId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::field("id", "expected UTF-8"))?;
        check_name("id", &id)?;
        Ok(Self(id))
    }
}
