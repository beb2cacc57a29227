//! `hearth rpc`: any method, on all workers or one; a row per rank.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hearth_api::tensor::TensorHeader;
use hearth_api::{CallError, Rank};
use hearth_engine::{Envelope, Exec, RawEnvelope, ReplyFrom, RpcOptions};
use hearth_protocol::codec;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::Method;
use serde::Serialize;
use serde_json::Value;

use super::tensors;
use crate::app::App;
use crate::args::RpcArgs;
use crate::exit::{Failure, Status};
use crate::output::table::{Rows, Tint};
use crate::output::text;
use crate::signals::Interrupts;

/// How long an interrupted call may take to be cancelled.
const CANCELLED: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Row {
    worker: String,
    rank: Option<Rank>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CallError>,
    attachments: Vec<Part>,
    elapsed_ms: f64,
    #[serde(skip)]
    elapsed: Duration,
}

#[derive(Serialize)]
struct Part {
    name: String,
    media_type: String,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensor: Option<TensorHeader>,
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

pub(super) async fn run(args: &RpcArgs, app: &App) -> Result<Status, Failure> {
    let given: Value = serde_json::from_str(&args.args).map_err(|error| {
        Failure::usage(format!("--args {:?} is no JSON ({error}): give an object", args.args))
    })?;
    if !given.is_object() {
        return Err(Failure::usage(format!(
            "--args {given} is no object: give one, as in {{\"request_id\": \"…\"}}"
        )));
    }
    let mut options = RpcOptions::new().timeout(args.timeout);
    options.exec = args.rank.map_or(Exec::All, |rank| Exec::Rank(Rank(rank)));
    options.reply = args.reply_rank.map_or(ReplyFrom::All, |rank| ReplyFrom::Unique(Rank(rank)));
    let attached = args.tensors.iter().map(tensors::read).collect::<Result<Vec<_>, Failure>>()?;
    if let Some(folder) = &args.output {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::usage(format!("--output {}: the folder can't be made", folder.display()))
                .caused_by(Some(&error))
        })?;
    }
    let given = codec::encode(&given).map_err(anyhow::Error::from)?;
    let mut interrupts = Interrupts::listen()?;
    let link = app.link()?;
    let call = async {
        link.workers().await?;
        if !looks_only(&args.method) {
            app.output.note(format_args!("{} on {}", args.method, link.target));
        }
        let called = link.engine.collective_raw(&args.method, given.into(), attached, options);
        Ok::<_, Failure>(called.await?)
    };
    let called = tokio::select! {
        biased;
        () = interrupts.next() => None,
        called = call => Some(called),
    };
    if called.is_none() {
        // The calls were cancelled when they were dropped; that is on its way once another is answered.
        link.engine.check_health(CANCELLED).await;
    }
    link.close().await;
    let Some(called) = called else {
        app.output.note("interrupted: the calls are cancelled");
        return Ok(Status::Interrupted);
    };

    let row = |envelope| Row::new(envelope, args.output.as_deref());
    let rows: Vec<Row> = called?.into_iter().map(row).collect::<Result<_, _>>()?;
    if app.output.json {
        app.output.json(&rows)?;
    } else {
        app.output.line(table(&rows, app))?;
        let files =
            rows.iter().flat_map(|row| &row.attachments).filter_map(|part| part.file.as_ref());
        files.into_iter().try_for_each(|file| app.output.line(file.display()))?;
    }
    Ok(overall(&rows))
}

fn looks_only(method: &str) -> bool {
    use Method as M;
    let looking = [M::GetRank, M::CheckHealth, M::Stats, M::ListModels, M::ListRequests, M::Logs];
    method.parse().is_ok_and(|method| looking.contains(&method))
}

/// Done if all are; what all failed of alike; else failed in part.
fn overall(rows: &[Row]) -> Status {
    let mut errors = rows.iter().filter_map(|row| row.error.as_ref());
    let Some(first) = errors.next() else { return Status::Done };
    let alike = errors.all(|error| error.kind == first.kind);
    let none = rows.iter().all(|row| row.error.is_some());
    if alike && none { first.kind.into() } else { Status::Failed }
}

impl Row {
    fn new(envelope: RawEnvelope, output: Option<&Path>) -> Result<Self, Failure> {
        let envelope: Envelope = envelope.decode();
        let worker = envelope.worker.as_str();
        let part = |(attachment, bytes): &(Attachment, bytes::Bytes)| {
            let write = |folder| tensors::write(folder, worker, attachment, bytes);
            Ok(Part {
                name: attachment.name.clone(),
                media_type: attachment.media_type.clone(),
                bytes: bytes.len(),
                tensor: attachment.tensor.clone(),
                file: output.map(write).transpose()?,
            })
        };
        let attachments =
            envelope.attachments.iter().map(part).collect::<Result<Vec<Part>, Failure>>()?;
        let (value, error) = match envelope.outcome {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        Ok(Self {
            worker: envelope.worker.to_string(),
            rank: envelope.rank,
            value,
            error,
            attachments,
            elapsed_ms: envelope.elapsed.as_secs_f64() * 1e3,
            elapsed: envelope.elapsed,
        })
    }
}

fn table(envelopes: &[Row], app: &App) -> String {
    let mut rows = Rows::new(&app.output, &["rank", "id", "outcome", "answer", "value"]);
    for row in envelopes {
        let (outcome, value) = match (&row.value, &row.error) {
            (_, Some(error)) => (rows.tinted(error.kind, Tint::Bad), text::reasons(error)),
            (value, None) => {
                let value = value.as_ref().map(Value::to_string).unwrap_or_default();
                (rows.tinted("ok", Tint::Good), value)
            }
        };
        rows.add(vec![
            row.rank.map_or("-".to_owned(), |rank| rank.to_string()).into(),
            row.worker.clone().into(),
            outcome,
            text::took(row.elapsed).into(),
            value.into(),
        ]);
    }
    rows.text()
}
