"""`veilight frontier`: accuracy against leakage, from networks that are trained for it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drivers.errors import ConfigurationError, OutputError
from veilight.cli import _options as options
from veilight.cli._frontier_show import show_report
from veilight.cli._frontier_train import train_networks
from veilight.cli._outputs import prepare_file
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from protocol.models.training import TrainingSettings
    from veilight.datasets import TrainTest
    from veilight.frontier.link import LinkAssumptions
    from veilight.frontier.networks import DataSource, NetworkSpec
    from veilight.frontier.report import FrontierReport
    from veilight.frontier.store import ResultStore

__all__ = ["frontier_app"]

MANY_FIRST = (0.06, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.25, 0.35, 0.5)
MANY_LAST = (1.0, 2.0, 4.0)
MANY_HIDDEN = "784"
FEW_FIRST = (0.1, 0.15, 0.25, 0.4, 0.6, 1.0)
FEW_LAST = (1.0, 4.0)
FEW_HIDDEN = "512"
ALL_RECEIVERS = "amplifier,feed-forward-tap,passive-tap"
ALL_ENCODINGS = "real,complex"
PLOT_FILE = "frontier.png"

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
Dither = Annotated[
    float,
    typer.Option(
        "--dither", min=0, help="Known displacements of P that the server adds, mean square [SNU]."
    ),
]
Budget = Annotated[
    float,
    typer.Option("--budget", metavar="BITS", help="Bits that a weight may leak, for queries."),
]
Receivers = Annotated[
    str, typer.Option("--receivers", help="Which to consider, with commas between them.")
]
Encodings = Annotated[str, typer.Option("--encodings", help="real, complex, or both.")]


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
    last: Annotated[
        str | None,
        typer.Option(
            "--last", metavar="F2,...", help="F^2 of the last optical layer, which has few weights."
        ),
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
    device: Annotated[
        str, typer.Option("--device", help="Of the workers: auto, cpu or cuda.")
    ] = "auto",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train again what diverged earlier.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", help="Results folder; what is there is not trained again.")
    ] = Path("runs/frontier"),
    receivers: Receivers = ALL_RECEIVERS,
    encodings: Encodings = ALL_ENCODINGS,
    transmittance: Transmittance = 1.0,
    efficiency: Efficiency = 1.0,
    electronic_noise: ElectronicNoise = 0.0,
    tested_symbols: TestedSymbols = 1e8,
    failure: Failure = 1e-6,
    probe_photons: Probe = 0.01,
    dither: Dither = 0.0,
    budget: Budget = 4.0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Train a grid of networks, and find what each leaks at best; resumes where it was stopped."""
    from veilight.frontier.networks import data_source
    from veilight.frontier.store import ResultStore

    screen = Screen(as_json=as_json, quiet=quiet)
    link = _link(
        transmittance,
        efficiency,
        electronic_noise,
        tested_symbols,
        failure,
        probe_photons,
        dither,
    )
    _check_receivers(receivers, encodings)
    source, parts = data_source(data, label_column)
    settings = _settings(parts, network, epochs, batch_size, learning_rate, seed)
    specs = _grid(
        source,
        parts,
        settings,
        network=network,
        hidden=hidden,
        first=options.numbers("--signal-to-noise", signal_to_noise),
        last=options.numbers("--last", last),
        bias=bias,
        draws=draws,
    )
    del parts
    store = ResultStore(out, on_note=screen.say)
    quietly = as_json or quiet
    with store.lock():
        _refuse_other_data(store, source)
        lost = train_networks(
            screen, store, source, specs, workers, scheduler, device, retry_failed, quietly
        )
        if store.networks() or not lost:
            _finish(screen, out, _evaluate(screen, store, link, receivers, encodings, budget))
    if lost:
        raise OutputError(
            f"{len(lost)} of {len(specs)} networks were not trained: {lost[0]}; what is finished "
            "is kept: give the same command again"
        )
    return 0


