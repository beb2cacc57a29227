//! What a fault of the program costs: the piece of work that it lies in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use hearth_api::{CallError, ErrorKind};

/// What `work` gives, or that it panicked. Neither the thread nor its loaded models are lost by
/// that.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, CallError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        tracing::error!("a piece of work panicked: standard error says where");
        own_fault()
    })
}

/// The error of what the program does wrong itself.
pub(super) fn own_fault() -> CallError {
    let message = "the worker failed by a fault of its own: its log says more";
    CallError::new(ErrorKind::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_the_items_error() {
        let nothing: [u8; 0] = [];
        let Err(error) = guarded(|| nothing[std::hint::black_box(0)]) else {
            panic!("the panic went on");
        };
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(!error.retryable, "the next worker would panic as well");
    }
}
