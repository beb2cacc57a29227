//! The programs in `configs/launchers/ssh`, over a real `sshd` on loopback.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use hearth_launchers::command::{CommandLauncher, Config};
use hearth_launchers::{
    Capabilities, Error, Files, Gpus, Handle, LaunchSpec, Launcher, LogLines, LogOptions, Outcome,
    Replica, StateDir, Status,
};
use hearth_tests::{Sshd, skip, source};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::conformance::{self, Fixture, statuses};
use crate::{LIMIT, gone};

fn config(sshd: &Sshd) -> Config {
    let mut config = Config::default().in_folder(source().join("configs/launchers/ssh"));
    config.env = sshd.env();
    let client = sshd.client_config().display().to_string();
    config.env.insert("HEARTH_SSH_CONFIG".to_owned(), client);
    config
}

/// What is the programs' own: a folder on the far side that is not the one here.
struct Far {
    launcher: CommandLauncher,
    state: StateDir,
    folder: tempfile::TempDir,
    sshd: Sshd,
}

impl Far {
    fn start(test: &str) -> Option<Self> {
        let sshd = start(test)?;
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path().join("state"));
        let far = folder.path().join("far away");
        let replica_folder = Some(format!("{}/{{launch}}/{{rank}}", far.display()));
        let config = Config { replica_folder, ..config(&sshd) };
        let launcher = CommandLauncher::new(state.clone(), config);
        Some(Self { launcher, state, folder, sshd })
    }

    fn script(&self, replicas: u32, script: &str) -> LaunchSpec {
        let mut spec = LaunchSpec::new("job", replicas, "sh");
        spec.args = vec!["-c".to_owned(), script.to_owned()];
        spec.placement.hosts = Sshd::HOSTS.map(str::to_owned).into();
        spec.grace = Duration::from_secs(5);
        spec
    }

    fn far(&self, handle: &Handle) -> std::path::PathBuf {
        let rank = handle.rank.to_string();
        self.folder.path().join("far away").join(handle.launch.as_str()).join(rank)
    }

    async fn lines(&self, handle: &Handle) -> Vec<String> {
        let lines = self.launcher.logs(handle, LogOptions::default()).await.unwrap();
        lines.try_collect().await.unwrap()
    }

    async fn says(&self, handle: &Handle, word: &str) {
        let began = Instant::now();
        while !self.lines(handle).await.iter().any(|line| line == word) {
            assert!(began.elapsed() < LIMIT, "{handle} does not say {word}");
        }
    }
}

fn start(test: &str) -> Option<Sshd> {
    Sshd::start().map_err(|reason| skip(test, &reason)).ok()
}

/// The suite's specs name no hosts: to `ssh` they are given one.
struct OnHost(CommandLauncher);

#[async_trait::async_trait]
impl Launcher for OnHost {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Vec<Handle>, Error> {
        let mut spec = spec.clone();
        spec.placement.hosts = Sshd::HOSTS.map(str::to_owned).into();
        self.0.launch(&spec).await
    }

    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
        self.0.poll(handles).await
    }

    async fn logs(&self, handle: &Handle, options: LogOptions) -> Result<LogLines, Error> {
        self.0.logs(handle, options).await
    }

    async fn cancel(&self, handles: &[Handle]) -> Result<(), Error> {
        self.0.cancel(handles).await
    }

    async fn collect(
        &self,
        handles: &[Handle],
        timeout: Option<Duration>,
    ) -> Result<Vec<Outcome>, Error> {
        self.0.collect(handles, timeout).await
    }
}

#[tokio::test]
async fn through_ssh_it_does_what_every_launcher_does() {
    let _turn = hearth_tests::Turn::take();
    let Some(sshd) = start("through_ssh_it_does_what_every_launcher_does") else { return };
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::new(folder.path().join("state"));
    let config = config(&sshd);
    let mut fixture = Fixture::new(state.clone(), move || {
        Box::new(OnHost(CommandLauncher::new(state.clone(), config.clone())))
    });
    fixture.patience = LIMIT;
    conformance::check(&fixture).await;
}

