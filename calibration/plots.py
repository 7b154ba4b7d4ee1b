"""One picture per result: the data with their errors, the fit, what is left, and what was found."""

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING

from calibration.result import FitData, Result
from drivers.errors import CalibrationError, OutputError
from drivers.files import replace_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "write_plot"]

# Okabe and Ito's colours, which the colour-blind can tell apart.
_DATA, _FIT = "#0072B2", "#D55E00"
_MOST_QUANTITIES = 6
_MOST_ERROR_BARS = 300
_MOST_IN_A_ROW = 3
_PANEL_WIDTH, _PANEL_HEIGHT = 4.4, 3.5
_LEAST_WIDTH = 6.8
_LINE_HEIGHT = 0.17


def write_plot(result: Result, path: Path) -> None:
    """Write the picture of a result as PNG, whole or not at all; an existing file is replaced.

    Args:
        result: with at least one set of points.
        path: the file.

    Raises:
        CalibrationError: the result has no points to draw.
        OutputError: the system refuses the write.
    """
    figure = draw(result)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    try:
        replace_files([(path, picture.getvalue())])
    except (OSError, ValueError) as error:
        raise OutputError(
            f"plot {path}: cannot be written: {error}; choose a folder that exists, may be written "
            "to and has room"
        ) from error


def draw(result: Result) -> "Figure":
    """The picture of a result: one panel per set of points, residuals below where there is a fit.

    Panels stand in rows of at most three.

    Args:
        result: with at least one set of points.

    Raises:
        CalibrationError: the result has no points to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = len(result.fit_data)
    if panels == 0:
        raise CalibrationError(f"result {result.id[:12]} of {result.routine} has no points to draw")
    columns, rows = _columns_and_rows(panels)
    title = _title(result)
    width = max(_LEAST_WIDTH, _PANEL_WIDTH * columns)
    height = _PANEL_HEIGHT * rows + _LINE_HEIGHT * (title.count("\n") + 1)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[3, 1] * rows)
    for number, data in enumerate(result.fit_data):
        row, column = divmod(number, columns)
        if data.fitted is None:
            points = figure.add_subplot(grid[2 * row : 2 * row + 2, column])
            points.set_xlabel(data.x.label)
        else:
            points = figure.add_subplot(grid[2 * row, column])
            _draw_residuals(figure.add_subplot(grid[2 * row + 1, column], sharex=points), data)
            points.tick_params(labelbottom=False)
        _draw_points(points, data)
        if panels > 1:
            points.set_title(data.name.replace("_", " "), fontsize=9)
    figure.suptitle(title, fontsize=9, x=0.02, ha="left")
    return figure


def _columns_and_rows(panels: int) -> tuple[int, int]:
    """Rows of at most three panels, as few as possible, filled as evenly as they can be."""
    rows = math.ceil(panels / _MOST_IN_A_ROW)
    return math.ceil(panels / rows), rows


def _draw_points(axes: "Axes", data: FitData) -> None:
    x, measured = data.x.values, data.measured.values
    crowded = measured.size > _MOST_ERROR_BARS
    axes.errorbar(
        x,
        measured,
        yerr=None if data.uncertainty is None or crowded else data.uncertainty.values,
        fmt=".",
        markersize=2 if crowded else 5,
        color=_DATA,
        elinewidth=1,
        capsize=2,
        label="measured" if data.uncertainty is None or crowded else "measured, 1 sigma",
    )
    if data.fitted is not None:
        order = x.argsort(kind="stable")
        axes.plot(x[order], data.fitted.values[order], color=_FIT, linewidth=1.2, label="fit")
    if data.log_x:
        axes.set_xscale("log")
    else:
        axes.locator_params(axis="x", nbins=5)
        axes.ticklabel_format(axis="x", scilimits=(-3, 4))
    if data.log_y:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", scilimits=(-3, 4))
    axes.set_ylabel(data.measured.label)
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25)


def _draw_residuals(axes: "Axes", data: FitData) -> None:
    """Residuals in standard deviations where those are known, else in their own unit."""
    assert data.fitted is not None
    residual = data.measured.values - data.fitted.values
    label = f"residual ({data.measured.unit})"
    if data.uncertainty is not None and (data.uncertainty.values > 0).all():
        residual = residual / data.uncertainty.values
        label = "residual (sigma)"
        axes.axhspan(-1, 1, color=_FIT, alpha=0.12, linewidth=0)
    axes.axhline(0, color=_FIT, linewidth=1.2)
    crowded = residual.size > _MOST_ERROR_BARS
    axes.plot(data.x.values, residual, ".", color=_DATA, markersize=2 if crowded else 5)
    axes.set_xlabel(data.x.label)
    axes.set_ylabel(label, fontsize=8)
    axes.grid(alpha=0.25)


def _title(result: Result) -> str:
    shown = result.quantities[:_MOST_QUANTITIES]
    lines = [_head(result), *(quantity.text for quantity in shown)]
    left = len(result.quantities) - len(shown)
    if left:
        lines.append(f"and {left} more")
    if result.goodness is not None:
        goodness = result.goodness
        lines.append(
            f"reduced chi-square {goodness.reduced_chi_square:.3f} on "
            f"{goodness.degrees_of_freedom} degrees of freedom, p = {goodness.p_value:.2g}"
        )
    # A dollar in a name or unit would start mathematics.
    return "\n".join(lines).replace("$", r"\$")


def _head(result: Result) -> str:
    light = "SIMULATED" if result.simulated else "real light"
    when = result.moment.utc[:19].replace("T", " ")
    routine = result.routine.replace("_", " ")
    return f"{routine}, bench {result.bench}, {light}\n{when} UTC, id {result.id[:12]}"
