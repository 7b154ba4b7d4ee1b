"""Delays and clocks come out as the scene has them, and are refused when nothing shows."""

from dataclasses import replace

import pytest

from drivers.errors import CalibrationError
from sim_backend.scene import truth
from tests.unit.calibration.routines.lit_bench import SHORT, lit_bench, routine, scene_settings


def test_delay_finds_times_and_clocks_when_the_client_has_a_clock_of_its_own() -> None:
    """Jitter of 20 ps in three bursts: 0.15 ns are thirteen standard deviations."""
    settings = scene_settings()
    settings = replace(
        settings,
        client_adc=replace(settings.client_adc, clock_offset_ppm=30.0),
        data_dac=replace(settings.data_dac, clock_offset_ppm=30.0),
    )
    bench = lit_bench(settings, after=("polarisation",))
    result = bench.run(routine("delay"), SHORT["delay"])
    assert result["forward_delay_s"].value == pytest.approx(
        truth.signal_delay_s(bench.scene, "client"), abs=0.15e-9
    )
    assert result["round_trip_delay_s"].value == pytest.approx(
        truth.signal_delay_s(bench.scene, "server"), abs=0.15e-9
    )
    assert result["oscillator_delay_s"].value == pytest.approx(0.0, abs=0.15e-9)
    assert result["client_clock_offset"].value == pytest.approx(30e-6, abs=5e-6)
    assert abs(result["server_clock_offset"].value) < 5e-6


def test_delay_is_refused_when_the_detector_shows_no_steps() -> None:
    settings = scene_settings()
    balanced = replace(settings.client_detector, common_mode_rejection_db=120.0)
    bench = lit_bench(replace(settings, client_detector=balanced), after=("polarisation",))
    with pytest.raises(CalibrationError, match="do not stand out of the client"):
        bench.run(routine("delay"), SHORT["delay"])


def test_delay_is_refused_when_the_record_ends_before_the_burst() -> None:
    bench = lit_bench(after=("polarisation",))
    with pytest.raises(CalibrationError, match=r"longest_delay_s = .* is not looked for"):
        bench.run(routine("delay"), {**SHORT["delay"], "longest_delay_s": 1e-7})
