//! The client's options as the settings ask for them: limits, user, TLS.

use std::path::PathBuf;
use std::time::Duration;

use etcd_client::{Certificate, ConnectOptions, Identity, TlsOptions};

use super::cluster::call_limit;
use super::pem;
use crate::registry::{Error, Settings};

/// Checks the settings and reads the files that they name.
pub(super) fn read(tls: bool, settings: &Settings) -> Result<ConnectOptions, Error> {
    let (min, max) = (Duration::from_secs(2), Duration::from_secs(3600));
    if settings.ttl.subsec_nanos() != 0 || !(min..=max).contains(&settings.ttl) {
        let problem = format!("{:?}: use whole seconds, 2 to 3600", settings.ttl);
        return Err(Error::Settings { name: "ttl", problem });
    }
    let mut options = ConnectOptions::new()
        .with_connect_timeout(call_limit(settings.ttl))
        .with_require_leader(true)
        .with_auto_token_refresh(true);
    if let Some(tls_options) = tls_options(tls, settings)? {
        options = options.with_tls(tls_options);
    }
    match (&settings.user, &settings.password) {
        (Some(user), Some(password)) => options = options.with_user(user, password),
        (None, None) => {}
        (Some(user), None) => {
            let problem = format!("user {user:?} has none: name a password file");
            return Err(Error::Settings { name: "password", problem });
        }
        (None, Some(_)) => {
            let problem = "a password is given without a user".to_owned();
            return Err(Error::Settings { name: "user", problem });
        }
    }
    Ok(options)
}

fn tls_options(tls: bool, settings: &Settings) -> Result<Option<TlsOptions>, Error> {
    let read = |name: &'static str, path: &PathBuf| {
        std::fs::read(path).map_err(|source| Error::File { name, path: path.clone(), source })
    };
    if !tls {
        let given =
            [("cacert", &settings.cacert), ("cert", &settings.cert), ("key", &settings.key)];
        return match given.into_iter().find(|(_, path)| path.is_some()) {
            None => Ok(None),
            Some((name, _)) => {
                let problem = "it is for etcds:// and the URL says etcd://".to_owned();
                Err(Error::Settings { name, problem })
            }
        };
    }
    let Some(cacert) = &settings.cacert else {
        let problem = "etcds:// needs the file of the authority that signed etcd's certificate";
        return Err(Error::Settings { name: "cacert", problem: problem.to_owned() });
    };
    let authorities = read("cacert", cacert)?;
    pem::certificates("cacert", cacert, &authorities)?;
    let options = TlsOptions::new().ca_certificate(Certificate::from_pem(authorities));
    match (&settings.cert, &settings.key) {
        (None, None) => Ok(Some(options)),
        (Some(cert), Some(key)) => {
            let (chain, private) = (read("cert", cert)?, read("key", key)?);
            pem::pair((cert, &chain), (key, &private))?;
            Ok(Some(options.identity(Identity::from_pem(chain, private))))
        }
        (cert, _) => {
            let name = if cert.is_some() { "key" } else { "cert" };
            let problem = "certificate and key are needed together".to_owned();
            Err(Error::Settings { name, problem })
        }
    }
}
