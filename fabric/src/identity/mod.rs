//! Who a process is: its certificate, key and authorities, and what a peer's certificate says.
//!
//! The files are named as in a Kubernetes TLS secret, so that a mounted one can be used as it is.
//! How TLS uses them is [`crate::quic`]'s; what a role may do is `protocol`'s.

pub mod certificate;
mod current;
mod error;
pub mod pki;
pub mod spiffe;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

pub use certificate::{Validity, fingerprint, peer_id, validity};
pub use current::CurrentIdentity;
pub use error::Error;
pub use pki::{Authority, Credentials};
pub use spiffe::{InvalidSpiffeId, SpiffeId};

/// The authorities that peers' certificates are checked against.
pub const CA_FILE: &str = "ca.crt";
/// The process's certificate, and the intermediate ones that follow it.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The process's key.
pub const KEY_FILE: &str = "tls.key";

const ISSUE: &str = "Make it: hearth pki issue; [tls] dir names the folder";

/// A process's identity: checked to belong together when it is made.
pub struct Identity {
    /// Who the certificate names.
    pub id: SpiffeId,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Vec<CertificateDer<'static>>,
    validity: Validity,
}

impl Identity {
    /// Reads `ca.crt`, `tls.crt` and `tls.key` (PEM) from a folder. `ca.crt` may hold several
    /// authorities, so that they can be rotated.
    ///
    /// # Errors
    /// [`Error`] names the file and the remedy: it is missing or unreadable, the key is another
    /// certificate's, no authority in `ca.crt` vouches for it, it is not valid at this time.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let paths = Paths::new(dir);
        let read = |path: &Path| fs::read(path).map_err(|e| read_error(path, e, ISSUE));
        let (ca, certificate) = (read(&paths.ca)?, read(&paths.certificate)?);
        let key = read(&paths.key)?;
        warn_if_exposed(&paths.key);
        Self::from_pem(&ca, &certificate, &key, &paths)
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

    fn from_pem(ca: &[u8], certificate: &[u8], key: &[u8], paths: &Paths) -> Result<Self, Error> {
        let roots = certificates(ca, &paths.ca)?;
        let chain = certificates(certificate, &paths.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| Error::NotPem { path: paths.key.clone(), what: "private key" })?;

        let unusable = |source| Error::Certificate { path: paths.certificate.clone(), source };
        let leaf = &chain[0];
        let id = peer_id(leaf).map_err(unusable)?;
        let validity = validity(leaf).map_err(unusable)?;
        check_key(&chain, &key, paths)?;
        check_time(validity, SystemTime::now(), &paths.certificate)?;
        check_signed(&id, &chain, &roots, paths)?;
        Ok(Self { id, chain, key, roots, validity })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            roots: self.roots.clone(),
            validity: self.validity,
        }
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

/// Where the parts of an identity came from, for messages.
struct Paths {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Paths {
    fn new(dir: &Path) -> Self {
        Self {
            ca: dir.join(CA_FILE),
            certificate: dir.join(CERTIFICATE_FILE),
            key: dir.join(KEY_FILE),
        }
    }
}

/// At least one certificate.
fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::NotPem { path: path.to_owned(), what: "certificate" }),
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
    let text = |at: SystemTime| humantime::format_rfc3339_seconds(at).to_string();
    if now > validity.not_after {
        return Err(Error::Expired { path: path.to_owned(), at: text(validity.not_after) });
    }
    if now < validity.not_before {
        return Err(Error::NotYetValid { path: path.to_owned(), at: text(validity.not_before) });
    }
    Ok(())
}

/// A certificate that its own authorities don't vouch for would be refused by every peer, with a
/// message far from the cause.
fn check_signed(
    id: &SpiffeId,
    chain: &[CertificateDer<'static>],
    roots: &[CertificateDer<'static>],
    paths: &Paths,
) -> Result<(), Error> {
    use hearth_protocol::role::Role;
    let untrusted = |source| Error::Untrusted {
        certificate: paths.certificate.clone(),
        authorities: paths.ca.clone(),
        source,
    };
    let usage = match id.role() {
        Role::Worker => webpki::KeyUsage::server_auth(),
        Role::Coordinator | Role::Admin => webpki::KeyUsage::client_auth(),
    };
    let anchors: Result<Vec<_>, _> = roots.iter().map(webpki::anchor_from_trusted_cert).collect();
    let anchors = anchors.map_err(untrusted)?;
    let leaf = webpki::EndEntityCert::try_from(&chain[0]).map_err(untrusted)?;
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    leaf.verify_for_usage(algorithms, &anchors, &chain[1..], UnixTime::now(), usage, None, None)
        .map_err(untrusted)?;
    Ok(())
}

fn warn_if_exposed(path: &Path) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let path = path.display();
        tracing::warn!("{path} can be read by every user (mode {mode:o}): chmod 600 {path}");
    }
}

fn read_error(path: &Path, source: io::Error, remedy: &'static str) -> Error {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { path, remedy },
        _ => Error::Read { path, source },
    }
}
