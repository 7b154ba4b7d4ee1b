"""The phase shifter of an oscillator, and the scene with one in each."""

import cmath
import math
from dataclasses import replace

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.scene.light import Light
from sim_backend.scene.path import FrequencyShifterSettings
from sim_backend.scene.phase_shifter import PhaseShifter, PhaseShifterSettings
from sim_backend.scene.reference import ReferenceScene
from sim_backend.scene.reference_settings import ReferenceSettings
from tests.homodyne_bench import homodyne_scene

EXACT = PhaseShifterSettings(half_wave_v=4.0, insertion_loss_db=3.0, error_rad=0.0)


def shifter(
    settings: PhaseShifterSettings = EXACT, clock: SimulatedClock | None = None
) -> PhaseShifter:
    return PhaseShifter(settings, rng=np.random.default_rng(1), clock=clock)


def test_phase_is_proportional_to_the_voltage_and_the_loss_is_the_data_sheets() -> None:
    part = shifter()
    part.set_voltages(np.array([3.0]))
    passed = part.block(Light(field=np.full(4, 2.0, dtype=np.complex64))).field
    assert cmath.phase(complex(passed[0])) == pytest.approx(0.75 * math.pi, abs=1e-6)
    assert abs(passed[0]) == pytest.approx(2 * 10 ** (-3 / 20), rel=1e-6)
    assert part.transmission() == pytest.approx(10**-0.3)
    assert part.voltages().tolist() == [3.0]


def test_phase_settles_with_its_time_constant_when_there_is_a_clock() -> None:
    clock = SimulatedClock()
    part = shifter(replace(EXACT, settling_s=1e-3), clock)
    part.set_voltages(np.array([4.0]))
    clock.advance(1e-3)
    assert part.phase_rad() == pytest.approx(math.pi * (1 - math.exp(-1)))


def test_every_setting_has_an_error_of_its_own() -> None:
    part = shifter(replace(EXACT, error_rad=0.01))
    seen = []
    for _ in range(400):
        part.set_voltages(np.array([2.0]))
        seen.append(part.phase_rad() - math.pi / 2)
    # 400 values: the standard deviation is known to 3.5 %, six of its deviations are 21 %.
    assert abs(float(np.std(seen)) / 0.01 - 1) < 0.21


@pytest.mark.parametrize("volts", [[1.0, 2.0], [math.nan], [math.inf]])
def test_voltages_are_refused_when_they_are_not_one_number(volts: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="one finite voltage"):
        shifter().set_voltages(np.array(volts))


@pytest.mark.parametrize(
    "changes",
    [{"oscillators": "own"}, {"client_shifter": FrequencyShifterSettings(shift_hz=1e6)}],
    ids=["own", "shifted"],
)
def test_homodyne_settings_are_refused_when_light_and_oscillator_differ(
    changes: dict[str, object],
) -> None:
    with pytest.raises(ConfigurationError, match="shared oscillators and shifts of 0 Hz"):
        replace(homodyne_scene(), **changes)  # type: ignore[arg-type]


def test_detection_is_refused_when_it_is_unknown() -> None:
    with pytest.raises(ConfigurationError, match="detection is 'direct'"):
        ReferenceSettings(detection="direct")  # type: ignore[arg-type]


@pytest.mark.parametrize("party", ["client", "server"])
def test_phase_shifter_takes_its_loss_from_the_oscillator_with_homodyne_alone(party: str) -> None:
    settings = homodyne_scene()
    powers = []
    for chosen in (settings, replace(settings, detection="heterodyne")):
        scene = ReferenceScene(chosen, seed=1)
        scene.server_laser.set_emission(True)
        scene.clock.advance(60.0)
        powers.append(scene.idle_power_w(f"{party}_oscillator"))
    assert powers[0] / powers[1] == pytest.approx(10**-0.1)
