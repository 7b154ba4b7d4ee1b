"""What is connected: VISA resources and serial ports, who answers there, and which drivers fit.

Only harmless questions are asked: `*IDN?` where messages are text, and on serial ports the probes
of drivers that have one. A port that another program holds, or that somebody claimed, is left
alone and named.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from drivers.bench.ownership import Ownership
from drivers.catalogue import DriverModel, driver_models, matching
from drivers.errors import AnswerError, InstrumentError, LinkError, OwnershipError
from drivers.instruments import Clock, Identity, SystemClock
from drivers.transports.link import Link
from drivers.transports.pool import opener_of, socket_of
from drivers.transports.reader import Reader
from drivers.transports.scpi import parse_identity
from drivers.transports.serial_stream import SerialSettings
from drivers.transports.settings import LinkSettings
from drivers.transports.visa_stream import PURE_PYTHON, resource_manager

__all__ = [
    "HOST_PORTS",
    "Candidate",
    "Found",
    "discover",
    "host_candidates",
    "serial_candidates",
    "visa_candidates",
]

HOST_PORTS = (5025, 5000, 4000, 2000)
"""Raw sockets of instruments: most makers, Red Pitaya and Santec, Tektronix, CoBrite."""
_ENDS = (b"\n", b"\r\n", b"\r")
_QUESTION = b"*IDN?"
_LONGEST = 4096


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A place where an instrument may be.

    Args:
        backend: `visa` or `serial`.
        address: as in bench files.
        hint: what the system says about it.
    """

    backend: str
    address: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found at a place.

    Args:
        candidate: the place.
        identity: who answered; None for nobody.
        models: names of the drivers that fit.
        note: why nobody answered, and what to do.
    """

    candidate: Candidate
    identity: Identity | None = None
    models: tuple[str, ...] = ()
    note: str = ""


def visa_candidates(library: str = PURE_PYTHON) -> tuple[Candidate, ...]:
    """The resources that a VISA library lists.

    Args:
        library: see `resource_manager`.

    Raises:
        LinkError: the library is missing; the message has the line that installs it.
    """
    manager = resource_manager(library)
    try:
        with warnings.catch_warnings():
            # About packages that would find more; docs/add-a-driver.md names them.
            warnings.simplefilter("ignore")
            names: Sequence[str] = manager.list_resources("?*")
    except Exception as error:  # pyvisa-py lets through what its back ends raise
        raise LinkError(f"VISA library {library!r} lists nothing: {error}") from error
    # Serial lines need their own settings and questions; they are candidates of their own.
    return tuple(
        Candidate(backend="visa", address=name)
        for name in names
        if not name.startswith("ASRL") and name.upper().endswith(("::INSTR", "::SOCKET"))
    )


def serial_candidates() -> tuple[Candidate, ...]:
    """The serial ports of this computer that something is plugged into.

    The name by which a port is found again after a restart is preferred.
    """
    from serial.tools import list_ports

    found = []
    for port in list_ports.comports(include_links=True):
        known: Any = port
        if known.hwid == "n/a" and not str(known.device).startswith("/dev/serial/"):
            continue  # a port of the main board with nothing that says who it is
        found.append(
            Candidate(backend="serial", address=known.device, hint=known.description or "")
        )
    lasting = [one for one in found if "/by-id/" in one.address]
    return tuple(lasting or found)


def host_candidates(hosts: Iterable[str]) -> tuple[Candidate, ...]:
    """The usual raw sockets of hosts on the network.

    Args:
        hosts: names or numbers, with a port after a colon where it is known.
    """
    found = []
    for host in hosts:
        name, colon, port = host.rpartition(":")
        ports = (port,) if colon else tuple(map(str, HOST_PORTS))
        found += [
            Candidate(backend="visa", address=f"TCPIP::{name or host}::{number}::SOCKET")
            for number in ports
        ]
    return tuple(found)


def discover(
    candidates: Iterable[Candidate],
    *,
    timeout_s: float = 0.5,
    library: str = "",
    clock: Clock | None = None,
    ownership: Ownership | None = None,
    asking: Callable[[Candidate], None] = lambda _: None,
) -> Iterator[Found]:
    """Ask at every place who is there.

    Args:
        candidates: where to ask.
        timeout_s: for each question.
        library: VISA library for resources that need one; empty for the usual.
        clock: for the deadlines.
        ownership: who owns what; places that are owned are not asked.
        asking: told each place before it is asked.

    Yields:
        One for each place, in their order.
    """
    owners = Ownership() if ownership is None else ownership
    time = SystemClock() if clock is None else clock
    for candidate in candidates:
        asking(candidate)
        try:
            claim = owners.claim(candidate.address, role="discovery", bench="discovery")
        except OwnershipError as error:
            yield Found(candidate=candidate, note=str(error))
            continue
        try:
            yield _look(candidate, timeout_s, library, time)
        finally:
            claim.release()


def _look(candidate: Candidate, timeout_s: float, library: str, clock: Clock) -> Found:
    notes: list[str] = []
    for serial, ask in _questions(candidate):
        settings = LinkSettings(library=library)
        opener = opener_of(candidate.backend, candidate.address, settings, serial)
        link = Link(candidate.address, opener, clock=clock, timeout_s=timeout_s, chatty=True)
        try:
            link.attach("discovery", lambda: None)
        except LinkError as error:
            return Found(candidate=candidate, note=str(error))
        try:
            identity, models = ask(link)
        except (LinkError, AnswerError) as error:
            notes.append(str(error))
        except InstrumentError as error:
            notes.append(str(error))
        else:
            fits = models or tuple(model.model for model in matching(identity))
            note = "" if fits else "no driver fits; see docs/add-a-driver.md"
            return Found(candidate=candidate, identity=identity, models=fits, note=note)
        finally:
            link.detach("discovery")
    return Found(
        candidate=candidate,
        note="nobody answers a harmless question" + (f"; at last: {notes[-1]}" if notes else ""),
    )


_Asked = tuple[Identity, tuple[str, ...]]


def _questions(
    candidate: Candidate,
) -> Iterator[tuple[SerialSettings, Callable[[Link], _Asked]]]:
    """What is asked there, with the settings of the line."""
    text = candidate.backend == "visa" or socket_of(candidate.address) is not None
    if text:
        for end in _ENDS if socket_of(candidate.address) is not None else _ENDS[:1]:
            yield SerialSettings(), lambda link, end=end: (_asked(link, end), ())  # type: ignore[misc]
    probes: dict[object, list[DriverModel]] = {}
    for model in driver_models():
        if model.probe is not None and model.backend == candidate.backend:
            probes.setdefault((model.probe, model.serial), []).append(model)
    for models in probes.values():
        probe, line = models[0].probe, models[0].serial
        assert probe is not None
        names = tuple(model.model for model in models)

        def ask(
            link: Link, probe: Callable[[Link], Identity] = probe, names: tuple[str, ...] = names
        ) -> _Asked:
            identity = probe(link)
            fits = {model.model for model in matching(identity)}
            return identity, tuple(name for name in names if name in fits) or names

        yield line or SerialSettings(), ask


def _asked(link: Link, end: bytes) -> Identity:
    """The answer to `*IDN?` with some end of message; any end of line ends the answer."""

    def read(reader: Reader) -> bytes:
        answer = bytearray()
        while not answer.strip() or answer[-1] not in b"\r\n":
            answer += reader.exactly(1)
            if len(answer) > _LONGEST:
                break
        return bytes(answer).strip()

    return parse_identity(link.order(_QUESTION + end, read))
