"""How a session's false-alarm rate is shared over its looks."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from protocol.verification.alpha_spending import (
    SpendingFunction,
    honest_abort_probability,
    obrien_fleming_spending,
    per_block_rate,
    pocock_spending,
    spend,
)


def test_honest_session_aborts_with_9_5_percent_when_each_of_1e5_blocks_has_1e_6() -> None:
    assert honest_abort_probability(1e-6, 100_000) == pytest.approx(0.095, rel=0.003)


def test_block_rate_gives_back_the_sessions() -> None:
    rate = per_block_rate(1e-6, 100_000)
    assert rate == pytest.approx(1e-11, rel=1e-5)
    assert honest_abort_probability(rate, 100_000) == pytest.approx(1e-6)


@pytest.mark.parametrize("spending", [pocock_spending, obrien_fleming_spending])
def test_all_looks_together_spend_alpha(spending: SpendingFunction) -> None:
    rates = spend(spending, np.linspace(0.05, 1, 20), 0.01)
    assert rates.sum() == pytest.approx(0.01)
    assert (rates > 0).all()


def test_pocock_spends_early_and_obrien_fleming_late() -> None:
    shares = np.array([0.5, 1.0])
    early, late = spend(pocock_spending, shares, 0.05), spend(obrien_fleming_spending, shares, 0.05)
    assert early[0] == pytest.approx(0.05 * math.log(1 + (math.e - 1) / 2))
    # 2 - 2 Phi(1.960 sqrt 2), by a table of the normal law.
    assert late[0] == pytest.approx(0.00557, rel=0.01)
    assert obrien_fleming_spending(0.0, 0.05) == 0.0


@pytest.mark.parametrize("shares", [[], [0.5, 0.5], [0.5, 1.1], [math.nan]])
def test_shares_that_do_not_grow_are_refused(shares: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="grow"):
        spend(pocock_spending, np.array(shares), 0.05)


def test_rates_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="alpha"):
        per_block_rate(1.0, 10)
    with pytest.raises(ConfigurationError, match="blocks"):
        honest_abort_probability(0.1, 0)
