"""Interleaved vacuum slots: the unit of variance is measured during the run, not taken from a file.

An oscillator that is dimmed in flight scales every variance, and hides noise that was added; slots
in which the signal is blocked, at random times, see the scale itself (Ma et al., Phys. Rev. A 88,
022339 (2013)).
"""

from dataclasses import dataclass

from scipy.special import ndtri
from scipy.stats import f as f_law

from drivers.errors import ConfigurationError

__all__ = ["VacuumRecord", "vacuum_limits", "vacuum_score"]

_MEDIAN = 0.5


@dataclass(frozen=True, kw_only=True)
class VacuumRecord:
    """Vacuum slots of one kind.

    Args:
        slots: how many.
        energy_snu: sum of their squares, in units of the calibrated vacuum.
    """

    slots: int
    energy_snu: float

    def __post_init__(self) -> None:
        if self.slots < 1 or not self.energy_snu > 0:
            raise ConfigurationError(
                f"a record of {self.slots} vacuum slots with an energy of {self.energy_snu} SNU "
                "cannot be tested: both must be above 0"
            )


def vacuum_limits(slots: int, reference_slots: int, alpha: float) -> tuple[float, float]:
    """Lowest and highest accepted ratio of mean squares, two-sided F test.

    Args:
        slots: interleaved ones.
        reference_slots: of the calibration.
        alpha: false-alarm probability.

    Raises:
        ConfigurationError: no slots, or a rate out of range.
    """
    if min(slots, reference_slots) < 1:
        raise ConfigurationError(
            f"{slots} vacuum slots against {reference_slots}: both must be at least 1"
        )
    if not 0 < alpha < 0.5:
        raise ConfigurationError(f"alpha is {alpha}, it must lie in (0, 0.5)")
    low = float(f_law.ppf(alpha / 2, slots, reference_slots))
    return low, float(f_law.isf(alpha / 2, slots, reference_slots))


def vacuum_score(interleaved: VacuumRecord, reference: VacuumRecord) -> float:
    """Normal score of the ratio of mean squares, positive where the interleaved ones are louder."""
    ratio = interleaved.energy_snu / interleaved.slots * reference.slots / reference.energy_snu
    below = float(f_law.cdf(ratio, interleaved.slots, reference.slots))
    if below < _MEDIAN:
        return float(ndtri(below))
    return float(-ndtri(f_law.sf(ratio, interleaved.slots, reference.slots)))
