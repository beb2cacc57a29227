//! What only a directory can suffer: people and programs that clean up, file systems that hang.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/worker.rs"]
mod worker;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use hearth_api::{OwnerId, Rank};
use hearth_fabric::registry::{
    AnnounceStatus, Error, OwnerState, RankWish, Registry, RegistryUrl, Settings, open,
};
use hearth_protocol::record::WorkerState;
use tempfile::TempDir;
use worker::{SOON, id, is_registered, rank_of, record, sees, status_where, view_where};

fn place() -> (TempDir, std::path::PathBuf, Arc<dyn Registry>) {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("run");
    let url = RegistryUrl::parse(&format!("dir:{}", run.display())).unwrap();
    let registry = open(&url, &Settings::default()).unwrap();
    (folder, run, registry)
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named_until_it_is() {
    let (folder, run, registry) = place();
    let observation = registry.observe().unwrap();
    let (view, _) = view_where(&observation, "an error", |v| v.error.is_some()).await;
    assert!(!view.synced && view.workers.is_empty());
    let text = view.error.as_deref().unwrap().to_string();
    assert!(text.contains(run.to_str().unwrap()) && text.contains("hearth up"), "{text}");
    let announcement = registry.announce(record("w", 1), RankWish::Auto, folder.path()).unwrap();
    rank_of(&announcement).await;
    let (view, _) = sees(&observation, &[("w", 0)]).await;
    assert!(view.error.is_none());
    for private in [run.clone(), run.join("workers"), folder.path().join("w")] {
        let mode = fs::metadata(&private).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", private.display());
    }
}

#[tokio::test]
async fn a_folder_that_was_cleaned_up_is_filled_again() {
    let (folder, run, registry) = place();
    let announcement = registry.announce(record("w", 1), RankWish::Auto, folder.path()).unwrap();
    rank_of(&announcement).await;
    let observation = registry.observe().unwrap();
    sees(&observation, &[("w", 0)]).await;
    fs::remove_dir_all(&run).unwrap();
    view_where(&observation, "nobody", |v| v.workers.is_empty()).await;
    let (_, took) = sees(&observation, &[("w", 0)]).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    let (status, _) = status_where(&announcement, "registered", is_registered).await;
    assert!(matches!(status, AnnounceStatus::Registered { rank } if rank.0 == 0));
}

#[tokio::test]
async fn what_is_not_a_live_record_is_skipped() {
    let (folder, run, registry) = place();
    let announcement = registry.announce(record("w", 1), RankWish::Auto, folder.path()).unwrap();
    rank_of(&announcement).await;
    let workers = run.join("workers");
    let dead = serde_json::to_vec(&record("dead", 1)).unwrap();
    fs::write(workers.join("dead.json"), dead).unwrap();
    fs::write(workers.join("dead.lock"), "").unwrap();
    fs::write(workers.join("..json"), "{}").unwrap();
    fs::write(workers.join(".w.json.1.1"), "{}").unwrap();
    fs::write(workers.join("notes.txt"), "").unwrap();
    // Live, but no record: its lock is held by this test.
    let lock = fs::File::create(workers.join("garbled.lock")).unwrap();
    lock.try_lock().unwrap();
    fs::write(workers.join("garbled.json"), "not JSON").unwrap();
    let observation = registry.observe().unwrap();
    sees(&observation, &[("w", 0)]).await;
    // It becomes one.
    fs::write(workers.join("garbled.json"), serde_json::to_vec(&record("garbled", 1)).unwrap())
        .unwrap();
    let two = |v: &hearth_fabric::registry::View| v.workers.contains_key(&id("garbled"));
    view_where(&observation, "the mended record", two).await;
}

#[tokio::test]
async fn a_folder_that_can_t_be_written_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let url = RegistryUrl::parse(&format!("dir:{}", file.display())).unwrap();
    let registry = open(&url, &Settings::default()).unwrap();
    let announcement = registry.announce(record("w", 1), RankWish::Auto, folder.path()).unwrap();
    let pending = |s: &AnnounceStatus| matches!(s, AnnounceStatus::Pending { reason: Some(_) });
    let (status, _) = status_where(&announcement, "the reason", pending).await;
    let AnnounceStatus::Pending { reason: Some(reason) } = status else { unreachable!() };
    assert!(matches!(*reason, Error::Io { .. }), "{reason}");
    assert!(reason.to_string().contains(file.to_str().unwrap()), "{reason}");
    let refused = registry.announce(record("w", 1), RankWish::Auto, &file);
    assert!(matches!(refused, Err(Error::State { .. })));
}

