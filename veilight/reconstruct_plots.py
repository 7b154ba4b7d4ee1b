"""Pictures of reconstructions: the inputs as a server sees them, and gains against their bounds."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from drivers.errors import OutputError
from drivers.files import replace_files
from veilight.reconstruct import DictionaryAttack
from veilight.reconstruct_model import ModelPoint
from veilight.reconstruct_series import Pictures
from veilight.reconstruct_weights import WeightPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "draw_inputs",
    "draw_model",
    "draw_rows",
    "draw_success",
    "draw_weights",
    "write_picture",
]

# Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73")


def draw_inputs(pictures: Pictures, title: str, way: str = "principal\ncomponent") -> Figure:
    """The input, its estimates and the likeliest candidates, by number of rows.

    Args:
        pictures: of one attack.
        title: above them.
        way: what the estimates are.
    """
    columns = len(pictures.rows) + 1
    figure = Figure(figsize=(1.5 * columns, 3.8), layout="constrained")
    axes = figure.subplots(2, columns, squeeze=False)
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    for line, label in enumerate((way, "likeliest\ncandidate")):
        axes[line][0].set_ylabel(label)
        _draw(axes[line][0], pictures.truth)
    axes[0][0].set_title("truth", fontsize="medium")
    for column, (rows, estimate, candidate) in enumerate(
        zip(pictures.rows, pictures.estimates, pictures.likeliest, strict=True), 1
    ):
        overlap = float(estimate @ pictures.truth) ** 2
        right = np.array_equal(candidate, pictures.truth)
        _draw(axes[0][column], estimate)
        axes[0][column].set_title(f"{rows} rows", fontsize="medium")
        axes[0][column].set_xlabel(f"overlap² {overlap:.2f}", fontsize="small")
        _draw(axes[1][column], candidate)
        axes[1][column].set_xlabel("right" if right else "wrong", fontsize="small")
    figure.suptitle(title, fontsize="medium")
    return figure


def draw_success(attacks: Sequence[DictionaryAttack], title: str) -> Figure:
    """Success against rows, solid; Fano's bound with what is stated, dashed."""
    figure = Figure(figsize=(6.8, 5.0), layout="constrained")
    axes = figure.subplots()
    for attack, colour in zip(attacks, _COLOURS, strict=False):
        label = f"{attack.receiver.kind} at {attack.receiver.setting:.3g}"
        if not attack.curve:
            axes.plot([], [], color=colour, label=f"{label}: never")
            continue
        rows = [point.rows for point in attack.curve]
        axes.plot(rows, [p.success for p in attack.curve], color=colour, marker="o", label=label)
        axes.plot(rows, [p.bound for p in attack.curve], color=colour, linestyle="--")
        axes.axvline(attack.stated_rows, color=colour, linestyle=":", linewidth=0.9)
    axes.set(xscale="log", ylim=(-0.02, 1.05), xlabel="rows with the same input")
    axes.set_ylabel("probability that the input is found")
    axes.set_title(f"{title}\ndashed: at most (Fano), dotted: stated rows", fontsize="medium")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    return figure


def draw_weights(points: Sequence[WeightPoint], title: str) -> Figure:
    """Bits per weight against queries or copies: measured, stated, any measurement."""
    figure = Figure(figsize=(6.8, 5.0), layout="constrained")
    axes = figure.subplots()
    for way, colour in zip(dict.fromkeys(point.way for point in points), _COLOURS, strict=False):
        own = [point for point in points if point.way == way]
        copies = [point.copies for point in own]
        bars = [3 * point.gain.bits_error for point in own]
        measured = [point.gain.bits for point in own]
        axes.errorbar(copies, measured, yerr=bars, fmt="o", color=colour, label=f"{way}, measured")
        axes.plot(copies, [p.bits_bound for p in own], color=colour, label=f"{way}, stated")
        axes.plot(copies, [p.bits_holevo for p in own], color=colour, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="queries or copies", ylabel="bits per weight")
    axes.set_title(f"{title}\ndashed: at most, any measurement", fontsize="medium")
    axes.grid(visible=True, alpha=0.3)
    figure.legend(fontsize="small", loc="outside lower center", ncols=2)
    return figure


