//! A real systemd user manager for one test: in namespaces and a control group of its own, so that
//! nothing of the machine is touched, and nothing is left.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::fleet::Run;
use crate::process::until;

const FOLDER: &str = "HEARTH_TEST_MANAGER";
const CGROUP: &str = "HEARTH_TEST_CGROUP";

/// The user manager that the test runs beside. `systemctl --user` reaches it, from any process of
/// the test.
#[derive(Debug)]
pub struct UserManager {
    dir: PathBuf,
}

/// Runs a test beside a user manager: the test program is started once more, for the test of this
/// name alone, inside the namespaces, and `test` runs there.
///
/// # Panics
/// When the test fails, or the namespaces are refused: that needs root, as in a container of a build
/// service.
pub fn under_user_manager(name: &str, test: impl FnOnce(&UserManager)) {
    if let Some(dir) = std::env::var_os(FOLDER) {
        return test(&UserManager { dir: dir.into() });
    }
    let dir = tempfile::tempdir().unwrap();
    let cgroup = format!("hearth-test-{}", std::process::id());
    let script = crate::source().join("tests/src/user_manager.sh");
    let run = Command::new("unshare")
        .args(["--pid", "--mount", "--fork", "--kill-child", "--mount-proc", "sh"])
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(FOLDER, dir.path())
        .env(CGROUP, &cgroup)
        .output()
        .unwrap();
    remove_groups(&cgroup);
    let Run { status, stdout, stderr } = run.into();
    let passed = status == 0 && stdout.contains("1 passed");
    assert!(passed, "inside the user manager: status {status}\n{stdout}\n{stderr}");
}

/// Control groups outlive the processes that were in them.
fn remove_groups(name: &str) {
    let mut roots = vec![PathBuf::from("/sys/fs/cgroup")];
    roots.extend(std::fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path()));
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

    /// Runs `systemctl --user`.
    ///
    /// # Panics
    /// When it can't be started.
    #[must_use]
    pub fn systemctl(&self, args: &[&str]) -> Run {
        let output: Output = Command::new("systemctl").arg("--user").args(args).output().unwrap();
        output.into()
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
