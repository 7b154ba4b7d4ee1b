"""Clock, light, slow states, attenuator, switch, coupler and polarisation of the scene."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.light import PHOTON_ENERGY_J, Window, dark
from sim_backend.scene.path import (
    AttenuatorSettings,
    Coupler,
    LightSwitch,
    SwitchSettings,
    VariableAttenuator,
)
from sim_backend.scene.polarisation import (
    PolarisationController,
    PolarisationControllerSettings,
    PolarisationWalk,
    overlap,
    retarder,
)
from sim_backend.scene.slow import OrnsteinUhlenbeck, Settling
from sim_backend.scene.streaming import DelayLine, FieldFilter, OnePole, gaussian_taps
from tests.unit.sim_backend.scene.scene_helpers import assert_variance, rng, steady


def test_clock_tells_everyone_when_it_moves() -> None:
    clock = SimulatedClock(5.0)
    told: list[float] = []
    clock.on_advance(told.append)
    clock.sleep(2.0)
    clock.advance(0.5)
    assert clock.now() == 7.5
    assert told == [2.0, 0.5]


@pytest.mark.parametrize("duration_s", [-1.0, math.nan, math.inf], ids=str)
def test_clock_refuses_to_go_back(duration_s: float) -> None:
    clock = SimulatedClock()
    with pytest.raises(ConfigurationError, match="advance"):
        clock.advance(duration_s)
    assert clock.now() == 0.0


def test_light_power_is_flux_times_photon_energy() -> None:
    assert steady(1e8j, 3).mean_power_w() == pytest.approx(1e16 * PHOTON_ENERGY_J)
    assert dark(3).mean_power_w() == 0.0
    assert dark(0).mean_power_w() == 0.0
    # h c/lambda at 1550 nm is 0.7999 eV.
    assert pytest.approx(0.7999 * 1.602177e-19, rel=1e-4) == PHOTON_ENERGY_J


def test_window_refuses_rate_of_zero_and_negative_length() -> None:
    with pytest.raises(ConfigurationError, match="rate"):
        Window(start_s=0.0, rate_hz=0.0, samples=1)
    with pytest.raises(ConfigurationError, match="samples"):
        Window(start_s=0.0, rate_hz=1.0, samples=-1)


def test_settling_starts_from_where_it_is_when_target_changes() -> None:
    clock = SimulatedClock()
    state = Settling(0.0, time_constant_s=1.0, clock=clock)
    state.set(1.0)
    clock.advance(1.0)
    halfway = state.value()
    state.set(0.0)
    assert state.value() == pytest.approx(halfway)
    clock.advance(2.0)
    assert state.value() == pytest.approx(halfway * math.exp(-2))


def test_drift_keeps_correlation_over_its_time() -> None:
    """Two steps of half the time equal one: exp(-1) of the start is left on average (z < 7.8)."""
    kept = []
    for seed in range(3000):
        drift = OrnsteinUhlenbeck(1.0, 10.0, rng(seed))
        drift.value = 3.0
        drift.age(5.0)
        drift.age(5.0)
        kept.append(drift.value)
    assert_variance(np.array(kept), 1 - math.exp(-2))
    spread = math.sqrt((1 - math.exp(-2)) / 3000)
    assert abs(np.mean(kept) - 3 * math.exp(-1)) < 7.8 * spread


def _attenuator(**changes: float) -> tuple[VariableAttenuator, SimulatedClock]:
    clock = SimulatedClock()
    return VariableAttenuator(AttenuatorSettings(**changes), clock=clock), clock


def test_attenuator_starts_closed_at_highest() -> None:
    attenuator, _ = _attenuator(insertion_loss_db=1.0, highest_db=60.0, shutter_isolation_db=50.0)
    assert attenuator.transmission() == pytest.approx(10**-11.1)


def test_attenuator_settles_in_decibels() -> None:
    attenuator, clock = _attenuator(
        insertion_loss_db=0.0, highest_db=60.0, settling_s=0.1, error_db=0.2
    )
    attenuator.shutter_open = True
    attenuator.set_attenuation_db(10.0)
    clock.advance(0.1)
    decibels = 10 + 50 * math.exp(-1)
    assert attenuator.attenuation_db() == pytest.approx(decibels)
    power = attenuator.block(steady(1.0, 2)).field.real ** 2
    assert power == pytest.approx(10 ** (-(decibels + 0.2) / 10), rel=1e-5)


@pytest.mark.parametrize("attenuation_db", [-0.1, 60.1, math.nan], ids=str)
def test_attenuator_refuses_when_out_of_range(attenuation_db: float) -> None:
    attenuator, _ = _attenuator(highest_db=60.0)
    with pytest.raises(ConfigurationError, match="attenuator"):
        attenuator.set_attenuation_db(attenuation_db)


def test_switch_blocks_with_its_isolation() -> None:
    switch = LightSwitch(SwitchSettings(insertion_loss_db=1.0, isolation_db=40.0))
    assert switch.selected() == "light"
    assert switch.transmission() == pytest.approx(10**-0.1)
    switch.select("blocked")
    assert switch.selected() == "blocked"
    assert abs(switch.block(steady(1.0, 1)).field[0]) == pytest.approx(10**-2.05)


def test_switch_takes_its_settling_time() -> None:
    clock = SimulatedClock()
    switch = LightSwitch(
        SwitchSettings(insertion_loss_db=0.0, isolation_db=200.0, settling_s=1.0), clock=clock
    )
    switch.select("blocked")
    clock.advance(1.0)
    assert switch.transmission() == pytest.approx(math.exp(-2))


def test_switch_refuses_unknown_position() -> None:
    with pytest.raises(ConfigurationError, match="'open'"):
        LightSwitch(SwitchSettings()).select("open")


@pytest.mark.parametrize("tap", [-0.1, 1.1, math.nan], ids=str)
def test_coupler_refuses_tap_when_not_a_fraction(tap: float) -> None:
    with pytest.raises(ConfigurationError, match="tap"):
        Coupler(tap)


def test_coupler_excess_loss_hits_both_ports() -> None:
    coupler = Coupler(0.25, excess_loss_db=3.0)
    assert coupler.transmission() == pytest.approx(0.75 * 10**-0.3)
    assert coupler.tap_transmission() == pytest.approx(0.25 * 10**-0.3)


def test_retarder_is_unitary_and_turns_about_its_axis() -> None:
    matrix = retarder(1.2, 0.3)
    assert np.allclose(matrix.conj().T @ matrix, np.eye(2))
    fast = np.array([math.cos(0.3), math.sin(0.3)], dtype=np.complex128)
    assert np.angle(overlap(fast, matrix @ fast)) == pytest.approx(-0.6)


def test_controller_undoes_any_fibre_with_some_angles() -> None:
    """Three waves in a row reach every polarisation: search finds full overlap."""
    from scipy.optimize import minimize

    fibre = PolarisationWalk(0.0, rng(5), scrambled=True)
    controller = PolarisationController(PolarisationControllerSettings(channels=3))
    wanted = np.array([1.0, 0.0], dtype=np.complex128)

    def loss(angles: np.ndarray) -> float:
        controller.set_angles(angles)
        return 1 - abs(overlap(wanted, controller.matrix() @ fibre.matrix @ wanted)) ** 2

    assert loss(np.zeros(3)) > 0.1
    found = min(
        float(minimize(loss, start, method="Nelder-Mead").fun)
        for start in (np.full(3, 0.5), np.full(3, 2.0), np.full(3, -2.0))
    )
    assert found < 1e-6


def test_controller_rotates_light_and_keeps_its_angles() -> None:
    controller = PolarisationController(
        PolarisationControllerSettings(channels=2, insertion_loss_db=0.0)
    )
    angles = np.array([0.4, math.pi])
    controller.set_angles(angles)
    angles[0] = 9.0
    assert controller.angles() == pytest.approx([0.4, math.pi])
    turned = controller.block(steady(1.0, 3))
    # A half-wave plate at 45 degrees turns horizontal into vertical.
    assert abs(turned.jones) == pytest.approx([0.0, 1.0], abs=1e-12)


@pytest.mark.parametrize("angles", [[0.0], [0.0, math.nan], [0.0, 0.0, 0.0]], ids=str)
def test_controller_refuses_angles_of_wrong_shape_or_nan(angles: list[float]) -> None:
    controller = PolarisationController(PolarisationControllerSettings(channels=2))
    with pytest.raises(ConfigurationError, match="angles"):
        controller.set_angles(np.array(angles))


def test_polarisation_walk_stays_unitary() -> None:
    walk = PolarisationWalk(0.3, rng(), scrambled=True)
    for _ in range(500):
        walk.age(1.0)
    assert np.allclose(walk.matrix.conj().T @ walk.matrix, np.eye(2), atol=1e-12)


def test_one_pole_starts_in_steady_state() -> None:
    low_pass = OnePole(10e6)
    low_pass.begin(800e6, 2.0)
    assert low_pass.block(np.full(5, 2.0, dtype=np.float32)) == pytest.approx(2.0, rel=1e-6)


def test_streaming_filters_give_same_result_when_blocks_change_size() -> None:
    values = rng().standard_normal(500, dtype=np.float32)
    for make in (lambda: OnePole(40e6), lambda: FieldFilter(gaussian_taps(100e6, 800e6))):
        results = []
        for cuts in ([], [1, 2, 77, 300]):
            filtered = make()
            if isinstance(filtered, OnePole):
                filtered.begin(800e6)
            parts = [filtered.block(part) for part in np.split(values, cuts)]
            results.append(np.concatenate(parts))
        assert np.allclose(results[0], results[1], atol=1e-6)
        assert not np.allclose(results[0], values, atol=0.1)


def test_delay_line_returns_light_after_its_samples() -> None:
    line = DelayLine(5)
    sent = np.arange(1, 13).astype(np.complex64)
    received = np.concatenate([line.block(part) for part in np.split(sent, [2, 9])])
    assert np.array_equal(received, np.concatenate((np.zeros(5), sent[:7])))


def test_delay_line_refuses_negative_delay() -> None:
    with pytest.raises(ConfigurationError, match="-1"):
        DelayLine(-1)
