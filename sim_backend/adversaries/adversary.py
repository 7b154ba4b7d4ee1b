"""What an adversary is: a change of the light, what it learns, and what moves.

The simulator knows no leakage formula: those that a gain is worth come in as `Formulas`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from drivers.errors import ConfigurationError
from drivers.receivers import Amplifier
from sim_backend.adversaries.light import ProbeLight, ReturnedLight
from sim_backend.adversaries.return_behaviour import ReturnBehaviour

__all__ = ["Adversary", "Formulas", "Gain", "Party", "Scene", "Statistic", "return_behaviour"]

Party = Literal["client", "server", "outsider"]

Statistic = Literal[
    "gain",
    "X variance",
    "P variance",
    "row sums",
    "fourth moment",
    "audited projection",
    "vacuum slots",
    "rails",
    "outcome variance",
    "outcome peaks",
    "P audit",
    "repeated rows",
    "aborts",
]
"""Statistics that an adversary can move: the server's first, then the client's own, then counts."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The layer that is attacked.

    Args:
        receiver: the agreed receiver; the catalogue's figures are for the amplifier.
        photons_per_symbol: mu at launch.
        modes: modes per weight row, N.
        rows: weight rows that one input meets, M.
    """

    receiver: Amplifier
    photons_per_symbol: float
    modes: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class Formulas:
    """Leakage formulas, in bits, given from outside.

    Args:
        kept: bits per weight from keeping light of so many photons per symbol, any measurement.
        homodyned: bits per weight from homodyning light of so many photons per symbol.
        inside_rules: bits per row and query that the receiver's outcome tells, by mu.
        rows_homodyned: bits per data value from homodyned rows, by (excess noise, rows, modes).
        rows_any: bits per data value from any measurement, by (noise of X and P together, rows,
            modes).
    """

    kept: Callable[[float], float]
    homodyned: Callable[[float], float]
    inside_rules: Callable[[float], float]
    rows_homodyned: Callable[[float, int, int], float]
    rows_any: Callable[[float, int, int], float]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What an adversary learns.

    Args:
        bits: how much.
        per: of what, such as "weight" or "data value".
        formula: how it was worked out, for people.
    """

    bits: float
    per: str
    formula: str


class Adversary(ABC):
    """One way to cheat.

    Subclasses are frozen dataclasses of their parameters.

    Attributes:
        name: its number in the catalogue of attacks, and what it is called on the command line.
        party: who cheats.
        idea: what is done, in one line.
        changes: statistics that move.
        undetectable: empty, or what is charged for it because no light shows it.
    """

    name: ClassVar[str]
    party: ClassVar[Party]
    idea: ClassVar[str]
    changes: ClassVar[tuple[Statistic, ...]] = ()
    undetectable: ClassVar[str] = ""

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """The light that reaches the server's detector instead of `honest`."""
        return honest

    def probes(self, honest: ProbeLight) -> ProbeLight:
        """The light that reaches the client's detector instead of `honest`."""
        return honest

    @property
    def setting(self) -> str:
        """The parameters as short text; empty if there are none."""
        values = vars(self)
        return ", ".join(f"{key} {value:g}" for key, value in values.items())

    @abstractmethod
    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """What it learns at `scene`."""


def return_behaviour(adversary: Adversary) -> ReturnBehaviour:
    """The same adversary on a `SymbolLink`, for whole sessions over the simulated fibre.

    Raises:
        ConfigurationError: it is more than one Gaussian channel on every returned mode, or on a
            share of them.
    """
    honest = ReturnedLight()
    light, share = adversary.returned(honest), 1.0
    noise_x, noise_p = light.variance_x_snu - 1, light.variance_p_snu - 1
    hit = light.hit
    if hit is not None and hit.share and hit.gain == light.gain == 1 and noise_x == noise_p == 0:
        noise_x, noise_p, share = hit.added_x_snu, hit.added_p_snu, hit.share
        light = replace(light, hit=None)
    plain = (
        light.hit is None
        and not light.clips
        and light.vacuum_variance_snu == 1
        and light.data_mode_excess_x_snu == light.data_mode_excess_p_snu == 0
        and 0 <= light.gain <= 1
        and min(noise_x, noise_p) >= 0
    )
    if not plain or (light == honest and share == 1):
        raise ConfigurationError(
            f"{adversary.name} {adversary.idea}: a symbol link plays Gaussian channels on every "
            "returned mode alone; draw its blocks instead"
        )
    return ReturnBehaviour(
        name=f"{adversary.name} {adversary.idea}",
        transmittance=light.gain**2,
        added_noise_x_snu=noise_x,
        added_noise_p_snu=noise_p,
        share=share,
    )
