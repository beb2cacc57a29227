//! Programs that go wrong in every way they can, as one-line shell scripts: nothing they say is
//! trusted, and nothing that they may have started is left without a word.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use hearth_launchers::command::{CommandLauncher, Config};
use hearth_launchers::{
    Error, Handle, LaunchSpec, Launcher as _, LogOptions, Outcome, StateDir, Status,
};
use serde_json::{Value, json};

use crate::{LIMIT, gone};

const LAUNCHED: &str = r#"echo '{"replicas": [{"rank": 0, "handle": "a"}, {"rank": 1}]}'"#;

/// A service that is a folder: a launch runs until `ended` is there.
struct Service {
    folder: tempfile::TempDir,
    config: Config,
}

impl Service {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut service = Self { folder, config: Config::default() };
        service.has("launch", LAUNCHED);
        service.has("poll", "test -e ended && exit 11; . ./running");
        service.has("logs", "echo one; echo two");
        service.has("cancel", "touch ended");
        service.has("collect", "exit 11");
        // Both ranks are asked for, or the first alone.
        let running = "grep -q '\"rank\":1' poll.json && second=', {\"rank\": 1, \"status\": \
                       \"running\"}'\necho \"{\\\"replicas\\\": [{\\\"rank\\\": 0, \\\"status\\\": \
                       \\\"running\\\"}$second]}\"\n";
        std::fs::write(service.path("running"), running).unwrap();
        service
    }

    /// Has a call be this script; what it was told is in a file of the call's name, how often it was
    /// made in another.
    fn has(&mut self, call: &str, script: &str) {
        let here = self.folder.path().display();
        let script = format!(
            "cd {here}; request=$(cat); printf %s \"$request\" >{call}.json; echo \"$1\" >>{call}.count; {script}"
        );
        let argv = ["sh", "-c", &script, call].map(str::to_owned).to_vec();
        match call {
            "launch" => self.config.launch = argv,
            "poll" => self.config.poll = argv,
            "logs" => self.config.logs = argv,
            "cancel" => self.config.cancel = argv,
            "collect" => self.config.collect = argv,
            _ => panic!("{call} is no call"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The launches that a call was made for, as its argument says.
    fn calls(&self, call: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(&format!("{call}.count")));
        text.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn told(&self, call: &str) -> Value {
        let text = std::fs::read(self.path(&format!("{call}.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn state(&self) -> StateDir {
        StateDir::new(self.path("state"))
    }

    fn launcher(&self) -> CommandLauncher {
        CommandLauncher::new(self.state(), self.config.clone())
    }

    async fn launch(&self) -> Result<Vec<Handle>, Error> {
        let mut spec = LaunchSpec::new("job", 2, "true");
        spec.grace = Duration::from_millis(100);
        self.launcher().launch(&spec).await
    }

    async fn poll(&self, handles: &[Handle]) -> Vec<(Status, Option<String>)> {
        let replicas = self.launcher().poll(handles).await.unwrap();
        replicas.into_iter().map(|replica| (replica.status, replica.error)).collect()
    }

    async fn collect(&self, handles: &[Handle]) -> Vec<Outcome> {
        self.launcher().collect(handles, Some(LIMIT)).await.unwrap()
    }
}

#[tokio::test]
async fn a_launch_that_is_not_told_of_whole_is_ended() {
    let huge = "head -c 5000000 /dev/zero";
    let partial = r#"echo '{"replicas": [{"rank": 0, "handle": 1}]}'"#;
    for (script, part) in [
        ("echo 'no json'", "no json"),
        ("true", "EOF"),
        (partial, "named no rank 1"),
        (huge, "more than 4194304 bytes"),
        ("printf 'no\\033[2Jluck\\n' >&2; exit 3", r"ended with status 3: no\u{1b}[2Jluck"),
        ("kill -9 $$", "signal: 9"),
        ("exit 11", "knows nothing"),
    ] {
        let mut service = Service::new();
        service.has("launch", script);
        let error = service.launch().await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Manager { .. }) && said.contains(part), "{said}");
        assert!(said.contains("launch (/"), "its program is named: {said}");
        let cancelled = service.calls("cancel");
        assert_eq!(cancelled, service.calls("launch"), "{script}: the same launch is ended");
        let told = service.told("cancel");
        assert_eq!((&told["call"], &told["force"]), (&json!("cancel"), &json!(false)));
        assert_eq!(told["replicas"][1]["handle"], Value::Null);
        assert_eq!(service.state().list().unwrap(), []);
    }
}

#[tokio::test]
async fn a_launch_that_takes_too_long_is_killed_with_what_it_started_and_ended() {
    let mut service = Service::new();
    service.has("launch", "sleep 600 & echo $! >sleeps; wait");
    service.config.launch_timeout = Duration::from_secs(3);
    let error = service.launch().await.unwrap_err().to_string();
    assert!(error.contains("took longer than 3s"), "{error}");
    let pid = std::fs::read_to_string(service.path("sleeps")).unwrap();
    gone(pid.trim()).await;
    assert_eq!(service.calls("cancel").len(), 1);
    assert_eq!(service.state().list().unwrap(), []);
}

#[tokio::test]
async fn a_launch_that_can_be_neither_made_nor_ended_is_kept() {
    let mut service = Service::new();
    service.has("launch", "exit 3");
    service.has("cancel", "echo 'no rights' >&2; exit 10");
    let error = service.launch().await.unwrap_err().to_string();
    let kept = service.state().list().unwrap();
    assert_eq!(kept.len(), 1);
    let handle = format!("hearth replicas cancel command/{}", kept[0].id);
    for part in ["ended with status 3", "no rights", &handle] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // Its end is tried again, with what is in order by now.
    let handles: Vec<Handle> = kept[0].handles().collect();
    std::fs::write(service.path("ended"), "").unwrap();
    service.launcher().cancel(&handles).await.unwrap();
    assert_eq!(
        service.poll(&handles).await,
        [(Status::Cancelled, None), (Status::Cancelled, None)]
    );
}

/// A poll that fails for a moment keeps no cancel from being made.
#[tokio::test]
async fn what_cannot_be_asked_about_is_ended_all_the_same() {
    let mut service = Service::new();
    let poll = service.config.poll[2].clone();
    service.has("launch", "exit 3");
    service.has("poll", &format!("test -e ended || exit 4; {poll}"));
    let error = service.launch().await.unwrap_err().to_string();
    assert!(error.contains("ended with status 3") && !error.contains("status 4"), "{error}");
    assert_eq!(service.calls("cancel").len(), 1);
    assert_eq!(service.state().list().unwrap(), []);
}

#[tokio::test]
async fn a_refusal_starts_nothing_and_ends_nothing() {
    for (script, part, is_configuration) in [
        (r#"echo '{"field": "gpus", "remedy": "ask for one"}'; exit 10"#, "ask for one", true),
        (r#"echo '{"field": "program", "remedy": "no image"}'; exit 10"#, "no image", true),
        (r#"echo '{"field": "moon", "remedy": "x"}'; exit 10"#, "refused it", false),
        ("echo quota >&2; exit 10", "refused it: quota", false),
    ] {
        let mut service = Service::new();
        service.has("launch", script);
        let error = service.launch().await.unwrap_err();
        assert_eq!(error.is_configuration(), is_configuration, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(service.calls("cancel"), [""; 0]);
        assert_eq!(service.state().list().unwrap(), []);
    }
}

#[tokio::test]
async fn what_may_be_tried_again_is_and_what_was_done_before_is_done() {
    let mut service = Service::new();
    let script = format!("{LAUNCHED}; test $(wc -l <launch.count) -lt 3 && exit 75; exit 12");
    service.has("launch", &script);
    let handles = service.launch().await.unwrap();
    let calls = service.calls("launch");
    assert_eq!(calls, vec![handles[0].launch.to_string(); 3]);
    service.has("cancel", "touch ended; exit 12");
    service.launcher().cancel(&handles).await.unwrap();
}

/// And is the launch's own; the caller's config may be another by now.
#[tokio::test]
async fn a_launch_goes_on_with_the_programs_that_it_was_begun_with() {
    let service = Service::new();
    let handles = service.launch().await.unwrap();
    let other = CommandLauncher::new(service.state(), Config::default());
    let replicas = other.poll(&handles).await.unwrap();
    assert!(replicas.iter().all(|replica| replica.status == Status::Running), "{replicas:?}");
    assert_eq!(service.told("poll")["replicas"][0]["handle"], "a");
    let error = other.launch(&LaunchSpec::new("job", 1, "true")).await.unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, Error::ManagerAbsent { .. }) && said.contains("--programs"), "{said}");
    other.cancel(&handles).await.unwrap();
}

#[tokio::test]
async fn a_poll_that_makes_no_sense_is_an_error_and_ends_nothing() {
    let mut service = Service::new();
    let handles = service.launch().await.unwrap();
    let poll = service.config.poll.clone();
    let keep = |service: &Service| {
        let path = service.state().launch_folder(&handles[0].launch).join("programs.json");
        let kept = std::fs::read(&path).unwrap();
        let mut kept: Value = serde_json::from_slice(&kept).unwrap();
        kept["poll"] = json!(service.config.poll);
        kept["timeout"] = json!("3s");
        std::fs::write(&path, kept.to_string()).unwrap();
    };
    for (script, part) in [
        (r#"echo '{"replicas": [{"rank": 0, "status": "running"}]}'"#, "named no rank 1"),
        (r#"echo '{"replicas": [{"rank": 0, "status": "asleep"}]}'"#, "asleep"),
        ("exit 4", "status 4"),
        ("sleep 600", "took longer than 3s"),
        ("printf 'x\\r\\033]0;' >&2; exit 75", r"for the moment: x\r\u{1b}]0;"),
    ] {
        service.has("poll", script);
        keep(&service);
        let error = service.launcher().poll(&handles).await.unwrap_err();
        let said = error.to_string();
        assert!(matches!(error, Error::Manager { .. }) && said.contains(part), "{said}");
    }
    service.config.poll = poll;
    keep(&service);
    assert_eq!(service.poll(&handles[..1]).await, [(Status::Running, None)]);
    service.launcher().cancel(&handles).await.unwrap();
}

/// A program may leave something running that holds its output.
#[tokio::test]
async fn an_answer_does_not_wait_for_what_its_program_leaves_behind() {
    let mut service = Service::new();
    service.has("launch", &format!("{LAUNCHED}; sleep 600 & echo $! >sleeps"));
    let handles = service.launch().await.unwrap();
    let pid = std::fs::read_to_string(service.path("sleeps")).unwrap();
    assert!(Path::new("/proc").join(pid.trim()).exists(), "it is the program's own business");
    let raw = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    service.launcher().cancel(&handles).await.unwrap();
}

#[tokio::test]
async fn an_end_is_kept_and_what_the_service_forgot_is_told() {
    let mut service = Service::new();
    let ends = r#"{"rank": 0, "status": "failed", "exit_code": 2, "error": "oh"}, {"rank": 1, "status": "unknown"}"#;
    service.has("poll", &format!("echo '{{\"replicas\": [{ends}]}}'"));
    service.has("collect", "echo '[1]'");
    let handles = service.launch().await.unwrap();
    let seen = service.poll(&handles).await;
    assert_eq!(seen[0], (Status::Failed, Some("oh".to_owned())));
    assert_eq!(seen[1].0, Status::Failed);
    assert!(seen[1].1.as_ref().unwrap().contains("no longer know it"), "{seen:?}");
    service.launcher().cancel(&handles).await.unwrap();
    assert_eq!(service.poll(&handles).await, seen);
    let outcomes = service.collect(&handles).await;
    assert_eq!((outcomes[0].exit_code, &outcomes[0].result), (Some(2), &Some(json!([1]))));
    assert_eq!(service.collect(&handles).await, outcomes);
    assert_eq!(service.calls("poll").len(), 1);
    assert_eq!(service.calls("cancel").len(), 0);
    assert_eq!(service.calls("collect").len(), 2, "one for each replica");
}

#[tokio::test]
async fn a_result_that_cannot_be_fetched_is_told_and_fetched_later() {
    let mut service = Service::new();
    let ends = r#"{"rank": 0, "status": "succeeded"}, {"rank": 1, "status": "succeeded"}"#;
    service.has("poll", &format!("echo '{{\"replicas\": [{ends}]}}'"));
    let script = "printf %s \"$request\" | grep -q '\"rank\":0' || exec head -c 70000000 /dev/zero\n\
                  test -e there || { echo later >&2; exit 1; }; echo 7";
    service.has("collect", script);
    let handles = service.launch().await.unwrap();
    let outcomes = service.collect(&handles).await;
    let error = |rank: usize| outcomes[rank].error.clone().unwrap();
    assert!(error(0).contains("can't be fetched") && error(0).contains("later"), "{outcomes:?}");
    assert!(error(1).contains("more than 67108864 bytes"), "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Succeeded));
    std::fs::write(service.path("there"), "").unwrap();
    let again = service.collect(&handles[..1]).await;
    assert_eq!((&again[0].result, &again[0].error), (&Some(json!(7)), &None));
}

#[tokio::test]
async fn a_cancel_is_over_when_it_is_seen_and_force_is_asked_for_before_it_is_given_up() {
    let mut service = Service::new();
    service.has("cancel", "grep -q '\"force\":true' cancel.json && touch ended; exit 0");
    service.config.timeout = Duration::from_secs(5);
    let handles = service.launch().await.unwrap();
    service.launcher().cancel(&handles).await.unwrap();
    assert_eq!(service.calls("cancel").len(), 2);
    assert_eq!(service.poll(&handles).await[0], (Status::Cancelled, None));

    let mut service = Service::new();
    service.has("cancel", "exit 0");
    service.config.timeout = Duration::from_secs(5);
    let handles = service.launch().await.unwrap();
    let error = service.launcher().cancel(&handles).await.unwrap_err().to_string();
    assert!(error.contains(&handles[0].to_string()) && error.contains("doesn't end"), "{error}");
    assert_eq!(service.poll(&handles).await[0], (Status::Running, None));
}

/// As where Ctrl-C ends the command: its record stays until what came of it has been ended.
#[tokio::test]
async fn a_launch_that_is_given_up_can_be_ended_by_its_id() {
    let mut service = Service::new();
    service.has("launch", "echo $$ >starts; exec sleep 600");
    {
        let launch = service.launch();
        tokio::pin!(launch);
        let began = Instant::now();
        while !std::fs::read(service.path("starts")).is_ok_and(|text| text.ends_with(b"\n")) {
            let pause = Duration::from_millis(20);
            assert!(tokio::time::timeout(pause, &mut launch).await.is_err());
            assert!(began.elapsed() < LIMIT);
        }
    }
    gone(std::fs::read_to_string(service.path("starts")).unwrap().trim()).await;
    let record = service.state().list().unwrap().remove(0);
    let handles: Vec<Handle> = record.handles().collect();
    std::fs::write(service.path("ended"), "").unwrap();
    assert_eq!(service.poll(&handles).await[0], (Status::Pending, None), "its answer may come yet");
    service.launcher().cancel(&handles).await.unwrap();
    assert_eq!(service.told("cancel")["launch"], record.id.as_str());
    assert_eq!(service.poll(&handles).await[0], (Status::Cancelled, None));
}

/// The service did not know of it yet, and said so; then it did.
#[tokio::test]
async fn what_is_cancelled_while_it_is_launched_is_ended_once_it_is_there() {
    let mut service = Service::new();
    let wait = "touch launching; until test -e go; do sleep 0.02; done; rm ended";
    service.has("launch", &format!("{wait}; {LAUNCHED}"));
    std::fs::write(service.path("ended"), "").unwrap();
    let cancels = async {
        let began = Instant::now();
        while !service.path("launching").exists() {
            assert!(began.elapsed() < LIMIT);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let record = service.state().list().unwrap().remove(0);
        let handles: Vec<Handle> = record.handles().collect();
        service.launcher().cancel(&handles).await.unwrap();
        std::fs::write(service.path("go"), "").unwrap();
    };
    let (launched, ()) = tokio::join!(service.launch(), cancels);
    let handles = launched.unwrap();
    assert_eq!(service.calls("cancel").len(), 2);
    assert_eq!(service.told("cancel")["replicas"][0]["handle"], "a");
    assert_eq!(service.poll(&handles).await[1], (Status::Cancelled, None));
}

#[tokio::test]
async fn a_log_ends_with_its_programs_complaint_and_has_lines_of_a_bounded_length() {
    let lines = async |script: &str, options| {
        let mut service = Service::new();
        service.has("logs", script);
        let handles = service.launch().await.unwrap();
        let lines = service.launcher().logs(&handles[0], options).await.unwrap();
        let lines: Result<Vec<String>, Error> = lines.try_collect().await;
        (lines, service.told("logs"))
    };
    let options = LogOptions { tail: Some(2), follow: false };
    let (said, told) = lines("echo one; echo two", options).await;
    assert_eq!(said.unwrap(), ["one", "two"]);
    assert_eq!((&told["tail"], &told["follow"]), (&json!(2), &json!(false)));
    let follow = LogOptions { tail: None, follow: true };
    let (said, told) = lines("printf 'a\\nb'; exit 11", follow).await;
    assert_eq!(said.unwrap(), ["a", "b"]);
    assert_eq!((&told["tail"], &told["follow"]), (&Value::Null, &json!(true)));
    let (said, _) = lines("echo one; echo gone >&2; exit 3", options).await;
    let error = said.unwrap_err().to_string();
    assert!(error.contains("broke off") && error.contains("status 3: gone"), "{error}");
    let (said, _) = lines("head -c 1000000 /dev/zero", options).await;
    assert!(said.unwrap().iter().all(|line| line.len() <= 64 << 10));
}
