"""Honest sessions: how often a test raises a false alarm, exactly and counted."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from drivers.errors import ConfigurationError
from veilight.attacks.cases import Case
from veilight.attacks.detectors import DETECTORS

__all__ = ["COUNTED_ALPHA", "HonestAlarms", "honest_alarms"]

COUNTED_ALPHA = 1e-3
"""False-alarm rate at which alarms can be counted."""

SURPRISE = 1e-9
"""A count less likely than this under the promised rate breaks the promise."""

SLACK = 1.02
"""The verifier's tail formula is an approximation: within 2 % of its rate it is kept."""


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
