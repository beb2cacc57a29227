//! What the kernel says about the own process: identity, age, memory, processor time.
//!
//! Linux only: it reads `/proc`. A pid together with its start time tells whether a process is
//! still the same one.

use std::io;
use std::time::{Duration, SystemTime};

/// The own process: what stays the same during its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// When it was started, to a clock tick (10 ms).
    pub started_at: SystemTime,
}

/// What the own process uses at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Processor time in user and kernel mode since the start, to a clock tick (10 ms).
    pub cpu_time: Duration,
}

/// Why `/proc` gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read {file}")]
    Read {
        /// The file under `/proc`.
        file: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The file's content isn't what proc(5) describes.
    #[error("{file} has no field {field:?}")]
    Field {
        /// The file under `/proc`.
        file: &'static str,
        /// The field, named as in proc(5).
        field: &'static str,
    },
}

const OWN_STAT: &str = "/proc/self/stat";
const OWN_STATM: &str = "/proc/self/statm";
const OWN_FILES: &str = "/proc/self/fd";
const SYSTEM_STAT: &str = "/proc/stat";

impl Process {
    /// Looks the own process up. Call it once and keep it: the kernel derives the boot time from
    /// the wall clock, so a later call can differ by a second.
    ///
    /// # Errors
    /// [`Error`] where `/proc` is missing or differs from proc(5).
    pub fn current() -> Result<Self, Error> {
        let since_boot = Stat::parse(&read(OWN_STAT)?)?.start_time;
        let boot = boot_time(&read(SYSTEM_STAT)?)?;
        Ok(Self {
            pid: std::process::id(),
            started_at: SystemTime::UNIX_EPOCH + boot + ticks(since_boot),
        })
    }

    /// What the process uses now.
    ///
    /// # Errors
    /// [`Error`] where `/proc` is missing or differs from proc(5).
    pub fn usage(&self) -> Result<Usage, Error> {
        let stat = Stat::parse(&read(OWN_STAT)?)?;
        let pages = resident_pages(&read(OWN_STATM)?)?;
        let page_size = u64::try_from(rustix::param::page_size()).unwrap_or(u64::MAX);
        Ok(Usage {
            rss_bytes: pages.saturating_mul(page_size),
            cpu_time: ticks(stat.user_time.saturating_add(stat.system_time)),
        })
    }

    /// How many file descriptors are open, without the one that counts them.
    ///
    /// # Errors
    /// [`Error::Read`] where `/proc` is missing.
    pub fn open_files(&self) -> Result<usize, Error> {
        let files = std::fs::read_dir(OWN_FILES);
        let files = files.map_err(|source| Error::Read { file: OWN_FILES, source })?;
        Ok(files.count().saturating_sub(1))
    }
}

fn read(file: &'static str) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|source| Error::Read { file, source })
}

fn ticks(count: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_millis(count.saturating_mul(1000) / per_second)
}

/// Fields of `/proc/self/stat`, in clock ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    user_time: u64,
    system_time: u64,
    start_time: u64,
}

impl Stat {
    fn parse(text: &str) -> Result<Self, Error> {
        // The second field is the program's name in parentheses, and may itself hold spaces and
        // parentheses; the third follows the last one.
        let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let field = |number: usize, field: &'static str| {
            after_name
                .split_whitespace()
                .nth(number - 3)
                .and_then(|value| value.parse().ok())
                .ok_or(Error::Field { file: OWN_STAT, field })
        };
        Ok(Self {
            user_time: field(14, "utime")?,
            system_time: field(15, "stime")?,
            start_time: field(22, "starttime")?,
        })
    }
}

fn boot_time(text: &str) -> Result<Duration, Error> {
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(Duration::from_secs)
        .ok_or(Error::Field { file: SYSTEM_STAT, field: "btime" })
}

fn resident_pages(text: &str) -> Result<u64, Error> {
    text.split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .ok_or(Error::Field { file: OWN_STATM, field: "resident" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_no_field() {
        let text = "42 (a b) c)) S 1 42 42 0 -1 4194560 3 0 0 0 111 22 0 0 20 0 4 0 98765 1 2";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat, Stat { user_time: 111, system_time: 22, start_time: 98765 });
    }

    #[test]
    fn foreign_text_is_an_error_that_names_file_and_field() {
        assert_eq!(
            Stat::parse("nothing").unwrap_err().to_string(),
            "/proc/self/stat has no field \"utime\""
        );
        assert!(boot_time("cpu 1 2 3\n").is_err());
        assert!(resident_pages("12").is_err());
    }

    #[test]
    fn the_own_process_is_young_and_uses_memory() {
        let process = Process::current().unwrap();
        assert_eq!(process.pid, std::process::id());
        let age = SystemTime::now().duration_since(process.started_at).unwrap_or_default();
        assert!(age < Duration::from_secs(3600), "{age:?}");

        let usage = process.usage().unwrap();
        assert!(usage.rss_bytes > 100_000, "{usage:?}");
        assert!(usage.cpu_time < Duration::from_secs(3600), "{usage:?}");
        assert!(process.open_files().unwrap() >= 3);
    }
}
