//! A launch as arguments of `sbatch`. Pure.
//!
//! What the replicas run, with which arguments, is in their plans: nothing of it passes through a
//! shell. The batch script gets the shim and the launch's folder as arguments of its own.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::config::NAME;
use crate::{Error, Gpus, LaunchId, LaunchSpec, Owner};

/// Runs one task of the array. `exec`, so that signals for the batch shell reach the shim.
///
/// Its output is sent on here rather than by `--output`, which would find a meaning of its own in
/// a folder's `%` or backslash.
pub(super) const SCRIPT: &str = "#!/bin/sh
# Started by Slurm once for each rank: $1 is hearth, $2 the launch's folder.
exec >> \"$2/$SLURM_ARRAY_TASK_ID/slurm.log\" 2>&1
exec \"$1\" replica-shim --dir \"$2/$SLURM_ARRAY_TASK_ID\"
";

/// What a shim that can't begin says, as the script has it; in the replica's folder.
pub(super) const TASK_LOG: &str = "slurm.log";

/// By when `sbatch` has answered, or was given up.
pub(super) const ANSWERED: Duration = Duration::from_secs(120);

/// What Slurm's time limit is beyond the replica's own: the shim ends it in order before.
const TIME_MARGIN: Duration = Duration::from_secs(60);

/// Checks what is Slurm's own.
pub(super) fn check(spec: &LaunchSpec) -> Result<(), Error> {
    let cant = |field, remedy: &str| {
        Err(Error::Unsupported { launcher: NAME, field, remedy: remedy.to_owned() })
    };
    if spec.owner != Owner::Nobody {
        let remedy =
            "a job can't be bound to a process of this host: cancel it, or give it a timeout";
        return cant("owner", remedy);
    }
    if spec.placement.image.is_some() {
        return cant("image", "Slurm runs programs of the node; leave it out");
    }
    if spec.placement.hosts.len() > 1 {
        let remedy = "a task runs on one host: name one, or label the hosts and name the label";
        return cant("hosts", remedy);
    }
    if matches!(spec.resources.gpus, Some(Gpus::Devices(_))) {
        return cant(
            "gpus",
            "give a number, or a type as in A100:2; which cards is Slurm's choice",
        );
    }
    if !spec.resources.cores.is_empty() {
        return cant("cores", "give a number as cpus; which cores is Slurm's choice");
    }
    if let Some((key, value)) = spec.placement.labels.iter().find(|(_, value)| !value.is_empty()) {
        return Err(Error::Spec {
            field: "labels",
            value: format!("{key}={value}"),
            remedy: format!("Slurm's features have no values: give {key} alone"),
        });
    }
    let plain = |text: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        !text.is_empty() && !text.starts_with('-') && text.bytes().all(fits)
    };
    let placement = &spec.placement;
    let names = [("pool", &placement.pool)].into_iter().filter_map(|(f, n)| Some((f, n.as_ref()?)));
    let names = names
        .chain(placement.hosts.iter().map(|name| ("hosts", name)))
        .chain(placement.labels.keys().map(|name| ("labels", name)));
    for (field, name) in names {
        if !plain(name) {
            let remedy = "give letters, digits, '-', '_' and '.'".to_owned();
            return Err(Error::Spec { field, value: format!("{name:?}"), remedy });
        }
    }
    Ok(())
}

