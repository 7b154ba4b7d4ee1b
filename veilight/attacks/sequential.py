"""The session's CUSUM against a variance attack: how many symbols until it speaks."""

from dataclasses import dataclass, replace

import numpy as np

from protocol.verification.cusum import cusum, mean_delay_symbols, variance_increments
from sim_backend.adversaries.block_statistics import draw_blocks
from veilight.attacks.cases import Case
from veilight.attacks.verifier_detectors import block_shape

__all__ = ["Delay", "cusum_delay"]

LOOKS = 200
"""Blocks in which the mean delay is cut; each ends in a look."""

LONGEST = 5
"""Sessions last this many mean delays."""

SESSIONS = 400


@dataclass(frozen=True, kw_only=True)
class Delay:
    """Symbols in one quadrature until the chart is over its threshold.

    Args:
        theory: ln(1/alpha)/KL.
        simulated: mean of the sessions.
        error: its standard error.
        missed: sessions that ended without an alarm.
    """

    theory: float
    simulated: float
    error: float
    missed: int


def cusum_delay(case: Case, random: np.random.Generator, *, alpha: float) -> Delay | None:
    """The delay of the X or P variance chart; None where the attack is not one on the variance.

    Args:
        case: adversary and test.
        random: source of the draws.
        alpha: exp(-threshold).
    """
    # The data mode's noise is left out: below a row's length it would be more than its share.
    light = replace(
        case.returned(honest=True), data_mode_excess_x_snu=0.0, data_mode_excess_p_snu=0.0
    )
    tampered = case.adversary.returned(light)
    on_x = case.test == "X variance"
    seen = tampered.variance_x_snu if on_x else tampered.variance_p_snu
    on_variance = case.test in ("X variance", "P variance") and tampered.hit is None
    if not on_variance or seen <= 1:
        return None
    excess, threshold = seen - 1, -float(np.log(alpha))
    theory = mean_delay_symbols(excess, threshold)
    shape = block_shape(case, max(2, round(theory / LOOKS)))
    blocks = SESSIONS * round(LONGEST * theory / shape.symbols + 1)
    sums = draw_blocks(tampered, shape, blocks, random)
    residual = (sums.residual_x_snu if on_x else sums.residual_p_snu)[:, 0].reshape(SESSIONS, -1)
    chart = cusum(variance_increments(residual, shape.symbols, seen))
    over = chart >= threshold
    caught = over.any(axis=1)
    delays = (np.argmax(over[caught], axis=1) + 1) * shape.symbols
    if len(delays) < 2:
        return Delay(theory=theory, simulated=float("nan"), error=float("nan"), missed=SESSIONS)
    return Delay(
        theory=theory,
        simulated=float(delays.mean()),
        error=float(delays.std() / np.sqrt(len(delays))),
        missed=int(SESSIONS - caught.sum()),
    )
