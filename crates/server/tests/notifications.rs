//! What a client meets that wants what its account is notified of, or does not.

mod common;

use bytes::Bytes;
use common::{
    Client, SERVER_KEY, TestServer, accepted_seq, hello, id, message, receive, refusal, send, token,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tutti_protocol::{
    OperationId,
    wire::{self, NotificationState, client_frame, event::Body, operation, server_frame::Frame},
};

async fn connect(server: &TestServer, account: &str, device: u8, notifications: bool) -> Client {
    let token = token(server.addr, account).await;
    let client = Client::greet(server.addr, wire::Hello { notifications, ..hello(&token, account, device) });
    let client = client.await.unwrap();
    assert!(client.welcome.notifications);
    client
}

async fn notify(server: &TestServer, body: Value) -> Value {
    let (status, answer) = server.call(Method::POST, "/api/notifications", body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

fn bodies(page: wire::Delta) -> Vec<Option<Body>> {
    page.events.into_iter().map(|event| event.body).collect()
}

fn told(body: Option<Body>) -> wire::Notification {
    match body {
        Some(Body::Notification(notification)) => notification,
        other => panic!("{other:?}"),
    }
}

async fn mark(client: &mut Client, number: u32, notification: &Bytes) -> wire::Outcome {
    let (notification, state) = (notification.clone(), NotificationState::Read.into());
    let mark = operation::Body::MarkNotification(wire::MarkNotification { notification, state });
    let mark = wire::Operation { id: id(1, number), clock: 1, body: Some(mark) };
    client.submit(vec![mark]).await.remove(0)
}

#[tokio::test]
async fn who_wants_them_is_told_at_once_and_of_each_mark() {
    let server = TestServer::start().await;
    let mut laptop = connect(&server, "alice", 1, true).await;
    let mut phone = connect(&server, "alice", 2, true).await;
    for client in [&mut laptop, &mut phone] {
        client.pull(0).await;
    }
    let body = json!({
        "accounts": ["alice", "bob"], "title": "Moved", "body": "To seven", "data": {"open": [7]},
        "conversation": "group:choir",
    });
    let answer = notify(&server, body).await;
    for client in [&mut laptop, &mut phone] {
        let notification = told(bodies(client.delta().await).remove(0));
        let id: OperationId = answer["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(notification.id, id.to_bytes());
        assert_eq!((&*notification.title, &*notification.body), ("Moved", "To seven"));
        assert_eq!(
            (&*notification.data, &*notification.conversation),
            (&br#"{"open":[7]}"#[..], "group:choir")
        );
        assert_eq!(json!(notification.created_at), answer["created_at"]);
        assert_eq!(notification.state(), NotificationState::Unread);
    }
    let id =
        Bytes::copy_from_slice(answer["id"].as_str().unwrap().parse::<OperationId>().unwrap().as_bytes());
    assert_eq!(accepted_seq(&mark(&mut phone, 1, &id).await), Some(2));
    let marked = told(bodies(laptop.delta().await).remove(0));
    assert_eq!((marked.id, marked.state), (id.clone(), NotificationState::Read.into()));
    let mut carol = connect(&server, "carol", 3, true).await;
    assert_eq!(refusal(&mark(&mut carol, 2, &id).await).unwrap().code, "not-found");
}

#[tokio::test]
async fn who_does_not_want_them_gets_their_places_alone() {
    let server = TestServer::start().await;
    let mut without = connect(&server, "alice", 1, false).await;
    without.pull(0).await;
    notify(&server, json!({"accounts": ["alice"], "title": "one", "body": ""})).await;
    assert_eq!(bodies(without.delta().await), [None], "pushed");
    without.submit(vec![message(id(1, 1), "direct:alice", &json!("note"))]).await;
    let pushed = bodies(without.delta().await);
    assert!(matches!(pushed[..], [Some(Body::Message(_))]));
    let pulled = bodies(without.pull(0).await);
    assert!(matches!(pulled[..], [None, Some(Body::Message(_))]), "{pulled:?}");

    let mut with = connect(&server, "alice", 2, true).await;
    let pulled = bodies(with.pull(0).await);
    assert!(matches!(pulled[..], [Some(Body::Notification(_)), Some(Body::Message(_))]), "{pulled:?}");
    for (client, most) in [(&mut without, 0), (&mut with, 1)] {
        let pull = wire::PullSnapshot { days: 1, place: None };
        send(&mut client.socket, client_frame::Frame::PullSnapshot(pull)).await;
        let Some(Frame::Snapshot(page)) = receive(&mut client.socket).await else { panic!() };
        let kinds = page.events.iter().filter(|event| matches!(event.body, Some(Body::Notification(_))));
        assert_eq!((kinds.count(), page.next), (most, None));
    }
}

#[tokio::test]
async fn only_the_back_end_notifies_and_each_once() {
    let server = TestServer::start_with(&["--token-secret", "a secret for the tests alone"]).await;
    let user = token(server.addr, "alice").await;
    assert_ne!(user, SERVER_KEY);
    let body = |title| json!({"accounts": ["alice"], "title": title, "body": "", "id": "018bcfe5-6801-7000-8000-000000000001"});
    let refused = server.call_as(&user, Method::POST, "/api/notifications", body("one").to_string()).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    let answer = notify(&server, body("one")).await;
    assert_eq!(notify(&server, body("one")).await, answer);
    let (status, conflict) = server.call(Method::POST, "/api/notifications", body("two")).await;
    assert_eq!((status, &conflict["error"]["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    assert_eq!(connect(&server, "alice", 1, true).await.welcome.head, 1);
}
