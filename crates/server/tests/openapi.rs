//! The description of the API says what the server does: each route is in it, and nothing else; what is called with
//! success is called as it says, what is answered is answered as it says, and what it asks for is asked for.

mod common;

use std::collections::BTreeSet;

use common::{SERVER_KEY, TestServer, signature};
use reqwest::Method;
use serde_json::{Value, json};
use tutti_server::{Access, ROUTES};

const MESSAGE: &str = "018bcfe5-6801-7000-8000-000000000001";
const NOTIFICATION: &str = "018bcfe5-6801-7000-8000-000000000002";

async fn server() -> TestServer {
    TestServer::start_with(&["--vapid-subject", "mailto:push@chat.example"]).await
}

async fn description(server: &TestServer) -> Value {
    let (status, description) = server.call_as("", Method::GET, "/api/openapi.json", String::new()).await;
    assert_eq!(status, 200);
    description
}

fn operation<'a>(description: &'a Value, method: &str, path: &str) -> &'a Value {
    &description["paths"][path][method.to_ascii_lowercase()]
}

/// A schema of the description, with all that it refers to.
fn validator(description: &Value, schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    schema["components"] = description["components"].clone();
    jsonschema::validator_for(&schema).unwrap()
}

fn assert_valid(description: &Value, schema: &Value, value: &Value, what: &str) {
    let validator = validator(description, schema);
    let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{what}: {value}: {errors:?}");
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let server = server().await;
    let description = description(&server).await;
    assert_eq!(description["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        described
            .extend(item.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    // Frames are docs/protocol.md's.
    let routes = ROUTES.iter().filter(|route| route.path != "/sync");
    let routes: BTreeSet<_> = routes.map(|it| (it.method.to_string(), it.path.to_owned())).collect();
    assert_eq!(described, routes);
    let mut names = BTreeSet::new();
    for route in ROUTES.iter().filter(|route| route.path != "/sync") {
        let operation = operation(&description, route.method.as_str(), route.path);
        let expected = match route.access {
            Access::Anyone | Access::Hello => json!([]),
            Access::Backend => json!([{"serverKey": []}]),
            Access::BackendOrUser => json!([{"serverKey": []}, {"userToken": []}]),
            Access::BackendOrDeveloper => json!([{"serverKey": []}, {}]),
            Access::Signed => json!([{"appKey": [], "nonce": [], "timestamp": [], "signature": []}]),
        };
        assert_eq!(operation["security"], expected, "{}", route.path);
        let schemes: Vec<&String> =
            expected.as_array().unwrap().iter().flat_map(|it| it.as_object().unwrap().keys()).collect();
        assert!(
            schemes.iter().all(|scheme| description["components"]["securitySchemes"][*scheme].is_object())
        );
        assert!(operation["summary"].is_string(), "{}", route.path);
        assert!(
            names.insert(operation["operationId"].as_str().unwrap()),
            "{}: a name of its own",
            route.path
        );
        let asked = route.path.matches('{').count();
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(parameters.iter().filter(|it| it["in"] == "path").count(), asked, "{}", route.path);
    }
}

#[tokio::test]
async fn whatever_is_referred_to_is_there() {
    fn visit<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| visit(value, found));
            }
            Value::Array(array) => array.iter().for_each(|value| visit(value, found)),
            _ => {}
        }
    }
    let server = server().await;
    let description = description(&server).await;
    let mut references = Vec::new();
    visit(&description, &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

/// A call, and the status that it is answered with.
struct Call {
    method: Method,
    route: &'static str,
    path: String,
    body: Value,
    status: u16,
}

fn call(method: Method, route: &'static str, path: &str, body: Value, status: u16) -> Call {
    Call { method, route, path: path.to_owned(), body, status }
}

/// In this order: each operation with success, and whatever else is described.
fn calls() -> Vec<Call> {
    let (get, post, put, patch, delete) =
        (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let none = || Value::Null;
    let to = |call: Call| call;
    let devices = json!({"user_id": 1, "devices": ["device_1"]});
    let message = json!({
        "from": "1", "to": "direct:2", "type": "text", "content": {"text": "hi"}, "id": MESSAGE, "isIncludeSender": true,
    });
    let other = json!({"from": "1", "to": "direct:2", "content": 2, "id": MESSAGE});
    let recall = "/api/messages/{id}/recall";
    let recall_path = format!("/api/messages/{MESSAGE}/recall");
    let notification = json!({
        "accounts": ["1"], "title": "t", "body": "b", "data": [1], "conversation": "direct:2", "message": MESSAGE,
        "id": NOTIFICATION,
    });
    let again = json!({"accounts": ["1"], "title": "t", "body": "other", "id": MESSAGE});
    let users = "fromUserId=1&toUserId=2&objectName=text&content=hi";
    let groups = "fromUserId=1&toGroupId=team&objectName=text&content=hi&isIncludeSender=1";
    let nobody = "fromUserId=3&toGroupId=team&objectName=text&content=hi";
    let status =
        json!({"from": "1", "to": "group:team", "type": "wave", "content": 1, "isIncludeSender": false});
    vec![
        call(get.clone(), "/healthz", "/healthz", none(), 200),
        call(get.clone(), "/readyz", "/readyz", none(), 200),
        call(get.clone(), "/api/push", "/api/push", none(), 200),
        call(
            post.clone(),
            "/api/tokens",
            "/api/tokens",
            json!({"account": "1", "ttl_seconds": 60, "device_id": MESSAGE}),
            200,
        ),
        call(post.clone(), "/api/tokens", "/api/tokens", json!({}), 422),
        call(post.clone(), "/api/devices", "/api/devices", devices.clone(), 200),
        call(post.clone(), "/api/devices", "/api/devices", json!({"user_id": "1", "devices": []}), 422),
        call(get.clone(), "/api/devices", "/api/devices?user_id=1", none(), 200),
        call(get.clone(), "/api/devices", "/api/devices", none(), 422),
        call(
            patch.clone(),
            "/api/devices/{id}",
            "/api/devices/device_1?user_id=1",
            json!({"name": "n"}),
            200,
        ),
        call(patch, "/api/devices/{id}", "/api/devices/none?user_id=1", json!({"name": "n"}), 404),
        call(delete.clone(), "/api/devices/{id}", "/api/devices/device_1?user_id=1", none(), 204),
        call(delete.clone(), "/api/devices/{id}", "/api/devices/none?user_id=1", none(), 404),
        call(post.clone(), "/api/devices", "/api/devices", devices, 409),
        call(post.clone(), "/api/messages", "/api/messages", message, 200),
        call(post.clone(), "/api/messages", "/api/messages", other, 409),
        call(
            post.clone(),
            "/api/messages",
            "/api/messages",
            json!({"from": "1", "to": "group:none", "content": 1}),
            404,
        ),
        call(post.clone(), recall, &recall_path, json!({"from": "1"}), 200),
        call(post.clone(), recall, &recall_path, json!({"from": "2"}), 404),
        call(put.clone(), "/api/groups/{id}", "/api/groups/team", json!({"members": ["1", "2"]}), 200),
        call(get.clone(), "/api/groups/{id}", "/api/groups/team", none(), 200),
        call(get.clone(), "/api/groups/{id}", "/api/groups/none", none(), 404),
        call(post.clone(), "/api/status", "/api/status", status, 202),
        call(post.clone(), "/api/notifications", "/api/notifications", notification, 200),
        call(post.clone(), "/api/notifications", "/api/notifications", again, 409),
        call(get.clone(), "/api/settings", "/api/settings", none(), 200),
        call(put.clone(), "/api/settings", "/api/settings", json!({"limits": {"web": 3}}), 200),
        call(put.clone(), "/api/settings", "/api/settings", json!({"limits": {"web": 11}}), 422),
        call(get.clone(), "/api/connections", "/api/connections?user_id=1", none(), 200),
        call(get.clone(), "/api/openapi.json", "/api/openapi.json", none(), 200),
        to(call(
            post.clone(),
            "/message/private/publish.json",
            "/message/private/publish.json",
            json!(users),
            200,
        )),
        to(call(
            post.clone(),
            "/message/group/publish.json",
            "/message/group/publish.json",
            json!(groups),
            200,
        )),
        to(call(
            post.clone(),
            "/message/group/publish.json",
            "/message/group/publish.json",
            json!(nobody),
            404,
        )),
        to(call(
            post.clone(),
            "/message/group/publish.json",
            "/message/group/publish.json",
            json!(users),
            422,
        )),
        to(call(
            post.clone(),
            "/statusmessage/private/publish.json",
            "/statusmessage/private/publish.json",
            json!(users),
            200,
        )),
        to(call(
            post.clone(),
            "/statusmessage/group/publish.json",
            "/statusmessage/group/publish.json",
            json!(groups),
            200,
        )),
        call(delete.clone(), "/api/groups/{id}", "/api/groups/team", none(), 204),
        call(delete.clone(), "/api/groups/{id}", "/api/groups/team", none(), 404),
        call(delete.clone(), "/api/accounts/{id}", "/api/accounts/2", none(), 204),
        call(delete, "/api/accounts/{id}", "/api/accounts/none", none(), 404),
        call(post.clone(), "/api/tokens", "/api/tokens", json!({"account": "2"}), 409),
        call(put, "/api/groups/{id}", "/api/groups/team", json!({"members": ["2"]}), 409),
        call(
            post.clone(),
            "/api/status",
            "/api/status",
            json!({"from": "2", "to": "direct:1", "type": "t", "content": 1}),
            409,
        ),
        call(
            post.clone(),
            "/message/private/publish.json",
            "/message/private/publish.json",
            json!(users),
            409,
        ),
        call(
            post,
            "/statusmessage/private/publish.json",
            "/statusmessage/private/publish.json",
            json!(users.replace("=1", "=2")),
            409,
        ),
    ]
}

#[tokio::test]
async fn what_is_called_and_answered_is_as_described() {
    let server = server().await;
    // Somebody is there, so that a connection is shown.
    let _one = server.client("1", 1).await;
    let description = description(&server).await;
    let mut answered = BTreeSet::new();
    for Call { method, route, path, body, status } in calls() {
        let what = format!("{method} {path} {body}");
        let operation = operation(&description, method.as_str(), route);
        let request = reqwest::Client::new().request(method.clone(), format!("http://{}{path}", server.addr));
        let request = match &body {
            Value::String(form) => signature(SERVER_KEY)
                .into_iter()
                .fold(request, |it, (name, value)| it.header(name, value))
                .body(form.clone()),
            Value::Null => request.bearer_auth(SERVER_KEY),
            body => request.bearer_auth(SERVER_KEY).body(body.to_string()),
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{what}: {:?}", answer.text().await);
        let described = &operation["responses"][status.to_string()];
        assert!(described.is_object(), "{what}: {status} is not described");
        let text = answer.text().await.unwrap();
        let schema = &described["content"]["application/json"]["schema"];
        if schema.is_null() {
            assert_eq!(text, "", "{what}");
        } else {
            assert_valid(&description, schema, &serde_json::from_str(&text).unwrap(), &what);
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if status < 300 && schema.is_object() {
            assert_valid(&description, schema, &body, &what);
        }
        answered.insert((method.to_string(), route, status));
    }
    // The last one has a format of its own.
    answered.insert(("GET".to_owned(), "/metrics", 200));
    for route in ROUTES.iter().filter(|route| route.path != "/sync") {
        let responses = &operation(&description, route.method.as_str(), route.path)["responses"];
        for status in responses.as_object().unwrap().keys().filter(|status| status.starts_with('2')) {
            let seen = (route.method.to_string(), route.path, status.parse().unwrap());
            assert!(answered.contains(&seen), "{seen:?} was never answered");
        }
    }
}

#[tokio::test]
async fn who_has_no_credentials_is_refused_as_described() {
    let server = TestServer::start_in_earnest(&["--token-secret", "a secret for the tests alone"]).await;
    let description = description(&server).await;
    for route in ROUTES.iter().filter(|route| !matches!(route.access, Access::Anyone | Access::Hello)) {
        let path = route.path.replace("{id}", MESSAGE);
        let (status, answer) = server.call_as("", route.method.clone(), &path, String::new()).await;
        assert_eq!(status, 401, "{path}");
        let operation = operation(&description, route.method.as_str(), route.path);
        let schema = &operation["responses"]["401"]["content"]["application/json"]["schema"];
        assert_valid(&description, schema, &answer, &path);
    }
}

/// Handlers read fields by themselves, so each one that is described is tried.
#[tokio::test]
async fn what_a_body_must_have_is_asked_for_and_what_it_may_not_have_is_refused() {
    let server = server().await;
    let description = description(&server).await;
    let mut tried = 0;
    for Call { method, route, path, body, status } in calls() {
        let operation = operation(&description, method.as_str(), route);
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        if status >= 300 || !body.is_object() || !schema.is_object() {
            continue;
        }
        let pointer = schema["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
        let schema = description.pointer(pointer).unwrap();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().map(|it| it.as_str().unwrap()).collect();
        let refused = async |body: &Value, field: &str| {
            let (status, answer) = server.call(method.clone(), &path, body.clone()).await;
            assert_eq!(
                (status.as_u16(), &answer["error"]["field"]),
                (422, &json!(field)),
                "{path} {body} {answer}"
            );
        };
        for (field, property) in schema["properties"].as_object().unwrap() {
            if required.contains(&field.as_str()) {
                let mut without = body.clone();
                without.as_object_mut().unwrap().remove(field);
                refused(&without, field).await;
                tried += 1;
            }
            let mut wrong = body.clone();
            wrong[field] = json!({"$": "wrong"});
            if field != "limits" && !validator(&description, property).is_valid(&wrong[field]) {
                refused(&wrong, field).await;
                tried += 1;
            }
        }
        let mut more = body.clone();
        more["surplus"] = json!(1);
        refused(&more, "surplus").await;
        tried += 1;
    }
    assert!(tried > 45, "{tried}");
}
