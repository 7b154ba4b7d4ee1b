"""Gains held against bounds: what is refused, what real inputs are turned into."""

from dataclasses import replace

import numpy as np
import pytest

from drivers.errors import ConfigurationError, DataError, VerificationError
from drivers.receivers import Amplifier, PassiveTap
from veilight.reconstruct import (
    attack_dictionary,
    measure_inputs,
    picture_series,
    refuse_gains_above_bounds,
    unit_vectors,
)
from veilight.reconstruct_weights import measure_weights


def vectors(
    number: int = 20, modes: int = 16
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    generator = np.random.default_rng(1)
    return unit_vectors(generator.random((number, modes), dtype=np.float32), number, 2)


def test_unit_vectors_leave_out_what_is_twice_or_dark_when_inputs_are_read() -> None:
    inputs = np.array([[[0, 0]], [[3, 4]], [[3, 4]], [[0, 2]]], dtype=np.float32)
    found = unit_vectors(inputs, 2, 0)
    assert sorted(found.tolist()) == [[0.0, 1.0], [pytest.approx(0.6), pytest.approx(0.8)]]
    with pytest.raises(DataError, match="the data hold 2 different"):
        unit_vectors(inputs, 3, 0)


def test_inputs_are_found_more_often_when_rows_grow() -> None:
    calls: list[None] = []
    points = measure_inputs(
        Amplifier(gain=2.0),
        vectors(),
        rows=[8, 2048],
        trials=20,
        seed=3,
        on_point=lambda: calls.append(None),
    )
    refuse_gains_above_bounds(inputs=points)
    assert len(calls) == 2
    # 2048 rows: the least similar of these inputs differ by more than 10 deviations.
    assert points[0].found < points[1].found
    assert points[0].overlap_x < 0.7 < points[1].overlap_x
    assert points[1].overlap_p > 0.7
    assert points[1].bits > points[1].bits_low > points[0].bits_low


def test_inputs_stay_hidden_when_the_tap_is_passive() -> None:
    points = measure_inputs(PassiveTap(tap_fraction=0.5), vectors(), rows=[500], trials=20, seed=4)
    refuse_gains_above_bounds(inputs=points)
    assert points[0].bits_cap == points[0].bits_low == 0
    assert points[0].overlap_x < 0.3


def test_pictures_come_near_the_truth_when_rows_grow() -> None:
    series = picture_series(Amplifier(gain=2.0), vectors(), rows=[4000, 16], seed=5)
    assert series.rows == (16, 4000)
    overlaps = series.estimates @ series.truth
    assert 0 <= overlaps[0] < overlaps[1]
    assert overlaps[1] > 0.95
    np.testing.assert_array_equal(series.likeliest[1], series.truth)


def test_gains_are_refused_when_above_what_is_stated() -> None:
    attack = attack_dictionary(Amplifier(gain=2.0), candidates=1000)
    seen = measure_inputs(Amplifier(gain=2.0), vectors(), rows=[2048], trials=10, seed=6)[0]
    weight = measure_weights(
        Amplifier(gain=2.0),
        photons_per_symbol=1.0,
        modes=8,
        rows=100,
        copies=(80,),
        fraction=0.5,
        seed=7,
    )[0]
    refuse_gains_above_bounds(attacks=[attack], inputs=[seen], weights=[weight])
    point = replace(attack.curve[0], bound=0.0)
    for wrong, words in (
        ({"attacks": [replace(attack, stated_rows=1e6)]}, "stated least rows"),
        ({"attacks": [replace(attack, curve=(point,))]}, "success after"),
        ({"inputs": [replace(seen, bits_cap=0.01)]}, "bits per data value after 2048 rows"),
        ({"inputs": [replace(seen, found_low=float("nan"))]}, "input found after 2048 rows"),
        ({"weights": [replace(weight, bits_bound=0.1)]}, "bits per weight from 80 copies"),
        ({"weights": [replace(weight, bits_holevo=0.1)]}, "any measurement"),
    ):
        with pytest.raises(VerificationError, match=words):
            refuse_gains_above_bounds(**wrong)


def test_inputs_are_refused_when_there_is_one_trial() -> None:
    with pytest.raises(ConfigurationError, match="1 trials"):
        measure_inputs(Amplifier(gain=2.0), vectors(), rows=[8], trials=1, seed=8)
