//! One file per command: what it asks of the fleet or of this machine, and what it prints.

mod cancel;
mod completions;
mod doctor;
mod generate;
mod health;
mod input;
mod launch;
mod logs;
mod man;
mod model;
mod models;
mod operate;
mod pki;
mod replicas;
mod requests;
mod rest;
mod rpc;
mod serve;
mod targets;
mod tensors;
mod up;
mod workers;

use crate::app::App;
use crate::args::Command;
use crate::exit::{Failure, Status};

pub(crate) async fn run(command: Command, app: &App) -> Result<Status, Failure> {
    match command {
        Command::Up(args) => up::run(&args, app).await,
        Command::Generate(args) => generate::run(&args, app).await,
        Command::Workers(args) => workers::run(&args, app).await,
        Command::Models { schedulers: true } => models::schedulers(app),
        Command::Models { schedulers: false } => models::run(app).await,
        Command::Model(command) => model::run(&command, app),
        Command::Health(args) => health::run(&args, app).await,
        Command::Rpc(args) => rpc::run(&args, app).await,
        Command::Logs(args) => logs::run(&args, app).await,
        Command::Requests => requests::run(app).await,
        Command::Attach(args) => generate::attach(&args, app).await,
        Command::Cancel(args) => cancel::run(&args, app).await,
        Command::Drain(args) => operate::run(operate::Operation::Drain, &args, app).await,
        Command::Resume(args) => operate::run(operate::Operation::Resume, &args, app).await,
        Command::Sleep(args) => rest::sleep(&args, app).await,
        Command::Wake(args) => rest::wake(&args, app).await,
        Command::Load(args) => serve::load(&args, app).await,
        Command::Unload(args) => serve::unload(&args, app).await,
        Command::Launch(args) => launch::run(&args, app).await,
        Command::Replicas(command) => replicas::run(&command, app).await,
        // `main` has seen to it.
        Command::ReplicaShim(_) => Ok(Status::Usage),
        Command::Doctor => doctor::run(app).await,
        Command::Pki(command) => pki::run(&command, app),
        Command::Completions { shell } => completions::run(shell, app),
        Command::Man { dir } => man::run(dir.as_deref(), app),
    }
}
