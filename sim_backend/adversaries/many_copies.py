"""Clients with one memory over all copies of a weight: a meter for all of them, a merger of all.

What they do to one copy is little; what they learn is what K copies tell a memory that meets them
all. Noise is what the tests of single copies see of it, on top of the honest return's. A client
that puts it in the place of its receiver's own noise shows nothing of it but along audited data.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from drivers.errors import ConfigurationError
from sim_backend.adversaries.adversary import Adversary, Formulas, Gain, Party, Scene, Statistic
from sim_backend.adversaries.clients import check_share, with_noise
from sim_backend.adversaries.light import ReturnedLight

__all__ = ["MergesCopies", "RemembersCopies"]


@dataclass(frozen=True, kw_only=True)
class RemembersCopies(Adversary):
    """Reads X of all copies of a weight, one after the other, with the same meter.

    Each copy meets the meter without demolition (Grangier, Levenson and Poizat, Nature 396, 537
    (1998)): nothing in X, noise k^2 in P. The meter's signal is K k X over a noise of 1 + K k^2,
    that of one meter on the merged copies at the strength K k^2. All copies of a weight have the
    same kick in P: the tests' numbers hold where the weights are many.

    Args:
        noise_p_snu: k^2, noise in P of a copy.
        copies: K.
    """

    name: ClassVar[str] = "A9-memory"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "reads X of all copies of a weight with one meter"
    changes: ClassVar[tuple[Statistic, ...]] = ("P variance", "row sums")
    noise_p_snu: float = 0.01
    copies: int = 100

    def __post_init__(self) -> None:
        if not (math.isfinite(self.noise_p_snu) and self.noise_p_snu > 0):
            raise ConfigurationError(
                f"A9-memory: noise_p_snu is {self.noise_p_snu}, it must be finite and above 0"
            )
        _check_copies("A9-memory", self.copies, 1)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Noise in P alone, the same for any number of copies."""
        return with_noise(honest, 0.0, self.noise_p_snu)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The meter's record of all copies."""
        strength = self.copies * self.noise_p_snu
        worth = self.copies * scene.photons_per_symbol * strength / (1 + strength)
        return Gain(
            bits=formulas.homodyned(worth),
            per="weight",
            formula="0.5 log2(1 + 4 K mu K k^2/(1 + K k^2)), one meter for K copies",
        )


@dataclass(frozen=True, kw_only=True)
class MergesCopies(Adversary):
    """Holds all copies of a weight at once: merges them, keeps a part, hides what that does.

    Of the merged light the fraction f is kept, and X of the rest is amplified without noise: the
    merged return is squeezed by r, exp(-r) = 1 - f. The other K - 1 modes of the interferometer go
    back squeezed the other way by q, sinh r = (K - 1) sinh q, and the whole through the
    interferometer again: gain 1, and in X and P of a copy (cosh r + (K - 1) cosh q)/K - 1, about
    f^2/(2 (K - 1)). A client that has to give a copy back before it gets the next cannot do it.

    Args:
        fraction: f.
        copies: K, at least 2.
    """

    name: ClassVar[str] = "A9-merge"
    party: ClassVar[Party] = "client"
    idea: ClassVar[str] = "merges all copies of a weight, keeps a part, hides it in the others"
    changes: ClassVar[tuple[Statistic, ...]] = ("X variance", "P variance", "row sums")
    fraction: float = 0.1
    copies: int = 10

    def __post_init__(self) -> None:
        check_share("A9-merge", "fraction", self.fraction, below_one=True)
        _check_copies("A9-merge", self.copies, 2)

    @property
    def noise_snu(self) -> float:
        """Noise in X and in P of a copy."""
        others = self.copies - 1
        # cosh r - 1 = 2 sinh^2(r/2), which does not cancel.
        merged = -math.log1p(-self.fraction)
        other = math.asinh(math.sinh(merged) / others)
        return 2 * (math.sinh(merged / 2) ** 2 + others * math.sinh(other / 2) ** 2) / self.copies

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """Noise in both quadratures of every mode."""
        return with_noise(honest, self.noise_snu, self.noise_snu)

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """The Holevo information of the part that was kept."""
        bits = formulas.kept(self.fraction * self.copies * scene.photons_per_symbol)
        return Gain(bits=bits, per="weight", formula="chi(f K mu), a part of the merged copies")


def _check_copies(who: str, copies: int, least: int) -> None:
    if copies < least:
        raise ConfigurationError(f"{who}: copies is {copies}, it must be at least {least}")
