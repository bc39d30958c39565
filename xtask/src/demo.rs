//! Everything from nothing to a chat in the browser.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use crate::{
    npm,
    pack::pack,
    run::{Child, announced, cargo, command, interrupted, run, target_dir},
    stamp::Stamp,
};

const SITE: &str = "www/dist";

/// Serves the demo until it is interrupted.
pub(crate) fn demo(port: u16) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    // Minutes before the server would find out; and another server's answer must not pass for ours.
    drop(
        TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address}; try another: cargo xtask demo --port N"))?,
    );

    pack()?;
    npm::install("www", "the demo is built from them")?;
    let stamp = Stamp::new("www", &["pkg", "www"], SITE);
    if stamp.holds() {
        println!("{SITE} is up to date");
    } else {
        build_site()?;
        stamp.set()?;
    }
    announced("building the server", || run(cargo().args(["build", "--release", "-p", "tutti-server"])))?;

    let mut serve = command(target_dir().join("release/tutti-server"));
    serve.args(["--listen", &address.to_string(), "--dev", "--www", SITE, "--data"]);
    // Of the fifth version of the database: earlier ones, which the server refuses, are left where they are.
    let mut server = Child::spawn(serve.arg(target_dir().join("demo-5")))?;
    while !is_healthy(address) {
        server.ensure_running().context("the server did not start")?;
        thread::sleep(Duration::from_millis(50));
    }
    println!("\nopen http://localhost:{port} (Ctrl-C stops)\n");
    let status = server.wait()?;
    ensure!(interrupted(), "the server ended ({status})");
    println!("\nstopped");
    Ok(())
}

/// Type-checks the demo and builds it.
pub(crate) fn build_site() -> Result<()> {
    announced("building the demo's pages", || npm::script("www", "build"))
}

fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(stream, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().is_ok_and(|answer| answer == "HTTP/1.1 200")
}
