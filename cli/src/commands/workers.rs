//! `hearth workers`: who is there, once or for as long as one looks.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use hearth_api::WorkerId;
use hearth_engine::{FleetView, NoArgs, RpcOptions, WorkerStatus, WorkerView, call};
use hearth_protocol::methods::Stats;
use serde::Serialize;

use crate::app::App;
use crate::args::WorkersArgs;
use crate::exit::{Failure, Status};
use crate::link::Link;
use crate::output::table::{Rows, Tint};
use crate::output::text;
use crate::signals::Interrupts;

/// How long a worker has to say how busy it is.
const ASK: Duration = Duration::from_millis(1_000);
/// A certificate's end is said so long before.
const CERTIFICATE_NOTICE: Duration = Duration::from_secs(24 * 3600);
/// How often a watched table is made anew.
const REFRESH: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &WorkersArgs, app: &App) -> Result<Status, Failure> {
    let link = app.link()?;
    let shown = if args.watch { watch(&link, app).await } else { once(&link, app).await };
    link.close().await;
    shown
}

async fn once(link: &Link, app: &App) -> Result<Status, Failure> {
    let view = link.settled().await?;
    let load = ask_load(link, &view).await;
    if app.output.json {
        app.output.json(&Fleet::new(&view, &load))?;
        return Ok(Status::Done);
    }
    app.output.note(header(link, &view));
    if view.workers.is_empty() && view.endpoints.is_empty() {
        app.output.note("no workers. Start some: hearth up, or hearth-worker --config FILE");
    } else {
        app.output.line(table(&view, &load, app))?;
    }
    Ok(Status::Done)
}

async fn watch(link: &Link, app: &App) -> Result<Status, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut fleet = link.engine.fleet();
    link.settled().await?;
    let mut drawn = 0;
    loop {
        let view = fleet.borrow_and_update().clone();
        let load = ask_load(link, &view).await;
        if app.output.json {
            app.output.json_line(&Fleet::new(&view, &load))?;
        } else {
            let text = format!("{}\n{}", header(link, &view), table(&view, &load, app));
            draw(&text, &mut drawn, app)?;
        }
        tokio::select! {
            biased;
            () = interrupts.next() => return Ok(Status::Done),
            () = tokio::time::sleep(REFRESH) => {}
            _ = fleet.changed() => {}
        }
    }
}

/// Draws over what was drawn before, on a terminal; elsewhere one text follows the other.
fn draw(text: &str, drawn: &mut usize, app: &App) -> Result<(), Failure> {
    if !app.output.interactive {
        return app.output.line(text);
    }
    let text = app.output.escape(text);
    // Up to the first line of the last drawing and clear from there, with lines cut at the
    // screen's edge: a wrapped one would count as two.
    let up = match *drawn {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    };
    *drawn = text.lines().count();
    app.output.bytes(format!("{up}\x1b[?7l{text}\x1b[?7h\n").as_bytes())
}

fn header(link: &Link, view: &FleetView) -> String {
    let fresh = match (view.stale_since, &view.error) {
        (Some(since), error) => {
            let why = error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            format!("stale for {}{why}", text::span(since.elapsed()))
        }
        (None, Some(error)) => error.clone(),
        (None, None) => "fresh".to_owned(),
    };
    let ready = view.ready().count();
    format!("{ready} of {} ready; {}, {fresh}", view.workers.len(), link.target)
}

/// What connected workers say of their work; of those that don't answer nothing.
async fn ask_load(link: &Link, view: &FleetView) -> BTreeMap<WorkerId, Stats> {
    if !view.workers.iter().any(|worker| worker.status.is_connected()) {
        return BTreeMap::new();
    }
    let options = RpcOptions::new().timeout(ASK);
    let asked = link.engine.call::<call::Stats>(NoArgs {}, options).await;
    let answers = asked.unwrap_or_default().into_iter();
    answers.filter_map(|envelope| Some((envelope.worker, envelope.outcome.ok()?))).collect()
}

