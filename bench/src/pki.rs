//! A throw-away authority for one run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use hearth_fabric::identity::Authority;
use hearth_protocol::role::Role;

const VALIDITY: Duration = Duration::from_secs(86_400);

/// The name in the servers' certificates that bare TLS clients ask for.
pub(crate) const HOST: &str = "bench";

/// Writes one worker's and one coordinator's certificate below `dir`.
pub(crate) fn create(dir: &Path) -> Result<()> {
    let authority = Authority::create("bench", VALIDITY)?;
    for (role, name) in [(Role::Worker, "worker"), (Role::Coordinator, "coordinator")] {
        let issued = authority.issue(role, name, VALIDITY, &[HOST.to_owned()])?;
        issued.write(&folder(dir, role))?;
    }
    Ok(())
}

/// Where a role's certificate lies.
pub(crate) fn folder(dir: &Path, role: Role) -> PathBuf {
    dir.join(role.to_string())
}