#[tokio::test]
async fn files_go_to_the_host_and_results_come_back() {
    let _turn = hearth_tests::Turn::take();
    let Some(far) = Far::start("files_go_to_the_host_and_results_come_back") else { return };
    let odd = "a 'b' \"c\" $HOME `id` \\ ;exit 7\nEND_OF_FILE";
    let script = r#"
        pwd; printf '%s\n' "$0" "$ODD" "$CUDA_VISIBLE_DEVICES"
        printf '"%s"' "$(od -An -tx1 "{files}/key" | tr -d ' ')" >"$REPLICA_RESULT"
    "#;
    let mut spec = far.script(3, script);
    spec.args.push(odd.to_owned());
    spec.env.insert("ODD".to_owned(), odd.to_owned());
    spec.resources.gpus = Some(Gpus::Count(2));
    let key = |rank: u8| Files::from([("key".to_owned(), vec![0, rank, 255, b'\n'])]);
    spec.files = (0..3).map(key).collect();
    let handles = far.launcher.launch(&spec).await.unwrap();
    // Any process of the user's goes on, without being told of the programs.
    let other = CommandLauncher::new(far.state.clone(), Config::default());
    let outcomes = other.collect(&handles, Some(LIMIT)).await.unwrap();
    assert_eq!(statuses(&outcomes), [Status::Succeeded; 3], "{outcomes:?}");
    for (rank, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.result, Some(json!(format!("000{rank}ff0a"))));
    }
    // Ranks 0 and 2 share the first host, where the third is the second one's neighbour.
    for (handle, cards) in handles.iter().zip(["0,1", "0,1", "2,3"]) {
        let pwd = far.far(handle).display().to_string();
        let said = [&pwd, "a 'b' \"c\" $HOME `id` \\ ;exit 7", "END_OF_FILE"].map(str::to_owned);
        let lines = far.lines(handle).await;
        assert_eq!(lines[..3], said);
        assert_eq!(lines.last().unwrap(), cards);
        assert!(!far.far(handle).join("files").exists(), "keys go with the replica");
        assert!(far.state.result_file(&handle.launch, handle.rank).is_file());
    }
    // What is known is not asked again.
    drop(far.sshd);
    assert_eq!(other.collect(&handles, Some(LIMIT)).await.unwrap(), outcomes);
}

