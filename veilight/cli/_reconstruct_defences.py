"""`veilight reconstruct defences`: what an attacker gets of weights that are sent in disguise."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drivers.errors import ConfigurationError
from veilight.cli import _options as options
from veilight.cli._outputs import prepare_folder
from veilight.cli._reconstruct_options import Seed
from veilight.cli._reconstruct_show import show_end
from veilight.cli._screen import Screen
from veilight.cli._tables import bits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from veilight.defences_measured import DefencePoint

__all__ = ["reconstruct_defences"]


def reconstruct_defences(
    defence: Annotated[
        list[str] | None,
        typer.Option(
            "--defence",
            metavar="WORDS",
            help="permute,rescale=1.5,dummies=8,photons=2; give one per curve.",
        ),
    ] = None,
    photons: Annotated[
        float, typer.Option("--photons", metavar="MU", help="Photons per mode at launch.")
    ] = 0.5,
    fraction: Annotated[
        float, typer.Option("--fraction", help="Of the light of every query, kept.")
    ] = 0.1,
    queries: Annotated[
        str, typer.Option("--queries", metavar="K,...", help="Queries whose light is kept.")
    ] = "1,4,16",
    modes: Annotated[int, typer.Option("--modes", min=2, help="Weights per row.")] = 128,
    rows: Annotated[int, typer.Option("--rows", min=2, help="Rows of the layer.")] = 48,
    model: Annotated[
        Path | None, typer.Option("--model", help="Take the rows of a model's first layer.")
    ] = None,
    seed: Seed = 0,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for the picture.")] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """A client keeps light of disguised weights, matches rows, averages: bits per weight."""
    from protocol.defences.settings import Defences
    from veilight.defences_measured import measure_defence, refuse_points_above_bounds

    screen = Screen(as_json=as_json, quiet=quiet)
    counts = options.whole_numbers("--queries", queries)
    settings = [Defences(), *(Defences.parse(text) for text in defence or ["permute"])]
    weights = None if model is None else _first_rows(model)
    if plots is not None:
        prepare_folder(plots, overwrite=True)
    points: list[DefencePoint] = []
    with screen.progress("attacks", total=len(settings) * len(counts)) as advance:
        for entry in settings:
            done = len(points)
            points += measure_defence(
                entry,
                photons_per_symbol=photons,
                fraction=fraction,
                queries=counts,
                rows=rows,
                modes=modes,
                seed=seed,
                weights=weights,
                on_point=lambda number, done=done: advance(done + number),  # type: ignore[misc]
            )
    refuse_points_above_bounds(points)
    shape = (rows, modes) if weights is None else weights.shape
    title = (
        f"{shape[0]} rows of {shape[1]} weights, {fraction:g} of {photons:g} photons kept per query"
    )
    files = [] if plots is None else _draw(plots, points, title)
    screen.result(
        {
            "photons_per_symbol": photons,
            "fraction": fraction,
            "rows": shape[0],
            "modes": shape[1],
            "points": [asdict(point) for point in points],
            "within_bounds": True,
            "seed": seed,
            "plots": files,
        }
    )
    _show(screen, points, title)
    show_end(screen, files, "Every gain is within the bound for the same weights every time.")
    return 0


def _first_rows(path: Path) -> "NDArray[np.float64]":
    """The weight rows of a model's first optical layer."""
    import numpy as np

    from protocol.models.files import load_model

    found = load_model(path)
    if len(found.graph.optical) < 2:
        raise ConfigurationError(
            f"model {path} has one layer alone: its rows are the outputs and cannot be disguised"
        )
    return np.asarray(found.matrix(found.graph.optical[0]).numpy(), dtype=np.float64)


def _draw(folder: Path, points: "list[DefencePoint]", title: str) -> list[str]:
    from veilight.defences_plots import draw_defences
    from veilight.reconstruct_plots import write_picture

    path = folder / "defences.png"
    write_picture(draw_defences(points, title), path)
    return [str(path)]


def _show(screen: Screen, points: "list[DefencePoint]", title: str) -> None:
    screen.table(
        f"Weights in disguise: {title}",
        (
            "defence",
            "queries",
            "SNR naive",
            "SNR matched",
            "SNR plain",
            "rows matched",
            "gain [bit]",
            "stated [bit]",
        ),
        [
            (
                point.defence,
                str(point.queries),
                bits(point.naive.signal_to_noise),
                bits(point.aligned.signal_to_noise),
                bits(point.snr_plain),
                f"{point.matched:.0%}",
                f"{bits(point.aligned.bits)} ± {point.aligned.bits_error:.1g}",
                bits(point.bits_holevo),
            )
            for point in points
        ],
        numbers=(1, 2, 3, 4, 5, 6, 7),
    )
