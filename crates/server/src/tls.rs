//! Encrypted connections: TLS 1.2 and 1.3 (RFC 5246, RFC 8446).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};

/// The files of a certificate, and what connections are encrypted with: what was in them when they were read.
#[derive(Clone, Debug)]
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    pub(crate) config: RustlsConfig,
}

/// Why connections cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or is no PEM file.
    #[error("cannot read {0}: {1}")]
    File(PathBuf, #[source] pem::Error),
    /// A file holds something else.
    #[error("there is no certificate in {0}")]
    NoCertificate(PathBuf),
    /// The two files do not go together, or hold what cannot be used.
    #[error("the certificate in {0} cannot be used with its key: {1}")]
    Unusable(PathBuf, #[source] rustls::Error),
}

impl Tls {
    /// Reads a certificate, with all that lead to it, and its key (PEM, RFC 7468).
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub(crate) fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let config = RustlsConfig::from_config(config(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), config })
    }

    /// Reads the files again: connections from now on have what is in them.
    ///
    /// # Errors
    /// [`TlsError`] names the file; nothing has changed then.
    pub fn read_again(&self) -> Result<(), TlsError> {
        self.config.reload_from_config(config(&self.certificate, &self.key)?);
        Ok(())
    }
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let unreadable = |file: &Path| {
        let file = file.to_owned();
        move |error| TlsError::File(file, error)
    };
    let unusable = |error| TlsError::Unusable(certificate.to_owned(), error);
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(unreadable(certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(certificate.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .map_err(unusable)?;
    // WebSockets begin as HTTP/1.1 (RFC 6455).
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
