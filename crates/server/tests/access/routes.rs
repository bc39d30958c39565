//! Every route, called by everyone who might.

use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use tutti_server::{Access, ROUTES, Route};

use crate::{
    common::{SERVER_KEY, TestServer, signature},
    world::{SPARE, Tokens, World, direct_message, group_message, nowhere, text},
};

const ERASE: &str = "/api/accounts/{id}";

/// Who calls about what is Alice's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Nobody,
    Nonsense,
    Expired,
    Forged,
    /// A device of Alice's that was removed, with its old token.
    Removed,
    /// The user of another account.
    Mallory,
    /// The user whose things it is about.
    Alice,
    BackEnd,
}

impl Caller {
    const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Nonsense,
        Self::Expired,
        Self::Forged,
        Self::Removed,
        Self::Mallory,
        Self::Alice,
        Self::BackEnd,
    ];

    fn token(self, tokens: &Tokens) -> &str {
        match self {
            Self::Nobody => "",
            Self::Nonsense => "nonsense",
            Self::Expired => &tokens.expired,
            Self::Forged => &tokens.forged,
            Self::Removed => &tokens.removed,
            Self::Mallory => &tokens.mallory,
            Self::Alice => &tokens.alice,
            Self::BackEnd => SERVER_KEY,
        }
    }

    /// What it is refused with, if it is.
    fn refusal(self, access: Access, dev: bool) -> Option<(StatusCode, &'static str)> {
        match (access, self) {
            (Access::Anyone | Access::Hello, _) | (_, Self::BackEnd) => None,
            (Access::BackendOrUser, Self::Alice) => None,
            (Access::BackendOrUser, Self::Mallory) => Some((StatusCode::NOT_FOUND, "not-found")),
            (Access::BackendOrDeveloper, _) if dev => None,
            (Access::Signed, _) => Some((StatusCode::UNAUTHORIZED, "401")),
            (Access::Backend | Access::BackendOrUser | Access::BackendOrDeveloper, _) => {
                Some((StatusCode::UNAUTHORIZED, "auth"))
            }
        }
    }
}

/// A request about what is Alice's, which would change it if it is one that changes anything.
struct Example {
    /// Who may call, said once more: a slip in the server's table is none in this one.
    access: Access,
    /// The status of the answer to who may.
    served: u16,
    path: String,
    body: Value,
}

/// The example of a route.
fn example(route: &Route) -> Example {
    use Access::{Anyone, Backend, BackendOrDeveloper, BackendOrUser, Hello, Signed};

    let recall = format!("/api/messages/{}/recall", text(&direct_message()));
    let spare = format!("/api/devices/{SPARE}?user_id=alice");
    let message = json!({"from": "bob", "to": "group:team", "type": "text", "content": "hi"});
    let notification = json!({"accounts": ["alice"], "title": "t", "body": "b"});
    let members = json!({"members": ["alice", "bob", "mallory"]});
    // One that names users and groups does for all four.
    let form = json!("fromUserId=bob&toUserId=alice&toGroupId=team&objectName=text&content=hi");
    let (access, served, path, body) = match (route.method.as_str(), route.path) {
        // Without an upgrade and without frames: what these say, the tests of frames ask for.
        ("GET", path @ "/sync") => (Hello, 400, path, Value::Null),
        ("POST", path @ "/sync") => (Hello, 200, path, Value::Null),
        ("OPTIONS", path @ "/sync") => (Hello, 204, path, Value::Null),
        ("POST", path @ "/api/tokens") => (BackendOrDeveloper, 200, path, json!({"account": "alice"})),
        ("POST", path @ "/api/devices") => {
            (BackendOrUser, 200, path, json!({"user_id": "alice", "devices": ["another"]}))
        }
        ("PATCH", "/api/devices/{id}") => (BackendOrUser, 200, &*spare, json!({"name": "named"})),
        ("DELETE", "/api/devices/{id}") => (BackendOrUser, 204, &*spare, Value::Null),
        ("GET", "/api/devices") => (BackendOrUser, 200, "/api/devices?user_id=alice", Value::Null),
        ("POST", path @ "/api/messages") => (Backend, 200, path, message),
        ("POST", "/api/messages/{id}/recall") => (Backend, 200, &*recall, json!({"from": "alice"})),
        ("POST", path @ "/api/notifications") => (Backend, 200, path, notification),
        ("POST", path @ "/api/status") => (Backend, 202, path, message),
        ("GET", "/api/groups/{id}") => (Backend, 200, "/api/groups/team", Value::Null),
        ("PUT", "/api/groups/{id}") => (Backend, 200, "/api/groups/team", members),
        ("DELETE", "/api/groups/{id}") => (Backend, 204, "/api/groups/team", Value::Null),
        ("DELETE", ERASE) => (Backend, 204, "/api/accounts/alice", Value::Null),
        ("GET", path @ "/api/settings") => (Backend, 200, path, Value::Null),
        ("PUT", path @ "/api/settings") => (Backend, 200, path, json!({"recall_window_seconds": 60})),
        ("GET", "/api/connections") => {
            (BackendOrDeveloper, 200, "/api/connections?user_id=alice", Value::Null)
        }
        ("GET", path @ "/api/push") => (Anyone, 200, path, Value::Null),
        (
            "POST",
            path @ ("/message/private/publish.json"
            | "/message/group/publish.json"
            | "/statusmessage/private/publish.json"
            | "/statusmessage/group/publish.json"),
        ) => (Signed, 200, path, form),
        ("GET", path @ ("/healthz" | "/readyz" | "/metrics" | "/api/openapi.json")) => {
            (Anyone, 200, path, Value::Null)
        }
        (method, path) => panic!(
            "{method} {path} has no row: say here who may call it, and what it is asked about what is Alice's"
        ),
    };
    Example { access, served, path: path.to_owned(), body }
}

