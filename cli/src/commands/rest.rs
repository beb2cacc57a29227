//! `hearth sleep` and `hearth wake`: models' memory given back, and taken again.

use hearth_protocol::methods::{Method, SleepArgs as Sleep, SleepValue, WakeArgs, WakeValue};

use super::serve::{self, Cells};
use crate::app::App;
use crate::args::{OperateArgs, SleepArgs};
use crate::exit::{Failure, Status};
use crate::output::text;

pub(super) async fn sleep(args: &SleepArgs, app: &App) -> Result<Status, Failure> {
    let asked = Sleep { level: args.level, wait: args.on.wait };
    let headings = ["state", "freed", "of the device", "running", "waiting"];
    let cells = |value: SleepValue| -> Cells {
        let freed = |bytes| value.level.map_or("-".to_owned(), |_| text::bytes(bytes));
        vec![
            value.state.to_string(),
            freed(value.freed_bytes),
            freed(value.device_bytes),
            value.running.to_string(),
            value.queued.to_string(),
        ]
    };
    serve::on_workers(
        Method::Sleep,
        &asked,
        serve::Selection::Flags(&args.on),
        &headings,
        cells,
        app,
    )
    .await
}

pub(super) async fn wake(args: &OperateArgs, app: &App) -> Result<Status, Failure> {
    let asked = WakeArgs { wait: args.wait };
    let headings = ["state", "models", "took"];
    let cells = |value: WakeValue| -> Cells {
        let models = match value.models.is_empty() {
            true => "-".to_owned(),
            false => value.models.join(","),
        };
        vec![value.state.to_string(), models, serve::took(value.took_ms)]
    };
    serve::on_workers(Method::WakeUp, &asked, serve::Selection::Flags(args), &headings, cells, app)
        .await
}
