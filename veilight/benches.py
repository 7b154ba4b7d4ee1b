"""From bench files to benches: which models there are, and whose time it is.

The one place that puts drivers and simulator together: above it nobody knows which of the two a
bench is made of.
"""

from collections.abc import Sequence
from pathlib import Path

from drivers.bench import Bench, BenchFile, ModelRegistry, check_together, load_bench
from drivers.instruments import SystemClock

__all__ = ["build_benches", "load_benches", "registry_for"]


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
    if not any(file.simulated for file in files):
        return ModelRegistry(SystemClock())
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

    Args:
        files: files of `load_benches`.
        registry: the models that there are; made from the files by default.

    Raises:
        ConfigurationError: an unknown model, an impossible limit or a refused setting.
    """
    models = registry_for(files) if registry is None else registry
    return tuple(Bench.build(file, models) for file in files)
