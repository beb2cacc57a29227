//! A replica's unit: its name and its settings, from the spec alone.

use std::path::Path;
use std::time::Duration;

use zbus::wire::Variant;

use super::bus::{Manager, Property};
use crate::shim::Shim;
use crate::{Handle, LaunchSpec};

/// Beyond a replica's grace: time for its shim to see to the rest.
pub(super) const SHIM_GRACE: Duration = Duration::from_secs(3);
/// Beyond the time that a replica may run: its shim ends it before, unless it hangs itself.
const SHIM_MARGIN: Duration = Duration::from_secs(30);

/// A replica's unit, as in `hearth-workers-1f0c9e77a2b4-0.service`.
pub(super) fn name(handle: &Handle) -> String {
    format!("{}.service", identifier(handle))
}

fn identifier(handle: &Handle) -> String {
    format!("hearth-{}-{}", handle.launch, handle.rank)
}

/// What systemd is told: to run the shim, to end the unit by it, and what all of it may use. How
/// the replica ended is in the shim's report, so the unit needs not stay for it.
pub(super) fn properties(
    handle: &Handle,
    spec: &LaunchSpec,
    shim: &Shim,
    folder: &Path,
    manager: Manager,
) -> Vec<Property> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let program = text(shim.program());
    let mut arguments = vec![program.clone()];
    arguments.extend(Shim::args(folder).map(|argument| argument.to_string_lossy().into_owned()));
    let description = format!("Hearth replica {} of {}", handle.rank, handle.launch);
    let mut properties: Vec<Property> = vec![
        ("Description", description.into()),
        ("Type", "exec".into()),
        ("ExecStart", Variant::new(vec![(program, arguments, false)])),
        ("WorkingDirectory", text(folder).into()),
        ("SyslogIdentifier", identifier(handle).into()),
        ("CollectMode", "inactive-or-failed".into()),
        // The shim hears of an end first; what is left after it is killed.
        ("KillMode", "mixed".into()),
        ("TimeoutStopUSec", microseconds(spec.grace.saturating_add(SHIM_GRACE)).into()),
        // The shim tells that the kernel killed its program for want of memory.
        ("OOMPolicy", "continue".into()),
    ];
    if let Some(timeout) = spec.timeout {
        let fence = timeout.saturating_add(spec.grace).saturating_add(SHIM_MARGIN);
        properties.push(("RuntimeMaxUSec", microseconds(fence).into()));
    }
    if let Some(cpus) = spec.resources.cpus {
        let share = Duration::try_from_secs_f64(cpus).unwrap_or(Duration::MAX);
        properties.push(("CPUQuotaPerSecUSec", microseconds(share).into()));
    }
    if let Some(memory) = spec.resources.memory {
        properties.push(("MemoryMax", memory.into()));
        properties.push(("MemorySwapMax", 0_u64.into()));
    }
    if manager == Manager::System && !rustix::process::geteuid().is_root() {
        // The state is this user's.
        properties.push(("User", rustix::process::geteuid().as_raw().to_string().into()));
    }
    properties
}

fn microseconds(duration: Duration) -> u64 {
    // The largest number means for ever.
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LaunchId;

    #[test]
    fn a_unit_says_what_the_spec_does() {
        let launch = LaunchId::draw("job");
        let handle = Handle { launcher: "systemd".to_owned(), launch: launch.clone(), rank: 2 };
        assert_eq!(name(&handle), format!("hearth-{launch}-2.service"));
        let mut spec = LaunchSpec::new("job", 3, "true");
        spec.timeout = Some(Duration::from_secs(60));
        spec.resources.cpus = Some(0.5);
        spec.resources.memory = Some(1 << 20);
        let shim = Shim::find(Some(Path::new("/bin/true"))).unwrap();
        let given = properties(&handle, &spec, &shim, Path::new("/state/2"), Manager::User);
        let of = |name: &str| given.iter().find(|(key, _)| *key == name).map(|(_, value)| value);
        assert_eq!(of("CPUQuotaPerSecUSec"), Some(&Variant::from(500_000_u64)));
        assert_eq!(of("MemoryMax"), Some(&Variant::from(1_u64 << 20)));
        assert_eq!(of("TimeoutStopUSec"), Some(&Variant::from(13_000_000_u64)));
        assert_eq!(of("RuntimeMaxUSec"), Some(&Variant::from(100_000_000_u64)));
        assert_eq!(of("User"), None);
        let plain = LaunchSpec::new("job", 3, "true");
        let given = properties(&handle, &plain, &shim, Path::new("/state/2"), Manager::User);
        for absent in ["RuntimeMaxUSec", "CPUQuotaPerSecUSec", "MemoryMax"] {
            assert!(!given.iter().any(|(key, _)| *key == absent), "{absent}");
        }
    }
}
