"""What the reconstructions have in common: Fano's bound, and the refusal of gains above a bound."""

import math

from scipy.stats import beta

from drivers.errors import VerificationError

__all__ = ["DEVIATIONS", "fano_success", "hold", "share_low"]

DEVIATIONS = 6.0
"""Standard errors by which a measured gain may pass a bound: 1e-9 for a normal error."""

_LEVEL = 1e-9


def fano_success(nats: float, candidates: int) -> float:
    """Largest success that some nats allow: (I + ln 2)/ln R, at most 1.

    Cover and Thomas, Elements of Information Theory, section 2.10.

    Args:
        nats: of information on which of the candidates it is, >= 0.
        candidates: R >= 2.
    """
    return min(1.0, (nats + math.log(2)) / math.log(candidates))


def share_low(found: int, trials: int) -> float:
    """Lower confidence limit of a share, at 1e-9 (Clopper and Pearson).

    Args:
        found: successes.
        trials: of so many.
    """
    return float(beta.ppf(_LEVEL, found, trials - found + 1)) if found else 0.0


def hold(what: str, gain: float, bound: float) -> None:
    """Hold a gain against its bound.

    Args:
        what: in words, for the message.
        gain: measured, less what its measurement allows.
        bound: stated.

    Raises:
        VerificationError: the gain is above the bound, or not a number.
    """
    if not gain <= bound * (1 + 1e-9):  # also refuses NaN
        raise VerificationError(
            f"reconstruction: {what}: {gain:.6g} is above {bound:.6g}; the bound or the simulation "
            "is wrong, quote neither before it is found"
        )
