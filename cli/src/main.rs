//! The `hearth` command: brings fleets up, asks them for pictures, and looks after them.
//!
//! A command is parsed ([`args`]), finds its fleet ([`context`]), speaks to it through the
//! coordinator library ([`link`]), prints ([`output`]) and ends with a status ([`exit`]).

mod app;
mod args;
mod commands;
mod context;
mod environment;
mod exit;
mod link;
mod local;
mod output;
mod signals;

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;
use hearth_telemetry::log::{self, Format};

use app::App;
use args::{Cli, Global};
use environment::Environment;
use exit::{Failure, Status};
use output::Output;

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = Cli::parse();
    if let args::Command::ReplicaShim(args) = &cli.command {
        // Before any thread is there: its program dies with the one that starts it.
        return hearth_launchers::shim::run(&args.dir, args.stage);
    }
    let env = Environment::read();
    let output = Output::new(&cli.global, &env);
    // ring, named once for the process: a second TLS provider would make rustls guess.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let app = App { global: cli.global, env, output, started };
    let status = match start_log(&app.global).and_then(|()| run(cli.command, &app)) {
        Ok(status) => status,
        Err(failure) => {
            if !failure.is_quiet() {
                output::say_failure(&failure);
            }
            failure.status
        }
    };
    ExitCode::from(status.code())
}

fn start_log(global: &Global) -> Result<(), Failure> {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        // What the transport and the registry meet is in the fleet's view, and told from there.
        (_, 0) => "warn,hearth_fabric=error,hearth_engine=error,quinn=error",
        (_, 1) => "info,quinn=warn",
        (_, 2) => "debug,quinn=info,quinn_proto=info,rustls=info,h2=info",
        (_, _) => "trace",
    };
    let settings = log::LogSettings { level: level.to_owned(), format: Format::Text };
    log::init(&settings).map(drop).map_err(|error| Failure::of(Status::Usage, &error))
}

fn run(command: args::Command, app: &App) -> Result<Status, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(app.env.cores.clamp(1, 4))
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    let status = runtime.block_on(commands::run(command, app));
    // What still blocks a thread, such as a name lookup, is not waited for.
    runtime.shutdown_background();
    status
}
