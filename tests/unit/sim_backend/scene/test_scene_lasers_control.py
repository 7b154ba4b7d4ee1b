"""Control of the simulated lasers: emission, settling, locks and refusals."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.lasers import LaserSettings, LaserSource
from tests.unit.sim_backend.scene.scene_helpers import rng, window


def _laser(**changes: float) -> tuple[LaserSource, SimulatedClock]:
    clock = SimulatedClock()
    values = {"power_w": 10e-3, "power_settling_s": 0.5, "frequency_drift_hz": 0.0}
    laser = LaserSource(LaserSettings(**(values | changes)), rng=rng(), clock=clock)
    laser.begin(window())
    return laser, clock


def test_laser_is_dark_when_emission_is_off() -> None:
    laser, _ = _laser()
    assert not laser.emission()
    assert laser.power_w() == 0.0
    assert not np.any(laser.block(100).field)
    assert not laser.is_settled()


def test_power_rises_with_its_time_constant_when_emission_is_switched_on() -> None:
    laser, clock = _laser()
    laser.set_emission(True)
    clock.advance(0.5)
    assert laser.power_w() == pytest.approx(10e-3 * (1 - math.exp(-1)))
    assert not laser.is_settled()
    clock.advance(10.0)
    assert laser.is_settled()
    assert laser.block(1000).mean_power_w() == pytest.approx(10e-3, rel=1e-3)


def test_light_stops_at_once_when_emission_is_switched_off() -> None:
    laser, clock = _laser()
    laser.set_emission(True)
    clock.advance(10.0)
    laser.set_emission(False)
    assert laser.power_w() == 0.0


def test_power_setpoint_is_kept_when_emission_is_off() -> None:
    laser, clock = _laser()
    laser.set_power_w(4e-3)
    assert laser.power_setpoint_w() == 4e-3
    laser.set_emission(True)
    clock.advance(10.0)
    assert laser.power_w() == pytest.approx(4e-3, rel=1e-6)


def test_wavelength_moves_with_its_time_constant() -> None:
    laser, clock = _laser(wavelength_settling_s=2.0)
    laser.set_wavelength_m(1551e-9)
    clock.advance(2.0)
    assert laser.wavelength_m() == pytest.approx(1550e-9 + 1e-9 * (1 - math.exp(-1)), abs=1e-15)
    assert laser.wavelength_setpoint_m() == 1551e-9


def test_laser_is_not_settled_while_wavelength_moves() -> None:
    laser, clock = _laser()
    laser.set_emission(True)
    clock.advance(100.0)
    laser.set_wavelength_m(1550.1e-9)
    assert not laser.is_settled()
    clock.advance(100.0)
    assert laser.is_settled()


def test_mode_hop_steps_frequency_and_loses_lock_until_tuned() -> None:
    laser, clock = _laser(mode_hop_hz=5e9)
    laser.set_emission(True)
    clock.advance(100.0)
    before = laser.frequency_hz()
    laser.force_mode_hop()
    assert abs(laser.frequency_hz() - before) == pytest.approx(5e9)
    assert not laser.is_locked()
    assert not laser.is_settled()
    laser.set_wavelength_m(laser.wavelength_setpoint_m())
    assert laser.is_locked()
    assert laser.frequency_hz() == pytest.approx(before, abs=1.0)


def test_light_carries_its_centre_frequency() -> None:
    laser, clock = _laser(wavelength_m=1549.9e-9)
    laser.set_emission(True)
    clock.advance(1.0)
    assert laser.block(8).carrier_hz == laser.frequency_hz() > 1e10


@pytest.mark.parametrize("power_w", [math.nan, -1e-3, math.inf], ids=str)
def test_laser_refuses_power_when_not_finite_and_positive(power_w: float) -> None:
    laser, _ = _laser()
    with pytest.raises(ConfigurationError, match="power"):
        laser.set_power_w(power_w)
    assert laser.power_setpoint_w() == 10e-3


@pytest.mark.parametrize("wavelength_m", [math.nan, 0.0, -1.0], ids=str)
def test_laser_refuses_wavelength_when_not_positive(wavelength_m: float) -> None:
    laser, _ = _laser()
    with pytest.raises(ConfigurationError, match="wavelength"):
        laser.set_wavelength_m(wavelength_m)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("power_w", -1.0),
        ("power_w", math.nan),
        ("wavelength_m", 1e-9),
        ("linewidth_hz", -1.0),
        ("intensity_noise_db_per_hz", 0.0),
        ("frequency_drift_time_s", 0.0),
        ("mode_hop_rate_per_s", math.inf),
    ],
)
def test_laser_settings_refuse_values_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        LaserSettings(**{name: value})