def draw_rows(
    truth: NDArray[np.float64],
    lines: Sequence[tuple[str, Sequence[tuple[str, NDArray[np.float64]]]]],
    title: str,
) -> Figure:
    """One weight row and its reconstructions: a line for each way, a column for each setting.

    Args:
        truth: `(modes,)`.
        lines: name of the way, and for each setting its name and the row.
        title: above them.
    """
    columns = max(len(entries) for _, entries in lines) + 1
    figure = Figure(figsize=(1.5 * columns, 2.1 * len(lines)), layout="constrained")
    axes = figure.subplots(len(lines), columns, squeeze=False)
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    for line, (name, entries) in enumerate(lines):
        _draw(axes[line][0], truth)
        axes[line][0].set_ylabel(name, fontsize="small")
        axes[line][0].set_title("truth", fontsize="medium")
        for column, (setting, row) in enumerate(entries, 1):
            length = float(np.linalg.norm(row) * np.linalg.norm(truth))
            alike = float(row @ truth) / length if length > 0 else 0.0
            _draw(axes[line][column], row)
            axes[line][column].set_title(setting, fontsize="medium")
            axes[line][column].set_xlabel(f"cosine {alike:.2f}", fontsize="small")
    figure.suptitle(title, fontsize="medium")
    return figure


def draw_model(points: Sequence[ModelPoint], title: str) -> Figure:
    """What a student decides like its teacher, and what it knows of the weights, by queries."""
    figure = Figure(figsize=(8.4, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    queries = [point.queries for point in points]
    alike, right_answers = "student decides like the teacher", "student's accuracy"
    left.plot(queries, [p.agreement for p in points], color=_COLOURS[1], marker="o", label=alike)
    left.plot(
        queries,
        [p.student_accuracy for p in points],
        color=_COLOURS[2],
        marker="s",
        label=right_answers,
    )
    left.axhline(
        points[0].teacher_accuracy, color="0.5", linestyle="--", label="teacher's accuracy"
    )
    left.set(xscale="log", ylim=(0, 1.02), xlabel="queries", ylabel="share of the test inputs")
    for name, gains, colour in (
        ("read layer by layer", [p.read.bits for p in points], _COLOURS[0]),
        ("student of the outputs", [p.student.bits for p in points], _COLOURS[1]),
    ):
        right.plot(queries, np.maximum(gains, 1e-6), color=colour, marker="o", label=name)
    right.plot(queries, [p.bits_bound for p in points], color="0.3", label="stated")
    right.plot(queries, [p.bits_holevo for p in points], color="0.3", linestyle="--")
    right.set(xscale="log", yscale="log", xlabel="queries", ylabel="bits per weight")
    right.set_title("dashed: at most, any measurement", fontsize="small")
    for panel in (left, right):
        panel.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.15))
    figure.suptitle(title, fontsize="medium")
    return figure


def write_picture(figure: Figure, path: Path) -> None:
    """Write a picture as PNG, whole or not at all; an existing file is replaced.

    Raises:
        OutputError: the system refuses the write.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130)
    try:
        replace_files([(path, picture.getvalue())])
    except (OSError, ValueError) as error:
        raise OutputError(
            f"plot {path}: cannot be written: {error}; choose a folder that exists, may be written "
            "to and has room"
        ) from error


def _draw(panel: "Axes", vector: NDArray[np.float64]) -> None:
    """A vector as a square where it is one, else as bars side by side over the whole panel."""
    side = math.isqrt(len(vector))
    square = side * side == len(vector)
    image = vector.reshape((side, side) if square else (1, -1))
    panel.imshow(image, cmap="gray", aspect="equal" if square else "auto")
