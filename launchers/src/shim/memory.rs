//! Whether the kernel killed for want of memory: it counts that per control group.

use std::fs;
use std::path::PathBuf;

/// The count at one time; none where the kernel doesn't tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct OomKills(Option<u64>);

impl OomKills {
    /// So many in this process' control group until now.
    pub(super) fn now() -> Self {
        let text = file().and_then(|path| fs::read_to_string(path).ok());
        Self(text.and_then(|text| parse(&text)))
    }

    /// Whether there were more since.
    pub(super) fn grew(self) -> bool {
        match (self.0, Self::now().0) {
            (Some(before), Some(now)) => now > before,
            _ => false,
        }
    }
}

/// `memory.events` (version 2), else `memory.oom_control` (version 1).
fn file() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let of = |names: &str| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let same = controllers.split(',').any(|name| name == names);
            same.then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let second = of("").map(|path| PathBuf::from("/sys/fs/cgroup").join(path));
    let second = second.map(|folder| folder.join("memory.events")).filter(|file| file.is_file());
    let first = || {
        let folder = PathBuf::from("/sys/fs/cgroup/memory").join(of("memory")?);
        Some(folder.join("memory.oom_control"))
    };
    second.or_else(first)
}

fn parse(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_counts_are_read() {
        assert_eq!(parse("low 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(parse("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(parse("oom_kill_disable 0\n"), None);
        assert!(!OomKills::now().grew());
    }
}
