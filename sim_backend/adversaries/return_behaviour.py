"""What a dishonest client does to the light that it gives back.

Each behaviour is a Gaussian channel on every returned mode: power transmittance, then added noise
referred to the client's output. Attack names follow the literature on continuous-variable quantum
key distribution (Grosshans et al., Nature 421, 238 (2003); Laudenbach et al., arXiv 1703.09278).
"""

import math
from dataclasses import dataclass

from drivers.errors import ConfigurationError

__all__ = [
    "HONEST",
    "ReturnBehaviour",
    "intercepts_and_resends",
    "keeps_fraction",
    "measures_only_x",
    "returns_nothing",
    "taps_and_amplifies",
]


@dataclass(frozen=True, kw_only=True)
class ReturnBehaviour:
    """How the returned light is tampered with.

    Args:
        name: short text for reports.
        transmittance: power transmittance of what is given back, in [0, 1].
        added_noise_x_snu: noise added to X of every mode.
        added_noise_p_snu: noise added to P of every mode.
        share: of the symbols that are treated so, each picked by itself; all others come back as
            an honest client gives them.
    """

    name: str
    transmittance: float = 1.0
    added_noise_x_snu: float = 0.0
    added_noise_p_snu: float = 0.0
    share: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.transmittance <= 1:
            raise ConfigurationError(
                f"{self.name}: transmittance is {self.transmittance}, it must lie in [0, 1]"
            )
        if not 0 < self.share <= 1 or (self.share < 1 and self.transmittance < 1):
            raise ConfigurationError(
                f"{self.name}: share is {self.share}, it must lie in (0, 1], and be 1 where light "
                "is kept"
            )
        for noise in (self.added_noise_x_snu, self.added_noise_p_snu):
            if not (math.isfinite(noise) and noise >= 0):
                raise ConfigurationError(
                    f"{self.name}: added noise is {noise} SNU, it must be finite and at least 0"
                )


HONEST = ReturnBehaviour(name="honest client")


def keeps_fraction(fraction: float) -> ReturnBehaviour:
    """Keeps `fraction` of the returned light behind a beam splitter: gain sqrt(1 - fraction)."""
    _check_fraction(fraction, below_one=False)
    return ReturnBehaviour(name=f"client keeps {fraction:.0%}", transmittance=1 - fraction)


def taps_and_amplifies(fraction: float) -> ReturnBehaviour:
    """Keeps `fraction` and amplifies the rest by 1/(1 - fraction).

    The gain is 1 again and every quadrature carries 2 fraction / (1 - fraction) of noise
    (Caves, Phys. Rev. D 26, 1817 (1982)).
    """
    _check_fraction(fraction, below_one=True)
    noise = 2 * fraction / (1 - fraction)
    return ReturnBehaviour(
        name=f"client keeps {fraction:.0%} and re-amplifies",
        added_noise_x_snu=noise,
        added_noise_p_snu=noise,
    )


def intercepts_and_resends(share: float = 1.0) -> ReturnBehaviour:
    """Heterodynes modes and prepares what it read: 2 SNU of noise in both quadratures.

    Args:
        share: of the symbols, picked at random.
    """
    part = "" if share == 1 else f" {share:g} of the symbols"
    return ReturnBehaviour(
        name=f"client intercepts and resends{part}",
        added_noise_x_snu=2.0,
        added_noise_p_snu=2.0,
        share=share,
    )


def returns_nothing() -> ReturnBehaviour:
    """Keeps all the light; the server sees vacuum."""
    return ReturnBehaviour(name="client returns nothing", transmittance=0.0)


def measures_only_x(noise_p_snu: float) -> ReturnBehaviour:
    """Reads X without disturbing it; P pays with `noise_p_snu` (a quantum non-demolition meter)."""
    return ReturnBehaviour(name="client measures X only", added_noise_p_snu=noise_p_snu)


def _check_fraction(fraction: float, *, below_one: bool) -> None:
    if not (0 < fraction < 1 or (fraction == 1 and not below_one)):
        limit = "(0, 1)" if below_one else "(0, 1]"
        raise ConfigurationError(f"kept fraction is {fraction}, it must lie in {limit}")