#[tokio::test]
async fn a_record_that_can_t_be_written_stays_as_it_was_and_the_worker_listed() {
    let (folder, run, registry) = place();
    let announcement = registry.announce(record("w", 1), RankWish::Auto, folder.path()).unwrap();
    rank_of(&announcement).await;
    // What can't be replaced by a file, as on a disk that is full.
    let path = run.join("workers/w.json");
    fs::remove_file(&path).unwrap();
    fs::create_dir_all(path.join("full")).unwrap();
    announcement.update(|record| record.state = WorkerState::Draining).unwrap();
    let pending = |s: &AnnounceStatus| matches!(s, AnnounceStatus::Pending { reason: Some(_) });
    let (status, _) = status_where(&announcement, "the reason", pending).await;
    let AnnounceStatus::Pending { reason: Some(reason) } = status else { unreachable!() };
    assert!(reason.to_string().contains(path.to_str().unwrap()), "{reason}");
    for _ in 0..20 {
        let lock = fs::File::open(run.join("workers/w.lock")).unwrap();
        assert!(lock.try_lock_shared().is_err(), "the worker counts as gone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fs::remove_dir_all(&path).unwrap();
    status_where(&announcement, "registered", is_registered).await;
    let observation = registry.observe().unwrap();
    let draining = |view: &hearth_fabric::registry::View| {
        let record = view.workers.get(&id("w"));
        record.is_some_and(|record| record.state == WorkerState::Draining)
    };
    view_where(&observation, "the change", draining).await;
}

/// Runs a test on one thread, as a worker's network has: where that is blocked the test fails, and
/// does not hang.
fn on_one_thread(test: impl Future<Output = ()> + Send + 'static) {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test);
        // What still hangs is left behind.
        runtime.shutdown_background();
        done.send(()).unwrap();
    });
    let ended = ended.recv_timeout(2 * SOON);
    assert!(ended.is_ok(), "the thread is blocked, or the test failed in it: {ended:?}");
}

/// Makes a file whose opening, to read, hangs until somebody writes: like one on a dead NFS server.
fn hanging_file(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_folder_that_hangs_makes_a_view_stale_and_blocks_nobody() {
    on_one_thread(async {
        let (_folder, run, registry) = place();
        let lock = run.join("workers/w.lock");
        fs::create_dir_all(run.join("workers")).unwrap();
        fs::write(run.join("workers/w.json"), "{}").unwrap();
        hanging_file(&lock);
        let observation = registry.observe().unwrap();
        let (view, _) = view_where(&observation, "silence", |v| v.stale_since.is_some()).await;
        let error = view.error.as_deref().unwrap();
        assert!(matches!(error, Error::Silent { .. }), "{error}");
        assert!(error.to_string().contains(run.to_str().unwrap()), "{error}");
        // It answers again: nobody holds the lock.
        drop(fs::OpenOptions::new().read(true).write(true).open(&lock).unwrap());
        fs::remove_file(&lock).unwrap();
        view_where(&observation, "an answer", |v| v.synced && v.error.is_none()).await;
    });
}

#[test]
fn an_owner_s_file_that_hangs_says_nothing_and_blocks_nobody() {
    on_one_thread(async {
        let (_folder, run, registry) = place();
        let lock = run.join("owners/o.lock");
        hanging_file(&lock);
        let owner = OwnerId::new("o").unwrap();
        let watch = registry.watch_owner(&owner);
        let mut state = watch.state();
        let early = tokio::time::timeout(Duration::from_millis(300), state.changed()).await;
        assert!(early.is_err(), "{:?}", *state.borrow());
        assert_eq!(*state.borrow(), OwnerState::Unknown);
        drop(fs::OpenOptions::new().read(true).write(true).open(&lock).unwrap());
        let free = state.wait_for(|state| *state == OwnerState::Free);
        tokio::time::timeout(SOON, free).await.unwrap().unwrap();
    });
}

#[test]
fn an_announcement_in_a_folder_that_hangs_is_pending_and_blocks_nobody() {
    on_one_thread(async {
        let (folder, run, registry) = place();
        let lock = run.join("ranks/0.lock");
        hanging_file(&lock);
        let mut other = fs::OpenOptions::new().read(true).write(true).open(&lock).unwrap();
        other.lock().unwrap();
        // Another worker has the rank, and reading its name hangs.
        let wish = RankWish::Fixed(Rank(0));
        let announcement = registry.announce(record("w", 1), wish, folder.path()).unwrap();
        let pending = |s: &AnnounceStatus| matches!(s, AnnounceStatus::Pending { reason: Some(_) });
        let (status, _) = status_where(&announcement, "the reason", pending).await;
        let AnnounceStatus::Pending { reason: Some(reason) } = status else { unreachable!() };
        assert!(matches!(*reason, Error::Silent { .. }), "{reason}");
        other.write_all(b"other\n").unwrap();
        drop(other);
        let refused = |s: &AnnounceStatus| matches!(s, AnnounceStatus::Refused(_));
        let (status, _) = status_where(&announcement, "the refusal", refused).await;
        let AnnounceStatus::Refused(error) = status else { unreachable!() };
        assert!(error.to_string().contains("held by worker other"), "{error}");
    });
}
