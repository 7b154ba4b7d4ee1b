"""The server's tests over a whole session: small deviations, mixtures, full scale, audits.

Every block is tested by itself (`Verifier`); what is too small for a block, or spread over many, is
tested here over all blocks that passed. The session's false-alarm rate is shared between all of it
in fixed parts (`AlarmShares`), so that an honest session is aborted no more often than was agreed.

    running gain, X variance, P variance   Page's sums of the blocks' scores, up and down, for a
                                           row of deviations from a block's to the session's; the
                                           gain of P as well where it is displaced
    fourth moment                          kurtosis of the deviations, one-sided
    rails                                  values at the digitiser's ends, per block
    vacuum slots, frame shift,             what records of waveforms say beside the data, per block
    record rails                           and over all
    audited data                           noise along the vectors that the client has opened
    audits opened                          that enough of them were opened
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import hypergeom, poisson

from drivers.backend import ReturnSummary
from drivers.record_watch import RecordWatch
from protocol.verification.audit import AuditedSums
from protocol.verification.expected import ReturnExpectation
from protocol.verification.moments import kurtosis_score
from protocol.verification.record_tests import RecordTests
from protocol.verification.session_limits import SessionLimits
from protocol.verification.session_score import SessionScore
from protocol.verification.verifier import P_GAIN, Verdict

__all__ = ["AuditedReturn", "SessionMonitor", "SessionScore", "rails_expected"]

Array = NDArray[np.float64]

_RUNNING = ("gain", "X variance", "P variance", P_GAIN)
_QUADRATURES = (_RUNNING[1], _RUNNING[2])

FEWEST_FOR_MOMENT = 5_000
"""Values below which the fourth moment is not looked at: its score is an approximation."""


@dataclass(frozen=True, kw_only=True)
class AuditedReturn:
    """Projections of the returned deviations on opened vectors, in one quadrature.

    Args:
        frames: how many.
        energy_snu: sum of their squares.
        white_variance_snu: expected in every direction.
        excess_noise_snu: agreed excess noise along the data.
        phase_noise_snu: part of it that a phase error makes of the mean.
        frames_per_phase: frames that share such an error.
        phase_uncertainty_snu: standard uncertainty of that part.
    """

    frames: int
    energy_snu: float
    white_variance_snu: float
    excess_noise_snu: float
    phase_noise_snu: float = 0.0
    frames_per_phase: float = 1.0
    phase_uncertainty_snu: float = 0.0


class SessionMonitor:
    """Adds up what every accepted block gave and says when it is too much.

    Args:
        limits: fixed before the light was on.
    """

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._shifts = np.array(limits.running_shifts)
        self._sums = np.zeros((len(_RUNNING), 2, len(self._shifts)))
        self._starts = np.zeros(self._sums.shape, dtype=np.int64)
        self._tested = np.zeros(len(_RUNNING), dtype=np.int64)
        self._blocks = 0
        self._moments = np.zeros(3)
        self._moment: SessionScore | None = None
        self._rails: SessionScore | None = None
        self._audited = tuple(AuditedSums() for _ in _QUADRATURES)
        self._openings = 0
        self._audits: tuple[SessionScore, ...] = ()
        self._records = RecordTests(limits)

    @property
    def scores(self) -> tuple[SessionScore, ...]:
        """All tests that had something to look at, in their latest state."""
        running = tuple(
            SessionScore(
                name=f"running {name}",
                score=float(self._sums[place].max()),
                limit=self._limits.running_limit,
                symbols=int(self._tested[place]),
            )
            for place, name in enumerate(_RUNNING)
            if self._tested[place]
        )
        return running + self._whole

    @property
    def _whole(self) -> tuple[SessionScore, ...]:
        """Tests that take the session as a whole."""
        later = (self._moment, self._rails, *self._records.scores, *self._audits)
        return tuple(score for score in later if score is not None)

    def add(self, summary: ReturnSummary, verdict: Verdict, rails: float) -> str:
        """Count a block in that passed its own tests.

        Args:
            summary: of the block.
            verdict: on it.
            rails: values at the digitiser's ends that an honest return has on average; 0 where the
                digitiser has no ends.

        Returns:
            Names of the session's tests that fail now; empty if none does.
        """
        self._blocks += 1
        self._add_scores(verdict)
        self._add_moments(summary, verdict)
        if rails:
            self._count_rails(summary, verdict, rails)
        return self.failed

    def of_records(self, watch: RecordWatch, law: ReturnExpectation) -> tuple[SessionScore, ...]:
        """Tests of the records of one block, which `add_records` adds up if it passed."""
        return self._records.of_block(watch, law)

    def add_records(self, watch: RecordWatch, law: ReturnExpectation) -> str:
        """Count the records of a block in, after the block itself.

        Args:
            watch: over its records.
            law: the honest return.

        Returns:
            As `add`.
        """
        self._records.add(watch, law, self._blocks)
        return self.failed

    @property
    def failed(self) -> str:
        """Names of the tests that fail, without any measured value; empty if none does."""
        return ", ".join(score.name for score in self.scores if not score.passed)

    @property
    def clean_blocks(self) -> int:
        """Blocks, from the first on, that no test that fails now speaks against.

        Page's sums begin anew wherever they are at 0; all other tests take the session as a whole.
        """
        if any(not score.passed for score in self._whole):
            return 0
        beyond = ~(self._sums <= self._limits.running_limit)
        return int(self._starts[beyond].min()) if beyond.any() else self._blocks

    def _add_scores(self, verdict: Verdict) -> None:
        """Page's sums of log-likelihood ratios, d (z - A) - d^2/2 for a shift d of the score.

        A is what the calibration may be off by: it is the same in all blocks, so that it would add
        up like a deviation.
        """
        for score in verdict.scores:
            if score.name not in _RUNNING:
                continue
            place = _RUNNING.index(score.name)
            # The same relative deviation shows in a small block by less.
            shifts = self._shifts * self._limits.running_references[place] / score.deviation
            allowed = self._limits.calibration_score * score.systematic
            both = np.array([[score.chance_score], [-score.chance_score]]) - allowed
            walk = self._sums[place] + shifts * both - shifts**2 / 2
            self._sums[place] = np.maximum(walk, 0.0)
            self._starts[place][walk <= 0] = self._blocks
            self._tested[place] += verdict.symbols

    def _add_moments(self, summary: ReturnSummary, verdict: Verdict) -> None:
        fourth = summary.residual_fourth_snu
        if fourth is None:
            return
        expected = {score.name: score.expected for score in verdict.scores}
        for index, name in enumerate(_QUADRATURES):
            if name in expected:
                count = float(summary.frames[index].sum()) * summary.modes
                second = float(summary.residual_energy_snu[index].sum()) / expected[name]
                power = float(fourth[index].sum()) / expected[name] ** 2
                self._moments += (count, second, power)
        looks, count = self._limits.moment_looks, int(self._moments[0])
        if self._blocks in looks and count >= FEWEST_FOR_MOMENT:
            self._moment = SessionScore(
                name="fourth moment",
                score=self._kurtosis_score(),
                limit=self._limits.moment_limits[looks.index(self._blocks)],
                symbols=count,
            )

    def _kurtosis_score(self) -> float:
        """Normal score of the kurtosis beyond what an honest return may have."""
        count, second, fourth = self._moments
        normal = 3 * second**2 / count
        # What is allowed for is no reason to take a normal return for one that is flatter.
        fourth = max(fourth - self._limits.moment_allowance * normal / 3, min(fourth, normal))
        return float(kurtosis_score(np.array([second]), np.array([fourth]), int(count))[0])

    def _count_rails(self, summary: ReturnSummary, verdict: Verdict, expected: float) -> None:
        found = SessionScore(
            name="rails",
            score=float(summary.rails.sum()),
            limit=float(poisson.isf(self._limits.rail_rate, expected)),
            symbols=verdict.symbols,
        )
        worst = self._rails
        if worst is None or not found.score - found.limit <= worst.score - worst.limit:
            self._rails = found

    def add_audit(self, returned: tuple[AuditedReturn, ...]) -> str:
        """Count an opened batch in, X first, P second, and test all that were opened.

        Args:
            returned: per block and quadrature; quadratures alternate.

        Returns:
            As `add`.
        """
        limits = self._limits
        for index, part in enumerate(returned):
            self._audited[index % 2].add(
                frames=part.frames,
                energy_snu=part.energy_snu,
                variance_snu=part.white_variance_snu + part.excess_noise_snu,
                phase_noise_snu=part.phase_noise_snu,
                frames_per_phase=part.frames_per_phase,
                phase_uncertainty_snu=part.phase_uncertainty_snu,
            )
        self._openings += 1
        rate = limits.audit_rates[min(self._openings, len(limits.audit_rates)) - 1]
        self._audits = tuple(
            SessionScore(
                name=f"audited data, {name}",
                score=sums.ratio(rate, limits.audit_slack, limits.calibration_score),
                limit=1.0,
                symbols=int(sums.frames),
            )
            for name, sums in zip("XP", self._audited, strict=True)
            if sums.frames
        )
        return self.failed

    def finish(self, batches: int, commanded: int, opened: int) -> str:
        """Test, at the end, that as many audits were opened as were agreed.

        Args:
            batches: of the session.
            commanded: batches that the server told the client to open.
            opened: of these, dummies.

        Returns:
            As `add`.
        """
        wanted = self._limits.audits
        if not wanted:
            return self.failed
        fewest = hypergeom.ppf(self._limits.opening_rate, batches, wanted, commanded)
        missing = SessionScore(
            name="audits opened", score=float(fewest) - opened, limit=0.0, symbols=0
        )
        self._audits = (*self._audits, missing)
        return self.failed


def rails_expected(
    values: float, means: Array, *, gain: float, variance_snu: float, edge_snu: float
) -> float:
    """Values at the digitiser's ends that honest light has on average.

    Args:
        values: how many are recorded.
        means: launched means of the block's rows, any shape.
        gain: of a mean in the record.
        variance_snu: of a recorded value, at most.
        edge_snu: where the first code at an end begins.
    """
    if not math.isfinite(edge_snu):
        return 0.0
    deviation = math.sqrt(variance_snu)
    recorded = gain * means
    tails = ndtr((recorded - edge_snu) / deviation) + ndtr((-recorded - edge_snu) / deviation)
    return values * float(tails.mean())
