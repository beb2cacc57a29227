//! A worker that belongs to somebody ends with its owner. Here: an owner on this host, who holds the
//! other end of standard input.

use std::io::{self, Read as _};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long the worker may take to leave in good order once its owner is gone.
const LEAVE: Duration = Duration::from_millis(1500);

/// Ends this process when standard input is closed: in good order but without a drain, for nobody
/// waits for what runs; and firmly where that takes longer than a moment. A thread of its own sees
/// to it, so that it happens whatever the runtime is at.
///
/// # Errors
/// When the system gives no thread.
pub fn end_with_standard_input(stop: CancellationToken, now: CancellationToken) -> io::Result<()> {
    let watch = move || {
        let (mut stdin, mut buffer) = (io::stdin().lock(), [0; 64]);
        loop {
            match stdin.read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        tracing::info!("the owner is gone");
        now.cancel();
        stop.cancel();
        std::thread::sleep(LEAVE);
        tracing::warn!("leaving in good order took too long");
        std::process::exit(1);
    };
    std::thread::Builder::new().name("lifeline".to_owned()).spawn(watch).map(drop)
}
