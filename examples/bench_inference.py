"""From two bench files to a calibrated run over their instruments, which here are simulated."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from calibration.bench_values import BENCH_ROUTINES
from calibration.runner import Runner
from protocol.models.model import Model
from protocol.models.recipes import centred_scaling, mlp
from protocol.models.training import TrainingSettings, train
from sim_backend.settings import LinkSettings
from veilight.bench_runs import bench_frames, calibrated_values, lit_bench
from veilight.bench_session import BenchPair, open_pair, routines_of, settings_for, store_of
from veilight.datasets import Dataset, load
from veilight.runs import InferenceRequest, RunResult, run_inference

BENCHES = Path(__file__).parent / "benches"


def trained(digits: Dataset) -> Model:
    """A small network that has met the noise of the light in its training."""
    scaling = centred_scaling(digits.inputs, half_range=8)
    graph = mlp(digits.shape, (24,), digits.classes, scaling=scaling)
    settings = TrainingSettings(epochs=20, batch_size=64, signal_to_noise=(4.0, 4.0))
    return train(graph, digits.inputs, digits.labels, settings).model


def calibrate_and_run(pair: BenchPair, path: Path, model: Model, digits: Dataset) -> RunResult:
    """Measure what is due, then switch the light on and classify over it."""
    registry = routines_of(pair)
    settings = settings_for(registry, pair)
    for name in ("electronic_noise", "shot_noise"):  # a quarter of the usual records: an example
        settings[name]["samples"] = 1 << 20
    store = store_of(path, pair.access.name)
    runner = Runner(registry, pair.access, store, seed=1, settings=settings)
    for outcome in runner.run(BENCH_ROUTINES):
        print(f"{outcome.routine:18s} {outcome.status.value:8s} {outcome.message}")
    # What is stale, missing or made with other settings or instruments is refused here.
    values = calibrated_values(pair, store, settings=settings)
    frames = bench_frames(pair)
    request = InferenceRequest(
        model=model,
        inputs=torch.tensor(digits.inputs),
        labels=digits.labels,
        link=LinkSettings(),
        signal_to_noise=(4.0, 4.0),
        taints=values.taints,
    )
    with lit_bench(pair, store, values, frames) as link:
        return run_inference(replace(request, optics=link))


def main() -> None:
    digits = load("digits")
    model = trained(digits.train)
    paths = [BENCHES / "server.toml", BENCHES / "client.toml"]
    # Whatever happens inside, both benches are dark and closed afterwards.
    with TemporaryDirectory() as folder, open_pair(paths, operator="example") as pair:
        sample = digits.test.subset(50, seed=0)
        result = calibrate_and_run(pair, Path(folder) / "store.h5", model, sample)
    print("accepted" if result.accepted else f"aborted: {result.abort_reason}")
    print(f"accuracy {result.accuracy:.1%}, simulated: {result.simulated}")


if __name__ == "__main__":
    main()
