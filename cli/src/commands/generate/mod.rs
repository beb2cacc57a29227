//! `hearth generate`: one request, from its flags to its files.

mod destination;
mod fields;
mod report;
mod request;

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use hearth_engine::{CallContext, EngineOptions, GenerationRequest, RequestEvent, Submission};

use crate::app::App;
use crate::args::{AttachArgs, GenerateArgs, ModelSource};
use crate::context::Context;
use crate::exit::{Failure, Status};
use crate::link::Link;
use crate::local::{self, Fleet, RuntimeDir, Spec};
use crate::output::progress::StatusLine;
use crate::signals::Interrupts;
use destination::Destination;
use report::Report;

/// How long to wait for models that are being loaded, and for attached pictures, without `--timeout`.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long the local fleet may take to finish what still runs.
const DRAIN: Duration = Duration::from_secs(2);

pub(super) async fn run(args: &GenerateArgs, app: &App) -> Result<Status, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let mut request = request::build(args)?;
    let id = match request.id.take() {
        Some(id) => id,
        None => request::draw_id()?,
    };
    let (format, images) = (request.output_format, request.images());
    let destination =
        Destination::new(args.output.as_deref(), format, images, request::short(&id))?;
    if destination.is_stdout() {
        check_stdout(app)?;
    }
    request.id = Some(id);
    request.output_format = Some(destination.format);
    destination.check_writable(images)?;
    let timeout = args.timeout;
    if args.local {
        return run_local(args, request, &destination, &mut interrupts, app).await;
    }
    let link = app.link_with(bounds(args))?;
    let drive = drive(&link, true, request, &destination, timeout, &mut interrupts, app);
    let status = drive.await;
    link.close().await;
    status
}

fn bounds(args: &GenerateArgs) -> EngineOptions {
    EngineOptions::new().wait_for_place(!args.no_wait)
}

fn check_stdout(app: &App) -> Result<(), Failure> {
    if app.output.json {
        return Err(Failure::usage(
            "-o - and --json both write to standard output: name a file for the picture",
        ));
    }
    if std::io::stdout().is_terminal() {
        return Err(Failure::usage(
            "-o - would write the picture to the terminal: redirect it, as in > out.png",
        ));
    }
    Ok(())
}

/// Submits the request and follows it to its end. `stays` says whether the fleet outlives it.
async fn drive(
    link: &Link,
    stays: bool,
    mut request: GenerationRequest,
    destination: &Destination,
    timeout: Option<Duration>,
    interrupts: &mut Interrupts,
    app: &App,
) -> Result<Status, Failure> {
    let start = Instant::now();
    let images = request.images();
    {
        let line = StatusLine::new(&app.output);
        let loading = |_: &_| line.set("waiting for a worker that loads its models".to_owned());
        let ready = async {
            // Who has a deadline waits within it; others learn at once what is wrong.
            if let Some(timeout) = timeout {
                let waiting = |_: &_| line.set(format!("waiting for {}", link.target));
                link.engine.wait_for_registry(timeout, waiting).await;
            }
            let wait = timeout.map_or(PATIENCE, |timeout| timeout.saturating_sub(start.elapsed()));
            link.engine.wait_for_model(request.model.as_deref(), wait, loading).await;
        };
        tokio::select! {
            biased;
            () = interrupts.next() => return Ok(Status::Interrupted),
            () = ready => {}
        }
    }
    if let Some(timeout) = timeout {
        request.deadline_ms = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1));
    }
    let submission = tokio::select! {
        biased;
        () = interrupts.next() => return Ok(Status::Interrupted),
        submission = link.engine.submit_with(request, CallContext::new().arrived(start)) => submission,
    };
    let mut submission = match submission {
        Ok(submission) => submission,
        Err(error) => return Err(link.explain(error).await),
    };
    tracing::info!(id = %submission.id, since_start = ?app.started.elapsed(), "submitted");
    let mut report = Report::new(app, destination, images);
    let mut interrupted = false;
    loop {
        tokio::select! {
            biased;
            () = interrupts.next() => {
                // The second interrupt is final.
                if std::mem::replace(&mut interrupted, true) {
                    return Ok(Status::Interrupted);
                }
                report.interrupted();
                submission.cancel().await;
            }
            event = submission.next() => match event {
                Some(RequestEvent::Finished(output)) => return report.finish(output, interrupted),
                Some(event) => {
                    if let Err(failure) = report.on(event) {
                        submission.cancel().await;
                        return Err(report.unwritten(failure, &submission.id, stays)?);
                    }
                }
                None => return Err(Failure::failed("the request ended without a result")),
            },
        }
    }
}

