//! What is checked and made ready before a worker announces itself.

use std::path::Path;

use hearth_api::WorkerId;
use hearth_base::files;
use hearth_fabric::identity::SpiffeId;
use hearth_fabric::quic::Listener;
use hearth_protocol::role::Role;

use crate::error::Error;

/// Makes a folder for the worker's state, which is nobody else's business.
pub(crate) fn make_state_folder(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::StateDir { path: path.to_owned(), source };
    files::private_folder(path).map_err(failed)
}

/// A worker's certificate is its own: it names a worker, and this one.
pub(crate) fn check_identity(certified: &SpiffeId, id: &WorkerId) -> Result<(), Error> {
    if certified.role() == Role::Worker && certified.name() == id.as_str() {
        return Ok(());
    }
    Err(Error::OtherIdentity { worker: id.clone(), certified: certified.clone() })
}

/// Small buffers lose packets under load.
pub(crate) fn warn_of_small_buffers(listener: &Listener) {
    let granted = listener.granted_buffers();
    let wanted = hearth_fabric::quic::WANTED_BUFFER;
    if granted.receive.min(granted.send) < wanted {
        tracing::warn!(
            receive = granted.receive,
            send = granted.send,
            "the UDP buffers are small: sysctl net.core.rmem_max={wanted} net.core.wmem_max={wanted}"
        );
    }
}
