//! `hearth cancel`: ends a request, whoever submitted it.

use hearth_api::ErrorKind;
use serde::Serialize;

use crate::app::App;
use crate::args::CancelArgs;
use crate::exit::{Failure, Status};
use crate::output::say;

#[derive(Serialize)]
struct Cancellation {
    id: String,
    /// Items that were stopped.
    cancelled: u32,
    workers: Vec<String>,
}

pub(super) async fn run(args: &CancelArgs, app: &App) -> Result<Status, Failure> {
    let link = app.link()?;
    link.workers().await?;
    app.output.note(format_args!("cancel {} on {}", args.id, link.target));
    let envelopes = link.engine.cancel(&args.id).await;
    link.close().await;

    let mut result = Cancellation { id: args.id.to_string(), cancelled: 0, workers: Vec::new() };
    let (mut silent, mut denied) = (0, None);
    for envelope in envelopes {
        let count = match envelope.outcome {
            Ok(value) => value.cancelled,
            Err(error) if error.kind == ErrorKind::UnknownRequest => 0,
            Err(error) if error.kind == ErrorKind::PermissionDenied => {
                denied = Some(error);
                0
            }
            Err(error) => {
                say(format_args!("warning: {}: {error}", envelope.worker));
                silent += 1;
                0
            }
        };
        if count > 0 {
            result.cancelled += count;
            result.workers.push(envelope.worker.to_string());
        }
    }
    if app.output.json {
        app.output.json(&result)?;
    }
    if let Some(error) = denied.filter(|_| result.cancelled == 0) {
        return Err(error.into());
    }
    if result.cancelled == 0 {
        return Err(Failure::failed(format!(
            "no worker has a request {} that runs or waits: hearth requests lists them",
            args.id
        )));
    }
    if !app.output.json {
        let Cancellation { cancelled, workers, .. } = &result;
        app.output.line(format_args!("cancelled {cancelled} on {}", workers.join(", ")))?;
    }
    Ok(if silent == 0 { Status::Done } else { Status::Failed })
}
