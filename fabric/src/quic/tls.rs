//! TLS 1.3 with certificates on both sides; the role is part of what is verified.
//!
//! A peer whose certificate has no fitting role never finishes the handshake. Resumption and 0-RTT
//! are off: every connection proves who it is, and nothing can be replayed.

use std::sync::Arc;

use hearth_protocol::role::Role;
use hearth_protocol::version::ALPN;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore,
    SignatureScheme,
};

use super::{CloseReason, Error};
use crate::identity::{Identity, fingerprint, peer_id};

/// The TLS name in a caller's greeting. Workers are known by the SPIFFE id in their certificate
/// and not by a host name, so it says nothing.
pub(super) const SERVER_NAME: &str = "hearth";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn root_store(identity: &Identity) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for root in identity.roots() {
        roots.add(root.clone()).map_err(|error| Error::Identity(error.to_string()))?;
    }
    Ok(Arc::new(roots))
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Identity(error.to_string())
}

/// A worker's side: callers are coordinators and administrators of its cluster.
pub(super) fn server(identity: &Identity) -> Result<QuicServerConfig, Error> {
    let chain = WebPkiClientVerifier::builder_with_provider(root_store(identity)?, provider())
        .build()
        .map_err(unusable)?;
    let verifier = CallerVerifier { chain, cluster: identity.id.cluster().to_owned() };
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(identity.chain().to_vec(), identity.key())
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(unusable)
}

/// A caller's side: the peer is a worker of the same cluster.
pub(super) fn client(identity: &Identity) -> Result<QuicClientConfig, Error> {
    let verifier = WorkerVerifier {
        roots: root_store(identity)?,
        provider: provider(),
        cluster: identity.id.cluster().to_owned(),
    };
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(identity.chain().to_vec(), identity.key())
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(unusable)
}

/// Checks that the peer bears the certificate that its registry record names, by its SHA-256.
pub(super) fn check_fingerprint(quic: &quinn::Connection, expected: &str) -> Result<(), Error> {
    let identity = quic.peer_identity();
    let chain = identity.as_ref().and_then(|identity| identity.downcast_ref::<Vec<_>>());
    let certificate: Option<&CertificateDer<'static>> = chain.and_then(|chain| chain.first());
    if certificate.is_some_and(|certificate| fingerprint(certificate) == expected) {
        return Ok(());
    }
    let reason = "it bears another certificate than its registry record says";
    Err(Error::Lost(CloseReason::Tls(reason.to_owned())))
}

/// What the certificate says that is wrong, in the TLS library's terms.
fn refuse(reason: String) -> rustls::Error {
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Refusal(String);
    CertificateError::Other(OtherError(Arc::new(Refusal(reason)))).into()
}

fn check_peer(
    certificate: &CertificateDer<'_>,
    cluster: &str,
    roles: &[Role],
) -> Result<(), rustls::Error> {
    let id = peer_id(certificate).map_err(|error| refuse(error.to_string()))?;
    if id.cluster() != cluster {
        return Err(refuse(format!("{id} is of another cluster than {cluster}")));
    }
    if !roles.contains(&id.role()) {
        return Err(refuse(format!("{id} has not the role {roles:?} that this side asks for")));
    }
    Ok(())
}

#[derive(Debug)]
struct CallerVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    cluster: String,
}

impl ClientCertVerifier for CallerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(certificate, intermediates, now)?;
        check_peer(certificate, &self.cluster, &[Role::Coordinator, Role::Admin])?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// rustls' own verifier asks for a host name, which workers don't have: this checks the chain,
/// then the SPIFFE id.
#[derive(Debug)]
struct WorkerVerifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    cluster: String,
}

impl ServerCertVerifier for WorkerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(certificate)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        check_peer(certificate, &self.cluster, &[Role::Worker])?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
