"""Both quadratures of a heterodyne record are alike."""

import pytest

from calibration.routines._stage import PARTIES
from tests.unit.calibration.routines.lit_bench import lit_bench, routine


def test_quadratures_are_equal_and_orthogonal_when_the_receiver_is_ideal() -> None:
    """Within 6 standard uncertainties, which are below 1 %."""
    bench = lit_bench(after=("polarisation",))
    result = bench.run(routine("quadratures"), {"slots": 4096})
    for party in PARTIES:
        for what in ("imbalance", "quadrature_error_rad"):
            found = result[f"{party}_{what}"]
            assert abs(found.value) < 6 * found.uncertainty
            assert 0 < found.uncertainty < 0.01
        assert result.fit_data[0].x.values.std() == pytest.approx(
            result.fit_data[0].measured.values.std(), rel=0.2
        )
