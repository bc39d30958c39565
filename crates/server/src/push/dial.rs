//! How push services are dialled: the very addresses that were found public, and nothing behind a redirect or a proxy.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use axum::http::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{InvalidDnsNameError, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tower_service::Service;
use url::{Host, Url};

use super::{
    address::is_public,
    services::{NotAllowed, Services, Way},
};

/// How long it may take until there is a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one of several addresses may take to answer.
const ATTEMPT: Duration = Duration::from_secs(2);

/// The network as a dialler sees it: names and addresses.
#[async_trait]
pub trait Network: Send + Sync {
    /// The addresses that a name stands for. Asked once for each connection.
    ///
    /// # Errors
    /// When nobody knows.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;

    /// A connection to an address.
    ///
    /// # Errors
    /// When nobody answers there.
    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// The network that this machine is on.
#[derive(Clone, Copy, Debug)]
pub struct Internet;

#[async_trait]
impl Network for Internet {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host((host, port)).await?.collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The push service may not be called.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// Its name stands for addresses of an inner network alone.
    #[error("its name stands for no public address")]
    Inward,
    /// It is called something that no certificate can be for.
    #[error(transparent)]
    Name(#[from] InvalidDnsNameError),
    /// It is no URL.
    #[error(transparent)]
    Url(#[from] url::ParseError),
    /// It does not answer, or not as itself.
    #[error(transparent)]
    Network(#[from] io::Error),
}

/// What carries a request.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Connection for Box<dyn Stream> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Dials push services, and nothing else.
#[derive(Clone)]
pub(crate) struct Dialler {
    services: Arc<Services>,
    network: Arc<dyn Network>,
    tls: TlsConnector,
}

impl Dialler {
    pub(crate) fn new(services: Arc<Services>, network: Arc<dyn Network>, tls: Arc<ClientConfig>) -> Self {
        Self { services, network, tls: tls.into() }
    }

    /// Dials what this very URL names, if that may be.
    async fn dial(&self, url: &Url) -> Result<Box<dyn Stream>, DialError> {
        let stream = self.open(url).await?;
        stream.set_nodelay(true)?;
        if url.scheme() == "http" {
            return Ok(Box::new(stream));
        }
        let name = match url.host().ok_or(NotAllowed::Address)? {
            Host::Domain(name) => ServerName::try_from(name.to_owned())?,
            Host::Ipv4(address) => ServerName::IpAddress(IpAddr::V4(address).into()),
            Host::Ipv6(address) => ServerName::IpAddress(IpAddr::V6(address).into()),
        };
        Ok(Box::new(self.tls.connect(name, stream).await?))
    }

    /// Connects to one of the addresses that were looked at.
    async fn open(&self, url: &Url) -> Result<TcpStream, DialError> {
        let mut error = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses(url).await? {
            match timeout(ATTEMPT, self.network.connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failed)) => error = failed,
                Err(_) => error = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(error.into())
    }

    /// Where a URL leads, as far as this server may go there.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, DialError> {
        let way = self.services.way(url)?;
        let port = url.port_or_known_default().ok_or(NotAllowed::Plain)?;
        let mut addresses = match url.host().ok_or(NotAllowed::Address)? {
            Host::Domain(name) => self.network.resolve(name, port).await?,
            Host::Ipv4(address) => vec![(address, port).into()],
            Host::Ipv6(address) => vec![(address, port).into()],
        };
        if way == Way::Public {
            addresses.retain(|address| is_public(address.ip()));
            if addresses.is_empty() {
                return Err(DialError::Inward);
            }
        }
        Ok(addresses)
    }
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialler = self.clone();
        Box::pin(async move {
            let url = Url::parse(&uri.to_string())?;
            let dialled = timeout(CONNECT, dialler.dial(&url)).await;
            let stream = dialled.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
            Ok(TokioIo::new(stream))
        })
    }
}

/// TLS that believes the certificates of the web's authorities, which are built in: a container has none.
///
/// # Errors
/// When the cipher suites do not go together, which they do.
pub(crate) fn web_tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
