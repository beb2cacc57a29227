//! What this machine sees of its fleet: certificate, registry, workers.

use std::time::{Duration, SystemTime};

use hearth_engine::{FleetView, WorkerStatus};

use super::clocks::{self, Reading};
use super::finding::{Finding, State};
use crate::app::App;
use crate::context::Context;
use crate::exit::Status;
use crate::link::Link;
use crate::output::text;

/// A certificate is due when this much of its time is left.
const DUE: Duration = Duration::from_secs(14 * 24 * 3600);
/// How long a worker may take to say its time.
const ASK: Duration = Duration::from_secs(2);

pub(super) async fn check(app: &App) -> Vec<Finding> {
    let context = match Context::resolve(&app.global, &app.env) {
        Ok(context) => context,
        Err(failure) if failure.status == Status::NoWorker => {
            let found = "none is named, none runs on this host (hearth up starts one)";
            return vec![Finding::ok("fleet", found)];
        }
        Err(failure) => {
            let (found, remedy) = describe(&failure);
            return vec![Finding::wrong("fleet", found, remedy)];
        }
    };
    let mut findings = vec![certificate(&context)];
    match Link::open(&context) {
        Ok(link) => {
            findings.extend(registry(&link).await);
            link.close().await;
        }
        // The certificate's fault is reported already.
        Err(_) if findings[0].state == State::Wrong => {}
        Err(failure) => {
            let (found, remedy) = describe(&failure);
            findings.push(Finding::wrong("registry", found, remedy));
        }
    }
    findings
}

/// A failure as a finding: its first line, and the rest as the remedy.
fn describe(failure: &crate::exit::Failure) -> (String, String) {
    let text = failure.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let (found, rest) = text.split_once('\n').unwrap_or((text, "see above"));
    (found.to_owned(), rest.to_owned())
}

fn certificate(context: &Context) -> Finding {
    const CHECK: &str = "certificate";
    let identity = match context.identity() {
        Ok(identity) => identity,
        Err(failure) => {
            let (found, remedy) = describe(&failure);
            // Of a certificate that has ended nobody can say whether it is not the clock.
            let now = text::instant(SystemTime::now());
            let clock =
                format!("this machine's clock says {now}: should that be wrong, set it first");
            return Finding::wrong(CHECK, found, format!("{clock}; {remedy}"));
        }
    };
    let validity = identity.validity();
    let left = validity.remaining(SystemTime::now());
    let until = text::instant(validity.not_after);
    let found = format!("{}, valid until {until} ({} left)", identity.id, text::span(left));
    if validity.is_due(SystemTime::now(), DUE) {
        let pki = context.pki.display();
        return Finding::warning(CHECK, found, format!("hearth pki renew {pki} --dir AUTHORITY"));
    }
    Finding::ok(CHECK, found)
}

async fn registry(link: &Link) -> Vec<Finding> {
    let view = match link.settled().await {
        Ok(view) => view,
        Err(failure) => {
            let (found, remedy) = describe(&failure);
            return vec![Finding::wrong("registry", found, remedy)];
        }
    };
    let mut findings = vec![Finding::ok("registry", link.target.clone()), workers(&view)];
    findings.extend(certificates(&view, SystemTime::now()));
    let answers = link.engine.check_health(ASK).await;
    let now = SystemTime::now();
    let readings: Vec<_> = answers.iter().filter_map(|it| Reading::of(it, now)).collect();
    findings.extend(clocks::judge(&readings).or_else(|| starts(&view, now)));
    findings
}

fn workers(view: &FleetView) -> Finding {
    const CHECK: &str = "workers";
    let known = view.workers.len() + view.endpoints.len();
    if known == 0 {
        let remedy = "start one: hearth-worker --config FILE, or hearth up";
        return Finding::warning(CHECK, "none is registered", remedy);
    }
    let statuses = view.workers.iter().map(|worker| (worker.id.to_string(), &worker.status));
    let endpoints = view.endpoints.iter().map(|e| (e.address.to_string(), &e.status));
    let silent: Vec<String> = statuses
        .chain(endpoints)
        .filter(|(_, status)| !status.is_connected())
        .map(|(name, status)| format!("{name}: {}", status.reason().unwrap_or("no answer")))
        .collect();
    let ready = view.ready().count();
    let found = format!("{ready} of {known} ready");
    if silent.is_empty() {
        return idle(view, found);
    }
    Finding::wrong(CHECK, format!("{found}; {} don't answer", silent.len()), silent.join("; "))
}

/// Of workers that all answer: those that take no requests, because somebody wanted that.
fn idle(view: &FleetView, found: String) -> Finding {
    const CHECK: &str = "workers";
    let of = |status: &WorkerStatus| -> Vec<String> {
        let workers = view.workers.iter().filter(|worker| worker.status == *status);
        workers.map(|worker| worker.id.to_string()).collect()
    };
    let (drained, asleep) = (of(&WorkerStatus::Draining), of(&WorkerStatus::Sleeping));
    let (mut what, mut remedies) = (vec![found], Vec::new());
    if !drained.is_empty() {
        let names = drained.join(" ");
        what.push(format!("{names} drained"));
        remedies.push(format!("hearth resume {names} ends a drain"));
    }
    if !asleep.is_empty() {
        let names = asleep.join(" ");
        what.push(format!("{names} asleep"));
        remedies.push(format!("hearth wake {names} ends a sleep"));
    }
    match remedies.is_empty() {
        true => Finding::ok(CHECK, what.concat()),
        false => Finding::warning(CHECK, what.join("; "), remedies.join("; ")),
    }
}

/// Workers whose certificates end soon: nobody reaches them after that.
fn certificates(view: &FleetView, now: SystemTime) -> Option<Finding> {
    let due = view.workers.iter().filter_map(|worker| {
        let validity = worker.certificate.filter(|validity| validity.is_due(now, DUE))?;
        Some(format!("{}'s ends in {}", worker.id, text::span(validity.remaining(now))))
    });
    let due: Vec<_> = due.collect();
    (!due.is_empty()).then(|| {
        let remedy = "hearth pki renew FOLDER… --dir AUTHORITY, where the workers' folders are";
        Finding::warning("workers' certificates", due.join("; "), remedy)
    })
}

/// A worker that started in the future has a clock that differs from this machine's.
fn starts(view: &FleetView, now: SystemTime) -> Option<Finding> {
    let start = |at: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(at);
    let ahead = view.workers.iter().find(|worker| {
        worker
            .started_at
            .is_some_and(|at| start(at).duration_since(now).is_ok_and(|by| by > clocks::SKEW))
    })?;
    Some(Finding::wrong(
        "clocks",
        format!("worker {} started in the future by this machine's clock", ahead.id),
        "one of the two clocks is wrong: set it, and keep it with NTP",
    ))
}
