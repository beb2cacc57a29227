//! The shim itself: starts the program, waits for it, ends it when it must, and reports how it
//! ended.

use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use super::guard::Guard;
use super::members::Members;
use super::memory::OomKills;
use super::output::Output;
use super::owner::Owner;
use super::process_id::raw;
use super::stage::{self, Stage};
use super::{Plan, ProcessId, Report, program_stage};
use crate::Status;

/// From an owner's end to the kill: 2 s are allowed in all.
const OWNER_GRACE: Duration = Duration::from_millis(1_500);
/// Between the signals that an engine sends to all of a job.
const SAME_MOMENT: Duration = Duration::from_millis(200);
/// How long the rest of the output may take.
const DRAIN: Duration = Duration::from_secs(1);
/// How long writing the last report is retried where it fails, as on a full disk: without it nobody
/// knows how the replica ended.
const REPORTED: Duration = Duration::from_secs(5 * 60);
const AGAIN: Duration = Duration::from_millis(500);
const TIMED_OUT: u8 = 124;
const CANCELLED: u8 = 143;
const UNUSABLE: u8 = 2;

/// Why a program is ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Cancelled,
    OwnerGone,
    TimedOut,
}

/// Runs the shim.
pub(super) fn run(folder: &Path) -> ExitCode {
    let (plan, report) = match begin(folder) {
        Ok(begun) => begun,
        Err(StartFailure::Cancelled) => return ExitCode::from(CANCELLED),
        Err(StartFailure::Error(error)) => {
            complain(&format!("the shim can't begin: {error}"));
            return ExitCode::from(UNUSABLE);
        }
    };
    // One thread, the main one: the program dies with it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match &runtime {
        Ok(runtime) => runtime.block_on(supervise(folder, &plan, &report)),
        Err(error) => Err(io::Error::other(error.to_string())),
    };
    let (report, reason) = ended.unwrap_or_else(|error| {
        let report = report.end(Status::Failed, Some(format!("its shim could not work: {error}")));
        tell(&report, folder);
        (report, None)
    });
    if let Ok(runtime) = runtime {
        runtime.shutdown_background();
    }
    exit_code(&report, reason)
}

/// Why a shim can't start its program.
enum StartFailure {
    /// Somebody asked for the replica's end before it was started.
    Cancelled,
    Error(String),
}

impl<E: ToString> From<E> for StartFailure {
    fn from(error: E) -> Self {
        Self::Error(error.to_string())
    }
}

fn begin(folder: &Path) -> Result<(Plan, Report), StartFailure> {
    let plan = Plan::read(folder)?;
    let plan = plan.ok_or_else(|| format!("{} has no plan", folder.display()))?;
    if Report::read(folder)?.is_some_and(|report| report.status == Status::Cancelled) {
        return Err(StartFailure::Cancelled);
    }
    if plan.own_session {
        // Refused to one that leads a group: it has been set apart already.
        let _ = rustix::process::setsid();
    }
    program_stage::forget(folder);
    let own = ProcessId::own().ok_or("/proc is not there")?;
    let report = Report::begin(own);
    report.write(folder)?;
    Ok((plan, report))
}

/// An engine keeps it; there is nobody else to tell, also where it can't be written.
fn complain(error: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {error}");
}

/// From the program's start to the last report, which is written; with why it was ended before its
/// time.
async fn supervise(
    folder: &Path,
    plan: &Plan,
    begun: &Report,
) -> io::Result<(Report, Option<Reason>)> {
    let mut requests = Requests::listen(plan)?;
    let kills = OomKills::now();
    let mut guard = Guard::start(folder)?;
    let output = Output::open(&plan.log)?;
    let mut command = Command::from(stage::command(folder, Stage::Program)?);
    command.stdin(Stdio::null()).stdout(output.stdout).stderr(output.stderr);
    let mut child = command.spawn()?;
    // Its ends of the pipe go with it, so that the program alone holds them.
    drop(command);
    let program = child.id().and_then(ProcessId::of);
    if let Some(program) = &program {
        guard.watch(program);
    }
    let running = Report { status: Status::Running, program: program.clone(), ..begun.clone() };
    tell(&running, folder);

    let (status, reason) = tend(&mut child, plan, &mut requests).await?;
    Members::new(program.as_ref(), plan.result()).kill();
    if let Some(pump) = output.pump {
        pump.finish(DRAIN);
    }
    let refused = program_stage::refusal(folder);
    let ended = conclude(running, status, reason, plan, kills, refused);
    let began = Instant::now();
    while !tell(&ended, folder) && folder.is_dir() && began.elapsed() < REPORTED {
        sleep(AGAIN).await;
    }
    guard.dismiss();
    Ok((ended, reason))
}