/// An answer that can be compared with another.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    headers: header::HeaderMap,
    body: String,
}

impl Answer {
    async fn of(server: &TestServer, method: &Method, example: &Example, token: &str) -> Self {
        let url = format!("http://{}{}", server.addr, example.path);
        let body = example.body.as_str().map_or_else(|| example.body.to_string(), str::to_owned);
        let request = reqwest::Client::new().request(method.clone(), url).body(body);
        // Who has the key of the back end signs with it where that is asked for; all others do as best they can.
        let request = match example.access {
            Access::Signed => {
                let headers = signature(token);
                headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))
            }
            _ if token.is_empty() => request,
            _ => request.bearer_auth(token),
        };
        let answer = request.send().await.unwrap();
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        // But when it was given, under which number, and what was counted until then.
        headers.remove(header::DATE);
        headers.remove("x-request-id");
        if example.path == "/metrics" {
            headers.remove(header::CONTENT_LENGTH);
        }
        let body = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
        let body = if example.path == "/metrics" { String::new() } else { body };
        Self { status, headers, body }
    }

    fn code(&self) -> Value {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        // Where another service's shape is kept the code is a number.
        body.get("code").map_or_else(|| body["error"]["code"].clone(), |code| json!(code.to_string()))
    }
}

#[tokio::test]
async fn each_route_serves_whom_it_says_and_nobody_else() {
    let tokens = Tokens::get().await;
    // Last of all whoever may erases Alice: nothing is hers after that.
    let (last, routes): (Vec<_>, Vec<_>) = ROUTES.iter().partition(|route| route.path == ERASE);
    assert_eq!(last.len(), 1);
    for dev in [false, true] {
        let nowhere = nowhere(dev).await;
        for caller in Caller::ALL {
            let mut world = World::begin(dev, tokens).await;
            let token = caller.token(tokens);
            for route in routes.iter().chain(&last) {
                let example = example(route);
                let cell = format!("{} {} by {caller:?}, dev: {dev}", route.method, route.path);
                assert_eq!(route.access, example.access, "{cell}");
                let before = world.state().await;
                let answer = Answer::of(&world.server, &route.method, &example, token).await;
                if let Some((status, code)) = caller.refusal(example.access, dev) {
                    assert_eq!((answer.status, answer.code()), (status, json!(code)), "{cell}");
                    // Where it has never been its token is as good as any.
                    let known = if caller == Caller::Removed { "nonsense" } else { token };
                    assert_eq!(answer, Answer::of(&nowhere, &route.method, &example, known).await, "{cell}");
                    world.is_still(&before, &cell).await;
                    continue;
                }
                assert_eq!(answer.status.as_u16(), example.served, "{cell}: {answer:?}");
                if matches!(example.access, Access::Anyone | Access::Hello) {
                    let to_nobody = Answer::of(&nowhere, &route.method, &example, "").await;
                    assert_eq!(answer, to_nobody, "{cell}: a token makes no difference");
                    world.is_still(&before, &cell).await;
                }
            }
        }
    }
}

/// Whatever is done in somebody's name, the back end tells what that account may know, and no more.
#[tokio::test]
async fn in_a_strangers_name_the_back_end_meets_nothing_of_others() {
    let tokens = Tokens::get().await;
    let nowhere = nowhere(false).await;
    let mut world = World::begin(false, tokens).await;
    let before = world.state().await;
    let same = async |route: &Route, example: &Example| {
        let there = Answer::of(&world.server, &route.method, example, SERVER_KEY).await;
        let nowhere = Answer::of(&nowhere, &route.method, example, SERVER_KEY).await;
        assert_eq!(there, nowhere, "{} {}", route.method, example.path);
    };
    let mut asked = 0;
    for route in ROUTES {
        let mut example = example(route);
        if example.body.get("from").is_some() {
            example.body["from"] = json!("mallory");
        } else if example.access == Access::Signed {
            example.body = json!(example.body.as_str().unwrap().replace("=bob", "=mallory"));
            // What she sends to Alice herself is nobody's business.
            if route.path.contains("private") {
                continue;
            }
        } else {
            continue;
        }
        same(route, &example).await;
        asked += 1;
    }
    assert_eq!(asked, 5, "messages, their recall, and status, and two of them in another shape");
    // Bob has both messages to read, and has sent neither.
    let recall = ROUTES.iter().find(|route| route.path == "/api/messages/{id}/recall").unwrap();
    for message in [direct_message(), group_message()] {
        let path = format!("/api/messages/{}/recall", text(&message));
        same(recall, &Example { path, body: json!({"from": "bob"}), ..example(recall) }).await;
    }
    world.is_still(&before, "what was asked in the names of Mallory and Bob").await;
}
