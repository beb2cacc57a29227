//! What this machine sees of its fleet: certificate, registry, workers.

use std::time::{Duration, SystemTime};

use hearth_engine::FleetView;

use super::finding::{Finding, State};
use crate::app::App;
use crate::context::Context;
use crate::exit::Status;
use crate::link::Link;
use crate::output::text;

/// A certificate is due when this much of its time is left.
const DUE: Duration = Duration::from_secs(14 * 24 * 3600);
/// Beyond what a certificate's own margin forgives.
const SKEW: Duration = Duration::from_secs(4 * 60);

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
            return Finding::wrong(CHECK, found, remedy);
        }
    };
    let validity = identity.validity();
    let left = validity.remaining(SystemTime::now());
    let until = text::instant(validity.not_after);
    let found = format!("{}, valid until {until} ({} left)", identity.id, text::span(left));
    if left < DUE {
        let pki = context.pki.display();
        return Finding::warning(
            CHECK,
            found,
            format!("issue another into {pki}: hearth pki issue"),
        );
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
    findings.extend(clocks(&view, SystemTime::now()));
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
        return Finding::ok(CHECK, found);
    }
    Finding::wrong(CHECK, format!("{found}; {} don't answer", silent.len()), silent.join("; "))
}

/// A worker that started in the future has a clock that differs from this machine's.
fn clocks(view: &FleetView, now: SystemTime) -> Option<Finding> {
    let start = |at: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(at);
    let ahead = view.workers.iter().find(|worker| {
        worker.started_at.is_some_and(|at| start(at).duration_since(now).is_ok_and(|by| by > SKEW))
    })?;
    Some(Finding::wrong(
        "clocks",
        format!("worker {} started in the future by this machine's clock", ahead.id),
        "one of the two clocks is wrong: set it, and keep it with NTP",
    ))
}
