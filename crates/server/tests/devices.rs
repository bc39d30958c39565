//! What an account's devices know of each other, and what becomes of one that is removed.

mod common;

use std::collections::VecDeque;

use bytes::Bytes;
use common::{Client, SERVER_KEY, TestServer, framed, hello, post, receive, send, token};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tutti_protocol::{
    DeviceId, sequence,
    wire::{
        self, ListDevices, RemoveDevice, RenameDevice, SetPush, client_frame, manage::What,
        server_frame::Frame, status::Status as Kind,
    },
};

/// Where one may be pushed to. Nobody is, here.
const SERVICE: &str = "https://fcm.googleapis.com/fcm/send/1";

/// A device of Alice's that wants to know of the others.
struct Device {
    client: Client,
    told: VecDeque<wire::Devices>,
    asked: u64,
}

impl Device {
    async fn connect(server: &TestServer, device: u8) -> Self {
        let token = token(server.addr, "alice").await;
        Self::greet(server, listening(&token, device)).await.expect("a welcome")
    }

    async fn greet(server: &TestServer, hello: wire::Hello) -> Result<Self, Frame> {
        let client = Client::greet(server.addr, hello).await?;
        assert!(client.welcome.devices);
        Ok(Self { client, told: VecDeque::new(), asked: 0 })
    }

    async fn manage(&mut self, what: What) -> wire::Managed {
        self.asked += 1;
        let (number, what) = (self.asked, Some(what));
        send(&mut self.client.socket, client_frame::Frame::Manage(wire::Manage { number, what })).await;
        loop {
            match self.client.next().await {
                Frame::Managed(managed) if managed.number == number => return managed,
                frame => self.note(frame),
            }
        }
    }

    /// The code of what came of it.
    async fn code(&mut self, what: What) -> String {
        let managed = self.manage(what).await;
        assert_eq!(managed.message.is_empty(), managed.code.is_empty());
        managed.code
    }

    async fn list(&mut self) -> Vec<wire::Device> {
        let managed = self.manage(What::List(ListDevices {})).await;
        assert_eq!(managed.code, "");
        managed.devices.expect("a list").devices
    }

    /// The next list that it is told by itself.
    async fn told(&mut self) -> Vec<wire::Device> {
        while self.told.is_empty() {
            let frame = self.client.next().await;
            self.note(frame);
        }
        self.told.pop_front().unwrap().devices
    }

    /// Waits until it is told a list like this.
    async fn is_told(&mut self, holds: impl Fn(&[wire::Device]) -> bool) -> Vec<wire::Device> {
        loop {
            let list = self.told().await;
            if holds(&list) {
                return list;
            }
        }
    }

    /// What has been told it already.
    async fn fence(&mut self) -> VecDeque<wire::Devices> {
        // A frame goes before what is told, so what waits is told between the two.
        for nonce in [1, 2] {
            send(&mut self.client.socket, client_frame::Frame::Ping(wire::Ping { nonce })).await;
            loop {
                match self.client.next().await {
                    Frame::Pong(_) => break,
                    frame => self.note(frame),
                }
            }
        }
        std::mem::take(&mut self.told)
    }

    fn note(&mut self, frame: Frame) {
        match frame {
            Frame::Status(wire::Status { status: Some(Kind::Devices(list)) }) => self.told.push_back(list),
            other => panic!("{other:?}"),
        }
    }

    /// It is cut off, by a device or the back end.
    async fn is_revoked(&mut self, by: &str) {
        loop {
            match self.client.next().await {
                Frame::Revoked(revoked) => break assert_eq!(revoked.by, by),
                frame => self.note(frame),
            }
        }
        assert_eq!(receive(&mut self.client.socket).await, None);
    }
}

fn listening(token: &str, device: u8) -> wire::Hello {
    wire::Hello { devices: true, ..hello(token, "alice", device) }
}

fn id(device: u8) -> String {
    DeviceId::from([device; 16]).to_string()
}

fn rename(device: &str, name: &str) -> What {
    What::Rename(RenameDevice { device: device.to_owned(), name: name.to_owned() })
}

fn remove(device: &str) -> What {
    What::Remove(RemoveDevice { device: device.to_owned() })
}

fn push(endpoint: &str) -> What {
    let (p256dh, auth) = (Bytes::from_static(&common::POINT), Bytes::from(vec![9; 16]));
    What::SetPush(SetPush { endpoint: endpoint.to_owned(), p256dh, auth })
}

