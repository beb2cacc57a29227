//! A worker that belongs to somebody ends with its owner.
//!
//! An owner on this host holds the other end of standard input. One elsewhere holds its name in the
//! registry and a connection to the worker; when both are gone for a while, so is the owner. A
//! registry that does not answer says nothing: the worker goes on.

use std::io::{self, Read as _};
use std::sync::Arc;
use std::time::Duration;

use hearth_api::OwnerId;
use hearth_fabric::quic::Peer;
use hearth_fabric::registry::{OwnerState, OwnerWatch};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long the worker may take to leave in good order once its owner is gone.
const LEAVE: Duration = Duration::from_millis(1500);

/// Ends this process when standard input is closed: in good order but without a drain, for nobody
/// waits for what runs; and firmly where that takes longer than a moment. A thread of its own sees
/// to it, so that it happens whatever the runtime is at; `flush` has what was logged written.
///
/// # Errors
/// When the system gives no thread.
pub fn end_with_standard_input(
    stop: CancellationToken,
    now: CancellationToken,
    flush: impl Fn() + Send + 'static,
) -> io::Result<()> {
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
        flush();
        std::process::exit(1);
    };
    std::thread::Builder::new().name("lifeline".to_owned()).spawn(watch).map(drop)
}

/// A worker's bond to an owner that is elsewhere.
pub(crate) struct Binding {
    owner: OwnerId,
    /// Connections from it.
    connections: watch::Sender<u32>,
}

impl Binding {
    pub(crate) fn new(owner: OwnerId) -> Self {
        Self { owner, connections: watch::Sender::new(0) }
    }

    /// Whose the worker is.
    pub(crate) fn id(&self) -> &OwnerId {
        &self.owner
    }

    /// A connection was made (+1) or has ended (-1): the owner's count, by the name in their
    /// certificate.
    pub(crate) fn connections(&self, peer: &Peer, change: i32) {
        if peer.id.name() == self.owner.as_str() {
            self.connections.send_modify(|count| *count = count.saturating_add_signed(change));
        }
    }

    /// Ends the worker, without a drain, once its owner has been gone for `grace`.
    pub(crate) async fn end_when_gone(
        self: Arc<Self>,
        watch: OwnerWatch,
        grace: Duration,
        stop: CancellationToken,
        now: CancellationToken,
    ) {
        self.gone(watch, grace).await;
        tracing::warn!(owner = %self.owner, ?grace, "the owner is gone: the worker ends");
        now.cancel();
        stop.cancel();
    }

    /// Waits until the name and the connections have been gone for `grace`.
    async fn gone(&self, watch: OwnerWatch, grace: Duration) {
        let (mut name, mut connections) = (watch.state(), self.connections.subscribe());
        loop {
            let left = *name.borrow_and_update() == OwnerState::Free
                && *connections.borrow_and_update() == 0;
            tokio::select! {
                biased;
                Ok(()) = name.changed() => {}
                Ok(()) = connections.changed() => {}
                () = tokio::time::sleep(grace), if left => return,
            }
        }
    }
}
