//! A real systemd user manager for one test: in namespaces and a control group of its own, so that
//! nothing of the machine is touched, and nothing is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::fleet::Run;
use crate::process::until;
use crate::skip::skip;
use crate::turn::Turn;

const FOLDER: &str = "HEARTH_TEST_MANAGER";
const CGROUP: &str = "HEARTH_TEST_CGROUP";
/// The script's status where the system denies what it needs.
const DENIED: i32 = 77;

/// The user manager that the test runs beside. `systemctl --user` reaches it, from any process of
/// the test.
#[derive(Debug)]
pub struct UserManager {
    dir: PathBuf,
}

/// Runs a test beside a user manager: the test program is started once more, for the test of this
/// name alone, inside the namespaces, and `test` runs there. It has a turn of its own. Where the
/// system denies the namespaces, as it does to all but root, the test is skipped.
///
/// # Panics
/// When the test fails.
pub fn under_user_manager(name: &str, test: impl FnOnce(&UserManager)) {
    if let Some(dir) = std::env::var_os(FOLDER) {
        let _turn = Turn::share();
        return test(&UserManager { dir: dir.into() });
    }
    let _turn = Turn::take();
    let probe = Run::from(unshare().arg("true").output().unwrap());
    if probe.status != 0 {
        return skip(name, &probe.stderr);
    }
    let dir = tempfile::tempdir().unwrap();
    let cgroup = format!("hearth-test-{}", std::process::id());
    let run = unshare()
        .arg("sh")
        .arg(crate::source().join("tests/src/user_manager.sh"))
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(FOLDER, dir.path())
        .env(CGROUP, &cgroup)
        .output()
        .unwrap();
    remove_groups(&cgroup);
    let Run { status, stdout, stderr } = run.into();
    if status == DENIED {
        return skip(name, stderr.lines().last().unwrap_or_default());
    }
    let passed = status == 0 && stdout.contains("1 passed");
    assert!(passed, "inside the user manager: status {status}\n{stdout}\n{stderr}");
}

/// A command in fresh namespaces, which ends with this process.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--mount", "--fork", "--kill-child", "--propagation", "unchanged"]);
    command
}

/// Control groups outlive the processes that were in them.
fn remove_groups(name: &str) {
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    roots.extend(hierarchies.map(|entry| entry.path()));
    for root in roots {
        remove_group(&root.join(name));
    }
}

fn remove_group(path: &Path) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(path);
}

impl UserManager {
    /// A folder for the test's own files.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether units can have a user namespace of their own; a chroot has none.
    ///
    /// # Panics
    /// When it can't be tried.
    #[must_use]
    pub fn has_user_namespaces(&self) -> bool {
        Command::new("unshare").args(["--user", "true"]).output().unwrap().status.success()
    }

    /// Whether the kernel has lent this system the limits on memory.
    #[must_use]
    pub fn limits_memory(&self) -> bool {
        let groups = Path::new("/sys/fs/cgroup");
        let lent = std::fs::read_to_string(groups.join("cgroup.controllers")).unwrap_or_default();
        groups.join("memory").is_dir() || lent.split_whitespace().any(|name| name == "memory")
    }

    /// Runs `systemctl --user`.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn systemctl(&self, args: &[&str]) -> Run {
        let output: Output = Command::new("systemctl").arg("--user").args(args).output().unwrap();
        output.into()
    }

    /// Waits until no unit of a replica is loaded: one that has ended goes a moment after its report.
    ///
    /// # Panics
    /// When some stay.
    pub fn wait_without_replicas(&self) {
        let list = ["list-units", "--all", "--plain", "hearth-*"];
        until("the end of the replicas' units", Duration::from_secs(30), || {
            self.systemctl(&list).stdout.contains("0 loaded units").then_some(())
        });
    }

    /// Adds a unit, or a drop-in as in `NAME.d/FILE.conf`.
    ///
    /// # Panics
    /// When it can't be written or is refused.
    pub fn add_unit(&self, name: &str, text: &str) {
        let path = self.dir.join("home/.config/systemd/user").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        let _ = self.systemctl(&["daemon-reload"]).ok();
    }

    /// A property of a unit, as in `ActiveState`.
    ///
    /// # Panics
    /// When systemd does not say.
    #[must_use]
    pub fn property(&self, unit: &str, property: &str) -> String {
        let run = self.systemctl(&["show", "--value", "--property", property, unit]).ok();
        run.stdout.trim().to_owned()
    }

    /// Waits until a property of a unit is as `fits` wants it.
    ///
    /// # Panics
    /// When it is not within `limit`.
    pub fn wait_for(
        &self,
        unit: &str,
        property: &str,
        limit: Duration,
        fits: impl Fn(&str) -> bool,
    ) -> String {
        until(&format!("{unit}'s {property}"), limit, || {
            let value = self.property(unit, property);
            if fits(&value) { Some(value) } else { None }
        })
    }

    /// What units have written to the journal whose program has this name. (Which unit it was the
    /// journal only knows below a login session's control groups.)
    ///
    /// # Panics
    /// When journalctl can't be started.
    #[must_use]
    pub fn journal(&self, program: &str) -> String {
        let synced = Command::new("journalctl").arg("--sync").status();
        assert!(synced.unwrap().success(), "the journal is not there");
        let mut journalctl = Command::new("journalctl");
        journalctl.args(["--directory", "/run/log/journal", "--output", "cat", "-t", program]);
        Run::from(journalctl.output().unwrap()).stdout
    }
}