/// The arguments of `sbatch` for a launch whose folder is `folder`.
pub(super) fn arguments(
    id: &LaunchId,
    spec: &LaunchSpec,
    folder: &Path,
    script: &Path,
    shim: &Path,
) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    let mut set = |name: &str, value: String| args.push(format!("--{name}={value}").into());
    set("array", format!("0-{}", spec.replicas - 1));
    set("job-name", id.to_string());
    set("nodes", "1".to_owned());
    set("ntasks", "1".to_owned());
    if let Some(cpus) = spec.resources.cpus {
        // Slurm deals out whole ones.
        set("cpus-per-task", format!("{}", cpus.ceil()));
    }
    if let Some(memory) = spec.resources.memory {
        set("mem", format!("{}K", memory.div_ceil(1024)));
    }
    match &spec.resources.gpus {
        Some(Gpus::Count(count)) => set("gres", format!("gpu:{count}")),
        Some(Gpus::Typed(cards)) => set("gres", format!("gpu:{}:{}", cards.name(), cards.count())),
        // The check has refused these.
        Some(Gpus::Devices(_)) | None => {}
    }
    if let Some(timeout) = spec.timeout {
        let whole = timeout.saturating_add(spec.grace).saturating_add(TIME_MARGIN);
        set("time", whole.as_secs().div_ceil(60).to_string());
    }
    if let Some(partition) = &spec.placement.pool {
        set("partition", partition.clone());
    }
    if let Some(host) = spec.placement.hosts.first() {
        set("nodelist", host.clone());
    }
    let labels: Vec<&str> = spec.placement.labels.keys().map(String::as_str).collect();
    if !labels.is_empty() {
        set("constraint", labels.join("&"));
    }
    // A task that runs twice would find the folder of its first run.
    args.extend(["--no-requeue", "--export=ALL", "--output=/dev/null"].map(OsString::from));
    args.push(joined("--chdir=", folder));
    args.extend(["--parsable", "--"].map(OsString::from));
    args.extend([script.into(), shim.into(), folder.into()]);
    args
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    text.push(path);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resources;

    fn arguments_of(spec: &LaunchSpec) -> Vec<String> {
        let id = "workers-1f0c9e77a2b4".parse().unwrap();
        let folder = Path::new("/shared/50% off/workers");
        let script = folder.join("batch.sh");
        let args = arguments(&id, spec, folder, &script, Path::new("/opt/hearth"));
        args.into_iter().map(|arg| arg.into_string().unwrap()).collect()
    }

    #[test]
    fn a_spec_becomes_options_of_sbatch() {
        let mut spec = LaunchSpec::new("workers", 3, "worker");
        spec.resources = Resources {
            cpus: Some(1.5),
            memory: Some(1 << 30),
            gpus: Some(Gpus::Count(2)),
            ..Resources::default()
        };
        spec.timeout = Some(Duration::from_secs(90));
        spec.placement.pool = Some("gpu".into());
        spec.placement.hosts = vec!["n1".into()];
        spec.placement.labels = [("a100", ""), ("nvlink", "")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        let args = arguments_of(&spec);
        for expected in [
            "--array=0-2",
            "--cpus-per-task=2",
            "--mem=1048576K",
            "--gres=gpu:2",
            "--time=3",
            "--partition=gpu",
            "--nodelist=n1",
            "--constraint=a100&nvlink",
            "--output=/dev/null",
            "--chdir=/shared/50% off/workers",
        ] {
            assert!(args.iter().any(|arg| arg == expected), "{expected}: {args:?}");
        }
        assert_eq!(args[args.len() - 4], "--");
        assert_eq!(args[args.len() - 1], "/shared/50% off/workers");
    }

    #[test]
    fn cards_of_a_type_are_asked_for_by_it() {
        let mut spec = LaunchSpec::new("workers", 1, "worker");
        for (cards, gres) in [("A100", "--gres=gpu:A100:1"), ("H100:2", "--gres=gpu:H100:2")] {
            spec.resources.gpus = Some(Gpus::Typed(cards.parse().unwrap()));
            check(&spec).unwrap();
            assert!(arguments_of(&spec).contains(&gres.to_owned()));
        }
    }

    #[test]
    fn the_script_writes_where_the_launcher_reads() {
        assert!(SCRIPT.contains(&format!("/{TASK_LOG}\"")));
    }

    #[test]
    fn what_is_not_limited_is_not_mentioned() {
        let args = arguments_of(&LaunchSpec::new("workers", 1, "worker")).join(" ");
        for option in ["--mem", "--gres", "--time", "--cpus", "--partition", "--constraint"] {
            assert!(!args.contains(option), "{option}: {args}");
        }
    }

    #[test]
    fn what_slurm_cant_do_is_refused_with_a_remedy() {
        let refused = |change: fn(&mut LaunchSpec)| {
            let mut spec = LaunchSpec::new("workers", 2, "worker");
            change(&mut spec);
            check(&spec).unwrap_err().to_string()
        };
        assert!(refused(|s| s.owner = Owner::Caller).contains("timeout"));
        assert!(refused(|s| s.placement.image = Some("i".into())).contains("image"));
        assert!(refused(|s| s.placement.hosts = vec!["a".into(), "b".into()]).contains("one host"));
        let label =
            |s: &mut LaunchSpec| s.placement.labels = [("a100".into(), "yes".into())].into();
        assert!(refused(label).contains("give a100 alone"));
        assert!(refused(|s| s.placement.pool = Some("a --wrap=x".into())).contains("a --wrap=x"));
        let devices = |s: &mut LaunchSpec| {
            s.resources.gpus = Some(Gpus::Devices(vec!["0".into(), "1".into()]));
        };
        assert!(refused(devices).contains("give a number"));
    }
}
