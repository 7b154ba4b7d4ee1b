"""Both parties' benches open in one process, and what a person who owns both may do with them.

Whatever the reason for leaving, both benches are brought to their safe state and closed.
"""

import getpass
import math
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.bench import Bench, BenchFile
from drivers.errors import ConfigurationError, OutputError, SafetyError
from drivers.receivers import Amplifier
from drivers.settings_files import nearest
from veilight.benches import build_benches, load_benches

if TYPE_CHECKING:
    from calibration.access import BenchAccess
    from calibration.result import Setting
    from calibration.routine import Registry
    from calibration.store import Store

__all__ = [
    "BenchPair",
    "default_store",
    "open_pair",
    "routines_for",
    "routines_of",
    "settings_for",
    "store_of",
]

_BOTH = "name both parties' files, as in --bench server.toml --bench client.toml"


@dataclass(frozen=True, kw_only=True)
class BenchPair:
    """Open benches of a server and a client, armed.

    Args:
        server: the server's bench.
        client: the client's bench.
        access: both under one name, for calibration.
    """

    server: Bench
    client: Bench
    access: "BenchAccess"

    @property
    def shares_laser(self) -> bool:
        """Whether the server's laser feeds both oscillators."""
        return self.server.file.content.bench.oscillator == "shared"

    @property
    def amplifies(self) -> bool:
        """Whether the client's receiver is the amplifier between two meshes."""
        return self.server.file.content.bench.receiver == Amplifier.kind

    @property
    def is_homodyne(self) -> bool:
        """Whether phase shifters in the oscillators choose the quadratures."""
        return self.server.file.content.bench.detection == "homodyne"

    def make_safe(self, reason: str) -> None:
        """Drive both benches to their safe state, whichever of them fails.

        Both at once, so that neither waits for an instrument of the other that does not answer;
        but a pumped amplifier of the client goes before the light that seeds it.

        Args:
            reason: for the log and the latch.

        Raises:
            SafetyError: an instrument did not get there; all others did.
        """
        if self.amplifies or self.server.file.in_process:
            first, then = (
                (self.client, self.server) if self.amplifies else (self.server, self.client)
            )
            with ExitStack() as stack:
                stack.callback(then.make_safe, reason)
                stack.callback(first.make_safe, reason)
            return
        with ThreadPoolExecutor(max_workers=2) as workers:
            ends = [workers.submit(end.make_safe, reason) for end in (self.client, self.server)]
        failures = [failure for failure in (end.exception() for end in ends) if failure]
        if failures:
            for other in failures[1:]:
                failures[0].add_note(str(other))
            raise failures[0]


@contextmanager
def open_pair(
    paths: Sequence[Path], *, emit_light: bool = False, operator: str | None = None
) -> Iterator[BenchPair]:
    """Open both benches, safe and armed; close them safe.

    Args:
        paths: bench files, one per party.
        emit_light: allow light on real instruments.
        operator: who arms the benches; the user of the process where it is left out.

    Raises:
        ConfigurationError: not one bench file of each party, or they disagree.
        SafetyError: real light without `emit_light`, or a bench that is not safe.
        InstrumentError: an instrument does not answer.
    """
    from calibration.access import access_of
    from calibration.moment import system_clock_id

    files = load_benches(paths)
    name = pair_name(files)
    _refuse_real_light(files, emit_light)
    benches = build_benches(files)
    # A simulated clock starts anew with every bench; only the system's can be told apart by boot.
    clock_id = (
        secrets.token_hex(16) if any(file.in_process for file in files) else system_clock_id()
    )
    with ExitStack() as stack:
        for bench in benches:
            stack.enter_context(bench)
        for bench in benches:
            bench.safety.rearm(operator or getpass.getuser())
        by_party = {bench.file.party: bench for bench in benches}
        yield BenchPair(
            server=by_party["server"],
            client=by_party["client"],
            access=access_of(benches, name=name, clock_id=clock_id),
        )


def pair_name(files: Sequence[BenchFile]) -> str:
    """Name of the pair, under which its calibrations are stored.

    Raises:
        ConfigurationError: not one bench file of each party.
    """
    by_party = {file.party: file.name for file in files}
    if len(files) != 2 or set(by_party) != {"server", "client"}:
        given = ", ".join(f"{file.where} ({file.party})" for file in files) or "none"
        raise ConfigurationError(
            f"one bench file of the server and one of the client are needed, given: {given}; "
            f"{_BOTH}"
        )
    return f"{by_party['server']} and {by_party['client']}"


def default_store(paths: Sequence[Path]) -> Path:
    """Where the calibrations of benches are kept unless told otherwise: beside the server's file.

    Args:
        paths: bench files, in any order.

    Raises:
        ConfigurationError: none is given, or one cannot be used.
    """
    if not paths:
        raise ConfigurationError(f"no bench file is given; {_BOTH}")
    parties = [file.party for file in load_benches(paths, complete=False)]
    server = parties.index("server") if "server" in parties else 0
    return paths[server].with_suffix(".calibration.h5")


