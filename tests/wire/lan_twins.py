"""Twins behind VXI-11 and HiSLIP, and links to them through pyvisa-py: real sockets, real time."""

import gc
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from drivers.transports.link import Link
from drivers.transports.pool import opener_of
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import LinkSettings
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.hislip import HislipTwin
from sim_backend.wire.pace import Pace
from sim_backend.wire.scpi_session import Call, ErrorQueue, ScpiSession, block
from sim_backend.wire.server import TwinListener, TwinServer
from sim_backend.wire.session import Session, Twin
from sim_backend.wire.vxi11 import Vxi11Twin

__all__ = [
    "BOXES",
    "IDENTITY",
    "PROTOCOLS",
    "UNCLOSED",
    "Box",
    "EchoTwin",
    "served",
    "sockets_collected",
    "visa_link",
]

Box = Callable[[Twin, SimulatedClock], Twin]
BOXES: dict[str, Box] = {
    "VXI-11": Vxi11Twin,
    "HiSLIP": HislipTwin,
    "VXI-11 in small parts": lambda twin, clock: Vxi11Twin(
        twin, clock, largest_write=37, largest_read=7
    ),
    "HiSLIP in small parts": lambda twin, clock: HislipTwin(twin, clock, largest=37),
}

PROTOCOLS = ("VXI-11", "HiSLIP")
IDENTITY = b"Maker,Echo,SIM01,1"
UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


class EchoTwin(Twin):
    """Answers what it is asked: `ECHO? 5`, `HELD? 5` when `release` was called, and blocks.

    All its connections share one parser and one output buffer, as in many older instruments, and
    it does not drop an answer that was not fetched: only a device clear does.

    Args:
        clock: simulated time.
        record: the bytes of `DATA?`.
    """

    def __init__(self, clock: SimulatedClock, record: bytes = b"") -> None:
        self.model = "Echo"
        self.errors = ErrorQueue()
        self.asked: list[str] = []
        self.taken = b""
        self._released = False
        self._session = session = _Shared(
            clock,
            {
                "*IDN?": lambda _: IDENTITY.decode(),
                "ECHO?": self._echo,
                "HELD?": self._held,
                "DATA": self._data,
                "DATA?": lambda _: block(record),
            },
            self.errors,
        )
        self._say = session.say

    def session(self) -> Session:
        return self._session

    def release(self) -> None:
        """Let the answers out that are held."""
        self._released = True

    def _echo(self, call: Call) -> str:
        self.asked.append(call.argument())
        return call.argument()

    def _held(self, call: Call) -> None:
        self.asked.append(call.argument())
        self._say(call.argument().encode() + b"\n", when=lambda: self._released)

    def _data(self, call: Call) -> None:
        self.taken = call.block or b""


class _Shared(ScpiSession):
    def interrupt(self) -> None:
        return

    def close(self) -> None:
        return


@contextmanager
def sockets_collected(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """pyvisa-py leaves the socket of a failed opening to the garbage collector, and logs it."""
    caplog.set_level(logging.CRITICAL, "pyvisa")
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@contextmanager
def served(
    twin: Twin,
    clock: SimulatedClock,
    box: Box,
    *,
    speed: float = 100.0,
    listener: TwinListener | None = None,
) -> Iterator[tuple[TwinServer, str]]:
    """A twin behind a protocol.

    Args:
        twin: the instrument.
        clock: simulated time.
        box: the protocol.
        speed: simulated seconds per second.
        listener: told what happens.

    Returns:
        The server and the address for bench files.
    """
    with TwinServer(clock, Pace(clock, speed), listener=listener) as server:
        yield server, server.listen_tcp(box(twin, clock))


def visa_link(address: str, timeout_s: float = 5.0) -> Link:
    """A closed link to an address, as a bench makes it."""
    opener = opener_of("visa", address, LinkSettings(), SerialSettings())
    return Link(address, opener, timeout_s=timeout_s)
