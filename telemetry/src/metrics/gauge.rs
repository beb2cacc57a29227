//! Values of gauges.

/// A count as the value of a gauge; the largest one where it doesn't fit.
pub fn saturating(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}
