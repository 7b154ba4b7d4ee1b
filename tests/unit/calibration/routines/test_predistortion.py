"""The cubic share shows a wrong V_pi in sign and size."""

import pytest

from tests.unit.calibration.routines.lit_bench import lit_bench, routine


@pytest.mark.parametrize("error", [0.0, 0.05, -0.05], ids=["right", "high", "low"])
def test_predistortion_shows_a_wrong_v_pi_when_it_is_off(error: float) -> None:
    """sin(asin(l) (1 + e)) = l (1 + e sqrt(1 - l^2) asin(l)/l): bends down for e above 0.

    A fit of l + c l^3 to it between -1 and 1 gives c = -0.9 e for rectangular levels and less for
    pulses, which are mostly below their peak; uncertainties are 2e-3.
    """
    bench = lit_bench(after=("polarisation", "delay"), v_pi_error=error)
    result = bench.run(routine("predistortion"), {"symbols": 8192, "repetitions": 1})
    for name in ("weight_nonlinearity", "data_nonlinearity"):
        found = result[name]
        assert found.value == pytest.approx(-0.9 * error, abs=0.4 * abs(error) + 0.012), name
        assert found.uncertainty < 5e-3
