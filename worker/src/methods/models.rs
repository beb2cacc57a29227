//! Methods that change which models are in memory. Compute does it between two steps; they only wait
//! for the outcome.

use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use hearth_api::{CallError, ErrorKind};
use hearth_base::files;
use hearth_protocol::methods::{
    LoadModelArgs, LoadModelValue, SleepArgs, SleepValue, UnloadModelArgs, UnloadModelValue,
    WakeArgs, WakeValue,
};
use tokio::sync::Semaphore;

use super::arguments::arguments;
use super::call::{Answer, MethodCall};
use super::reply::{answer, own_fault};
use crate::compute::{FreedMemory, OrderRequest, PendingOrder, Reply};
use crate::models::{Model, Residency};
use crate::shared::Shared;

/// Longest name of a model.
const NAME: usize = 128;
/// Most further names of a model.
const ALIASES: usize = 16;
/// How deep a worker can sleep.
const LEVELS: [u8; 2] = [1, 2];

/// How long the file system may take to say whether a folder is there.
const LOOK: Duration = Duration::from_secs(10);

/// Folders that are looked at at a time: each look holds a thread until the file system answers.
static LOOKS: Semaphore = Semaphore::const_new(4);

pub(super) async fn load_model(call: MethodCall) -> Result<Answer, CallError> {
    let MethodCall { shared, request, .. } = call;
    let args: LoadModelArgs = arguments(&request)?;
    let began = Instant::now();
    shared.inbox.look(|plan| plan.life().check_awake())?;
    let name = args.name.clone();
    let added = added(&shared, args).await?;
    let request = OrderRequest::Load { model: name.clone(), added };
    let order = PendingOrder::place(&shared.inbox, request, Reply::Loaded)?;
    let loaded = order.ok_or_else(own_fault)?.outcome().await?;
    let model = shared.inbox.look(|plan| plan.models().info(&name));
    let model = model.ok_or_else(|| {
        CallError::new(ErrorKind::UnknownModel, format!("model {name:?} was unloaded meanwhile"))
    })?;
    answer(&LoadModelValue { model, loaded, took_ms: began.elapsed().as_secs_f64() * 1e3 })
}

/// The model that a call adds; none where it means one that is listed.
async fn added(shared: &Shared, args: LoadModelArgs) -> Result<Option<Box<Model>>, CallError> {
    let LoadModelArgs { name, path, aliases } = args;
    let Some(path) = path else {
        if !aliases.is_empty() {
            let message = "aliases go with path: a configured model has those of its config";
            return Err(CallError::invalid("aliases", message));
        }
        return Ok(None);
    };
    check_name("name", &name)?;
    aliases.iter().try_for_each(|alias| check_name("aliases", alias))?;
    if aliases.len() > ALIASES {
        let message = format!("{} aliases: give at most {ALIASES}", aliases.len());
        return Err(CallError::invalid("aliases", message));
    }
    let dirs = shared.model_dirs.clone();
    let path = look(&shared.model_dirs, LOOK, move || beneath(&dirs, &path)).await?;
    let residency = Residency::OnDemand;
    Ok(Some(Box::new(Model { name, aliases, path, configured: false, failures: 0, residency })))
}

/// Looks at folders apart, for a file system that may not answer.
async fn look(
    dirs: &[PathBuf],
    limit: Duration,
    look: impl FnOnce() -> Result<PathBuf, CallError> + Send + 'static,
) -> Result<PathBuf, CallError> {
    let looked = async {
        let turn = LOOKS.acquire().await.map_err(look_failed)?;
        // The turn goes with the look, which a caller that leaves does not end.
        let work = move || {
            let _turn = turn;
            look()
        };
        files::run_blocking(work).await.map_err(look_failed)?
    };
    tokio::time::timeout(limit, looked).await.unwrap_or_else(|_| {
        let names: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
        let message = format!(
            "the worker's disk does not answer: see to the file systems of {} on its host",
            names.join(", ")
        );
        Err(CallError::new(ErrorKind::NotReady, message))
    })
}

fn look_failed<E>(_: E) -> CallError {
    CallError::new(ErrorKind::Internal, "looking at the folder failed")
}

fn check_name(field: &str, name: &str) -> Result<(), CallError> {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '\\');
    if !name.is_empty() && name.len() <= NAME && name.chars().all(plain) {
        return Ok(());
    }
    let message =
        format!("{field} {name:?}: give 1 to {NAME} letters, digits or signs such as - _ . /");
    Err(CallError::invalid(field, message))
}

/// The folder that is meant, its links resolved, if it lies beneath one of `dirs`.
fn beneath(dirs: &[PathBuf], path: &str) -> Result<PathBuf, CallError> {
    let bad = |message: String| CallError::invalid("path", message);
    if dirs.is_empty() {
        let message = "this worker loads configured models only: name folders in worker.model_dirs";
        return Err(bad(message.to_owned()));
    }
    let given = Path::new(path);
    let climbs = given.components().any(|part| matches!(part, Component::ParentDir));
    if path.is_empty() || path.contains('\0') || climbs {
        return Err(bad(format!("path {path:?}: give a folder without .. in it")));
    }
    // What lies outside looks the same as what isn't there: a caller learns nothing of other folders.
    let names: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let outside = || bad(format!("path {path:?} is no folder beneath {}", names.join(", ")));
    for dir in dirs {
        let Ok(root) = dir.canonicalize() else { continue };
        let Ok(real) = root.join(given).canonicalize() else { continue };
        if real.starts_with(&root) && real != root && real.is_dir() {
            return Ok(real);
        }
    }
    Err(outside())
}

