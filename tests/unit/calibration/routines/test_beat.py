"""Beats have the sign of the scene; a beat that is not there is refused."""

from dataclasses import replace

import pytest

from calibration.routines import all_routines
from drivers.errors import CalibrationError
from sim_backend.scene.reference_settings import wavelength_at_offset_m
from tests.unit.calibration.routines.lit_bench import lit_bench, routine, scene_settings


@pytest.mark.parametrize("offset_hz", [-200e6, 200e6], ids=["below", "above"])
def test_beat_has_the_sign_of_light_minus_oscillator_when_it_lies(offset_hz: float) -> None:
    """Both lasers drift by 1 MHz root mean square: 10 MHz are seven standard deviations."""
    settings = scene_settings()
    tuned = replace(
        settings.client_oscillator_laser, wavelength_m=wavelength_at_offset_m(offset_hz)
    )
    bench = lit_bench(replace(settings, client_oscillator_laser=tuned), after=("polarisation",))
    result = bench.run(routine("beat"), {"slots": 4096})
    assert result["client_beat_hz"].value == pytest.approx(-offset_hz, abs=10e6)
    assert result["server_beat_hz"].value == pytest.approx(200e6, abs=10e6)
    assert result["client_beat_error_hz"].value == result["client_beat_hz"].value - 200e6


def test_beat_leaves_the_oscillator_where_it_was_when_it_has_found_the_sign() -> None:
    bench = lit_bench(after=("polarisation",))
    before_m = bench.scene.client_oscillator_laser.wavelength_setpoint_m()
    bench.run(routine("beat"), {"slots": 4096})
    after_m = bench.scene.client_oscillator_laser.wavelength_setpoint_m()
    assert after_m == pytest.approx(before_m, rel=1e-12)


def test_beat_is_refused_when_the_oscillator_does_not_move_it() -> None:
    bench = lit_bench(after=("polarisation",))
    with pytest.raises(CalibrationError, match="must move by that much"):
        # Mirrored at half the sample rate, a step this large does not move the beat by itself.
        bench.run(routine("beat"), {"slots": 4096, "sign_step_hz": 500e6})


def test_beat_takes_the_agreed_sign_when_the_oscillators_are_shared() -> None:
    settings = replace(scene_settings(), oscillators="shared")
    bench = lit_bench(settings)
    shared = all_routines(shared_oscillators=True)
    bench.run(shared.get("polarisation"), {"slots": 512})
    result = bench.run(shared.get("beat"), {"slots": 4096})
    # One laser and two shifters: only the delays between them let the phase walk.
    assert result["client_beat_hz"].value == pytest.approx(200e6, abs=50e3)
