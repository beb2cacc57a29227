//! `hearth launch`: replicas of the worker, or of any program, through a launcher.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hearth_engine::workers::{Ranks, Workers};
use hearth_fabric::identity::{Authority, Identity, pki};
use hearth_fabric::registry::RegistryUrl;
use hearth_launchers::{
    Capabilities, Gpus, Handle, LaunchId, LaunchSpec, Launchers, Owner, Placement, Resources,
    command,
};
use serde::Serialize;

use super::replicas;
use crate::app::App;
use crate::args::LaunchArgs;
use crate::context::Context;
use crate::exit::{Failure, Status};
use crate::local::{WORKER, bundled_model, program};
use crate::output::text;
use crate::signals::Interrupts;

/// Launches that ended before this are forgotten.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// Old launches that one command forgets.
const AT_ONCE: usize = 32;
/// The launcher that is told of its programs.
const COMMAND: &str = "command";

/// What was launched, as JSON.
#[derive(Serialize)]
struct LaunchSummary<'a> {
    launcher: &'a str,
    launch: &'a LaunchId,
    handles: &'a [Handle],
}

pub(super) async fn run(args: &LaunchArgs, app: &App) -> Result<Status, Failure> {
    let mut options = replicas::options(app)?;
    options.command = programs(args, options.command)?;
    let launchers = replicas::launchers(&args.state, app, options)?;
    let launcher = launchers.by_name(&args.launcher)?;
    let spec = spec(args, launcher.capabilities(), app)?;
    spec.check()?;
    let mut interrupts = Interrupts::listen()?;
    let handles = tokio::select! {
        biased;
        () = interrupts.next() => {
            let given_up = async {
                match &spec.id {
                    Some(id) => give_up(&launchers, id).await,
                    None => Ok(()),
                }
            };
            tokio::select! {
                biased;
                () = interrupts.next() => app.output.note("interrupted: hearth replicas list"),
                ended = given_up => {
                    ended?;
                    app.output.note("interrupted: nothing of it is left");
                }
            }
            return Ok(Status::Interrupted);
        }
        handles = launcher.launch(&spec) => handles?,
    };
    show(&handles, &args.launcher, app)?;
    forget_old(&launchers);
    Ok(Status::Done)
}

/// Ends what an interrupted launch has started. Most launchers have done so by now; whatever is
/// still recorded runs elsewhere.
async fn give_up(launchers: &Launchers, id: &LaunchId) -> Result<(), Failure> {
    let Some(record) = launchers.state().load(id)? else { return Ok(()) };
    let handles: Vec<Handle> = record.handles().collect();
    launchers.by_name(&record.launcher)?.cancel(&handles).await?;
    Ok(launchers.state().remove(id)?)
}

fn show(handles: &[Handle], launcher: &str, app: &App) -> Result<(), Failure> {
    let Some(first) = handles.first() else { return Ok(()) };
    if app.output.json {
        return app.output.json(&LaunchSummary { launcher, launch: &first.launch, handles });
    }
    for handle in handles {
        app.output.line(handle)?;
    }
    let all = format!("{launcher}/{}", first.launch);
    app.output.note(format_args!("next: hearth replicas poll|logs|cancel|collect {all}"));
    Ok(())
}

/// What the launcher `command` runs: a folder that is named stands for all five.
fn programs(args: &LaunchArgs, config: command::Config) -> Result<command::Config, Failure> {
    match &args.programs {
        None => Ok(config),
        Some(folder) if args.launcher == COMMAND => Ok(config.in_folder(absolute(folder))),
        Some(_) => Err(Failure::usage(format!(
            "--programs is for --launcher {COMMAND}, and this is {}: leave it out",
            args.launcher
        ))),
    }
}

fn spec(args: &LaunchArgs, can: Capabilities, app: &App) -> Result<LaunchSpec, Failure> {
    let name = name(args);
    // Before ids and certificates are derived from it.
    LaunchSpec::new(&name, args.replicas, WORKER).check()?;
    let id = LaunchId::draw(&name);
    let mut spec = match &args.entrypoint {
        None => workers(args, can, &name, &id, app)?,
        Some(program) => {
            let mut spec = LaunchSpec::new(&name, args.replicas, program);
            spec.args.clone_from(&args.args);
            spec
        }
    };
    let here = || app.env.current_dir.clone().filter(|_| can.shares_files);
    spec.id = Some(id);
    spec.env.extend(args.env.iter().cloned());
    spec.working_dir = args.working_dir.as_deref().map(absolute).or_else(here);
    spec.rank_variable.clone_from(&args.rank_variable);
    spec.resources = Resources {
        cpus: args.cpus,
        gpus: args.gpu.as_ref().map(|spec| spec.0.clone()),
        memory: args.memory.map(|size| size.0),
        ..Resources::default()
    };
    spec.placement = Placement {
        pool: args.pool.clone(),
        hosts: args.hosts.clone(),
        labels: args.labels.iter().cloned().collect(),
        image: args.image.clone(),
    };
    spec.timeout = args.timeout;
    spec.grace = args.grace;
    spec.owner = Owner::Nobody;
    Ok(spec)
}

/// The given name, or one derived from what is launched, in letters that every launcher accepts.
fn name(args: &LaunchArgs) -> String {
    if let Some(name) = &args.name {
        return name.clone();
    }
    let Some(program) = &args.entrypoint else { return "workers".to_owned() };
    let stem = program.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(fit).take(40).collect();
    match name.trim_matches('-') {
        "" => "job".to_owned(),
        name => name.to_owned(),
    }
}

