"""What drivers cost over bare sockets: queries, records and waveforms, as ratios in one run.

A server in a process of its own answers at once, so that nothing but the way there and back is
measured. References are interleaved with what is compared with them:

* a query: `sendall` and `recv` on a bare socket, the answer turned into a number; through pyvisa-py
  `query` of a bare pyvisa resource;
* a record of 1e6 points of 16 bits, as scopes with more than 8 bits send them, and of 8: a loop
  of `recv_into` over the same bytes; the driver asks the error queue in the same message;
* a waveform of as many points of 16 bits: `sendall` of the same bytes, and the answer to one query.

Records and waveforms are measured twice: on loopback, which is as fast as memory, and at 1 Gbit/s,
the fastest plug that these instruments have, to which the server then paces itself.

Records go to places drawn at random: how a copy's target lies to its source within a page changes
its speed up to five times on some processors, and a place that is kept would favour one of the two.

Run: python benchmarks/bench_links.py [repeats]
"""

import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from drivers.instruments import LaserLimits, SystemClock
from drivers.lasers.keysight_n771x import MODELS, KeysightN771x
from drivers.transports.link import Link
from drivers.transports.scpi import Scpi
from drivers.transports.socket_stream import SocketStream
from drivers.transports.visa_stream import VisaStream, resource_manager

POINTS = 1_000_000
PAGE = 4096
GIGABIT_BYTES_PER_S = 125e6
QUERIES = 2000
HAMMERED = 100_000
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
QUERY = b":SOUR1:POW?\n"
SERVER = r"""
import re, socket, sys, threading, time
pace = float(sys.argv[1])
known = {b"*IDN?": b"Keysight Technologies,N7711A,SIM1,1.0", b"*OPC?": b"1",
         b":SYST:ERR?": b'+0,"No error"', b":OUTP1?": b"+0"}
payload = memoryview(bytes(2000000))

def paced(begun, done):
    left = begun + done / pace - time.perf_counter() if pace else 0
    if left > 0:
        time.sleep(left)

def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    room = memoryview(bytearray(1 << 20))
    data = b""
    while True:
        more = connection.recv(1 << 16)
        if not more:
            return
        data += more
        upload = re.match(rb":TAKE #7(\d{7})", data)
        if upload:
            begun, done = time.perf_counter(), len(data) - 10
            count = int(upload[1])
            while done < count + 1:
                done += connection.recv_into(room[: min(len(room), count + 1 - done)])
                paced(begun, done)
            data = b""
            continue
        if not data.endswith(b"\n"):
            continue
        for message in data.splitlines():
            wanted = re.match(rb":BLOCK(\d+)\?(;:SYST:ERR\?)?", message)
            if wanted:
                count, begun = int(wanted[1]), time.perf_counter()
                connection.sendall(b"#7%07d" % count)
                step = 1 << 16 if pace else count
                for place in range(0, count, step):
                    connection.sendall(payload[place : min(count, place + step)])
                    paced(begun, place + step)
                connection.sendall(b';+0,"No error"\n' if wanted[2] else b"\n")
                continue
            number = b"+1.00000000E-002"
            said = [known.get(unit, unit[6:-1] if unit.startswith(b":ECHO") else number)
                    for unit in message.split(b";") if unit.endswith(b"?")]
            if said:
                connection.sendall(b";".join(said) + b"\n")
        data = b""

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@contextmanager
def server(pace: float = 0.0) -> Iterator[int]:
    """The port of a server that answers at once, or sends and takes so many bytes per second."""
    command = [sys.executable, "-c", SERVER, str(pace)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            _own_processor(process.pid)
            yield port
        finally:
            process.kill()


def _own_processor(pid: int) -> None:
    """Keep the server off our processor core, as an instrument's own processor is.

    Left alone, the system now and then lets both take turns on one core, and what is timed then is
    when it switches.
    """
    if len(CORES) > 1:
        os.sched_setaffinity(pid, CORES[1:])
        os.sched_setaffinity(0, CORES[:1])


def seconds(action: Callable[[], object], count: int = 1) -> float:
    """Time of one of so many calls."""
    begun = time.perf_counter()
    for _ in range(count):
        action()
    return (time.perf_counter() - begun) / count


def show(
    name: str, reference: Callable[[], float], measured: Callable[[], float], repeats: int
) -> None:
    """Print the median ratio of interleaved runs, that of the best, and the best times."""
    reference(), measured()
    pairs = [(reference(), measured()) for _ in range(repeats)]
    best = [min(times) for times in zip(*pairs, strict=True)]
    median = statistics.median(two / one for one, two in pairs)
    times = " -> ".join(f"{1e6 * one:.1f}" for one in best)
    print(f"{name:42s} {median:5.2f}  (of the best: {best[1] / best[0]:.2f}; {times} us)")


def bare_socket(port: int) -> socket.socket:
    """A connected socket as a careful script sets it."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def asked(connection: socket.socket, query: bytes = QUERY) -> float:
    """A query on a bare socket."""
    connection.sendall(query)
    answer = connection.recv(4096)
    while not answer.endswith(b"\n"):
        answer += connection.recv(4096)
    return float(answer)


