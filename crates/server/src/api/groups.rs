//! `PUT`, `GET` and `DELETE /api/groups/{id}`

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json, extract::State, http::StatusCode};
use serde_json::{Value, json};
use tutti_acceptance::groups::{DeleteGroup, PutGroup};
use tutti_protocol::limits;

use super::{
    error::ApiError,
    fields::{Fields, Id, check_name},
};
use crate::app::App;

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

pub(super) async fn get(State(app): State<Arc<App>>, Id(id): Id) -> Result<Json<Value>, ApiError> {
    let members = app.storage.group(&id).await?;
    let members = members.ok_or_else(ApiError::not_found)?;
    Ok(Json(json!({"id": id, "members": members})))
}

pub(super) async fn delete(State(app): State<Arc<App>>, Id(id): Id) -> Result<StatusCode, ApiError> {
    if app.writer.write(DeleteGroup { id }).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found())
    }
}
