"""Tests of what a bench's records say beside the data, by block and over the session.

    vacuum slots    their variance against the calibrated one, either way: an oscillator that was
                    touched, a detector that saturates or is blinded, light in the slots that the
                    unit of variance is taken from
    frame shift     does X follow the means of other slots, up to eight symbols off?
    record rails    samples at the ends of the converter's range

What speaks against the records of one block speaks against that block; what only the sums over the
session show speaks against the session. Optics that draw quadratures have no records, and no such
tests.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import poisson

from drivers.record_watch import BINS, RecordWatch
from protocol.verification.expected import ReturnExpectation
from protocol.verification.session_limits import SessionLimits
from protocol.verification.session_score import SessionScore
from protocol.verification.vacuum import VacuumRecord, vacuum_score

__all__ = ["RecordTests"]

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Sums:
    """What the tests need of any number of blocks.

    Args:
        values: of vacuum slots.
        energy: of them, over what is expected.
        follows: X along the means of other slots that are not along its own, by shift.
        lent: energy of those means times the gain of an honest return.
        noise: variance of `follows` by chance, at most.
        rails: samples at the ends of the range.
        rails_allowed: on average.
    """

    values: int
    energy: float
    follows: Array
    lent: Array
    noise: Array
    rails: int
    rails_allowed: float

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            values=self.values + other.values,
            energy=self.energy + other.energy,
            follows=self.follows + other.follows,
            lent=self.lent + other.lent,
            noise=self.noise + other.noise,
            rails=self.rails + other.rails,
            rails_allowed=self.rails_allowed + other.rails_allowed,
        )


class RecordTests:
    """Tests blocks, and adds up those that passed.

    Args:
        limits: of the session, fixed before the light was on.
    """

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._total: _Sums | None = None
        self._latest: tuple[SessionScore, ...] = ()

    @property
    def scores(self) -> tuple[SessionScore, ...]:
        """Where the sums stood when they were looked at last."""
        return self._latest

    def of_block(self, watch: RecordWatch, law: ReturnExpectation) -> tuple[SessionScore, ...]:
        """The tests of one block's records.

        Args:
            watch: over its records.
            law: the honest return.
        """
        return self._scores(_sums(watch, law), self._limits.record_rate)

    def add(self, watch: RecordWatch, law: ReturnExpectation, blocks: int) -> None:
        """Count a block in that passed.

        Args:
            watch: over its records.
            law: the honest return.
            blocks: that have passed so far, this one included.
        """
        one = _sums(watch, law)
        self._total = one if self._total is None else self._total + one
        looks = self._limits.moment_looks
        if blocks in looks:
            rate = self._limits.record_look_rates[looks.index(blocks)]
            self._latest = self._scores(self._total, rate)

    def _scores(self, sums: _Sums, rate: float) -> tuple[SessionScore, ...]:
        scores = [
            SessionScore(
                name="record rails",
                score=float(sums.rails),
                limit=float(poisson.isf(rate, sums.rails_allowed)),
                symbols=sums.values,
            )
        ]
        if sums.values > 0:
            scores.append(self._vacuum(sums, rate))
        if bool((sums.noise > 0).any()):
            scores.append(self._shift(sums, rate))
        return tuple(scores)

    def _vacuum(self, sums: _Sums, rate: float) -> SessionScore:
        """Two-sided F test; the calibration is worth as many values as its uncertainty says."""
        calibrated = self._limits.vacuum_reference_values
        score = -math.inf
        if sums.energy > 0:
            score = vacuum_score(
                VacuumRecord(slots=sums.values, energy_snu=sums.energy),
                VacuumRecord(slots=calibrated, energy_snu=float(calibrated)),
            )
        return SessionScore(
            name="vacuum slots",
            score=abs(score),
            limit=float(-ndtri(rate / 2)),
            symbols=sums.values,
        )

    def _shift(self, sums: _Sums, rate: float) -> SessionScore:
        """The largest of the gains at all shifts, whatever its sign (Bonferroni)."""
        seen = sums.noise > 0
        allowed = self._limits.shift_allowance * sums.lent[seen]
        beyond = np.abs(sums.follows[seen]) - allowed
        return SessionScore(
            name="frame shift",
            score=float((beyond / np.sqrt(sums.noise[seen])).max()),
            limit=float(-ndtri(rate / (2 * len(BINS)))),
            symbols=sums.values,
        )


def _sums(watch: RecordWatch, law: ReturnExpectation) -> _Sums:
    """The sums of one block.

    Means of other slots overlap with those of the same slot, along which an honest return lies
    whatever its gain: only the rest tells, T = sum m' y - (sum m' m/sum m^2) sum m y, which has the
    mean 0. Of a return that lags it has the mean g D with D = sum m'^2 - (sum m' m)^2/sum m^2, and
    by chance the variance v D with the variance v of a value, all of the data mode's noise at most.
    """
    shifted = watch.shifted
    share = shifted.overlap_snu / max(shifted.energy_snu, 1e-300)
    rest = shifted.shifted_energy_snu - share * shifted.overlap_snu
    # Means that repeat themselves exactly leave rounding errors alone.
    rest = np.where(rest > 1e-9 * shifted.shifted_energy_snu, rest, 0.0)
    follows = np.where(rest > 0, shifted.cross_snu - share * shifted.projection_snu, 0.0)
    return _Sums(
        values=watch.vacuum.values,
        energy=watch.vacuum.energy,
        follows=follows,
        lent=law.gain * rest,
        noise=(law.white_variance + law.data_mode_excess_x) * rest,
        rails=watch.rail_samples,
        rails_allowed=watch.rails_allowed,
    )
