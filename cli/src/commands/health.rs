//! `hearth health`: whether each worker can serve.

use hearth_api::{CallError, Rank};
use hearth_protocol::methods::Health;
use serde::Serialize;

use crate::app::App;
use crate::args::HealthArgs;
use crate::exit::{Failure, Status};
use crate::output::table::{Rows, Tint};
use crate::output::text;

#[derive(Serialize)]
struct Row {
    worker: String,
    rank: Option<Rank>,
    healthy: bool,
    health: Option<Health>,
    error: Option<CallError>,
    elapsed_ms: f64,
    #[serde(skip)]
    elapsed: std::time::Duration,
}

pub(super) async fn run(args: &HealthArgs, app: &App) -> Result<Status, Failure> {
    let link = app.link()?;
    link.workers().await?;
    let answers = link.engine.check_health(args.timeout).await;
    link.close().await;

    let row = |answer: hearth_engine::WorkerHealth| Row {
        worker: answer.worker.to_string(),
        rank: answer.rank,
        healthy: answer.is_healthy(),
        elapsed_ms: answer.elapsed.as_secs_f64() * 1e3,
        elapsed: answer.elapsed,
        error: answer.outcome.as_ref().err().cloned(),
        health: answer.outcome.ok(),
    };
    let answers: Vec<Row> = answers.into_iter().map(row).collect();
    if app.output.json {
        app.output.json(&answers)?;
    } else {
        app.output.note(&link.target);
        app.output.line(table(&answers, app))?;
    }
    let healthy = answers.iter().all(|row| row.healthy);
    Ok(if healthy { Status::Done } else { Status::Failed })
}

fn table(answers: &[Row], app: &App) -> String {
    let mut rows = Rows::new(&app.output, &["rank", "id", "health", "state", "answer", "reason"]);
    for row in answers {
        let health = match row.healthy {
            true => rows.tinted("healthy", Tint::Good),
            false => rows.tinted("unhealthy", Tint::Bad),
        };
        let state = row.health.as_ref().map_or("-".to_owned(), |health| health.state.to_string());
        let registered = row.health.as_ref().is_none_or(|health| health.registered);
        let reason = row.health.as_ref().and_then(|health| health.reason.clone());
        let reason = reason.or_else(|| row.error.as_ref().map(|error| error.message.clone()));
        let reason = reason.or_else(|| (!registered).then(|| "not in the registry".to_owned()));
        rows.add(vec![
            row.rank.map_or("-".to_owned(), |rank| rank.to_string()).into(),
            row.worker.clone().into(),
            health,
            state.into(),
            text::took(row.elapsed).into(),
            reason.unwrap_or_else(|| "-".to_owned()).into(),
        ]);
    }
    rows.text()
}
