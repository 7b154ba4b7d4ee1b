"""The ten kinds that a driver can be begun for, and where its files go."""

from dataclasses import dataclass
from typing import Final

from drivers.bench.roles import Kind
from drivers.errors import ConfigurationError
from drivers.instruments import (
    Attenuator,
    BiasController,
    Digitiser,
    Laser,
    OpticalAmplifier,
    PhaseDriver,
    PolarisationController,
    PowerMeter,
    Switch,
    WaveformGenerator,
)
from drivers.settings_files import nearest

__all__ = ["KINDS", "KindPlace", "kind_named"]


@dataclass(frozen=True, kw_only=True)
class KindPlace:
    """A kind of instrument, as the templates need it.

    Args:
        kind: abstract class of `drivers.instruments`.
        folder: of `drivers` where its drivers are.
        limits: class of its limits.
        part: name of what its twins control, of `sim_backend.instruments.parts`.
        party: of the role of the simulated bench on which the pair is tested.
        role: of the simulated bench.
        channels: of the invented instrument; the highest of them is the one that is tested.
    """

    kind: Kind
    folder: str
    limits: str
    part: str
    party: str
    role: str
    channels: int = 2

    @property
    def name(self) -> str:
        """As on the command line, such as `power-meter`."""
        return str(self.kind.kind).replace(" ", "-")


_LIST: Final = (
    KindPlace(
        kind=Attenuator,
        folder="path",
        limits="AttenuatorLimits",
        part="AttenuatorPart",
        party="server",
        role="attenuator",
    ),
    KindPlace(
        kind=BiasController,
        folder="modulators",
        limits="BiasLimits",
        part="BiasPart",
        party="server",
        role="weight_bias",
    ),
    KindPlace(
        kind=Digitiser,
        folder="detectors",
        limits="DigitiserLimits",
        part="DigitiserPart",
        party="client",
        role="tap_digitiser",
    ),
    KindPlace(
        kind=Laser,
        folder="lasers",
        limits="LaserLimits",
        part="LaserPart",
        party="server",
        role="laser",
    ),
    KindPlace(
        kind=OpticalAmplifier,
        folder="path",
        limits="AmplifierLimits",
        part="AmplifierPart",
        party="client",
        role="amplifier",
    ),
    KindPlace(
        kind=PhaseDriver,
        folder="modulators",
        limits="PhaseDriverLimits",
        part="PhasePart",
        party="client",
        role="mesh_driver",
        channels=1,
    ),
    KindPlace(
        kind=PolarisationController,
        folder="path",
        limits="PolarisationLimits",
        part="PolarisationPart",
        party="client",
        role="polarisation",
        channels=1,
    ),
    KindPlace(
        kind=PowerMeter,
        folder="detectors",
        limits="PowerMeterLimits",
        part="PowerPart",
        party="server",
        role="launch_power_meter",
    ),
    KindPlace(
        kind=Switch,
        folder="path",
        limits="SwitchLimits",
        part="SwitchPart",
        party="client",
        role="signal_switch",
    ),
    KindPlace(
        kind=WaveformGenerator,
        folder="modulators",
        limits="GeneratorLimits",
        part="GeneratorPart",
        party="server",
        role="weight_generator",
    ),
)
KINDS: Final = {place.name: place for place in _LIST}
"""By the name on the command line."""


def kind_named(name: str) -> KindPlace:
    """The kind of a name.

    Args:
        name: such as `power-meter`, with spaces or underscores too.

    Raises:
        ConfigurationError: there is no such kind.
    """
    said = name.lower().replace(" ", "-").replace("_", "-")
    if said not in KINDS:
        hint = nearest(said, KINDS) or f"known are {', '.join(KINDS)}"
        raise ConfigurationError(f"there is no kind of instrument {name!r}; {hint}")
    return KINDS[said]
