//! A worker whose host gets another address, in network namespaces of the test's own.
#![expect(clippy::expect_used, reason = "a test may fail anywhere")]
#![expect(clippy::print_stdout, reason = "the figures are of interest, shown with --nocapture")]

use std::process::Command;
use std::time::{Duration, Instant};

use hearth_tests::{Fleet, FleetOptions, Process, Run, skip, until};

/// Time that anything which should happen may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const PORT: u16 = 7420;

/// A network of two hosts: `worker` at 10.77.0.2, and `client` at 10.77.0.1, where etcd is as well.
struct Network {
    worker: String,
    client: String,
}

/// Runs iproute2's command.
///
/// # Errors
/// What it says, or why there is none.
fn ip(args: &[&str]) -> Result<Run, String> {
    let output = Command::new("ip").args(args).output();
    let run = Run::from(output.map_err(|error| format!("ip of iproute2: {error}"))?);
    if run.status == 0 { Ok(run) } else { Err(run.stderr) }
}

impl Network {
    /// Makes it.
    ///
    /// # Errors
    /// Why the kernel or a container denies it.
    fn make() -> Result<Self, String> {
        let name = |host: &str| format!("hearth-{host}-{}", std::process::id());
        let network = Self { worker: name("w"), client: name("c") };
        let (worker, client) = (network.worker.as_str(), network.client.as_str());
        let steps: [&[&str]; 9] = [
            &["netns", "add", worker],
            &["netns", "add", client],
            &[
                "link", "add", "eth0", "netns", worker, "type", "veth", "peer", "name", "eth0",
                "netns", client,
            ],
            &["-n", worker, "addr", "add", "10.77.0.2/24", "dev", "eth0"],
            &["-n", client, "addr", "add", "10.77.0.1/24", "dev", "eth0"],
            &["-n", worker, "link", "set", "eth0", "up"],
            &["-n", client, "link", "set", "eth0", "up"],
            &["-n", worker, "link", "set", "lo", "up"],
            &["-n", client, "link", "set", "lo", "up"],
        ];
        for step in steps {
            ip(step)?;
        }
        Ok(network)
    }

    /// A command, in the namespace of a host.
    fn inside(host: &str, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", host]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(key, value);
            }
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    fn move_worker(&self) {
        let host = self.worker.as_str();
        let add = ["-n", host, "addr", "add", "10.77.0.12/24", "dev", "eth0"];
        ip(&add).expect("another address");
        ip(&["-n", host, "addr", "del", "10.77.0.2/24", "dev", "eth0"])
            .expect("the first one goes");
        // The kernel takes the second address of a network away with the first.
        let _ = ip(&add);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in [&self.worker, &self.client] {
            let _ = ip(&["netns", "del", host]);
        }
    }
}

fn start_etcd(network: &Network, fleet: &Fleet) -> Process {
    let brought = hearth_tests::source().join(".deps/bin/etcd");
    let mut etcd = Command::new(if brought.is_file() { brought } else { "etcd".into() });
    let (client, peer) = ("http://10.77.0.1:2379", "http://10.77.0.1:2380");
    etcd.arg("--data-dir").arg(fleet.dir().join("etcd"));
    etcd.args(["--listen-client-urls", client, "--advertise-client-urls", client]);
    etcd.args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]);
    etcd.args(["--initial-cluster", &format!("default={peer}"), "--logger=zap"]);
    let log = fleet.dir().join("etcd.log");
    Process::start(&mut Network::inside(&network.client, &etcd), &log)
}

/// The worker announces its new address and is connected there, and the picture under way goes on.
#[test]
fn a_worker_that_gets_another_address_is_found_there() {
    let name = "a_worker_that_gets_another_address_is_found_there";
    let _turn = hearth_tests::Turn::take();
    let network = match Network::make() {
        Ok(network) => network,
        Err(reason) => return skip(name, &reason),
    };
    let registry = Some("etcd://10.77.0.1:2379/default".to_owned());
    let fleet = Fleet::start(FleetOptions { workers: 0, registry, ..FleetOptions::default() });
    let _etcd = start_etcd(&network, &fleet);
    let mut command = fleet.worker_command(0);
    command.env("HEARTH_WORKER__LISTEN", format!("0.0.0.0:{PORT}"));
    let log = fleet.dir().join("w0.log");
    let worker = Process::start(&mut Network::inside(&network.worker, &command), &log);
    let hearth = |args: &[&str]| {
        let output = Network::inside(&network.client, &fleet.command(args)).output();
        Run::from(output.expect("hearth"))
    };
    until("the worker is ready", SOON, || {
        let run = hearth(&["workers", "--json"]);
        (run.status == 0 && run.stdout.contains("\"ready\"")).then_some(())
    });

    let generate = ["-v", "generate", "red heart", "--steps", "300", "-o", "a.png"];
    let said = fleet.dir().join("generate.log");
    let generate = Network::inside(&network.client, &fleet.command(&generate));
    let mut generating = Process::start(&mut { generate }, &said);
    until("it runs", SOON, || {
        let rows = hearth(&["rpc", "stats", "--json"]);
        (rows.status == 0 && rows.json()[0]["value"]["steps"].as_u64() > Some(3)).then_some(())
    });
    network.move_worker();
    let moved = Instant::now();
    until("the new address is announced", SOON, || {
        worker.log().contains("the host's addresses have changed").then_some(())
    });
    until("the worker is found there", SOON, || {
        let run = hearth(&["workers", "--json"]);
        let found = run.stdout.contains("10.77.0.12:7420") && run.stdout.contains("\"ready\"");
        (run.status == 0 && found).then_some(())
    });
    println!("found at its new address after {:?}", moved.elapsed());
    let status = generating.wait(3 * SOON);
    let said = generating.log();
    assert!(status.success(), "{said}");
    assert!(!said.contains("tried again"), "{said}");
    let rows = hearth(&["rpc", "stats", "--json"]).ok().json();
    let (steps, done) = (&rows[0]["value"]["steps"], &rows[0]["value"]["done"]);
    assert_eq!((steps.as_u64(), done.as_u64()), (Some(300), Some(1)), "computed once");
}
