//! Checks the files of `etcds://` at the start: etcd's client would only fail to connect with them,
//! again and again, and hardly say why.

use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, InconsistentKeys};

use crate::registry::Error;

/// Checks that the file of setting `name` holds certificates; gives them back.
pub(super) fn certificates(
    name: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        let problem = format!("{} holds no certificate: give a PEM file", path.display());
        Error::Settings { name, problem }
    })
}

/// Checks that `key` is the key of `cert`, each a file and what it holds.
pub(super) fn pair(cert: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<(), Error> {
    let chain = certificates("cert", cert.0, cert.1)?;
    let wrong = |problem: String| Error::Settings { name: "key", problem };
    let Ok(private) = PrivateKeyDer::from_pem_slice(key.1) else {
        let file = key.0.display();
        return Err(wrong(format!("{file} holds no key: give a PEM file without a password")));
    };
    let provider = rustls::crypto::ring::default_provider();
    // A kind of key that can't be checked here: that is left to etcd's client.
    let Ok(signing) = provider.key_provider.load_private_key(private) else { return Ok(()) };
    match CertifiedKey::new(chain, signing).keys_match() {
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            let (key, cert) = (key.0.display(), cert.0.display());
            Err(wrong(format!("{key} is not the key of {cert}: give the one that belongs to it")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_can_t_be_used_are_named() {
        let pair_of = || rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let (one, other) = (pair_of(), pair_of());
        let (cert, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let (cert_path, key_path) = (Path::new("/c.pem"), Path::new("/k.pem"));
        let check = |cert: &str, key: &str| {
            let checked = pair((cert_path, cert.as_bytes()), (key_path, key.as_bytes()));
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(check(&cert, &key), Ok(()));
        let other = other.signing_key.serialize_pem();
        for (cert, key, words) in [
            ("", &*key, "cert: /c.pem holds no certificate"),
            (&*key, &*key, "cert: /c.pem holds no certificate"),
            (&*cert, "", "key: /k.pem holds no key"),
            (&*cert, &*cert, "key: /k.pem holds no key"),
            (&*cert, &*other, "key: /k.pem is not the key of /c.pem"),
        ] {
            let error = check(cert, key).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
