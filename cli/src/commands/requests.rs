//! `hearth requests`: what runs, waits, or ended lately.

use std::time::Duration;

use hearth_engine::{NoArgs, RpcOptions, call};
use hearth_protocol::methods::{RequestState, RequestSummary};
use serde::Serialize;

use crate::app::App;
use crate::exit::{Failure, Status};
use crate::output::table::{Rows, Tint};
use crate::output::{say, text};

const ASK: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Row {
    worker: String,
    #[serde(flatten)]
    request: RequestSummary,
}

pub(super) async fn run(app: &App) -> Result<Status, Failure> {
    let link = app.link()?;
    link.workers().await?;
    let options = RpcOptions::new().timeout(ASK);
    let asked = link.engine.call::<call::ListRequests>(NoArgs {}, options).await;
    link.close().await;

    let mut requests = Vec::new();
    let mut status = Status::Done;
    for envelope in asked? {
        let worker = envelope.worker.to_string();
        match envelope.outcome {
            Ok(list) => requests.extend(
                list.requests.into_iter().map(|request| Row { worker: worker.clone(), request }),
            ),
            Err(error) => {
                say(format_args!("warning: {worker} does not list its requests: {error}"));
                status = Status::Failed;
            }
        }
    }
    // The newest last, where the eye is.
    requests.sort_by_key(|row| {
        let item = row.request.item.index;
        (std::cmp::Reverse(row.request.age_ms), row.request.request_id.clone(), item)
    });
    if app.output.json {
        app.output.json(&requests)?;
        return Ok(status);
    }
    app.output.note(&link.target);
    if requests.is_empty() {
        app.output.note("no requests");
    } else {
        app.output.line(table(&requests, app))?;
    }
    Ok(status)
}

fn table(requests: &[Row], app: &App) -> String {
    let headings = ["id", "part", "state", "step", "model", "worker", "age"];
    let mut rows = Rows::new(&app.output, &headings);
    for Row { worker, request } in requests {
        let (state, tint) = match request.state {
            RequestState::Queued => ("queued", Tint::Busy),
            RequestState::Running => ("running", Tint::Busy),
            RequestState::Done => ("done", Tint::Good),
            RequestState::Cancelled => ("cancelled", Tint::None),
            RequestState::Failed => ("failed", Tint::Bad),
            RequestState::Unknown => ("unknown", Tint::None),
        };
        let state = rows.tinted(state, tint);
        rows.add(vec![
            request.request_id.to_string().into(),
            format!("{}/{}", request.item.index, request.item.of).into(),
            state,
            format!("{}/{}", request.step, request.steps).into(),
            request.model.clone().into(),
            worker.clone().into(),
            text::span(Duration::from_millis(request.age_ms)).into(),
        ]);
    }
    rows.text()
}
