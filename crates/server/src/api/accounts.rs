//! `DELETE /api/accounts/{id}`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use tutti_acceptance::accept::Refusal;

use super::{error::ApiError, fields::Id, shapes};
use crate::{app::App, erasing};

/// Erases an account for good. Doing it again gives the same answer. It does not count as an operation of the account:
/// whoever does much could not be erased.
#[utoipa::path(
    delete, path = "/api/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "the account")),
    responses(
        (status = 204, description = "it is erased"),
        (status = 404, description = "not there, or not the caller's", body = shapes::Refusal),
    ),
)]
pub(super) async fn erase(State(app): State<Arc<App>>, Id(account): Id) -> Result<StatusCode, ApiError> {
    let erasing = {
        let app = app.clone();
        async move { app.shutdown.run_until_cancelled(erasing::erase(&app, &account)).await }
    };
    // What was begun goes on, though who asked for it may go.
    let erased = app.connections.spawn(erasing).await.map_err(ApiError::internal)?;
    // It goes on when the server starts again.
    let is_there = erased.ok_or_else(Refusal::storage)??;
    if is_there { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::not_found()) }
}

/// Refuses a field that names an account that was erased.
pub(super) async fn must_not_be_erased(app: &App, field: &str, account: &str) -> Result<(), ApiError> {
    match app.storage.erased(account).await? {
        Some(_) => Err(ApiError::naming(Refusal::erased(account), [(field, account)])),
        None => Ok(()),
    }
}
