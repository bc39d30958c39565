//! `POST /message/{private,group}/publish.json`, `POST /statusmessage/{private,group}/publish.json`: for back ends that
//! were written against another service. Their forms say more than there is a counterpart for; that is passed over.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{FromRequest, Request, State},
};
use serde_json::{Value, json};
use tutti_acceptance::accept::{Refusal, Verdict};
use tutti_protocol::{
    Conversation, content,
    conversation::is_name,
    limits,
    wire::{self, operation::Body},
};
use url::form_urlencoded;

use super::{
    accounts::must_not_be_erased,
    error::{ApiError, Refused},
    fields::{body, check_name},
    messages::{Act, operation, submit},
    shapes,
    status::{Saying, say},
};
use crate::{app::App, clock::now, signature::Signed};

/// Sends a message to accounts. The same headers again send nothing twice.
#[utoipa::path(
    post, path = "/message/private/publish.json", tag = "publish",
    request_body(content = shapes::PublishToUsers, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "it was accepted", body = shapes::Published),
        (status = 404, description = "no such group, or it is not the sender's", body = shapes::PublishRefusal),
        (status = 409, description = "the headers came with other words, or an account was erased", body = shapes::PublishRefusal),
        (status = 429, description = "too many of the account: Retry-After says when again", body = shapes::PublishRefusal),
    ),
)]
pub(super) async fn message_to_users(
    State(app): State<Arc<App>>,
    Extension(signed): Extension<Signed>,
    form: Form,
) -> Result<Json<Value>, Refused> {
    send(&app, &signed, form.read(USERS)?).await
}

/// Sends a message to groups. The same headers again send nothing twice.
#[utoipa::path(
    post, path = "/message/group/publish.json", tag = "publish",
    request_body(content = shapes::PublishToGroups, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "it was accepted", body = shapes::Published),
        (status = 404, description = "no such group, or it is not the sender's", body = shapes::PublishRefusal),
        (status = 409, description = "the headers came with other words, or an account was erased", body = shapes::PublishRefusal),
        (status = 429, description = "too many of the account: Retry-After says when again", body = shapes::PublishRefusal),
    ),
)]
pub(super) async fn message_to_groups(
    State(app): State<Arc<App>>,
    Extension(signed): Extension<Signed>,
    form: Form,
) -> Result<Json<Value>, Refused> {
    send(&app, &signed, form.read(GROUPS)?).await
}

/// Says something to those of these accounts who are there.
#[utoipa::path(
    post, path = "/statusmessage/private/publish.json", tag = "publish",
    request_body(content = shapes::PublishToUsers, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "it was accepted", body = shapes::Published),
        (status = 409, description = "an account was erased: the field that names it is told", body = shapes::PublishRefusal),
        (status = 429, description = "too many of the account: Retry-After says when again", body = shapes::PublishRefusal),
    ),
)]
pub(super) async fn status_to_users(State(app): State<Arc<App>>, form: Form) -> Result<Json<Value>, Refused> {
    tell(&app, form.read(USERS)?).await
}

/// Says something to those in these groups who are there.
#[utoipa::path(
    post, path = "/statusmessage/group/publish.json", tag = "publish",
    request_body(content = shapes::PublishToGroups, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "it was accepted", body = shapes::Published),
        (status = 409, description = "an account was erased: the field that names it is told", body = shapes::PublishRefusal),
        (status = 429, description = "too many of the account: Retry-After says when again", body = shapes::PublishRefusal),
    ),
)]
pub(super) async fn status_to_groups(
    State(app): State<Arc<App>>,
    form: Form,
) -> Result<Json<Value>, Refused> {
    tell(&app, form.read(GROUPS)?).await
}

