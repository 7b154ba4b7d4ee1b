"""Accept or abort: two-sided tests of every block, at a false-alarm rate set for the whole session.

Per block: gain of the returned mean on the launched one, X variance, P variance, and the sums of
squared deviations row by row. Each test yields a normal score; the rate alpha of the session is
shared evenly over the planned blocks and the tests (Bonferroni), row sums over their rows. A gain
above what is expected or a variance below it is an attack or a fault as well, never good.
Where known displacements of P are sent beside weights on X, either quadrature's gain is tested.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from drivers.backend import ReturnSummary
from drivers.errors import ConfigurationError
from protocol.verification.expected import ReturnExpectation
from protocol.verification.statistics import tail_score

__all__ = ["Evidence", "TestScore", "Verdict", "Verifier"]

Array = NDArray[np.float64]

TESTS = ("gain", "X variance", "P variance", "row sums")
P_GAIN = "P gain"
"""Only where P carries known displacements; `gain` is then that of X."""


@dataclass(frozen=True, kw_only=True)
class TestScore:
    """One test of one block.

    Args:
        name: one of gain, X variance, P variance, row sums, P gain.
        measured: measured value; gain as an amplitude, variances in SNU per mode.
        expected: its mean for an honest return.
        score: normal score of the deviation.
        threshold: the score beyond which, on either side, the block is refused.
        row: for row sums, the row with the largest deviation.
        deviation: standard deviation of `measured` by chance, relative to `expected`.
        systematic: what the calibration does not know of it, in units of that deviation; the score
            is taken over both.
    """

    __test__ = False  # not a test class of pytest's

    name: str
    measured: float
    expected: float
    score: float
    threshold: float
    row: int | None = None
    deviation: float = 0.0
    systematic: float = 0.0

    @property
    def passed(self) -> bool:
        """True within the threshold; NaN never passes."""
        return abs(self.score) <= self.threshold

    @property
    def chance_score(self) -> float:
        """The score over chance alone, as if the calibration were known exactly."""
        return self.score * math.hypot(1.0, self.systematic)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """All tests of one block."""

    scores: tuple[TestScore, ...]
    symbols: int

    @property
    def accepted(self) -> bool:
        """True if every test passed."""
        return all(score.passed for score in self.scores)

    @property
    def failed(self) -> str:
        """Names of the tests that failed, without any measured value; empty if none did."""
        return ", ".join(score.name for score in self.scores if not score.passed)

    @property
    def reason(self) -> str:
        """Which tests failed and by how much; empty if none did."""
        return "; ".join(
            f"{s.name} {s.measured:.4g} instead of {s.expected:.4g} "
            f"(score {s.score:+.1f}, limit {s.threshold:.1f})"
            for s in self.scores
            if not s.passed
        )


@dataclass(kw_only=True)
class Evidence:
    """Sums over all accepted blocks of a layer, for the certificate; index 0 is X, 1 is P."""

    frames: Array = field(default_factory=lambda: np.zeros(2))
    symbols: Array = field(default_factory=lambda: np.zeros(2))
    mean_energy_snu: Array = field(default_factory=lambda: np.zeros(2))
    projection_snu: Array = field(default_factory=lambda: np.zeros(2))
    residual_energy_snu: Array = field(default_factory=lambda: np.zeros(2))
    rails: float = 0.0

    def add(self, summary: ReturnSummary) -> None:
        """Count a block in."""
        frames = summary.frames.sum(1).numpy()
        self.frames += frames
        self.symbols += frames * summary.modes
        self.mean_energy_snu += summary.mean_energy_snu.sum(1).numpy()
        self.projection_snu += summary.projection_snu.sum(1).numpy()
        self.residual_energy_snu += summary.residual_energy_snu.sum(1).numpy()
        self.rails += float(summary.rails.sum())

    @property
    def gain(self) -> float:
        """Least-squares gain over both quadratures, NaN if nothing was launched."""
        energy = float(self.mean_energy_snu.sum())
        return float(self.projection_snu.sum()) / energy if energy else math.nan

    def gain_of(self, quadrature: int) -> float:
        """Least-squares gain of one quadrature, NaN if nothing was launched in it."""
        energy = float(self.mean_energy_snu[quadrature])
        return float(self.projection_snu[quadrature]) / energy if energy else math.nan

    def variance_snu(self, quadrature: int) -> float:
        """Mean squared deviation per mode from the expected return, NaN without frames."""
        symbols = float(self.symbols[quadrature])
        return float(self.residual_energy_snu[quadrature]) / symbols if symbols else math.nan


class Verifier:
    """Tests blocks against an expectation.

    Args:
        expectation: the honest return.
        false_alarm: probability that an honest session is aborted, in (0, 0.5).
        blocks: blocks planned for the session.

    Raises:
        ConfigurationError: a rate or number out of range.
    """

    def __init__(self, expectation: ReturnExpectation, *, false_alarm: float, blocks: int) -> None:
        if not 0 < false_alarm < 0.5:
            raise ConfigurationError(
                f"false_alarm is {false_alarm}, it must lie in (0, 0.5): the probability that an "
                "honest session is aborted"
            )
        if blocks < 1:
            raise ConfigurationError(f"blocks is {blocks}, a session has at least 1")
        self.expectation = expectation
        tests = len(TESTS) + (1 if expectation.dither_snu > 0 else 0)
        self._alpha = false_alarm / (blocks * tests)

    def threshold(self, tests: int = 1) -> float:
        """Two-sided limit on a score, for one test of a block that looks at `tests` numbers."""
        return float(-ndtri(self._alpha / (2 * tests)))

    def test(self, summary: ReturnSummary) -> Verdict:
        """All tests of one block."""
        frames = summary.frames.numpy()
        energy = summary.mean_energy_snu.numpy()
        residual = summary.residual_energy_snu.numpy()
        scores = []
        if self.expectation.dither_snu > 0:
            scores += self._both_gains(summary, frames, energy)
        elif energy.sum() > 0 and self.expectation.gain > 0:
            scores.append(self._gain(summary, frames, energy))
        # Columns: all X frames, all P frames, then each row with both quadratures together.
        values = np.concatenate([residual.sum(1), residual.sum(0)])
        unseen = _unseen_energy(summary, energy, frames)
        weights, degrees = self._terms(summary.modes, frames, energy, unseen)
        mean = (weights * degrees).sum(0)
        uncertainty = self._unknown(mean, unseen)
        z, own = _with_allowance(values, mean, weights, degrees, uncertainty)
        symbols = np.concatenate([frames.sum(1), frames.sum(0)]) * summary.modes
        limit = self.threshold()
        for index in (0, 1):
            if symbols[index] > 0:
                scores.append(
                    TestScore(
                        name=TESTS[1 + index],
                        measured=float(values[index] / symbols[index]),
                        expected=float(mean[index] / symbols[index]),
                        score=float(z[index]),
                        threshold=limit,
                        deviation=float(own[index]),
                        systematic=float(uncertainty[index] / own[index]),
                    )
                )
        rows = z[2:]
        worst = int(np.argmax(np.where(np.isnan(rows), np.inf, np.abs(rows))))
        scores.append(
            TestScore(
                name=TESTS[3],
                measured=float(values[2 + worst] / symbols[2 + worst]),
                expected=float(mean[2 + worst] / symbols[2 + worst]),
                score=float(rows[worst]),
                threshold=self.threshold(len(rows)),
                row=worst,
                deviation=float(own[2 + worst]),
                systematic=float(uncertainty[2 + worst] / own[2 + worst]),
            )
        )
        return Verdict(scores=tuple(scores), symbols=int(frames.sum()) * summary.modes)

    def _gain(self, summary: ReturnSummary, frames: Array, energy: Array) -> TestScore:
        """Regression of the returned on the launched means."""
        law = self.expectation
        total = float(energy.sum())
        gain = float(summary.projection_snu.sum()) / total
        per_frame = np.divide(energy, frames, out=np.zeros_like(energy), where=frames > 0)
        clump = self._clump(frames)
        excess = max(law.data_mode_excess_x, law.data_mode_excess_p) * law.alignment
        noise = (law.white_variance + excess) / total
        wobble = law.gain_variance * clump * float((frames * per_frame**2).sum()) / total**2
        # X and P leak into each other by at most sqrt(E_x E_p), with a sign that the choice of the
        # quadrature makes random from frame to frame.
        mixed = frames.sum(0) * per_frame[0] * per_frame[1]
        wobble += law.cross_gain_variance * float(mixed.sum()) / total**2
        moved = law.rotation_energy / summary.modes
        allowance = math.hypot(law.gain_uncertainty * law.gain, moved)
        return self._gain_score(TESTS[0], gain, law.gain, math.sqrt(noise + wobble), allowance)

    def _both_gains(self, summary: ReturnSummary, frames: Array, energy: Array) -> list[TestScore]:
        """Regressions of X on the weights and of P on the displacements that were sent with them.

        The displacements are independent of everything else, and fresh in every frame: what leaks
        of one quadrature into the other has a random sign and the share 1/N of its energy along any
        direction.
        """
        law, modes = self.expectation, summary.modes
        per_frame = np.divide(energy, frames, out=np.zeros_like(energy), where=frames > 0)
        unseen = _unseen_energy(summary, energy, frames)
        scores = []
        for index, name in ((0, TESTS[0]), (1, P_GAIN)):
            total = float(energy[index].sum())
            if not (total > 0 and law.gain > 0):
                continue
            excess = (law.data_mode_excess_x, law.data_mode_excess_p)[index]
            along = law.alignment if index == 0 else 1 / modes
            chance = (law.white_variance + excess * along) / total
            own, other = energy[index] * per_frame[index], unseen[index] * per_frame[index]
            clump = self._clump(frames[index])
            chance += law.gain_variance * clump * float(own.sum()) / total**2
            chance += law.cross_gain_variance * float(other.sum()) / modes / total**2
            expected = law.gain
            if index == 1:
                expected = law.gain_p(modes)
                # What the receiver keeps varies with (p . x)^2, twice its squared mean.
                kept = law.gain * law.lost_p * law.dither_snu
                chance += 2 * kept**2 * float(frames[1].sum()) / total**2
            allowed = (law.gain_uncertainty * law.gain, law.rotation_energy / modes)
            scores.append(
                self._gain_score(
                    name,
                    float(summary.projection_snu[index].sum()) / total,
                    expected,
                    math.sqrt(chance),
                    math.hypot(*allowed),
                )
            )
        return scores

    def _gain_score(
        self, name: str, gain: float, expected: float, chance: float, allowance: float
    ) -> TestScore:
        return TestScore(
            name=name,
            measured=gain,
            expected=expected,
            score=(gain - expected) / math.hypot(chance, allowance),
            threshold=self.threshold(),
            deviation=chance / expected,
            systematic=allowance / chance,
        )

    def _clump(self, frames: Array) -> float:
        """How many of these frames, rows last, share one phase error."""
        return float(self.expectation.frames_per_phase(frames.sum(), frames.shape[-1]))

    def _unknown(self, mean: Array, unseen: Array) -> Array:
        """What the calibration does not know of sums with these means, relative.

        The unit of variance, and by how much a phase error turns one quadrature into the other.
        """
        law = self.expectation
        across = _columns(unseen[0], 0) + _columns(unseen[1], 1)
        turned = law.cross_gain_uncertainty * across / np.maximum(mean, 1e-300)
        unknown: Array = np.hypot(law.variance_uncertainty, turned)
        return unknown

    def _terms(
        self, modes: int, frames: Array, energy: Array, unseen: Array
    ) -> tuple[Array, Array]:
        """Weights and degrees of the chi-squares: white, data mode in X, in P, phase X, phase P."""
        law = self.expectation
        f = np.stack([_columns(frames[0], 0), _columns(frames[1], 1)])
        e = np.stack([_columns(energy[0], 0), _columns(energy[1], 1)])
        across = np.stack([_columns(unseen[0], 0), _columns(unseen[1], 1)])
        white = np.full(f.shape[1], law.white_variance)
        moving = (law.gain_variance + law.rotation_energy / modes) * e
        moving = moving + law.cross_gain_variance * across
        rows = frames.shape[1]
        # The sums hold all rows of a data vector, a row's own sum holds one.
        clump = np.concatenate(
            [law.frames_per_phase(f[:, :2], rows), law.frames_per_phase(f[:, 2:], 1)], axis=1
        )
        groups = np.maximum(f / clump, 1e-300)
        # A wandering mean adds its own spread and, through the cross term, that of the noise.
        spread = 2 * moving**2 / groups + 4 * law.white_variance * moving
        dof = np.divide(2 * moving**2, spread, out=np.zeros_like(moving), where=spread > 0)
        weight = np.divide(moving, dof, out=np.zeros_like(moving), where=dof > 0)
        weights = np.stack(
            [
                white,
                white + law.data_mode_excess_x,
                white + law.data_mode_excess_p,
                weight[0],
                weight[1],
            ]
        )
        degrees = np.stack([(f[0] + f[1]) * (modes - 1), f[0], f[1], dof[0], dof[1]])
        return weights, degrees


def _unseen_energy(summary: ReturnSummary, energy: Array, frames: Array) -> Array:
    """Mean energy `(2, rows)` in the quadrature that was not measured of X and of P frames.

    Where the summary does not tell it, what a row had there is known from its frames in the other
    quadrature, or else from other rows: nothing is known of a block that was all measured in one.
    """
    if summary.unseen_energy_snu is not None:
        told: Array = summary.unseen_energy_snu.numpy()
        return told
    per_frame = np.divide(energy, frames, out=np.zeros_like(energy), where=frames > 0)
    known = per_frame > 0
    typical = per_frame.sum(1) / np.maximum(known.sum(1), 1)
    other: Array = np.where(known, per_frame, typical[:, None])[::-1]
    return frames * other


def _columns(per_row: Array, quadrature: int) -> Array:
    """The total in its quadrature's column, then the rows."""
    totals = np.zeros(2)
    totals[quadrature] = per_row.sum()
    columns: Array = np.concatenate([totals, per_row])
    return columns


def _with_allowance(
    values: Array, mean: Array, weights: Array, degrees: Array, uncertainty: Array
) -> tuple[Array, Array]:
    """Scores, widened by relative standard uncertainties of what the calibration knows.

    Returns:
        The scores, and the relative standard deviation of the sums by chance.
    """
    empty: NDArray[np.bool_] = degrees.sum(0) == 0
    degrees = np.where(empty, 1.0, degrees)
    z: Array = tail_score(np.where(empty, mean + 1.0, values), weights, degrees)
    own: Array = np.sqrt((2 * degrees * weights**2).sum(0)) / np.maximum(mean, 1e-300)
    z = z * (own / np.hypot(own, uncertainty))
    z[empty] = 0.0
    return z, own
