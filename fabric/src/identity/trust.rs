//! Whom a process believes: the authorities of its `ca.crt`, less what they have revoked in `ca.crl`.

use hearth_protocol::role::Role;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, OwnedCertRevocationList, RevocationOptionsBuilder,
    UnknownStatusPolicy,
};

use super::certificate::{key_identifier, list_key_identifier};

/// Authorities, and what each has revoked.
#[derive(Debug)]
pub(super) struct Trust(Vec<TrustedAuthority>);

#[derive(Debug)]
struct TrustedAuthority {
    anchor: TrustAnchor<'static>,
    lists: Vec<CertRevocationList<'static>>,
}

impl Trust {
    /// Puts authorities and revocation lists together. A list counts for the authority whose key it
    /// names, since an old authority and the new one may well have the same name.
    ///
    /// # Errors
    /// An authority or a list is malformed.
    pub(super) fn new(
        roots: &[CertificateDer<'static>],
        lists: &[CertificateRevocationListDer<'static>],
    ) -> Result<Self, webpki::Error> {
        let mut authorities = Vec::with_capacity(roots.len());
        for root in roots {
            let anchor = webpki::anchor_from_trusted_cert(root)?.to_owned();
            let key = key_identifier(root);
            let own = lists.iter().filter(|list| {
                let signer = list_key_identifier(list);
                signer.is_none() || key.is_none() || signer == key
            });
            let own = own.map(|list| OwnedCertRevocationList::from_der(list).map(Into::into));
            authorities.push(TrustedAuthority { anchor, lists: own.collect::<Result<_, _>>()? });
        }
        Ok(Self(authorities))
    }

    /// Whether one of the authorities vouches for the leaf of `chain`, for what `role` does with it,
    /// at `now`. A list that is older than its announced successor still counts: a stale list is
    /// better than none, and an expired one must not shut everybody out.
    pub(super) fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let [leaf, intermediates @ ..] = chain else { return Err(webpki::Error::BadDer) };
        let leaf = EndEntityCert::try_from(leaf)?;
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        let mut refusal = webpki::Error::UnknownIssuer;
        for TrustedAuthority { anchor, lists } in &self.0 {
            let lists: Vec<&CertRevocationList<'_>> = lists.iter().collect();
            let revocation = RevocationOptionsBuilder::new(&lists).ok();
            let revocation = revocation
                .map(|options| options.with_status_policy(UnknownStatusPolicy::Allow).build());
            let anchor = std::slice::from_ref(anchor);
            let usage = match role {
                Role::Worker => KeyUsage::server_auth(),
                Role::Coordinator | Role::Admin => KeyUsage::client_auth(),
            };
            let verified = leaf.verify_for_usage(
                algorithms,
                anchor,
                intermediates,
                now,
                usage,
                revocation,
                None,
            );
            match verified {
                Ok(_) => return Ok(()),
                // Another authority's certificate, which says nothing against it.
                Err(error) if is_strange(&error) => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

/// Whether the certificate is simply not this authority's.
fn is_strange(error: &webpki::Error) -> bool {
    matches!(error, webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey)
}
