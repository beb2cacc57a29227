//! How much of which cases is measured.

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Times that each subject has its turn.
    pub(crate) rounds: usize,
    /// Empty calls of one turn.
    pub(crate) calls: usize,
    /// Large replies of one turn.
    pub(crate) replies: usize,
    /// Workers of the large fleet.
    pub(crate) fleet: usize,
    /// Starts of a coordinator.
    pub(crate) starts: usize,
    /// Pictures.
    pub(crate) pictures: usize,
    /// Seconds of watching an idle worker.
    pub(crate) idle_s: u64,
}

impl Effort {
    pub(super) const FULL: Self = Self {
        rounds: 7,
        calls: 400,
        replies: 8,
        fleet: 200,
        starts: 20,
        pictures: 20,
        idle_s: 20,
    };
    pub(super) const QUICK: Self =
        Self { rounds: 2, calls: 20, replies: 1, fleet: 10, starts: 2, pictures: 2, idle_s: 2 };
}

/// Whether a case is measured, of those whose names start with `only`.
pub(super) fn is_wanted(only: &str, name: &str) -> bool {
    name.starts_with(only)
}
