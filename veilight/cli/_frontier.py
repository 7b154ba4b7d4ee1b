"""`veilight frontier`: accuracy against leakage, from networks that are trained for it."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import ConfigurationError, OutputError
from veilight.cli import _options as options
from veilight.cli._screen import Screen
from veilight.cli._tables import counted

if TYPE_CHECKING:
    from protocol.models.training import TrainingSettings
    from veilight.datasets import TrainTest
    from veilight.frontier.link import LinkAssumptions
    from veilight.frontier.networks import DataSource, NetworkSpec
    from veilight.frontier.report import FrontierReport
    from veilight.frontier.store import ResultStore
    from veilight.frontier.sweep import SweepProgress, SweepResult

__all__ = ["frontier_app"]

MANY_FIRST = (0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.25, 0.35, 0.5)
MANY_RATIOS = (2.0, 5.0, 10.0)
MANY_HIDDEN = "784"
FEW_FIRST = (0.1, 0.15, 0.25, 0.4, 0.6, 1.0)
FEW_RATIOS = (2.0, 4.0)
FEW_HIDDEN = "512"

frontier_app = typer.Typer(
    no_args_is_help=True,
    help="The privacy frontier: networks are trained for it, on Dask, and every receiver is set "
    "for the least leakage at their accuracy.",
)

Folder = Annotated[Path, typer.Argument(help="Results folder of `veilight frontier run`.")]
Transmittance = Annotated[
    float, typer.Option("--transmittance", help="Of each fibre; what is lost is the adversary's.")
]
Efficiency = Annotated[
    float, typer.Option("--efficiency", help="Of the client's detector, above 0, at most 1.")
]
ElectronicNoise = Annotated[
    float, typer.Option("--electronic-noise", help="Of the client's detector [SNU].")
]
TestedSymbols = Annotated[
    float,
    typer.Option(
        "--tested-symbols", min=0, help="Per session, for the certified figure; 0 leaves it out."
    ),
]
Failure = Annotated[
    float, typer.Option("--failure", help="Probability that a certificate is wrong.")
]
Probe = Annotated[
    float,
    typer.Option("--probe-photons", min=0, help="The client's limit on light in P, per mode."),
]
Budget = Annotated[
    float, typer.Option("--budget", metavar="BITS", help="Bits that a weight may leak, for queries.")
]
Receivers = Annotated[
    str, typer.Option("--receivers", help="Which to consider, with commas between them.")
]
Encodings = Annotated[str, typer.Option("--encodings", help="real, complex, or both.")]
ALL_RECEIVERS = "amplifier,feed-forward-tap,passive-tap"


@frontier_app.command("run")
def frontier_run(
    data: options.DataSpec = "digits",
    label_column: options.LabelColumn = None,
    network: Annotated[
        str, typer.Option("--network", help="As `veilight train --network`.")
    ] = "mlp",
    hidden: Annotated[
        str | None,
        typer.Option(
            "--hidden",
            metavar="N[xN...],...",
            help="Networks by their hidden layers: 256,784 are two, 256x64 is one of two layers.",
        ),
    ] = None,
    signal_to_noise: Annotated[
        str | None,
        typer.Option(
            "--signal-to-noise", metavar="F2,...", help="F^2 of all optical layers but the last."
        ),
    ] = None,
    ratios: Annotated[
        str | None,
        typer.Option("--ratios", metavar="R,...", help="F^2 of the last layer relative to these."),
    ] = None,
    bias: Annotated[bool, typer.Option("--bias/--no-bias", help="Layers with a bias.")] = False,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Per step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="The largest of the schedule.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all trainings.")] = 0,
    draws: Annotated[
        int, typer.Option("--draws", min=2, help="Of the noise, to measure the accuracy.")
    ] = 5,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes (default: one per core).")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Dask cluster instead of processes."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Of the workers: auto, cpu, cuda.")] = (
        "auto"
    ),
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train again what diverged earlier.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", help="Results folder; what is there is not trained again.")
    ] = Path("runs/frontier"),
    receivers: Receivers = ALL_RECEIVERS,
    encodings: Encodings = "real,complex",
    transmittance: Transmittance = 1.0,
    efficiency: Efficiency = 1.0,
    electronic_noise: ElectronicNoise = 0.0,
    tested_symbols: TestedSymbols = 1e8,
    failure: Failure = 1e-6,
    probe_photons: Probe = 0.01,
    budget: Budget = 1.0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Train a grid of networks, and find what each leaks at best; resumes where it was stopped."""
    from veilight.frontier.networks import data_source
    from veilight.frontier.store import ResultStore

    screen = Screen(as_json=as_json, quiet=quiet)
    link = _link(
        transmittance=transmittance,
        efficiency=efficiency,
        electronic_noise=electronic_noise,
        tested_symbols=tested_symbols,
        failure=failure,
        probe_photons=probe_photons,
    )
    kinds = _words(receivers)
    source, parts = data_source(data, label_column)
    settings = _settings(
        parts,
        network,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
    )
    specs = _grid(
        source,
        parts,
        settings,
        network=network,
        hidden=hidden,
        first=options.numbers("--signal-to-noise", signal_to_noise),
        ratios=options.numbers("--ratios", ratios),
        bias=bias,
        draws=draws,
    )
    del parts
    store = ResultStore(out, on_note=screen.say)
    with store.lock():
        _refuse_other_data(store, source)
        result = _trained(
            screen,
            store,
            source,
            specs,
            workers=workers or _cores(),
            scheduler=scheduler,
            device=device,
            retry_failed=retry_failed,
        )
        report = _evaluated(screen, store, link, kinds, _words(encodings), budget)
        _write(store.folder, report)
    _show(screen, store.folder, report, result)
    _refuse_lost(result, out)
    return 0
