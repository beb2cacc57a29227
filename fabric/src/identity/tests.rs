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

#[test]
fn openssl_reads_the_keys() {
    let dir = TempDir::new().unwrap();
    let authority = authority();
    authority.save(&dir.path().join("ca")).unwrap();
    worker(&authority).write(dir.path()).unwrap();
    for key in ["ca/ca.key", KEY_FILE] {
        let pem = fs::read_to_string(dir.path().join(key)).unwrap();
        let der = rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).unwrap();
        assert_eq!(der.secret_pkcs8_der()[..5], [0x30, 0x2e, 2, 1, 0], "PKCS#8 version 1");
        let mut openssl = std::process::Command::new("openssl");
        match openssl.args(["pkey", "-noout", "-in"]).arg(dir.path().join(key)).output() {
            Ok(read) => assert!(read.status.success(), "{key}: {read:?}"),
            // The form above is what it reads.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
        }
    }
}

#[test]
fn keys_of_earlier_versions_serve_on() {
    let dir = TempDir::new().unwrap();
    let authority = authority();
    worker(&authority).write(dir.path()).unwrap();
    // As ring writes it: PKCS#8 version 2.
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert_eq!(key.serialized_der()[..5], [0x30, 0x51, 2, 1, 1]);
    fs::write(dir.path().join(KEY_FILE), key.serialize_pem()).unwrap();
    let id: SpiffeId = "spiffe://prod/hearth/worker/gpu-1".parse().unwrap();
    let certified = authority.certify(id, key, DAY, &[]).unwrap();
    fs::write(dir.path().join(CERTIFICATE_FILE), certified.cert_pem).unwrap();
    Identity::load(dir.path()).unwrap();
    authority.renew(dir.path(), DAY).unwrap().write_renewed(dir.path()).unwrap();
    Identity::load(dir.path()).unwrap();
}

#[test]
fn a_renewed_certificate_has_the_same_names_and_key() {
    let dir = TempDir::new().unwrap();
    let authority = authority();
    worker(&authority).write(dir.path()).unwrap();
    let before = Identity::load(dir.path()).unwrap();
    let key = fs::metadata(dir.path().join(KEY_FILE)).unwrap();
    authority.renew(dir.path(), 2 * DAY).unwrap().write_renewed(dir.path()).unwrap();
    let after = Identity::load(dir.path()).unwrap();
    assert_eq!(after.id, before.id);
    assert_ne!(after.fingerprint(), before.fingerprint());
    let serial = |identity: &Identity| certificate::serial(identity.certificate()).unwrap();
    assert_ne!(serial(&after), serial(&before), "a list revokes by it");
    assert!(after.validity().not_after > before.validity().not_after + DAY / 2);
    let hosts = |identity: &Identity| certificate::hosts(identity.certificate()).unwrap();
    assert_eq!(hosts(&after), ["10.0.0.1", "gpu-1.lan"]);
    assert_eq!(hosts(&after), hosts(&before));
    use std::os::unix::fs::MetadataExt as _;
    let kept = fs::metadata(dir.path().join(KEY_FILE)).unwrap();
    assert_eq!(kept.ino(), key.ino(), "the key's file is left alone");

    let other = Authority::create("lab", DAY).unwrap();
    let error = other.renew(dir.path(), DAY).unwrap_err().to_string();
    assert!(
        error.contains("spiffe://prod/hearth/worker/gpu-1") && error.contains("lab"),
        "{error}"
    );
}

