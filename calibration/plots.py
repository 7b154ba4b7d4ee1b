"""One picture per result: the data with their errors, the fit, what is left, and what was found."""

import io
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
    """The picture of a result: one column per set of points, residuals below where there is a fit.

    Args:
        result: with at least one set of points.

    Raises:
        CalibrationError: the result has no points to draw.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = len(result.fit_data)
    if columns == 0:
        raise CalibrationError(f"result {result.id[:12]} of {result.routine} has no points to draw")
    title = _title(result)
    height = 4.6 + 0.24 * title.count("\n")
    figure = Figure(figsize=(max(6.8, 5.6 * columns), height), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, columns, height_ratios=[3, 1])
    for column, data in enumerate(result.fit_data):
        if data.fitted is None:
            points = figure.add_subplot(grid[:, column])
            points.set_xlabel(data.x.label)
        else:
            points = figure.add_subplot(grid[0, column])
            _draw_residuals(figure.add_subplot(grid[1, column], sharex=points), data)
            points.tick_params(labelbottom=False)
        _draw_points(points, data)
        if columns > 1:
            points.set_title(data.name.replace("_", " "), fontsize=9)
    figure.suptitle(title, fontsize=9, x=0.02, ha="left")
    return figure


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
    if data.log_y:
        axes.set_yscale("log")
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
    axes.set_ylabel(label)
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
    return f"{routine}, bench {result.bench}, {light}, {when} UTC, id {result.id[:12]}"
