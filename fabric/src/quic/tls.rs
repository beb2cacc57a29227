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
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};

use super::{CloseReason, Error};
use crate::identity::{Identity, PeerError, SpiffeId, fingerprint, peer_id};

/// The TLS name in a caller's greeting. Workers are known by the SPIFFE id in their certificate
/// and not by a host name, so it says nothing.
pub(super) const SERVER_NAME: &str = "hearth";

/// Who may call a worker.
pub(super) const CALLERS: &[Role] = &[Role::Coordinator, Role::Admin];

/// Who may be called.
pub(super) const WORKERS: &[Role] = &[Role::Worker];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Identity(error.to_string())
}

/// A worker's side: callers are coordinators and administrators of its cluster.
pub(super) fn server(identity: &Arc<Identity>) -> Result<QuicServerConfig, Error> {
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(Arc::new(PeerVerifier::new(identity, CALLERS)))
        .with_single_cert(identity.chain().to_vec(), identity.key())
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(unusable)
}

/// A caller's side: the peer is a worker of the same cluster.
pub(super) fn client(identity: &Arc<Identity>) -> Result<QuicClientConfig, Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(PeerVerifier::new(identity, WORKERS)))
        .with_client_auth_cert(identity.chain().to_vec(), identity.key())
        .map_err(unusable)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    QuicClientConfig::try_from(config).map_err(unusable)
}

/// The certificates that TLS has verified, leaf first.
pub(super) fn peer_chain(quic: &quinn::Connection) -> Vec<CertificateDer<'static>> {
    let identity = quic.peer_identity();
    let chain = identity.and_then(|identity| identity.downcast::<Vec<_>>().ok());
    chain.map(|chain| *chain).unwrap_or_default()
}

/// The id in the certificate that TLS has verified.
pub(super) fn certified_id(quic: &quinn::Connection) -> Option<SpiffeId> {
    peer_id(peer_chain(quic).first()?).ok()
}

/// Checks that the peer bears the certificate that its registry record names, by its SHA-256.
pub(super) fn check_fingerprint(quic: &quinn::Connection, expected: &str) -> Result<(), Error> {
    if peer_chain(quic).first().is_some_and(|leaf| fingerprint(leaf) == expected) {
        return Ok(());
    }
    let reason = "it bears another certificate than its registry record says";
    Err(Error::Lost(CloseReason::Tls(reason.to_owned())))
}

/// Checks that the peer is the worker that it says it is, by the name in its certificate.
pub(super) fn check_name(quic: &quinn::Connection, worker: &str) -> Result<(), Error> {
    match certified_id(quic) {
        Some(id) if id.name() == worker => Ok(()),
        id => {
            let whose = id.map_or_else(|| "nobody's".to_owned(), |id| format!("{id}'s"));
            let reason =
                format!("it says that it is worker {worker}, and its certificate is {whose}");
            Err(Error::Lost(CloseReason::Tls(reason)))
        }
    }
}

/// What the certificate says that is wrong, in the TLS library's terms.
fn refuse(error: PeerError) -> rustls::Error {
    use webpki::Error as E;
    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Refusal(String);
    let refusal = match &error {
        PeerError::Untrusted(E::CertExpired { .. }) => CertificateError::Expired,
        PeerError::Untrusted(E::CertNotValidYet { .. }) => CertificateError::NotValidYet,
        PeerError::Untrusted(E::CertRevoked) => CertificateError::Revoked,
        PeerError::Untrusted(E::UnknownIssuer) => CertificateError::UnknownIssuer,
        _ => CertificateError::Other(OtherError(Arc::new(Refusal(error.to_string())))),
    };
    refusal.into()
}

/// Lets peers in by what an identity says of them. A TLS library's own verifiers ask for a host name,
/// which workers don't have.
#[derive(Debug)]
struct PeerVerifier {
    identity: Arc<Identity>,
    roles: &'static [Role],
    provider: Arc<CryptoProvider>,
}

impl PeerVerifier {
    fn new(identity: &Arc<Identity>, roles: &'static [Role]) -> Self {
        Self { identity: Arc::clone(identity), roles, provider: provider() }
    }

    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let leaf = std::iter::once(certificate);
        let chain: Vec<_> = leaf.chain(intermediates).cloned().collect();
        self.identity.check_peer(&chain, self.roles, now).map(drop).map_err(refuse)
    }

    fn verify_tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    /// None: a caller has one certificate and shows it without a hint.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(certificate, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(certificate, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}
