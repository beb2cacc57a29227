"""gRPC with mutual TLS: eight servers in processes of their own, called at once with asyncio."""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path

import grpc

import peer

SERVERS = 8
EMPTY = bytes(32)
METHOD = "/bench/call"
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# The name in the servers' certificates.
OPTIONS = [*UNLIMITED, ("grpc.ssl_target_name_override", "bench")]


def read(folder):
    """The authority, the key and the certificate of a role."""
    return [(Path(folder) / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt")]


async def answer(request, _context):
    size = int.from_bytes(request, "big")
    return b"\x07" * size if size else EMPTY


async def serve(folder):
    ca, key, certificate = read(Path(folder) / "worker")
    credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    server = grpc.aio.server(options=UNLIMITED)
    handlers = {"call": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench", handlers)])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(port, flush=True)
    # Until the owner closes it.
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


async def fan_out(stubs, n, size, calls):
    request = size.to_bytes(8, "big")
    times = []
    for _ in range(calls):
        start = time.perf_counter()
        await asyncio.gather(*[stub(request) for stub in stubs[:n]])
        times.append((time.perf_counter() - start) * 1e6)
    return times


async def connect(folder, ports):
    ca, key, certificate = read(Path(folder) / "coordinator")
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    channels = [
        grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options=OPTIONS)
        for port in ports
    ]
    return [channel.unary_unary(METHOD) for channel in channels]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--own-network", action="store_true")
    parser.add_argument("--dir", required=True)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    if args.serve:
        return asyncio.run(serve(args.dir))
    answers = peer.take_stdout()
    if args.own_network:
        peer.raise_loopback()
    command = [sys.executable, __file__, "--serve", "--dir", args.dir]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    servers = [subprocess.Popen(command, **pipes) for _ in range(SERVERS)]
    ports = [int(server.stdout.readline()) for server in servers]
    with asyncio.Runner() as runner:
        stubs = runner.run(connect(args.dir, ports))
        call = lambda **wanted: runner.run(fan_out(stubs, **wanted))
        call(n=SERVERS, size=0, calls=1)
        peer.serve(answers, {"fan_out": call}, {"version": grpc.__version__})
    for server in servers:
        server.stdin.close()
        server.wait()


main()
