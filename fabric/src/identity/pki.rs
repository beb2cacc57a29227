//! A small certificate authority for a cluster that has none: `hearth pki` and `hearth up`.
//!
//! There is no store of what was issued: a certificate is renewed and revoked by what stands in it.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hearth_protocol::role::Role;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, SanType,
};
use rustls::pki_types::CertificateDer;

use super::files::{Files, Paths, certificates, read_error, warn_if_exposed};
use super::{
    CA_FILE, CERTIFICATE_FILE, Error, Identity, KEY_FILE, REVOCATIONS_FILE, SpiffeId, certificate,
    key, spiffe,
};
use hearth_base::files;

/// The authority's key.
pub const CA_KEY_FILE: &str = "ca.key";

/// A certificate is valid from a little before its making, for clocks that are behind.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
const MIN_VALIDITY: Duration = Duration::from_secs(60);
const MAX_VALIDITY: Duration = Duration::from_secs(100 * 366 * 24 * 3600);
const INIT: &str = "Make an authority: hearth pki init";
pub(super) const NAME_FOLDER: &str = "Name the folder of a certificate, or its file";

/// A cluster's certificate authority.
pub struct Authority {
    cluster: String,
    /// The authorities that peers should trust: this one, and others beside it in `ca.crt`.
    ca_pem: String,
    /// What those have revoked, PEM; empty for nothing.
    pub(super) revocations_pem: String,
    /// Its own certificate.
    pub(super) certificate: CertificateDer<'static>,
    pub(super) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority, valid from now on.
    ///
    /// # Errors
    /// [`Error::Name`] for the cluster's name, [`Error::Validity`].
    pub fn create(cluster: &str, validity: Duration) -> Result<Self, Error> {
        spiffe::check_cluster(cluster)?;
        let mut params = params(&format!("Hearth authority of {cluster}"), validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(&format!("spiffe://{cluster}"))?];
        let key = key::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            cluster: cluster.to_owned(),
            ca_pem: certificate.pem(),
            revocations_pem: String::new(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Reads `ca.crt` and `ca.key` from a folder, and `ca.crl` where it is there. Of several
    /// authorities in `ca.crt` the one that the key belongs to issues, and all are handed on.
    ///
    /// # Errors
    /// [`Error`] names the file and the remedy.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let (ca_path, key_path) = (dir.join(CA_FILE), dir.join(CA_KEY_FILE));
        let read = |path: &Path| fs::read_to_string(path).map_err(|e| read_error(path, e, INIT));
        let (ca_pem, key_pem) = (read(&ca_path)?, read(&key_path)?);
        warn_if_exposed(&key_path);
        let key = KeyPair::from_pem(&key_pem)
            .map_err(|_| Error::NotPem { path: key_path.clone(), what: "private key" })?;
        let own = certificates(ca_pem.as_bytes(), &ca_path)?.into_iter().find(|found| {
            certificate::public_key(found).is_ok_and(|of| of == key.subject_public_key_info())
        });
        let Some(own) = own else {
            return Err(Error::KeyMismatch { key: key_path, certificate: ca_path });
        };
        let unusable = |source| Error::Certificate { path: ca_path.clone(), source };
        let cluster = certificate::authority_cluster(&own).map_err(unusable)?;
        let validity = certificate::validity(&own).map_err(unusable)?;
        super::check_time(validity, SystemTime::now(), &ca_path)?;
        let list_path = dir.join(REVOCATIONS_FILE);
        let revocations_pem = match fs::read_to_string(&list_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            other => other.map_err(|e| read_error(&list_path, e, INIT))?,
        };
        let issuer = Issuer::from_ca_cert_der(&own, key)?;
        Ok(Self { cluster, ca_pem, revocations_pem, certificate: own, issuer })
    }

    /// Writes `ca.crt` and `ca.key` (readable by this user only) into a folder.
    ///
    /// # Errors
    /// [`Error::Exists`] where the folder holds an authority's key already, [`Error::Write`].
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let key_path = dir.join(CA_KEY_FILE);
        if key_path.exists() {
            return Err(Error::Exists { path: key_path });
        }
        make_folder(dir)?;
        write(dir, CA_KEY_FILE, &self.issuer.key().serialize_pem(), 0o600)?;
        write(dir, CA_FILE, &self.ca_pem, 0o644)
    }

