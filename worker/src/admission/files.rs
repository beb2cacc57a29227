//! The files that a request brings along, and the threads that its preparation may hold.

use hearth_api::{CallError, ErrorKind};
use hearth_base::files;
use hearth_fabric::quic::Payload;
use hearth_protocol::message::Attachment;
use hearth_protocol::methods::GenerateArgs;
use tokio::sync::Semaphore;

/// Requests whose files are looked at, at a time: a small file can be a large picture.
static FILES: Semaphore = Semaphore::const_new(2);
/// Requests without files that are prepared at a time.
static TEXTS: Semaphore = Semaphore::const_new(2);

/// Hashes or decodes a request's files, which takes longer than other calls may wait: beside the
/// network's thread.
pub(super) async fn run_with_files<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    with_permit(&FILES, work).await
}

/// Prepares a request that brings no files, beside the network's thread as well: a long schedule
/// takes its time.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    with_permit(&TEXTS, work).await
}

async fn with_permit<T: Send + 'static>(
    permits: &'static Semaphore,
    work: impl FnOnce() -> Result<T, CallError> + Send + 'static,
) -> Result<T, CallError> {
    let failed = || CallError::new(ErrorKind::Internal, "checking the request failed");
    // It goes with the work, which a caller that leaves does not end.
    let permit = permits.acquire().await.map_err(|_| failed())?;
    let done = files::run_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.map_err(|_| failed())?
}

/// Puts the call's attachments into the fields that they are named like.
pub(super) fn take(
    args: &mut GenerateArgs,
    attachments: &[Attachment],
    payload: Payload,
) -> Result<(), CallError> {
    let mut files: Vec<_> = attachments.iter().map(|header| &header.name).zip(payload).collect();
    for (field, input) in args.request.inputs_mut() {
        let at = files.iter().position(|(name, _)| *name == field);
        let whole = at.is_some_and(|at| input.fill(files.remove(at).1));
        if !whole {
            let message = format!("{field}: the attachment of that name is missing or another");
            return Err(CallError::invalid(field, message));
        }
    }
    match files.first() {
        None => Ok(()),
        Some((name, _)) => {
            let message = format!("attachment {name:?} belongs to no field of the request");
            Err(CallError::invalid("attachments", message))
        }
    }
}
