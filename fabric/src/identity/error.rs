//! Why an identity or an authority can't be used.

use std::io;
use std::path::PathBuf;

use hearth_protocol::role::Role;

use super::{certificate, spiffe};

/// Why a peer's certificate does not count.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No authority vouches for it.
    #[error("{}", untrusted(.0))]
    Untrusted(webpki::Error),
    /// It says nothing that is of use.
    #[error(transparent)]
    Certificate(#[from] certificate::Error),
    /// It is another cluster's.
    #[error("{id} is of another cluster than {cluster}")]
    Cluster {
        /// Whom it names.
        id: spiffe::SpiffeId,
        /// This side's cluster.
        cluster: String,
    },
    /// It is for something else.
    #[error("{id} has not the role {roles:?} that this side asks for")]
    Role {
        /// Whom it names.
        id: spiffe::SpiffeId,
        /// The roles that are let in.
        roles: &'static [Role],
    },
}

/// What people know the common faults by.
fn untrusted(error: &webpki::Error) -> String {
    match error {
        webpki::Error::CertExpired { .. } => "the certificate has ended".to_owned(),
        webpki::Error::CertNotValidYet { .. } => "the certificate is not valid yet".to_owned(),
        webpki::Error::CertRevoked => "the certificate is revoked".to_owned(),
        webpki::Error::UnknownIssuer => {
            "no trusted authority vouches for the certificate".to_owned()
        }
        other => format!("the certificate can't be trusted: {other}"),
    }
}

/// Why an identity or an authority can't be read, made or written. Each names the file and the
/// remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there.
    #[error("{path} is missing. {remedy}")]
    Missing {
        /// The file.
        path: PathBuf,
        /// What makes it.
        remedy: &'static str,
    },
    /// A file can't be read.
    #[error("{path} can't be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder can't be written.
    #[error("{path} can't be written")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that is there would be lost.
    #[error("{path} is there already: an authority is never overwritten. Name another folder")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file holds something else than it should.
    #[error("{path} holds no {what} in PEM form")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// A certificate is of no use.
    #[error("the certificate in {path} can't be used. Issue another: hearth pki issue")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: certificate::Error,
    },
    /// A certificate is not valid any more.
    #[error("the certificate in {path} expired at {at}. Renew it: hearth pki renew")]
    Expired {
        /// The file.
        path: PathBuf,
        /// When, RFC 3339.
        at: String,
    },
    /// A certificate was revoked.
    #[error(
        "the certificate in {path} is revoked ({list} has it). Issue another: hearth pki issue"
    )]
    Revoked {
        /// The file.
        path: PathBuf,
        /// The revocation list's file.
        list: PathBuf,
    },
    /// An authority or a revocation list is malformed.
    #[error("{authorities}, or {list} beside it, can't be used")]
    Authorities {
        /// The authorities' file.
        authorities: PathBuf,
        /// The revocation list's file.
        list: PathBuf,
        /// Why.
        source: webpki::Error,
    },
    /// A certificate is another authority's, which alone can revoke it.
    #[error(
        "the certificate in {path} was not issued by this authority: name the folder of the one that did"
    )]
    OtherAuthority {
        /// The certificate's file.
        path: PathBuf,
    },
    /// A certificate is not valid yet.
    #[error("the certificate in {path} is valid only from {at} on. Check this machine's clock")]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// From when on, RFC 3339.
        at: String,
    },
    /// The certificate was signed by somebody else, or for another use.
    #[error(
        "the certificate in {certificate} is not one that the authorities in {authorities} vouch for. Bring the ca.crt of the authority that issued it"
    )]
    Untrusted {
        /// The certificate's file.
        certificate: PathBuf,
        /// The authorities' file.
        authorities: PathBuf,
        /// Why.
        source: webpki::Error,
    },
    /// The key is of a kind that can't be used.
    #[error("the key in {path} can't be used: Ed25519, ECDSA (P-256, P-384) and RSA keys can")]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The key is another certificate's.
    #[error(
        "the key in {key} does not belong to the certificate in {certificate}. Bring both from the same `hearth pki issue`"
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The renewed certificate names somebody else.
    #[error(
        "the renewed certificate is {found}'s, and this process is {borne}: end it and start it anew to become another"
    )]
    OtherId {
        /// Who the process is.
        borne: spiffe::SpiffeId,
        /// Who the new certificate names.
        found: spiffe::SpiffeId,
    },
    /// A certificate of another cluster.
    #[error(
        "the certificate in {path} is {id}'s, and this authority issues for cluster {authority}"
    )]
    OtherCluster {
        /// The certificate's file.
        path: PathBuf,
        /// Whom it names.
        id: spiffe::SpiffeId,
        /// The authority's cluster.
        authority: String,
    },
    /// A name can't be put into a certificate.
    #[error(transparent)]
    Name(#[from] spiffe::InvalidSpiffeId),
    /// An alternative name is neither an address nor a host name.
    #[error("{0:?} is neither an IP address nor a host name")]
    AlternativeName(String),
    /// A validity that can't be written into a certificate.
    #[error("a validity of {0} days can't be issued: use 1 minute to 100 years")]
    Validity(u64),
    /// The certificate could not be made.
    #[error("the certificate could not be made")]
    Issue(#[from] rcgen::Error),
}
