"""Checks of a recorded trace before anything is computed from it.

Owns the reasons for which a trace is thrown away unseen: samples that are not numbers, too few of
them, a constant, hits of the converter's rails, a stuck bit, a jump of the offset, and a trace that
was delivered before.
"""

import hashlib
from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import poisson

from drivers.errors import OpticsError, TraceError

__all__ = ["OFFSET_BLOCKS", "RAIL_RATE", "TraceChecker", "rail_samples"]

RAIL_RATE: Final = 1.97e-9
"""Probability that a normal sample leaves a range of six standard deviations, both sides."""

_FALSE_ALARM: Final = 1e-9
_BIT_SAMPLES: Final = 65_536
# Samples at the extreme code, against those in each of the codes before it: noise thins out there.
_NEAR_CODES: Final = 8
_PILE_LEAST: Final = 20
_PILE_FACTOR: Final = 4
OFFSET_BLOCKS: Final = 64
"""Parts of a trace whose means are compared."""


class TraceChecker:
    """Checks the traces of one digitiser channel, and remembers them.

    Attributes:
        instrument: Name for messages.
        offset_limit: Largest change of the mean within a trace, as a share of the range.
    """

    def __init__(
        self, instrument: str, *, remembered: int = 256, offset_limit: float = 0.05
    ) -> None:
        self.instrument = instrument
        self.offset_limit = offset_limit
        self._digests: deque[bytes] = deque(maxlen=remembered)

    def check(
        self,
        volts: NDArray[np.float32],
        *,
        range_v: float,
        step_v: float,
        samples: int,
        oscillator_power: NDArray[np.float64] | None = None,
    ) -> None:
        """Refuses a trace that cannot be trusted, else remembers it.

        Args:
            volts: Samples of one channel, shape (samples,), float32.
            range_v: The converter's range: it reads -range_v to +range_v.
            step_v: Width of a code, 0 where unknown (the bits are then not looked at).
            samples: Number of samples that were asked for.
            oscillator_power: Where it varies: mean of the oscillator's power in each of
                `OFFSET_BLOCKS` equal parts of the trace, in any unit. An unbalanced detector's
                offset follows it, which is no fault.

        Raises:
            OpticsError: Wrong shape, or a range that is not a positive number.
            TraceError: The trace is short, holds NaN or infinity, is constant, clipped, has a stuck
                bit or an offset jump, or is the same as an earlier one.
        """
        if volts.ndim != 1:
            raise OpticsError(
                f"{self.instrument}: a trace of shape {volts.shape} given; check one channel at a "
                "time, shape (samples,)"
            )
        if not (np.isfinite(range_v) and range_v > 0 and np.isfinite(step_v) and step_v >= 0):
            raise OpticsError(
                f"{self.instrument}: range {range_v} V and step {step_v} V given; the range must "
                "be positive, the step 0 or more"
            )
        if volts.size < samples:
            raise TraceError(
                f"{self.instrument}: the trace has {volts.size} samples; {samples} were asked for: "
                "record again, check trigger and transfer"
            )
        low, high = self._extremes(volts)
        self._check_rails(volts, low, high, range_v, step_v)
        self._check_saturation(volts, low, high, step_v)
        self._check_bits(volts, step_v)
        self._check_offset(volts, range_v, oscillator_power)
        self._check_new(volts)

    def _extremes(self, volts: NDArray[np.float32]) -> tuple[float, float]:
        # Minimum and maximum carry NaN along, so that two passes see every bad sample.
        low, high = float(np.min(volts)), float(np.max(volts))
        if not (np.isfinite(low) and np.isfinite(high)):
            bad = np.flatnonzero(~np.isfinite(volts))
            raise TraceError(
                f"{self.instrument}: {bad.size} of {volts.size} samples are NaN or infinite, the "
                f"first at {bad[0]}; none is allowed: record again, check the transfer"
            )
        if low == high:
            raise TraceError(
                f"{self.instrument}: all {volts.size} samples are {low:.6g} V; noise must move "
                "them: check the input cable and the digitiser's channel"
            )
        return low, high

    def _check_rails(
        self, volts: NDArray[np.float32], low: float, high: float, range_v: float, step_v: float
    ) -> None:
        rail = _rail(range_v, step_v)
        if high < rail and low > -rail:
            return
        hits = rail_samples(volts, range_v, step_v)
        allowed = int(poisson.isf(_FALSE_ALARM, volts.size * RAIL_RATE))
        if hits > allowed:
            raise TraceError(
                f"{self.instrument}: clipped: {hits} of {volts.size} samples at the rails of "
                f"+-{range_v:g} V; a range of six standard deviations allows {allowed}: use a "
                "larger range or less light"
            )

    def _check_saturation(
        self, volts: NDArray[np.float32], low: float, high: float, step_v: float
    ) -> None:
        """Looks for samples that pile up at the extremes, as in front of a saturated amplifier."""
        if not step_v:
            return
        for edge, sign in ((high, 1.0), (low, -1.0)):
            beyond = sign * edge
            at = _above(volts, sign, beyond - 0.5 * step_v)
            near = _above(volts, sign, beyond - (_NEAR_CODES + 0.5) * step_v) - at
            limit = _PILE_LEAST + _PILE_FACTOR * near / _NEAR_CODES
            if at > limit:
                raise TraceError(
                    f"{self.instrument}: clipped: {at} of {volts.size} samples read {edge:.4g} V "
                    f"and none goes beyond, though only {near} lie within the {_NEAR_CODES} codes "
                    f"before it; the limit is {limit:.0f}: an amplifier saturates, use less light "
                    "or a larger range"
                )

    def _check_bits(self, volts: NDArray[np.float32], step_v: float) -> None:
        """Looks for bits that never change although the codes spread over their whole period."""
        if not step_v:
            return
        part = volts[: _BIT_SAMPLES * max(1, volts.size // _BIT_SAMPLES)]
        part = part[:: max(1, part.size // _BIT_SAMPLES)]
        # A converter's codes may lie on the steps or between them.
        scaled = part.astype(np.float64) / step_v
        codes = np.rint(scaled - (scaled[0] - np.rint(scaled[0]))).astype(np.int64)
        first, last = np.percentile(codes, (1, 99))
        spread = float(last - first)
        always = int(np.bitwise_and.reduce(codes))
        ever = int(np.bitwise_or.reduce(codes))
        bit = 0
        while 2 * 2**bit <= spread:
            if always >> bit & 1 or not ever >> bit & 1:
                raise TraceError(
                    f"{self.instrument}: bit {bit} of the converter is stuck at "
                    f"{always >> bit & 1} in {codes.size} samples that spread over {spread:.0f} "
                    "codes: run the digitiser's self-test, exchange it if it fails"
                )
            bit += 1

    def _check_offset(
        self, volts: NDArray[np.float32], range_v: float, power: NDArray[np.float64] | None
    ) -> None:
        length = volts.size // OFFSET_BLOCKS
        if length < 64:
            return
        blocks = volts[: length * OFFSET_BLOCKS].reshape(OFFSET_BLOCKS, length)
        means = blocks.mean(axis=1, dtype=np.float64)
        if power is not None:
            terms = np.stack((np.ones(OFFSET_BLOCKS), power), axis=1)
            means -= terms @ np.linalg.lstsq(terms, means, rcond=None)[0]
        chance = 8 * float(np.max(blocks[::8].std(axis=1))) / np.sqrt(length)
        jump = float(np.max(means) - np.min(means))
        if jump > max(self.offset_limit * range_v, 2 * chance):
            raise TraceError(
                f"{self.instrument}: the offset moves by {jump:.4g} V within the trace; the limit "
                f"is {self.offset_limit * range_v:.4g} V: check grounding and the detector's bias"
            )

    def _check_new(self, volts: NDArray[np.float32]) -> None:
        digest = hashlib.blake2b(np.ascontiguousarray(volts).data, digest_size=16).digest()
        if digest in self._digests:
            raise TraceError(
                f"{self.instrument}: the trace is the same, sample by sample, as one of the last "
                f"{len(self._digests)}; noise never repeats: the digitiser delivered old memory, "
                "arm it again"
            )
        self._digests.append(digest)


def rail_samples(volts: NDArray[np.float32], range_v: float, step_v: float) -> int:
    """Samples at either end of a converter's range.

    Args:
        volts: Samples.
        range_v: It reads -range_v to +range_v.
        step_v: Width of a code, 0 where unknown.
    """
    rail = _rail(range_v, step_v)
    return int(np.count_nonzero(volts >= rail) + np.count_nonzero(volts <= -rail))


def _rail(range_v: float, step_v: float) -> np.float32:
    # The highest code of a two's-complement converter reads one step below its range.
    return np.float32(range_v - 1.25 * step_v if step_v else range_v * (1 - 1e-6))


def _above(volts: NDArray[np.float32], sign: float, limit_v: float) -> int:
    """How many samples, times `sign`, are above a limit."""
    beyond = volts > np.float32(limit_v) if sign > 0 else volts < np.float32(-limit_v)
    return int(np.count_nonzero(beyond))
