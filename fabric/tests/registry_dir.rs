//! What only a directory can suffer: people and programs that clean up.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

#[path = "support/worker.rs"]
mod worker;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use hearth_fabric::registry::{
    AnnounceStatus, Error, RankWish, Registry, RegistryUrl, Settings, open,
};
use tempfile::TempDir;
use worker::{id, is_registered, rank_of, record, sees, status_where, view_where};

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
