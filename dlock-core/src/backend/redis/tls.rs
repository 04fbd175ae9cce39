//! TLS to Redis servers.

use crate::backend::url_options::{UrlOption, file, flag, two_files};
use crate::error::{ErrorKind, LockError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// What a builder was told of TLS.
#[derive(Clone, Default)]
pub(super) struct TlsSettings {
    pub(super) roots: Option<Vec<u8>>,
    pub(super) identity: Option<ClientIdentity>,
    pub(super) server_name: Option<String>,
    pub(super) skips_verification: bool,
}

/// Certificates and their key, in PEM.
#[derive(Clone)]
pub(super) struct ClientIdentity {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// Their names in a URL.
pub(super) const OPTIONS: &[UrlOption<TlsSettings>] = &[
    UrlOption::new("root_certificates", |tls, value| {
        tls.roots = Some(file(value)?);
        Ok(())
    }),
    UrlOption::new("client_certificate", |tls, value| {
        let (chain, key) = two_files(value)?;
        tls.identity = Some(ClientIdentity { chain, key });
        Ok(())
    }),
    UrlOption::new("tls_server_name", |tls, value| {
        tls.server_name = Some(value.to_owned());
        Ok(())
    }),
    UrlOption::new("insecure_skip_verify", |tls, value| {
        tls.skips_verification = flag(value)?;
        Ok(())
    }),
];

/// What a connection over TLS takes.
#[derive(Clone)]
pub(super) struct Encryption {
    pub(super) config: Arc<ClientConfig>,
    /// Instead of the host's.
    pub(super) server_name: Option<ServerName<'static>>,
}

impl TlsSettings {
    pub(super) fn is_set(&self) -> bool {
        let Self { roots, identity, server_name, skips_verification } = self;
        roots.is_some() || identity.is_some() || server_name.is_some() || *skips_verification
    }

    /// # Errors
    /// [`ErrorKind::InvalidOption`] if a certificate, a key or the name is not valid, and if no authority is trusted.
    pub(super) fn encryption(&self) -> Result<Encryption, LockError> {
        let server_name = self.server_name.clone().map(ServerName::try_from).transpose();
        let server_name = server_name
            .map_err(|_| invalid("tls_server_name is not a name that a certificate can be for"))?;
        Ok(Encryption { config: Arc::new(self.config()?), server_name })
    }

    fn config(&self) -> Result<ClientConfig, LockError> {
        let provider = crypto_provider();
        let versions =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let config =
            versions.map_err(|cause| invalid("the crypto provider knows no TLS 1.2").with_source(cause))?;
        let config = match self.skips_verification {
            true => {
                tracing::warn!(
                    backend = "redis",
                    "insecure_skip_verify: the certificates of the servers are NOT checked; a machine on the way can \
                     read passwords and grant locks"
                );
                config.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
            }
            false => config.with_root_certificates(self.trusted()?),
        };
        match &self.identity {
            None => Ok(config.with_no_client_auth()),
            Some(identity) => {
                let (chain, key) = identity.parse()?;
                let with_identity = config.with_client_auth_cert(chain, key);
                with_identity
                    .map_err(|_| invalid("the client's certificate and its key do not belong together"))
            }
        }
    }

    /// The authorities given, or those that the system trusts where none are.
    fn trusted(&self) -> Result<RootCertStore, LockError> {
        match &self.roots {
            Some(pem) => own_roots(pem),
            None => {
                let system = rustls_native_certs::load_native_certs();
                usable_roots(system.certs, system.errors.first().map(ToString::to_string))
            }
        }
    }
}

impl ClientIdentity {
    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), LockError> {
        let chain = certificates(&self.chain).filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| invalid("the client's certificate is not in PEM"))?;
        // Without the cause, which might show some of it.
        let key = PrivateKeyDer::from_pem_slice(&self.key);
        Ok((chain, key.map_err(|_| invalid("the key of the client's certificate is not in PEM"))?))
    }
}

/// The provider of the program, if it has set one. None is installed here: programs decide that.
fn crypto_provider() -> Arc<CryptoProvider> {
    let of_program = CryptoProvider::get_default().cloned();
    of_program.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

/// For handshakes of the client library, which knows no other provider than the program's.
pub(super) fn install_provider_if_none_is_there() {
    // One that is there stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()
}

fn own_roots(pem: &[u8]) -> Result<RootCertStore, LockError> {
    let wrong = || invalid("root_certificates contains no certificates in PEM");
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).ok_or_else(wrong)? {
        roots.add(certificate).map_err(|_| wrong())?;
    }
    if roots.is_empty() { Err(wrong()) } else { Ok(roots) }
}

/// One bad certificate among those of the system is no reason to trust none.
fn usable_roots(
    certificates: Vec<CertificateDer<'_>>,
    first_error: Option<String>,
) -> Result<RootCertStore, LockError> {
    let mut roots = RootCertStore::empty();
    let (usable, unusable) = roots.add_parsable_certificates(certificates);
    if unusable > 0 || first_error.is_some() {
        let error = first_error.unwrap_or_default();
        tracing::debug!(
            backend = "redis",
            usable,
            unusable,
            error,
            "not all certificates of the system can be used"
        );
    }
    match usable {
        0 => Err(invalid("no certificate authority of the system can be read; set root_certificates")),
        _ => Ok(roots),
    }
}

fn invalid(detail: &'static str) -> LockError {
    LockError::new(ErrorKind::InvalidOption, detail)
}

/// Takes every certificate. That the server has its key is still checked.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Without certificates and keys.
impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings")
            .field("roots", &self.roots.is_some())
            .field("identity", &self.identity.is_some())
            .field("server_name", &self.server_name)
            .field("skips_verification", &self.skips_verification)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(tls: &TlsSettings) -> String {
        let error = tls.encryption().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        format!("{error} {error:?}")
    }

    #[test]
    fn what_is_no_certificate_key_or_name_is_refused_and_never_shown() {
        let of_roots = |pem: &[u8]| TlsSettings { roots: Some(pem.to_vec()), ..TlsSettings::default() };
        for wrong in [&b""[..], b"marker", b"-----BEGIN CERTIFICATE-----\nmarker\n-----END CERTIFICATE-----"]
        {
            let text = refused(&of_roots(wrong));
            assert!(text.contains("root_certificates") && !text.contains("marker"), "{text}");
            let identity = Some(ClientIdentity { chain: wrong.to_vec(), key: b"marker".to_vec() });
            let text = refused(&TlsSettings { identity, skips_verification: true, ..TlsSettings::default() });
            assert!(text.contains("client's certificate") && !text.contains("marker"), "{text}");
        }
        let server_name = Some("a..b".to_owned());
        assert!(refused(&TlsSettings { server_name, ..TlsSettings::default() }).contains("tls_server_name"));
    }

    #[test]
    fn a_system_without_any_authority_is_told_of() {
        let garbage = CertificateDer::from(b"garbage".to_vec());
        let refused = usable_roots(vec![garbage], Some("unreadable".to_owned())).unwrap_err();
        assert!(refused.to_string().contains("root_certificates"), "{refused}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let identity = Some(ClientIdentity { chain: b"marker".to_vec(), key: b"marker".to_vec() });
        let tls = TlsSettings { roots: Some(b"marker".to_vec()), identity, ..TlsSettings::default() };
        assert!(tls.is_set() && !format!("{tls:?}").contains("marker"));
    }
}