fn names(devices: &[wire::Device]) -> Vec<(&str, &str)> {
    devices.iter().map(|device| (device.id.as_str(), device.name.as_str())).collect()
}

/// What a hello gets, over a socket, if it is not let in.
async fn refused(server: &TestServer, hello: &wire::Hello) -> Frame {
    Client::greet(server.addr, hello.clone()).await.err().expect("no welcome")
}

/// What hello gets by post, and what a frame with it.
async fn posted(server: &TestServer, hello: &wire::Hello, frame: Option<client_frame::Frame>) -> Vec<Frame> {
    let frames = [Some(client_frame::Frame::Hello(hello.clone())), frame];
    let frames: Vec<Bytes> = frames.into_iter().flatten().map(framed).collect();
    post(server, sequence::join(&frames), None).await.1
}

async fn is_refused_as_removed(server: &TestServer, hello: &wire::Hello, by: &str) {
    let revoked = Frame::Revoked(wire::Revoked { by: by.to_owned() });
    assert_eq!(refused(server, hello).await, revoked);
    let list = wire::Manage { number: 1, what: Some(What::List(ListDevices {})) };
    for frame in [None, Some(client_frame::Frame::Manage(list))] {
        assert_eq!(posted(server, hello, frame).await, std::slice::from_ref(&revoked));
    }
}

/// The code of the error with which a hello is refused, over a socket and by post alike.
async fn refusal(server: &TestServer, hello: &wire::Hello) -> String {
    let Frame::Error(error) = refused(server, hello).await else { panic!("no error") };
    assert_eq!(posted(server, hello, None).await, [Frame::Error(error.clone())]);
    error.code
}

async fn over_http(server: &TestServer, method: Method, device: &str, body: Value) -> (StatusCode, Value) {
    let path = format!("/api/devices/{device}?user_id=alice");
    server.call(method, &path, body).await
}

async fn listed(server: &TestServer) -> Vec<Value> {
    let (_, answer) = server.call(Method::GET, "/api/devices?user_id=alice", json!(null)).await;
    answer["devices"].as_array().unwrap().clone()
}

#[tokio::test]
async fn devices_are_listed_renamed_and_removed_by_each_other() {
    let server = TestServer::start().await;
    let body = json!({"user_id": "alice", "devices": ["a TV"]});
    server.call(Method::POST, "/api/devices", body).await;
    let mut laptop = Device::connect(&server, 1).await;
    let _phone = Device::connect(&server, 2).await;
    let list = laptop.list().await;
    let (first, second) = (id(1), id(2));
    assert_eq!(names(&list), [("a TV", "a TV"), (&*first, "device 1"), (&*second, "device 2")]);
    assert_eq!(list.iter().map(|device| device.online).collect::<Vec<_>>(), [false, true, true]);
    let platforms = [wire::Platform::Unspecified, wire::Platform::Web, wire::Platform::Web];
    assert_eq!(list.iter().map(wire::Device::platform).collect::<Vec<_>>(), platforms);
    assert_eq!(list[0].last_seen, 0);
    assert!(list[1].last_seen >= list[1].registered_at && list[1].registered_at >= list[0].registered_at);
    assert!(list.iter().all(|device| !device.push));

    for (device, name) in [("a TV", "the TV"), (&*second, "the phone"), (&*first, "this one")] {
        assert_eq!(laptop.code(rename(device, name)).await, "");
    }
    let list = laptop.list().await;
    assert_eq!(names(&list), [("a TV", "the TV"), (&*first, "this one"), (&*second, "the phone")]);

    assert_eq!(laptop.code(remove("a TV")).await, "");
    assert_eq!(names(&laptop.list().await), [(&*first, "this one"), (&*second, "the phone")]);
    assert_eq!(laptop.code(remove("a TV")).await, "", "it is removed");
    for nobody in ["a TV", "another", &*id(9)] {
        assert_eq!(laptop.code(rename(nobody, "x")).await, "not-found", "{nobody}");
    }
    for nobody in ["another", &*id(9)] {
        assert_eq!(laptop.code(remove(nobody)).await, "not-found", "{nobody}");
    }
    let mut bob = server.client("bob", 1).await;
    let manage = wire::Manage { number: 7, what: Some(remove(&second)) };
    send(&mut bob.socket, client_frame::Frame::Manage(manage)).await;
    match bob.next().await {
        Frame::Managed(managed) => assert_eq!((managed.number, &*managed.code), (7, "not-found")),
        other => panic!("{other:?}"),
    }
    assert_eq!(laptop.list().await.len(), 2);
}