#[test]
fn a_revoked_certificate_counts_no_more_and_others_do() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    authority().save(&at("ca")).unwrap();
    let mut authority = Authority::load(&at("ca")).unwrap();
    for name in ["one", "two"] {
        let issued = authority.issue(Role::Coordinator, name, DAY, &[]).unwrap();
        issued.write(&at(name)).unwrap();
    }
    let added = authority.revoke(&at("ca"), &[at("one")]).unwrap();
    assert_eq!(added.iter().map(SpiffeId::name).collect::<Vec<_>>(), ["one"]);
    assert_eq!(authority.revoke(&at("ca"), &[at("one").join(CERTIFICATE_FILE)]).unwrap(), []);

    // What is issued later brings the list along, which a fresh start reads and adds to.
    let mut authority = Authority::load(&at("ca")).unwrap();
    worker(&authority).write(&at("worker")).unwrap();
    let chain = |name: &str| {
        let pem = fs::read(at(name).join(CERTIFICATE_FILE)).unwrap();
        files::certificates(&pem, Path::new("tls.crt")).unwrap()
    };
    let callers: &[Role] = &[Role::Coordinator, Role::Admin];
    let now = UnixTime::now();
    let at_worker = Identity::load(&at("worker")).unwrap();
    let error = at_worker.check_peer(&chain("one"), callers, now).unwrap_err();
    assert!(matches!(error, PeerError::Untrusted(webpki::Error::CertRevoked)), "{error}");
    assert_eq!(at_worker.check_peer(&chain("two"), callers, now).unwrap().name(), "two");
    authority.revoke(&at("ca"), &[at("two"), at("worker")]).unwrap();
    revocation::copy_into(&at("worker"), authority.revocations_pem()).unwrap();
    let error = Identity::load(&at("worker")).unwrap_err();
    assert!(matches!(error, Error::Revoked { .. }), "{error}");
    // A process that runs takes the list up all the same, and knows that it is on it.
    let current = CurrentIdentity::from(at_worker);
    let fresh = current.reload(&at("worker")).unwrap();
    assert!(fresh.check_peer(&chain("two"), callers, now).is_err());
    assert!(fresh.check_in_force(SystemTime::now()).is_err());

    let stranger = Authority::create("prod", DAY).unwrap();
    worker(&stranger).write(&at("other")).unwrap();
    let error = authority.revoke(&at("ca"), &[at("other")]).unwrap_err();
    assert!(matches!(error, Error::OtherAuthority { .. }), "{error}");
}

/// An old authority and the new one have the same name; each one's list counts for its own alone.
#[test]
fn the_lists_of_two_authorities_stand_beside_each_other() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["old", "new"] {
        authority().save(&at(name)).unwrap();
    }
    let (mut old, mut new) =
        (Authority::load(&at("old")).unwrap(), Authority::load(&at("new")).unwrap());
    for (authority, name) in [(&old, "a"), (&old, "b"), (&new, "c"), (&new, "d")] {
        let issued = authority.issue(Role::Admin, name, DAY, &[]).unwrap();
        issued.write(&at(name)).unwrap();
    }
    old.revoke(&at("old"), &[at("a")]).unwrap();
    new.revoke(&at("new"), &[at("c")]).unwrap();
    worker(&new).write(&at("w")).unwrap();
    fs::write(at("w").join(CA_FILE), format!("{}{}", old.ca_pem(), new.ca_pem())).unwrap();
    let lists = format!("{}{}", old.revocations_pem(), new.revocations_pem());
    revocation::copy_into(&at("w"), &lists).unwrap();
    let identity = Identity::load(&at("w")).unwrap();
    for (name, good) in [("a", false), ("b", true), ("c", false), ("d", true)] {
        let chain = Identity::read(&at(name)).unwrap().chain().to_vec();
        let checked = identity.check_peer(&chain, &[Role::Admin], UnixTime::now());
        assert_eq!(checked.is_ok(), good, "{name}: {checked:?}");
    }
    let garbled = refused(|dir| fs::write(dir.join(REVOCATIONS_FILE), "garbage").unwrap());
    assert!(garbled.contains(REVOCATIONS_FILE) && garbled.contains("PEM"), "{garbled}");
}

#[tokio::test]
async fn what_comes_into_the_folder_is_taken_up_by_itself() {
    let dir = TempDir::new().unwrap();
    let authority = authority();
    worker(&authority).write(dir.path()).unwrap();
    let current = CurrentIdentity::from(Identity::load(dir.path()).unwrap());
    let mut changes = current.subscribe();
    let (identity, folder) = (current.clone(), dir.path().to_owned());
    let _task = hearth_base::task::OwnedTask::spawn("follow", |_| follow(identity, folder));
    // Files that don't fit together yet are no fault for good.
    let renewed = worker(&authority);
    fs::write(dir.path().join(KEY_FILE), &renewed.key_pem).unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!changes.has_changed().unwrap());
    renewed.write(dir.path()).unwrap();
    let changed = tokio::time::timeout(Duration::from_secs(20), changes.changed()).await;
    changed.expect("within seconds").unwrap();
    assert_eq!(current.get().fingerprint(), renewed.identity().unwrap().fingerprint());
}
