"""How a simulated model makes an instrument from an entry of a bench file.

Owns what all simulated models have in common: the settings of the link, and those of the kind.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from drivers.bench.limits import InstrumentLimits
from drivers.bench.registry import BuildContext, InstrumentEntry, ModelRegistry
from drivers.errors import ConfigurationError
from drivers.instruments import Instrument
from drivers.settings_tables import changed
from sim_backend.instruments.remote import Latency
from sim_backend.scene.clock import SimulatedClock

__all__ = [
    "BACKEND",
    "SceneInstruments",
    "SimulatedModel",
    "plain",
    "register_all",
    "simulated_clock",
    "with_settings",
]

BACKEND = "sim"
"""Of every simulated model."""


class SceneInstruments(Protocol):
    """A simulated bench, as far as the models of its instruments change it."""

    latencies: dict[str, Latency]


Maker: TypeAlias = Callable[[InstrumentEntry, Any, dict[str, object]], Instrument]
"""Makes an instrument from its entry, its limits, and the settings of its kind."""


@dataclass(frozen=True, kw_only=True)
class SimulatedModel:
    """A model of one kind; calling it makes an instrument.

    Args:
        name: as registered.
        kind: abstract class of `drivers.instruments`.
        limits: what it can do.
        bench: where its instruments are.
        make: makes one.
    """

    name: str
    kind: Any  # an abstract class, which type[Instrument] does not take
    limits: InstrumentLimits
    bench: SceneInstruments
    make: Maker

    def __call__(self, entry: InstrumentEntry, context: BuildContext) -> Instrument:
        """See `InstrumentFactory`."""
        own = dict(entry.settings)
        latency: dict[str, object] = {
            key: own.pop(key) for key in ("transfer_s", "deadline_s") if key in own
        }
        if latency:
            self.bench.latencies[f"{entry.party}.{entry.role}"] = changed(
                Latency(), latency, "settings"
            )
        return self.make(entry, context.limits, own)


def simulated_clock(registry: ModelRegistry) -> SimulatedClock:
    """The registry's clock, which becomes that of a scene.

    Raises:
        ConfigurationError: it is not simulated.
    """
    clock = registry.clock
    if not isinstance(clock, SimulatedClock):
        raise ConfigurationError(
            f"simulated instruments need simulated time, but the registry has a "
            f"{type(clock).__name__}; make it with a SimulatedClock"
        )
    return clock


def register_all(registry: ModelRegistry, models: Iterable[SimulatedModel]) -> None:
    """Make simulated models known."""
    for model in models:
        registry.register(BACKEND, model.name, model.kind, model, limits=model.limits)


def plain(maker: Callable[..., Instrument]) -> Maker:
    """A maker for a kind without settings of its own.

    Args:
        maker: called with party and role, and `limits`.
    """

    def make(entry: InstrumentEntry, limits: Any, own: dict[str, object]) -> Instrument:
        for key in own:
            raise ConfigurationError(
                f"unknown key settings.{key}; {entry.model!r} knows transfer_s and deadline_s"
            )
        return maker(entry.party, entry.role, limits=limits)

    return make


def with_settings(maker: Callable[..., Instrument], usual: object) -> Maker:
    """A maker for a kind whose settings are those of a dataclass.

    Args:
        maker: called with party and role, `limits` and `settings`.
        usual: the settings that a file changes.
    """

    def make(entry: InstrumentEntry, limits: Any, own: dict[str, object]) -> Instrument:
        settings = changed(usual, own, "settings")
        return maker(entry.party, entry.role, limits=limits, settings=settings)

    return make
