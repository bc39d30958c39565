//! `GET /api/openapi.json`: a description of the API (OpenAPI 3.1). What is called, with what, and what is answered
//! stands at the handlers; who may call, in the table of routes; what holds for all of them, here.

use std::sync::LazyLock;

use axum::{http::header, response::IntoResponse};
use serde_json::{Value, json};
use utoipa::OpenApi as _;

use super::{Access, Described, ROUTES};

/// A description of the API, for programs that make clients or pages of it.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operation",
    responses((status = 200, description = "this", body = Value)))]
pub(super) async fn describe() -> impl IntoResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| description().to_string());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str())
}

fn description() -> Value {
    let mut description = serde_json::to_value(Described::openapi()).unwrap_or_default();
    description["components"]["securitySchemes"] = schemes();
    for route in ROUTES {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = description["paths"].get_mut(route.path).and_then(|path| path.get_mut(method));
        if let Some(operation) = operation {
            operation["operationId"] = route.name.into();
            operation["security"] = security(route.access);
            add_refusals(operation, route.access);
        }
    }
    description
}

fn schemes() -> Value {
    let header = |name: &str, description: &str| json!({"type": "apiKey", "in": "header", "name": name, "description": description});
    json!({
        "serverKey": {"type": "http", "scheme": "bearer", "description": "the key of the application's back end"},
        "userToken": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "a user's token, for the user's own account",
        },
        "appKey": header("App-Key", "names the application"),
        "nonce": header("Nonce", "1 to 64 characters, different each time"),
        "timestamp": header("Timestamp", "now, in milliseconds since the Unix epoch, at most five minutes off"),
        "signature": header("Signature", "SHA-1 of secret, nonce and timestamp, in hexadecimal"),
    })
}

/// Of these, any one.
fn security(access: Access) -> Value {
    match access {
        Access::Anyone | Access::Hello => json!([]),
        Access::Backend => json!([{"serverKey": []}]),
        Access::BackendOrUser => json!([{"serverKey": []}, {"userToken": []}]),
        // In development none is needed from this machine.
        Access::BackendOrDeveloper => json!([{"serverKey": []}, {}]),
        Access::Signed => json!([{"appKey": [], "nonce": [], "timestamp": [], "signature": []}]),
    }
}

/// What any request of its kind may be refused with.
fn add_refusals(operation: &mut Value, access: Access) {
    let shape = if access == Access::Signed { "PublishRefusal" } else { "Refusal" };
    let schema = json!({"$ref": format!("#/components/schemas/{shape}")});
    let refusal = |description: &str| json!({"description": description, "content": {"application/json": {"schema": schema.clone()}}});
    let has_body = operation.get("requestBody").is_some();
    let is_read = has_body || operation.get("parameters").is_some();
    let responses = &mut operation["responses"];
    if !matches!(access, Access::Anyone | Access::Hello) {
        responses["401"] = refusal("no credentials, or none that are good for this");
    }
    if has_body {
        responses["413"] = refusal("the body is over 1 MiB");
    }
    if is_read {
        responses["422"] = refusal("a field is missing, wrong or unknown: it is named");
    }
    responses["default"] =
        refusal("403: not encrypted; 429: too many, Retry-After says when again; 503: not now, or not ready");
}
