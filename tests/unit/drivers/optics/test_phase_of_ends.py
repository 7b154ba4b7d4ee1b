"""What a server's optics on instruments say of the phase that their tracking leaves."""

from dataclasses import replace

import pytest

from drivers.backend import OpticalLink, ServerOpticsInfo
from drivers.errors import ConfigurationError
from drivers.optics.bench_link import BenchLink
from drivers.optics.homodyne_link import HomodyneLink
from tests.homodyne_bench import open_homodyne_bench
from tests.waveform_bench import open_bench

UNSURE_RAD2 = 3e-4


def told(link: OpticalLink) -> ServerOpticsInfo:
    """By a link that knows its phase variance to `UNSURE_RAD2`."""
    assert isinstance(link, BenchLink | HomodyneLink)
    values = link.server._values
    link.server._values = replace(values, phase_variance_uncertainty_rad2=UNSURE_RAD2)
    return link.server.describe()


def test_homodyne_end_says_that_a_data_vector_has_one_phase_error() -> None:
    info = told(open_homodyne_bench(calibration_samples=1 << 16).link)
    assert info.phase_error_per_input
    assert info.phase_variance_uncertainty_rad2 == UNSURE_RAD2


def test_heterodyne_end_says_that_its_phase_is_tracked_within_a_data_vector() -> None:
    info = told(open_bench(calibration_samples=1 << 16).link)
    assert not info.phase_error_per_input
    assert info.phase_variance_uncertainty_rad2 == UNSURE_RAD2


def test_optics_refuse_an_uncertainty_below_zero() -> None:
    info = open_homodyne_bench(calibration_samples=1 << 16).link.server.describe()
    with pytest.raises(ConfigurationError, match="phase_variance_uncertainty_rad2"):
        replace(info, phase_variance_uncertainty_rad2=-1e-6)
