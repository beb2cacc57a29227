//! The files of an identity, by the names that a Kubernetes TLS secret has.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use sha2::{Digest as _, Sha256};

use super::error::Error;

/// The authorities that peers' certificates are checked against.
pub const CA_FILE: &str = "ca.crt";
/// What those authorities have revoked; need not be there.
pub const REVOCATIONS_FILE: &str = "ca.crl";
/// The process's certificate, and the intermediate ones that follow it.
pub const CERTIFICATE_FILE: &str = "tls.crt";
/// The process's key.
pub const KEY_FILE: &str = "tls.key";

const ISSUE: &str = "Make it: hearth pki issue; [tls] dir names the folder";

/// Where the parts of an identity come from, for messages.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub(super) ca: PathBuf,
    pub(super) revocations: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Paths {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            ca: dir.join(CA_FILE),
            revocations: dir.join(REVOCATIONS_FILE),
            certificate: dir.join(CERTIFICATE_FILE),
            key: dir.join(KEY_FILE),
        }
    }
}

/// What the files hold.
pub(super) struct Files {
    pub(super) ca: Vec<u8>,
    /// Empty where there is no such file.
    pub(super) revocations: Vec<u8>,
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

impl Files {
    pub(super) fn read(paths: &Paths) -> Result<Self, Error> {
        let read = |path: &Path| fs::read(path).map_err(|e| read_error(path, e, ISSUE));
        Ok(Self {
            ca: read(&paths.ca)?,
            revocations: match fs::read(&paths.revocations) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                other => other.map_err(|e| read_error(&paths.revocations, e, ISSUE))?,
            },
            certificate: read(&paths.certificate)?,
            key: read(&paths.key)?,
        })
    }

    /// Tells whether any of them has changed.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for file in [&self.ca, &self.revocations, &self.certificate, &self.key] {
            digest.update(Sha256::digest(file));
        }
        digest.finalize().into()
    }
}

/// At least one certificate.
pub(super) fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(Error::NotPem { path: path.to_owned(), what: "certificate" }),
    }
}

/// The lists of a file; an empty one has none.
pub(super) fn revocation_lists(
    pem: &[u8],
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() || pem.is_empty() => Ok(found),
        _ => Err(Error::NotPem { path: path.to_owned(), what: "revocation list" }),
    }
}

pub(super) fn warn_if_exposed(path: &Path) {
    let Ok(metadata) = fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        let path = path.display();
        tracing::warn!("{path} can be read by every user (mode {mode:o}): chmod 600 {path}");
    }
}

pub(super) fn read_error(path: &Path, source: io::Error, remedy: &'static str) -> Error {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => Error::Missing { path, remedy },
        _ => Error::Read { path, source },
    }
}
