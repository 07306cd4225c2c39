//! Who is believed to be the server.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::error::{RootsProblem, WireError};
use super::url::{Host, Url};

/// The certificate authorities that may vouch for a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Mozilla's list, compiled in.
    #[default]
    Public,
    /// Those of this PEM file alone: a simulated venue's, or a company's.
    File(PathBuf),
}

/// TLS 1.3 or 1.2 by ring, server authenticated, no client certificate.
pub(super) fn client_config(roots: &Roots) -> Result<Arc<ClientConfig>, WireError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(root_store(roots)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Roots {
    /// The certificates of the file, each fit to vouch for a server; `None` for the public list.
    ///
    /// # Errors
    /// [`WireError::Roots`] if the file can't be read, or holds none or one that is unfit.
    pub fn certificates(&self) -> Result<Option<Vec<CertificateDer<'static>>>, WireError> {
        let Roots::File(path) = self else { return Ok(None) };
        let refuse = |problem| WireError::Roots { path: path.display().to_string(), problem };
        let file = CertificateDer::pem_file_iter(path).map_err(|error| refuse(RootsProblem::Pem(error)))?;
        let mut certificates = Vec::new();
        for certificate in file {
            let certificate = certificate.map_err(|error| refuse(RootsProblem::Pem(error)))?;
            let mut store = RootCertStore::empty();
            store.add(certificate.clone()).map_err(|error| refuse(RootsProblem::Certificate(error)))?;
            certificates.push(certificate);
        }
        if certificates.is_empty() { Err(refuse(RootsProblem::Empty)) } else { Ok(Some(certificates)) }
    }
}

fn root_store(roots: &Roots) -> Result<RootCertStore, WireError> {
    let Some(certificates) = roots.certificates()? else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut store = RootCertStore::empty();
    // Each was found fit when it was read.
    store.add_parsable_certificates(certificates);
    Ok(store)
}

/// A session that will ask for the certificate of `url`'s host.
pub(super) fn session(config: &Arc<ClientConfig>, url: &Url) -> Result<Box<ClientConnection>, WireError> {
    let name = match url.host() {
        Host::Name(name) => ServerName::try_from(name.clone())
            .map_err(|_| rustls::Error::General(format!("no certificate can be for the name {name}")))?,
        Host::V4(address) => ServerName::IpAddress((*address).into()),
        Host::V6(address) => ServerName::IpAddress((*address).into()),
    };
    Ok(Box::new(ClientConnection::new(Arc::clone(config), name)?))
}
