"""The law of the dictionary attack: shape, limits, refusals."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2, f

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import (
    DictionaryLaw,
    Geometry,
    dictionary_law,
    identified_bits,
)


@pytest.mark.parametrize("geometry", ["pairwise", "around truth"])
def test_success_is_that_of_a_ratio_when_two_candidates_are_orthogonal(geometry: Geometry) -> None:
    law = DictionaryLaw(excess_noise_snu=0.8, candidates=2, cosine=0.0, geometry=geometry)
    # Two independent sums of squares: the ratio follows the F distribution.
    for rows in (2, 20, 200):
        expected = f.cdf(1.8, rows, rows)
        assert law.success(rows).value == pytest.approx(expected, abs=2e-3)
        assert law.success(rows).at_least == pytest.approx(expected, abs=2e-3)


def test_success_is_the_integral_when_many_candidates_are_orthogonal() -> None:
    law = DictionaryLaw(excess_noise_snu=1.0, candidates=1000, cosine=0.0)
    expected, _ = quad(
        lambda s: chi2.pdf(s / 2, 40) / 2 * chi2.cdf(s, 40) ** 999, 40, 300, limit=200
    )
    assert law.success(40).value == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("geometry", ["pairwise", "around truth"])
def test_rows_are_the_least_when_a_success_is_asked_for(geometry: Geometry) -> None:
    law = DictionaryLaw(excess_noise_snu=1.0, candidates=300, geometry=geometry)
    rows = [int(law.rows_for(wanted)) for wanted in (0.1, 0.5, 0.9)]
    assert rows == sorted(rows)
    for wanted, number in zip((0.1, 0.5, 0.9), rows, strict=True):
        assert law.success(number - 1).value < wanted <= law.success(number).value
    assert all(law.success(number).at_least <= law.success(number).value for number in rows)


def test_tail_is_the_exact_one_when_rows_pass_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    for geometry, rows in (("pairwise", 1500), ("around truth", 4000), ("pairwise", 9000)):
        law = DictionaryLaw(
            excess_noise_snu=0.2,
            candidates=10**6,
            geometry=geometry,  # type: ignore[arg-type]
        )
        quick = law.success(rows)
        with monkeypatch.context() as patch:
            patch.setattr(dictionary_law, "_EXACT_TO_ROWS", 10**6)
            exact = law.success(rows)
        assert quick.value == pytest.approx(exact.value, abs=1e-3)
        assert exact.value > 0.1
        assert quick.value != exact.value


def test_server_never_finds_out_when_the_return_carries_no_excess_noise() -> None:
    law = DictionaryLaw(excess_noise_snu=0.0, candidates=50)
    assert law.success(10**6).value == pytest.approx(0.02)
    assert law.rows_for(0.5) == math.inf


def test_identified_bits_are_fanos_when_success_is_given() -> None:
    assert identified_bits(1.0, 1024) == pytest.approx(10)
    assert identified_bits(1 / 1024, 1024) == 0.0
    assert identified_bits(0.0, 1024) == 0.0
    # A symmetric channel of two letters: 1 - h(e).
    assert identified_bits(0.89, 2) == pytest.approx(0.5, abs=1e-3)
    values = [identified_bits(p, 10**6) for p in np.linspace(0.01, 1, 30)]
    assert values == sorted(values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"excess_noise_snu": -1.0}, "excess noise"),
        ({"excess_noise_snu": math.nan}, "excess noise in SNU is NaN"),
        ({"candidates": 1}, "number of candidates is 1"),
        ({"cosine": 1.0}, "cosine"),
        ({"cosine": math.nan}, "cosine"),
        ({"geometry": "round"}, "geometry 'round'"),
    ],
    ids=["negative", "nan", "alone", "equal", "nan cosine", "geometry"],
)
def test_law_is_refused_when_an_argument_is_out_of_range(
    changes: dict[str, object], words: str
) -> None:
    arguments: dict[str, object] = {"excess_noise_snu": 1.0, "candidates": 10, **changes}
    with pytest.raises(ConfigurationError, match=words):
        DictionaryLaw(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", [0.1, 1.0, math.nan])
def test_rows_are_refused_when_the_success_is_a_guess_or_certain(wanted: float) -> None:
    with pytest.raises(ConfigurationError, match="probability of success"):
        DictionaryLaw(excess_noise_snu=1.0, candidates=10).rows_for(wanted)


def test_success_is_refused_when_there_is_one_row() -> None:
    with pytest.raises(ConfigurationError, match="number of rows is 1"):
        DictionaryLaw(excess_noise_snu=1.0, candidates=10).success(1)
