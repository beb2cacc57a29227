//! What every launcher must do, shown with real programs.
//!
//! A launcher's own test file makes a [`Fixture`] and calls [`check`]. The cases run side by side
//! on it: a slow engine is started once.
#![allow(dead_code, reason = "each launcher's test uses what it needs")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail anywhere")]

mod bad_input;
mod ends;
mod life;
mod output;
pub(crate) mod owner;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt as _, LocalBoxFuture, join_all};
use futures_util::stream::TryStreamExt as _;
use hearth_launchers::{
    Handle, LaunchSpec, Launcher, LogOptions, Outcome, Replica, StateDir, Status,
};

/// The variable that tells a launch's processes from all others.
const MARK: &str = "HEARTH_TEST_MARK";

/// A launcher under test.
pub(crate) struct Fixture {
    /// Makes a launcher object over the same state, as another process would.
    pub(crate) make: Box<dyn Fn() -> Box<dyn Launcher>>,
    /// Its state.
    pub(crate) state: StateDir,
    /// How long its engine may take to start or end something.
    pub(crate) patience: Duration,
    /// Whether its replicas are processes that this one can see.
    pub(crate) local: bool,
    launcher: Box<dyn Launcher>,
}

type Case = for<'a> fn(&'a Fixture) -> LocalBoxFuture<'a, ()>;

macro_rules! cases {
    ($($module:ident :: $case:ident),* $(,)?) => {
        [$((stringify!($case), (|fixture| $module::$case(fixture).boxed_local()) as Case)),*]
    };
}

/// Runs all cases, and fails with the names of those that failed.
pub(crate) async fn check(fixture: &Fixture) {
    let cases = cases![
        life::ranks_are_told_and_results_come_in_their_order,
        life::the_rank_variable_has_another_name,
        life::files_reach_their_rank_for_this_user_alone,
        life::a_second_launcher_goes_on_with_the_state,
        life::a_collect_that_times_out_leaves_them_running,
        ends::exit_statuses_are_told,
        ends::a_signal_is_told,
        ends::a_timeout_ends_it,
        ends::a_cancel_asks_first_and_may_come_twice,
        ends::a_program_that_does_not_listen_is_killed,
        ends::what_a_program_leaves_behind_ends_with_it,
        ends::a_program_that_cannot_be_executed_fails_with_the_reason,
        output::a_tail_gives_the_last_lines_and_all_are_kept,
        output::a_follower_sees_lines_while_it_runs,
        output::a_result_that_is_no_json_is_told,
        bad_input::a_program_that_is_not_there_starts_nothing,
        bad_input::a_timeout_of_zero_is_refused,
        bad_input::a_foreign_handle_is_refused,
        bad_input::an_unknown_replica_is_refused,
    ];
    let run = cases.map(async |(name, case): (&str, Case)| {
        let ended = AssertUnwindSafe(case(fixture)).catch_unwind().await;
        ended.err().map(|panic| format!("{name}: {}", message(panic.as_ref())))
    });
    let failed: Vec<String> = join_all(run).await.into_iter().flatten().collect();
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic".to_owned())
}

impl Fixture {
    /// `make` gives a launcher over `state`.
    pub(crate) fn new(state: StateDir, make: impl Fn() -> Box<dyn Launcher> + 'static) -> Self {
        let launcher = make();
        let make = Box::new(make);
        Self { make, state, patience: Duration::from_secs(30), local: true, launcher }
    }

    /// The launcher.
    pub(crate) fn launcher(&self) -> &dyn Launcher {
        self.launcher.as_ref()
    }

    /// A launch of a shell script, with a mark of its own.
    pub(crate) fn script(&self, replicas: u32, script: &str) -> LaunchSpec {
        let mut spec = LaunchSpec::new("case", replicas, "/bin/sh");
        spec.args = vec!["-c".to_owned(), script.to_owned()];
        spec.env.insert(MARK.to_owned(), uuid::Uuid::new_v4().to_string());
        spec.grace = Duration::from_secs(5);
        spec
    }

    /// Launches, waits for all, and sees that nothing is left.
    pub(crate) async fn run(&self, spec: &LaunchSpec) -> Vec<Outcome> {
        let handles = self.launcher().launch(spec).await.unwrap();
        let outcomes = self.collect(&handles).await;
        self.nothing_left(spec).await;
        outcomes
    }

    pub(crate) async fn collect(&self, handles: &[Handle]) -> Vec<Outcome> {
        self.launcher().collect(handles, Some(self.patience)).await.unwrap()
    }

    pub(crate) async fn poll_one(&self, handle: &Handle) -> Replica {
        self.launcher().poll(std::slice::from_ref(handle)).await.unwrap().remove(0)
    }

    pub(crate) async fn lines(&self, handle: &Handle, tail: Option<usize>) -> Vec<String> {
        let options = LogOptions { tail, follow: false };
        let lines = self.launcher().logs(handle, options).await.unwrap();
        lines.try_collect().await.unwrap()
    }

    /// Waits until a replica has said `word`: it has come so far as to hear signals.
    pub(crate) async fn says(&self, handle: &Handle, word: &str) {
        let began = Instant::now();
        while !self.lines(handle, None).await.iter().any(|line| line == word) {
            let replica = self.poll_one(handle).await;
            assert!(!replica.status.is_final(), "{replica:?} before it said {word}");
            assert!(began.elapsed() < self.patience, "{handle} does not say {word}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Sees that no process of a launch is left.
    pub(crate) async fn nothing_left(&self, spec: &LaunchSpec) {
        let began = Instant::now();
        while self.local && !self.processes(spec).is_empty() {
            let left = self.processes(spec);
            assert!(began.elapsed() < Duration::from_secs(5), "{left:?} are left");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The processes that have a launch's mark: its programs and what they started.
    pub(crate) fn processes(&self, spec: &LaunchSpec) -> Vec<u32> {
        let mark = format!("{MARK}={}", spec.env[MARK]).into_bytes();
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let has = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry == mark)
        };
        pids.filter(has).collect()
    }
}

/// Statuses in the order of the ranks, which are checked.
pub(crate) fn statuses(outcomes: &[Outcome]) -> Vec<Status> {
    for (rank, outcome) in (0..).zip(outcomes) {
        assert_eq!(outcome.rank, rank, "{outcomes:?}");
    }
    outcomes.iter().map(|outcome| outcome.status).collect()
}
