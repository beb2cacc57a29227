//! How much of a model is read, while it is being loaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes read of those that a load has to read: once to check them, once to use them. Clones count
/// together.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    expected: AtomicU64,
    done: AtomicU64,
}

impl Progress {
    /// So many bytes more are to be read.
    pub(crate) fn expect(&self, bytes: u64) {
        self.0.expected.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more are read.
    pub(crate) fn advance(&self, bytes: u64) {
        self.0.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The share that is read, 0 to 99 percent: what is all there is no longer being loaded.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let expected = u128::from(self.0.expected.load(Ordering::Relaxed));
        let done = u128::from(self.0.done.load(Ordering::Relaxed));
        let percent = (done * 100).checked_div(expected).unwrap_or(0).min(99);
        u8::try_from(percent).unwrap_or(99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_nothing_is_none_and_never_all() {
        let progress = Progress::default();
        assert_eq!(progress.percent(), 0);
        progress.expect(200);
        progress.clone().advance(50);
        assert_eq!(progress.percent(), 25);
        progress.advance(u64::MAX / 2);
        assert_eq!(progress.percent(), 99);
    }
}