def laser(link: Link) -> KeysightN771x:
    """A real driver, with its lock, limits, log and error check."""
    limits = MODELS[0].limits
    assert isinstance(limits, LaserLimits)
    return KeysightN771x("laser", limits=limits, link=link, clock=SystemClock())


def queries(repeats: int) -> None:
    """A query through a driver, over a socket and through pyvisa-py."""
    with server() as port:
        address = f"TCPIP::127.0.0.1::{port}::SOCKET"
        plain = Link(address, lambda timeout_s: SocketStream.connect("127.0.0.1", port, timeout_s))
        visa = Link(address, lambda timeout_s: VisaStream.open(address, "@py", timeout_s))
        bare = bare_socket(port)
        resource = resource_manager().open_resource(
            address, read_termination="\n", write_termination="\n"
        )
        with laser(plain) as driver, laser(visa) as through_visa:
            show(
                "query: driver / bare socket (at most 1.5)",
                lambda: seconds(lambda: asked(bare), QUERIES),
                lambda: seconds(driver.power_w, QUERIES),
                repeats,
            )
            show(
                "query: driver / bare pyvisa-py (at most 1.15)",
                lambda: seconds(lambda: float(resource.query(":SOUR1:POW?")), QUERIES // 4),
                lambda: seconds(through_visa.power_w, QUERIES // 4),
                repeats,
            )
        resource.close()
        bare.close()


def transfers(repeats: int, pace: float, where: str) -> None:
    """A record and a waveform of 1e6 points."""
    with server(pace) as port:
        link = Link("bench", lambda timeout_s: SocketStream.connect("127.0.0.1", port, timeout_s))
        link.attach("bench", lambda: None)
        scpi, bare = Scpi(link), bare_socket(port)
        room, somewhere = np.zeros(2 * POINTS + 2 * PAGE, dtype=np.uint8), random.Random(1)

        def place(count: int) -> NDArray[np.uint8]:
            return room[(begin := somewhere.randrange(PAGE)) : begin + count]

        def receive(size: int) -> None:
            buffer, done = place(size + 10).data, 0
            bare.sendall(b":BLOCK%d?\n" % size)
            while done < size + 10:
                done += bare.recv_into(buffer[done:])

        for bits in (16, 8):
            size = POINTS * bits // 8
            show(
                f"{bits}-bit record, {where}: block / recv_into (1.3)",
                lambda size=size: seconds(lambda: receive(size)),  # type: ignore[misc]
                lambda size=size: seconds(  # type: ignore[misc]
                    lambda: scpi.block(f":BLOCK{size}?", into=place(size))
                ),
                4 * repeats,
            )
        codes = np.zeros(POINTS, dtype=np.int16)
        message = b":TAKE #7%07d" % codes.nbytes + codes.tobytes() + b"\n"

        def send() -> None:
            bare.sendall(message)
            asked(bare)

        show(
            f"waveform, {where}: set_block / sendall (1.3)",
            lambda: seconds(send),
            lambda: seconds(lambda: scpi.set_block(":TAKE ", codes.data)),
            repeats,
        )
        link.detach("bench")
        bare.close()


def hammer() -> None:
    """Two threads on one link: every answer must be that of its own question."""
    wrong = 0
    with server() as port:
        link = Link("bench", lambda timeout_s: SocketStream.connect("127.0.0.1", port, timeout_s))
        link.attach("bench", lambda: None)
        scpi = Scpi(link)

        def ask(offset: int) -> None:
            nonlocal wrong
            for number in range(offset, HAMMERED, 2):
                wrong += scpi.query(f":ECHO {number}?") != str(number)

        threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        link.detach("bench")
    print(f"two threads, {HAMMERED} queries: {wrong} answers exchanged")


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    queries(repeats)
    transfers(repeats, 0.0, "loopback")
    transfers(repeats, GIGABIT_BYTES_PER_S, "1 Gbit/s")
    hammer()


if __name__ == "__main__":
    main()
