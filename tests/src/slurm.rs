//! A real Slurm cluster of one node, on ports and in a folder of its own: munged, slurmctld and
//! slurmd as `scripts/deps.sh slurm` brought them, or as the system has them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::turn::Turn;

/// For a daemon to answer, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// More than the host has: what runs at once is to be limited by the tests alone.
const CPUS: u32 = 64;

/// The cluster; ends with its jobs when it is dropped.
#[derive(Debug)]
pub struct SlurmCluster {
    folder: TempDir,
    /// Where unpacked packages lie; none where Slurm is installed.
    brought: Option<PathBuf>,
    daemons: Vec<Child>,
}

impl SlurmCluster {
    /// Starts one and waits until its node is idle.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start() -> Self {
        Turn::assert_taken();
        let folder = tempfile::tempdir().unwrap();
        // munged wants its socket's folder to be open to all.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let brought = crate::source().join(".deps/slurm").canonicalize().ok();
        let mut cluster = Self { folder, brought, daemons: Vec::new() };
        cluster.configure();
        cluster.run_munged();
        let config = cluster.file("slurm.conf");
        let daemon = |name| cluster.program("usr/sbin", &[name, &format!("{name}-wlm")]);
        let (controller, node) = (daemon("slurmctld"), daemon("slurmd"));
        let stepd = daemon("slurmstepd");
        let mut controller = Command::new(controller);
        controller.args(["-D", "-i", "-f"]).arg(&config);
        cluster.run("slurmctld", controller);
        let mut node = Command::new(node);
        node.args(["-D", "-N", "n1", "-f"]).arg(&config).arg("-d").arg(stepd);
        cluster.run("slurmd", node);
        let began = Instant::now();
        while cluster.said("sinfo", &["--noheader", "--format=%T"]).0.trim() != "idle" {
            assert!(began.elapsed() < LIMIT, "the node isn't idle: {}", cluster.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
        cluster
    }

    /// The folder of `sbatch`, `squeue` and `scancel`; none where they are on PATH.
    #[must_use]
    pub fn commands(&self) -> Option<PathBuf> {
        Some(self.brought.as_ref()?.join("usr/bin"))
    }

    /// Variables with which Slurm's commands find this cluster.
    ///
    /// # Panics
    /// When the cluster's folder has no name in UTF-8.
    #[must_use]
    pub fn env(&self) -> BTreeMap<String, String> {
        let config = self.file("slurm.conf").to_str().unwrap().to_owned();
        let mut env = BTreeMap::from([("SLURM_CONF".to_owned(), config)]);
        let libraries: Vec<String> =
            self.libraries().iter().map(|l| l.display().to_string()).collect();
        if !libraries.is_empty() {
            env.insert("LD_LIBRARY_PATH".to_owned(), libraries.join(":"));
        }
        env
    }

    /// A folder that the node shares with the submitting host: they are one host.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.file("shared")
    }

