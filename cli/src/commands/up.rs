//! `hearth up`: a fleet on this host, for as long as this command runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_api::WorkerId;
use hearth_engine::{FleetView, NoArgs, RpcOptions, call};
use serde_json::json;

use crate::app::App;
use crate::args::{Http, UpArgs};
use crate::context::Context;
use crate::exit::{Failure, Status};
use crate::link::Link;
use crate::local::{self, DaemonExit, Fleet, Model, RuntimeDir, Spec};
use crate::output::progress::StatusLine;
use crate::output::text;
use crate::signals::Interrupts;

/// How long requests have to end in when the fleet does.
const DRAIN: Duration = Duration::from_secs(30);
/// The same when it never came up.
const ABANDON: Duration = Duration::from_secs(2);
/// How often the status line is made anew.
const REFRESH: Duration = Duration::from_secs(1);

pub(super) async fn run(args: &UpArgs, app: &App) -> Result<Status, Failure> {
    app.refuse_fleet_flags("hearth up")?;
    let mut interrupts = Interrupts::listen()?;
    let spec = Spec {
        workers: args.workers,
        models: models(args, app)?,
        device: args.device.clone(),
        http: match args.http {
            Http::Off => None,
            Http::On(address) => Some(address),
        },
        drain: DRAIN,
    };
    let claim = RuntimeDir::locate(&app.global, &app.env).claim()?;
    let mut fleet = Fleet::start(claim, &spec, &app.env)?;
    let link = match fleet.publish().and_then(|()| Link::open(&Context::local(&fleet.running)?)) {
        Ok(link) => link,
        Err(failure) => {
            fleet.stop(std::future::ready(())).await;
            return Err(failure);
        }
    };
    let up = Up { app, spec: &spec, link: &link, started: Instant::now() };
    let ended = match up.start(&mut fleet, &mut interrupts).await {
        Ok(true) => up.watch(&mut fleet, &mut interrupts).await,
        Ok(false) => Ok(Status::Done),
        Err(failure) => {
            link.close().await;
            fleet.stop(tokio::time::sleep(ABANDON)).await;
            return Err(failure);
        }
    };
    let others = others(&link.engine.fleet().borrow(), spec.workers);
    link.close().await;
    app.output.note("ending the fleet; Ctrl-C again does not wait for requests");
    fleet.stop(interrupts.next()).await;
    if !others.is_empty() {
        let others = others.join(", ");
        app.output.note(format_args!(
            "not ended, as others started them: {others}. See hearth replicas list"
        ));
    }
    ended
}

/// Workers that came into the fleet from elsewhere, as by `hearth launch`.
fn others(view: &FleetView, own: u32) -> Vec<String> {
    let own: BTreeSet<_> = (0..own).map(local::worker_name).collect();
    let there = view.workers.iter().filter(|worker| worker.status.is_connected());
    there.map(|worker| worker.id.to_string()).filter(|id| !own.contains(id)).collect()
}

/// The models to serve, each under its own name.
fn models(args: &UpArgs, app: &App) -> Result<Vec<Model>, Failure> {
    if args.models.is_empty() {
        return Ok(vec![local::bundled_model(&app.env)?]);
    }
    let resolve = |source| local::resolve_model(source, &app.env);
    let models = args.models.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    let mut names = BTreeSet::new();
    for model in &models {
        if !names.insert(&model.name) {
            return Err(Failure::usage(format!(
                "two models are called {}: name one, as in --model other={}",
                model.name,
                model.dir.display()
            )));
        }
    }
    Ok(models)
}

struct Up<'a> {
    app: &'a App,
    spec: &'a Spec,
    link: &'a Link,
    started: Instant,
}

