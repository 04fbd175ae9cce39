//! Connections over TLS.

use crate::backend::url_options::Wrong;
use std::fmt;
use zookeeper::{Client, Connector, Error};

/// Whether connections are made over TLS, and the authorities that they trust. Either all are or none: there is no way
/// back to plain text.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    demanded: bool,
    #[cfg(feature = "zookeeper-tls")]
    roots: Option<String>,
    #[cfg(feature = "zookeeper-tls")]
    identity: Option<(String, String)>,
}

impl Tls {
    pub(crate) fn is_demanded(&self) -> bool {
        self.demanded
    }
}

#[cfg(not(feature = "zookeeper-tls"))]
impl Tls {
    pub(crate) fn demand(&mut self) -> Result<(), Wrong> {
        self.demanded = true;
        self.check("")
    }

    pub(crate) fn check(&self, _hosts: &str) -> Result<(), Wrong> {
        match self.demanded {
            true => {
                Err("built without TLS for ZooKeeper; turn on the feature `zookeeper-tls` of dlock-core"
                    .into())
            }
            false => Ok(()),
        }
    }

    pub(crate) async fn connect(&self, connector: Connector, hosts: &str) -> Result<Client, Error> {
        connector.connect(hosts).await
    }
}

#[cfg(feature = "zookeeper-tls")]
impl Tls {
    pub(crate) fn demand(&mut self) -> Result<(), Wrong> {
        self.demanded = true;
        Ok(())
    }

    pub(crate) fn set_roots(&mut self, pem: &[u8]) -> Result<(), Wrong> {
        let roots = text(pem)?;
        zookeeper::TlsCa::from_pem(&roots).map_err(|_| "root_certificates contains no certificate in PEM")?;
        (self.demanded, self.roots) = (true, Some(roots));
        Ok(())
    }

    pub(crate) fn set_identity(&mut self, certificate: &[u8], key: &[u8]) -> Result<(), Wrong> {
        let (certificate, key) = (text(certificate)?, text(key)?);
        zookeeper::TlsIdentity::from_pem(&certificate, &key)
            .map_err(|_| "the client's certificate or its key is not in PEM")?;
        (self.demanded, self.identity) = (true, Some((certificate, key)));
        Ok(())
    }

    /// Checks what the client would find out only when it connects, and partly by a panic.
    pub(crate) fn check(&self, hosts: &str) -> Result<(), Wrong> {
        if !self.demanded {
            return Ok(());
        }
        if self.roots.is_none() {
            return Err(
                "TLS needs the certificates of the authorities to trust; set them by root_certificates"
                    .into(),
            );
        }
        match hosts.split(',').all(can_be_certified) {
            true => Ok(()),
            false => Err("a host is not a name that a certificate can be for".into()),
        }
    }

    pub(crate) async fn connect(&self, connector: Connector, hosts: &str) -> Result<Client, Error> {
        if !self.demanded {
            return connector.connect(hosts).await;
        }
        // Without a default provider, or with two to choose from, the first handshake would panic. One that the program
        // has set stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        connector.with_tls(self.options()?).secure_connect(hosts).await
    }

    fn options(&self) -> Result<zookeeper::TlsOptions, Error> {
        let options = zookeeper::TlsOptions::new().with_pem_ca(self.roots.as_deref().unwrap_or_default())?;
        match &self.identity {
            Some((certificate, key)) => options.with_pem_identity(certificate, key),
            None => Ok(options),
        }
    }
}

#[cfg(feature = "zookeeper-tls")]
fn text(pem: &[u8]) -> Result<String, Wrong> {
    String::from_utf8(pem.to_vec()).map_err(|_| "a certificate or a key is not text; use PEM".into())
}

#[cfg(feature = "zookeeper-tls")]
fn can_be_certified(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    rustls::pki_types::ServerName::try_from(name).is_ok()
}

/// Without certificates and keys.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.demanded.fmt(f)
    }
}

#[cfg(all(test, feature = "zookeeper-tls"))]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_no_certificate_can_name_are_refused() {
        for right in ["a", "a:2281", "a.b.c:2281", "127.0.0.1", "[::1]:2281", "zk_1:2281"] {
            assert!(can_be_certified(right), "{right}");
        }
        for wrong in ["a..b", "-", "\u{fc}:1", "a b"] {
            assert!(!can_be_certified(wrong), "{wrong}");
        }
    }

    #[test]
    fn tls_without_anybody_to_trust_is_refused() {
        let mut tls = Tls::default();
        assert!(tls.check("a..b").is_ok(), "without TLS names are the resolver's");
        tls.demand().unwrap();
        assert!(tls.check("a").unwrap_err().contains("root_certificates"));
        for wrong in [&b""[..], b"x", b"\xff", b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----"]
        {
            assert!(tls.set_roots(wrong).is_err(), "{wrong:?}");
        }
        assert!(tls.set_identity(b"marker", b"marker").is_err_and(|wrong| !wrong.contains("marker")));
    }
}