#[tokio::test]
async fn what_is_done_about_devices_is_done_by_post_too() {
    let server = TestServer::start().await;
    let _standing = Device::connect(&server, 1).await;
    let polls = hello(&token(server.addr, "alice").await, "alice", 2);
    let manage = async |what| {
        let manage = wire::Manage { number: 3, what: Some(what) };
        match &posted(&server, &polls, Some(client_frame::Frame::Manage(manage))).await[..] {
            [Frame::Welcome(welcome), Frame::Managed(managed)] => {
                assert!(welcome.devices && welcome.token_ttl > 0);
                assert_eq!(managed.number, 3);
                managed.clone()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(manage(rename(&id(1), "the other")).await.code, "");
    assert_eq!(manage(push(SERVICE)).await.code, "");
    let list = manage(What::List(ListDevices {})).await.devices.unwrap().devices;
    assert_eq!(names(&list), [(&*id(1), "the other"), (&*id(2), "device 2")]);
    let shown: Vec<_> = list.iter().map(|device| (device.online, device.push)).collect();
    assert_eq!(shown, [(true, false), (false, true)]);
    assert_eq!(manage(remove("nobody")).await.code, "not-found");
    assert_eq!(manage(remove(&id(1))).await.code, "");
    assert_eq!(manage(remove(&id(2))).await.code, "", "itself");
    is_refused_as_removed(&server, &polls, &id(2)).await;
}

#[tokio::test]
async fn a_device_that_is_removed_while_it_is_there_is_cut_off_and_told_by_whom() {
    let server = TestServer::start().await;
    let mut laptop = Device::connect(&server, 1).await;
    let tokens = [token(server.addr, "alice").await, token(server.addr, "alice").await];
    let mut phone = Device::greet(&server, listening(&tokens[0], 2)).await.unwrap();
    let mut tablet = Device::greet(&server, listening(&tokens[1], 3)).await.unwrap();
    assert_eq!(laptop.code(remove(&id(2))).await, "");
    let (_, answer) = server.call(Method::GET, "/api/connections?user_id=alice", json!(null)).await;
    assert_eq!(answer["connections"].as_array().unwrap().len(), 2, "it has no place any more");
    phone.is_revoked(&id(1)).await;
    is_refused_as_removed(&server, &hello(&tokens[0], "alice", 2), &id(1)).await;

    let removed = over_http(&server, Method::DELETE, &id(3), json!(null)).await;
    assert_eq!(removed, (StatusCode::NO_CONTENT, Value::Null));
    tablet.is_revoked("").await;
    is_refused_as_removed(&server, &hello(&tokens[1], "alice", 3), "").await;
    let fresh = token(server.addr, "alice").await;
    is_refused_as_removed(&server, &hello(&fresh, "alice", 2), &id(1)).await;
    assert_eq!(laptop.list().await.len(), 1);
}

#[tokio::test]
async fn a_device_that_comes_while_it_is_removed_does_not_stay() {
    let server = TestServer::start_with(&["--rate-burst", "1000"]).await;
    for number in 0..100 {
        let device = 100 + number;
        let own = token(server.addr, "alice").await;
        let body = json!({"user_id": "alice", "devices": [id(device)]});
        server.call(Method::POST, "/api/devices", body).await;
        let device_id = id(device);
        let removing = async {
            // Sooner or later, so that it meets the hello everywhere on its way.
            for _ in 0..number % 10 {
                server.call(Method::GET, "/healthz", json!(null)).await;
            }
            over_http(&server, Method::DELETE, &device_id, json!(null)).await
        };
        let greeting = Client::greet(server.addr, hello(&own, "alice", device));
        let (removed, greeted) = tokio::join!(removing, greeting);
        assert_eq!(removed.0, StatusCode::NO_CONTENT);
        let last = match greeted {
            Ok(mut client) => client.next().await,
            Err(frame) => frame,
        };
        assert!(matches!(last, Frame::Revoked(_)), "{last:?}");
    }
}

#[tokio::test]
async fn a_device_that_removes_itself_hears_that_it_is_done_and_then_goes() {
    let server = TestServer::start().await;
    let mut laptop = Device::connect(&server, 1).await;
    let _phone = Device::connect(&server, 2).await;
    assert_eq!(laptop.code(remove(&id(1))).await, "");
    laptop.is_revoked(&id(1)).await;
}

#[tokio::test]
async fn a_device_that_was_away_learns_that_it_was_removed_even_with_a_token_that_has_expired() {
    let server = TestServer::start().await;
    let (own, expires_at) =
        common::token_for(server.addr, json!({"account": "alice", "ttl_seconds": 3})).await;
    drop(Device::greet(&server, listening(&own, 1)).await.unwrap());
    let kept = hello(&own, "alice", 2);
    posted(&server, &kept, None).await;
    common::until(expires_at).await;
    assert_eq!(refusal(&server, &hello(&own, "alice", 1)).await, "auth");
    over_http(&server, Method::DELETE, &id(1), json!(null)).await;
    is_refused_as_removed(&server, &hello(&own, "alice", 1), "").await;
    // For all else the token is worth nothing.
    assert_eq!(refusal(&server, &kept).await, "auth");
    assert_eq!(refusal(&server, &hello(&own, "alice", 3)).await, "auth");
    assert_eq!(refusal(&server, &hello(&own, "bob", 1)).await, "auth");
    // Nor does anybody else learn of it.
    let bobs = token(server.addr, "bob").await;
    assert_eq!(refusal(&server, &hello(&bobs, "alice", 1)).await, "auth");
    assert_eq!(refusal(&server, &hello("nonsense", "alice", 1)).await, "auth");
    assert!(Client::greet(server.addr, hello(&bobs, "bob", 1)).await.is_ok(), "it is another account's");
}

#[tokio::test]
async fn the_tokens_of_a_removed_device_work_for_no_new_one_and_for_those_that_had_them() {
    let server = TestServer::start().await;
    let [own, shared, later] = [
        token(server.addr, "alice").await,
        token(server.addr, "alice").await,
        token(server.addr, "alice").await,
    ];
    drop(Device::greet(&server, listening(&own, 1)).await.unwrap());
    posted(&server, &hello(&shared, "alice", 1), None).await;
    let mut kept = Device::greet(&server, listening(&shared, 2)).await.unwrap();
    let get = async |token: &str| {
        let path = "/api/devices?user_id=alice";
        server.call_as(token, Method::GET, path, String::new()).await.0
    };
    for token in [&own, &shared, &later] {
        assert_eq!(get(token).await, StatusCode::OK);
    }
    assert_eq!(kept.code(remove(&id(1))).await, "");
    assert_eq!(refusal(&server, &hello(&own, "alice", 7)).await, "revoked");
    assert_eq!(refusal(&server, &hello(&own, "alice", 2)).await, "revoked");
    assert_eq!(refusal(&server, &hello(&shared, "alice", 7)).await, "revoked");
    for token in [&own, &shared] {
        for device in [7, 2] {
            let passing = wire::Hello { passing: true, ..hello(token, "alice", device) };
            assert_eq!(refusal(&server, &passing).await, "revoked", "{device}");
        }
    }
    assert_eq!(get(&own).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&shared).await, StatusCode::OK);
    assert_eq!(listed(&server).await.len(), 1, "who was refused is not registered");

    kept.list().await;
    drop(kept);
    let mut kept = Device::greet(&server, listening(&shared, 2)).await.expect("it had come with it before");
    Device::greet(&server, listening(&later, 7)).await.expect("nobody had come with that");
    assert_eq!(kept.code(remove(&id(2))).await, "");
    kept.is_revoked(&id(2)).await;
    assert_eq!(get(&shared).await, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&later).await, StatusCode::OK);
}

#[tokio::test]
async fn what_was_removed_and_revoked_stays_so_when_the_server_is_started_anew() {
    let data = tempfile::tempdir().unwrap();
    let (own, other);
    {
        let server = TestServer::start_in(data.path()).await;
        (own, other) = (token(server.addr, "alice").await, token(server.addr, "alice").await);
        let mut laptop = Device::greet(&server, listening(&other, 1)).await.unwrap();
        let _phone = Device::greet(&server, listening(&own, 2)).await.unwrap();
        assert_eq!(laptop.code(rename(&id(1), "named")).await, "");
        assert_eq!(laptop.code(push(SERVICE)).await, "");
        assert_eq!(laptop.code(remove(&id(2))).await, "");
        server.stop().await;
    }
    let server = TestServer::start_in(data.path()).await;
    is_refused_as_removed(&server, &hello(&own, "alice", 2), &id(1)).await;
    assert_eq!(refusal(&server, &hello(&own, "alice", 3)).await, "revoked");
    let mut laptop = Device::greet(&server, listening(&other, 1)).await.unwrap();
    let list = laptop.list().await;
    assert_eq!((names(&list), list[0].push), (vec![(&*id(1), "named")], true));
}

#[tokio::test]
async fn a_device_says_where_it_is_pushed_to_and_that_goes_with_it() {
    let server = TestServer::start().await;
    let mut laptop = Device::connect(&server, 1).await;
    let mut phone = Device::connect(&server, 2).await;
    let pushed =
        async || -> Vec<Value> { listed(&server).await.iter().map(|it| it["push"].clone()).collect() };
    assert_eq!(laptop.code(push(SERVICE)).await, "");
    assert_eq!(pushed().await, [json!(true), json!(false)]);
    assert_eq!(phone.code(push("http://fcm.googleapis.com/1")).await, "forbidden");
    assert_eq!(phone.code(push("https://inside.example/1")).await, "forbidden");
    let p256dh = Bytes::from(vec![4; 65]);
    let auth = Bytes::from(vec![9; 16]);
    let no_point = SetPush { endpoint: SERVICE.to_owned(), p256dh, auth };
    assert_eq!(phone.code(What::SetPush(no_point)).await, "invalid");
    assert_eq!(pushed().await, [json!(true), json!(false)]);
    assert_eq!(laptop.code(What::SetPush(SetPush::default())).await, "");
    assert_eq!(pushed().await, [json!(false), json!(false)]);
    assert_eq!(phone.code(push(SERVICE)).await, "");
    assert!(laptop.is_told(|list| list[1].push).await[1].online);
}

#[tokio::test]
async fn a_device_without_a_lasting_id_does_what_others_do_and_is_named_nowhere() {
    let server = TestServer::start().await;
    let mut lasting = Device::connect(&server, 1).await;
    let hello = wire::Hello { passing: true, ..listening(&token(server.addr, "alice").await, 2) };
    let mut passing = Device::greet(&server, hello).await.unwrap();
    assert_eq!(names(&passing.list().await), [(&*id(1), "device 1")]);
    assert_eq!(passing.code(push(SERVICE)).await, "unsupported");
    assert_eq!(lasting.code(remove(&id(2))).await, "not-found");
    assert_eq!(passing.code(rename(&id(1), "named")).await, "");
    assert_eq!(passing.code(remove(&id(1))).await, "");
    lasting.is_revoked("").await;
}

#[tokio::test]
async fn those_who_want_to_know_are_told_when_the_list_has_changed() {
    let server = TestServer::start_with(&["--presence-grace", "0"]).await;
    let mut laptop = Device::connect(&server, 1).await;
    let mut deaf = server.client("alice", 9).await;
    let mut phone = Device::connect(&server, 2).await;
    let is_online =
        |list: &[wire::Device], device: u8| list.iter().any(|known| known.id == id(device) && known.online);
    laptop.is_told(|list| is_online(list, 2)).await;
    assert_eq!(phone.fence().await, [], "that it is there itself is no news to it");

    assert_eq!(phone.code(rename(&id(1), "named")).await, "");
    for device in [&mut laptop, &mut phone] {
        let list = device.is_told(|list| list[0].name == "named").await;
        assert_eq!(list.len(), 3, "the whole of it");
    }
    let body = json!({"user_id": "alice", "devices": ["x", "y"]});
    server.call(Method::POST, "/api/devices", body).await;
    for device in [&mut laptop, &mut phone] {
        let list = device.is_told(|list| list.len() > 3).await;
        assert_eq!(list.len(), 5, "both at once");
    }
    assert_eq!(laptop.code(push(SERVICE)).await, "");
    phone.is_told(|list| list[0].push).await;
    over_http(&server, Method::PATCH, "x", json!({"name": "z"})).await;
    phone.is_told(|list| list.iter().any(|device| device.name == "z")).await;
    assert_eq!(phone.code(remove("x")).await, "");
    phone.is_told(|list| list.len() == 4).await;
    laptop.is_told(|list| list.len() == 4).await;
    drop(phone);
    laptop.is_told(|list| !is_online(list, 2)).await;
    // One that did not say that it wants to know is told nothing of all that.
    send(&mut deaf.socket, client_frame::Frame::Ping(wire::Ping { nonce: 7 })).await;
    assert_eq!(deaf.next().await, Frame::Pong(wire::Pong { nonce: 7 }));
}

#[tokio::test]
async fn a_device_that_was_renamed_is_called_so_wherever_it_is_named() {
    let server = TestServer::start().await;
    server.call(Method::PUT, "/api/settings", json!({"limits": {"web": 1}})).await;
    let own = token(server.addr, "alice").await;
    let mut laptop = Device::greet(&server, listening(&own, 1)).await.unwrap();
    let second = hello(&token(server.addr, "alice").await, "alice", 2);
    let name_of_first = async || match refused(&server, &second).await {
        Frame::Limit(limit) => limit.connections[0].name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(name_of_first().await, "device 1");
    assert_eq!(laptop.code(rename(&id(1), "named")).await, "");
    assert_eq!(name_of_first().await, "named", "at once");
    let mut laptop =
        Device::greet(&server, wire::Hello { epoch: 1, ..listening(&own, 1) }).await.expect("a welcome");
    assert_eq!(name_of_first().await, "named", "though its hello says otherwise");
    assert_eq!(names(&laptop.list().await), [(&*id(1), "named")]);
}

#[tokio::test]
async fn the_back_end_and_users_rename_and_remove_over_http() {
    let server = TestServer::start().await;
    let odd = "a device/with 100% of all?";
    let path = "a%20device%2Fwith%20100%25%20of%20all%3F";
    let body = json!({"user_id": "alice", "devices": [odd, "other"]});
    server.call(Method::POST, "/api/devices", body.clone()).await;
    let renamed = over_http(&server, Method::PATCH, path, json!({"name": "plain"})).await;
    assert_eq!(renamed, (StatusCode::OK, json!({"message": "Device renamed successfully"})));
    let first = listed(&server).await.into_iter().find(|device| device["id"] == odd).unwrap();
    assert_eq!(first["name"], "plain");

    let users = token(server.addr, "alice").await;
    let url = "/api/devices/other?user_id=alice";
    let renamed = server.call_as(&users, Method::PATCH, url, json!({"name": "mine"}).to_string()).await;
    assert_eq!(renamed.0, StatusCode::OK);
    for _ in 0..2 {
        let removed = server.call_as(&users, Method::DELETE, url, String::new()).await;
        assert_eq!(removed, (StatusCode::NO_CONTENT, Value::Null));
    }
    let missing = server.call(Method::DELETE, "/api/devices/none?user_id=alice", json!(null)).await;
    assert_eq!(missing.0, StatusCode::NOT_FOUND);
    let mallorys = token(server.addr, "mallory").await;
    let elsewhere = format!("/api/devices/{path}?user_id=alice");
    for (method, body) in [(Method::DELETE, String::new()), (Method::PATCH, json!({"name": "x"}).to_string())]
    {
        for key in [&*mallorys, SERVER_KEY] {
            // Hers, as one who may not, and one that is nowhere.
            let url = if key == SERVER_KEY { "/api/devices/none?user_id=alice" } else { &*elsewhere };
            assert_eq!(server.call_as(key, method.clone(), url, body.clone()).await, missing, "{method}");
        }
    }
    let renamed = server.call_as(&users, Method::PATCH, url, json!({"name": "back"}).to_string()).await;
    assert_eq!(renamed, missing, "it was removed");
    let (status, answer) = server.call(Method::POST, "/api/devices", body).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    assert_eq!(answer["error"]["field"], "devices");
    assert_eq!(over_http(&server, Method::DELETE, path, json!(null)).await.0, StatusCode::NO_CONTENT);
    assert_eq!(listed(&server).await, Vec::<Value>::new());
}

#[tokio::test]
async fn how_much_may_be_done_about_devices_is_limited() {
    let server = TestServer::start_with(&["--rate-burst", "1", "--rate-per-second", "1"]).await;
    let mut laptop = Device::connect(&server, 1).await;
    // A slow machine gives the account more meanwhile.
    let mut codes = Vec::new();
    while codes.len() < 100 && codes.last().is_none_or(String::is_empty) {
        codes.push(laptop.code(rename(&id(1), "named")).await);
    }
    assert_eq!(codes.pop().as_deref(), Some("rate-limited"));
    let mut refused = None;
    for _ in 0..100 {
        let (status, answer) = over_http(&server, Method::DELETE, "none", json!(null)).await;
        if status != StatusCode::NOT_FOUND {
            refused = Some((status, answer["error"]["code"].clone()));
            break;
        }
    }
    assert_eq!(refused, Some((StatusCode::TOO_MANY_REQUESTS, json!("rate-limited"))));
}
