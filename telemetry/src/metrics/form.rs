//! The two text forms that scrapers read, and which of them a scraper asks for.
//!
//! The metrics write themselves as OpenMetrics 1.0. The classic form (Prometheus' text format 0.0.4,
//! which `promtool check metrics` reads) has the same samples, and other lines above them: it knows
//! neither the type `info` nor units nor an end, and calls a metric as its samples are called.

use std::fmt::Write as _;

/// A text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Classic,
}

const OPEN_METRICS: &str = "application/openmetrics-text";

impl Form {
    /// The form for a scraper that sends this `Accept` header (RFC 9110, section 12.5.1): OpenMetrics
    /// where that is named and wanted no less than plain text, else the classic form.
    #[must_use]
    pub fn negotiate(accept: Option<&str>) -> Self {
        let quality = |wanted: &str| {
            let ranges = accept.unwrap_or_default().split(',');
            ranges.filter_map(|range| quality(range, wanted)).fold(0.0, f64::max)
        };
        let open = quality(OPEN_METRICS);
        if open > 0.0 && open >= quality("text/plain") { Self::OpenMetrics } else { Self::Classic }
    }

    /// Its media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// How much a media range wants the type; none where it is about another.
fn quality(range: &str, wanted: &str) -> Option<f64> {
    let mut parts = range.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(wanted) {
        return None;
    }
    let weight = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    weight.map_or(Some(1.0), |weight| weight.parse().ok())
}

/// The classic form of a text in OpenMetrics.
pub(super) fn classic(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let mut help = None;
    for line in open.lines() {
        if let Some(described) = line.strip_prefix("# HELP ") {
            help = described.split_once(' ');
        } else if let Some((name, kind)) = type_line(line) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            // Of a metric's lines its help comes first.
            if let Some((_, text)) = help.take().filter(|(described, _)| *described == name) {
                let _ = writeln!(out, "# HELP {name}{suffix} {text}");
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

fn type_line(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("# TYPE ")?.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            application/openmetrics-text;version=0.0.1;q=0.5,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                            text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, form) in [
            (None, Form::Classic),
            (Some(""), Form::Classic),
            (Some("*/*"), Form::Classic),
            (Some("text/plain"), Form::Classic),
            (Some("text/html, */*;q=0.8"), Form::Classic),
            (Some("application/openmetrics-text"), Form::OpenMetrics),
            (Some("Application/OpenMetrics-Text; version=1.0.0"), Form::OpenMetrics),
            (Some(prometheus_3), Form::OpenMetrics),
            (Some("application/openmetrics-text;q=0"), Form::Classic),
            (Some("application/openmetrics-text;q=x"), Form::Classic),
            (Some("text/plain;q=0.5, application/openmetrics-text;q=0.1"), Form::Classic),
            (Some("application/openmetrics-text-other"), Form::Classic),
        ] {
            assert_eq!(Form::negotiate(accept), form, "{accept:?}");
        }
    }

    #[test]
    fn samples_stay_and_what_describes_them_changes() {
        let open = "# HELP hearth_build Program.\n# TYPE hearth_build info\n\
                    hearth_build_info{version=\"0\"} 1\n\
                    # HELP hearth_steps Steps.\n# TYPE hearth_steps counter\nhearth_steps_total 3\n\
                    # HELP hearth_wait_seconds Wait.\n# TYPE hearth_wait_seconds histogram\n\
                    # UNIT hearth_wait_seconds seconds\n\
                    hearth_wait_seconds_sum 0.0\nhearth_wait_seconds_count 0\n\
                    hearth_wait_seconds_bucket{le=\"+Inf\"} 0\n\
                    # HELP hearth_depth Depth.\n# TYPE hearth_depth gauge\nhearth_depth 2\n# EOF\n";
        assert_eq!(
            classic(open),
            "# HELP hearth_build_info Program.\n# TYPE hearth_build_info gauge\n\
             hearth_build_info{version=\"0\"} 1\n\
             # HELP hearth_steps_total Steps.\n# TYPE hearth_steps_total counter\n\
             hearth_steps_total 3\n\
             # HELP hearth_wait_seconds Wait.\n# TYPE hearth_wait_seconds histogram\n\
             hearth_wait_seconds_sum 0.0\nhearth_wait_seconds_count 0\n\
             hearth_wait_seconds_bucket{le=\"+Inf\"} 0\n\
             # HELP hearth_depth Depth.\n# TYPE hearth_depth gauge\nhearth_depth 2\n"
        );
    }
}
