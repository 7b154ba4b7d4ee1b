"""Small networks of a frontier's tests: what was asked for, and what came of it."""

from dataclasses import replace

from protocol.models.recipes import mlp
from veilight.frontier.networks import DataSource, NetworkSpec, TrainedNetwork, model_file_of

__all__ = ["SOURCE", "SPEC", "trained_perceptron"]

SOURCE = DataSource(spec="digits", sha256="ab" * 32)
SPEC = NetworkSpec(
    dataset="digits",
    dataset_sha256="ab" * 32,
    architecture="mlp",
    hidden=(16,),
    signal_to_noise=(0.25, 0.5),
    epochs=10,
    batch_size=64,
    learning_rate=1e-2,
)


def trained_perceptron(
    accuracy: float,
    signal_to_noise: tuple[float, ...],
    *,
    inputs: int = 64,
    hidden: int = 60,
    accuracy_error: float = 0.001,
    seed: int = 0,
) -> TrainedNetwork:
    """What came of a perceptron with ten outputs; there is no model file.

    Args:
        accuracy: with the light's noise.
        signal_to_noise: F^2 of either layer.
        inputs: of the first layer.
        hidden: units of the second.
        accuracy_error: standard error of `accuracy`.
        seed: of the training.
    """
    spec = replace(SPEC, signal_to_noise=signal_to_noise, hidden=(hidden,), seed=seed)
    return TrainedNetwork(
        spec=spec,
        graph=mlp((inputs,), (hidden,), 10).to_dict(),
        accuracy=accuracy,
        accuracy_error=accuracy_error,
        accuracy_noise_free=0.99,
        test_samples=359,
        seconds=1.0,
        model_file=model_file_of(spec),
    )