#[tokio::test]
async fn what_ssh_cannot_do_is_refused_and_starts_nothing() {
    let _turn = hearth_tests::Turn::take();
    let Some(far) = Far::start("what_ssh_cannot_do_is_refused_and_starts_nothing") else { return };
    let refused = async |change: fn(&mut LaunchSpec), part: &str| {
        let mut spec = far.script(2, "exit 0");
        change(&mut spec);
        let error = far.launcher.launch(&spec).await.unwrap_err();
        assert!(error.is_configuration() && error.to_string().contains(part), "{error}");
    };
    refused(|spec| spec.placement.hosts.clear(), "--host").await;
    refused(|spec| spec.placement.image = Some("x".to_owned()), "image").await;
    refused(|spec| spec.placement.pool = Some("x".to_owned()), "pool").await;
    refused(|spec| spec.resources.cpus = Some(1.0), "cpus").await;
    refused(|spec| spec.resources.gpus = Some(Gpus::Typed("A100".parse().unwrap())), "type").await;
    refused(|spec| spec.resources.memory = Some(1 << 30), "memory").await;
    refused(|spec| spec.working_dir = Some("/no/such/folder".into()), "working_dir").await;
    refused(|spec| spec.program = "no-such-program".into(), "on n1").await;
    assert_eq!(far.state.list().unwrap(), []);
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_told_and_its_replicas_are_not_given_up() {
    let _turn = hearth_tests::Turn::take();
    let test = "a_host_that_cannot_be_reached_is_told_and_its_replicas_are_not_given_up";
    let Some(mut far) = Far::start(test) else { return };
    let script = "echo ready; until test -e '{folder}/go'; do sleep 0.05; done";
    let handles = far.launcher.launch(&far.script(1, script)).await.unwrap();
    far.says(&handles[0], "ready").await;
    far.sshd.stop();
    for error in [
        far.launcher.poll(&handles).await.unwrap_err(),
        far.launcher.launch(&far.script(1, "exit 0")).await.unwrap_err(),
    ] {
        let said = error.to_string();
        assert!(matches!(error, Error::Manager { .. }) && said.contains("refused"), "{said}");
    }
    far.sshd.restart().unwrap();
    std::fs::write(far.far(&handles[0]).join("go"), "").unwrap();
    let outcomes = far.launcher.collect(&handles, Some(LIMIT)).await.unwrap();
    assert_eq!(statuses(&outcomes), [Status::Succeeded], "{outcomes:?}");
}

#[tokio::test]
async fn a_killed_supervisor_is_a_failure_and_nothing_is_left() {
    let _turn = hearth_tests::Turn::take();
    let test = "a_killed_supervisor_is_a_failure_and_nothing_is_left";
    let Some(far) = Far::start(test) else { return };
    let script = "echo ready; echo $$ >'{folder}/pid'; exec sleep 600";
    let handles = far.launcher.launch(&far.script(1, script)).await.unwrap();
    far.says(&handles[0], "ready").await;
    let kept = std::fs::read_to_string(far.far(&handles[0]).join("supervisor")).unwrap();
    let pid: i32 = kept.split(' ').next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let outcomes = far.launcher.collect(&handles, Some(LIMIT)).await.unwrap();
    assert_eq!(statuses(&outcomes), [Status::Failed], "{outcomes:?}");
    assert!(outcomes[0].error.as_ref().unwrap().contains("was killed"), "{outcomes:?}");
    let program = std::fs::read_to_string(far.far(&handles[0]).join("pid")).unwrap();
    gone(program.trim()).await;
}

/// As where the command that launches was killed while it did.
#[tokio::test]
async fn what_was_cancelled_before_it_was_started_does_not_begin() {
    let _turn = hearth_tests::Turn::take();
    let test = "what_was_cancelled_before_it_was_started_does_not_begin";
    let Some(far) = Far::start(test) else { return };
    let mut spec = far.script(1, "touch '{folder}/ran'");
    let id = hearth_launchers::LaunchId::draw("job");
    spec.id = Some(id.clone());
    let own = far.folder.path().join("far away").join(id.as_str()).join("0");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("cancel"), "").unwrap();
    let handles = far.launcher.launch(&spec).await.unwrap();
    let outcomes = far.launcher.collect(&handles, Some(LIMIT)).await.unwrap();
    assert_eq!(statuses(&outcomes), [Status::Cancelled], "{outcomes:?}");
    assert!(!own.join("ran").exists());
}

#[tokio::test]
async fn a_log_has_a_bound_and_its_newest_lines_are_kept() {
    let _turn = hearth_tests::Turn::take();
    let test = "a_log_has_a_bound_and_its_newest_lines_are_kept";
    let Some(far) = Far::start(test) else { return };
    let script = "yes 0123456789abcde | head -c 40000000; echo; echo last";
    let handles = far.launcher.launch(&far.script(1, script)).await.unwrap();
    far.launcher.collect(&handles, Some(LIMIT)).await.unwrap();
    let bytes = |name| std::fs::metadata(far.far(&handles[0]).join(name)).unwrap().len();
    for name in ["log", "log.1"] {
        assert!(bytes(name) < 20 << 20, "{name} has {} bytes", bytes(name));
    }
    let options = LogOptions { tail: Some(1), follow: true };
    let lines = far.launcher.logs(&handles[0], options).await.unwrap();
    let lines: Vec<String> = lines.try_collect().await.unwrap();
    assert_eq!(lines, ["last"]);
}
