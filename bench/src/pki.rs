//! A throw-away authority for one run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use hearth_fabric::identity::Authority;
use hearth_protocol::role::Role;

const VALIDITY: Duration = Duration::from_secs(86_400);

/// The name in the servers' certificates that bare TLS clients ask for.
pub(crate) const HOST: &str = "bench";

/// Writes certificates below `dir`: a coordinator's, one that bare servers share, and one for each
/// of so many workers.
pub(crate) fn create(dir: &Path, workers: usize) -> Result<()> {
    let authority = Authority::create("bench", VALIDITY)?;
    let issue = |role, name: &str, folder: &Path| -> Result<()> {
        let issued = authority.issue(role, name, VALIDITY, &[HOST.to_owned()])?;
        Ok(issued.write(folder)?)
    };
    for role in [Role::Worker, Role::Coordinator] {
        issue(role, &role.to_string(), &folder(dir, role))?;
    }
    for id in worker_ids(workers) {
        issue(Role::Worker, &id, &dir.join(&id))?;
    }
    Ok(())
}

/// The names of so many workers.
pub(crate) fn worker_ids(workers: usize) -> impl Iterator<Item = String> {
    (0..workers).map(|i| format!("w{i}"))
}

/// Where a role's certificate lies.
pub(crate) fn folder(dir: &Path, role: Role) -> PathBuf {
    dir.join(role.to_string())
}
