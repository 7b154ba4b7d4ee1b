"""`veilight reconstruct model`: a small network extracted by asking, beside what is stated."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veilight.cli import _options as options
from veilight.cli._outputs import prepare_folder
from veilight.cli._reconstruct_options import Kind, Plots, Seed, Setting
from veilight.cli._reconstruct_show import show_end, show_model
from veilight.cli._screen import Screen

if TYPE_CHECKING:
    from veilight.reconstruct_model import ModelPoint

__all__ = ["reconstruct_model"]


def reconstruct_model(
    data: options.DataSpec = "digits",
    photons: Annotated[
        float, typer.Option("--photons", metavar="MU", help="Photons per mode at launch.")
    ] = 1.0,
    hidden: Annotated[int, typer.Option("--hidden", min=1, help="Hidden units.")] = 32,
    queries: Annotated[
        str, typer.Option("--queries", metavar="K,...", help="Inputs asked about.")
    ] = "100,1000,10000",
    receiver: Kind = "amplifier",
    setting: Setting = 2.0,
    seed: Seed = 0,
    plots: Plots = None,
    label_column: options.LabelColumn = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """A client reads a network layer by layer, or trains a student on its outputs."""
    import numpy as np

    from drivers.receivers import receiver as receiver_of
    from veilight.datasets import load
    from veilight.reconstruct import refuse_gains_above_bounds
    from veilight.reconstruct_model import fit_teacher, measure_model

    screen = Screen(as_json=as_json, quiet=quiet)
    own, counts = receiver_of(receiver, setting), options.whole_numbers("--queries", queries)
    if plots is not None:
        prepare_folder(plots, overwrite=True)
    parts = load(data, label_column=label_column)
    train, test = (
        part.inputs.reshape(len(part.inputs), -1).astype(np.float64)
        for part in (parts.train, parts.test)
    )
    teacher = fit_teacher(train, parts.train.labels, hidden=hidden, seed=seed)
    points: list[ModelPoint] = []
    with screen.progress("students", total=len(counts)) as advance:
        for count in counts:
            points += measure_model(
                own,
                teacher,
                train,
                (test, parts.test.labels),
                photons_per_symbol=photons,
                queries=[count],
                seed=seed,
            )
            advance(len(points))
    refuse_gains_above_bounds(models=points)
    title = f"{own.kind} at {own.setting:g}, {photons:g} photons, {hidden} units, {data}"
    files = [] if plots is None else _draw(plots, points, title)
    screen.result(
        {
            "receiver": {"kind": own.kind, "setting": own.setting},
            "photons_per_symbol": photons,
            "hidden": hidden,
            "data": data,
            "models": [asdict(point) for point in points],
            "within_bounds": True,
            "seed": seed,
            "plots": files,
        }
    )
    show_model(screen, points, title)
    show_end(screen, files)
    return 0


def _draw(folder: Path, points: "list[ModelPoint]", title: str) -> list[str]:
    import numpy as np

    from veilight.reconstruct_plots import draw_model, draw_rows, write_picture

    files = [folder / "model.png", folder / "model-rows.png"]
    write_picture(draw_model(points, title), files[0])
    read = [(f"{p.queries} queries", np.array(p.read_row)) for p in points]
    student = [(f"{p.queries} queries", np.array(p.student_row)) for p in points]
    lines = [("read layer\nby layer", read), ("student of\nthe outputs", student)]
    truth = np.array(points[-1].truth)
    write_picture(draw_rows(truth, lines, f"One row of weights, {title}"), files[1])
    return [str(path) for path in files]
