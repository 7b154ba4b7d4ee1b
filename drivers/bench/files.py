"""Bench files: one TOML file per party that names every instrument by role.

Owns the reading, the checks that need the whole file or several files, and the errors, which
all carry the file and the dotted path. The file is kept whole, for the record of a run.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from drivers.bench.registry import InstrumentEntry
from drivers.bench.roles import Kind, Role, roles_of
from drivers.bench.sections import (
    INCOMING,
    BenchSection,
    FrameSection,
    InstrumentSection,
    LightPath,
    SafetySection,
    SceneSection,
    Section,
)
from drivers.errors import ConfigurationError
from drivers.instruments import (
    Attenuator,
    Digitiser,
    Laser,
    OpticalAmplifier,
    PowerMeter,
    Switch,
)
from drivers.settings_files import explain, nearest, parse_toml, read_text

__all__ = ["BenchContent", "BenchFile", "check_together", "load_bench", "parse_bench"]

_DETECTORS = (Digitiser, PowerMeter)
_ON_THE_WAY = (Attenuator, Switch, OpticalAmplifier)


class BenchContent(Section):
    """All sections of a bench file.

    `calibration` holds settings of calibration routines: those of every routine that knows the key,
    and in sections of their names those of one routine. The routines check them.
    """

    bench: BenchSection
    instruments: dict[str, InstrumentSection]
    scene: SceneSection | None = None
    safety: SafetySection = Field(default_factory=SafetySection)
    frame: FrameSection = Field(default_factory=FrameSection)
    calibration: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class BenchFile:
    """A checked bench file.

    Args:
        where: `bench file PATH`; begins every message about it.
        content: its sections.
        text: the file as it was read, for the record of a run.
    """

    where: str
    content: BenchContent
    text: str

    @property
    def name(self) -> str:
        """Name of the bench."""
        return self.content.bench.name

    @property
    def party(self) -> str:
        """`server` or `client`."""
        return self.content.bench.party

    @property
    def roles(self) -> dict[str, Role]:
        """The roles that this bench can have, filled or not."""
        bench = self.content.bench
        return roles_of(bench.party, bench.receiver, bench.oscillator, bench.detection)

    @property
    def simulated(self) -> bool:
        """Whether any instrument is simulated, in this process or behind its address."""
        return self.content.bench.twin or self.in_process

    @property
    def in_process(self) -> bool:
        """Whether any instrument is simulated in this process, on a clock of its own."""
        return any(entry.backend == "sim" for entry in self.content.instruments.values())

    @property
    def watched(self) -> bool:
        """Whether there is no light without a watchdog: of real instruments, unless told otherwise.

        A bench of twins has one where its file says so; what is simulated in this process cannot
        be reached by another one.
        """
        safety = self.content.safety
        asked = not self.simulated or "watchdog" in safety.model_fields_set
        return safety.watchdog and asked and not self.in_process

    def missing(self) -> tuple[str, ...]:
        """Roles without which the bench cannot work and that the file does not fill."""
        filled = self.content.instruments
        return tuple(r.name for r in self.roles.values() if r.required and r.name not in filled)

    def unprotected(self) -> tuple[str, ...]:
        """Roles of detectors whose damage level and ways of light the file does not give."""
        known = self.content.safety.detectors
        return tuple(
            role
            for role in self.entries()
            if issubclass(self.roles[role].kind, _DETECTORS) and role not in known
        )

    def entries(self) -> dict[str, InstrumentEntry]:
        """The instruments by role, in the order of the light."""
        found = self.content.instruments
        return {name: self._entry(name, found[name]) for name in self.roles if name in found}

    def _entry(self, role: str, section: InstrumentSection) -> InstrumentEntry:
        return InstrumentEntry(
            bench=self.name,
            party=self.party,
            role=role,
            model=section.model,
            backend=section.backend,
            address=section.address,
            serial=section.serial,
            channel=section.channel,
            settings=section.settings,
        )


def load_bench(path: str | Path, *, complete: bool = True) -> BenchFile:
    """Read and check a bench file.

    Args:
        path: TOML file.
        complete: refuse a file that leaves out a required role or the safety of a detector.

    Raises:
        ConfigurationError: the file is missing, too large or not TOML; a key or role is unknown,
            missing, of the wrong type or out of range; or two roles share an address.
    """
    remedy = "check the path, or start from a file of examples/benches"
    text = read_text(Path(path), "bench file", remedy)
    where = f"bench file {path}"
    return parse_bench(parse_toml(text, where), where, text=text, complete=complete)


def parse_bench(
    values: Mapping[str, object], where: str, *, text: str = "", complete: bool = True
) -> BenchFile:
    """Check the table of a bench file; see `load_bench`.

    Args:
        values: the table.
        where: begins every message.
        text: the file as it was read.
        complete: as for `load_bench`.
    """
    try:
        content = BenchContent.model_validate(values)
    except ValidationError as error:
        message = explain(error.errors()[0], BenchContent)
        raise ConfigurationError(f"{where}: {message}") from error
    file = BenchFile(where=where, content=content, text=text)
    checks: list[Callable[[BenchFile], None]] = [
        _check_detection,
        _check_roles,
        _check_addresses,
        _check_scene,
    ]
    if complete:
        checks.append(_check_complete)
    checks.append(_check_safety)
    for check in checks:
        try:
            check(file)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from error.__cause__
    return file


def check_together(files: Sequence[BenchFile]) -> None:
    """Refuse files that cannot be used at the same time.

    Raises:
        ConfigurationError: two files are of the same party, name the same bench, use the same
            address, or differ in receiver or burst format; or one is simulated, the other real.
    """
    used: dict[tuple[str, str], tuple[BenchFile, str]] = {}
    # A box belongs to one bench, with all its channels: its link has one owner.
    for file in files:
        for role, entry in file.entries().items():
            owner = used.setdefault((entry.backend, entry.address), (file, role))
            if owner[0] is not file:
                raise ConfigurationError(
                    f"{file.where}: instruments.{role}.address {entry.address!r} is also that of "
                    f"instruments.{owner[1]} in {owner[0].where}; an instrument belongs to one "
                    "bench"
                )
    for first, second in itertools.pairwise(files):
        _check_pair(first, second)


def _check_pair(first: BenchFile, second: BenchFile) -> None:
    if first.party == second.party:
        raise ConfigurationError(
            f"{second.where}: bench.party is {second.party!r}, as in {first.where}; give one file "
            "for the server and one for the client"
        )
    if (first.simulated, first.in_process) != (second.simulated, second.in_process):
        kinds = [_kind_of(file) for file in (first, second)]
        raise ConfigurationError(
            f"{second.where}: the bench is {kinds[1]}, but {kinds[0]} in {first.where}; no light "
            "goes from one to the other, use two files of the same kind"
        )
    for section, keys in (
        ("bench", ("receiver", "receiver_setting", "oscillator", "detection")),
        ("frame", tuple(FrameSection.model_fields)),
    ):
        for key in keys:
            values = [getattr(getattr(f.content, section), key) for f in (first, second)]
            if values[0] != values[1]:
                raise ConfigurationError(
                    f"{second.where}: {section}.{key} is {values[1]!r}, but {values[0]!r} in "
                    f"{first.where}; both parties must agree"
                )


def _kind_of(file: BenchFile) -> str:
    if file.in_process:
        return "simulated"
    return "one of twins" if file.simulated else "real"


def _check_detection(file: BenchFile) -> None:
    """Homodyne detection needs one laser, the tap and a record around 0 Hz."""
    bench, frame = file.content.bench, file.content.frame
    if bench.detection != "homodyne":
        return
    if bench.oscillator != "shared" or bench.receiver != "passive-tap":
        raise ConfigurationError(
            f"bench.detection is 'homodyne', with receiver {bench.receiver!r} and oscillator "
            f"{bench.oscillator!r}; it needs a 'passive-tap' and a 'shared' oscillator: the phase "
            "of two lasers cannot be held between bursts"
        )
    if frame.cycles_per_symbol != 0:
        raise ConfigurationError(
            f"frame.cycles_per_symbol is {frame.cycles_per_symbol:g}; with homodyne detection the "
            "oscillators are not shifted: write cycles_per_symbol = 0"
        )


def _check_roles(file: BenchFile) -> None:
    bench = file.content.bench
    detection = " and homodyne detection" if bench.detection == "homodyne" else ""
    for name in file.content.instruments:
        if name not in file.roles:
            hint = nearest(name, file.roles, "instruments.") or (
                f"the roles of this bench are {', '.join(file.roles)}"
            )
            raise ConfigurationError(
                f"unknown role instruments.{name} for the {bench.party} of a {bench.receiver} "
                f"bench with {bench.oscillator} oscillator{detection}; {hint}"
            )


def _check_complete(file: BenchFile) -> None:
    for name in file.missing():
        role = file.roles[name]
        raise ConfigurationError(
            f"instruments.{name} is missing, of kind {role.kind.__name__}: {role.purpose}; "
            f"write [instruments.{name}]"
        )
    for name in file.unprotected():
        raise ConfigurationError(
            f"safety.detectors.{name} is missing: light can harm instruments.{name}; give its "
            "damage_w and every way of light to it"
        )


def _check_addresses(file: BenchFile) -> None:
    # An input and an output of one box may have the same number: they are of different kinds.
    used: dict[tuple[str, str, int, Kind | None], str] = {}
    for role, entry in file.entries().items():
        kind = None if entry.backend == "sim" else file.roles[role].kind
        other = used.setdefault((entry.backend, entry.address, entry.channel, kind), role)
        if other != role:
            raise ConfigurationError(
                f"instruments.{role}.address {entry.address!r} is also that of "
                f"instruments.{other}; every role needs an instrument of its own, or another "
                "channel of the same box"
            )


def _check_scene(file: BenchFile) -> None:
    backends = {entry.backend: role for role, entry in file.entries().items()}
    if "sim" in backends and len(backends) > 1:
        other = next(role for backend, role in backends.items() if backend != "sim")
        raise ConfigurationError(
            f"instruments.{other}.backend is {file.entries()[other].backend!r}, but that of "
            f"instruments.{backends['sim']} is 'sim'; a bench is simulated as a whole or not at all"
        )
    if file.in_process and file.content.scene is None:
        raise ConfigurationError(
            "scene is missing: there are instruments of backend 'sim'; write [scene] with the "
            "name of a scene"
        )


def _check_safety(file: BenchFile) -> None:
    safety = file.content.safety
    for name, detector in safety.detectors.items():
        path = f"safety.detectors.{name}"
        _check_role(file, name, path, _DETECTORS)
        for number, light in enumerate(detector.light):
            _check_light(file, light, f"{path}.light.{number}")
    for name, monitor in safety.monitors.items():
        path = f"safety.monitors.{name}"
        _check_role(file, name, path, (PowerMeter,))
        _check_role(file, monitor.source, f"{path}.source", (Laser,))


def _check_light(file: BenchFile, light: LightPath, path: str) -> None:
    if light.source != INCOMING:
        _check_role(file, light.source, f"{path}.source", (Laser,))
    if (light.source == INCOMING) != (light.power_dbm_max is not None):
        needed = "is needed for incoming light" if light.source == INCOMING else "is not for lasers"
        raise ConfigurationError(f"{path}.power_dbm_max {needed}")
    for element in light.through:
        _check_role(file, element, f"{path}.through", _ON_THE_WAY)


def _check_role(file: BenchFile, name: str, path: str, kinds: tuple[Kind, ...]) -> None:
    """Refuse a name that is no filled role of one of the kinds."""
    filled = file.entries()
    known = [role for role in filled if issubclass(file.roles[role].kind, kinds)]
    if name in known or (name in file.missing() and issubclass(file.roles[name].kind, kinds)):
        return
    hint = nearest(name, known) or f"known are {', '.join(known) or 'none'}"
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise ConfigurationError(f"{path}: {name!r} is no {wanted} of this bench; {hint}")