    /// Runs one of Slurm's commands: what it printed, and what it complained of.
    ///
    /// # Panics
    /// When there is no such command.
    #[must_use]
    pub fn said(&self, name: &str, args: &[&str]) -> (String, String) {
        let mut command = Command::new(self.program("usr/bin", &[name]));
        let output: Output = command.args(args).envs(self.env()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    fn configure(&self) {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (controller, node) = (free(), free());
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        let user = rustix::process::getuid().as_raw();
        let here = self.folder.path().display();
        fs::create_dir(self.file("controller")).unwrap();
        fs::create_dir(self.file("node")).unwrap();
        fs::create_dir(self.file("shared")).unwrap();
        let plugins = self.libraries().into_iter().find(|folder| folder.ends_with("slurm-wlm"));
        let plugins = plugins.map_or(String::new(), |p| format!("PluginDir={}\n", p.display()));
        let config = format!(
            "ClusterName=test\nSlurmctldHost=localhost(127.0.0.1)\n\
             SlurmctldPort={}\nSlurmdPort={}\nSlurmUser={user}\nSlurmdUser={user}\n\
             StateSaveLocation={here}/controller\nSlurmdSpoolDir={here}/node\n\
             SlurmctldPidFile={here}/slurmctld.pid\nSlurmdPidFile={here}/slurmd.pid\n\
             SlurmctldLogFile={here}/slurmctld.log\nSlurmdLogFile={here}/slurmd.log\n{plugins}\
             AuthType=auth/munge\nAuthInfo=socket={here}/munge.socket\nCredType=cred/munge\n\
             ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU_Memory\n\
             SlurmdParameters=config_overrides\nMailProg=/bin/true\nKillWait=2\nGresTypes=gpu\n\
             DefMemPerCPU=64\n\
             SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1\n\
             NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory=8192 \
             Feature=fast\n\
             PartitionName=main Nodes=n1 Default=YES MaxTime=INFINITE\n\
             PartitionName=later Nodes=n1\n",
            port(&controller),
            port(&node),
        );
        fs::write(self.file("slurm.conf"), config).unwrap();
        // Nothing here needs control groups; where a chroot shows none, slurmd finds no plugin for
        // them by itself and gives up.
        if fs::read_dir("/sys/fs/cgroup").map_or(0, Iterator::count) == 0 {
            fs::write(self.file("cgroup.conf"), "CgroupPlugin=cgroup/v1\n").unwrap();
        }
        let mut key = [0; 128];
        File::open("/dev/urandom").unwrap().read_exact(&mut key).unwrap();
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o400);
        let mut file = options.open(self.file("munge.key")).unwrap();
        std::io::Write::write_all(&mut file, &key).unwrap();
    }

    fn run_munged(&mut self) {
        let mut munged = Command::new(self.program("usr/sbin", &["munged"]));
        // --force: folders above ours may be open to all, as /tmp is.
        munged.args(["--foreground", "--force", "--num-threads=2"]);
        for (option, file) in [
            ("--key-file", "munge.key"),
            ("--socket", "munge.socket"),
            ("--pid-file", "munged.pid"),
            ("--log-file", "munged.log"),
            ("--seed-file", "munged.seed"),
        ] {
            munged.arg(format!("{option}={}", self.file(file).display()));
        }
        self.run("munged", munged);
        let began = Instant::now();
        while !self.file("munge.socket").exists() {
            assert!(began.elapsed() < LIMIT, "munged has no socket: {}", self.logs());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn run(&mut self, name: &str, mut command: Command) {
        let log = File::create(self.file(&format!("{name}.out"))).unwrap();
        command.envs(self.env()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let started = command.spawn();
        let remedy = "is Slurm there? scripts/deps.sh slurm";
        self.daemons.push(started.unwrap_or_else(|error| panic!("{name}: {error}; {remedy}")));
    }

    /// The first of these names that is there.
    fn program(&self, folder: &str, names: &[&str]) -> PathBuf {
        let Some(brought) = &self.brought else { return PathBuf::from(names[0]) };
        let places = names.iter().map(|name| brought.join(folder).join(name));
        let first = places.clone().next().unwrap();
        { places }.find(|place| place.is_file()).unwrap_or(first)
    }

    /// Folders of unpacked libraries, and of Slurm's plugins.
    fn libraries(&self) -> Vec<PathBuf> {
        let Some(brought) = &self.brought else { return Vec::new() };
        let folders = fs::read_dir(brought.join("usr/lib")).into_iter().flatten();
        let folders = folders.filter_map(|entry| Some(entry.ok()?.path()));
        let own = folders.filter(|folder| folder.join("slurm-wlm").is_dir());
        own.flat_map(|folder| [folder.clone(), folder.join("slurm-wlm")]).collect()
    }

    fn logs(&self) -> String {
        let read = |name| fs::read_to_string(self.file(name)).unwrap_or_default();
        ["munged.out", "slurmctld.out", "slurmd.out", "slurmd.log"].map(read).join("\n")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for SlurmCluster {
    fn drop(&mut self) {
        // Jobs first: without its node's daemon a job would go on.
        let (jobs, _) = self.said("squeue", &["--noheader", "--format=%F"]);
        let jobs: Vec<&str> = jobs.split_whitespace().collect();
        if !jobs.is_empty() {
            let _ = self.said("scancel", &[&["--full", "--signal=KILL"], jobs.as_slice()].concat());
            let began = Instant::now();
            while !self.said("squeue", &["--noheader"]).0.is_empty() && began.elapsed() < LIMIT {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        for daemon in self.daemons.iter_mut().rev() {
            let _ = kill_process(Pid::from_child(daemon), Signal::TERM);
            let began = Instant::now();
            while daemon.try_wait().unwrap().is_none() {
                if began.elapsed() > Duration::from_secs(10) {
                    let _ = daemon.kill();
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
