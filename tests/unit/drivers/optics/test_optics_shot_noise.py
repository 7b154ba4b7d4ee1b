"""Shot-noise units: variances against their definition, and every refusal.

Statistical limits are six standard deviations (2e-9 each), seeds fixed.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import OpticsError, TraceError
from drivers.optics.shot_noise import check_shot_noise, measure_shot_noise, pool_shot_noise

ELECTRONIC = 1e-5


def normal(variance: float, slots: int, seed: int) -> NDArray[np.complex64]:
    rng = np.random.default_rng(seed)
    both = rng.standard_normal(slots) + 1j * rng.standard_normal(slots)
    return np.asarray(np.sqrt(variance) * both, dtype=np.complex64)


def test_shot_noise_is_vacuum_less_dark_when_dark_slots_are_given() -> None:
    vacuum, dark = normal(1.1e-4, 20_000, 1), normal(ELECTRONIC, 5000, 2)
    noise = measure_shot_noise(vacuum, dark=dark)
    assert noise.shot == pytest.approx(1e-4, abs=6 * noise.uncertainty)
    # Two values per slot, var(s^2) = 2 s^4 / n for each.
    wanted = np.sqrt((1.1e-4) ** 2 / 20_000 + ELECTRONIC**2 / 5000)
    assert noise.uncertainty == pytest.approx(wanted, rel=0.05)
    assert noise.shot == pytest.approx(noise.vacuum - noise.electronic, rel=1e-12)
    assert noise.vacuum_parts[0] == pytest.approx(np.var(vacuum.real, ddof=1), rel=1e-5)
    assert noise.vacuum_parts[1] == pytest.approx(np.var(vacuum.imag, ddof=1), rel=1e-5)
    assert noise.electronic_snu == pytest.approx(0.1, rel=0.1)
    assert noise.clearance_db == pytest.approx(10 * np.log10(11), abs=0.3)
    assert noise.relative_uncertainty == noise.uncertainty / noise.shot


@pytest.mark.parametrize("dark_slots", [0, 30], ids=["calibrated", "dark"])
def test_uncertainty_is_the_spread_of_repeated_measurements(dark_slots: int) -> None:
    # 30 slots of a tenth of the noise know less than 3000 of the whole: about the same share.
    found = [
        measure_shot_noise(normal(11e-4, 3000, seed), dark=normal(1e-4, dark_slots, seed + 1000))
        if dark_slots
        else measure_shot_noise(normal(1.1e-4, 300, seed), electronic_noise=ELECTRONIC)
        for seed in range(400)
    ]
    spread = float(np.std([one.shot for one in found]))
    stated = float(np.mean([one.uncertainty for one in found]))
    # Spread of 400 draws: 3.5 % of itself; without the dark slots' share it were 30 % off.
    assert spread == pytest.approx(stated, rel=0.22)


def test_leaked_light_is_not_counted_as_noise() -> None:
    vacuum = normal(1e-4, 50_000, 3) + np.complex64(0.01 - 0.005j)
    noise = measure_shot_noise(vacuum, electronic_noise=0.0)
    assert noise.shot == pytest.approx(1e-4, abs=6 * noise.uncertainty)
    assert noise.leak == pytest.approx(1.0 - 0.5j, abs=0.04)
    assert noise.clearance_db == float("inf")


def test_measurement_refuses_when_the_oscillator_is_lost() -> None:
    with pytest.raises(TraceError, match="client detector: oscillator lost"):
        measure_shot_noise(
            normal(ELECTRONIC, 4000, 4), electronic_noise=ELECTRONIC, instrument="client detector"
        )
    with pytest.raises(TraceError, match="oscillator lost"):
        measure_shot_noise(normal(ELECTRONIC, 4000, 5), dark=normal(ELECTRONIC, 4000, 6))


def test_check_refuses_when_the_oscillator_is_two_percent_low() -> None:
    low = measure_shot_noise(normal(0.98e-4, 120_000, 7), electronic_noise=0.0)
    with pytest.raises(TraceError, match=r"shot noise is -[12]\.\d\d % from its calibration"):
        check_shot_noise([low], 1e-4)
    same = measure_shot_noise(normal(1e-4, 120_000, 8), electronic_noise=0.0)
    assert abs(check_shot_noise([same], 1e-4)) < 6 / np.sqrt(120_000)


def test_check_needs_pooled_records_when_one_holds_too_few_slots() -> None:
    records = [
        measure_shot_noise(normal(0.98e-4, 12_000, 20 + seed), electronic_noise=0.0)
        for seed in range(10)
    ]
    check_shot_noise(records[:1], 1e-4)
    with pytest.raises(TraceError, match="calibrate again"):
        check_shot_noise(records, 1e-4)
    shot, uncertainty = pool_shot_noise(records)
    assert shot == pytest.approx(np.mean([one.shot for one in records]), rel=1e-12)
    assert uncertainty == pytest.approx(records[0].uncertainty / np.sqrt(10), rel=0.05)


def test_measurement_refuses_when_the_question_is_wrong() -> None:
    vacuum = normal(1e-4, 10, 9)
    with pytest.raises(OpticsError, match="one of both"):
        measure_shot_noise(vacuum)
    with pytest.raises(OpticsError, match="one of both"):
        measure_shot_noise(vacuum, dark=vacuum, electronic_noise=0.0)
    with pytest.raises(OpticsError, match="at least 2"):
        measure_shot_noise(vacuum[:1], electronic_noise=0.0)
    with pytest.raises(OpticsError, match="electronic noise is nan"):
        measure_shot_noise(vacuum, electronic_noise=float("nan"))
    with pytest.raises(OpticsError, match="at least one"):
        pool_shot_noise([])
    good = measure_shot_noise(normal(1e-4, 1000, 10), electronic_noise=0.0)
    with pytest.raises(OpticsError, match="must be positive"):
        check_shot_noise([good], float("nan"))
