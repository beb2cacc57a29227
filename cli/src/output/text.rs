//! Numbers and times as people read them.

use std::time::{Duration, SystemTime};

use hearth_api::CallError;

/// `4.2 MB`; powers of ten, as disks are sold.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 99.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// `12 s`, `4 min`, `3 h`, `2 d`: how long ago or how long to go, roughly.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `0.42 s` or `31 ms`: how long something took.
pub(crate) fn took(duration: Duration) -> String {
    match duration.as_millis() {
        0..10 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        millis @ 10..100 => format!("{millis} ms"),
        _ if duration.as_secs() < 10 => format!("{:.2} s", duration.as_secs_f64()),
        _ if duration.as_secs() < 120 => format!("{:.1} s", duration.as_secs_f64()),
        _ => span(duration),
    }
}

/// `1 worker`, `3 workers`.
pub(crate) fn count(number: u64, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

/// An error and its causes, in one line of a table that says elsewhere whose error it is.
pub(crate) fn reasons(error: &CallError) -> String {
    let texts = std::iter::once(&error.message).chain(&error.causes);
    let words = texts.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    words.collect::<Vec<_>>().join(": ")
}

/// Time since an instant in seconds since 1970 (UTC).
pub(crate) fn since(started_at: u64, now: SystemTime) -> String {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(started_at);
    span(now.duration_since(start).unwrap_or_default())
}

/// `2026-11-21T10:37:25Z`.
pub(crate) fn instant(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_on_the_same_line() {
        let why = std::io::Error::other("Add node.\nName: x\n");
        let error = CallError::new(hearth_api::ErrorKind::ModelFailed, "the graph failed");
        assert_eq!(reasons(&error.caused_by(&why)), "the graph failed: Add node. Name: x");
        assert_eq!([count(1, "worker"), count(0, "worker")], ["1 worker", "0 workers"]);
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234), "1.2 kB");
        assert_eq!(bytes(999_700), "1.0 MB");
        assert_eq!(bytes(2_100_000_000), "2.1 GB");
        assert_eq!(span(Duration::from_secs(90)), "90 s");
        assert_eq!(span(Duration::from_secs(7_199)), "119 min");
        assert_eq!(took(Duration::from_micros(380)), "0.4 ms");
        assert_eq!(took(Duration::from_millis(31)), "31 ms");
        assert_eq!(took(Duration::from_millis(420)), "0.42 s");
        assert_eq!(since(10, SystemTime::UNIX_EPOCH), "0 s", "clocks may differ");
    }
}