impl Up<'_> {
    /// Waits until all is ready, and says so. False if it was interrupted.
    async fn start(&self, fleet: &mut Fleet, interrupts: &mut Interrupts) -> Result<bool, Failure> {
        let line = StatusLine::new(&self.app.output);
        let seen = |view: &FleetView| line.set(self.starting(view));
        tokio::select! {
            biased;
            () = interrupts.next() => return Ok(false),
            ready = fleet.wait_ready(self.link.engine.fleet(), seen) => ready?,
        }
        drop(line);
        self.say_ready(fleet)?;
        Ok(true)
    }

    fn starting(&self, view: &FleetView) -> String {
        let states: Vec<_> =
            view.workers.iter().map(|worker| format!("{} {}", worker.id, worker.status)).collect();
        let absent = (self.spec.workers as usize).saturating_sub(states.len());
        let absent = (absent > 0).then(|| format!("{absent} starting"));
        let states: Vec<_> = states.into_iter().chain(absent).collect();
        format!("coming up: {}", states.join(", "))
    }

    fn say_ready(&self, fleet: &Fleet) -> Result<(), Failure> {
        let Self { app, spec, .. } = self;
        let names: Vec<_> = spec.models.iter().map(|model| model.name.as_str()).collect();
        let took = self.started.elapsed();
        if app.output.json {
            return app.output.json_line(&json!({
                "pid": fleet.running.pid,
                "registry": fleet.running.registry,
                "pki": fleet.running.pki,
                "http": fleet.running.http,
                "workers": spec.workers,
                "models": names,
                "ready_ms": took.as_millis(),
            }));
        }
        let workers = text::count(spec.workers.into(), "worker");
        let http = fleet.running.http.as_ref().map(|url| format!(", {url}")).unwrap_or_default();
        let (models, took) = (names.join(", "), text::took(took));
        app.output.line(format_args!(
            "ready in {took}: {workers} on {}, model {models}{http}",
            spec.device
        ))?;
        if let Some(dir) = app.global.runtime_dir.as_ref().or(app.env.runtime_dir.as_ref()) {
            let dir = dir.display();
            app.output.note(format_args!("\nin another shell: export HEARTH_RUNTIME_DIR={dir}"));
        }
        app.output.note(
            "\n  hearth generate \"red heart\"   a picture\n  \
             hearth workers --watch         who is there\n  \
             hearth requests                what runs\n\nCtrl-C ends the fleet.",
        );
        Ok(())
    }

    /// Shows how the fleet is until it is to end.
    async fn watch(
        &self,
        fleet: &mut Fleet,
        interrupts: &mut Interrupts,
    ) -> Result<Status, Failure> {
        let output = &self.app.output;
        let line = StatusLine::new(output);
        let mut view = self.link.engine.fleet();
        let mut known = states(&view.borrow_and_update());
        loop {
            let now = Arc::clone(&view.borrow_and_update());
            let states = states(&now);
            for text in changes(&known, &states) {
                line.line(output, &text);
            }
            known = states;
            if output.live {
                line.set(self.status(&now).await);
            }
            tokio::select! {
                biased;
                () = interrupts.next() => return Ok(Status::Done),
                ended = fleet.next_end() => {
                    line.hidden(|| self.tell(&ended));
                    if fleet.left() <= usize::from(self.spec.http.is_some()) {
                        return Err(Failure::failed("no worker is left"));
                    }
                }
                _ = view.changed() => {}
                () = tokio::time::sleep(REFRESH), if output.live => {}
            }
        }
    }

    fn tell(&self, ended: &DaemonExit) {
        crate::output::say(format_args!("warning: {} {}", ended.name, ended.how));
        for text in ended.log() {
            self.app.output.note(format_args!("  {text}"));
        }
    }

    async fn status(&self, view: &FleetView) -> String {
        let options = RpcOptions::new().timeout(REFRESH);
        let asked = self.link.engine.call::<call::Stats>(NoArgs {}, options);
        let answers = asked.await.unwrap_or_default().into_iter();
        let stats = answers.filter_map(|envelope| envelope.outcome.ok());
        let (mut running, mut queued, mut done) = (0, 0, 0);
        for stats in stats {
            running += stats.running;
            queued += stats.queued;
            done += stats.done;
        }
        let ready = view.ready().count();
        let up = text::span(self.started.elapsed());
        format!("{ready} ready, {running} running, {queued} waiting, {done} done; up for {up}")
    }
}

fn states(view: &FleetView) -> BTreeMap<WorkerId, String> {
    let state = |worker: &hearth_engine::WorkerView| {
        let reason = worker.status.reason().map(|reason| format!(": {reason}"));
        (worker.id.clone(), format!("{}{}", worker.status, reason.unwrap_or_default()))
    };
    view.workers.iter().map(|worker| state(worker)).collect()
}

/// What a person should hear of.
fn changes(before: &BTreeMap<WorkerId, String>, after: &BTreeMap<WorkerId, String>) -> Vec<String> {
    let came = after
        .iter()
        .filter(|(id, state)| before.get(*id) != Some(state))
        .map(|(id, state)| format!("{id} is {state}"));
    let went =
        before.keys().filter(|id| !after.contains_key(*id)).map(|id| format!("{id} is gone"));
    came.chain(went).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once() {
        let fleet = |states: &[(&str, &str)]| -> BTreeMap<WorkerId, String> {
            let state = |(id, state): &(&str, &str)| (id.parse().unwrap(), (*state).to_owned());
            states.iter().map(state).collect()
        };
        let before = fleet(&[("w0", "ready"), ("w1", "ready"), ("w2", "ready")]);
        let after = fleet(&[("w0", "ready"), ("w1", "draining")]);
        assert_eq!(changes(&before, &after), ["w1 is draining", "w2 is gone"]);
        assert!(changes(&after, &after).is_empty());
    }
}
