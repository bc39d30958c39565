//! Connections that are encrypted by the server itself.

mod common;

use std::{fs, path::Path, process::Stdio, sync::Arc};

use common::{PATIENCE, SERVER_KEY, TestServer, eventually, hello, listens, receive, send};
use rcgen::CertifiedKey;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{client_async, tungstenite::client::IntoClientRequest as _};
use tutti_protocol::wire::{client_frame, server_frame::Frame};

/// A directory with a certificate and its key, and who trusts it.
struct Issued {
    files: TempDir,
    trusted: CertificateDer<'static>,
}

impl Issued {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let trusted = issue(files.path());
        Self { files, trusted }
    }

    fn args(&self) -> [String; 4] {
        let file = |name| self.files.path().join(name).to_str().unwrap().to_owned();
        ["--tls-cert".to_owned(), file("cert.pem"), "--tls-key".to_owned(), file("key.pem")]
    }
}

/// Puts another certificate into a directory.
fn issue(files: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(files.join("cert.pem"), cert.pem()).unwrap();
    fs::write(files.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

async fn connect(port: u16, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Sends a request and reads the answer to its end.
async fn ask(stream: &mut TlsStream<TcpStream>, head: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {SERVER_KEY}\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn requests_and_websockets_are_encrypted() {
    let issued = Issued::new();
    let args = issued.args();
    let server = TestServer::start_with(&args.each_ref().map(String::as_str)).await;
    let connect = async || connect(server.addr.port(), &issued.trusted).await.unwrap();

    let answer = ask(&mut connect().await, "POST /api/tokens", &json!({"account": "ann"}).to_string()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let head = head.to_ascii_lowercase();
    for header in [
        "strict-transport-security: max-age=",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    let token: Value = serde_json::from_str(body).unwrap();

    let mut request = "wss://localhost/sync".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "tutti.v1".parse().unwrap());
    let (mut socket, _) = client_async(request, connect().await).await.unwrap();
    let hello = hello(token["token"].as_str().unwrap(), "ann", 1);
    send(&mut socket, client_frame::Frame::Hello(hello)).await;
    let answer = receive(&mut socket).await;
    assert!(matches!(answer, Some(Frame::Welcome(_))), "{answer:?}");

    // Nothing is said to who does not encrypt.
    let mut plain = TcpStream::connect(server.addr).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.unwrap();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_without_a_restart() {
    let issued = Issued::new();
    let mut server = Command::new(env!("CARGO_BIN_EXE_tutti-server"))
        .args(["--listen", "127.0.0.1:0", "--dev", "--data"])
        .arg(issued.files.path().join("data"))
        .args(issued.args())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let port = listens(&mut server, "https://").await.port();
    let mut before = connect(port, &issued.trusted).await.unwrap();
    let hang_up = async || {
        let process = server.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-HUP", &process]).status().await.unwrap().success());
    };

    // What cannot be used is not.
    fs::write(issued.files.path().join("cert.pem"), "no certificate").unwrap();
    hang_up().await;
    let renewed = issue(issued.files.path());
    hang_up().await;
    eventually(async || connect(port, &renewed).await.is_ok()).await;
    assert!(connect(port, &issued.trusted).await.is_err());
    // Whoever was connected still is.
    assert!(ask(&mut before, "GET /healthz", "").await.starts_with("HTTP/1.1 200"));
}
