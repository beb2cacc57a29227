//! Who a process is: its certificate, key and authorities, and what a peer's certificate says.
//!
//! How TLS uses them is [`crate::quic`]'s; what a role may do is `protocol`'s.

pub mod certificate;
mod current;
mod error;
mod files;
mod follow;
mod key;
pub mod pki;
pub mod revocation;
pub mod spiffe;
#[cfg(test)]
mod tests;
mod trust;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use hearth_protocol::role::Role;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

use files::{Files, Paths, certificates, revocation_lists};
use trust::Trust;

pub use certificate::{Validity, fingerprint, peer_id, validity};
pub use current::CurrentIdentity;
pub use error::{Error, PeerError};
pub use files::{CA_FILE, CERTIFICATE_FILE, KEY_FILE, REVOCATIONS_FILE};
pub use follow::follow;
pub use pki::{Authority, Credentials};
pub use spiffe::{InvalidSpiffeId, SpiffeId};

/// A process's identity: checked to belong together when it is made.
#[derive(Clone)]
pub struct Identity {
    /// Who the certificate names.
    pub id: SpiffeId,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    trust: Arc<Trust>,
    validity: Validity,
    is_revoked: bool,
    paths: Paths,
    digest: [u8; 32],
}

impl Identity {
    /// Reads `ca.crt`, `tls.crt` and `tls.key` (PEM) from a folder, and `ca.crl` where it is there.
    /// `ca.crt` may hold several authorities, so that they can be rotated, and `ca.crl` a list of
    /// each.
    ///
    /// # Errors
    /// [`Error`] names the file and the remedy: it is missing or unreadable, the key is another
    /// certificate's, no authority in `ca.crt` vouches for it, it is not valid at this time, it is
    /// revoked.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let identity = Self::read(dir)?;
        match identity.is_revoked {
            true => Err(identity.revoked()),
            false => Ok(identity),
        }
    }

    /// As [`Self::load`], and takes a certificate that its own authority has revoked.
    fn read(dir: &Path) -> Result<Self, Error> {
        let paths = Paths::new(dir);
        let files = Files::read(&paths)?;
        files::warn_if_exposed(&paths.key);
        Self::from_pem(&files, paths)
    }

    /// The certificate and the intermediate ones, leaf first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The certificate itself.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        // `from_pem` refuses an empty chain.
        &self.chain[0]
    }

    /// A copy of the key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// The authorities that peers are checked against.
    #[must_use]
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// From when until when the certificate is valid.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// SHA-256 of the certificate (DER), hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(self.certificate())
    }

    /// Why no peer lets this process in any more: its certificate has ended, or is revoked.
    ///
    /// # Errors
    /// [`Error::Expired`], [`Error::Revoked`].
    pub fn check_in_force(&self, now: SystemTime) -> Result<(), Error> {
        if self.is_revoked {
            return Err(self.revoked());
        }
        check_end(self.validity, now, &self.paths.certificate)
    }

    /// Whom a peer's certificate names, if this side lets it in: one of its authorities vouches for it
    /// at `now` and has not revoked it, and it is of this cluster and has one of the roles.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn check_peer(
        &self,
        chain: &[CertificateDer<'_>],
        roles: &'static [Role],
        now: UnixTime,
    ) -> Result<SpiffeId, PeerError> {
        let leaf = chain.first().ok_or(PeerError::Untrusted(webpki::Error::BadDer))?;
        let role = roles.first().copied().unwrap_or(Role::Worker);
        self.trust.verify(chain, role, now).map_err(PeerError::Untrusted)?;
        let id = peer_id(leaf)?;
        if id.cluster() != self.id.cluster() {
            return Err(PeerError::Cluster { id, cluster: self.id.cluster().to_owned() });
        }
        if !roles.contains(&id.role()) {
            return Err(PeerError::Role { id, roles });
        }
        Ok(id)
    }

    /// Of its files: changes with each of them.
    fn digest(&self) -> [u8; 32] {
        self.digest
    }

    fn revoked(&self) -> Error {
        let (path, list) = (self.paths.certificate.clone(), self.paths.revocations.clone());
        Error::Revoked { path, list }
    }

    fn from_pem(files: &Files, paths: Paths) -> Result<Self, Error> {
        let roots = certificates(&files.ca, &paths.ca)?;
        let lists = revocation_lists(&files.revocations, &paths.revocations)?;
        let chain = certificates(&files.certificate, &paths.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key)
            .map_err(|_| Error::NotPem { path: paths.key.clone(), what: "private key" })?;

        let unusable = |source| Error::Certificate { path: paths.certificate.clone(), source };
        let leaf = &chain[0];
        let id = peer_id(leaf).map_err(unusable)?;
        let validity = validity(leaf).map_err(unusable)?;
        check_key(&chain, &key, &paths)?;
        check_time(validity, SystemTime::now(), &paths.certificate)?;
        let trust = Trust::new(&roots, &lists).map_err(|source| Error::Authorities {
            authorities: paths.ca.clone(),
            list: paths.revocations.clone(),
            source,
        })?;
        let is_revoked = check_signed(&id, &chain, &trust, &paths)?;
        let (key, trust, digest) = (Arc::new(key), Arc::new(trust), files.digest());
        Ok(Self { id, chain, key, roots, trust, validity, is_revoked, paths, digest })
    }
}

/// Leaves the key out.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("id", &self.id)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

fn check_key(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
    paths: &Paths,
) -> Result<(), Error> {
    let provider = rustls::crypto::ring::default_provider();
    let signing = provider.key_provider.load_private_key(key.clone_key());
    let signing = signing.map_err(|source| Error::Key { path: paths.key.clone(), source })?;
    let pair = CertifiedKey::new(chain.to_vec(), signing);
    pair.keys_match().map_err(|_| Error::KeyMismatch {
        key: paths.key.clone(),
        certificate: paths.certificate.clone(),
    })
}

fn check_time(validity: Validity, now: SystemTime, path: &Path) -> Result<(), Error> {
    check_end(validity, now, path)?;
    if now < validity.not_before {
        return Err(Error::NotYetValid { path: path.to_owned(), at: text(validity.not_before) });
    }
    Ok(())
}

fn check_end(validity: Validity, now: SystemTime, path: &Path) -> Result<(), Error> {
    if now > validity.not_after {
        return Err(Error::Expired { path: path.to_owned(), at: text(validity.not_after) });
    }
    Ok(())
}

fn text(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

/// A certificate that its own authorities don't vouch for would be refused by every peer, with a
/// message far from the cause. Says whether they have revoked it.
fn check_signed(
    id: &SpiffeId,
    chain: &[CertificateDer<'static>],
    trust: &Trust,
    paths: &Paths,
) -> Result<bool, Error> {
    match trust.verify(chain, id.role(), UnixTime::now()) {
        Ok(()) => Ok(false),
        Err(webpki::Error::CertRevoked) => Ok(true),
        Err(source) => Err(Error::Untrusted {
            certificate: paths.certificate.clone(),
            authorities: paths.ca.clone(),
            source,
        }),
    }
}