fn table(view: &FleetView, load: &BTreeMap<WorkerId, Stats>, app: &App) -> String {
    let mut headings = vec!["id", "rank", "device", "state", "load", "models", "version", "since"];
    let now = SystemTime::now();
    let silent = view.endpoints.iter().any(|endpoint| endpoint.status.reason().is_some());
    if silent || view.workers.iter().any(|worker| why(view, worker, now).is_some()) {
        headings.push("why");
    }
    let mut rows = Rows::new(&app.output, &headings);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for worker in &view.workers {
        let state = rows.tinted(state(worker), tint(&worker.status));
        let since = worker.started_at.map(|at| text::since(at, now));
        rows.add(vec![
            worker.id.to_string().into(),
            or_dash(worker.rank.map(|rank| rank.to_string())).into(),
            or_dash(worker.device.clone()).into(),
            state,
            or_dash(load.get(&worker.id).map(busy)).into(),
            models(worker).into(),
            or_dash(worker.version.clone()).into(),
            or_dash(since).into(),
            why(view, worker, now).unwrap_or_default().into(),
        ]);
    }
    for endpoint in &view.endpoints {
        let state = rows.tinted(&endpoint.status, tint(&endpoint.status));
        let dash = || "-".into();
        let address = endpoint.address.to_string().into();
        let why = endpoint.status.reason().unwrap_or_default().into();
        rows.add(vec![address, dash(), dash(), state, dash(), dash(), dash(), dash(), why]);
    }
    rows.text()
}

/// The state, and how far it has come.
fn state(worker: &WorkerView) -> String {
    match (&worker.status, worker.percent) {
        (WorkerStatus::Loading, Some(percent)) => format!("loading {percent} %"),
        (status, _) => status.to_string(),
    }
}

/// What a state alone does not say.
fn why(view: &FleetView, worker: &WorkerView, now: SystemTime) -> Option<String> {
    // A list of addresses has no records to miss.
    let listed = worker.in_registry || view.registry.starts_with("static:");
    let reason = worker.status.reason().or((!listed).then_some("not in the registry"));
    let due = worker.certificate.filter(|validity| validity.is_due(now, CERTIFICATE_NOTICE));
    let due = due.map(|validity| {
        format!("its certificate ends in {}: hearth pki renew", text::span(validity.remaining(now)))
    });
    reason.map(str::to_owned).or(due)
}

fn tint(status: &WorkerStatus) -> Tint {
    match status {
        WorkerStatus::Ready => Tint::Good,
        WorkerStatus::Lost { .. }
        | WorkerStatus::Failed { .. }
        | WorkerStatus::Unhealthy
        | WorkerStatus::Connecting { error: Some(_) } => Tint::Bad,
        _ => Tint::Busy,
    }
}

/// `1/16 +3`: requests that run, of how many that can where they share their steps, and those that
/// wait.
fn busy(stats: &Stats) -> String {
    let running = format!("{}/{}", stats.running, stats.capacity.places());
    match stats.queued {
        0 => running,
        queued => format!("{running} +{queued}"),
    }
}

fn models(worker: &WorkerView) -> String {
    let names: Vec<_> = worker.models.iter().map(|model| model.name.as_str()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

/// The fleet for machines.
#[derive(Serialize)]
struct Fleet<'a> {
    registry: &'a str,
    synced: bool,
    stale_seconds: Option<u64>,
    error: Option<&'a str>,
    workers: Vec<Worker<'a>>,
}

#[derive(Serialize)]
struct Worker<'a> {
    id: &'a str,
    rank: Option<u32>,
    device: Option<&'a str>,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
    reason: Option<&'a str>,
    addresses: Vec<String>,
    models: Vec<&'a str>,
    stats: Option<&'a Stats>,
    version: Option<&'a str>,
    started_at: Option<u64>,
    in_registry: bool,
    /// End of its certificate's validity, seconds since 1970 (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_ends_at: Option<u64>,
}

impl<'a> Fleet<'a> {
    fn new(view: &'a FleetView, load: &'a BTreeMap<WorkerId, Stats>) -> Self {
        let worker = |worker: &'a WorkerView| Worker {
            id: worker.id.as_str(),
            rank: worker.rank.map(|rank| rank.0),
            device: worker.device.as_deref(),
            state: worker.status.to_string(),
            percent: worker.percent,
            reason: worker.status.reason(),
            addresses: worker.addresses.iter().map(ToString::to_string).collect(),
            models: worker.models.iter().map(|model| model.name.as_str()).collect(),
            stats: load.get(&worker.id),
            version: worker.version.as_deref(),
            started_at: worker.started_at,
            in_registry: worker.in_registry,
            certificate_ends_at: worker.certificate.map(|validity| {
                let since = validity.not_after.duration_since(SystemTime::UNIX_EPOCH);
                since.unwrap_or_default().as_secs()
            }),
        };
        Self {
            registry: &view.registry,
            synced: view.synced,
            stale_seconds: view.stale_since.map(|since| since.elapsed().as_secs()),
            error: view.error.as_deref(),
            workers: view.workers.iter().map(|of| worker(of)).collect(),
        }
    }
}
