//! Owned replicas end with their owner's process: another run of the test program, which is killed.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hearth_launchers::{LaunchSpec, Launcher, Owner, StateDir, Status};

use super::Fixture;

const STATE: &str = "HEARTH_TEST_OWNER_STATE";
const NAME: &str = "owned";

/// Runs the test `owns` of this program, in which [`own`] launches, and kills it.
pub(crate) async fn is_killed(fixture: &Fixture, owns: &str) {
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner.args([owns, "--exact", "--nocapture"]).env(STATE, fixture.state.path());
    let mut owner = owner.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let handle = loop {
        assert!(began.elapsed() < fixture.patience, "it has launched nothing");
        let records = fixture.state.list().unwrap();
        if let Some(record) = records.iter().find(|record| record.spec.name == NAME) {
            break record.handles().next().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    fixture.says(&handle, "ready").await;
    let killed = Instant::now();
    owner.kill().unwrap();
    owner.wait().unwrap();
    let outcome = fixture.collect(std::slice::from_ref(&handle)).await.remove(0);
    assert_eq!(outcome.status, Status::Cancelled, "{outcome:?}");
    assert!(killed.elapsed() < Duration::from_secs(4), "{:?}", killed.elapsed());
}

/// Launches what its caller owns, and waits to be killed; does nothing unless [`is_killed`] asks.
pub(crate) async fn own(launcher: impl FnOnce(StateDir) -> Box<dyn Launcher>) {
    let Some(state) = std::env::var_os(STATE) else { return };
    let launcher = launcher(StateDir::new(state));
    let mut spec = LaunchSpec::new(NAME, 1, "/bin/sh");
    let script = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
    spec.args = vec!["-c".to_owned(), script.to_owned()];
    spec.owner = Owner::Caller;
    let _handles = launcher.launch(&spec).await.unwrap();
    std::future::pending::<()>().await;
}
