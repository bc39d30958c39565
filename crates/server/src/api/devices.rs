//! `POST` and `GET /api/devices`, `PATCH` and `DELETE /api/devices/{id}`

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::StatusCode};
use serde_json::{Number, Value, json};
use tutti_acceptance::{
    accept::Refusal,
    devices::{Register, Remove, Rename, Unregistered},
};

use super::{
    access::Caller,
    error::ApiError,
    fields::{Fields, Id, UserId, check_name},
};
use crate::{app::App, bus::Allowance, clock::now};

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
    let registered = app.writer.write(Register { account: account.clone(), devices, now: now() }).await?;
    registered.map_err(|why| match why {
        // It is to erase its copy of the account when it comes again: an account gets it back under another id.
        Unregistered::Removed(id) => ApiError::conflict("devices", format!("{id} was removed")),
        Unregistered::Erased => ApiError::naming(Refusal::erased(&account), [("user_id", &*account)]),
    })?;
    Ok(Json(json!({"message": "Devices registered successfully"})))
}

pub(super) async fn list(
    Extension(caller): Extension<Caller>,
    State(app): State<Arc<App>>,
    UserId(account): UserId,
) -> Result<Json<Value>, ApiError> {
    caller.must_speak_for(&account)?;
    let devices = app.storage.devices(&account).await?;
    let roster = app.bus.look(&account).await;
    let devices: Vec<_> = devices
        .into_iter()
        .map(|device| {
            json!({
                "online": roster.is_online(&device.id),
                "id": device.id,
                "name": device.name,
                "platform": device.platform,
                "registered_at": device.registered_at.0,
                "last_seen": device.last_seen.map(|at| at.0),
                "push": device.push.is_some(),
            })
        })
        .collect();
    Ok(Json(json!({"devices": devices})))
}

pub(super) async fn rename(
    Extension(caller): Extension<Caller>,
    State(app): State<Arc<App>>,
    Id(device): Id,
    UserId(account): UserId,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let name = fields.name("name")?;
    fields.finish()?;
    caller.must_speak_for(&account)?;
    count(&app, &account).await?;
    if app.writer.write(Rename { account, device, name }).await? {
        Ok(Json(json!({"message": "Device renamed successfully"})))
    } else {
        Err(ApiError::not_found())
    }
}

pub(super) async fn remove(
    Extension(caller): Extension<Caller>,
    State(app): State<Arc<App>>,
    Id(device): Id,
    UserId(account): UserId,
) -> Result<StatusCode, ApiError> {
    caller.must_speak_for(&account)?;
    count(&app, &account).await?;
    if app.writer.write(Remove { account, device, by: None, now: now() }).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found())
    }
}

/// Counts as an operation of the account.
async fn count(app: &App, account: &str) -> Result<(), ApiError> {
    let grant = app.bus.take(Allowance::Operations, account, 1).await;
    if grant.granted == 0 { Err(Refusal::rate_limited(grant.wait).into()) } else { Ok(()) }
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
