"""From bench files to benches: which models there are, and whose time it is.

The one place that puts drivers and simulator together: above it nobody knows which of the two a
bench is made of.
"""

from collections.abc import Sequence
from pathlib import Path

from drivers.bench import (
    Bench,
    BenchFile,
    ModelRegistry,
    check_together,
    load_bench,
    parse_bench,
)
from drivers.bench.ownership import Ownership
from drivers.bench.safe_state import safe_order
from drivers.bench.watchdog import Watchdog, WatchdogSpec
from drivers.errors import SafetyError
from drivers.instruments import FastClock, OpticalAmplifier, SystemClock
from drivers.settings_files import parse_toml

__all__ = [
    "build_benches",
    "load_benches",
    "make_safe_one_by_one",
    "registry_for",
    "safe_by_files",
    "watchdog_for",
]

_OWNER_ENDS_S = 5.0
"""How long a program that was just ended may take to let go of its instruments."""


def load_benches(paths: Sequence[str | Path], *, complete: bool = True) -> tuple[BenchFile, ...]:
    """Read bench files that are used together, one or one per party.

    Args:
        paths: TOML files.
        complete: refuse files that leave something out; see `drivers.bench.load_bench`.

    Raises:
        ConfigurationError: a file cannot be used, or two of them not together.
    """
    files = tuple(load_bench(path, complete=complete) for path in paths)
    check_together(files)
    return files


def registry_for(files: Sequence[BenchFile]) -> ModelRegistry:
    """The models that bench files can name.

    Simulated instruments of all files share one scene and one simulated clock.

    Args:
        files: files that are used together.

    Raises:
        ConfigurationError: the scene is unknown or refuses its parameters.
    """
    if not any(file.in_process for file in files):
        from drivers.catalogue import register_drivers
        from drivers.transports.pool import LinkPool

        speeds = {file.content.bench.twin_speed for file in files if file.content.bench.twin}
        wall = SystemClock()
        clock = FastClock(max(speeds)) if speeds else wall
        real = ModelRegistry(clock, LinkPool(wall), dialogues=wall)
        register_drivers(real)
        return real
    from sim_backend.instruments import (
        AMPLIFIER_SCENE,
        register_amplifier_models,
        register_models,
    )
    from sim_backend.scene.clock import SimulatedClock

    registry = ModelRegistry(SimulatedClock())
    scene = files[0].content.scene
    if scene is not None and scene.name == AMPLIFIER_SCENE:
        register_amplifier_models(registry, files)
    else:
        register_models(registry, files)
    return registry


def build_benches(
    files: Sequence[BenchFile], registry: ModelRegistry | None = None
) -> tuple[Bench, ...]:
    """Closed benches of files that are used together, in their order.

    Real instruments share a watchdog, which starts when the first bench is opened. A registry of
    the caller's own may hold instruments that no other process can reach: then there is none.

    Args:
        files: files of `load_benches`.
        registry: the models that there are; made from the files by default.

    Raises:
        ConfigurationError: an unknown model, an impossible limit or a refused setting.
    """
    models = registry_for(files) if registry is None else registry
    watchdog = watchdog_for(files) if registry is None else None
    return tuple(
        Bench.build(file, models, watchdog=watchdog if file.watched else None) for file in files
    )


def watchdog_for(files: Sequence[BenchFile]) -> Watchdog | None:
    """The watchdog that benches of real instruments share, not started; None for simulated ones.

    There is none either for files without their text: it has to read them by itself.

    Args:
        files: files that are used together; the strictest of their times holds.
    """
    watched = [file for file in files if file.watched]
    if not watched or not all(file.text for file in watched):
        return None
    timeout_s = min(file.content.safety.watchdog_timeout_s for file in watched)
    spec = WatchdogSpec(
        files=tuple((file.where, file.text) for file in watched),
        hang_s=min(file.content.safety.hang_s for file in watched),
    )
    return Watchdog(spec, interval_s=timeout_s / 5, timeout_s=timeout_s)


def safe_by_files(files: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Make every instrument of bench files safe, over connections of its own.

    For the watchdog's process. Whatever fails, everything else is tried.

    Args:
        files: where each file is, and its text.

    Returns:
        What failed, by bench and role; empty when all is safe.
    """
    benches: list[Bench] = []
    failures: dict[str, str] = {}
    ownership = Ownership(wait_s=_OWNER_ENDS_S)
    for where, text in files:
        try:
            file = parse_bench(parse_toml(text, where), where, text=text, complete=False)
            benches.append(Bench.build(file, registry_for([file]), ownership=ownership))
        except Exception as error:
            failures[where] = str(error)
    # A pumped amplifier must not lose the seed that comes from the other bench.
    for bench in sorted(benches, key=lambda bench: not _amplifies(bench)):
        for role, text in make_safe_one_by_one(bench).items():
            failures[f"{bench.file.name}: {role}"] = text
    return failures


def make_safe_one_by_one(bench: Bench) -> dict[str, str]:
    """Open and close every instrument of a closed bench, each of which makes it safe.

    Args:
        bench: whose instruments are tried in the safe order, whatever the others answer.

    Returns:
        What failed, by role; empty when all is safe.
    """
    failures = {}
    for role in safe_order(bench.instruments, bench.file.content.safety):
        try:
            with bench.owning(role), bench.instruments[role] as instrument:
                if not instrument.is_safe():
                    raise SafetyError(f"{role}: its readback is not the safe state")
        except Exception as error:
            failures[role] = str(error) or type(error).__name__
    return failures


def _amplifies(bench: Bench) -> bool:
    return any(isinstance(found, OpticalAmplifier) for found in bench.instruments.values())
