//! `PUT`, `GET` and `DELETE /api/groups/{id}`

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use tutti_acceptance::groups::{DeleteGroup, PutGroup};
use tutti_protocol::limits;

use super::{
    error::ApiError,
    fields::{Fields, Id, check_name},
    shapes,
};
use crate::app::App;

/// Makes a group, or gives it other members.
#[utoipa::path(
    put, path = "/api/groups/{id}", tag = "groups",
    params(("id" = String, Path, description = "the group")),
    request_body = shapes::Members,
    responses(
        (status = 200, description = "the group as it is now", body = shapes::Group),
        (status = 409, description = "an account was erased: the field that names it is told", body = shapes::Refusal),
    ),
)]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Id(id): Id,
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
    let put = app.writer.write(PutGroup { id: id.clone(), members: members.clone() }).await?;
    put.map_err(|refusal| ApiError::naming(refusal, members.iter().map(|it| ("members", it.as_str()))))?;
    Ok(Json(json!({"id": id, "members": members})))
}

/// Tells who is in a group.
#[utoipa::path(
    get, path = "/api/groups/{id}", tag = "groups",
    params(("id" = String, Path, description = "the group")),
    responses(
        (status = 200, description = "the group", body = shapes::Group),
        (status = 404, description = "not there, or not the caller's", body = shapes::Refusal),
    ),
)]
pub(super) async fn get(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Value>, ApiError> {
    let members = app.storage.group(&id).await?;
    let members = members.ok_or_else(ApiError::not_found)?;
    Ok(Json(json!({"id": id, "members": members})))
}

/// Removes a group. What was said in it stays with those who have it.
#[utoipa::path(
    delete, path = "/api/groups/{id}", tag = "groups",
    params(("id" = String, Path, description = "the group")),
    responses(
        (status = 204, description = "it is gone"),
        (status = 404, description = "not there, or not the caller's", body = shapes::Refusal),
    ),
)]
pub(super) async fn delete(State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, ApiError> {
    if app.writer.write(DeleteGroup { id }).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found())
    }
}
