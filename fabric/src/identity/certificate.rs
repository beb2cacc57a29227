//! What a certificate says about its holder.
//!
//! Nothing here checks a signature: rustls has done that before a peer's certificate comes here.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::spiffe::{InvalidSpiffeId, SpiffeId};

/// Why a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an X.509 certificate.
    #[error("it is not an X.509 certificate ({0})")]
    Malformed(String),
    /// An authority's certificate where a process's is needed.
    #[error("it is an authority's certificate, not a process's")]
    Authority,
    /// A process's certificate where an authority's is needed.
    #[error("it is not an authority's certificate")]
    NotAuthority,
    /// Not exactly one URI among the alternative names.
    #[error(
        "it has {0} URIs among its alternative names: exactly one, spiffe://<cluster>/hearth/<role>/<name>, is needed"
    )]
    UriCount(usize),
    /// The URI names no role.
    #[error("its URI names no role")]
    SpiffeId(#[from] InvalidSpiffeId),
    /// The authority's URI names no cluster.
    #[error("its URI {0:?} is not spiffe://<cluster>")]
    Cluster(String),
}

/// From when until when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First instant.
    pub not_before: SystemTime,
    /// Last instant.
    pub not_after: SystemTime,
}

impl Validity {
    /// Time left at `now`; zero once it is over.
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.not_after.duration_since(now).unwrap_or_default()
    }
}

/// Who a process's certificate names: exactly one URI with a role, and not an authority.
///
/// # Errors
/// [`Error`] says what the certificate lacks.
pub fn peer_id(der: &CertificateDer<'_>) -> Result<SpiffeId, Error> {
    let certificate = parse(der)?;
    if certificate.is_ca() {
        return Err(Error::Authority);
    }
    Ok(only_uri(&certificate)?.parse()?)
}

/// SHA-256 of the certificate (DER), hex.
#[must_use]
pub fn fingerprint(der: &CertificateDer<'_>) -> String {
    hex::encode(Sha256::digest(der))
}

/// From when until when the certificate is valid.
///
/// # Errors
/// [`Error::Malformed`].
pub fn validity(der: &CertificateDer<'_>) -> Result<Validity, Error> {
    let certificate = parse(der)?;
    let instant = |seconds: i64| {
        let since = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        SystemTime::UNIX_EPOCH + since
    };
    Ok(Validity {
        not_before: instant(certificate.validity().not_before.timestamp()),
        not_after: instant(certificate.validity().not_after.timestamp()),
    })
}

/// The cluster that an authority's certificate names: its one URI is `spiffe://<cluster>`.
pub(super) fn authority_cluster(der: &CertificateDer<'_>) -> Result<String, Error> {
    let certificate = parse(der)?;
    if !certificate.is_ca() {
        return Err(Error::NotAuthority);
    }
    let uri = only_uri(&certificate)?;
    let cluster = uri.strip_prefix("spiffe://").ok_or_else(|| Error::Cluster(uri.to_owned()))?;
    super::spiffe::check_cluster(cluster).map_err(|_| Error::Cluster(uri.to_owned()))?;
    Ok(cluster.to_owned())
}

/// The certificate's public key, a DER `SubjectPublicKeyInfo`.
pub(super) fn public_key(der: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    Ok(parse(der)?.public_key().raw.to_vec())
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(Error::Malformed(format!("{} bytes follow it", rest.len()))),
        Err(error) => Err(Error::Malformed(error.to_string())),
    }
}

fn only_uri<'a>(certificate: &X509Certificate<'a>) -> Result<&'a str, Error> {
    let names =
        certificate.subject_alternative_name().map_err(|e| Error::Malformed(e.to_string()))?;
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let uris: Vec<&'a str> = names
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris[..] {
        [uri] => Ok(uri),
        _ => Err(Error::UriCount(uris.len())),
    }
}
