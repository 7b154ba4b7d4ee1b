"""Gains and transmittances are those of the scene; a pattern that does not show is refused."""

import math

import pytest

from calibration.result import Setting
from drivers.errors import CalibrationError
from sim_backend.scene import truth
from tests.unit.calibration.routines.lit_bench import TAP, lit_bench, routine
from tests.waveform_calibration import CalibrationBench

SETTINGS: dict[str, Setting] = {"tap_fraction": TAP, "symbols": 4096, "repetitions": 2}


@pytest.fixture(scope="module")
def bench() -> CalibrationBench:
    return lit_bench(after=("polarisation", "delay", "photons"))


def test_loss_finds_gains_and_transmittances_when_photons_are_known(
    bench: CalibrationBench,
) -> None:
    """Within 6 standard uncertainties of what is claimed, the tracking's 0.3 % allowed for."""
    result = bench.run(routine("loss"), SETTINGS)
    for switch in (bench.scene.client_switch, bench.scene.server_switch):
        switch.select("light")
    bench.bench.clock.advance(1.0)
    forward = truth.transmittance(bench.scene, "client") / TAP
    back = truth.transmittance(bench.scene, "server") / forward / (1 - TAP)
    expected = {
        "client_gain": math.sqrt(
            forward * TAP * truth.detection_efficiency(bench.scene, "client") / 2
        ),
        "return_gain": math.sqrt(
            forward * (1 - TAP) * back * truth.detection_efficiency(bench.scene, "server") / 2
        ),
        "forward_transmittance": forward,
        "return_transmittance": back,
    }
    for name, value in expected.items():
        found = result[name]
        assert found.value == pytest.approx(value, abs=6 * found.uncertainty + 3e-3 * value), name
        assert found.uncertainty < 0.05 * value
    assert result["client_gain_scatter"].value < result["client_gain"].uncertainty
    assert result.goodness is not None
    assert result.goodness.p_value > 1e-9


def test_loss_keeps_the_gains_when_the_tap_is_told_wrong(bench: CalibrationBench) -> None:
    right, wrong = (
        bench.run(routine("loss"), {**SETTINGS, "tap_fraction": tap}) for tap in (TAP, TAP / 2)
    )
    # Frequencies drift between the runs and the noise is drawn anew: five standard deviations.
    assert wrong["client_gain"].value == pytest.approx(right["client_gain"].value, rel=0.02)
    ratio = wrong["forward_transmittance"].value / right["forward_transmittance"].value
    assert ratio == pytest.approx(2.0, rel=0.04)


def test_loss_is_refused_when_the_pattern_is_lost_in_noise(bench: CalibrationBench) -> None:
    with pytest.raises(CalibrationError, match="raise test_photons"):
        bench.run(routine("loss"), {**SETTINGS, "test_photons": 1e-6})