def store_of(path: Path, name: str) -> "Store":
    """The calibration store of a pair of benches.

    Args:
        path: the file, which may not exist yet, in a folder that does.
        name: of the pair.

    Raises:
        OutputError: there is no such folder.
    """
    from calibration.store import Store

    if not path.absolute().parent.is_dir():
        raise OutputError(
            f"calibration store {path}: there is no folder {path.parent}; make it, or choose "
            "another"
        )
    return Store(path, bench=name)


def routines_for(files: Sequence[BenchFile]) -> "Registry":
    """The calibration routines of the bench that files describe.

    Args:
        files: of both parties, which agree.
    """
    from calibration.routines import all_routines, amplifier_routines

    bench = files[0].content.bench
    if bench.receiver == Amplifier.kind:
        return amplifier_routines()
    # With one laser for all, the oscillators' lasers are no roles of the routines.
    return all_routines(
        shared_oscillators=bench.oscillator == "shared", homodyne=bench.detection == "homodyne"
    )


def routines_of(pair: BenchPair) -> "Registry":
    """The calibration routines of open benches."""
    return routines_for((pair.server.file, pair.client.file))


def settings_for(registry: "Registry", pair: BenchPair) -> "dict[str, dict[str, Setting]]":
    """What the bench files say about the routines' settings, by routine.

    Args:
        registry: the routines.
        pair: the open benches.

    Raises:
        ConfigurationError: a section [calibration] with a key that no routine has, or a value that
            it cannot be.
    """
    frame = pair.server.file.content.frame
    known: dict[str, Setting] = {
        "symbol_rate_hz": frame.symbol_rate_hz,
        "samples_per_symbol": frame.samples_per_symbol,
        "if_cycles_per_symbol": frame.cycles_per_symbol,
        "pilot_photons": frame.pilot_photons,
        "tap_fraction": pair.client.file.content.bench.receiver_setting,
    }
    if pair.amplifies:
        amplifier = Amplifier(gain=pair.client.file.content.bench.receiver_setting)
        known |= {"gain_db": 10 * math.log10(amplifier.gain), "tap_fraction": amplifier.kappa}
    found: dict[str, dict[str, Setting]] = {
        name: {key: known[key] for key in registry.get(name).defaults if key in known}
        for name in registry.names
    }
    for file in (pair.server.file, pair.client.file):
        _add_written(found, registry, file, set(known))
    return found


def _add_written(
    found: "dict[str, dict[str, Setting]]",
    registry: "Registry",
    file: BenchFile,
    described: set[str],
) -> None:
    """Add the settings of a file's section [calibration].

    Raises:
        ConfigurationError: a key that no routine has, a value of another type, one that another
            section says already, or two files that disagree.
    """
    every = sorted({key for name in registry.names for key in registry.get(name).defaults})

    def put(name: str, key: str, value: object, path: str) -> None:
        defaults = registry.get(name).defaults
        if key in described:
            raise ConfigurationError(
                f"{file.where}: {path} is said by [bench] and [frame] already; leave it out"
            )
        usual = defaults[key]
        if isinstance(usual, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(usual):
            raise ConfigurationError(
                f"{file.where}: {path} is {value!r}; it must be of type {type(usual).__name__}"
            )
        if found[name].setdefault(key, value) != value:
            raise ConfigurationError(
                f"{file.where}: {path} is {value!r}, but {found[name][key]!r} in the other file; "
                "both parties' light is calibrated together, write the same in both or in one"
            )

    for key, value in file.content.calibration.items():
        path = f"calibration.{key}"
        if isinstance(value, dict):
            if key not in registry.names:
                hint = nearest(key, registry.names) or f"known are {', '.join(registry.names)}"
                raise ConfigurationError(f"{file.where}: {path} is no routine; {hint}")
            for own, given in value.items():
                _need_key(file, own, registry.get(key).defaults, f"{path}.{own}")
                put(key, own, given, f"{path}.{own}")
            continue
        _need_key(file, key, every, path)
        for name in registry.names:
            own_section = file.content.calibration.get(name)
            special = isinstance(own_section, dict) and key in own_section
            if key in registry.get(name).defaults and not special:
                put(name, key, value, path)


def _need_key(file: BenchFile, key: str, known: Iterable[str], path: str) -> None:
    if key not in known:
        hint = nearest(key, known) or "see: veilight calibrate --dry-run"
        raise ConfigurationError(f"{file.where}: {path} is no setting of a routine; {hint}")


def _refuse_real_light(files: Sequence[BenchFile], emit_light: bool) -> None:
    real = [file.name for file in files if not file.simulated]
    if real and not emit_light:
        raise SafetyError(
            f"{', '.join(real)}: real instruments would emit light; check the fibres, the "
            "interlock and who is in the room, then say --emit-light"
        )
