//! When the certificates that a connection was made with no longer count: one of them has ended, an
//! authority has revoked the peer's, or this side no longer trusts the authority. Both sides look, so
//! that a peer that doesn't is closed all the same.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use hearth_base::task::OwnedTask;
use hearth_protocol::message::code;
use hearth_protocol::role::Role;
use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use super::tls;
use crate::identity::{CurrentIdentity, Identity, validity};

/// X.509 counts a certificate as valid through the second that it names.
const LAST_SECOND: Duration = Duration::from_secs(1);

/// What a connection's two ends have shown each other.
pub(super) struct Credentials {
    peer: Vec<CertificateDer<'static>>,
    roles: &'static [Role],
    /// What this side has shown.
    own: Arc<Identity>,
    current: watch::Receiver<Arc<Identity>>,
}

impl Credentials {
    /// Those of a connection that was made with `own`, to a peer of one of the roles.
    pub(super) fn of(
        quic: &quinn::Connection,
        roles: &'static [Role],
        own: Arc<Identity>,
        current: &CurrentIdentity,
    ) -> Self {
        Self { peer: tls::peer_chain(quic), roles, own, current: current.subscribe() }
    }

    /// Waits until they no longer count, and says why.
    ///
    /// The clock is read when the connection is made and when an authority, a revocation list or a
    /// certificate changes; between those the wait is one of a monotonic timer, which a clock that is
    /// set does not move.
    pub(super) async fn lapse(mut self) -> String {
        loop {
            let identity = Arc::clone(&self.current.borrow_and_update());
            if let Err(error) = identity.check_peer(&self.peer, self.roles, UnixTime::now()) {
                return error.to_string();
            }
            let now = SystemTime::now();
            let end = self.own.validity().not_after;
            if now > end {
                return "this side's certificate has ended".to_owned();
            }
            let peers = self.peer.iter().filter_map(|der| validity(der).ok());
            let end = peers.map(|validity| validity.not_after).fold(end, SystemTime::min);
            let left = end.duration_since(now).unwrap_or_default() + LAST_SECOND;
            tokio::select! {
                biased;
                Ok(()) = self.current.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

/// Closes a caller's connection when its credentials lapse. Ends with the last owner.
pub(super) struct LapseGuard {
    reason: Arc<OnceLock<String>>,
    _task: OwnedTask,
}

impl LapseGuard {
    pub(super) fn start(quic: quinn::Connection, credentials: Credentials) -> Self {
        let reason = Arc::new(OnceLock::new());
        let told = Arc::clone(&reason);
        let task = OwnedTask::spawn("certificates of a connection", |_| async move {
            let lapse = credentials.lapse().await;
            // Set by this task alone, and before the close, so that whoever sees that knows why.
            let lapse = told.get_or_init(|| lapse);
            quic.close(code::CERTIFICATE.into(), lapse.as_bytes());
        });
        Self { reason, _task: task }
    }

    /// Why it has closed the connection; none while it has not.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }
}
