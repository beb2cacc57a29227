//! Keys of certificates, Ed25519 in the form that every program reads, and their serial numbers.

use rcgen::{KeyPair, SerialNumber};
use ring::rand::{SecureRandom as _, SystemRandom};

/// What stands before the 32 bytes of the key in its DER form (RFC 8410, section 7).
///
/// That is PKCS#8 version 1. Version 2, which adds the public key and which ring writes, can't be read
/// by OpenSSL 3.0.
const PKCS8_V1: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A fresh serial number: a list revokes by it, so that a certificate which is issued anew for the same
/// key must have another. Of 16 bytes, and positive (RFC 5280, section 4.1.2.2).
pub(super) fn serial_number() -> Result<SerialNumber, rcgen::Error> {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    // Neither negative nor with a leading zero, which would have two forms.
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&serial))
}

/// A fresh key.
pub(super) fn generate() -> Result<KeyPair, rcgen::Error> {
    let mut der = [0; PKCS8_V1.len() + 32];
    der[..PKCS8_V1.len()].copy_from_slice(&PKCS8_V1);
    SystemRandom::new()
        .fill(&mut der[PKCS8_V1.len()..])
        .map_err(|_| rcgen::Error::RingUnspecified)?;
    KeyPair::try_from(der.as_slice())
}
