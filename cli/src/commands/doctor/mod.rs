//! `hearth doctor`: what on this machine would keep a fleet from working well, and what to do.
//!
//! Nothing is changed and no library is loaded. A warning costs speed or comes due later; only what
//! is wrong now sets the exit status.

mod clocks;
mod finding;
mod fleet;
mod machine;

use crate::app::App;
use crate::exit::{Failure, Status};
use crate::output::table::{Rows, Tint};

use finding::{Finding, State};

pub(super) async fn run(app: &App) -> Result<Status, Failure> {
    let mut findings = machine::check(&app.env);
    findings.extend(fleet::check(app).await);
    if app.output.json {
        app.output.json(&findings)?;
    } else {
        app.output.line(table(&findings, app))?;
        for finding in &findings {
            if let Some(remedy) = &finding.remedy {
                app.output.line(format_args!("\n{}: {remedy}", finding.check))?;
            }
        }
    }
    let wrong = findings.iter().any(|finding| finding.state == State::Wrong);
    Ok(if wrong { Status::Failed } else { Status::Done })
}

fn table(findings: &[Finding], app: &App) -> String {
    let mut rows = Rows::new(&app.output, &["check", "state", "found"]);
    for finding in findings {
        let state = match finding.state {
            State::Ok => rows.tinted("ok", Tint::Good),
            State::Warning => rows.tinted("warning", Tint::Busy),
            State::Wrong => rows.tinted("wrong", Tint::Bad),
        };
        rows.add(vec![finding.check.into(), state, finding.found.clone().into()]);
    }
    rows.text()
}
