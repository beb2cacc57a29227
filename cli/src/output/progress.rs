//! Bars on a terminal: how far each picture is, where, how fast, and how long still.

use hearth_base::text;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::Output;

/// With more pictures than this a finished one's bar gives way.
const KEPT: usize = 12;

/// A bar per picture; nothing where nobody looks.
pub(crate) struct Bars {
    multi: MultiProgress,
    bars: Vec<Option<ProgressBar>>,
    running: ProgressStyle,
    live: bool,
}

impl Bars {
    pub(crate) fn new(output: &Output, pictures: usize) -> Self {
        Self {
            multi: MultiProgress::new(),
            bars: (0..pictures).map(|_| None).collect(),
            running: running(output.color_notes, output.unicode),
            live: output.live,
        }
    }

    /// The picture is given to a worker.
    pub(crate) fn goes_to(&mut self, picture: usize, worker: &str) {
        let Some(bar) = self.bar(picture) else { return };
        bar.set_prefix(format!("{picture:>2}  {}", text::escape_line(worker)));
        bar.set_style(waiting());
        bar.set_message("starting");
    }

    /// The picture waits there for others.
    pub(crate) fn waits(&mut self, picture: usize, before: u32) {
        let Some(bar) = self.bar(picture) else { return };
        bar.set_message(match before {
            1 => "waits for 1 picture".to_owned(),
            before => format!("waits for {before} pictures"),
        });
    }

    /// The picture has come so far. `doing` is what the worker does beside steps.
    pub(crate) fn step(&mut self, picture: usize, step: u32, steps: u32, doing: Option<&str>) {
        let running = self.running.clone();
        let Some(bar) = self.bar(picture) else { return };
        if bar.length() != Some(u64::from(steps)) {
            bar.set_length(u64::from(steps));
            bar.set_style(running);
            // Time spent waiting says nothing about the rate.
            bar.reset_eta();
        }
        bar.set_message(text::escape_line(doing.unwrap_or_default()).into_owned());
        bar.set_position(u64::from(step));
    }

    /// The picture is there, or has failed.
    pub(crate) fn ends(&mut self, picture: usize, word: &str) {
        let many = self.bars.len() > KEPT;
        let Some(Some(bar)) = self.bars.get(picture) else { return };
        if !self.live {
            return;
        }
        if many {
            bar.finish_and_clear();
            return;
        }
        bar.set_style(plain("{prefix}  {msg}"));
        bar.finish_with_message(text::escape_line(word).into_owned());
    }

    /// Leaves the bars as they stand and draws no more: the terminal has echoed the key that
    /// interrupted, and where the cursor is now nobody knows.
    pub(crate) fn freeze(&mut self) {
        if std::mem::take(&mut self.live) {
            self.multi.set_draw_target(ProgressDrawTarget::hidden());
            super::say("");
        }
    }

    /// A line above the bars.
    pub(crate) fn line(&self, line: &str) {
        if self.live {
            let _ = self.multi.println(text::escape_lines(line));
        }
    }

    fn bar(&mut self, picture: usize) -> Option<&ProgressBar> {
        if !self.live {
            return None;
        }
        let place = self.bars.get_mut(picture)?;
        let multi = &self.multi;
        let make = || multi.add(ProgressBar::no_length().with_style(waiting()));
        Some(place.get_or_insert_with(make))
    }
}

/// A line that changes in place.
pub(crate) struct StatusLine(Option<ProgressBar>);

impl StatusLine {
    pub(crate) fn new(output: &Output) -> Self {
        let bar = || ProgressBar::new_spinner().with_style(plain("{msg}"));
        Self(output.live.then(bar))
    }

    pub(crate) fn set(&self, line: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(text::escape_lines(&line).into_owned());
            bar.tick();
        }
    }

    /// A line above it that stays, on a terminal or not.
    pub(crate) fn line(&self, output: &Output, text: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| output.note(text)),
            None => output.note(text),
        }
    }

    /// Gives the line's place to something else for a moment.
    pub(crate) fn hidden<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn plain(template: &str) -> ProgressStyle {
    // Only a malformed template fails, and these are fixed texts.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn waiting() -> ProgressStyle {
    plain("{prefix}  {msg}")
}

fn running(color: bool, unicode: bool) -> ProgressStyle {
    let tint = if color { ".cyan/dim" } else { "" };
    let template =
        format!("{{prefix}}  {{bar:24{tint}}} {{pos:>3}}/{{len}}  {{rate}}  {{left}} {{msg}}");
    plain(&template)
        .progress_chars(if unicode { "━━─" } else { "==-" })
        .with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:>5.1} steps/s", state.per_sec());
        })
        .with_key("left", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "eta {}", super::text::span(state.eta()));
        })
}