/// Sends a message to each of these. Where one of them cannot be reached, the others are, and the answer tells of the
/// first that was not. The same headers again send nothing twice.
async fn send(app: &App, signed: &Signed, post: Post) -> Result<Json<Value>, Refused> {
    let Post { from, to, kind, content, include_sender } = post;
    let operations = to.iter().map(|conversation| {
        let body = Body::Send(wire::Send {
            conversation: conversation.clone(),
            r#type: kind.clone(),
            content: content.clone(),
        });
        operation(signed.id(&from, conversation), body)
    });
    let operations = operations.collect();
    let verdicts = submit(app, Act { account: from.clone(), operations, include_sender, now: now() }).await?;
    for (verdict, conversation) in verdicts.into_iter().zip(&to) {
        if let Verdict::Refused(refusal) = verdict {
            return Err(refused(refusal, &from, conversation).into());
        }
    }
    Ok(done())
}

/// Says something to those of these who are there.
async fn tell(app: &App, post: Post) -> Result<Json<Value>, Refused> {
    let Post { from: account, to: conversations, kind, content, include_sender: own } = post;
    must_not_be_erased(app, FROM, &account).await?;
    say(app, &Saying { account, conversations, kind, content, own }).await?;
    Ok(done())
}

fn done() -> Json<Value> {
    Json(json!({"code": 200}))
}

/// A refusal with the field that it is about: who sends, if the account was erased, or else to whom.
fn refused(refusal: Refusal, from: &str, conversation: &str) -> ApiError {
    if refusal == Refusal::erased(from) {
        return ApiError::naming(refusal, [(FROM, from)]);
    }
    match Conversation::parse(conversation) {
        Ok(Conversation::Direct(other)) => ApiError::naming(refusal, [(USERS.field, other)]),
        _ => refusal.into(),
    }
}

/// To whom something goes.
#[derive(Clone, Copy)]
struct To {
    field: &'static str,
    /// What the conversations with them begin with.
    conversation: &'static str,
    /// How many there may be at once.
    most: usize,
}

const FROM: &str = "fromUserId";
const USERS: To = To { field: "toUserId", conversation: "direct:", most: 1_000 };
const GROUPS: To = To { field: "toGroupId", conversation: "group:", most: 3 };

/// What is posted.
struct Post {
    from: String,
    /// Conversations.
    to: BTreeSet<String>,
    kind: String,
    content: Bytes,
    include_sender: bool,
}

/// The fields of a form that came as a body, each as often as it came.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    fn read(&self, to: To) -> Result<Post, ApiError> {
        let from = self.required(FROM)?;
        check_name(FROM, from)?;
        let conversations = self.conversations(to)?;
        let kind = self.required("objectName")?;
        if !is_name(kind) || kind.len() > limits::TYPE {
            return Err(ApiError::field("objectName", "expected a name of 1 to 64 bytes"));
        }
        let include_sender = match self.get("isIncludeSender") {
            None | Some("" | "0") => false,
            Some("1") => true,
            Some(_) => return Err(ApiError::field("isIncludeSender", "expected 0 or 1")),
        };
        let (from, kind, content) = (from.to_owned(), kind.to_owned(), self.content()?);
        Ok(Post { from, to: conversations, kind, content, include_sender })
    }

    fn conversations(&self, To { field, conversation, most }: To) -> Result<BTreeSet<String>, ApiError> {
        let mut conversations = BTreeSet::new();
        for (_, name) in self.0.iter().filter(|(key, _)| key == field) {
            check_name(field, name)?;
            conversations.insert(format!("{conversation}{name}"));
        }
        if conversations.is_empty() || conversations.len() > most {
            return Err(ApiError::field(field, format!("expected 1 to {most} of them")));
        }
        Ok(conversations)
    }

    /// What is JSON goes on as it is; of other text it is made, as a string.
    fn content(&self) -> Result<Bytes, ApiError> {
        let text = self.required("content")?;
        let content = Bytes::copy_from_slice(text.as_bytes());
        let content = match content::check(&content) {
            Err(content::InvalidContent::NotJson) => Value::from(text).to_string().into(),
            _ => content,
        };
        content::check(&content).map_err(|error| ApiError::field("content", error.to_string()))?;
        Ok(content)
    }

    fn required(&self, field: &str) -> Result<&str, ApiError> {
        self.get(field).ok_or_else(|| ApiError::field(field, "missing"))
    }

    fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == field).map(|(_, value)| value.as_str())
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        let body = body(request, state).await?;
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
    }
}