@frontier_app.command("evaluate")
def frontier_evaluate(
    folder: Folder,
    receivers: Receivers = ALL_RECEIVERS,
    encodings: Encodings = ALL_ENCODINGS,
    transmittance: Transmittance = 1.0,
    efficiency: Efficiency = 1.0,
    electronic_noise: ElectronicNoise = 0.0,
    tested_symbols: TestedSymbols = 1e8,
    failure: Failure = 1e-6,
    probe_photons: Probe = 0.01,
    dither: Dither = 0.0,
    budget: Budget = 4.0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Work out the frontier anew from what is trained so far, for another link or budget."""
    from veilight.frontier.store import ResultStore

    screen = Screen(as_json=as_json, quiet=quiet)
    link = _link(
        transmittance,
        efficiency,
        electronic_noise,
        tested_symbols,
        failure,
        probe_photons,
        dither,
    )
    _check_receivers(receivers, encodings)
    store = ResultStore(folder, on_note=screen.say)
    _finish(screen, folder, _evaluate(screen, store, link, receivers, encodings, budget))
    return 0


@frontier_app.command("show")
def frontier_show(
    folder: Folder,
    receivers: Receivers = ALL_RECEIVERS,
    accuracy: Annotated[
        float, typer.Option("--accuracy", min=0, max=1, help="Only points of at least this.")
    ] = 0.0,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """The frontier of a results folder as tables; --json gives the whole report."""
    from veilight.frontier.report_file import read_report, report_to_dict

    screen = Screen(as_json=as_json, quiet=quiet)
    report = _narrowed(read_report(folder), _words(receivers), accuracy)
    screen.result(report_to_dict(report))
    show_report(screen, report)
    return 0


@frontier_app.command("plot")
def frontier_plot(
    folder: Folder,
    save: Annotated[
        Path | None, typer.Option("--save", help="NAME.png (default: frontier.png in the folder).")
    ] = None,
    receivers: Receivers = ALL_RECEIVERS,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that exists.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Draw the frontier of a results folder, with the paper's published map beside it."""
    from veilight.frontier.plots import write_frontier_plot
    from veilight.frontier.report_file import read_report

    screen = Screen(as_json=as_json, quiet=quiet)
    path = folder / PLOT_FILE if save is None else save
    report = _narrowed(read_report(folder), _words(receivers), 0.0)
    prepare_file(path, ".png", overwrite=overwrite or save is None)
    write_frontier_plot(report, path)
    screen.result({"plot": str(path)})
    screen.tell(f"Plot: {path}")
    return 0


def _link(
    transmittance: float,
    efficiency: float,
    electronic_noise: float,
    tested_symbols: float,
    failure: float,
    probe_photons: float,
    dither: float,
) -> "LinkAssumptions":
    from veilight.frontier.link import LinkAssumptions

    return LinkAssumptions(
        transmittance=transmittance,
        detection_efficiency=efficiency,
        electronic_noise_snu=electronic_noise,
        tested_symbols=tested_symbols or None,
        failure=failure,
        probe_photons_per_mode=probe_photons,
        dither_p_snu=dither,
    )


def _settings(
    parts: "TrainTest",
    network: str,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    seed: int,
) -> "TrainingSettings":
    """The recipe that suits the data, with what was said otherwise."""
    from veilight.frontier.networks import recipe_for

    recipe = recipe_for(parts, network)
    return replace(
        recipe,
        epochs=recipe.epochs if epochs is None else epochs,
        batch_size=recipe.batch_size if batch_size is None else batch_size,
        learning_rate=recipe.learning_rate if learning_rate is None else learning_rate,
        seed=seed,
    )


def _grid(
    source: "DataSource",
    parts: "TrainTest",
    settings: "TrainingSettings",
    *,
    network: str,
    hidden: str | None,
    first: tuple[float, ...] | None,
    last: tuple[float, ...] | None,
    bias: bool,
    draws: int,
) -> "tuple[NetworkSpec, ...]":
    """The networks to train; the defaults suit the size of the data set."""
    from protocol.models.recipes import MANY_SAMPLES
    from veilight.frontier.networks import network_grid

    many = parts.train.samples >= MANY_SAMPLES
    if hidden is None:
        hidden = "" if network != "mlp" else MANY_HIDDEN if many else FEW_HIDDEN
    return network_grid(
        source,
        parts,
        settings,
        architecture=network,
        hidden=_widths(hidden),
        first=first or (MANY_FIRST if many else FEW_FIRST),
        last=last or (MANY_LAST if many else FEW_LAST),
        bias=bias,
        draws=draws,
    )


def _widths(text: str) -> tuple[tuple[int, ...], ...]:
    """Hidden layers of each network of an option such as `256,784x64`; nothing is one of none."""
    if not text:
        return ((),)
    return tuple(
        options.whole_numbers("--hidden", ",".join(part.split("x"))) for part in text.split(",")
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _check_receivers(receivers: str, encodings: str) -> None:
    """Refuse before hours of training what could not be worked out after them."""
    from protocol.leakage.conventions import weights_per_mode
    from veilight.frontier.couplings import fits, settings_of

    chosen: tuple[Any, ...] = _words(encodings)
    for encoding in chosen:
        weights_per_mode(encoding)
    kinds = _words(receivers)
    for kind in kinds:
        settings_of(kind)
    if not any(fits(kind, encoding) for kind in kinds for encoding in chosen):
        raise ConfigurationError(
            f"frontier: none of the receivers {receivers!r} takes one of the encodings "
            f"{encodings!r}; leave them out to consider all"
        )


def _refuse_other_data(store: "ResultStore", source: "DataSource") -> None:
    """`ConfigurationError` where the folder holds networks of other data."""
    others = [n for n in store.networks() if n.spec.dataset_sha256 != source.sha256]
    if others:
        raise ConfigurationError(
            f"results folder {store.folder} holds networks of another data set "
            f"({others[0].spec.dataset or 'a file or folder'}); choose another --out"
        )


def _evaluate(
    screen: Screen,
    store: "ResultStore",
    link: "LinkAssumptions",
    receivers: str,
    encodings: str,
    budget: float,
) -> "FrontierReport":
    """All networks of the folder, those of earlier grids included."""
    from veilight.frontier.report import build_report

    chosen: tuple[Any, ...] = _words(encodings)
    with screen.progress("settings", total=1.0) as advance:
        return build_report(
            store.networks(),
            store.failures(),
            kinds=_words(receivers),
            encodings=chosen,
            link=link,
            budget_bits_per_weight=budget,
            on_progress=advance,
        )


def _finish(screen: Screen, folder: Path, report: "FrontierReport") -> None:
    """Write the report and its plot, and show it."""
    from veilight.frontier.plots import write_frontier_plot
    from veilight.frontier.report_file import report_to_dict, write_report

    files = {"report": str(write_report(report, folder)), "plot": str(folder / PLOT_FILE)}
    write_frontier_plot(report, folder / PLOT_FILE)
    screen.result({**report_to_dict(report), "files": files})
    show_report(screen, report)
    screen.say("Written: " + ", ".join(files.values()))


def _narrowed(
    report: "FrontierReport", kinds: tuple[str, ...], accuracy: float
) -> "FrontierReport":
    """Only the points that are asked for."""
    return replace(
        report,
        frontiers=tuple(
            replace(
                part,
                points=tuple(
                    point
                    for point in part.points
                    if point.privacy.receiver in kinds and point.accuracy >= accuracy
                ),
            )
            for part in report.frontiers
        ),
    )
