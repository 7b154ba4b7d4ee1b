"""All drivers of real instruments: what there is, how well it is known, and who it answers to.

A driver's module lists its models in `MODELS`; to make a new one known, add its module to
`MODULES`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from drivers.bench.limits import InstrumentLimits
from drivers.bench.registry import BuildContext, InstrumentEntry, ModelRegistry
from drivers.bench.roles import Kind
from drivers.instruments import Instrument

if TYPE_CHECKING:
    from drivers.instruments import Identity
    from drivers.transports.link import Link
    from drivers.transports.serial_stream import SerialSettings

__all__ = ["MODULES", "DriverModel", "driver_models", "matching", "register_drivers"]

Confidence = Literal["high", "medium-high", "medium", "low"]

MODULES: tuple[str, ...] = (
    "drivers.detectors.keysight_infiniium",
    "drivers.detectors.keysight_infiniivision",
    "drivers.detectors.keysight_n7744a",
    "drivers.detectors.red_pitaya",
    "drivers.detectors.rohde_schwarz_rto",
    "drivers.detectors.tektronix_mso56",
    "drivers.detectors.thorlabs_pm100",
    "drivers.lasers.id_photonics_cobrite",
    "drivers.lasers.keysight_8164b",
    "drivers.lasers.keysight_n771x",
    "drivers.lasers.koheron_ctl200",
    "drivers.lasers.nkt_koheras_basik",
    "drivers.lasers.pure_photonics_ppcl550",
    "drivers.lasers.santec_tsl",
    "drivers.modulators.keysight_33600a",
    "drivers.modulators.keysight_m8195a",
    "drivers.modulators.qontrol_q8iv",
    "drivers.modulators.red_pitaya",
    "drivers.modulators.thorlabs_mbx",
    "drivers.path.agiltron_ff",
    "drivers.path.amonics_aedfa",
    "drivers.path.keysight_n773x",
    "drivers.path.keysight_n776x",
    "drivers.path.ozoptics_dd100",
    "drivers.path.ozoptics_epc",
    "drivers.path.thorlabs_mpc320",
    "drivers.path.thorlabs_osw_e",
)
"""Modules of drivers, by folder and name."""


@dataclass(frozen=True, kw_only=True)
class DriverModel:
    """A model that a bench file can name.

    Args:
        model: name in bench files, maker first.
        backend: how it is reached.
        kind: abstract class of `drivers.instruments`.
        limits: what it can do at most, from its data sheet; the least of a family.
        make: makes the closed instrument.
        confidence: how well its remote control is known; all but "high" are experimental.
        identity: regular expression for the beginning of `maker,model` as the instrument says it;
            empty where it cannot be asked who it is.
        channels: how many ports, slots or outputs the box has for this kind.
        source: the maker's document, or what else the driver rests on.
        serial: how its serial line is set, for those that have one.
        probe: asks who is there on an open link, for discovery; changes nothing and emits nothing.
            None where `*IDN?` does it, or where asking could do harm.
        settings: names and meaning of the driver's own settings.
    """

    model: str
    backend: Literal["visa", "serial"]
    kind: Kind
    limits: InstrumentLimits
    make: Callable[[InstrumentEntry, BuildContext], Instrument]
    confidence: Confidence
    identity: str = ""
    channels: int = 1
    source: str = ""
    serial: "SerialSettings | None" = None
    probe: "Callable[[Link], Identity] | None" = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def experimental(self) -> bool:
        """Whether it may behave otherwise on the real instrument."""
        return self.confidence != "high"

    def __call__(self, entry: InstrumentEntry, context: BuildContext) -> Instrument:
        """See `InstrumentFactory`; an experimental driver says so on connecting."""
        from drivers.errors import ConfigurationError
        from drivers.transports.wired import Wired

        if not 1 <= entry.channel <= self.channels:
            raise ConfigurationError(
                f"channel is {entry.channel}; {self.model!r} has channels 1 to {self.channels}"
            )
        instrument = self.make(entry, context)
        if self.experimental and isinstance(instrument, Wired):
            instrument.warn_experimental(f"confidence {self.confidence}, {self.source}")
        return instrument


def driver_models() -> tuple[DriverModel, ...]:
    """All models, by maker and name."""
    found = [model for module in MODULES for model in import_module(module).MODELS]
    return tuple(sorted(found, key=lambda model: model.model.lower()))


def register_drivers(registry: ModelRegistry) -> None:
    """Make all models of real instruments known.

    Args:
        registry: of a bench.
    """
    for model in driver_models():
        registry.register(model.backend, model.model, model.kind, model, limits=model.limits)


def matching(identity: "Identity") -> tuple[DriverModel, ...]:
    """The models whose instruments say that they are this.

    Args:
        identity: what an instrument answered.
    """
    said = f"{identity.maker},{identity.model}"
    return tuple(
        model
        for model in driver_models()
        if model.identity and re.match(model.identity, said, re.IGNORECASE)
    )
