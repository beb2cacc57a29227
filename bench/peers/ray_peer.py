"""Ray: eight named actors on one node, called at once; and a new driver that finds them again.

Nothing that slows it down is on: no dashboard, no usage statistics, no logs to the driver, no
niceness; actors are warm, and take no share of the processors. Large replies are arrays, which Ray hands over as
views of its shared memory.
"""

import argparse
import os
import subprocess
import sys
import time

STARTED = time.perf_counter()
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# By default actors run at niceness 15: below everything else on this machine, us included.
os.environ["RAY_worker_niceness"] = "0"

import numpy
import ray

import peer

IMPORTED = time.perf_counter()
NAMESPACE = "bench"
ACTORS = 8
QUIET = {"log_to_driver": False, "logging_level": "error", "namespace": NAMESPACE}


@ray.remote(num_cpus=0)
class Actor:
    def empty(self):
        return None

    def reply(self, size):
        return numpy.full(size, 7, dtype=numpy.uint8)


def fan_out(actors, n, size, calls):
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        if size:
            ray.get([actor.reply.remote(size) for actor in actors[:n]])
        else:
            ray.get([actor.empty.remote() for actor in actors[:n]])
        times.append((time.perf_counter() - start) * 1e6)
    return times


def reconnect(address):
    """A fresh driver in a process of its own, until all actors have answered it."""
    command = [sys.executable, __file__, "--driver", address]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        importing = float(driver.stdout.readline())
        took = (time.perf_counter() - start) * 1e3
    return {"ms": took, "importing_ms": importing}


def drive(address):
    answers = peer.take_stdout()
    ray.init(address=address, **QUIET)
    actors = [ray.get_actor(f"w{i}") for i in range(ACTORS)]
    ray.get([actor.empty.remote() for actor in actors])
    print((IMPORTED - STARTED) * 1e3, file=answers)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--own-network", action="store_true")
    parser.add_argument("--dir")
    parser.add_argument("--driver")
    args = parser.parse_args()
    if args.driver:
        return drive(args.driver)
    answers = peer.take_stdout()
    if args.own_network:
        peer.raise_loopback()
    node = ray.init(
        include_dashboard=False,
        object_store_memory=1 << 30,
        _node_ip_address="127.0.0.1",
        _temp_dir=os.path.join(args.dir, "ray"),
        **QUIET,
    )
    address = node.address_info["address"]
    actors = [Actor.options(name=f"w{i}").remote() for i in range(ACTORS)]
    ray.get([actor.empty.remote() for actor in actors])
    commands = {
        "fan_out": lambda n, size, calls: fan_out(actors, n, size, calls),
        "reconnect": lambda: reconnect(address),
    }
    peer.serve(answers, commands, {"version": ray.__version__})
    ray.shutdown()


main()
