"""What a training may be asked to do, and the course of its learning rate."""

import math

import pytest

from drivers.errors import ConfigurationError
from protocol.models.training import TrainingSettings, learning_rate_factor


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"epochs": 0}, "epochs is 0, it must be a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"epochs": True}, "epochs is True"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"seed": -1}, "seed is -1, it must be a whole number of at least 0"),
        ({"learning_rate": math.nan}, "learning_rate is NaN"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, it must be above 0.0 and finite"),
        ({"learning_rate": math.inf}, "learning_rate is inf"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast', it must be a number"),
        ({"weight_decay": math.nan}, "weight_decay is NaN"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1, it must be at least 0.0 and finite"),
        ({"label_smoothing": math.nan}, "label_smoothing is NaN"),
        ({"label_smoothing": 1.0}, "label_smoothing is 1.0, it must be at least 0.0 and below 1.0"),
        ({"signal_to_noise": (1.0, math.nan)}, "signal_to_noise is NaN"),
        ({"signal_to_noise": (0.0,)}, "signal_to_noise is 0.0"),
        ({"schedule": "step"}, "schedule 'step' is unknown; known are constant, cosine, one-cycle"),
    ],
)
def test_settings_are_refused_when_out_of_range(changed: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^training: {words}"):
        TrainingSettings(**changed)  # type: ignore[arg-type]


def test_settings_are_taken_when_at_their_limits() -> None:
    settings = TrainingSettings(
        epochs=1, batch_size=1, weight_decay=0.0, label_smoothing=0.0, seed=0, learning_rate=1e-9
    )
    assert settings.signal_to_noise == ()


@pytest.mark.parametrize(
    ("schedule", "fraction", "factor"),
    [
        ("constant", 0.0, 1.0),
        ("constant", 0.9, 1.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 0.5, 0.5),
        ("cosine", 1.0, 0.0),
        ("one-cycle", 0.0, 0.04),
        ("one-cycle", 0.15, 0.52),
        ("one-cycle", 0.3, 1.0),
        ("one-cycle", 0.65, 0.5),
        ("one-cycle", 1.0, 0.0),
    ],
)
def test_learning_rate_factor_follows_its_schedule_when_steps_pass(
    schedule: str, fraction: float, factor: float
) -> None:
    assert learning_rate_factor(schedule, fraction) == pytest.approx(factor, abs=1e-12)
