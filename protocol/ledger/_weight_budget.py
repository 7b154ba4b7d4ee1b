"""Whether more photons fit into the budget of a block of rows, and how many would."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drivers.errors import BudgetError, LedgerError
from protocol.ledger import _arguments
from protocol.ledger.light import ChargeRule, LightChannel, Photons, RowLight

__all__ = ["LightCharge", "bits_with_block", "worst_bits_after"]


class LightCharge(Protocol):
    """What a session's light is charged: how it comes back, and what light of any kind leaks."""

    @property
    def channel(self) -> LightChannel:
        """How light of this session comes back where its return passes."""
        ...

    @property
    def rule(self) -> ChargeRule:
        """Whom the bits are charged for."""
        ...

    def bits(self, light: RowLight, /) -> NDArray[np.floating[Any]]:
        """Bits per weight, `(rows,)`: row by row, and no less when photons are added.

        Unplaced light is charged at this session's own channel.
        """
        ...


_BISECTIONS = 30


def bits_with_block(
    charge: LightCharge, light: RowLight, photons: float, copies: int | None
) -> NDArray[np.floating[Any]]:
    """Bits per weight of rows with one more block, `(rows,)`, whatever becomes of the block.

    A block that is out counts as kept. Against one memory over all copies what comes back may tell
    more than that: its noise is room for that memory to hide what it does to other, quieter copies.

    Args:
        charge: of the block's session.
        light: of the rows so far.
        photons: of the block, per weight.
        copies: of a weight in the block; needed with the rule "with memory" alone.

    Returns:
        The larger of both outcomes, by that rule; of a block that is kept, by the other.
    """
    kept = charge.bits(light.more(charge.channel, unverified=photons))
    if charge.rule == "copies apart" or charge.channel.transmittance == 0:
        return kept
    back = light.more(charge.channel, verified=photons, copies=copies or 0)
    return np.asarray(np.maximum(kept, charge.bits(back)))


def worst_bits_after(
    where: str,
    first_row: int,
    light: RowLight,
    photons: float,
    copies: int | None,
    budget: float,
    charge: LightCharge,
) -> float:
    """Bits per weight of the worst row of a block once it has been charged.

    Args:
        where: ledger and layer, for messages.
        first_row: number of the first row, for messages.
        light: of the block's rows so far.
        photons: what is asked for, per weight.
        copies: that these photons are in; None where nobody said it.
        budget: bits per weight.
        charge: what light leaks.

    Raises:
        BudgetError: more than the budget.
        LedgerError: `charge` answers with NaN, a negative number or the wrong shape.
    """
    distinct, first = light.distinct()
    limit = budget * (1 + _arguments.ROUNDING)

    def after(amount: float) -> Photons:
        return _checked(where, bits_with_block(charge, distinct, amount, copies), distinct)

    asked = after(photons)
    worst = int(np.argmax(asked))
    if asked[worst] <= limit:
        return float(asked[worst])
    fitting = _largest_that_fits(lambda amount: bool(np.all(after(amount) <= limit)), photons)
    if fitting > photons * 1e-6:
        # A little less than was found, so that it still fits after rounding to six digits.
        advice = (
            f"At most {fitting * (1 - 1e-5):.6g} photons per weight more fit: send fewer photons "
            "or copies."
        )
    else:
        advice = "The budget is spent: stop sending these weights."
    raise BudgetError(
        f"{where}, row {first_row + int(first[worst])}: {photons:.6g} photons per weight more "
        f"would bring it to {asked[worst]:.6g} bits per weight; it has spent "
        f"{after(0.0)[worst]:.6g} of its budget of {budget:.6g}. {advice} A larger budget is a "
        "new decision about these weights, and what was spent already counts"
    )


def _largest_that_fits(fits: Callable[[float], bool], asked: float) -> float:
    low, high = 0.0, asked
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _checked(where: str, found: NDArray[np.floating[Any]], light: RowLight) -> Photons:
    answer = np.asarray(found, dtype=np.float64)
    if answer.shape != light.verified.shape:
        raise LedgerError(
            f"{where}: the leakage of {len(light.verified)} rows came back with shape "
            f"{answer.shape}; it must be one number of bits per row"
        )
    if np.any(np.isnan(answer)):
        raise LedgerError(
            f"{where}: the leakage came back as NaN; nothing may be sent until it is known. Find "
            "the estimate that failed"
        )
    if np.any(answer < 0):
        raise LedgerError(
            f"{where}: the leakage came back as {answer.min():g} bits; it cannot be negative. "
            "Correct the function that turns photons into bits"
        )
    return answer
