"""Model extraction through the outputs: a client that trains a student on what it was told.

The teacher has one hidden layer of rectified units. The student has the same shape and sees inputs
and noisy outputs, nothing in between. Hidden units come back in any order and on any scale, which
do not change the function, so a student's rows are matched with the teacher's before they are
compared (Kuhn's assignment; Tramer et al., USENIX Security 2016, for the attack).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln

from drivers.errors import ConfigurationError
from sim_backend.reconstruction import _checks

__all__ = ["TwoLayers", "matched_rows", "matching_bits", "train_student"]

Array = NDArray[np.float64]

_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class TwoLayers:
    """A network W2 relu(W1 x).

    Attributes:
        first: W1, `(hidden, inputs)`.
        second: W2, `(outputs, hidden)`.
    """

    first: Array
    second: Array

    def hidden(self, inputs: Array) -> Array:
        """relu(W1 x), `(samples, hidden)`."""
        return np.asarray(np.maximum(0.0, inputs @ self.first.T))

    def outputs(self, inputs: Array) -> Array:
        """`(samples, outputs)`."""
        return np.asarray(self.hidden(inputs) @ self.second.T)


def train_student(
    inputs: Array, outputs: Array, *, hidden: int, steps: int, seed: int, rate: float = 0.01
) -> TwoLayers:
    """A student fitted to outputs by least squares, with Adam (arXiv 1412.6980) on batches.

    Args:
        inputs: `(queries, inputs)`.
        outputs: what the client was told, `(queries, outputs)`.
        hidden: units.
        steps: of the descent, at least 1; its rate falls to nothing over them.
        seed: of the start and of the batches.
        rate: of the descent at its start.

    Raises:
        ConfigurationError: an argument is out of range, or there are not as many outputs as inputs.
    """
    if len(inputs) != len(outputs):
        raise ConfigurationError(
            f"reconstruction: {len(outputs)} outputs for {len(inputs)} inputs; give one for each"
        )
    generator, units = np.random.default_rng(seed), _checks.count("hidden units", hidden)
    length = float(np.sqrt(np.mean(np.sum(np.square(inputs), axis=1))))
    scale = max(float(outputs.std()), 1e-300)
    weights = [
        generator.standard_normal((units, inputs.shape[1])),
        generator.standard_normal((outputs.shape[1], units)) / math.sqrt(units),
    ]
    means = [np.zeros_like(w) for w in weights]
    squares = [np.zeros_like(w) for w in weights]
    for step in range(1, _checks.count("steps", steps) + 1):
        batch = generator.integers(len(inputs), size=min(_BATCH, len(inputs)))
        slopes = _slopes(weights, inputs[batch] / length, outputs[batch] / scale)
        speed = rate * (1 - (step - 1) / steps)
        for index, slope in enumerate(slopes):
            means[index] += 0.1 * (slope - means[index])
            squares[index] += 0.001 * (slope**2 - squares[index])
            mean, square = means[index] / (1 - 0.9**step), squares[index] / (1 - 0.999**step)
            weights[index] -= speed * mean / (np.sqrt(square) + 1e-8)
    return TwoLayers(first=weights[0] / length, second=scale * weights[1])


def _slopes(weights: list[Array], inputs: Array, outputs: Array) -> list[Array]:
    """Of half the mean squared error, by each layer's weights."""
    before = inputs @ weights[0].T
    activity = np.maximum(0.0, before)
    error = (activity @ weights[1].T - outputs) / len(inputs)
    return [((error @ weights[1]) * (before > 0)).T @ inputs, error.T @ activity]


def matched_rows(student: TwoLayers, teacher: TwoLayers) -> tuple[Array, Array]:
    """The student's and the teacher's first rows, of unit length, in the order that fits best."""
    own = student.first / np.linalg.norm(student.first, axis=1, keepdims=True)
    truth = teacher.first / np.linalg.norm(teacher.first, axis=1, keepdims=True)
    mine, theirs = linear_sum_assignment(-(own @ truth.T))
    return own[mine], truth[theirs]


def matching_bits(hidden: int, inputs: int) -> float:
    """Bits per weight that choosing the best order may feign: log2(hidden!) over the weights.

    Raises:
        ConfigurationError: an argument is below 1.
    """
    units = _checks.count("hidden units", hidden)
    weights = units * _checks.count("number of inputs", inputs)
    return float(gammaln(units + 1)) / math.log(2) / weights
