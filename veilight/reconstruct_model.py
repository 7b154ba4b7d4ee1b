"""A client that extracts a small network inside the rules, beside what is stated.

The teacher has random first weights, so that all that anyone knows of them came through the light;
its second layer is fitted to the labels. Two clients: one reads every layer's outcomes, as the
protocol lets it, and takes the posterior mean; one trains a student on the last outputs alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.errors import ConfigurationError
from drivers.receivers import Receiver
from protocol.leakage.conventions import signal_variance_snu
from protocol.leakage.entropy import gaussian_channel_bits
from protocol.leakage.extraction import client_least_squares_weight_snr
from protocol.leakage.weights import weight_bits_client_keeps_all_gaussian_real
from sim_backend.reconstruction import (
    TwoLayers,
    WeightGain,
    matched_rows,
    matching_bits,
    posterior_mean,
    query_outcomes,
    train_student,
    weight_gain,
)
from veilight.reconstruct_bounds import DEVIATIONS, hold

__all__ = ["ModelPoint", "fit_teacher", "measure_model"]

Array = NDArray[np.float64]

_STEPS = 1500
_RIDGE = 1e-3
_TEACHER, _CLIENT = 1, 2


@dataclass(frozen=True, kw_only=True)
class ModelPoint:
    """What a client has of the network after some queries.

    Attributes:
        queries: K, inputs of the data set.
        teacher_accuracy: of the network itself, on the test part.
        student_accuracy: of the student.
        agreement: share of test inputs on which student and teacher decide alike.
        read: gain on the first layer's weights from that layer's outcomes.
        student: gain on them from the student's, matched row by row.
        student_allowance: bits per weight that the matching alone may feign.
        bits_bound: stated for the best queries inside the rules, 0.5 log2(1 + K f 4 mu/N), at most
            `bits_holevo`.
        student_bits_bound: the same, and what the second layer's light can hold, whose weights
            were fitted to the first's; per weight of the first layer.
        bits_holevo: stated for a client that keeps all the light of the queries, chi(K mu).
        truth: first row of the first layer, of unit length, `(inputs,)`.
        read_row: the same row as read.
        student_row: the student's row that was matched with it.
    """

    queries: int
    teacher_accuracy: float
    student_accuracy: float
    agreement: float
    read: WeightGain
    student: WeightGain
    student_allowance: float
    bits_bound: float
    student_bits_bound: float
    bits_holevo: float
    truth: tuple[float, ...]
    read_row: tuple[float, ...]
    student_row: tuple[float, ...]

    def hold(self) -> None:
        """Hold the gains against the bounds.

        Raises:
            VerificationError: a gain is above its bound by more than its measurement allows.
        """
        what = f"bits per weight from {self.queries} queries"
        least = self.read.bits - DEVIATIONS * self.read.bits_error
        hold(f"{what}, read layer by layer", least, self.bits_bound)
        least = self.student.bits - DEVIATIONS * self.student.bits_error - self.student_allowance
        hold(f"{what}, a student of the outputs", least, self.student_bits_bound)


def fit_teacher(inputs: Array, labels: NDArray[np.int64], *, hidden: int, seed: int) -> TwoLayers:
    """Random first weights; second ones fitted to the labels by ridge regression.

    Args:
        inputs: `(samples, inputs)`.
        labels: from 0 up.
        hidden: units.
        seed: of the first weights.

    Raises:
        ConfigurationError: fewer than one hidden unit.
    """
    if hidden < 1:
        raise ConfigurationError(f"reconstruction: {hidden} hidden units; at least 1 is needed")
    first = np.random.default_rng([seed, _TEACHER]).standard_normal((hidden, inputs.shape[1]))
    activity = np.maximum(0.0, inputs @ first.T)
    targets = np.eye(int(labels.max()) + 1)[labels] - 1 / (int(labels.max()) + 1)
    square = activity.T @ activity
    square[np.diag_indices(hidden)] += _RIDGE * float(np.trace(square))
    return TwoLayers(first=first, second=np.linalg.solve(square, activity.T @ targets).T)


def measure_model(
    receiver: Receiver,
    teacher: TwoLayers,
    train: Array,
    test: tuple[Array, NDArray[np.int64]],
    *,
    photons_per_symbol: float,
    queries: Sequence[int],
    seed: int,
    on_point: Callable[[], None] | None = None,
) -> list[ModelPoint]:
    """Extract the network with K queries of the client's own data.

    Args:
        receiver: the client's.
        teacher: the server's network.
        train: inputs that the client asks about, again and again if there are fewer than K.
        test: inputs and labels on which both are compared.
        photons_per_symbol: mu of both layers, real encoding.
        queries: numbers K.
        seed: of all draws.
        on_point: called after each number.

    Raises:
        ConfigurationError: an argument is out of range.
    """
    # Streams of their own: a student that starts like its teacher would know its weights.
    generator = np.random.default_rng([seed, _CLIENT])
    hidden, modes = teacher.first.shape
    decided = teacher.outputs(test[0]).argmax(axis=1)
    second = teacher.second.size / teacher.first.size
    points = []
    for count in queries:
        inputs = train[generator.integers(len(train), size=count)]
        before, read, read_row = _first_layer(
            generator, receiver, teacher, inputs, photons_per_symbol
        )
        outputs = _measured(
            generator, receiver, np.maximum(0.0, before), teacher.second, photons_per_symbol
        )
        start = int(generator.integers(1 << 31))
        student = train_student(inputs, outputs, hidden=hidden, steps=_STEPS, seed=start)
        own, truth = matched_rows(student, teacher)
        guessed = student.outputs(test[0]).argmax(axis=1)
        own_layer, next_layer = (
            gaussian_channel_bits(
                client_least_squares_weight_snr(
                    photons_per_symbol, receiver.snr_factor, count, inputs_of_layer
                )
            )
            for inputs_of_layer in (modes, hidden)
        )
        holevo = weight_bits_client_keeps_all_gaussian_real(count * photons_per_symbol)
        shown = int(np.argmax(truth @ teacher.first[0]))
        points.append(
            ModelPoint(
                queries=count,
                teacher_accuracy=float(np.mean(decided == test[1])),
                student_accuracy=float(np.mean(guessed == test[1])),
                agreement=float(np.mean(guessed == decided)),
                read=read,
                student=weight_gain(own, truth),
                student_allowance=matching_bits(hidden, modes),
                bits_bound=min(own_layer, holevo),
                student_bits_bound=min(own_layer, holevo) + second * min(next_layer, holevo),
                bits_holevo=holevo,
                truth=tuple(truth[shown].tolist()),
                read_row=tuple(read_row.tolist()),
                student_row=tuple(own[shown].tolist()),
            )
        )
        if on_point is not None:
            on_point()
    return points


def _first_layer(
    generator: np.random.Generator,
    receiver: Receiver,
    teacher: TwoLayers,
    inputs: Array,
    photons: float,
) -> tuple[Array, WeightGain, Array]:
    """Outcomes as the client scales them, the gain from them, and the first row as read."""
    scale, lengths = _scale(teacher.first, photons), _lengths(inputs)
    means, a, v = scale * teacher.first, receiver.signal_gain, receiver.outcome_variance_snu
    vectors = inputs / lengths
    outcomes = query_outcomes(generator, vectors, means, signal_gain=a, outcome_variance_snu=v)
    estimate = posterior_mean(
        vectors,
        outcomes,
        signal_gain=a,
        outcome_variance_snu=v,
        weight_variance_snu=signal_variance_snu(photons, "real"),
    )

    return outcomes * lengths / (a * scale), weight_gain(estimate, means), estimate[0]


def _measured(
    generator: np.random.Generator,
    receiver: Receiver,
    inputs: Array,
    weights: Array,
    photons: float,
) -> Array:
    """A layer's outputs with the light's noise, `(queries, rows)`."""
    scale, lengths = _scale(weights, photons), _lengths(inputs)
    outcomes = query_outcomes(
        generator,
        inputs / lengths,
        scale * weights,
        signal_gain=receiver.signal_gain,
        outcome_variance_snu=receiver.outcome_variance_snu,
    )
    return np.asarray(outcomes * lengths / (receiver.signal_gain * scale))


def _scale(weights: Array, photons: float) -> float:
    """Quadrature per weight: the layer's root mean square on sqrt(4 mu)."""
    mean = float(np.mean(np.square(weights)))
    return math.sqrt(signal_variance_snu(photons, "real") / mean)


def _lengths(inputs: Array) -> Array:
    lengths = np.linalg.norm(inputs, axis=1, keepdims=True)
    return np.asarray(np.where(lengths > 0, lengths, 1.0))
