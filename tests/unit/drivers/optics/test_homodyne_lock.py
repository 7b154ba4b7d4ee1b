"""The phase lock on a simulated phase shifter, the light being a number."""

import math
from dataclasses import replace

import pytest

from drivers.errors import ConfigurationError, PhaseError, TraceError
from drivers.instruments import PhaseDriverLimits, Range
from drivers.optics.homodyne_lock import SEARCHES, LockLimits, PhaseLock
from sim_backend.instruments.phase_driver import OSCILLATOR_PHASE_LIMITS
from sim_backend.instruments.simulated_bench import SimulatedBench
from sim_backend.scene.phase_shifter import PhaseShifter
from tests.homodyne_bench import homodyne_scene

V_PI = 4.0
AMPLITUDE_V = 0.3
KNOWN_V = 1e-4


class Light:
    """A light of some phase before a lock."""

    def __init__(
        self,
        phase_rad: float = 1.0,
        *,
        amplitude_v: float | None = AMPLITUDE_V,
        limits: LockLimits | None = None,
        driver_limits: PhaseDriverLimits = OSCILLATOR_PHASE_LIMITS,
    ) -> None:
        settings = homodyne_scene()
        exact = replace(settings.client_phase_shifter, error_rad=0.0, settling_s=0.0)
        bench = SimulatedBench(replace(settings, client_phase_shifter=exact), seed=1)
        driver = bench.oscillator_phase("client", "tap_phase", limits=driver_limits)
        driver.open()
        self.phase_rad = phase_rad
        self.shifter: PhaseShifter = bench.scene.client_phase_shifter
        self.lock = PhaseLock(driver, v_pi_v=V_PI, amplitude_v=amplitude_v, limits=limits)

    @property
    def mean_v(self) -> float:
        return AMPLITUDE_V * math.cos(self.phase_rad - self.shifter.phase_rad())

    def search(self, *, drift_rad: float = 0.0, known_v: float = KNOWN_V) -> None:
        for index in range(SEARCHES):
            self.lock.search(index)
            self.lock.take(index, self.mean_v, known_v)
            self.phase_rad += drift_rad


@pytest.mark.parametrize("phase_rad", [-3.0, -0.3, 0.0, 1.0, 3.1])
def test_lock_finds_x_and_p_whatever_the_phase_of_the_light(phase_rad: float) -> None:
    light = Light(phase_rad)
    light.search()
    assert light.lock.is_acquired
    assert light.lock.amplitude_v == pytest.approx(AMPLITUDE_V, rel=1e-6)
    light.lock.hold(on_p=False)
    assert light.mean_v == pytest.approx(AMPLITUDE_V, rel=1e-6)
    light.lock.hold(on_p=True)
    assert light.mean_v == pytest.approx(0.0, abs=1e-6)
    # The other quadrature lies a quarter turn ahead: light ahead of X shows there as positive.
    light.phase_rad += 0.1
    assert light.mean_v == pytest.approx(AMPLITUDE_V * math.sin(0.1), rel=1e-5)


def test_track_follows_the_light_by_its_gain() -> None:
    light = Light(limits=LockLimits(gain=0.75))
    light.search()
    light.phase_rad += 0.1
    light.lock.hold(on_p=True)
    assert light.lock.track(light.mean_v, KNOWN_V) == pytest.approx(0.1, abs=1e-6)
    light.lock.hold(on_p=True)
    assert light.lock.track(light.mean_v, KNOWN_V) == pytest.approx(0.025, abs=1e-6)
    assert light.lock.residual_rad == pytest.approx(math.sqrt((0.1**2 + 0.025**2) / 2), abs=1e-6)


def test_track_refuses_a_phase_that_moved_too_far() -> None:
    light = Light()
    light.search()
    light.phase_rad += 0.25
    light.lock.hold(on_p=True)
    with pytest.raises(PhaseError, match=r"tap_phase: .*moved by \+0\.250 rad .* too fast"):
        light.lock.track(light.mean_v, KNOWN_V)


def test_track_refuses_errors_that_are_too_large_together() -> None:
    light = Light(limits=LockLimits(largest_rms_rad=0.05, gain=0.01))
    light.search()
    light.phase_rad += 0.1
    for _ in range(15):
        light.lock.hold(on_p=True)
        light.lock.track(light.mean_v, KNOWN_V)
    with pytest.raises(PhaseError, match=r"held to 0\.\d+ rad only over the last 16 probes"):
        light.lock.track(light.mean_v, KNOWN_V)


def test_search_refuses_a_phase_that_moves_while_it_is_searched_for() -> None:
    with pytest.raises(PhaseError, match=r"over two probes of the search.*narrower laser"):
        Light().search(drift_rad=0.3)


@pytest.mark.parametrize("known_v", [0.02, math.nan])
def test_search_refuses_too_few_photons(known_v: float) -> None:
    light = Light()
    with pytest.raises(PhaseError, match="too few photons"):
        light.search(known_v=known_v)
    assert not light.lock.is_acquired


def test_track_refuses_too_few_photons() -> None:
    light = Light()
    light.search()
    with pytest.raises(PhaseError, match="too few photons"):
        light.lock.track(0.0, 0.02)


def test_search_refuses_pilots_that_are_not_as_calibrated() -> None:
    with pytest.raises(TraceError, match=r"-25\.0 % from its calibration"):
        Light(amplitude_v=AMPLITUDE_V / 0.75).search()


@pytest.mark.parametrize(("on_p", "moved_rad"), [(True, 0.25), (True, -0.3), (False, 0.9)])
def test_check_refuses_a_burst_at_another_phase(on_p: bool, moved_rad: float) -> None:
    light = Light()
    light.search()
    light.lock.hold(on_p=on_p)
    light.lock.check(light.mean_v, KNOWN_V, on_p=on_p)
    light.phase_rad += moved_rad
    with pytest.raises(PhaseError, match=r"too fast|pilots of a burst in X"):
        light.lock.check(light.mean_v, KNOWN_V, on_p=on_p)


def test_hold_refuses_when_the_phase_is_not_known() -> None:
    light = Light()
    with pytest.raises(PhaseError, match="acquire the lock first"):
        light.lock.hold(on_p=True)
    light.search()
    light.lock.forget()
    with pytest.raises(PhaseError, match="acquire the lock first"):
        light.lock.hold(on_p=False)


@pytest.mark.parametrize(
    "limits",
    [
        PhaseDriverLimits(channels=1, volts=Range(lowest=0.0, highest=7.9)),
        PhaseDriverLimits(channels=1, volts=Range(lowest=0.0, highest=5.0)),
    ],
    ids=["almost", "short"],
)
def test_lock_refuses_a_driver_that_does_not_reach_a_turn(limits: PhaseDriverLimits) -> None:
    with pytest.raises(ConfigurationError, match=r"2 V_pi = 8 V"):
        Light(driver_limits=limits)


@pytest.mark.parametrize(
    "changes",
    [{"largest_step_rad": 0.6}, {"largest_rms_rad": 0.0}, {"gain": 0.0}, {"gain": 1.1}],
    ids=["step", "rms", "none", "more"],
)
def test_limits_refuse_values_out_of_range(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(changes))):
        LockLimits(**changes)
