//! An SSH server of the test's own on loopback, for the user that runs the test: with its own keys,
//! port and config, as `scripts/deps.sh sshd` brought it, or as the system has it. Neither the
//! system's server nor anybody's `~/.ssh` is touched.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Process, until};

/// For the server to let somebody in, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Where the server that root runs confines its own half without rights.
const CONFINED: &str = "/run/sshd";

/// The server; ends when it is dropped.
#[derive(Debug)]
pub struct Sshd {
    folder: TempDir,
    /// Where unpacked packages lie; none where they are installed.
    brought: Option<PathBuf>,
    server: Option<Process>,
}

impl Sshd {
    /// The hosts that it is by the names of its clients' config.
    pub const HOSTS: [&str; 2] = ["n1", "n2"];

    /// Starts one and waits until it lets this user in, or says why this system does not let it.
    ///
    /// # Errors
    /// The user may not log in here, or the server has nowhere to run.
    ///
    /// # Panics
    /// When it does not come up otherwise.
    pub fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let brought = crate::source().join(".deps/sshd").canonicalize().ok();
        let mut sshd = Self { folder, brought, server: None };
        if rustix::process::getuid().is_root()
            && let Err(error) = fs::create_dir_all(CONFINED)
        {
            return Err(format!("the server needs {CONFINED}: {error}"));
        }
        for key in ["host", "user"] {
            sshd.make_key(key);
        }
        fs::copy(sshd.file("user.pub"), sshd.file("authorized_keys")).unwrap();
        sshd.restart()?;
        Ok(sshd)
    }

    /// A client's config that names its hosts.
    #[must_use]
    pub fn client_config(&self) -> PathBuf {
        self.file("ssh_config")
    }

    /// Variables with which programs find `ssh` and `jq`.
    ///
    /// # Panics
    /// When PATH is no UTF-8.
    #[must_use]
    pub fn env(&self) -> BTreeMap<String, String> {
        let Some(brought) = &self.brought else { return BTreeMap::new() };
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", brought.join("usr/bin").display());
        [("PATH".to_owned(), path)].into_iter().chain(self.libraries()).collect()
    }

    /// Lets nobody in any more.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Lets its user in again, on another port: its clients' config names it.
    ///
    /// # Errors
    /// As [`Sshd::start`].
    ///
    /// # Panics
    /// As [`Sshd::start`].
    pub fn restart(&mut self) -> Result<(), String> {
        // A port that was free may be taken by now.
        for _ in 0..5 {
            if self.serve()? {
                return Ok(());
            }
        }
        panic!("the server doesn't come up; is it there? scripts/deps.sh sshd: {}", self.log());
    }

    /// Whether it serves now: false where its port was taken.
    fn serve(&mut self) -> Result<bool, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        self.configure(port);
        drop(listener);
        // By its whole path: it runs itself for each connection.
        let mut command = Command::new(self.program("usr/sbin/sshd", "/usr/sbin/sshd"));
        command.args(["-D", "-e", "-f"]).arg(self.file("sshd_config")).envs(self.libraries());
        let mut server = Process::start(&mut command, &self.file("log"));
        let is_let_in = || {
            let mut ssh = Command::new(self.program("usr/bin/ssh", "ssh"));
            ssh.arg("-F").arg(self.client_config()).args([Self::HOSTS[0], "true"]);
            ssh.envs(self.libraries()).output().unwrap().status.success()
        };
        let outcome = until("the server lets this user in", LIMIT, || {
            if let Some(line) = self.log().lines().find(|l| l.contains("not allowed because")) {
                return Some(Err(line.to_owned()));
            }
            if server.ended().is_some() {
                return Some(Ok(false));
            }
            is_let_in().then_some(Ok(true))
        });
        self.server = Some(server);
        outcome
    }

    fn make_key(&self, name: &str) {
        let mut command = Command::new(self.program("usr/bin/ssh-keygen", "ssh-keygen"));
        command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(self.file(name));
        let made = command.envs(self.libraries()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    fn configure(&self, port: u16) {
        let here = self.folder.path().display();
        // Neither PAM nor the modes of the folders above: what is tested is not who may log in.
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {here}/host\nPidFile none\n\
             AuthorizedKeysFile {here}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             MaxStartups 500\nMaxSessions 500\nLogLevel VERBOSE\n"
        );
        fs::write(self.file("sshd_config"), server).unwrap();
        let user = whoami();
        let client = format!(
            "Host {}\nHostName 127.0.0.1\nPort {port}\nUser {user}\nIdentityFile {here}/user\n\
             IdentitiesOnly yes\nIdentityAgent none\nUserKnownHostsFile {here}/known_hosts\n\
             GlobalKnownHostsFile none\nStrictHostKeyChecking yes\n",
            Self::HOSTS.join(" ")
        );
        fs::write(self.client_config(), client).unwrap();
        let key = fs::read_to_string(self.file("host.pub")).unwrap();
        fs::write(self.file("known_hosts"), format!("[127.0.0.1]:{port} {key}")).unwrap();
    }

    fn program(&self, brought: &str, installed: &str) -> PathBuf {
        let ours = self.brought.as_ref().map(|folder| folder.join(brought));
        ours.filter(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(installed))
    }

    /// The variable that names the folders of unpacked libraries.
    fn libraries(&self) -> Option<(String, String)> {
        let folders = fs::read_dir(self.brought.as_ref()?.join("usr/lib")).ok()?;
        let folders = folders.filter_map(|entry| Some(entry.ok()?.path()));
        let multiarch = |path: &PathBuf| path.to_string_lossy().ends_with("-linux-gnu");
        let folder = { folders }.find(multiarch)?;
        Some(("LD_LIBRARY_PATH".to_owned(), folder.to_str()?.to_owned()))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// This user's name, which may differ from the environment's.
fn whoami() -> String {
    let said = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}
