//! The client in a real browser, without a server: what must hold offline, and between tabs.
//!
//! Two clients on one page are two tabs to each other: each has its own lock request and its own end
//! of the channel.

#![cfg(target_arch = "wasm32")]

mod support;

use std::{collections::BTreeSet, slice::from_ref};

use futures_util::future::{join, join_all};
use js_sys::Function;
use support::{ask, call, code_of, fresh_account, get, js, leads, len, number, open, text, until};
use tutti_sync::WasmSyncClient;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(inline_js = r#"
    export function cyclic() { const it = {}; it.self = it; return it; }
    export function throwing_getter() { return { get text() { throw new Error("mine"); } }; }
    export function polluted(value) { return Object.create({ limit: value }); }
"#)]
extern "C" {
    fn cyclic() -> JsValue;
    fn throwing_getter() -> JsValue;
    fn polluted(value: i32) -> JsValue;
}

#[wasm_bindgen_test]
async fn a_message_sent_offline_is_pending_and_survives_reopening() {
    let account = fresh_account();
    let client = open(&account).await;
    let content = js(r#"{"text":"hello","n":[1,2.5,null,"ü"]}"#);
    let sent = ask(&client, "send", &["direct:bob".into(), content]).await;
    assert_eq!(text(&sent, "state"), "pending");
    assert_eq!(text(&sent, "content.text"), "hello");
    assert_eq!(text(&sent, "type"), "text");
    assert_eq!(text(&sent, "sender"), account);
    assert!(get(&sent, "position").is_null());
    let device = text(&client, "deviceId");
    ask(&client, "close", &[]).await;

    let client = open(&account).await;
    assert_eq!(text(&client, "deviceId"), device);
    let page = ask(&client, "history", &["direct:bob".into()]).await;
    assert_eq!(len(&get(&page, "messages")), 1);
    assert_eq!(text(&page, "messages.0.id"), text(&sent, "id"));
    assert_eq!(get(&page, "hasMore").as_bool(), Some(false));
    assert_eq!(number(&ask(&client, "status", &[]).await, "pending"), 1.0);
    let conversations = ask(&client, "conversations", &[]).await;
    assert_eq!(text(&conversations, "0.id"), "direct:bob");
    assert_eq!(text(&conversations, "0.lastMessage.id"), text(&sent, "id"));
    let found = ask(&client, "message", &[get(&sent, "id")]).await;
    assert_eq!(text(&found, "content.text"), "hello");
    ask(&client, "close", &[]).await;
}

#[wasm_bindgen_test]
async fn two_tabs_are_one_device_and_see_what_the_other_sends() {
    let account = fresh_account();
    let (one, two) = (open(&account).await, open(&account).await);
    assert_eq!(text(&one, "deviceId"), text(&two, "deviceId"));
    assert_ne!(text(&one, "tabId"), text(&two, "tabId"));
    leads(&one).await;
    let arguments = ["group:team".into(), "from two".into()];
    let (sent, seen) = join(ask(&two, "send", &arguments), until(&one, "messages", |_| true)).await;
    assert_eq!(text(&seen, "0.message.id"), text(&sent, "id"));
    assert_eq!(text(&seen, "0.change"), "added");
    assert_eq!(text(&seen, "0.origin"), "tab");
    assert_eq!(number(&ask(&one, "status", &[]).await, "tabs"), 2.0);
    ask(&one, "close", &[]).await;
    leads(&two).await;
    let status = ask(&two, "status", &[]).await;
    assert_eq!((number(&status, "tabs"), number(&status, "epoch")), (1.0, 2.0));
    ask(&two, "close", &[]).await;
}

#[wasm_bindgen_test]
async fn tabs_that_open_at_once_agree_on_the_device() {
    let account = fresh_account();
    let opened = join_all((0..5).map(|_| open(&account))).await;
    let devices: BTreeSet<String> = opened.iter().map(|client| text(client, "deviceId")).collect();
    assert_eq!(devices.len(), 1);
    for client in opened {
        ask(&client, "close", &[]).await;
    }
}

#[wasm_bindgen_test]
async fn accounts_in_one_browser_never_meet() {
    let (anna, ben) = (open(&fresh_account()).await, open(&fresh_account()).await);
    ask(&anna, "send", &["direct:carl".into(), "secret".into()]).await;
    assert_eq!(len(&ask(&ben, "conversations", &[]).await), 0);
    assert_ne!(text(&anna, "deviceId"), text(&ben, "deviceId"));
    for client in [anna, ben] {
        ask(&client, "close", &[]).await;
    }
}

#[wasm_bindgen_test]
async fn nonsense_is_refused_by_name_and_breaks_nothing() {
    let client = open(&fresh_account()).await;
    let direct = JsValue::from("direct:bob");
    for (method, arguments) in [
        ("send", vec!["nonsense".into(), "hi".into()]),
        ("send", vec![JsValue::from(7), "hi".into()]),
        ("send", vec![direct.clone(), cyclic()]),
        ("send", vec![direct.clone(), throwing_getter()]),
        ("send", vec![direct.clone(), JsValue::UNDEFINED]),
        ("send", vec![direct.clone(), "hi".into(), js(r#"{"type":""}"#)]),
        ("send", vec![direct.clone(), "hi".into(), js(r#"{"id":"7"}"#)]),
        ("history", vec!["direct:".into()]),
        ("history", vec![direct.clone(), js(r#"{"limit":0}"#)]),
        ("history", vec![direct.clone(), js(r#"{"limit":1.5}"#)]),
        ("history", vec![direct.clone(), js(r#"{"before":"x"}"#)]),
        ("search", vec![]),
        ("search", vec!["".into()]),
        ("search", vec![" \t\u{a0}".into()]),
        ("search", vec!["x".repeat(1_025).into()]),
        ("search", vec!["x".into(), js(r#"{"limit":0}"#)]),
        ("search", vec!["x".into(), js(r#"{"limit":1001}"#)]),
        ("search", vec!["x".into(), js(r#"{"conversation":"nonsense"}"#)]),
        ("search", vec!["x".into(), js(r#"{"conversation":7}"#)]),
        ("conversation", vec![JsValue::NULL]),
        ("message", vec!["x".into()]),
        ("markRead", vec![direct.clone(), JsValue::from(-1)]),
        ("setOffline", vec!["yes".into()]),
        ("on", vec!["nothing".into(), JsValue::NULL]),
    ] {
        assert_eq!(code_of(&client, method, &arguments).await, "invalid", "{method} {arguments:?}");
    }
    let large = JsValue::from("x".repeat(33 * 1024));
    assert_eq!(code_of(&client, "send", &[direct.clone(), large]).await, "too-large");
    assert_eq!(code_of(&client, "markRead", from_ref(&direct)).await, "not-found");
    // What a prototype offers was not given.
    ask(&client, "history", &[direct.clone(), polluted(0)]).await;
    ask(&client, "send", &[direct, "still works".into()]).await;
    ask(&client, "close", &[]).await;
}

#[wasm_bindgen_test]
async fn messages_on_their_way_are_found_as_they_are_shown() {
    let client = open(&fresh_account()).await;
    let send =
        async |to: &str, content: &str| text(&ask(&client, "send", &[to.into(), js(content)]).await, "id");
    let first = send("direct:bob", r#"{"text":"The Heron","n":7}"#).await;
    let second = send("group:birds", r#"["a h\u00c9ron",{"heron":"HERON"}]"#).await;
    let recalled = send("direct:bob", r#""heron, recalled""#).await;
    let edited = send("direct:bob", r#""heron, edited""#).await;
    ask(&client, "recall", &[recalled.into()]).await;
    ask(&client, "edit", &[edited.clone().into(), "an egret".into()]).await;
    let search = async |looked_for: &str, options: &str| {
        let found = ask(&client, "search", &[looked_for.into(), js(options)]).await;
        (0..len(&found)).map(|at| text(&found, &format!("{at}.id"))).collect::<Vec<_>>()
    };
    assert_eq!(search("heron", "{}").await, [second.clone(), first.clone()]);
    assert_eq!(search("héron", "{}").await, from_ref(&second));
    assert_eq!(search("HERON the", "{}").await, from_ref(&first));
    assert_eq!(search("egret", "{}").await, [edited]);
    assert_eq!(search("heron", r#"{"limit":1}"#).await, [second]);
    assert_eq!(search("heron", r#"{"conversation":"direct:bob"}"#).await, [first]);
    for nowhere in ["7", "text", "true"] {
        assert_eq!(search(nowhere, "{}").await, [""; 0]);
    }
    assert_eq!(search("heron", r#"{"conversation":"direct:carl"}"#).await, [""; 0]);
    ask(&client, "close", &[]).await;
    assert_eq!(code_of(&client, "search", &["heron".into()]).await, "closed");
}

#[wasm_bindgen_test]
async fn bad_options_are_refused_by_name() {
    for (json, names) in [
        ("7", "options"),
        (r#"{"account":"a","token":"t"}"#, "url"),
        (r#"{"url":"nonsense","account":"a","token":"t"}"#, "url"),
        (r#"{"url":"https://host/sync","account":"a","token":"t"}"#, "url"),
        (r#"{"url":"ws://host.example/sync","account":"a","token":"t"}"#, "url"),
        (r#"{"url":"ws://localhost.example/sync","account":"a","token":"t"}"#, "url"),
        (r#"{"url":"wss://user:secret@host/sync","account":"a","token":"t"}"#, "url"),
        (r#"{"url":"wss://host/sync","account":"","token":"t"}"#, "account"),
        (r#"{"url":"wss://host/sync","account":"a"}"#, "token"),
        (r#"{"url":"wss://host/sync","account":"a","token":"t","device":{"platform":"fridge"}}"#, "platform"),
    ] {
        let error = JsFuture::from(WasmSyncClient::open(&js(json))).await.expect_err(json);
        assert_eq!(text(&error, "code"), "invalid");
        assert!(text(&error, "message").contains(names), "{json}: {error:?}");
    }
}

#[wasm_bindgen_test]
async fn the_same_id_sends_one_message() {
    let client = open(&fresh_account()).await;
    let send = async |content: &str| {
        let with_id = js(r#"{"id":"018bcfe5-6801-7000-8000-000000000000"}"#);
        call(&client, "send", &["direct:bob".into(), content.into(), with_id]).await
    };
    let first = send("once").await.expect("sent");
    let second = send("once").await.expect("sent again");
    assert_eq!(text(&first, "id"), text(&second, "id"));
    assert_eq!(text(&send("other").await.expect_err("another message"), "code"), "conflict");
    let page = ask(&client, "history", &["direct:bob".into()]).await;
    assert_eq!(len(&get(&page, "messages")), 1);
    ask(&client, "close", &[]).await;
}

#[wasm_bindgen_test]
async fn a_closed_client_says_so() {
    let client = open(&fresh_account()).await;
    ask(&client, "close", &[]).await;
    ask(&client, "close", &[]).await;
    assert_eq!(code_of(&client, "send", &["direct:bob".into(), "hi".into()]).await, "closed");
    assert_eq!(code_of(&client, "history", &["direct:bob".into()]).await, "closed");
    assert_eq!(code_of(&client, "syncNow", &[]).await, "closed");
    assert_eq!(text(&ask(&client, "status", &[]).await, "connection"), "closed");
    get(&client, "free").unchecked_into::<Function>().call0(&client).expect("free");
}

#[wasm_bindgen_test]
async fn a_listener_that_throws_does_not_stop_the_others() {
    let client = open(&fresh_account()).await;
    let on: Function = get(&client, "on").unchecked_into();
    let throws = Function::new_no_args("throw new Error('a listener of the test throws')");
    on.call2(&client, &"messages".into(), &throws).expect("on");
    let arguments = ["direct:bob".into(), "hi".into()];
    let (sent, seen) = join(ask(&client, "send", &arguments), until(&client, "messages", |_| true)).await;
    assert_eq!(text(&seen, "0.message.id"), text(&sent, "id"));
    ask(&client, "close", &[]).await;
}

#[wasm_bindgen_test]
async fn sync_without_a_server_says_offline() {
    let client = open(&fresh_account()).await;
    leads(&client).await;
    assert_eq!(code_of(&client, "syncNow", &[]).await, "offline");
    ask(&client, "setOffline", &[true.into()]).await;
    assert_eq!(code_of(&client, "syncNow", &[]).await, "offline");
    assert_eq!(get(&ask(&client, "status", &[]).await, "durable").as_bool(), Some(true));
    ask(&client, "close", &[]).await;
}
