"""How to train: the settings, their checks and the learning rate's course."""

import math
from dataclasses import dataclass

from drivers.errors import ConfigurationError

SCHEDULES = ("constant", "cosine", "one-cycle")
WARM_UP = 0.3
"""Part of a one-cycle schedule in which the learning rate rises."""
FIRST_FACTOR = 0.04
"""Learning rate at the start of a one-cycle schedule, relative to the largest."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How to train. Adam (decoupled weight decay) on the cross-entropy.

    Args:
        epochs: passes over the data, at least 1.
        batch_size: samples per step, at least 1.
        learning_rate: the largest of the schedule, above 0.
        weight_decay: per step and unit of learning rate, at least 0.
        schedule: `constant`; `cosine`, from the full rate to 0; or `one-cycle`, a linear rise over
            the first 30 % of the steps, then a cosine to 0.
        signal_to_noise: F^2 of each optical layer, in their order; empty trains noise-free.
        label_smoothing: in [0, 1).
        seed: of the first weights, the order of the samples and the noise; 0 or more.

    Raises:
        ConfigurationError: a value out of range or NaN.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    schedule: str = "one-cycle"
    signal_to_noise: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, whole, lowest in (
            ("epochs", self.epochs, 1),
            ("batch_size", self.batch_size, 1),
            ("seed", self.seed, 0),
        ):
            if isinstance(whole, bool) or not isinstance(whole, int) or whole < lowest:
                raise ConfigurationError(
                    f"training: {name} is {whole!r}, it must be a whole number of at least {lowest}"
                )
        _check_range("learning_rate", self.learning_rate, above=0.0)
        _check_range("weight_decay", self.weight_decay, lowest=0.0)
        _check_range("label_smoothing", self.label_smoothing, lowest=0.0, below=1.0)
        for value in self.signal_to_noise:
            _check_range("signal_to_noise", value, above=0.0)
        if self.schedule not in SCHEDULES:
            raise ConfigurationError(
                f"training: schedule {self.schedule!r} is unknown; known are {', '.join(SCHEDULES)}"
            )


def learning_rate_factor(schedule: str, fraction: float) -> float:
    """Learning rate relative to the largest, when `fraction` in [0, 1] of the steps are done."""
    if schedule == "cosine":
        return _half_cosine(fraction)
    if schedule == "one-cycle":
        if fraction < WARM_UP:
            return FIRST_FACTOR + (1 - FIRST_FACTOR) * fraction / WARM_UP
        return _half_cosine((fraction - WARM_UP) / (1 - WARM_UP))
    return 1.0


def _half_cosine(fraction: float) -> float:
    return (1 + math.cos(math.pi * fraction)) / 2


def _check_range(
    name: str,
    value: float,
    *,
    above: float | None = None,
    lowest: float | None = None,
    below: float = math.inf,
) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"training: {name} is {value!r}, it must be a number")
    if math.isnan(value):
        raise ConfigurationError(f"training: {name} is NaN")
    too_low = (above is not None and value <= above) or (lowest is not None and value < lowest)
    if too_low or value >= below:
        start = f"above {above}" if above is not None else f"at least {lowest}"
        end = "finite" if below == math.inf else f"below {below}"
        raise ConfigurationError(f"training: {name} is {value}, it must be {start} and {end}")
