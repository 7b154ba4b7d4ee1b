"""`veilight frontier`: accuracy against leakage, from networks that are trained for it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import ConfigurationError, DataError, OutputError
from veilight.cli import _options as options
from veilight.cli._frontier_evaluate import evaluate_networks
from veilight.cli._frontier_options import (
    ALL_RECEIVERS,
    FigureOptions,
    GridOptions,
    Receivers,
    TrainingOptions,
    WorkerOptions,
    words,
)
from veilight.cli._frontier_show import show_report
from veilight.cli._frontier_train import train_networks
from veilight.cli._groups import grouped
from veilight.cli._outputs import prepare_file
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from veilight.frontier.networks import DataSource
    from veilight.frontier.report import FrontierReport
    from veilight.frontier.store import ResultStore

__all__ = ["frontier_app"]

PLOT_FILE = "frontier.png"
_RUN = "`veilight frontier run`"

frontier_app = typer.Typer(
    no_args_is_help=True,
    help="The privacy frontier: networks are trained for it, on Dask, and every receiver is set "
    "for the least leakage at their accuracy.",
)

Folder = Annotated[Path, typer.Argument(help=f"Results folder of {_RUN}.")]


@frontier_app.command("run")
@grouped
def frontier_run(
    grid: GridOptions,
    workers: WorkerOptions,
    training: TrainingOptions,
    figures: FigureOptions,
    out: Annotated[
        Path, typer.Option("--out", help="Results folder; what is there is not trained again.")
    ] = Path("runs/frontier"),
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Train a grid of networks, and find what each leaks at best; resumes where it was stopped."""
    from veilight.frontier.networks import data_source
    from veilight.frontier.store import ResultStore

    screen = Screen(as_json=as_json, quiet=quiet)
    figures.link()
    figures.chosen()
    source, parts = data_source(grid.data, grid.label_column)
    specs = grid.specs(source, parts)
    del parts
    store = ResultStore(out, on_note=screen.say)
    with store.lock():
        _refuse_other_data(store, source)
        lost = train_networks(screen, store, source, specs, workers, training)
        if store.networks() or not lost:
            # A cluster that has lost a network may be gone.
            there = WorkerOptions() if lost else workers
            _finish(screen, out, evaluate_networks(screen, store, figures, there))
    if lost:
        raise OutputError(
            f"{len(lost)} of {len(specs)} networks were not trained: {lost[0]}; what is finished "
            "is kept: give the same command again"
        )
    return 0


@frontier_app.command("evaluate")
@grouped
def frontier_evaluate(
    folder: Folder,
    workers: WorkerOptions,
    figures: FigureOptions,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Work out the frontier anew from what is trained so far, for another link or budget."""
    from veilight.frontier.store import ResultStore

    screen = Screen(as_json=as_json, quiet=quiet)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the results folder of {_RUN}")
    store = ResultStore(folder, on_note=screen.say)
    _finish(screen, folder, evaluate_networks(screen, store, figures, workers))
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
    report = _narrowed(read_report(folder), words(receivers), accuracy)
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
    report = _narrowed(read_report(folder), words(receivers), 0.0)
    prepare_file(path, ".png", overwrite=overwrite or save is None)
    write_frontier_plot(report, path)
    screen.result({"plot": str(path)})
    screen.tell(f"Plot: {path}")
    return 0


def _refuse_other_data(store: "ResultStore", source: "DataSource") -> None:
    """`ConfigurationError` where the folder holds networks of other data."""
    others = [n for n in store.networks() if n.spec.dataset_sha256 != source.sha256]
    if others:
        raise ConfigurationError(
            f"results folder {store.folder} holds networks of another data set "
            f"({others[0].spec.dataset or 'a file or folder'}); choose another --out"
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
    """Only the points that are asked for.

    Raises:
        ConfigurationError: a receiver is not known.
    """
    from veilight.frontier.couplings import settings_of

    for kind in kinds:
        settings_of(kind)
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
