"""What the peers share: commands come as JSON, one per line, and so do the answers.

A peer measures itself, in its own process, as a program that uses it would. It ends when its
standard input does.
"""

import fcntl
import json
import os
import socket
import struct
import sys

SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def raise_loopback():
    """A fresh network namespace has a loopback device that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", IFF_UP)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


def take_stdout():
    """The standard output for answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return answers


def serve(answers, commands, ready):
    """Says that the peer is ready, then obeys until standard input ends."""
    print(json.dumps(ready), file=answers)
    for line in sys.stdin:
        command = json.loads(line)
        answer = commands[command.pop("do")](**command)
        print(json.dumps(answer), file=answers)
