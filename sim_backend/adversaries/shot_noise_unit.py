"""What a wrong shot-noise unit hides, and side bands that make it wrong.

A server that takes u times the vacuum for one unit divides all variances by u. Means have to come
back brighter by sqrt(u), and no amplifier of both quadratures does that unseen: it leaves 2 - 1/u
in such units. One of X alone does, where P carries no mean (real encoding): X and its vacuum by
sqrt(u), P by 1/sqrt(u), which leaves u - 1/u in P for the noise that a meter of X makes there.
Where the server displaces P, the gain of P falls to 1/u and tells.
"""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from drivers.errors import ConfigurationError
from sim_backend.adversaries.adversary import Adversary, Formulas, Gain, Party, Scene, Statistic
from sim_backend.adversaries.light import ReturnedLight

__all__ = ["SideBands", "hidden_by_unit", "hidden_meter"]


@dataclass(frozen=True, kw_only=True)
class SideBands(Adversary):
    """Sends bright light of other wavelengths with the return, for its shot noise.

    At the agreed wavelength the detector's coupler has half and half, at another r and 1 - r (Ma et
    al., Phys. Rev. A 87, 052309 (2013); Huang et al., Phys. Rev. A 89, 032304 (2014)). Light that
    does not beat with the oscillator adds its own shot noise to the difference of the currents,
    whatever r is: s vacuums for s times the oscillator's power. It also leaves a direct current of
    (2 r - 1) s sqrt(n) in units of the vacuum's deviation, with n electrons of the oscillator's in
    a slot: hundreds, unless a second band with r on the other side of a half makes up for
    it. The oscillator is the server's own, so bands arrive with the signal alone.

    In the slots alone that the unit comes from, whose places the public format of a burst tells,
    they make it 1 + s and hide a meter of X. In all slots they hide nothing: the data have them
    too, and X shows s/(1 + s) as soon as the means are as bright as they were. Somebody who has to
    guess the slots is left with that.

    Args:
        side_bands_snu: s, their shot noise in vacuums of the oscillator.
        everywhere: in all slots instead of the vacuum slots alone.
        unbalance: what is left of the direct current, sum (2 r - 1) s over sum s of the bands.
        oscillator_electrons: n.
        converter_range_snu: full scale in deviations of the vacuum; counts where there is a direct
            current.
    """

    name: ClassVar[str] = "C7"
    party: ClassVar[Party] = "outsider"
    idea: ClassVar[str] = "side bands raise the shot-noise unit"
    changes: ClassVar[tuple[Statistic, ...]] = ("vacuum slots", "X variance", "rails")
    side_bands_snu: float = 0.05
    everywhere: bool = False
    unbalance: float = 0.0
    oscillator_electrons: float = 1e8
    converter_range_snu: float = 6.0

    def __post_init__(self) -> None:
        for name in ("side_bands_snu", "oscillator_electrons", "converter_range_snu"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigurationError(f"C7: {name} is {value}, it must be finite and above 0")
        if not -1 <= self.unbalance <= 1:
            raise ConfigurationError(f"C7: unbalance is {self.unbalance}, it must lie in [-1, 1]")

    @property
    def setting(self) -> str:
        """The parameters as short text."""
        where = "all slots" if self.everywhere else "vacuum slots"
        return f"side bands {self.side_bands_snu:g} in {where}, unbalance {self.unbalance:g}"

    @property
    def unit_snu(self) -> float:
        """What the server takes for the variance of the vacuum, u = 1 + s."""
        return 1 + self.side_bands_snu

    @property
    def offset_snu(self) -> float:
        """The direct current in deviations of the vacuum."""
        return self.unbalance * self.side_bands_snu * math.sqrt(self.oscillator_electrons)

    def returned(self, honest: ReturnedLight) -> ReturnedLight:
        """X brighter and P as noisy as that unit lets it be; all of it in that unit."""
        own = self.side_bands_snu / self.unit_snu if self.everywhere else 0.0
        light = hidden_by_unit(honest, self.unit_snu)
        light = replace(
            light,
            variance_x_snu=light.variance_x_snu + own,
            unit_snu=self.unit_snu * honest.unit_snu,
            vacuum_variance_snu=self.unit_snu * honest.vacuum_variance_snu,
        )
        if not self.unbalance:
            return light
        return replace(
            light, offset_snu=self.offset_snu, converter_range_snu=self.converter_range_snu
        )

    def gains(self, scene: Scene, formulas: Formulas) -> Gain:
        """A meter of X with the noise in P that the side bands leave room for."""
        if not self.everywhere:
            return hidden_meter(self.unit_snu, scene, formulas)
        # The bands have s of the room; k^2/u = u - s - 1/u.
        noise = self.side_bands_snu
        bits = formulas.homodyned(scene.photons_per_symbol * noise / (1 + noise))
        return Gain(bits=bits, per="weight", formula="0.5 log2(1 + 4 mu s/(1 + s)), the meter")


def hidden_by_unit(honest: ReturnedLight, unit: float) -> ReturnedLight:
    """Light with X metered behind a unit that is too large, in that unit.

    An amplifier of X alone by `unit` in power (Caves, Phys. Rev. D 26, 1817 (1982)); P is filled up
    to the variance that it had. Gain and variances do not move; the data's noise in P shrinks.

    Args:
        honest: what would have come back.
        unit: u, above 1.
    """
    return replace(honest, data_mode_excess_p_snu=honest.data_mode_excess_p_snu / unit**2)


def hidden_meter(unit: float, scene: Scene, formulas: Formulas) -> Gain:
    """What the meter reads that a unit hides: k^2 = u^2 - 1.

    Its noise k^2 in P is k^2/u behind the amplifier, as much as `hidden_by_unit` fills up. As for
    every meter without demolition the signal is 4 mu k^2 over 1 + k^2 (Grangier, Levenson and
    Poizat, Nature 396, 537 (1998)).

    Args:
        unit: u, above 1.
        scene: the layer.
        formulas: bits by photons.
    """
    bits = formulas.homodyned(scene.photons_per_symbol * (1 - unit**-2))
    return Gain(
        bits=bits, per="weight", formula="0.5 log2(1 + 4 mu (1 - 1/u^2)), meter behind a unit u"
    )