pub(super) async fn unload_model(call: MethodCall) -> Result<Answer, CallError> {
    let MethodCall { shared, request, .. } = call;
    let args: UnloadModelArgs = arguments(&request)?;
    let request = OrderRequest::Unload { model: args.name };
    let order = PendingOrder::place(&shared.inbox, request, Reply::Freed);
    let order = order.map_err(|error| {
        let is_models = matches!(error.kind, ErrorKind::UnknownModel | ErrorKind::NotReady);
        let param = if is_models { Some("name".to_owned()) } else { error.param };
        CallError { param, ..error }
    })?;
    let freed = match order {
        Some(order) => Some(order.outcome().await?),
        None => None,
    };
    let FreedMemory { resident: freed_bytes, device: device_bytes } = freed.unwrap_or_default();
    answer(&UnloadModelValue { unloaded: freed.is_some(), freed_bytes, device_bytes })
}

pub(super) async fn sleep(call: MethodCall) -> Result<Answer, CallError> {
    let MethodCall { shared, request, .. } = call;
    let args: SleepArgs = arguments(&request)?;
    if !LEVELS.contains(&args.level) {
        let message = format!("level {}: give 1 or 2", args.level);
        return Err(CallError::invalid("level", message));
    }
    let request = OrderRequest::Sleep { level: args.level };
    let order = PendingOrder::place(&shared.inbox, request, Reply::Freed)?.ok_or_else(own_fault)?;
    let under_way = shared.inbox.look(|plan| plan.items().is_busy());
    let freed = match args.wait || !under_way {
        true => Some(order.outcome().await?),
        false => None,
    };
    let (state, counts) = shared.inbox.look(|plan| (plan.life().state(), plan.items().counts()));
    let FreedMemory { resident: freed_bytes, device: device_bytes } = freed.unwrap_or_default();
    answer(&SleepValue {
        state,
        level: freed.map(|_| args.level),
        freed_bytes,
        device_bytes,
        running: counts.running,
        queued: counts.queued,
    })
}

pub(super) async fn wake_up(call: MethodCall) -> Result<Answer, CallError> {
    let MethodCall { shared, request, .. } = call;
    let args: WakeArgs = arguments(&request)?;
    let began = Instant::now();
    let order = PendingOrder::place(&shared.inbox, OrderRequest::Wake, Reply::Awake)?;
    let order = order.ok_or_else(own_fault)?;
    let models = if args.wait { order.outcome().await? } else { Vec::new() };
    let state = shared.inbox.state();
    answer(&WakeValue { state, models, took_ms: began.elapsed().as_secs_f64() * 1e3 })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_path_must_lie_beneath_a_named_folder() {
        let root = tempfile::tempdir().unwrap();
        let (inside, outside) = (root.path().join("models"), root.path().join("secret"));
        std::fs::create_dir_all(inside.join("sd")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(inside.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, inside.join("link")).unwrap();
        std::os::unix::fs::symlink(inside.join("sd"), inside.join("good")).unwrap();
        let dirs = [root.path().join("gone"), inside.clone()];
        let real = inside.join("sd").canonicalize().unwrap();
        let absolute = inside.join("sd").display().to_string();
        for path in ["sd", "./sd", "good", &absolute] {
            assert_eq!(beneath(&dirs, path).unwrap(), real, "{path}");
        }
        let secret = outside.display().to_string();
        let climbing = format!("{absolute}/../../secret");
        for path in
            ["", ".", "..", "../secret", "link", "file", "nope", "sd\0", "/", &secret, &climbing]
        {
            let error = beneath(&dirs, path).unwrap_err();
            assert_eq!(error.param.as_deref(), Some("path"), "{path}: {error}");
        }
        assert!(beneath(&[], "sd").unwrap_err().message.contains("worker.model_dirs"));
    }

    #[tokio::test]
    async fn a_disk_that_hangs_is_an_error_and_holds_few_threads() {
        let dirs = [PathBuf::from("/models")];
        let (release, hung) = std::sync::mpsc::channel::<()>();
        let hung = Arc::new(std::sync::Mutex::new(hung));
        let limit = Duration::from_millis(50);
        // More than may look at a time: those that have no turn wait no longer than the others.
        for _ in 0..6 {
            let hung = Arc::clone(&hung);
            let hang = move || {
                let _ = hung.lock().unwrap().recv();
                Ok(PathBuf::new())
            };
            let error = look(&dirs, limit, hang).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotReady);
            assert!(error.message.contains("/models"), "{error}");
        }
        assert_eq!(LOOKS.available_permits(), 0);
        drop(release);
        let found = look(&dirs, Duration::from_secs(60), || Ok(PathBuf::from("/models/a"))).await;
        assert_eq!(found.unwrap(), PathBuf::from("/models/a"));
    }

    #[test]
    fn names_are_plain() {
        for name in ["sd15", "org/model-1.5_x", "m:v2"] {
            assert!(check_name("name", name).is_ok(), "{name}");
        }
        for name in ["", "a b", "a\n", "\u{1b}[31m", "ä", "\"", &"x".repeat(NAME + 1)] {
            assert!(check_name("name", name).is_err(), "{name:?}");
        }
    }
}
