//! Revocation lists: what an authority has taken back of what it issued (RFC 5280, section 5).
//!
//! A list stands in `ca.crl`, beside the `ca.crt` that it is about. Whom it names is known by the serial
//! number, so that revoking takes the certificate itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::files::{certificates, read_error, revocation_lists};
use super::pki::{NAME_FOLDER, since_epoch, write};
use super::{Authority, CA_FILE, CERTIFICATE_FILE, Error, REVOCATIONS_FILE, SpiffeId, certificate};

/// When the next revocation list is announced for; lists count beyond that.
const NEXT_LIST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Authority {
    /// Adds certificates of its own to its revocation list, and writes that into the folder's `ca.crl`.
    /// Gives the ids of those that were not on it yet. Each path is a certificate's file, or a folder
    /// with one.
    ///
    /// # Errors
    /// [`Error`] names the file; [`Error::OtherAuthority`].
    pub fn revoke(&mut self, dir: &Path, paths: &[PathBuf]) -> Result<Vec<SpiffeId>, Error> {
        let lists = revocation_lists(self.revocations_pem.as_bytes(), &dir.join(REVOCATIONS_FILE))?;
        let signer = certificate::key_identifier(&self.certificate);
        let is_own = |list: &CertificateRevocationListDer<'_>| {
            certificate::list_key_identifier(list) == signer
        };
        let mut revoked = Vec::new();
        for list in lists.iter().filter(|list| is_own(list)) {
            let entries = certificate::revocations(list);
            revoked.extend(entries.map_err(|source| Error::Certificate {
                path: dir.join(REVOCATIONS_FILE),
                source,
            })?);
        }
        let mut added = Vec::new();
        for path in paths {
            let path = if path.is_dir() { path.join(CERTIFICATE_FILE) } else { path.clone() };
            let pem = fs::read(&path).map_err(|e| read_error(&path, e, NAME_FOLDER))?;
            let leaf = &certificates(&pem, &path)?[0];
            let unusable = |source| Error::Certificate { path: path.clone(), source };
            let id = certificate::peer_id(leaf).map_err(unusable)?;
            let serial = certificate::serial(leaf).map_err(unusable)?;
            if certificate::authority_key_identifier(leaf) != signer {
                return Err(Error::OtherAuthority { path });
            }
            if !revoked.iter().any(|(known, _)| *known == serial) {
                revoked.push((serial, SystemTime::now()));
                added.push(id);
            }
        }
        let own = self.list(revoked, signer.clone().unwrap_or_default())?;
        let others = lists.into_iter().filter(|list| !is_own(list));
        self.revocations_pem = others.map(|list| list_pem(&list)).chain([own]).collect();
        write(dir, REVOCATIONS_FILE, &self.revocations_pem, 0o644)?;
        Ok(added)
    }

    /// Its revocation list, PEM.
    fn list(&self, revoked: Vec<(Vec<u8>, SystemTime)>, key: Vec<u8>) -> Result<String, Error> {
        let now = since_epoch(SystemTime::now());
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let entry = |(serial, at): (Vec<u8>, SystemTime)| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial),
            revocation_time: epoch + since_epoch(at),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: epoch + now,
            next_update: epoch + now + NEXT_LIST,
            crl_number: u64::try_from(now.as_millis()).unwrap_or(u64::MAX).into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.into_iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::PreSpecified(key),
        };
        Ok(params.signed_by(&self.issuer)?.pem()?)
    }
}

/// Writes a revocation list into a folder of authorities.
///
/// # Errors
/// [`Error::Missing`] where the folder has no `ca.crt`, [`Error::Write`].
pub fn copy_into(dir: &Path, pem: &str) -> Result<(), Error> {
    let authorities = dir.join(CA_FILE);
    fs::metadata(&authorities).map_err(|e| read_error(&authorities, e, NAME_FOLDER))?;
    write(dir, REVOCATIONS_FILE, pem, 0o644)
}

/// Whether a revocation list has a certificate.
///
/// # Errors
/// [`Error`] names the file that can't be read.
pub fn is_listed(list: &Path, der: &CertificateDer<'_>) -> Result<bool, Error> {
    let unusable = |source| Error::Certificate { path: list.to_owned(), source };
    let pem = fs::read(list).map_err(|e| read_error(list, e, NAME_FOLDER))?;
    let serial = certificate::serial(der).map_err(unusable)?;
    let signer = certificate::authority_key_identifier(der);
    for found in revocation_lists(&pem, list)? {
        if certificate::list_key_identifier(&found) == signer {
            let entries = certificate::revocations(&found).map_err(unusable)?;
            return Ok(entries.iter().any(|(revoked, _)| *revoked == serial));
        }
    }
    Ok(false)
}

fn list_pem(list: &CertificateRevocationListDer<'_>) -> String {
    pem::encode(&pem::Pem::new("X509 CRL", list.to_vec()))
}
