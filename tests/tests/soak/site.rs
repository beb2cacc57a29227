//! The fleet that faults are done to: workers behind relays, and an etcd.

use std::time::{Duration, Instant};

use hearth_tests::{Etcd, Fleet, FleetOptions, Loss};

use crate::act::Act;
use crate::footprint::Footprint;

/// A worker that is asked to end has to finish what it computes.
const DRAIN: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    fleet: Fleet,
    etcd: Etcd,
    /// Workers that ended by themselves, and what else must not be.
    violations: Vec<String>,
}

impl Site {
    pub(crate) fn start(workers: usize) -> Self {
        let etcd = Etcd::start();
        let options = FleetOptions {
            workers,
            registry: Some(etcd.url()),
            relays: true,
            ..FleetOptions::default()
        };
        Self { fleet: Fleet::start(options), etcd, violations: Vec::new() }
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Does a fault, and what undoes it.
    pub(crate) fn perform(&mut self, act: Act) {
        self.look_for_ends();
        match act {
            Act::Kill(rank, pause) => {
                self.fleet.workers[rank].signal("KILL");
                let _ = self.fleet.workers[rank].wait(DRAIN);
                std::thread::sleep(pause);
                self.fleet.workers[rank] = self.fleet.start_worker(rank);
            }
            Act::Freeze(rank, pause) => {
                self.fleet.workers[rank].signal("STOP");
                std::thread::sleep(pause);
                self.fleet.workers[rank].signal("CONT");
            }
            Act::Terminate(rank) => {
                self.fleet.workers[rank].signal("TERM");
                let status = self.fleet.workers[rank].wait(DRAIN);
                if !status.success() {
                    self.violations.push(format!("w{rank} was asked to end and gave {status}"));
                }
                self.fleet.workers[rank] = self.fleet.start_worker(rank);
            }
            Act::Reload(rank) => self.fleet.workers[rank].signal("HUP"),
            Act::RenewCertificate(rank) => self.fleet.renew_certificate(rank),
            Act::Lose(rank, loss, pause) => {
                self.fleet.relay(rank).lose(loss);
                std::thread::sleep(pause);
                self.fleet.relay(rank).lose(Loss::default());
            }
            Act::KillEtcd(pause) => {
                self.etcd.kill();
                std::thread::sleep(pause);
                self.etcd.resume();
            }
            Act::FreezeEtcd(pause) => {
                self.etcd.signal("STOP");
                std::thread::sleep(pause);
                self.etcd.signal("CONT");
            }
            Act::WipeEtcd => {
                self.etcd.wipe();
                self.etcd.resume();
            }
        }
    }

    /// Writes down which workers have ended without having been told to.
    fn look_for_ends(&mut self) {
        for rank in 0..self.fleet.workers.len() {
            if let Some(status) = self.fleet.workers[rank].ended() {
                let log = self.fleet.workers[rank].log();
                let last = log.lines().last().unwrap_or_default();
                self.violations.push(format!("w{rank} ended by itself, {status}: {last}"));
                self.fleet.workers[rank] = self.fleet.start_worker(rank);
            }
        }
    }

    /// Waits until all workers are ready again, and says how long that took.
    pub(crate) fn recover(&self, limit: Duration) -> Duration {
        let start = Instant::now();
        let workers = self.fleet.workers.len();
        hearth_tests::until("all workers are ready again", limit, || {
            let health = self.fleet.hearth(&["health", "--json"]);
            (health.status == 0 && health.json().as_array()?.len() == workers).then_some(())
        });
        start.elapsed()
    }

    /// What must not have been: workers that ended by themselves, or loaded their model twice.
    pub(crate) fn violations(&self) -> Vec<String> {
        let loads = self.fleet.stats("model_loads");
        let twice = (0..).zip(loads).filter(|(_, loads)| *loads != 1);
        let twice = twice.map(|(rank, loads): (usize, _)| format!("w{rank} loaded {loads} models"));
        self.violations.iter().cloned().chain(twice).collect()
    }

    /// What each worker holds, by rank, and this process, the clients', last.
    pub(crate) fn footprints(&self) -> Vec<Footprint> {
        let workers = self.fleet.workers.iter().map(|worker| Footprint::of(worker.pid()));
        workers.chain([Footprint::of(std::process::id())]).collect()
    }
}
