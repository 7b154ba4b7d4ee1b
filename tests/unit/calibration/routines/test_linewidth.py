"""Linewidths add up; the tracking's phase error follows them."""

from dataclasses import replace

import pytest

from calibration.routines import all_routines
from sim_backend.scene.fibre import FibreSettings
from sim_backend.scene.lasers import LaserSettings
from tests.unit.calibration.routines.lit_bench import lit_bench, routine, scene_settings


def _wide(laser: LaserSettings, linewidth_hz: float) -> LaserSettings:
    return replace(laser, linewidth_hz=linewidth_hz)


def test_linewidth_is_the_sum_of_both_lasers_when_oscillators_are_own() -> None:
    """Within 6 standard uncertainties of what is claimed."""
    settings = scene_settings()
    settings = replace(
        settings,
        server_laser=_wide(settings.server_laser, 20e3),
        client_oscillator_laser=_wide(settings.client_oscillator_laser, 40e3),
        server_oscillator_laser=_wide(settings.server_oscillator_laser, 5e3),
    )
    bench = lit_bench(settings, after=("polarisation", "delay"))
    result = bench.run(routine("linewidth"), {"slots": 16384, "symbols": 8192})
    for party, true in (("client", 60e3), ("server", 25e3)):
        found = result[f"{party}_linewidth_hz"]
        assert found.value == pytest.approx(true, abs=6 * found.uncertainty)
        assert found.uncertainty < 0.1 * true
    client = result["client_phase_variance_rad2"].value
    assert 2e-3 < result["server_phase_variance_rad2"].value < client < 0.02


def test_linewidth_is_none_when_light_and_oscillator_are_one_laser_at_one_place() -> None:
    spool = FibreSettings(length_m=0.0)
    settings = replace(
        scene_settings(), oscillators="shared", forward_fibre=spool, return_fibre=spool
    )
    bench = lit_bench(settings)
    shared = all_routines(shared_oscillators=True)
    bench.run(shared.get("polarisation"), {"slots": 512})
    bench.run(shared.get("delay"), {"symbols": 1024, "repetitions": 2})
    result = bench.run(shared.get("linewidth"), {"slots": 8192, "symbols": 4096})
    found = result["client_linewidth_hz"]
    assert found.interval95[0] == 0.0
    # Noise alone bends a phase of 82 us by less than a linewidth of 1 kHz would.
    assert found.interval95[1] < 1e3
    assert result.goodness is None
    beat = bench.run(shared.get("beat"), {"slots": 8192})["client_beat_hz"]
    assert beat.value == pytest.approx(200e6, abs=2e3)
