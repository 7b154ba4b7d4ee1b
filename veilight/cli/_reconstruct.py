"""`veilight reconstruct`: what curious parties get, measured, beside what is stated."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veilight.cli import _options as options
from veilight.cli._outputs import prepare_folder
from veilight.cli._reconstruct_defences import reconstruct_defences
from veilight.cli._reconstruct_inputs import reconstruct_inputs
from veilight.cli._reconstruct_model import reconstruct_model
from veilight.cli._reconstruct_options import Kind, Plots, Seed, Setting
from veilight.cli._reconstruct_show import show_end, show_weights
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from veilight.reconstruct_weights import WeightPoint

__all__ = ["reconstruct_app"]

reconstruct_app = typer.Typer(
    no_args_is_help=True,
    help="What curious parties get from simulated light, measured beside the stated bounds.",
)
reconstruct_app.command("inputs")(reconstruct_inputs)
reconstruct_app.command("defences")(reconstruct_defences)
reconstruct_app.command("model")(reconstruct_model)


@reconstruct_app.command("weights")
def reconstruct_weights(
    photons: Annotated[
        float, typer.Option("--photons", metavar="MU", help="Photons per mode at launch.")
    ] = 0.1,
    modes: Annotated[int, typer.Option("--modes", min=1, help="Weights per row.")] = 64,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows to measure with.")] = 500,
    queries: Annotated[
        str, typer.Option("--queries", metavar="K,...", help="Queries, or copies tapped.")
    ] = "1,16,64,640,6400",
    fraction: Annotated[
        float, typer.Option("--fraction", help="Of the light of every copy, kept.")
    ] = 0.1,
    receiver: Kind = "amplifier",
    setting: Setting = 2.0,
    seed: Seed = 0,
    plots: Plots = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """A client asks for the weights, or keeps light: signal-to-noise and bits per weight."""
    from drivers.receivers import receiver as receiver_of
    from veilight.reconstruct import refuse_gains_above_bounds
    from veilight.reconstruct_weights import measure_weights, picture_row

    screen = Screen(as_json=as_json, quiet=quiet)
    own = receiver_of(receiver, setting)
    counts = options.whole_numbers("--queries", queries)
    if plots is not None:
        prepare_folder(plots, overwrite=True)
    points = measure_weights(
        own,
        photons_per_symbol=photons,
        modes=modes,
        rows=rows,
        copies=counts,
        fraction=fraction,
        seed=seed,
    )
    refuse_gains_above_bounds(weights=points)
    title = f"{own.kind} at {own.setting:g}, {photons:g} photons, {modes} modes"
    files = []
    if plots is not None:
        truth = _some_rows(modes, seed)
        lines = picture_row(
            own, truth, photons_per_symbol=photons, copies=counts, fraction=fraction, seed=seed
        )
        files = _draw_weights(plots, points, title, lines, truth[0])
    screen.result(
        {
            "receiver": {"kind": own.kind, "setting": own.setting},
            "photons_per_symbol": photons,
            "modes": modes,
            "fraction": fraction,
            "weights": [asdict(point) for point in points],
            "within_bounds": True,
            "seed": seed,
            "plots": files,
        }
    )
    show_weights(screen, points, f"{title}, fraction {fraction:g} kept")
    show_end(screen, files)
    return 0


def _draw_weights(
    folder: Path,
    points: "list[WeightPoint]",
    title: str,
    lines: "list[tuple[str, list[tuple[int, NDArray[np.float64]]]]]",
    truth: "NDArray[np.float64]",
) -> list[str]:
    from veilight.reconstruct_plots import draw_rows, draw_weights, write_picture

    files = [folder / "weights.png", folder / "weight-rows.png"]
    write_picture(draw_weights(points, title), files[0])
    named = [(way, [(f"{count} copies", row) for count, row in rows]) for way, rows in lines]
    write_picture(draw_rows(truth, named, f"One row of weights, {title}"), files[1])
    return [str(path) for path in files]


def _some_rows(modes: int, seed: int) -> "NDArray[np.float64]":
    """Rows whose picture one can tell: digits less their mean where they fit, else noise."""
    import numpy as np

    from veilight.datasets import load

    inputs = load("digits").train.inputs
    flat = inputs.reshape(len(inputs), -1).astype(np.float64)
    if flat.shape[1] != modes:
        return np.random.default_rng(seed).standard_normal((1, modes))
    return np.asarray(flat[:10] - flat.mean(axis=0))
