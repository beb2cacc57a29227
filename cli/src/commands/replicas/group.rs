//! Replicas by launcher, as each launcher is asked once.

use std::collections::BTreeMap;

use hearth_launchers::Handle;

/// The handles by their launcher.
pub(super) fn by_launcher(handles: &[Handle]) -> BTreeMap<&str, Vec<Handle>> {
    let mut groups: BTreeMap<&str, Vec<Handle>> = BTreeMap::new();
    for handle in handles {
        groups.entry(&handle.launcher).or_default().push(handle.clone());
    }
    groups
}
