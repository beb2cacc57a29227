//! What a certificate says about its holder.
//!
//! Nothing here checks a signature: rustls has done that before a peer's certificate comes here.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Extension};
use x509_parser::revocation_list::{CertificateRevocationList, RevokedCertificate};

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

    /// Whether less than `notice` is left at `now`; of a certificate that lives for a short time, less
    /// than a third of that.
    #[must_use]
    pub fn is_due(&self, now: SystemTime, notice: Duration) -> bool {
        let whole = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.remaining(now) < notice.min(whole / 3)
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
    Ok(Validity {
        not_before: instant(certificate.validity().not_before.timestamp()),
        not_after: instant(certificate.validity().not_after.timestamp()),
    })
}

fn instant(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
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

/// The serial number, as it stands in the certificate.
///
/// # Errors
/// [`Error::Malformed`].
pub fn serial(der: &CertificateDer<'_>) -> Result<Vec<u8>, Error> {
    Ok(parse(der)?.raw_serial().to_vec())
}

/// The host names and addresses among the alternative names, as text.
pub(super) fn hosts(der: &CertificateDer<'_>) -> Result<Vec<String>, Error> {
    let certificate = parse(der)?;
    let names =
        certificate.subject_alternative_name().map_err(|e| Error::Malformed(e.to_string()))?;
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let host = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(host) => Some((*host).to_owned()),
        GeneralName::IPAddress([a, b, c, d]) => Some(Ipv4Addr::new(*a, *b, *c, *d).to_string()),
        GeneralName::IPAddress(octets) => {
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(*octets).ok()?).to_string())
        }
        _ => None,
    };
    Ok(names.filter_map(host).collect())
}

/// The name of an authority's key in its certificate, where it has one.
pub(super) fn key_identifier(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    parse(der).ok()?.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(key) => Some(key.0.to_vec()),
        _ => None,
    })
}

/// The name of the key that has signed a certificate, where it says so.
pub(super) fn authority_key_identifier(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    signer(parse(der).ok()?.extensions())
}

/// The name of the key that has signed a revocation list, where it says so.
pub(super) fn list_key_identifier(list: &CertificateRevocationListDer<'_>) -> Option<Vec<u8>> {
    signer(CertificateRevocationList::from_der(list).ok()?.1.extensions())
}

fn signer(extensions: &[X509Extension<'_>]) -> Option<Vec<u8>> {
    extensions.iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(key) => {
            Some(key.key_identifier.as_ref()?.0.to_vec())
        }
        _ => None,
    })
}

/// What a revocation list has: serial numbers, and since when each is revoked.
pub(super) fn revocations(
    list: &CertificateRevocationListDer<'_>,
) -> Result<Vec<(Vec<u8>, SystemTime)>, Error> {
    let (_, list) = CertificateRevocationList::from_der(list)
        .map_err(|error| Error::Malformed(error.to_string()))?;
    let entries = list.iter_revoked_certificates();
    let entry = |entry: &RevokedCertificate<'_>| {
        (entry.raw_serial().to_vec(), instant(entry.revocation_date.timestamp()))
    };
    Ok(entries.map(entry).collect())
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