    /// The cluster that it issues for.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The authorities that peers should trust, PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Issues a certificate with a fresh key. A worker's serves, the other roles' call. `sans` are
    /// further host names and addresses.
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::AlternativeName`] and [`Error::Validity`] name the value.
    pub fn issue(
        &self,
        role: Role,
        name: &str,
        validity: Duration,
        sans: &[String],
    ) -> Result<Credentials, Error> {
        let id = SpiffeId::new(&self.cluster, role, name)?;
        self.certify(id, key::generate()?, validity, sans)
    }

    /// Issues the certificate in a folder anew, valid from now on: with the same id, alternative names
    /// and key, so that replacing it is one step. It may have ended.
    ///
    /// # Errors
    /// [`Error`] names the file; [`Error::OtherCluster`].
    pub fn renew(&self, dir: &Path, validity: Duration) -> Result<Credentials, Error> {
        let paths = Paths::new(dir);
        let read =
            |path: &Path| fs::read_to_string(path).map_err(|e| read_error(path, e, NAME_FOLDER));
        let chain = certificates(read(&paths.certificate)?.as_bytes(), &paths.certificate)?;
        let unusable = |source| Error::Certificate { path: paths.certificate.clone(), source };
        let id = certificate::peer_id(&chain[0]).map_err(unusable)?;
        if id.cluster() != self.cluster {
            let (path, authority) = (paths.certificate, self.cluster.clone());
            return Err(Error::OtherCluster { path, id, authority });
        }
        let hosts = certificate::hosts(&chain[0]).map_err(unusable)?;
        let key = KeyPair::from_pem(&read(&paths.key)?)
            .map_err(|_| Error::NotPem { path: paths.key.clone(), what: "private key" })?;
        self.certify(id, key, validity, &hosts)
    }

    /// What it, and the authorities beside it, have revoked, PEM; empty for nothing.
    #[must_use]
    pub fn revocations_pem(&self) -> &str {
        &self.revocations_pem
    }

    pub(super) fn certify(
        &self,
        id: SpiffeId,
        pair: KeyPair,
        validity: Duration,
        sans: &[String],
    ) -> Result<Credentials, Error> {
        let mut params = params(id.name(), validity)?;
        params.subject_alt_names = vec![uri(&id.to_string())?];
        for san in sans {
            params.subject_alt_names.push(host_or_address(san)?);
        }
        params.serial_number = Some(key::serial_number()?);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match id.role() {
            Role::Worker => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Coordinator | Role::Admin => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&pair, &self.issuer)?;
        Ok(Credentials {
            id,
            ca_pem: self.ca_pem.clone(),
            revocations_pem: self.revocations_pem.clone(),
            cert_pem: certificate.pem(),
            key_pem: pair.serialize_pem(),
        })
    }
}

/// Leaves the key out.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A fresh certificate with its key, not yet written anywhere.
#[derive(Clone)]
pub struct Credentials {
    /// Who the certificate names.
    pub id: SpiffeId,
    /// The authorities, PEM.
    pub ca_pem: String,
    /// What they have revoked, PEM; empty for nothing.
    pub revocations_pem: String,
    /// The certificate, PEM.
    pub cert_pem: String,
    /// The key, PEM.
    pub key_pem: String,
}

impl Credentials {
    /// Writes `ca.crt`, `tls.crt` and `tls.key` (readable by this user only) into a folder, and
    /// `ca.crl` where something is revoked, each replaced in one step.
    ///
    /// # Errors
    /// [`Error::Write`] names the file.
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        make_folder(dir)?;
        write(dir, KEY_FILE, &self.key_pem, 0o600)?;
        self.write_renewed(dir)
    }

    /// As [`Self::write`], and leaves the key as it is, with its owner and mode.
    ///
    /// # Errors
    /// [`Error::Write`] names the file.
    pub fn write_renewed(&self, dir: &Path) -> Result<(), Error> {
        write(dir, CA_FILE, &self.ca_pem, 0o644)?;
        if !self.revocations_pem.is_empty() {
            write(dir, REVOCATIONS_FILE, &self.revocations_pem, 0o644)?;
        }
        write(dir, CERTIFICATE_FILE, &self.cert_pem, 0o644)
    }

    /// The identity, without a detour over files.
    ///
    /// # Errors
    /// As [`Identity::load`].
    pub fn identity(&self) -> Result<Identity, Error> {
        let bytes = |pem: &str| pem.as_bytes().to_vec();
        let files = Files {
            ca: bytes(&self.ca_pem),
            revocations: bytes(&self.revocations_pem),
            certificate: bytes(&self.cert_pem),
            key: bytes(&self.key_pem),
        };
        Identity::from_pem(&files, Paths::new(Path::new("")))
    }
}

/// Leaves the key out.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("id", &self.id).finish_non_exhaustive()
    }
}

fn params(common_name: &str, validity: Duration) -> Result<CertificateParams, Error> {
    if !(MIN_VALIDITY..=MAX_VALIDITY).contains(&validity) {
        return Err(Error::Validity(validity.as_secs() / (24 * 3600)));
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = since_epoch(SystemTime::now());
    let mut params = CertificateParams::default();
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW);
    params.not_after = epoch + now + validity;
    params.distinguished_name = rcgen::DistinguishedName::new();
    // X.509 allows 64 characters; the URI carries the name in full.
    let common_name: String = common_name.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, common_name);
    Ok(params)
}

pub(super) fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn uri(text: &str) -> Result<SanType, Error> {
    Ok(SanType::URI(text.try_into()?))
}

fn host_or_address(text: &str) -> Result<SanType, Error> {
    let refused = || Error::AlternativeName(text.to_owned());
    if let Ok(address) = text.parse() {
        return Ok(SanType::IpAddress(address));
    }
    rustls::pki_types::DnsName::try_from(text).map_err(|_| refused())?;
    Ok(SanType::DnsName(text.try_into().map_err(|_| refused())?))
}

fn make_folder(dir: &Path) -> Result<(), Error> {
    files::private_folder(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })
}

pub(super) fn write(dir: &Path, name: &str, content: &str, mode: u32) -> Result<(), Error> {
    let path = dir.join(name);
    files::replace(&path, content.as_bytes(), mode).map_err(|source| Error::Write { path, source })
}
