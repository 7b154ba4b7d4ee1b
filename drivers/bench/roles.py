"""The roles of a bench: which places there are, what kind of instrument fills each, and when."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, cast

from drivers.errors import ConfigurationError
from drivers.instruments import (
    Attenuator,
    BiasController,
    Digitiser,
    Instrument,
    Laser,
    OpticalAmplifier,
    PhaseDriver,
    PolarisationController,
    PowerMeter,
    Switch,
    WaveformGenerator,
)

__all__ = [
    "Detection",
    "Kind",
    "Oscillator",
    "Party",
    "ReceiverName",
    "Role",
    "role_of",
    "roles_of",
]

Kind: TypeAlias = type[Any]
"""An abstract class of `drivers.instruments`; a type checker refuses those for `type[X]`."""
Party: TypeAlias = Literal["server", "client"]
ReceiverName: TypeAlias = Literal["passive-tap", "feed-forward-tap", "amplifier"]
Oscillator: TypeAlias = Literal["own", "shared"]
Detection: TypeAlias = Literal["heterodyne", "homodyne"]
_Instrument = TypeVar("_Instrument", bound=Instrument)


@dataclass(frozen=True, kw_only=True)
class Role:
    """A place in a bench.

    Args:
        name: as in `[instruments.<name>]`.
        kind: class of the instruments that can fill it.
        required: a bench without it cannot work.
        purpose: what it does there, in a few words.
    """

    name: str
    kind: Kind
    required: bool
    purpose: str


def roles_of(
    party: Party,
    receiver: ReceiverName,
    oscillator: Oscillator,
    detection: Detection = "heterodyne",
) -> dict[str, Role]:
    """The roles of a party's bench by name, in the order of the light.

    Args:
        party: whose bench.
        receiver: of the client.
        oscillator: `own` laser, or light of the server's laser behind a frequency shifter.
        detection: `heterodyne` records a beat, `homodyne` has a phase shifter in the oscillator.
    """
    roles = _server(receiver, oscillator) if party == "server" else _client(receiver, oscillator)
    if detection == "homodyne":
        name = "return_phase" if party == "server" else "tap_phase"
        roles.append(_role(name, PhaseDriver, "turns the phase of the party's local oscillator"))
    return {role.name: role for role in roles}


def role_of(
    instruments: Mapping[str, Instrument], role: str, kind: Callable[..., _Instrument]
) -> _Instrument:
    """The instrument in a role, as its kind.

    Args:
        instruments: by role.
        role: the role.
        kind: class of `drivers.instruments` that it must be of. (Annotated as what makes one,
            because a type checker refuses abstract classes for `type[X]`.)

    Raises:
        ConfigurationError: the role is empty, or filled by another kind.
    """
    found = instruments.get(role)
    assert isinstance(kind, type)
    if isinstance(found, kind):
        return cast("_Instrument", found)
    what = "is empty" if found is None else f"is filled by a {found.kind}"
    raise ConfigurationError(
        f"role {role} {what}, kind {kind.__name__} is needed; this bench has "
        f"{', '.join(instruments)}"
    )


def _role(name: str, kind: Kind, purpose: str, *, required: bool = True) -> Role:
    return Role(name=name, kind=kind, required=required, purpose=purpose)


def _server(receiver: ReceiverName, oscillator: Oscillator) -> list[Role]:
    switched = receiver != "amplifier"  # where shutter and pump do without switches
    roles = [
        _role("laser", Laser, "light of the weights"),
        _role("weight_generator", WaveformGenerator, "drives the weight modulator"),
        _role("weight_bias", BiasController, "holds that modulator at its null", required=False),
        _role("attenuator", Attenuator, "down to few photons; has the shutter"),
        _role("launch_power_meter", PowerMeter, "monitors the light before the attenuator"),
        _role("return_polarisation", PolarisationController, "of the return", required=False),
        _role("return_switch", Switch, "lets the returned light in or not", required=switched),
        _role("return_digitiser", Digitiser, "records the server's detector"),
    ]
    if oscillator == "own":
        roles.append(_role("return_oscillator", Laser, "local oscillator of the server"))
    return [*roles, _oscillator_meter()]


def _client(receiver: ReceiverName, oscillator: Oscillator) -> list[Role]:
    meshed = receiver == "amplifier"
    roles = [
        _role("polarisation", PolarisationController, "of the arriving light", required=False),
        _role("signal_switch", Switch, "lets the arriving light in or not", required=not meshed),
        _role("data_generator", WaveformGenerator, "drives the data modulator"),
        _role("data_bias", BiasController, "holds that modulator at its null", required=False),
        _role("tap_digitiser", Digitiser, "records the client's detector"),
    ]
    if meshed:
        roles[2:4] = [
            _role("mesh_driver", PhaseDriver, "sets the data in the mesh"),
            _role("return_mesh_driver", PhaseDriver, "undoes that mesh for the return"),
            _role("seed_laser", Laser, "keeps the amplifier seeded", required=False),
            _role("amplifier", OpticalAmplifier, "amplifies the mode of the data"),
        ]
    if oscillator == "own":
        roles.append(_role("oscillator", Laser, "local oscillator of the client"))
    return [*roles, _oscillator_meter()]


def _oscillator_meter() -> Role:
    return _role(
        "oscillator_power_meter", PowerMeter, "monitors the local oscillator", required=False
    )
