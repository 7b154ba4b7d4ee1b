"""Simulated time beside a wall clock that the test moves."""

import math

import pytest

from drivers.errors import ConfigurationError
from sim_backend.scene.clock import SimulatedClock
from sim_backend.wire.pace import Pace


class _Wall:
    """A wall clock that stands where it was put."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def _pace(speed: float = 1.0) -> tuple[Pace, SimulatedClock, _Wall]:
    clock, wall = SimulatedClock(now=5.0), _Wall()
    return Pace(clock, speed, wall=wall), clock, wall


def test_tick_moves_the_clock_by_speed_times_wall_time() -> None:
    pace, clock, wall = _pace(speed=20.0)
    wall.now_s += 0.01
    assert pace.tick() == pytest.approx(0.2)
    assert clock.now() == pytest.approx(5.2)
    wall.now_s += 0.02
    pace.tick()
    pace.tick()
    assert clock.now() == pytest.approx(5.6)


def test_tick_counts_no_more_than_its_longest_step_when_the_process_stood_still() -> None:
    pace, clock, wall = _pace(speed=2.0)
    wall.now_s += 3600.0
    assert pace.tick() == pytest.approx(2.0 * 0.05)
    wall.now_s += 0.01
    assert pace.tick() == pytest.approx(0.02)
    assert clock.now() == pytest.approx(5.12)


def test_clock_stands_when_the_wall_clock_runs_backwards() -> None:
    pace, clock, wall = _pace()
    wall.now_s -= 10.0
    assert pace.tick() == 0.0
    assert clock.now() == 5.0
    wall.now_s += 0.03
    assert pace.tick() == pytest.approx(0.03)


def test_paused_leaves_out_the_wall_time_of_its_block() -> None:
    pace, clock, wall = _pace()
    with pace.paused():
        wall.now_s += 0.04
        clock.advance(2e-6)  # what a shot does
    wall.now_s += 0.01
    pace.tick()
    assert clock.now() == pytest.approx(5.0 + 2e-6 + 0.01, abs=1e-9)


def test_paused_leaves_out_the_wall_time_when_its_block_fails() -> None:
    pace, clock, wall = _pace()

    def failing_shot() -> None:
        with pace.paused():
            wall.now_s += 0.04
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing_shot()
    pace.tick()
    assert clock.now() == 5.0


def test_wall_time_until_a_moment_follows_from_the_speed() -> None:
    pace, _, _ = _pace(speed=4.0)
    assert pace.wall_s_until(7.0) == pytest.approx(0.5)
    assert pace.wall_s_until(4.0) == 0.0


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf], ids=str)
def test_pace_is_refused_when_its_speed_is_no_finite_number_above_zero(speed: float) -> None:
    with pytest.raises(ConfigurationError, match="speed is"):
        Pace(SimulatedClock(), speed)


def test_pace_is_refused_when_its_longest_step_is_nothing() -> None:
    with pytest.raises(ConfigurationError, match="longest_step_s is 0"):
        Pace(SimulatedClock(), longest_step_s=0.0)