/// Says whether the report could be written.
fn tell(report: &Report, folder: &Path) -> bool {
    let written = report.write(folder);
    if let Err(error) = &written {
        complain(&format!("the report can't be written: {error}"));
    }
    written.is_ok()
}

/// Waits for the program's end, and ends it when it is time.
async fn tend(
    child: &mut Child,
    plan: &Plan,
    requests: &mut Requests,
) -> io::Result<(ExitStatus, Option<Reason>)> {
    let timeout = async {
        match plan.timeout {
            Some(timeout) => sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let reason = tokio::select! {
        biased;
        status = child.wait() => {
            let status = status?;
            return Ok((status, requests.with_end(status).await));
        }
        reason = requests.next() => reason,
        () = timeout => Reason::TimedOut,
    };
    signal_group(child, Signal::TERM);
    let grace = |reason| match reason {
        Reason::OwnerGone => plan.grace.min(OWNER_GRACE),
        Reason::Cancelled | Reason::TimedOut => plan.grace,
    };
    let mut deadline = Instant::now() + grace(reason);
    loop {
        tokio::select! {
            biased;
            status = child.wait() => return Ok((status?, Some(reason))),
            () = sleep_until(deadline) => break,
            // An owner's end leaves less time than the request before it.
            next = requests.next() => deadline = deadline.min(Instant::now() + grace(next)),
        }
    }
    signal_group(child, Signal::KILL);
    let _ = child.start_kill();
    Ok((child.wait().await?, Some(reason)))
}

/// Signals the program's whole group. It has not been waited for, so its number is still its own.
fn signal_group(child: &Child, signal: Signal) {
    let Some(pid) = child.id().and_then(raw) else { return };
    if rustix::process::kill_process_group(pid, signal).is_err() {
        // It does not lead its group yet.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn conclude(
    running: Report,
    status: ExitStatus,
    reason: Option<Reason>,
    plan: &Plan,
    kills: OomKills,
    refused: Option<String>,
) -> Report {
    let (code, signal) = (status.code(), status.signal());
    let report = Report { exit_code: code, signal, ..running };
    match (reason, code, signal) {
        (Some(Reason::Cancelled), ..) => report.end(Status::Cancelled, None),
        (Some(Reason::OwnerGone), ..) => {
            report.end(Status::Cancelled, Some("its owner has ended".to_owned()))
        }
        (Some(Reason::TimedOut), ..) => {
            let limit = plan.timeout.unwrap_or_default();
            let error = format!("ran longer than {}", humantime::format_duration(limit));
            report.end(Status::Failed, Some(error))
        }
        (None, ..) if refused.is_some() => {
            Report { exit_code: None, ..report }.end(Status::Failed, refused)
        }
        (None, Some(0), _) => report.end(Status::Succeeded, None),
        (None, Some(code), _) => {
            report.end(Status::Failed, Some(format!("ended with status {code}")))
        }
        (None, None, Some(9)) if kills.grew() => {
            report.end(Status::Failed, Some("out of memory: the kernel killed it".to_owned()))
        }
        (None, None, signal) => {
            let signal = signal.unwrap_or_default();
            report.end(Status::Failed, Some(format!("killed by signal {signal}")))
        }
    }
}

fn exit_code(report: &Report, reason: Option<Reason>) -> ExitCode {
    let own = |code: i32| u8::try_from(code).unwrap_or(1);
    ExitCode::from(match (report.status, report.exit_code, report.signal) {
        (Status::Succeeded, ..) => 0,
        (Status::Cancelled, ..) => CANCELLED,
        _ if reason == Some(Reason::TimedOut) => TIMED_OUT,
        (_, Some(code), _) if code != 0 => own(code),
        (_, _, Some(signal)) => own(128 + signal),
        _ => 1,
    })
}

/// The signals that ask for an end.
struct Requests {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
    owner: Owner,
}

impl Requests {
    fn listen(plan: &Plan) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            owner: Owner::watch(&plan.binding)?,
        })
    }

    /// Whether a program that ended by a request to end was asked as its shim is at this moment:
    /// an engine that ends a whole job signals both, in any order.
    async fn with_end(&mut self, status: ExitStatus) -> Option<Reason> {
        let asked = [Signal::TERM, Signal::INT].map(|signal| Some(signal.as_raw()));
        if !asked.contains(&status.signal()) {
            return None;
        }
        tokio::time::timeout(SAME_MOMENT, self.next()).await.ok()
    }

    /// A terminal that hangs up is no request: a replica outlives it.
    async fn next(&mut self) -> Reason {
        loop {
            tokio::select! {
                biased;
                () = self.owner.gone() => return Reason::OwnerGone,
                _ = self.terminate.recv() => return Reason::Cancelled,
                _ = self.interrupt.recv() => return Reason::Cancelled,
                _ = self.hang_up.recv() => {}
            }
        }
    }
}
