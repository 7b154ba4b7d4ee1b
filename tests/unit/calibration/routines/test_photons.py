"""Photons at launch are those of the scene; too little light is refused."""

import math

import pytest

from drivers.errors import CalibrationError
from sim_backend.scene.light import PHOTON_ENERGY_J
from tests.unit.calibration.routines.lit_bench import SHORT, TAP, lit_bench, routine


def test_photons_are_those_of_the_scene_when_the_meter_reads_one_percent_high() -> None:
    bench = lit_bench(after=("polarisation", "delay"))
    result = bench.run(routine("photons"), SHORT["photons"])
    settings = bench.scene.settings
    loss_db = settings.weight_modulator.insertion_loss_db + 1.0
    loss_db += result["attenuation_db"].value
    power_w = settings.server_laser.power_w * 0.99 * 10 ** (-loss_db / 10)
    # The simulated meter's own error is 1 %, the standard uncertainty that the routine is told.
    true = power_w / PHOTON_ENERGY_J / 100e6
    assert result["full_photons"].value == pytest.approx(1.01 * true, rel=2e-3)
    low, high = result["full_photons"].interval95
    assert low < true < high
    assert 0.85 < result["photons_ratio"].value < 1.15
    assert result["photons_ratio"].value == pytest.approx(
        result["full_photons_by_shot_noise"].value / result["full_photons"].value
    )


def test_photons_follow_the_wanted_pilots_when_these_change() -> None:
    bench = lit_bench(after=("polarisation", "delay"))
    attenuation_db = [
        bench.run(routine("photons"), {**SHORT["photons"], "pilot_photons": photons})[
            "attenuation_db"
        ].value
        for photons in (1000.0, 2000.0)
    ]
    assert attenuation_db[0] - attenuation_db[1] == pytest.approx(10 * math.log10(2), abs=0.02)


def test_photons_by_shot_noise_follow_the_path_when_its_loss_is_told_wrong() -> None:
    bench = lit_bench(after=("polarisation", "delay"))
    values = [
        bench.run(routine("photons"), {**SHORT["photons"], "tap_fraction": TAP * factor})[
            "full_photons_by_shot_noise"
        ].value
        for factor in (1.0, 0.5)
    ]
    assert values[1] / values[0] == pytest.approx(2.0, rel=0.03)


def test_photons_are_refused_when_pilots_need_more_than_there_is() -> None:
    bench = lit_bench(after=("polarisation", "delay"))
    with pytest.raises(CalibrationError, match="raise the laser's power or lower pilot_photons"):
        bench.run(routine("photons"), {**SHORT["photons"], "pilot_photons": 1e12})
