//! Whom each side lets in, and for how long.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};

use super::*;

/// A certificate in `dir` that ends so soon, as an authority of its own kind would issue it.
fn short_lived(pki: &Pki, role: Role, name: &str, left: Duration) -> Arc<Identity> {
    let ca = pki.dir.path().join("ca");
    if !ca.exists() {
        pki.authority.save(&ca).unwrap();
    }
    let read = |name: &str| std::fs::read_to_string(ca.join(name)).unwrap();
    let issuer =
        Issuer::from_ca_cert_pem(&read("ca.crt"), KeyPair::from_pem(&read("ca.key")).unwrap());
    let mut params = CertificateParams::default();
    let uri = format!("spiffe://test/hearth/{role}/{name}");
    params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
    params.extended_key_usages = vec![match role {
        Role::Worker => ExtendedKeyUsagePurpose::ServerAuth,
        Role::Coordinator | Role::Admin => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now - Duration::from_secs(60);
    params.not_after = epoch + now + left;
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = params.signed_by(&key, &issuer.unwrap()).unwrap();
    let dir = pki.dir.path().join(format!("{role}-{name}-short"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("ca.crt"), read("ca.crt")).unwrap();
    std::fs::write(dir.join("tls.crt"), certificate.pem()).unwrap();
    std::fs::write(dir.join("tls.key"), key.serialize_pem()).unwrap();
    Arc::new(Identity::load(&dir).unwrap())
}

async fn ends(connection: &Connection) -> CloseReason {
    tokio::time::timeout(SOON, connection.closed()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_either_certificate() {
    let pki = Pki::new();
    let keys = EndpointKeys::random().unwrap();
    let life = Duration::from_secs(4);
    for is_caller_s in [true, false] {
        let (worker, caller) = if is_caller_s {
            (pki.identity(Role::Worker, "w1"), short_lived(&pki, Role::Coordinator, "c1", life))
        } else {
            (short_lived(&pki, Role::Worker, "w1", life), pki.identity(Role::Coordinator, "c2"))
        };
        let end = worker.validity().not_after.min(caller.validity().not_after);
        let server = serve(worker, &keys, ANY, 1);
        let connector = Connector::new(caller, Settings::default(), "test").unwrap();
        let connection = connector.connect(&target(server.addr)).await.unwrap();
        let _ = reply(&connection, &request("echo"), &[]).await;
        let reason = ends(&connection).await;
        assert!(
            matches!(&reason, CloseReason::Lapsed(why) if why.contains("has ended")),
            "{reason}"
        );
        assert!(std::time::SystemTime::now() > end, "not before its time");
        let gone = async {
            while server.service.connections.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(SOON, gone).await.expect("the worker has closed it too");
        assert!(connector.connect(&target(server.addr)).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_peer_is_put_out_and_others_stay() {
    let mut pki = Pki::new();
    let ca = pki.dir.path().join("ca");
    pki.authority.save(&ca).unwrap();
    let keys = EndpointKeys::random().unwrap();
    let worker = CurrentIdentity::from(pki.identity(Role::Worker, "w1"));
    let server = serve(worker.clone(), &keys, ANY, 1);
    let connect = async |name: &str| {
        let identity = pki.identity(Role::Coordinator, name);
        let connector = Connector::new(identity, Settings::default(), "test").unwrap();
        let connection = connector.connect(&target(server.addr)).await.unwrap();
        (connector, connection)
    };
    let (bad, stolen) = connect("c1").await;
    let (_good, kept) = connect("c2").await;
    let revoked = pki.dir.path().join("coordinator-c1");
    pki.authority.revoke(&ca, &[revoked]).unwrap();
    let folder = pki.dir.path().join("worker-w1");
    std::fs::copy(ca.join("ca.crl"), folder.join("ca.crl")).unwrap();
    worker.reload(&folder).unwrap();
    let reason = ends(&stolen).await;
    assert!(matches!(&reason, CloseReason::Lapsed(why) if why.contains("revoked")), "{reason}");
    let _ = reply(&kept, &request("echo"), &[]).await;
    let Err(error) = bad.connect(&target(server.addr)).await else { panic!("it was let in again") };
    assert_eq!(CallError::from(error).kind, ErrorKind::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_under_another_s_name_is_refused() {
    let pki = Pki::new();
    let keys = EndpointKeys::random().unwrap();
    // It says that it is w1.
    let server = serve(pki.identity(Role::Worker, "w4"), &keys, ANY, 1);
    let identity = pki.identity(Role::Coordinator, "c1");
    let connector = Connector::new(identity, Settings::default(), "test").unwrap();
    let Err(error) = connector.connect(&target(server.addr)).await else {
        panic!("it was believed")
    };
    let text = error.to_string();
    assert!(text.contains("worker w1") && text.contains("hearth/worker/w4"), "{text}");
}
