"""Honest sessions: how often a test raises a false alarm, exactly and counted."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from drivers.errors import ConfigurationError
from protocol.verification.verifier import TESTS
from sim_backend.adversaries.block_statistics import BlockShape, draw_blocks
from veilight.attacks.cases import MODES, Case
from veilight.attacks.detectors import DETECTORS
from veilight.attacks.verifier_detectors import verifier_limits

__all__ = [
    "COUNTED_ALPHA",
    "HonestAlarms",
    "HonestSessions",
    "honest_alarms",
    "honest_sessions",
]

COUNTED_ALPHA = 1e-3
"""False-alarm rate at which alarms can be counted."""

SURPRISE = 1e-9
"""A count less likely than this under the promised rate breaks the promise."""

SLACK = 1.05
"""The verifier's tail formula is an approximation: within 5 % of its rate it is kept."""


@dataclass(frozen=True, kw_only=True)
class HonestAlarms:
    """False alarms of one test.

    Args:
        exact_rate: exact probability at the test's rate `alpha`.
        alpha: that rate.
        counted: alarms in `trials` honest blocks at the rate `COUNTED_ALPHA`.
        trials: blocks.
    """

    exact_rate: float
    alpha: float
    counted: int
    trials: int

    @property
    def kept(self) -> bool:
        """True if there are no more alarms than promised, exactly and in the count."""
        surprise = float(binom.sf(self.counted - 1, self.trials, COUNTED_ALPHA))
        return self.exact_rate <= SLACK * self.alpha and surprise > SURPRISE


def honest_alarms(
    case: Case, number: int, random: np.random.Generator, *, alpha: float, trials: int
) -> HonestAlarms:
    """False alarms of a case's test at `number` of what it counts.

    Args:
        case: adversary and test; the adversary stays away.
        number: symbols, rows or slots of the test.
        random: source of the draws.
        alpha: rate of the exact figure.
        trials: honest blocks to count.

    Raises:
        ConfigurationError: a case without a test.
    """
    if case.test is None:
        raise ConfigurationError(f"attack {case.adversary.name} has no test")
    detector = DETECTORS[case.test]
    alarms = detector.alarms(case, number, trials, random, COUNTED_ALPHA, honest=True)
    rate = detector.honest_rate(case, number, alpha)
    return HonestAlarms(
        exact_rate=rate if math.isfinite(rate) else 1.0,
        alpha=alpha,
        counted=int(alarms[case.test].sum()),
        trials=trials,
    )


@dataclass(frozen=True, kw_only=True)
class HonestSessions:
    """Whole honest sessions under all tests of the verifier.

    Args:
        alpha: promised rate of aborted sessions.
        blocks: per session.
        sessions: how many were drawn.
        aborted: sessions with an alarm in any block.
    """

    alpha: float
    blocks: int
    sessions: int
    aborted: int

    @property
    def kept(self) -> bool:
        """True if no more were aborted than promised."""
        return float(binom.sf(self.aborted - 1, self.sessions, self.alpha)) > SURPRISE


def honest_sessions(
    case: Case,
    random: np.random.Generator,
    *,
    sessions: int = 10_000,
    blocks: int = 20,
    rows: int = 4,
) -> HonestSessions:
    """Count honest sessions that the verifier aborts, at the rate `COUNTED_ALPHA` per session.

    Args:
        case: gives the receiver and the photons.
        random: source of the draws.
        sessions: how many.
        blocks: per session, over which the rate is shared.
        rows: weight rows of a block, each with a sum of its own.
    """
    shape = BlockShape(rows=rows, frames=4, modes=MODES, photons_per_symbol=case.photons_per_symbol)
    # The verifier shares a session's rate over its blocks and tests.
    limits = verifier_limits(case, shape, COUNTED_ALPHA / (blocks * len(TESTS)))
    sums = draw_blocks(case.returned(honest=True), shape, sessions * blocks, random)
    alarms = limits.alarms(sums.projection_snu, sums.residual_x_snu, sums.residual_p_snu)
    any_test = np.any(list(alarms.values()), axis=0).reshape(sessions, blocks)
    return HonestSessions(
        alpha=COUNTED_ALPHA,
        blocks=blocks,
        sessions=sessions,
        aborted=int(any_test.any(axis=1).sum()),
    )