/// Workers that join this context's fleet.
fn workers(
    args: &LaunchArgs,
    can: Capabilities,
    name: &str,
    id: &LaunchId,
    app: &App,
) -> Result<LaunchSpec, Failure> {
    let context = Context::resolve(&app.global, &app.env)?;
    let registry = match &context.registry {
        RegistryUrl::Dir(_) if !can.shares_files => {
            return Err(Failure::usage(format!(
                "{} is on this host alone, and replicas by {} are not: name a registry that they \
                 reach, as in --registry etcd://HOST:PORT",
                context.registry, args.launcher
            )));
        }
        RegistryUrl::Dir(path) => RegistryUrl::Dir(absolute(path)),
        other => other.clone(),
    };
    let authority = authority(args.authority.as_deref(), &context)?;
    let local = !can.supports_many_hosts;
    let on_loopback = local && matches!(registry, RegistryUrl::Dir(_));
    let configured = has(&args.args, "--config");
    let mut flags = args.args.clone();
    if !configured && !has(&flags, "--model") && can.shares_files {
        let model = bundled_model(&app.env)?;
        flags.push(format!("--model={}={}", model.name, model.dir.display()));
    }
    let cards = args.gpu.as_ref().is_some_and(|spec| spec.0 != Gpus::Count(0));
    if !configured && !has(&flags, "--device") && cards {
        // The first of the visible ones.
        flags.push("--device=cuda:0".to_owned());
    }
    let cores = app.env.cores / args.replicas as usize;
    let threads = match args.cpus {
        _ if configured => 0,
        Some(cpus) => (cpus as usize).max(1),
        None if local && args.replicas > 1 => cores.max(1),
        None => 0,
    };
    app.output.note(format_args!(
        "{} by {} for {registry} ({})",
        text::count(args.replicas.into(), "worker"),
        args.launcher,
        context.origin
    ));
    let workers = Workers {
        name,
        count: args.replicas,
        program: match can.shares_files {
            true => program(WORKER, &app.env)?,
            false => PathBuf::from(WORKER),
        },
        prefix: id.as_str(),
        authority: &authority,
        registry: &registry,
        settings: &context.settings,
        ranks: Ranks::Free,
        listen: if on_loopback { "127.0.0.1:0" } else { "[::]:0" },
        threads,
        args: flags,
    };
    Ok(workers.spec()?)
}

fn has(flags: &[String], flag: &str) -> bool {
    let long = format!("{flag}=");
    flags.iter().any(|arg| arg == flag || arg.starts_with(&long))
}

/// The authority of the fleet: named, or where the caller's certificate is, or in the folder above
/// or beside, as `hearth pki issue` and `hearth up` leave them.
fn authority(given: Option<&Path>, context: &Context) -> Result<Authority, Failure> {
    let places: Vec<PathBuf> = match given {
        Some(given) => vec![given.to_owned()],
        None => {
            let pki = absolute(&context.pki);
            let above = pki.parent().map(Path::to_owned);
            let beside = above.as_ref().map(|above| above.join("authority"));
            std::iter::once(pki).chain(above).chain(beside).collect()
        }
    };
    let Some(place) = places.iter().find(|place| place.join(pki::CA_KEY_FILE).is_file()) else {
        let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        return Err(Failure::usage(format!(
            "workers need certificates, and {} is not in {}: name the authority's folder with \
             --authority DIR (hearth pki init made it)",
            pki::CA_KEY_FILE,
            places.join(" nor in ")
        )));
    };
    let authority = Authority::load(place)?;
    let own = Identity::load(&context.pki)?;
    if own.id.cluster() != authority.cluster() {
        return Err(Failure::usage(format!(
            "the authority in {} is of cluster {}, and the certificate in {} of cluster {}: they \
             would not trust each other",
            place.display(),
            authority.cluster(),
            context.pki.display(),
            own.id.cluster()
        )));
    }
    Ok(authority)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Launches that are known to have ended long ago. One that can't be read is kept.
fn forget_old(launchers: &Launchers) {
    let records = launchers.state().list().unwrap_or_default();
    let before = SystemTime::now() - KEEP;
    // An end can't be before its launch, so most need no look.
    let old = records.iter().filter(|record| record.age() > KEEP).filter(|record| {
        let ended = launchers.ended_at(record).ok().flatten();
        ended.is_some_and(|ended| ended < before)
    });
    for record in old.take(AT_ONCE) {
        if let Err(error) = launchers.state().remove(&record.id) {
            tracing::warn!(%error, launch = %record.id, "an old launch can't be forgotten");
        }
    }
}

#[cfg(test)]
mod tests {
    use hearth_launchers::shim::{ProcessId, Report};
    use hearth_launchers::{LaunchRecord, Options, StateDir};

    use super::*;

    #[test]
    fn a_week_counts_from_a_launchs_end() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path());
        let spec = LaunchSpec::new("job", 1, "true");
        let day = 24 * 3600 * 1000;
        let now = LaunchRecord::new(LaunchId::draw("now"), "process", &spec, "").created_at_ms;
        let make = |name: &str, ended_at_ms: Option<u64>| {
            let record = LaunchRecord::new(LaunchId::draw(name), "process", &spec, "");
            // All began three weeks ago.
            let record = LaunchRecord { created_at_ms: now - 21 * day, ..record };
            state.create(&record, &[]).unwrap();
            let report = Report { ended_at_ms, ..Report::begin(ProcessId::own().unwrap()) };
            report.write(&state.replica_folder(&record.id, 0)).unwrap();
            record.id
        };
        let kept = [make("unknown", None), make("young", Some(now - 6 * day))];
        let old = make("old", Some(now - 8 * day));
        forget_old(&Launchers::new(state.clone(), Options::default()));
        assert!(kept.iter().all(|id| state.load(id).unwrap().is_some()));
        assert_eq!(state.load(&old).unwrap(), None);
    }
}
