"""Words for defences, and the numbers they are drawn from."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from drivers.errors import ConfigurationError
from protocol.defences import Defences, OperatingSystemNumbers, SeededNumbers, numbers_like
from protocol.defences.settings import mean_of_log_uniform
from protocol.randomness import OperatingSystemBits, SeededBits


@given(
    st.booleans(),
    st.sampled_from([1.0, 1.25, 4.0]),
    st.integers(0, 99),
    st.sampled_from([1.0, 2.0]),
)
def test_text_reads_back_as_the_same_defences(
    permute: bool, rescale: float, dummies: int, photons: float
) -> None:
    defences = Defences(permute=permute, rescale=rescale, dummies=dummies, photons=photons)
    assert Defences.parse(defences.text) == defences
    assert defences.active == (defences.text != "none")


def test_words_are_read_when_they_have_spaces_and_another_order() -> None:
    read = Defences.parse("photons=2, dummies=8,permute,rescale=1.5")
    assert read == Defences(permute=True, rescale=1.5, dummies=8, photons=2.0)
    assert Defences.parse("") == Defences.parse("none") == Defences()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("premute", "did you mean permute"),
        ("hide", "known are"),
        ("permute,permute", "stands twice"),
        ("dummies=1,dummies=2", "stands twice"),
        ("permute=1", "takes no value"),
        ("dummies=1.5", "give a number"),
        ("rescale", "give a number"),
        ("rescale=nan", r"lie in \[1, 4\]"),
        ("rescale=0.5", r"lie in \[1, 4\]"),
        ("photons=5", r"lie in \[1, 4\]"),
        ("dummies=-1", "lie in"),
    ],
)
def test_defence_is_refused_when_it_makes_no_sense(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Defences.parse(text)


@pytest.mark.parametrize("power", [1.0, 2.0, -2.0])
def test_mean_of_a_log_uniform_factor_is_the_integral(power: float) -> None:
    logs = np.linspace(-math.log(1.7), math.log(1.7), 20_001)
    wanted = np.trapezoid(np.exp(power * logs), logs) / (2 * math.log(1.7))
    assert mean_of_log_uniform(1.7, power) == pytest.approx(wanted, rel=1e-7)
    assert mean_of_log_uniform(1.0, power) == 1.0


@pytest.mark.parametrize(
    "source", [SeededNumbers(3), OperatingSystemNumbers()], ids=["seeded", "operating-system"]
)
def test_numbers_are_uniform_and_within_the_open_interval(
    source: SeededNumbers | OperatingSystemNumbers,
) -> None:
    values = source.uniform("a", 20_000)
    assert values.min() > 0
    assert values.max() < 1
    # Kolmogorov and Smirnov: fails by chance once in 1e12 runs.
    assert stats.kstest(values, "uniform").pvalue > 1e-12


def test_numbers_follow_the_seed_of_the_flips() -> None:
    assert isinstance(numbers_like(None, simulated=False), OperatingSystemNumbers)
    assert isinstance(numbers_like(OperatingSystemBits(), simulated=False), OperatingSystemNumbers)
    assert numbers_like(SeededBits(4), simulated=True).seed == 4
    with pytest.raises(ConfigurationError, match="simulation only"):
        numbers_like(SeededBits(4), simulated=False)
