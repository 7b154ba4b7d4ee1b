"""The pooled shot-noise unit, and when it has moved too far."""

import numpy as np
import pytest

from drivers.errors import TraceError
from drivers.optics.running_scale import RunningScale
from drivers.optics.shot_noise import ShotNoise

CALIBRATED = 2e-5


def burst(shot: float, slots: int = 4000) -> ShotNoise:
    return ShotNoise(
        vacuum=shot,
        vacuum_parts=(shot, shot),
        electronic=0.0,
        shot=shot,
        uncertainty=shot * slots**-0.5,
        vacuum_slots=slots,
        leak=0j,
    )


def test_scale_is_the_calibration_before_any_burst() -> None:
    scale = RunningScale(CALIBRATED, relative_uncertainty=0.01)
    assert scale.shot_noise_v2 == pytest.approx(CALIBRATED)
    assert scale.relative_uncertainty == pytest.approx(0.01)


def test_scale_is_the_weighted_mean_of_calibration_and_bursts() -> None:
    # The calibration at 1 % weighs as much as 10,000 vacuum slots.
    scale = RunningScale(CALIBRATED, relative_uncertainty=0.01)
    factor = scale.factor(burst(1.02 * CALIBRATED, 10_000))
    assert scale.shot_noise_v2 == pytest.approx(1.01 * CALIBRATED)
    assert factor == pytest.approx((1.02 / 1.01) ** 0.5)
    assert scale.relative_uncertainty == pytest.approx(0.01 / 2**0.5)


def test_scale_forgets_old_bursts_and_all_of_them_when_told() -> None:
    scale = RunningScale(CALIBRATED, relative_uncertainty=0.1, bursts=2)
    scale.factor(burst(9 * CALIBRATED, 1_000_000))
    for _ in range(2):
        scale.factor(burst(CALIBRATED, 1_000_000))
    assert scale.shot_noise_v2 == pytest.approx(CALIBRATED, rel=1e-3)
    scale.factor(burst(3 * CALIBRATED, 1_000_000))
    scale.forget()
    assert scale.shot_noise_v2 == pytest.approx(CALIBRATED)


@pytest.mark.parametrize("share", [0.8, 1.2, float("nan")], ids=["low", "high", "nan"])
def test_check_refuses_a_burst_at_once_when_the_step_is_large(share: float) -> None:
    scale = RunningScale(CALIBRATED, instrument="detector")
    with pytest.raises(TraceError, match=r"detector: shot noise is .* over the last 1 bursts"):
        scale.check(burst(share * CALIBRATED))


def test_check_passes_a_burst_when_chance_explains_its_deviation() -> None:
    # Six standard deviations of 4000 slots are 9.5 % of what is measured; 1 % comes to it.
    for share, beyond in ((0.92, 0.89), (1.08, 1.12)):
        scale = RunningScale(CALIBRATED)
        scale.check(burst(share * CALIBRATED))
        with pytest.raises(TraceError, match="over the last 1 bursts"):
            scale.check(burst(beyond * CALIBRATED))


def refused_after(
    scale: RunningScale, share: float, slots: int, rng: np.random.Generator, most: int
) -> int | None:
    """How many bursts of this share of the calibration it takes; None where none is refused."""
    for count in range(1, most + 1):
        found = burst(share * CALIBRATED * (1 + rng.standard_normal() * slots**-0.5), slots)
        try:
            scale.check(found)
        except TraceError:
            return count
        scale.factor(found)
    return None


def test_check_finds_2_percent_when_enough_bursts_agree() -> None:
    rng = np.random.default_rng(4)
    scale, slots = RunningScale(CALIBRATED), 8000
    for _ in range(64):
        scale.factor(burst(CALIBRATED, slots))
    count = refused_after(scale, 0.98, slots, rng, 100)
    assert count is not None
    assert 8 <= count <= 64


def test_check_raises_no_alarm_when_only_the_calibration_is_off_by_a_little() -> None:
    # 2000 bursts of chance and a calibration that is half a per cent off: 5 windows of six
    # standard deviations each, 2e-9 apiece and correlated.
    rng = np.random.default_rng(5)
    scale = RunningScale(CALIBRATED)
    assert refused_after(scale, 1.005, 4000, rng, 2000) is None
    # It did look: 3 % are found with as few slots.
    assert refused_after(scale, 1.03, 4000, rng, 100) is not None
