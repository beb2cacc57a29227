//! The cores that each replica is pinned to.

use rustix::thread::CpuSet;

use super::error::unsupported;
use crate::{Error, LaunchSpec};

/// The cores of all replicas in rank order, as many for each: those that the spec names, else as
/// many as it asks for of those that this process may use. Empty where it asks for none.
pub(super) fn choose(spec: &LaunchSpec) -> Result<Vec<usize>, Error> {
    // Independent launches should not all begin at the first core.
    let first = uuid::Uuid::new_v4().as_u128() as usize;
    cores(spec, &usable(), first)
}

/// Cores are dealt out in turn, starting with `first`, and again from the beginning when there are
/// fewer than all replicas ask for together.
fn cores(spec: &LaunchSpec, usable: &[usize], first: usize) -> Result<Vec<usize>, Error> {
    let named = &spec.resources.cores;
    if let Some(core) = named.iter().find(|core| !usable.contains(core)) {
        let own: Vec<String> = usable.iter().map(usize::to_string).collect();
        return Err(Error::Spec {
            field: "cores",
            value: core.to_string(),
            remedy: format!("this process may use {}", own.join(", ")),
        });
    }
    if !named.is_empty() {
        return Ok(named.clone());
    }
    let Some(cpus) = spec.resources.cpus else { return Ok(Vec::new()) };
    if cpus.fract() != 0.0 {
        return Err(unsupported("cpus", "give whole cores, or use systemd, which keeps fractions"));
    }
    let each = cpus as usize;
    if each > usable.len() {
        return Err(Error::Spec {
            field: "cpus",
            value: cpus.to_string(),
            remedy: format!("this process may use {} cores", usable.len()),
        });
    }
    let of = |rank: usize| {
        let from = (first % usable.len()) + rank * each;
        let mut cores: Vec<_> = (from..from + each).map(|i| usable[i % usable.len()]).collect();
        cores.sort_unstable();
        cores
    };
    Ok((0..spec.replicas as usize).flat_map(of).collect())
}

/// The cores that this process may use.
fn usable() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_cores_are_dealt_out_in_turn() {
        let mut spec = LaunchSpec::new("job", 3, "true");
        assert_eq!(cores(&spec, &[0, 1], 0).unwrap(), [0; 0]);
        spec.resources.cpus = Some(1.0);
        assert_eq!(cores(&spec, &[2, 5], 1).unwrap(), [5, 2, 5]);
        spec.resources.cpus = Some(2.0);
        assert_eq!(cores(&spec, &[2, 5, 6], 0).unwrap(), [2, 5, 2, 6, 5, 6]);
        spec.resources.cpus = Some(0.5);
        assert!(cores(&spec, &[0], 0).unwrap_err().to_string().contains("systemd"));
        spec.resources.cpus = Some(9.0);
        assert!(cores(&spec, &[0], 0).unwrap_err().to_string().contains("1 cores"));
    }

    #[test]
    fn named_cores_are_taken_as_they_are_and_must_be_there() {
        let mut spec = LaunchSpec::new("job", 2, "true");
        spec.resources.cores = vec![6, 2];
        assert_eq!(cores(&spec, &[2, 5, 6], 1).unwrap(), [6, 2]);
        let error = cores(&spec, &[2, 5], 1).unwrap_err().to_string();
        assert!(error.contains("cores is 6") && error.contains("2, 5"), "{error}");
    }
}
