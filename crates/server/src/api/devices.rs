//! `POST /api/devices`, `GET /api/devices`

use std::sync::Arc;

use async_trait::async_trait;
use axum::{Extension, Json, extract::State};
use serde_json::{Number, Value, json};
use tutti_acceptance::{
    storage::{Result as StorageResult, Transaction},
    work::{Growth, Work},
};
use tutti_protocol::Millis;

use super::{
    access::Caller,
    error::ApiError,
    fields::{Fields, UserId, check_name},
};
use crate::{app::App, clock::now};

/// Most devices in one registration.
const DEVICES: usize = 100;

pub(super) async fn register(
    Extension(caller): Extension<Caller>,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let account = account(fields.required("user_id", USER_ID)?)?;
    let expected = "a list of 1 to 100 device names";
    let devices: Vec<String> = fields.required("devices", expected)?;
    if devices.is_empty() || devices.len() > DEVICES {
        return Err(ApiError::field("devices", format!("expected {expected}")));
    }
    for device in &devices {
        check_name("devices", device)?;
    }
    fields.finish()?;
    caller.must_speak_for(&account)?;
    let registration = Registration { account, devices, now: now() };
    app.writer.write(registration).await?;
    Ok(Json(json!({"message": "Devices registered successfully"})))
}

pub(super) async fn list(
    Extension(caller): Extension<Caller>,
    State(app): State<Arc<App>>,
    UserId(account): UserId,
) -> Result<Json<Value>, ApiError> {
    caller.must_speak_for(&account)?;
    let devices = app.storage.devices(&account).await?;
    let devices: Vec<_> = devices
        .into_iter()
        .map(|device| {
            json!({
                "online": app.hub.is_online(&account, &device.id),
                "id": device.id,
                "name": device.name,
                "platform": device.platform,
                "registered_at": device.registered_at.0,
                "last_seen": device.last_seen.map(|at| at.0),
                "push": false,
            })
        })
        .collect();
    Ok(Json(json!({"devices": devices})))
}

const USER_ID: &str = "an account's name, or a whole number";

/// Accounts are text; back ends that number their users may say so.
fn account(user_id: Value) -> Result<String, ApiError> {
    let account = match user_id {
        Value::String(name) => name,
        Value::Number(number) if is_whole(&number) => number.to_string(),
        _ => return Err(ApiError::field("user_id", format!("expected {USER_ID}"))),
    };
    check_name("user_id", &account)?;
    Ok(account)
}

fn is_whole(number: &Number) -> bool {
    number.is_i64() || number.is_u64()
}

/// Devices that an account is to have.
struct Registration {
    account: String,
    devices: Vec<String>,
    now: Millis,
}

#[async_trait]
impl Work for Registration {
    type Answer = ();

    async fn run(&self, tx: &mut dyn Transaction, _: &mut Growth) -> StorageResult<()> {
        for device in &self.devices {
            tx.register_device(&self.account, device, self.now).await?;
        }
        Ok(())
    }
}
