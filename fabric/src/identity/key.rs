//! Keys of certificates: Ed25519, in the form that every program reads.

use rcgen::KeyPair;
use ring::rand::{SecureRandom as _, SystemRandom};

/// What stands before the 32 bytes of the key in its DER form (RFC 8410, section 7).
///
/// That is PKCS#8 version 1. Version 2, which adds the public key and which ring writes, can't be read
/// by OpenSSL 3.0.
const PKCS8_V1: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A fresh key.
pub(super) fn generate() -> Result<KeyPair, rcgen::Error> {
    let mut der = [0; PKCS8_V1.len() + 32];
    der[..PKCS8_V1.len()].copy_from_slice(&PKCS8_V1);
    SystemRandom::new()
        .fill(&mut der[PKCS8_V1.len()..])
        .map_err(|_| rcgen::Error::RingUnspecified)?;
    KeyPair::try_from(der.as_slice())
}
