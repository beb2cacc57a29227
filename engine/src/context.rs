//! Since when something is asked for, and under which trace. Made once where a request comes in,
//! and carried by every call to a worker that is made for it.

use std::time::Instant;

use hearth_api::trace::TraceParent;

use crate::draw;

/// What a request brings along besides itself.
///
/// ```
/// use hearth_engine::CallContext;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let context = CallContext::new().trace(header.parse()?);
/// # let _ = context;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallContext {
    /// When the request came: the time that it may take counts from there.
    pub arrived: Instant,
    /// The trace that it belongs to, and the span that asks.
    pub trace: TraceParent,
}

impl CallContext {
    /// A request that comes now, under a trace of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { arrived: Instant::now(), trace: draw::trace() }
    }

    /// It came at this time.
    #[must_use]
    pub fn arrived(mut self, at: Instant) -> Self {
        self.arrived = at;
        self
    }

    /// It belongs to this trace.
    #[must_use]
    pub fn trace(mut self, trace: TraceParent) -> Self {
        self.trace = trace;
        self
    }
}

impl Default for CallContext {
    fn default() -> Self {
        Self::new()
    }
}
