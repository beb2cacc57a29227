//! Keys that outlive a worker's process, so that the peers of the earlier run learn at once, by a
//! stateless reset, that it is gone (RFC 9000, section 10.3).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quinn::EndpointConfig;
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

use hearth_base::files;

const RESET_LEN: usize = 64;
const CID_LEN: usize = 8;

/// The secrets behind an endpoint's reset tokens and connection ids.
#[derive(Clone)]
pub struct EndpointKeys {
    reset: [u8; RESET_LEN],
    connection_id: [u8; CID_LEN],
}

/// Why the keys' file can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: the endpoint's keys can't be kept here")]
pub struct KeysError {
    path: PathBuf,
    source: io::Error,
}

impl EndpointKeys {
    /// Fresh keys, for a process without a state folder.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut keys = Self { reset: [0; RESET_LEN], connection_id: [0; CID_LEN] };
        let random = SystemRandom::new();
        random
            .fill(&mut keys.reset)
            .and_then(|()| random.fill(&mut keys.connection_id))
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        Ok(keys)
    }

    /// Reads the keys from `path`, or makes them and writes them there (mode 0600).
    ///
    /// # Errors
    /// [`KeysError`] names the file.
    pub fn load_or_create(path: &Path) -> Result<Self, KeysError> {
        let failed = |source| KeysError { path: path.to_owned(), source };
        match fs::read(path) {
            Ok(bytes) if bytes.len() == RESET_LEN + CID_LEN => {
                let mut keys = Self { reset: [0; RESET_LEN], connection_id: [0; CID_LEN] };
                keys.reset.copy_from_slice(&bytes[..RESET_LEN]);
                keys.connection_id.copy_from_slice(&bytes[RESET_LEN..]);
                return Ok(keys);
            }
            Ok(_) => tracing::warn!(
                "{}: not {} bytes long, made anew",
                path.display(),
                RESET_LEN + CID_LEN
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let keys = Self::random().map_err(failed)?;
        let bytes = [keys.reset.as_slice(), &keys.connection_id].concat();
        files::replace(path, &bytes, 0o600).map_err(failed)?;
        Ok(keys)
    }

    pub(super) fn endpoint_config(&self) -> EndpointConfig {
        let mut config =
            EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &self.reset)));
        let key = u64::from_be_bytes(self.connection_id);
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
        config
    }
}
