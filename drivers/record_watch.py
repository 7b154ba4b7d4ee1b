"""What the records of a block say beside its data.

Is the detector as it was calibrated, and did every symbol come in its own slot? Owns the sums that
the tests of a session need to tell. Optics that record waveforms have them, those
that draw quadratures have no slots and no records.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from drivers.backend import Block

__all__ = [
    "BINS",
    "RecordWatch",
    "ShiftedMeans",
    "VacuumSlots",
    "WatchesRecords",
    "shifted_means",
]

Array = NDArray[np.float64]

BINS = tuple(shift for shift in range(-8, 9) if shift)
"""Shifts that are looked at, in symbols; positive where the return comes late."""


@dataclass(frozen=True, kw_only=True)
class VacuumSlots:
    """Vacuum slots of a block: signal dark, oscillator on.

    Args:
        values: how many, one per slot, quadrature and detector, less the means that were taken off.
        energy: sum of their squares over the variance that the calibration says they have.
    """

    values: int
    energy: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ShiftedMeans:
    """Sums that tell whether X follows the means of other slots; arrays of the shape of `BINS`.

    With y the measured values, m the launched means, and m' the means so many symbols earlier:

    Args:
        cross_snu: sum of m' y.
        overlap_snu: sum of m' m.
        shifted_energy_snu: sum of m'^2.
        energy_snu: sum of m^2.
        projection_snu: sum of m y.
    """

    cross_snu: Array
    overlap_snu: Array
    shifted_energy_snu: Array
    energy_snu: float
    projection_snu: float


@dataclass(frozen=True, kw_only=True)
class RecordWatch:
    """What the records of one block say.

    Args:
        vacuum: its vacuum slots.
        shifted: X against the means of neighbouring slots.
        rail_samples: samples at either end of the converter's range.
        rails_allowed: as many as noise alone may bring there, on average.
    """

    vacuum: VacuumSlots
    shifted: ShiftedMeans
    rail_samples: int
    rails_allowed: float


@runtime_checkable
class WatchesRecords(Protocol):
    """A server's optics that record waveforms."""

    def watch(self, block: Block) -> RecordWatch:
        """What the records of the block that was collected last say.

        Raises:
            OpticsError: another block.
        """


def shifted_means(values: Array, means_snu: Array, measured: NDArray[np.bool_]) -> ShiftedMeans:
    """Correlate what came back with the means of neighbouring slots.

    Args:
        values: X as measured, `(bursts, slots, detectors)`, slots in the order of their time.
        means_snu: launched, the same shape.
        measured: where X was, the same shape.
    """
    found = np.where(measured, values, 0.0)
    sums = np.zeros((3, len(BINS)))
    for place, shift in enumerate(BINS):
        moved = np.zeros_like(means_snu)
        # Nothing comes from beyond a burst's ends.
        if shift > 0:
            moved[:, shift:] = means_snu[:, :-shift]
        else:
            moved[:, :shift] = means_snu[:, -shift:]
        moved *= measured
        sums[:, place] = np.vdot(moved, found), np.vdot(moved, means_snu), np.vdot(moved, moved)
    here = means_snu * measured
    return ShiftedMeans(
        cross_snu=sums[0],
        overlap_snu=sums[1],
        shifted_energy_snu=sums[2],
        energy_snu=float(np.vdot(here, here)),
        projection_snu=float(np.vdot(here, found)),
    )
