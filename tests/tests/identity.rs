//! Who a process is: certificates that are somebody else's, that end, are renewed and revoked, while
//! real workers run; and what a coordinator's certificate does not allow.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]
#![expect(clippy::print_stdout, reason = "the times are of interest, shown with --nocapture")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use hearth_fabric::identity::{Identity, certificate};
use hearth_fabric::quic::{CloseReason, Connection, Connector, Settings, Target};
use hearth_tests::{Fleet, FleetOptions, Run, program, until};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType};

/// How long anything may take to be noticed, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(30);

fn fleet() -> Fleet {
    Fleet::start(FleetOptions { fixed_ports: true, ..FleetOptions::default() })
}

async fn connect(fleet: &Fleet, pki: &str) -> (Connector, Connection) {
    let identity = Identity::load(&fleet.pki(pki)).unwrap();
    let connector = Connector::new(identity, Settings::default(), "test/1").unwrap();
    let target = Target { addresses: vec![fleet.address(0)], fingerprint: None };
    let connection = connector.connect(&target).await.unwrap();
    (connector, connection)
}

#[test]
fn a_worker_with_somebody_else_s_certificate_does_not_start() {
    let _turn = hearth_tests::Turn::take();
    let fleet = Fleet::start(FleetOptions { workers: 0, ..FleetOptions::default() });
    for pki in ["worker-w1", "coordinator-c0", "admin-a0"] {
        let mut command = fleet.worker_command(0);
        let output = command.arg("--pki").arg(fleet.pki(pki)).output().unwrap();
        let run = Run::from(output);
        assert_eq!(run.status, 2, "{pki}: {run:?}");
        let (role, name) = pki.split_once('-').unwrap();
        let whose = format!("spiffe://test/hearth/{role}/{name}");
        assert!(run.stderr.contains(&whose) && run.stderr.contains("worker w0"), "{run:?}");
    }
    assert!(!fleet.hearth(&["workers"]).stdout.contains("w0"), "none has announced itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewal_and_revocation_are_taken_up_without_a_restart() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let authority = fleet.dir().join("authority").display().to_string();
    let folder = |name: &str| fleet.pki(name).display().to_string();
    let (_kept_connector, kept) = connect(&fleet, "coordinator-c0").await;
    let (stolen_connector, stolen) = connect(&fleet, "coordinator-c1").await;
    let pid = fleet.workers[0].pid();

    let revoke = ["pki", "revoke", &folder("coordinator-c1"), "--dir", &authority];
    let run = fleet.hearth(&[&revoke[..], &["--to", &folder("worker-w0")]].concat()).ok();
    assert!(run.stdout.contains("spiffe://test/hearth/coordinator/c1"), "{run:?}");
    let start = Instant::now();
    let reason = tokio::time::timeout(LIMIT, stolen.closed()).await.expect("it is put out");
    println!("a revoked peer was put out after {:?}", start.elapsed());
    assert!(matches!(&reason, CloseReason::Lapsed(why) if why.contains("revoked")), "{reason}");
    let target = Target { addresses: vec![fleet.address(0)], fingerprint: None };
    assert!(stolen_connector.connect(&target).await.is_err(), "and not let in again");
    assert!(kept.close_reason().is_none(), "others stay");
    let shown = fleet.hearth(&["pki", "show", &folder("coordinator-c1")]);
    assert_eq!(shown.status, 0, "its folder has no list: {shown:?}");

    let before = Identity::load(&fleet.pki("worker-w0")).unwrap();
    let _ = fleet.hearth(&["pki", "renew", &folder("worker-w0"), "--dir", &authority]).ok();
    let after = Identity::load(&fleet.pki("worker-w0")).unwrap();
    assert_ne!(before.fingerprint(), after.fingerprint());
    let serial = |identity: &Identity| certificate::serial(identity.certificate()).unwrap();
    assert_ne!(serial(&before), serial(&after));
    let pinned =
        Target { addresses: vec![fleet.address(0)], fingerprint: Some(after.fingerprint()) };
    let (connector, _) = connect(&fleet, "coordinator-c0").await;
    let mut taken_up = false;
    for _ in 0..300 {
        taken_up = connector.connect(&pinned).await.is_ok();
        if taken_up {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(taken_up, "the worker shows the renewed certificate");
    let _ = fleet.hearth(&["health"]).ok();
    assert_eq!(fleet.workers[0].pid(), pid);
    assert!(kept.close_reason().is_none(), "a renewal ends no connection");
}

/// Puts a certificate of the worker into its folder that ends so soon.
fn shorten(fleet: &Fleet, left: Duration) -> SystemTime {
    let authority = fleet.dir().join("authority");
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let (ca, ca_key) = (read(authority.join("ca.crt")), read(authority.join("ca.key")));
    let issuer = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&ca_key).unwrap()).unwrap();
    let folder = fleet.pki("worker-w0");
    let key = KeyPair::from_pem(&read(folder.join("tls.key"))).unwrap();
    let mut params = CertificateParams::default();
    let uri = "spiffe://test/hearth/worker/w0".try_into().unwrap();
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now - Duration::from_secs(3600);
    params.not_after = epoch + now + left;
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
    Identity::load(&folder).unwrap().validity().not_after
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_certificate_is_said_before_and_closes_everything() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let end = shorten(&fleet, Duration::from_secs(19 * 60));
    let seconds = end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    until("the metric follows", LIMIT, || {
        let text = fleet.probe(0, "/metrics");
        text.contains(&format!("\nhearth_certificate_expiry_seconds {seconds}\n")).then_some(())
    });
    until("the log says so", LIMIT, || {
        fleet.workers[0].log().contains("the certificate ends in").then_some(())
    });
    let listed = fleet.hearth(&["workers"]).ok().stdout;
    assert!(listed.contains("its certificate ends in"), "{listed}");
    let doctor = fleet.hearth(&["doctor"]).stdout;
    assert!(doctor.contains("w0's ends in"), "{doctor}");
    assert!(fleet.probe(0, "/ready").starts_with("HTTP/1.1 200"));

    let end = shorten(&fleet, Duration::from_secs(10));
    let fingerprint = Some(Identity::load(&fleet.pki("worker-w0")).unwrap().fingerprint());
    let pinned = Target { addresses: vec![fleet.address(0)], fingerprint };
    let (connector, _) = connect(&fleet, "coordinator-c0").await;
    let connection = loop {
        match connector.connect(&pinned).await {
            Ok(connection) => break connection,
            Err(error) => assert!(SystemTime::now() < end, "not taken up in time: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let reason = tokio::time::timeout(LIMIT, connection.closed()).await.expect("it ends");
    assert!(matches!(reason, CloseReason::Lapsed(_)), "{reason}");
    assert!(SystemTime::now() > end);
    until("the probe says so", LIMIT, || {
        let ready = fleet.probe(0, "/ready");
        (ready.starts_with("HTTP/1.1 503") && ready.contains("expired")).then_some(())
    });
    until("the log says so", LIMIT, || {
        fleet.workers[0].log().contains("the certificate has ended").then_some(())
    });
    let target = Target { addresses: vec![fleet.address(0)], fingerprint: None };
    assert!(connector.connect(&target).await.is_err());

    // Renewed, the same process serves on.
    let authority = fleet.dir().join("authority").display().to_string();
    let folder = fleet.pki("worker-w0").display().to_string();
    let _ = fleet.hearth(&["pki", "renew", &folder, "--dir", &authority]).ok();
    until("it serves again", LIMIT, || {
        fleet.probe(0, "/ready").starts_with("HTTP/1.1 200").then_some(())
    });
    assert!(connector.connect(&target).await.is_ok());
}

#[test]
fn what_is_an_administrator_s_is_refused_to_coordinators() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    for method in ["drain", "resume", "sleep", "wake_up", "load_model", "shutdown"] {
        let args = if method == "load_model" { r#"{"name": "x"}"# } else { "{}" };
        let run = fleet.hearth_as("coordinator-c0", &["rpc", method, "--args", args]);
        assert_eq!(run.status, 5, "{method}: {run:?}");
    }
    let args = ["generate", "red heart", "--steps", "900", "--set", "id=long-1"];
    let mut command = fleet.command_as("coordinator-c0", &args);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it computes", LIMIT, || (fleet.stats("running") == [1]).then_some(()));
    let run = fleet.hearth_as("coordinator-c1", &["cancel", "long-1"]);
    assert_eq!(run.status, 5, "{run:?}");
    assert!(run.stderr.contains("long-1 is another's"), "{run:?}");
    assert_eq!(fleet.stats("running"), [1]);
    let run = fleet.hearth_as("coordinator-c0", &["cancel", "long-1"]);
    assert_eq!(run.status, 0, "{run:?}");
    until("it is idle", LIMIT, || (fleet.stats("running") == [0]).then_some(()));
    let _ = child.wait();
}

#[test]
fn a_worker_s_folders_are_its_own_and_a_drained_one_is_found() {
    use std::os::unix::fs::PermissionsExt as _;
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let state = fleet.dir().join("state");
    assert_eq!((mode(&state), mode(&state.join("w0"))), (0o700, 0o700));

    let agree = fleet.hearth(&["doctor"]).stdout;
    assert!(agree.contains("this machine's and 1 worker's agree"), "{agree}");
    let _ = fleet.hearth(&["drain", "w0"]).ok();
    let doctor = fleet.hearth(&["doctor"]).stdout;
    assert!(doctor.contains("w0 drained") && doctor.contains("hearth resume w0"), "{doctor}");

    let mut command = Command::new(program("hearth"));
    let url = "etcd://root:pa55word@127.0.0.1:1/x";
    command.args(["workers", "--registry", url, "--pki"]).arg(fleet.pki("admin-a0"));
    let run = Run::from(command.output().unwrap());
    assert!(run.status == 2 && !run.stderr.contains("pa55word"), "{run:?}");
    assert!(run.stderr.contains("registry.password_file"), "{run:?}");
}
