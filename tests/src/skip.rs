//! Tests that can't run where they are: named with the reason, and counted by `make test`.

use std::fs::File;
use std::io::Write as _;

/// The file that `make test` prints in the end.
const LIST: &str = "HEARTH_SKIPPED_TESTS";

/// Says that a test, or a part of it, is left out since the kernel or a container denies what it
/// needs. Only for that: what a package brings, `scripts/deps.sh` installs.
///
/// # Panics
/// When it can't be said.
#[expect(clippy::print_stderr, reason = "where no list is kept, the output is all there is")]
pub fn skip(test: &str, reason: &str) {
    let line = format!("{test}: {}", reason.trim().replace('\n', " "));
    eprintln!("skipped: {line}");
    if let Some(path) = std::env::var_os(LIST) {
        let mut list = File::options().create(true).append(true).open(path).unwrap();
        // In one write, so that lines of several processes stay whole.
        list.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}
