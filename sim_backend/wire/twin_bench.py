"""A whole bench of twins: every box of some bench files on one scene, behind local addresses.

The files name real models at real addresses. Each address becomes a twin, all twins share the
scene that the roles describe, and files are written that say the same with the local addresses.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from drivers.bench.files import BenchFile, parse_bench
from drivers.bench.registry import InstrumentEntry
from drivers.bench.sections import SceneSection
from drivers.errors import ConfigurationError
from drivers.settings_files import parse_toml
from drivers.transports.pool import socket_of
from drivers.transports.wired import TWIN_SERIAL
from sim_backend.instruments.faults import FaultPlan
from sim_backend.instruments.models import scene_settings
from sim_backend.instruments.models_amplifier import amplifier_scene_settings
from sim_backend.instruments.parts import Part
from sim_backend.instruments.scene_faults import check_target
from sim_backend.instruments.scene_sections import SCENES, faults_of, seed_of
from sim_backend.instruments.simulated_amplifier_bench import (
    SimulatedAmplifierBench,
    check_fault_of_instrument,
)
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.catalogue import make_twin, twin_makers
from sim_backend.wire.networks import networked
from sim_backend.wire.pace import Pace
from sim_backend.wire.running import Running
from sim_backend.wire.server import TwinListener, TwinServer
from sim_backend.wire.session import Twin, TwinPlace

__all__ = ["Served", "TwinBench", "TwinBox", "TwinSet", "with_scene"]

_SECTION = re.compile(r"\s*\[\s*([A-Za-z0-9_.\-]+)\s*\]\s*(?:#.*)?")
_KEY = re.compile(r"""(\s*(address|serial)\s*=\s*)("[^"]*"|'[^']*')(.*)""", re.DOTALL)


class _Scene(Protocol):
    """A simulated bench, as far as twins need it."""

    clock: SimulatedClock

    def part(self, party: str, role: str) -> Part:
        """The part behind a role."""


@dataclass(frozen=True, kw_only=True)
class TwinBox:
    """One twin of a bench.

    Args:
        twin: the emulator.
        backend: of its entries.
        original: its address in the bench files.
        serial: its serial number.
        roles: `party.role` of everything in it.
    """

    twin: Twin
    backend: str
    original: str
    serial: str
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Served:
    """Where a twin is served.

    Args:
        address: where it answers, as bench files write it.
        name: the same as the server names it in its events.
    """

    address: str
    name: str


def with_scene(files: Sequence[BenchFile]) -> tuple[BenchFile, ...]:
    """The files, each with a scene: the usual one of its receiver where it names none."""
    receivers = {receiver: name for name, receiver in SCENES.items()}

    def complete(file: BenchFile) -> BenchFile:
        if file.content.scene is not None:
            return file
        usual = receivers.get(file.content.bench.receiver, "reference")
        update = {"scene": SceneSection(name=usual)}
        return replace(file, content=file.content.model_copy(update=update))

    return tuple(complete(file) for file in files)


class TwinSet:
    """The twins of the bench files of one or both parties, on one scene; nobody serves them yet.

    Attributes:
        files: the bench files, each with a scene.
        boxes: the twins, in the order of the files.
        scene: the simulated bench behind them.
        clock: simulated time.

    Args:
        files: bench files that are used together; all instruments of the backends visa and serial.
        seed: of the scene; None takes that of the files, or 0.
        faults: what goes wrong in the scene; None takes that of the files, or nothing.

    Raises:
        ConfigurationError: an instrument is simulated without a wire, a model has no twin, or
            the roles of one box belong to different models of box.
    """

    def __init__(
        self,
        files: Sequence[BenchFile],
        *,
        seed: int | None = None,
        faults: FaultPlan | None = None,
    ) -> None:
        self.files = with_scene(files)
        self.clock = SimulatedClock()
        self.scene = _scene(self.files, self.clock, seed, faults)
        self.boxes = tuple(_box(self.scene, entries) for entries in _grouped(self.files))


