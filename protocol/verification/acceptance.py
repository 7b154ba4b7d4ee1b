"""The verifier's tests as limits on the sums, so that many blocks are judged at once.

Every test of `Verifier` is monotone in one sum. For blocks that all test the same number of frames
with the same energies, each test is therefore an interval of that sum; its ends are found once by
asking the verifier, and a million blocks are a comparison each.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq

from drivers.backend import ReturnSummary
from drivers.errors import ConfigurationError
from protocol.verification.verifier import Verdict, Verifier

__all__ = ["AcceptanceLimits", "acceptance_limits"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Limits = tuple[float, float]

_RELATIVE_TOLERANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class AcceptanceLimits:
    """Lowest and highest accepted value of every sum of one kind of block.

    Args:
        projection_snu: sum of mean times value over all frames.
        residual_x_snu: sum of squared deviations over all X frames.
        residual_p_snu: likewise over the P frames.
        row_snu: sum of squared deviations of one row, X and P together.
    """

    projection_snu: Limits
    residual_x_snu: Limits
    residual_p_snu: Limits
    row_snu: Limits

    def alarms(
        self, projection_snu: Array, residual_x_snu: Array, residual_p_snu: Array
    ) -> dict[str, Flags]:
        """Which tests refuse which blocks.

        Args:
            projection_snu: per block and row, `(blocks, rows)`.
            residual_x_snu: likewise.
            residual_p_snu: likewise.

        Returns:
            By the verifier's names of its tests, `(blocks,)` each, True where it refuses.
        """
        by_row = _outside(residual_x_snu + residual_p_snu, self.row_snu)
        return {
            "gain": _outside(projection_snu.sum(1), self.projection_snu),
            "X variance": _outside(residual_x_snu.sum(1), self.residual_x_snu),
            "P variance": _outside(residual_p_snu.sum(1), self.residual_p_snu),
            "row sums": np.asarray(by_row.any(axis=1)),
        }


def acceptance_limits(
    verifier: Verifier,
    *,
    rows: int,
    frames: int,
    modes: int,
    row_energy_snu: float,
    frames_p: int | None = None,
) -> AcceptanceLimits:
    """The verifier's limits for blocks whose rows are alike.

    Args:
        verifier: as the server uses it.
        rows: weight rows of a block.
        frames: frames per row that are measured in X, and in P if `frames_p` says nothing else.
        modes: modes per frame.
        row_energy_snu: sum of squared means of a row's X frames; nothing is launched on P.
        frames_p: frames per row that are measured in P.

    Raises:
        ConfigurationError: a number out of range, or a verifier that expects displacements of P.
    """
    if verifier.expectation.dither_snu:
        raise ConfigurationError(
            f"blocks whose P is displaced by {verifier.expectation.dither_snu:g} SNU have no two "
            "alike; limits on the sums are for light on X alone"
        )
    on_p = frames if frames_p is None else frames_p
    if min(rows, frames, on_p, modes) < 1 or not row_energy_snu >= 0:
        raise ConfigurationError(
            f"a block of {rows} rows, {frames} frames, {modes} modes and {row_energy_snu} SNU of "
            "mean energy cannot be tested: all numbers must be at least 1, the energy at least 0"
        )
    shape = _Shape(
        verifier=verifier,
        rows=rows,
        frames=(frames, on_p),
        modes=modes,
        energy=row_energy_snu,
    )
    law = verifier.expectation
    white, across = modes * law.white_variance, on_p / frames * row_energy_snu
    x = frames * (white + law.data_mode_excess_x) + law.gain_variance * row_energy_snu
    p = on_p * (white + law.data_mode_excess_p) + law.cross_gain_variance * across
    x, p = rows * x, rows * p
    honest = law.gain * row_energy_snu * rows

    def gain_score(value: float) -> float:
        return _margin(shape.verdict(value, x, p), "gain")

    def x_score(value: float) -> float:
        return _margin(shape.verdict(honest, value, p), "X variance")

    def p_score(value: float) -> float:
        return _margin(shape.verdict(honest, x, value), "P variance")

    def row_score(value: float) -> float:
        return _margin(shape.verdict(honest, x, p, first_row=value), "row sums")

    spread = math.sqrt(rows * row_energy_snu)
    return AcceptanceLimits(
        projection_snu=(
            _interval(gain_score, honest, spread) if row_energy_snu else (-math.inf, math.inf)
        ),
        residual_x_snu=_interval(x_score, x, math.sqrt(2 * x), positive=True),
        residual_p_snu=_interval(p_score, p, math.sqrt(2 * p), positive=True),
        row_snu=_interval(row_score, (x + p) / rows, math.sqrt(2 * (x + p) / rows), positive=True),
    )


@dataclass(frozen=True, kw_only=True)
class _Shape:
    verifier: Verifier
    rows: int
    frames: tuple[int, int]
    modes: int
    energy: float

    def verdict(
        self, projection: float, x: float, p: float, *, first_row: float | None = None
    ) -> Verdict:
        """The verifier on a block of equal rows; the first one may have a sum of its own."""
        even = torch.ones(self.rows, dtype=torch.float64) / self.rows
        none = torch.zeros(self.rows, dtype=torch.float64)
        residual = torch.stack([x * even, p * even])
        if first_row is not None:
            # Split as the honest sums are; the row test looks at the total alone.
            residual[:, 0] *= first_row / float(residual[:, 0].sum())
        return self.verifier.test(
            ReturnSummary(
                frames=torch.tensor(self.frames, dtype=torch.float64)[:, None].repeat(1, self.rows),
                reference_gain=self.verifier.expectation.gain,
                mean_energy_snu=torch.stack([none + self.energy, none]),
                projection_snu=torch.stack([projection * even, none]),
                residual_energy_snu=residual,
                rails=torch.stack([none, none]),
                modes=self.modes,
            )
        )


def _margin(verdict: Verdict, name: str) -> float:
    """Score over threshold, signed: 1 and -1 are the ends of the interval."""
    for score in verdict.scores:
        if score.name == name:
            if score.name == "row sums" and score.row != 0:
                return 0.0  # the first row is not the one that stands out
            return score.score / score.threshold
    raise ConfigurationError(f"the verifier has no test called {name!r}")


def _interval(
    margin: Callable[[float], float], centre: float, step: float, *, positive: bool = False
) -> Limits:
    """Where `margin` is -1 and +1, on either side of an honest value."""
    low, high = step, step
    while margin(centre + high) < 1:
        high *= 2
    if positive and centre - low <= 0:
        low = centre / 2
    while margin(centre - low) > -1:
        # Sums of squares end at 0: halve the distance to it.
        low = (centre + low) / 2 if positive and 2 * low >= centre else 2 * low
        if positive and centre - low < 1e-12 * centre:
            return 0.0, _root(lambda v: margin(v) - 1, centre, centre + high)
    return (
        _root(lambda v: margin(v) + 1, centre - low, centre),
        _root(lambda v: margin(v) - 1, centre, centre + high),
    )


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, rtol=_RELATIVE_TOLERANCE, xtol=1e-12))


def _outside(values: Array, limits: Limits) -> Flags:
    low, high = limits
    # NaN is refused: it is not inside.
    return ~((values >= low) & (values <= high))
