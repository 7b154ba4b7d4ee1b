"""The student: it learns a function it is shown, and rows are matched whatever their order."""

import math

import numpy as np
import pytest

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import TwoLayers, matched_rows, matching_bits, train_student


def network(seed: int, hidden: int = 4, inputs: int = 6) -> TwoLayers:
    generator = np.random.default_rng(seed)
    return TwoLayers(
        first=generator.standard_normal((hidden, inputs)),
        second=generator.standard_normal((2, hidden)),
    )


def test_student_follows_its_teacher_when_outputs_are_exact() -> None:
    teacher, generator = network(1), np.random.default_rng(2)
    inputs, unseen = generator.standard_normal((3000, 6)), generator.standard_normal((500, 6))
    student = train_student(inputs, teacher.outputs(inputs), hidden=16, steps=1500, seed=3)
    left = student.outputs(unseen) - teacher.outputs(unseen)
    assert left.var() < 0.03 * teacher.outputs(unseen).var()
    again = train_student(inputs, teacher.outputs(inputs), hidden=16, steps=1500, seed=3)
    np.testing.assert_array_equal(student.first, again.first)


def test_student_knows_nothing_when_it_is_told_noise() -> None:
    teacher, generator = network(4), np.random.default_rng(5)
    inputs = generator.standard_normal((500, 6))
    student = train_student(inputs, generator.standard_normal((500, 2)), hidden=4, steps=50, seed=6)
    told, true = student.outputs(inputs), teacher.outputs(inputs)
    assert abs(np.corrcoef(told.ravel(), true.ravel())[0, 1]) < 0.5


def test_rows_are_matched_when_units_are_permuted_and_rescaled() -> None:
    teacher = network(7)
    order, scale = np.array([2, 0, 3, 1]), np.array([2.0, 0.5, 3.0, 1.0])
    other = TwoLayers(
        first=scale[:, None] * teacher.first[order], second=teacher.second[:, order] / scale
    )
    inputs = np.random.default_rng(8).standard_normal((20, 6))
    np.testing.assert_allclose(other.outputs(inputs), teacher.outputs(inputs))
    own, truth = matched_rows(other, teacher)
    np.testing.assert_allclose(own, truth)


def test_matching_is_worth_the_logarithm_of_the_orders() -> None:
    assert matching_bits(4, 6) == pytest.approx(math.log2(24) / 24)
    assert matching_bits(1, 5) == 0.0


def test_student_refuses_when_outputs_are_missing() -> None:
    with pytest.raises(ConfigurationError, match="2 outputs for 3 inputs"):
        train_student(np.ones((3, 2)), np.ones((2, 1)), hidden=1, steps=1, seed=0)
