//! `hearth replicas logs`: lines of one replica, or of several with their rank before each.

use futures_util::stream::{self, StreamExt as _};
use hearth_launchers::{Handle, Launchers, LogOptions};
use serde::Serialize;

use super::by_launcher;
use crate::App;
use crate::exit::{Failure, Status};

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
    // Those that are followed come as they come, the others one after the other.
    let mut lines = match follow {
        true => stream::select_all(logs).boxed(),
        false => stream::iter(logs).flatten().boxed(),
    };
    let several = handles.len() > 1;
    while let Some((handle, line)) = lines.next().await {
        let line = line?;
        if app.output.json {
            app.output.json_line(&Line { handle: &handle, line: &line })?;
        } else if several {
            app.output.line(format_args!("{}: {line}", handle.rank))?;
        } else {
            app.output.line(line)?;
        }
    }
    Ok(Status::Done)
}
