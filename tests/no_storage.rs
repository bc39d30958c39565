//! A browser without IndexedDB. A file of its own, since tests of one file run side by side on one page.

#![cfg(target_arch = "wasm32")]

mod support;

use futures_util::future::join;
use support::{ask, fresh_account, get, leads, len, number, open, text};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen(inline_js = r#"
    export function hide_indexed_db() {
        Object.defineProperty(globalThis, "indexedDB", { value: undefined, configurable: true });
    }
"#)]
extern "C" {
    fn hide_indexed_db();
}

#[wasm_bindgen_test]
async fn without_indexed_db_each_tab_is_a_device_of_its_own() {
    let account = fresh_account();
    hide_indexed_db();
    let (one, two) = join(open(&account), open(&account)).await;
    assert_ne!(text(&one, "deviceId"), text(&two, "deviceId"));
    for client in [&one, &two] {
        // Neither waits for the other, whose memory it cannot read.
        leads(client).await;
        let status = ask(client, "status", &[]).await;
        assert_eq!(get(&status, "durable").as_bool(), Some(false));
        assert_eq!(number(&status, "tabs"), 1.0);
    }
    ask(&one, "send", &["direct:bob".into(), "in memory".into()]).await;
    assert_eq!(len(&get(&ask(&one, "history", &["direct:bob".into()]).await, "messages")), 1);
    assert_eq!(len(&get(&ask(&two, "history", &["direct:bob".into()]).await, "messages")), 0);
    for client in [one, two] {
        ask(&client, "close", &[]).await;
    }
}
