//! `GET` and `PUT /api/settings`

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Json, extract::State};
use serde_json::Value;

use super::{error::ApiError, fields::Fields};
use crate::{app::App, bus::Word, settings::Settings};
use tutti_acceptance::{
    storage::{Result as StorageResult, Transaction},
    work::{Growth, Work},
};

pub(super) async fn get(State(app): State<Arc<App>>) -> Json<Settings> {
    Json(app.settings.get().as_ref().clone())
}

/// Changes what is named and leaves the rest. It holds for those who are connected, too, before it is answered.
pub(super) async fn put(State(app): State<Arc<App>>, fields: Fields) -> Result<Json<Settings>, ApiError> {
    let changes = fields.into_object()?;
    // A caller that hangs up ends its request, but must not end this halfway: what is stored holds.
    tokio::spawn(change(app, changes)).await.map_err(ApiError::internal)?
}

async fn change(app: Arc<App>, changes: Value) -> Result<Json<Settings>, ApiError> {
    // One change after the other, so that none is lost in another.
    let _changing = app.settings.changing().await;
    let settings = app.settings.get().with(&changes)?;
    let text = serde_json::to_string(&settings).map_err(ApiError::internal)?;
    app.writer.write(PutSettings(text)).await?;
    app.take_settings(settings.clone()).await;
    app.bus.publish(Word::Settings);
    Ok(Json(settings))
}

struct PutSettings(String);

#[async_trait]
impl Work for PutSettings {
    type Answer = ();

    async fn run(&self, tx: &mut dyn Transaction, _: &mut Growth) -> StorageResult<()> {
        tx.put_settings(&self.0).await
    }
}
