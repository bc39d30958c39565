//! What an application's back end asks of the server: tokens for its users, and groups.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{
    Request,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use url::Url;

use crate::clock::Clock;

/// Seconds that tokens last: longer than any run, so that no run measures how they are made.
const TOKEN_SECONDS: u64 = 24 * 60 * 60;

/// A server, its key, and the clock by which it is measured.
#[derive(Clone)]
pub(crate) struct Backend {
    url: Url,
    socket: Url,
    key: String,
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    pub(crate) clock: Clock,
}

impl Backend {
    /// # Errors
    /// When that is no address of a server.
    pub(crate) fn new(url: &Url, key: &str) -> Result<Self> {
        let connector =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        let http = Client::builder(TokioExecutor::new()).build(connector);
        let mut socket = url.join("/sync")?;
        let scheme = match url.scheme() {
            "https" => "wss",
            "http" => "ws",
            other => bail!("{other}: is no way to reach a server, it is to be https:"),
        };
        // One of these may be the other.
        let _ = socket.set_scheme(scheme);
        Ok(Self { url: url.clone(), socket, key: key.to_owned(), http, clock: Clock::new() })
    }

    /// Where WebSockets connect to.
    pub(crate) fn socket(&self) -> &str {
        self.socket.as_str()
    }

    /// A token for an account.
    pub(crate) async fn token(&self, account: &str) -> Result<String> {
        let body = json!({"account": account, "ttl_seconds": TOKEN_SECONDS});
        let answer = self.call("POST", &["api", "tokens"], &body).await?;
        Ok(answer["token"].as_str().context("the server gave no token")?.to_owned())
    }

    /// Who is in a group.
    pub(crate) async fn put_group(&self, id: &str, members: &[String]) -> Result<()> {
        self.call("PUT", &["api", "groups", id], &json!({ "members": members })).await.map(drop)
    }

    async fn call(&self, method: &str, path: &[&str], body: &Value) -> Result<Value> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))?;
        let unreachable = || format!("{} cannot be reached", self.url);
        let answer = self.http.request(request).await.with_context(unreachable)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.with_context(unreachable)?.to_bytes();
        if !status.is_success() {
            bail!("{method} {} was answered {status}: {}", url.path(), String::from_utf8_lossy(&body));
        }
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }
}
