//! Certificates that gRPC takes: it knows no Ed25519 keys, which Hearth's are.

use std::path::Path;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use crate::pki::HOST;

/// Writes `ca.crt`, `tls.crt` and `tls.key` (ECDSA on P-256) into `worker` and `coordinator` below
/// `dir`.
pub(super) fn create(dir: &Path) -> Result<()> {
    let (mut params, key) = (CertificateParams::new(Vec::new())?, KeyPair::generate()?);
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let roles = [
        ("worker", ExtendedKeyUsagePurpose::ServerAuth),
        ("coordinator", ExtendedKeyUsagePurpose::ClientAuth),
    ];
    for (role, usage) in roles {
        let (mut params, key) =
            (CertificateParams::new(vec![HOST.to_owned()])?, KeyPair::generate()?);
        // A name that is the issuer's as well would make it seem signed by itself.
        params.distinguished_name.push(DnType::CommonName, role);
        params.extended_key_usages = vec![usage];
        let folder = dir.join(role);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("ca.crt"), &ca)?;
        std::fs::write(folder.join("tls.crt"), params.signed_by(&key, &issuer)?.pem())?;
        std::fs::write(folder.join("tls.key"), key.serialize_pem())?;
    }
    Ok(())
}
