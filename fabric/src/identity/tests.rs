//! Identities that must be taken, and those that must not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hearth_protocol::role::Role;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use rustls::pki_types::CertificateDer;
use tempfile::TempDir;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn authority() -> Authority {
    Authority::create("prod", DAY).unwrap()
}

fn worker(authority: &Authority) -> Credentials {
    authority.issue(Role::Worker, "gpu-1", DAY, &["10.0.0.1".into(), "gpu-1.lan".into()]).unwrap()
}

/// Writes a good identity, spoils it, and gives the message that loading it ends with.
fn refused(spoil: impl FnOnce(&Path)) -> String {
    let dir = TempDir::new().unwrap();
    worker(&authority()).write(dir.path()).unwrap();
    spoil(dir.path());
    let error = Identity::load(dir.path()).unwrap_err();
    let mut text = error.to_string();
    let mut next: &dyn std::error::Error = &error;
    while let Some(cause) = next.source() {
        text = format!("{text}: {cause}");
        next = cause;
    }
    text
}

#[test]
fn what_is_issued_can_be_loaded() {
    let dir = TempDir::new().unwrap();
    authority().save(&dir.path().join("ca")).unwrap();
    let authority = Authority::load(&dir.path().join("ca")).unwrap();
    assert_eq!(authority.cluster(), "prod");
    for role in Role::ALL {
        let folder = dir.path().join(role.to_string());
        let issued = authority.issue(role, "a.b-c_1", DAY, &[]).unwrap();
        issued.write(&folder).unwrap();
        let loaded = Identity::load(&folder).unwrap();
        assert_eq!(loaded.id.to_string(), format!("spiffe://prod/hearth/{role}/a.b-c_1"));
        assert_eq!(loaded.fingerprint(), issued.identity().unwrap().fingerprint());
        assert_eq!(loaded.fingerprint().len(), 64);
        let left = loaded.validity().remaining(SystemTime::now());
        assert!(left > DAY - Duration::from_secs(60) && left <= DAY, "{left:?}");
        let mode = fs::metadata(folder.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let mode = fs::metadata(dir.path().join("ca/ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(authority.save(&dir.path().join("ca")), Err(Error::Exists { .. })));
}

#[test]
fn two_authorities_can_overlap() {
    let dir = TempDir::new().unwrap();
    let (old, new) = (authority(), authority());
    worker(&new).write(dir.path()).unwrap();
    fs::write(dir.path().join(CA_FILE), format!("{}{}", old.ca_pem(), new.ca_pem())).unwrap();
    assert_eq!(Identity::load(dir.path()).unwrap().roots().len(), 2);
    // The one that has the key issues, and both are handed on.
    new.save(&dir.path().join("ca")).unwrap();
    fs::write(dir.path().join("ca").join(CA_FILE), format!("{}{}", old.ca_pem(), new.ca_pem()))
        .unwrap();
    let loaded = Authority::load(&dir.path().join("ca")).unwrap();
    assert_eq!(worker(&loaded).identity().unwrap().roots().len(), 2);
}

#[test]
fn each_fault_names_its_file() {
    for name in [CA_FILE, CERTIFICATE_FILE, KEY_FILE] {
        let missing = refused(|dir| fs::remove_file(dir.join(name)).unwrap());
        assert!(missing.contains(name) && missing.contains("hearth pki"), "{missing}");
        let garbled = refused(|dir| fs::write(dir.join(name), "garbage").unwrap());
        assert!(garbled.contains(name) && garbled.contains("PEM"), "{garbled}");
        let folder = refused(|dir| {
            fs::remove_file(dir.join(name)).unwrap();
            fs::create_dir(dir.join(name)).unwrap();
        });
        assert!(folder.contains(name) && folder.contains("can't be read"), "{folder}");
    }
    let key = refused(|dir| fs::write(dir.join(KEY_FILE), worker(&authority()).key_pem).unwrap());
    assert!(key.contains("tls.key does not belong"), "{key}");
    let stranger = refused(|dir| fs::write(dir.join(CA_FILE), authority().ca_pem()).unwrap());
    assert!(stranger.contains("ca.crt vouch for"), "{stranger}");
    let authority_itself = refused(|dir| {
        let pem = fs::read(dir.join(CA_FILE)).unwrap();
        fs::write(dir.join(CERTIFICATE_FILE), pem).unwrap();
    });
    assert!(authority_itself.contains("authority's certificate"), "{authority_itself}");
}

#[test]
fn time_and_use_are_checked() {
    let path = Path::new("tls.crt");
    let validity = worker(&authority()).identity().unwrap().validity();
    let late = check_time(validity, SystemTime::now() + 2 * DAY, path).unwrap_err();
    assert!(late.to_string().contains("expired at 20"), "{late}");
    assert!(matches!(late, Error::Expired { .. }));
    let early = check_time(validity, SystemTime::now() - DAY, path).unwrap_err();
    assert!(matches!(early, Error::NotYetValid { .. }), "{early}");
    // A clock that is a little behind is fine.
    check_time(validity, SystemTime::now() - Duration::from_secs(200), path).unwrap();

    for days in [Duration::ZERO, Duration::from_secs(200 * 366 * 86_400)] {
        assert!(matches!(Authority::create("prod", days), Err(Error::Validity(_))));
    }
    assert!(matches!(Authority::create("Prod", DAY), Err(Error::Name(_))));
    let authority = authority();
    assert!(matches!(authority.issue(Role::Worker, "a/b", DAY, &[]), Err(Error::Name(_))));
    let name = authority.issue(Role::Worker, "a", DAY, &["not a host".into()]).unwrap_err();
    assert!(name.to_string().contains("not a host"), "{name}");
}

/// A certificate with these alternative names.
fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

#[test]
fn a_peer_has_exactly_one_uri_and_is_no_authority() {
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let good = "spiffe://prod/hearth/worker/w";
    let with = |sans: Vec<SanType>| peer_id(&certificate(|p| p.subject_alt_names = sans));
    let host = || SanType::DnsName("w.lan".try_into().unwrap());
    assert_eq!(with(vec![host(), uri(good)]).unwrap().name(), "w");

    use certificate::Error;
    assert!(matches!(with(vec![]), Err(Error::UriCount(0))));
    assert!(matches!(with(vec![host()]), Err(Error::UriCount(0))));
    let other = uri("spiffe://prod/hearth/admin/w");
    assert!(matches!(with(vec![uri(good), other]), Err(Error::UriCount(2))));
    assert!(matches!(with(vec![uri(good), uri(good)]), Err(Error::UriCount(2))));
    assert!(matches!(with(vec![uri("https://w.lan")]), Err(Error::SpiffeId(_))));
    let ca = certificate(|p| {
        p.subject_alt_names = vec![uri(good)];
        p.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    assert!(matches!(peer_id(&ca), Err(Error::Authority)));

    let mut long = certificate(|p| p.subject_alt_names = vec![uri(good)]).to_vec();
    long.push(0);
    assert!(matches!(peer_id(&long.into()), Err(Error::Malformed(_))));
    assert!(matches!(peer_id(&vec![0x30; 40].into()), Err(Error::Malformed(_))));
}
