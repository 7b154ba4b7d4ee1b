"""What repeated sweeps say together, and what one fine scan finds."""

import itertools
import math

import numpy as np
import pytest

from calibration.routines._sweeps import (
    NullScan,
    last_null,
    mean_of,
    places,
    scan_null,
    sweep,
)
from drivers.errors import CalibrationError
from drivers.instruments import Range


def still() -> float:
    return 0.0


def walk_of_scans(rng: np.random.Generator, *, gap: int, tail: int) -> tuple[list[NullScan], float]:
    """Scans over a null that walks by 1 mV per step; where it is `tail` steps after the last."""
    null = 0.0
    count = itertools.count()
    scans = []
    clock = 0.0

    def step() -> None:
        nonlocal null, clock
        null += 1e-3 * float(rng.standard_normal())
        clock = float(next(count))

    def read(volts: float) -> float:
        step()
        return 1e-9 + 1e-5 * (volts - null) ** 2

    for turn in range(8):
        volts = places(Range(lowest=-0.1, highest=0.1), 25, rng, downwards=turn % 2 == 1)
        scans.append(scan_null(volts, read, lambda: clock))
        for _ in range(gap):
            step()
    for _ in range(tail):
        step()
    return scans, null


@pytest.mark.parametrize(("gap", "tail"), [(0, 0), (10, 0), (0, 40)])
def test_last_null_holds_the_null_when_it_walks(gap: int, tail: int) -> None:
    rng = np.random.default_rng(3)
    hits, draws = 0, 300
    for _ in range(draws):
        scans, null = walk_of_scans(rng, gap=gap, tail=tail)
        low, high = last_null(scans, scans[-1].end_s + gap + tail).interval95
        hits += low <= null <= high
    # Student's law is near, not exact, for a sum of correlated squares: 95 % +- 2.5 % of bias and
    # 4 of 1.3 %, the seed fixed.
    assert 0.90 < hits / draws < 0.99


def test_last_null_widens_when_time_passes() -> None:
    scans, _ = walk_of_scans(np.random.default_rng(4), gap=0, tail=0)
    at_once = last_null(scans, scans[-1].end_s)
    later = last_null(scans, scans[-1].end_s + 1000.0)
    assert at_once.value == later.value
    assert later.uncertainty > 8 * at_once.uncertainty


def test_scan_null_finds_the_vertex_when_the_scan_is_off_centre() -> None:
    volts = np.linspace(0.2, 0.5, 15)
    found = scan_null(volts, lambda volt: 3e-9 + 2e-4 * (volt - 0.41) ** 2, still)
    assert found.null_v == pytest.approx(0.41, abs=1e-9)
    assert found.null_w == pytest.approx(3e-9, rel=1e-6)
    assert found.fitted_w == pytest.approx(found.power_w, rel=1e-6)


@pytest.mark.parametrize("null_v", [0.6, 0.1], ids=["above", "below"])
def test_scan_null_refuses_when_the_null_is_outside(null_v: float) -> None:
    volts = np.linspace(0.2, 0.5, 15)
    with pytest.raises(CalibrationError, match=r"no least power between 0\.2 V"):
        scan_null(volts, lambda volt: 3e-9 + 2e-4 * (volt - null_v) ** 2, still)


def test_scan_null_refuses_when_it_stands_on_a_peak() -> None:
    volts = np.linspace(-0.1, 0.1, 15)
    with pytest.raises(CalibrationError, match="lock the modulator"):
        scan_null(volts, lambda volt: 1e-3 - 2e-4 * volt**2, still)


def test_places_fill_the_range_once_per_part_when_drawn() -> None:
    within = Range(lowest=-5.0, highest=5.0)
    up = places(within, 10, np.random.default_rng(5), downwards=False)
    assert np.array_equal(np.floor(up), np.arange(-5, 5))
    down = places(within, 10, np.random.default_rng(5), downwards=True)
    assert np.array_equal(down, up[::-1])


def test_sweep_fits_the_transfer_when_readings_are_exact() -> None:
    volts = places(Range(lowest=-10.0, highest=10.0), 41, np.random.default_rng(6), downwards=True)
    found = sweep(
        volts, lambda volt: 1e-9 + 4e-5 * math.sin(math.pi * (volt - 0.7) / 8.4) ** 2, 1e-3
    )
    assert found.fit.v_pi_v.value == pytest.approx(4.2)
    assert found.fit.null_bias_v.value == pytest.approx(0.7)


def test_mean_of_has_the_error_of_the_mean_when_values_scatter() -> None:
    found = mean_of([1.0, 2.0, 3.0, 4.0])
    assert found.value == 2.5
    assert found.uncertainty == pytest.approx(math.sqrt(5 / 3) / 2)
    # Student's t for 3 degrees of freedom.
    assert found.interval95[1] == pytest.approx(2.5 + 3.18245 * found.uncertainty, rel=1e-5)
