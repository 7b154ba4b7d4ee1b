"""Train on digits, classify over a simulated link, and print who could have learned what."""

import torch

from drivers.receivers import FeedForwardTap
from protocol.models.recipes import centred_scaling, mlp
from protocol.models.training import TrainingSettings, train
from sim_backend.settings import LinkSettings
from veilight.datasets import load
from veilight.runs import InferenceRequest, run_inference


def main() -> None:
    digits = load("digits")
    scaling = centred_scaling(digits.train.inputs, half_range=8)
    graph = mlp(digits.train.shape, (64,), digits.train.classes, scaling=scaling)
    settings = TrainingSettings(epochs=20, batch_size=64, signal_to_noise=(1.0, 2.0))
    model = train(graph, digits.train.inputs, digits.train.labels, settings).model
    result = run_inference(
        InferenceRequest(
            model=model,
            inputs=torch.tensor(digits.test.inputs[:100]),
            labels=digits.test.labels[:100],
            link=LinkSettings(receiver=FeedForwardTap(tap_fraction=0.2), seed=1),
            signal_to_noise=(1.0, 2.0),
        )
    )
    print("accepted" if result.accepted else f"aborted: {result.abort_reason}")
    print(f"accuracy {result.accuracy:.1%}")
    for figure in (*result.weights_leaked, *result.data_leaked):
        kind = "at most" if figure.upper_bound else "about"
        print(f"{figure.secret:8s} {figure.adversary:60s} {kind} {figure.total_bits:.3g} bit")


if __name__ == "__main__":
    main()