class TwinBench(Running, TwinSet):
    """A set of twins behind loopback sockets and pseudo-terminals; a context manager.

    An address of VXI-11 or HiSLIP is served by that protocol, one of USB or GPIB as a raw socket.

    Attributes:
        speed: simulated seconds per second on the wall.
        server: what carries the bytes; take `server.lock` to look into the scene.
        served: where each of the boxes is, in their order.

    Args:
        files: see `TwinSet`.
        speed: simulated seconds per second on the wall.
        seed: see `TwinSet`.
        faults: see `TwinSet`.
        listener: told who talks.

    Raises:
        ConfigurationError: see `TwinSet`.
    """

    def __init__(
        self,
        files: Sequence[BenchFile],
        *,
        speed: float = 1.0,
        seed: int | None = None,
        faults: FaultPlan | None = None,
        listener: TwinListener | None = None,
    ) -> None:
        super().__init__(files, seed=seed, faults=faults)
        self.speed = speed
        self.server = TwinServer(self.clock, Pace(self.clock, speed), listener=listener)
        try:
            self.served = tuple(self._serve(box) for box in self.boxes)
        except BaseException:
            self.server.stop()
            raise

    def texts(self) -> tuple[str, ...]:
        """The texts of the bench files with the twins' addresses and serial numbers.

        Raises:
            ConfigurationError: a file is written so that its addresses cannot be replaced.
        """
        return tuple(self._text(file) for file in self.files)

    def start(self) -> None:
        """Begin to serve; simulated time begins to pass."""
        self.server.start()

    def stop(self) -> None:
        """Stop serving; idempotent."""
        self.server.stop()

    def _serve(self, box: TwinBox) -> Served:
        if box.backend == "serial" and socket_of(box.original) is None:
            path = self.server.open_pty(box.twin)
            return Served(address=path, name=path)
        if box.backend == "visa":
            twin = networked(box.twin, box.original, self.clock, self.speed)
            name = self.server.listen_tcp(twin)
            return Served(address=name, name=name)
        name = self.server.listen_tcp(box.twin)
        place = socket_of(name)
        assert place is not None  # the server's own form
        return Served(address=f"socket://{place[0]}:{place[1]}", name=name)

    def _text(self, file: BenchFile) -> str:
        places = {
            (box.backend, box.original): (served.address, box.serial)
            for box, served in zip(self.boxes, self.served, strict=True)
        }
        entries = file.entries()
        lines, role = [], ""
        for line in file.text.splitlines(keepends=True):
            section = _SECTION.fullmatch(line.rstrip("\r\n"))
            if section is not None:
                role = section[1].removeprefix("instruments.") if "." in section[1] else section[1]
            written = line
            if role == "bench" and section is not None:
                written = f"{line.rstrip()}\ntwin = true\ntwin_speed = {float(self.speed)!r}\n"
            elif role in entries and section is None:
                found = _KEY.fullmatch(line)
                address, serial = places[entries[role].backend, entries[role].address]
                if found is not None:
                    value = address if found[2] == "address" else serial
                    written = f'{found[1]}"{value}"{found[4]}'
            if not (file.content.bench.twin and re.match(r"\s*twin(_speed)?\s*=", line)):
                lines.append(written)
        text = "".join(lines)
        _make_sure(file, text, places)
        return text


def _make_sure(
    file: BenchFile, text: str, places: Mapping[tuple[str, str], tuple[str, str]]
) -> None:
    """Refuse a text that does not say what it should, whatever way the file was written."""
    where = f"{file.where}, with the addresses of twins"
    found = parse_bench(parse_toml(text, where), where, text=text).entries()
    for role, entry in file.entries().items():
        if found[role].address != places[entry.backend, entry.address][0]:
            raise ConfigurationError(
                f"{file.where}: instruments.{role}.address could not be replaced; write it as a "
                f"line of its own in a section [instruments.{role}]"
            )


def _grouped(files: Sequence[BenchFile]) -> list[list[InstrumentEntry]]:
    """The entries of every box."""
    boxes: dict[tuple[str, str], list[InstrumentEntry]] = {}
    for file in files:
        for entry in file.entries().values():
            if entry.backend == "sim":
                raise ConfigurationError(
                    f"{file.where}: instruments.{entry.role} is simulated without a wire; a twin "
                    "needs the model of a real instrument, see: veilight driver list"
                )
            boxes.setdefault((entry.backend, entry.address), []).append(entry)
    return list(boxes.values())


def _box(scene: _Scene, entries: Sequence[InstrumentEntry]) -> TwinBox:
    first = entries[0]
    _refuse_mixture(entries)
    digest = hashlib.blake2b(f"{first.backend} {first.address}".encode(), digest_size=4)
    serial = f"{TWIN_SERIAL}{digest.hexdigest().upper()}"
    parts: dict[int, object] = {}
    for entry in entries:
        part = scene.part(entry.party, entry.role)
        # An input and an output of one box may both be number 1.
        parts[entry.channel] = (parts[entry.channel], part) if entry.channel in parts else part
    place = TwinPlace(
        clock=scene.clock,
        serial=serial,
        parts=parts,
        settings={entry.channel: entry.settings for entry in entries},
    )
    return TwinBox(
        twin=make_twin(first.model, place),
        backend=first.backend,
        original=first.address,
        serial=serial,
        roles=tuple(f"{entry.party}.{entry.role}" for entry in entries),
    )


def _refuse_mixture(entries: Sequence[InstrumentEntry]) -> None:
    """All roles of one address must be in one kind of box."""
    makers = twin_makers()
    known: dict[str, Callable[[TwinPlace], Twin] | None] = {
        entry.model: makers.get(entry.model) for entry in entries
    }
    if len(set(known.values())) > 1:
        raise ConfigurationError(
            f"at {entries[0].address} are {' and '.join(sorted(known))}, which are not in one box; "
            "give each an address of its own"
        )


def _scene(
    files: Sequence[BenchFile],
    clock: SimulatedClock,
    seed: int | None,
    faults: FaultPlan | None,
) -> _Scene:
    chosen = seed_of(files[0]) if seed is None else seed
    if files[0].content.bench.receiver == SCENES["amplifier"]:
        plan = faults_of(files[0], check_fault_of_instrument) if faults is None else faults
        settings = amplifier_scene_settings(files)
        return SimulatedAmplifierBench(settings, seed=chosen, clock=clock, faults=plan)
    plan = faults_of(files[0], check_target) if faults is None else faults
    return SimulatedBench(scene_settings(files), seed=chosen, clock=clock, faults=plan)
