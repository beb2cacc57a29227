//! What a scrape of a daemon shows, beside what the documentation says that it shows.

use std::collections::BTreeSet;

use crate::source;

/// Metrics by name and type: `("hearth_steps", "counter")`.
pub type MetricTypes = BTreeSet<(String, String)>;

/// The lines are in the scrape, which is whole.
pub fn assert_shows(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "no {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

/// The metrics that a scrape shows.
pub fn shown_metrics(text: &str) -> MetricTypes {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

/// The rows of `docs/metrics.md` that name a daemon; a counter's name has its `_total` there.
pub fn documented_metrics(daemon: &str) -> MetricTypes {
    let text = std::fs::read_to_string(source().join("docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, kind, _, who, ..] = cells[..] else { return None };
        let name = name.strip_prefix('`')?.strip_suffix('`')?;
        let name = name.strip_suffix("_info").or(name.strip_suffix("_total")).unwrap_or(name);
        who.contains(daemon).then(|| (name.to_owned(), kind.to_owned()))
    });
    rows.collect()
}
