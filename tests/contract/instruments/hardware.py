"""The instruments of a bench file, for the contract suites: `pytest --hardware BENCH.toml`."""

import os
from collections.abc import Callable
from functools import cache

from drivers.bench import BenchFile, ModelRegistry, load_bench, resolve_models
from drivers.instruments import Instrument
from veilight.benches import registry_for

__all__ = ["hardware_makers", "only_hardware"]


def only_hardware() -> bool:
    """Whether the suites run over a bench alone."""
    return bool(os.environ.get("VEILIGHT_HARDWARE"))


@cache
def _bench() -> tuple[BenchFile, ModelRegistry]:
    file = load_bench(os.environ["VEILIGHT_HARDWARE"], complete=False)
    return file, registry_for((file,))


def hardware_makers(kind: type[Instrument]) -> dict[str, Callable[[], Instrument]]:
    """Makers of the closed instruments of a kind, by their roles."""
    file, registry = _bench()
    contexts = resolve_models(file, registry)

    def maker(role: str) -> Callable[[], Instrument]:
        entry = file.entries()[role]
        model = registry.find(entry.backend, entry.model, file.roles[role].kind, role)
        return lambda: model.factory(entry, contexts[role])

    return {
        f"hardware {role}": maker(role)
        for role in file.entries()
        if issubclass(file.roles[role].kind, kind)
    }
