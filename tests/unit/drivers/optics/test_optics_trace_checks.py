"""Traces that must be refused, each by its name, and honest ones that must not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.errors import OpticsError, TraceError
from drivers.optics.trace_checks import OFFSET_BLOCKS, TraceChecker

STEP = 1 / 2**11


def honest(samples: int = 200_000, seed: int = 1, spread: float = 1 / 6) -> NDArray[np.float32]:
    """Noise in a range of +-1 V at six standard deviations, in codes."""
    volts = spread * np.random.default_rng(seed).standard_normal(samples)
    return (np.round(volts / STEP) * STEP).astype(np.float32)


def check(volts: NDArray[np.float32], samples: int = 200_000) -> None:
    TraceChecker("server detector").check(volts, range_v=1.0, step_v=STEP, samples=samples)


def check_accepted(volts: NDArray[np.float32]) -> None:
    """The trace is taken, and known when it comes again."""
    checker = TraceChecker("server detector")
    checker.check(volts, range_v=1.0, step_v=STEP, samples=200_000)
    with pytest.raises(TraceError, match="the same, sample by sample"):
        checker.check(volts.copy(), range_v=1.0, step_v=STEP, samples=200_000)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("offset", [0.0, 0.5], ids=["on-steps", "between-steps"])
def test_checker_accepts_honest_noise(seed: int, offset: float) -> None:
    check_accepted(honest(seed=seed) + np.float32(offset * STEP))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_checker_refuses_when_a_sample_is_not_a_number(bad: float) -> None:
    volts = honest()
    volts[777] = bad
    with pytest.raises(TraceError, match=r"server detector: 1 of .* NaN or infinite.*at 777"):
        check(volts)


def test_checker_refuses_when_the_trace_is_short() -> None:
    with pytest.raises(TraceError, match="199999 samples; 200000 were asked"):
        check(honest()[:-1])


def test_checker_refuses_when_the_trace_is_constant() -> None:
    with pytest.raises(TraceError, match="all 200000 samples are"):
        check(np.full(200_000, 0.25, dtype=np.float32))


@pytest.mark.parametrize("sign", [-1, 1])
def test_checker_refuses_when_the_rails_are_hit(sign: int) -> None:
    volts = honest()
    volts[::5000] = sign * (1.0 if sign < 0 else 1.0 - STEP)
    with pytest.raises(TraceError, match="clipped: 40 of 200000"):
        check(volts)


def test_checker_accepts_when_one_honest_sample_is_at_the_rail() -> None:
    volts = honest()
    volts[5] = 1.0
    check_accepted(volts)


@pytest.mark.parametrize("sign", [-1, 1])
def test_checker_refuses_when_an_amplifier_saturates_before_the_rails(sign: int) -> None:
    # Three standard deviations: 270 samples pile up where each code before had a few.
    volts = sign * np.minimum(honest(), np.float32(0.5))
    with pytest.raises(TraceError, match=r"clipped: .* and none goes beyond"):
        check(volts)


def test_checker_accepts_when_the_highest_samples_thin_out_with_bright_pulses() -> None:
    volts = honest(spread=0.03)
    volts[::8] += np.float32(0.4)
    volts[4::8] -= np.float32(0.4)
    check_accepted(volts)


@pytest.mark.parametrize("bit", [0, 2, 4, 7])
@pytest.mark.parametrize("level", [0, 1])
def test_checker_refuses_when_a_bit_is_stuck(bit: int, level: int) -> None:
    codes = np.round(honest() / STEP).astype(int)
    codes = codes | (1 << bit) if level else codes & ~(1 << bit)
    with pytest.raises(TraceError, match=f"bit {bit} of the converter is stuck at {level}"):
        check((codes * STEP).astype(np.float32))


def test_checker_refuses_when_the_offset_jumps() -> None:
    volts = honest(spread=0.1)
    volts[120_000:] += np.float32(0.1)
    with pytest.raises(TraceError, match=r"offset moves by 0\.1"):
        check(volts)


def power_of(volts: NDArray[np.float32]) -> NDArray[np.float64]:
    """An oscillator that is dark, then full, then half way, by parts of the trace."""
    power = np.zeros(OFFSET_BLOCKS)
    power[4:20] = 1.0
    power[20:60] = 0.5
    length = volts.size // OFFSET_BLOCKS
    volts[: length * OFFSET_BLOCKS] += np.repeat(0.2 * power, length).astype(np.float32)
    return power


def test_checker_accepts_an_offset_that_follows_the_oscillators_power() -> None:
    volts = honest(spread=0.1)
    power = power_of(volts)
    checker = TraceChecker("client detector")
    checker.check(volts, range_v=1.0, step_v=STEP, samples=10, oscillator_power=power)
    with pytest.raises(TraceError, match="offset moves"):
        TraceChecker("client detector").check(volts, range_v=1.0, step_v=STEP, samples=10)


def test_checker_refuses_an_offset_that_does_not_follow_the_oscillators_power() -> None:
    volts = honest(spread=0.1)
    power = power_of(volts)
    volts += np.linspace(0, 0.3, volts.size, dtype=np.float32)
    with pytest.raises(TraceError, match="offset moves"):
        TraceChecker("client detector").check(
            volts, range_v=1.0, step_v=STEP, samples=10, oscillator_power=power
        )


def test_checker_refuses_when_a_trace_comes_twice() -> None:
    checker = TraceChecker("server detector")
    first, second = honest(seed=1), honest(seed=2)
    checker.check(first, range_v=1.0, step_v=STEP, samples=10)
    checker.check(second, range_v=1.0, step_v=STEP, samples=10)
    with pytest.raises(TraceError, match="the same, sample by sample"):
        checker.check(first.copy(), range_v=1.0, step_v=STEP, samples=10)


def test_checker_refuses_when_the_question_is_wrong() -> None:
    with pytest.raises(OpticsError, match="one channel"):
        check(honest().reshape(2, -1))
    with pytest.raises(OpticsError, match="range nan"):
        TraceChecker("d").check(honest(), range_v=float("nan"), step_v=STEP, samples=1)
