"""What a test is to the attacks: something that can be simulated and worked out."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from veilight.attacks.cases import Case

__all__ = ["PIECE", "Array", "Detector", "ExactLimits", "Flags"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

PIECE = 1 << 21
"""Values that are drawn at a time where every one counts."""


class Detector(Protocol):
    """A test that can be simulated and worked out; numbers count what the test counts."""

    def alarms(
        self,
        case: Case,
        number: int,
        trials: int,
        random: np.random.Generator,
        alpha: float,
        *,
        honest: bool = False,
    ) -> Mapping[str, Flags]:
        """Alarms by test of `trials` independent repetitions; its own test is among them."""

    def power(self, case: Case, number: float, alpha: float) -> float:
        """Probability of an alarm in theory."""

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:
        """Exact probability of a false alarm."""


class ExactLimits:
    """What detectors share whose limit is a quantile of the law of an honest statistic."""

    def honest_rate(self, case: Case, number: int, alpha: float) -> float:  # noqa: ARG002
        """See `Detector`; it is what the limit was set for."""
        return alpha
