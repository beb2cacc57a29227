//! `hearth replicas logs`: lines of one replica, or of several with their rank before each.

use futures_util::stream::{self, StreamExt as _};
use hearth_base::text::{escape_json, escape_line};
use hearth_launchers::{Handle, Launchers, LogOptions};
use serde::Serialize;

use super::group::by_launcher;
use crate::app::App;
use crate::exit::{Failure, Status};

/// Bytes that are printed at once.
const BLOCK: usize = 32 << 10;

#[derive(Serialize)]
struct Line<'a> {
    handle: &'a Handle,
    line: &'a str,
}

pub(super) async fn print(
    launchers: &Launchers,
    handles: &[Handle],
    tail: Option<usize>,
    follow: bool,
    app: &App,
) -> Result<Status, Failure> {
    let mut logs = Vec::new();
    for (name, group) in by_launcher(handles) {
        let launcher = launchers.by_name(name)?;
        for handle in group {
            let lines = launcher.logs(&handle, LogOptions { tail, follow }).await?;
            logs.push(lines.map(move |line| (handle.clone(), line)).boxed());
        }
    }
    // Followed logs are interleaved as lines arrive, the others come one after the other.
    let mut lines = match follow {
        true => stream::select_all(logs).boxed(),
        false => stream::iter(logs).flatten().boxed(),
    };
    let several = handles.len() > 1;
    let mut text = String::new();
    while let Some((handle, line)) = lines.next().await {
        let line = line?;
        if app.output.json {
            let json = serde_json::to_string(&Line { handle: &handle, line: &line });
            text += &escape_json(&json.map_err(anyhow::Error::from)?);
        } else if several {
            text += &format!("{}: {}", handle.rank, escape_line(&line));
        } else {
            text += &escape_line(&line);
        }
        text.push('\n');
        // Whoever follows wants each line now.
        if follow || text.len() >= BLOCK {
            app.output.bytes(text.as_bytes())?;
            text.clear();
        }
    }
    app.output.bytes(text.as_bytes())?;
    Ok(Status::Done)
}