/// `hearth attach`: the same for a request that workers have already. Ctrl-C leaves it alone.
pub(super) async fn attach(args: &AttachArgs, app: &App) -> Result<Status, Failure> {
    let mut interrupts = Interrupts::listen()?;
    let link = app.link()?;
    let attached = async {
        let start = Instant::now();
        link.workers_within(args.timeout).await?;
        let left = args.timeout.map_or(PATIENCE, |limit| limit.saturating_sub(start.elapsed()));
        Ok::<_, Failure>(link.engine.attach(&args.id, left).await?)
    };
    let attached = tokio::select! {
        biased;
        () = interrupts.next() => None,
        attached = attached => Some(attached),
    };
    let status = match attached {
        None => Ok(Status::Interrupted),
        Some(Ok(submission)) => follow(&link, submission, args, &mut interrupts, app).await,
        Some(Err(failure)) => Err(failure),
    };
    link.close().await;
    status
}

async fn follow(
    link: &Link,
    mut submission: Submission,
    args: &AttachArgs,
    interrupts: &mut Interrupts,
    app: &App,
) -> Result<Status, Failure> {
    let images = submission.items;
    let name = request::short(&args.id);
    let destination = Destination::new(args.output.as_deref(), None, images, name)?;
    if destination.is_stdout() {
        check_stdout(app)?;
    }
    destination.check_writable(images)?;
    app.output.note(format_args!("attached to {} of {}", args.id, link.target));
    let mut report = Report::new(app, &destination, images);
    loop {
        tokio::select! {
            biased;
            () = interrupts.next() => {
                report.interrupted();
                app.output.note(format_args!("left: it goes on; hearth cancel {} ends it", args.id));
                return Ok(Status::Interrupted);
            }
            event = submission.next() => match event {
                Some(RequestEvent::Finished(output)) => return report.finish(output, false),
                Some(event) => report.on(event)?,
                None => return Err(Failure::failed("the request ended without a result")),
            },
        }
    }
}

/// The same on a fleet that lives as long as the request.
async fn run_local(
    args: &GenerateArgs,
    mut request: GenerationRequest,
    destination: &Destination,
    interrupts: &mut Interrupts,
    app: &App,
) -> Result<Status, Failure> {
    app.refuse_fleet_flags("--local")?;
    // The flag gives the model's folder, the request its name.
    let model = match (&args.model, &request.model) {
        (None, None) => local::bundled_model(&app.env)?,
        (None, Some(name)) => local::named_model(name, &app.env)?,
        (Some(text), _) => {
            let source: ModelSource = text
                .parse()
                .map_err(|error| Failure::usage(format!("--model {text:?}: {error}")))?;
            local::resolve_model(&source, &app.env)?
        }
    };
    request.model = Some(model.name.clone());
    let spec = Spec {
        workers: 1,
        models: vec![model],
        device: args.device.clone(),
        http: None,
        drain: DRAIN,
    };
    let start = Instant::now();
    let mut fleet = Fleet::start(RuntimeDir::private(&app.env)?, &spec, &app.env)?;
    let link = match Context::local(&fleet.running)
        .and_then(|context| Link::open_with(&context, bounds(args)))
    {
        Ok(link) => link,
        Err(failure) => {
            fleet.stop(std::future::ready(())).await;
            return Err(failure);
        }
    };
    let status = match come_up(&mut fleet, &link, args.timeout, interrupts, app).await {
        Ok(()) => {
            let left = args.timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            drive(&link, false, request, destination, left, interrupts, app).await
        }
        Err(failure) => Err(failure),
    };
    link.close().await;
    fleet.stop(interrupts.next()).await;
    status
}

async fn come_up(
    fleet: &mut Fleet,
    link: &Link,
    timeout: Option<Duration>,
    interrupts: &mut Interrupts,
    app: &App,
) -> Result<(), Failure> {
    let line = StatusLine::new(&app.output);
    line.set("bringing a worker up".to_owned());
    let limit = timeout.unwrap_or(PATIENCE);
    tokio::select! {
        biased;
        () = interrupts.next() => Err(Failure::quiet(Status::Interrupted)),
        ready = fleet.wait_ready(link.engine.fleet(), |_| ()) => ready,
        () = tokio::time::sleep(limit) => Err(Failure::new(
            Status::Deadline,
            format!("the local worker was not ready within {limit:?}: give --timeout more"),
        )),
    }
}
