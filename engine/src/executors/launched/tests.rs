//! What the replicas of an engine ask of their launcher: a fake one takes it down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hearth_launchers::{
    Capabilities, Error, Handle, LaunchSpec, Launcher, LogLines, LogOptions, Outcome, Replica,
    StateDir,
};

use super::super::owned::{Home, Origin as _};
use super::super::{Backends, Start};
use super::replicas::Replicas;
use super::spec::Plan;
use crate::Config;

#[derive(Default)]
struct Fake {
    launched: Mutex<Vec<LaunchSpec>>,
    cancelled: Mutex<Vec<Vec<Handle>>>,
    /// What the next launch fails of.
    refusal: Mutex<Option<Error>>,
    /// How many of the next cancels fail.
    failing_cancels: Mutex<u32>,
}

#[async_trait]
impl Launcher for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            supports_inter_replica_network: true,
            supports_many_hosts: false,
            limits_cpus: true,
            limits_memory: true,
            supports_gpus: true,
            supports_owner: true,
            shares_files: true,
        }
    }

    async fn launch(&self, spec: &LaunchSpec) -> Result<Vec<Handle>, Error> {
        if let Some(error) = self.refusal.lock().unwrap().take() {
            return Err(error);
        }
        self.launched.lock().unwrap().push(spec.clone());
        let launch = spec.launch_id();
        let handle = |rank| Handle { launcher: "fake".to_owned(), launch: launch.clone(), rank };
        Ok((0..spec.replicas).map(handle).collect())
    }

    async fn poll(&self, handles: &[Handle]) -> Result<Vec<Replica>, Error> {
        Ok(handles.iter().map(|handle| Replica::pending(handle.rank)).collect())
    }

    async fn logs(&self, _: &Handle, _: LogOptions) -> Result<LogLines, Error> {
        Ok(Box::pin(futures_util::stream::empty()))
    }

    async fn cancel(&self, handles: &[Handle]) -> Result<(), Error> {
        self.cancelled.lock().unwrap().push(handles.to_vec());
        let mut failing = self.failing_cancels.lock().unwrap();
        if *failing == 0 {
            return Ok(());
        }
        *failing -= 1;
        Err(Error::Manager { launcher: "fake", reason: "busy".to_owned() })
    }

    async fn collect(&self, _: &[Handle], _: Option<Duration>) -> Result<Vec<Outcome>, Error> {
        Ok(Vec::new())
    }
}

/// Three replicas that are launched, and where they are.
async fn three() -> (Arc<Fake>, Replicas, Place) {
    let base = tempfile::tempdir().unwrap();
    let text = format!(
        "[executor]\nbackend = \"launched\"\nworkers = 3\nruntime_dir = {:?}\n",
        base.path()
    );
    let config = Config::parse(&text, &Backends::builtin()).unwrap();
    let section = config.executor.launched();
    let start = Start::without_identity(&config, "test/0");
    let home = Arc::new(Home::make(&start, &section.owned, "launched").unwrap());
    let launcher = Arc::new(Fake::default());
    let kept = StateDir::new(home.folder().join("replicas"));
    let plan = Plan::new(&section, Arc::clone(&home), &*launcher).unwrap();
    let claim = home.registry.own(&home.owner());
    claim.held().await;
    let replicas = Replicas::new(Arc::clone(&launcher) as _, plan, kept, claim);
    replicas.launch_all().await.unwrap();
    (launcher, replicas, Place { home, _base: base })
}

struct Place {
    home: Arc<Home>,
    _base: tempfile::TempDir,
}

#[tokio::test]
async fn all_are_ended_with_one_call() {
    let (launcher, replicas, _place) = three().await;
    for rank in 0..3 {
        replicas.start(rank).await.unwrap().stop().await;
    }
    replicas.stop().await.unwrap();
    let cancelled = || {
        let calls = launcher.cancelled.lock().unwrap();
        calls.iter().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!(cancelled(), [3]);
    replicas.stop().await.unwrap();
    assert_eq!(cancelled(), [3], "none is left");
}

#[tokio::test]
async fn a_cancel_that_fails_is_tried_again_and_in_the_end_said() {
    let (launcher, replicas, _place) = three().await;
    *launcher.failing_cancels.lock().unwrap() = 2;
    replicas.stop().await.unwrap();
    assert_eq!(launcher.cancelled.lock().unwrap().len(), 3);

    let (launcher, replicas, _place) = three().await;
    *launcher.failing_cancels.lock().unwrap() = 9;
    let left = replicas.stop().await.unwrap_err();
    assert!(left.contains("/2 may still run: ") && left.contains("busy"), "{left}");
    assert_eq!(launcher.cancelled.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_manager_that_is_away_is_asked_again_and_a_refusal_is_not() {
    let (launcher, replicas, _place) = three().await;
    drop(replicas.start(1).await.unwrap());
    let lasting = async |error| {
        *launcher.refusal.lock().unwrap() = Some(error);
        replicas.start(1).await.err().unwrap().lasting
    };
    let reason = "its bus does not answer".to_owned();
    assert!(!lasting(Error::ManagerAbsent { launcher: "fake", reason: reason.clone() }).await);
    assert!(!lasting(Error::Manager { launcher: "fake", reason }).await);
    let (value, remedy) = ("-1".to_owned(), "give more".to_owned());
    assert!(lasting(Error::Spec { field: "cpus", value, remedy }).await);
}

#[tokio::test]
async fn one_that_is_started_again_is_told_its_rank_and_has_its_own_files_alone() {
    let (launcher, replicas, _place) = three().await;
    drop(replicas.start(1).await.unwrap());
    drop(replicas.start(1).await.unwrap());
    let launched = launcher.launched.lock().unwrap();
    let [all, again] = &launched[..] else { panic!("{} launches", launched.len()) };
    assert_eq!((again.replicas, again.first_rank, again.files.len()), (1, 1, 1));
    let here = std::path::Path::new("/");
    assert_eq!(again.args_of(0, here, here), all.args_of(1, here, here));
    assert_eq!(again.env_of(0, here, here), all.env_of(1, here, here));
    assert!(all.args_of(1, here, here)[1].ends_with("-1"), "its id");
}

#[tokio::test]
async fn nothing_is_made_anew_in_a_folder_that_was_removed() {
    let (_launcher, replicas, place) = three().await;
    replicas.stop().await.unwrap();
    place.home.remove();
    // The holder of a name looks four times a second.
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!place.home.folder().exists());
}
